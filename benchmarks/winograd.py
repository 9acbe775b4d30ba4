"""Train steps of the strong network without AVX-512, with PyTorch's convolutions or ours."""

import math
from unittest.mock import patch

import torch
import torch.nn.functional as F

from benchmarks.timing import compare
from labutils import winograd
from labutils.bfloat16 import has_bf16_products
from labutils.config import RunConfig
from labutils.evaluation import execution_for
from labutils.models import build_model

BATCH = 100


def main() -> None:
    if has_bf16_products(torch.device("cpu")):
        print("This processor multiplies in bf16 itself: Winograd's algorithm is not used.")
        return
    model = build_model(RunConfig(data="cifar10", model="strong", residual=True), (3, 32, 32), 10)
    execution = execution_for(model, "bf16", torch.device("cpu"))
    model = model.to(memory_format=torch.channels_last)
    images = execution.place(torch.randint(0, 256, (BATCH, 3, 32, 32), dtype=torch.uint8))
    labels = torch.arange(BATCH) % 10

    def step() -> None:
        with execution.autocast():
            logits = model(images)
        F.cross_entropy(logits.float(), labels).backward()
        model.zero_grad()

    def pytorch_step() -> None:
        with patch.object(winograd, "FEWEST_CHANNELS", math.inf):
            step()

    question = "Train step of the strong network without AVX-512, PyTorch's convolutions / Winograd"
    compare("winograd", question, pytorch_step, step, 9)


if __name__ == "__main__":
    main()
