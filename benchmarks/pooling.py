"""Train steps of the strong network: PyTorch's average pooling, and one that keeps the layout."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.timing import compare
from labutils.config.classifier import RunConfig
from labutils.models.networks import build_model
from labutils.training.execution import execution_for

BATCH = 500


def main() -> None:
    model = build_model(RunConfig(data="cifar10", model="strong", residual=True), (3, 32, 32), 10)
    execution = execution_for(model, "bf16", torch.device("cpu"))
    model = model.to(memory_format=torch.channels_last)
    pytorch = copy.deepcopy(model)
    pytorch.head[0] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = execution.place(torch.randint(0, 256, (BATCH, 3, 32, 32), dtype=torch.uint8))
    labels = torch.arange(BATCH) % 10

    def step(model: nn.Module) -> None:
        with execution.autocast():
            logits = model(images)
        F.cross_entropy(logits.float(), labels).backward()
        model.zero_grad()

    question = "Train step of the strong network, AdaptiveAvgPool2d / GlobalAveragePool"
    compare("pooling", question, lambda: step(pytorch), lambda: step(model), 5)


if __name__ == "__main__":
    main()
