"""Train steps in bf16 where the CPU has no instructions for it: PyTorch's loops, and ours."""

import torch
import torch.nn.functional as F

from benchmarks.timing import compare
from labutils.bfloat16 import RoundedProducts, has_bf16_products
from labutils.config import RunConfig
from labutils.models import build_model

BATCH = 16


def main() -> None:
    if has_bf16_products(torch.device("cpu")):
        print("This processor multiplies in bf16 itself: there is nothing to compare.")
        return
    config = RunConfig(data="cifar10", model="resnet", depth=20, residual=True)
    model = build_model(config, (3, 32, 32), 10).to(memory_format=torch.channels_last)
    images = torch.randint(0, 256, (BATCH, 3, 32, 32), dtype=torch.uint8)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(BATCH) % 10

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(images)
        F.cross_entropy(logits.float(), labels).backward()
        model.zero_grad()

    def rounded_step() -> None:
        with RoundedProducts():
            step()

    question = "ResNet-20 train step in bf16 without AVX-512, PyTorch / RoundedProducts"
    compare("rounding", question, step, rounded_step, 5)


if __name__ == "__main__":
    main()
