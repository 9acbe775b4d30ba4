"""Train steps of a ResNet-18 for 32x32 images: fp32 in PyTorch's layout, and bf16 channels-last."""

import copy

import torch
import torch.nn.functional as F

from benchmarks.timing import compare
from labutils.config.classifier import RunConfig
from labutils.models.networks import build_model
from labutils.training.execution import Execution, execution_for, multiplies_bf16
from labutils.training.optimizers import make_optimizer

STEPS, BATCH = 2, 128


def main() -> None:
    cpu = torch.device("cpu")
    if not multiplies_bf16(cpu):
        print("This processor does not multiply bf16: there is nothing to compare.")
        return
    config = RunConfig(data="cifar10", model="resnet", depth=18, stages=4, width=64, residual=True)
    model = build_model(config, (3, 32, 32), 10)
    images = torch.randint(0, 256, (BATCH, 3, 32, 32), dtype=torch.uint8)
    labels = torch.arange(BATCH) % 10

    def steps(model: torch.nn.Module, execution: Execution) -> None:
        for _ in range(STEPS):
            with execution.autocast():
                logits = model(execution.place(images))
            F.cross_entropy(logits.float(), labels).backward()
            optimizers[model].step()
            optimizers[model].zero_grad()

    fast = execution_for(model, "bf16", cpu)
    slow = Execution(cpu, torch.contiguous_format, "fp32")
    models = [copy.deepcopy(model), model.to(memory_format=torch.channels_last)]
    optimizers = {each: make_optimizer(each, config) for each in models}
    question = "ResNet-18 train step, fp32 / bf16 with channels-last"
    compare(
        "precision", question, lambda: steps(models[0], slow), lambda: steps(models[1], fast), 5
    )


if __name__ == "__main__":
    main()
