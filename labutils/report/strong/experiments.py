"""Section 1.5: one strong network, its plain twin, and other ways to train them."""

from dataclasses import replace

from labutils.config import RunConfig
from labutils.report.records import experiment, seeded


@experiment("strong", varies=("seed",), keep="fp16")
def strong() -> list[RunConfig]:
    """Section 1.5: one strong network, several seeds."""
    base = RunConfig(
        data="cifar10", model="strong", residual=True, init="partial-identity",
        optimizer="muon", learning_rate=0.24, momentum=0.6, schedule="linear",
        bias_learning_rate=10.0, head_learning_rate=0.05,
        flip=True, alternating_flip=True, crop_padding=4, padding_mode="reflect", cutout=16,
        batch_size=1000, epochs=64, precision="bf16",
    )  # fmt: skip
    return seeded([base])


@experiment(
    "strong-plain",
    varies=("seed",),
    keep="fp16",
    shipped=False,  # for their size
    compared_with=("strong",),
    differs_in=("residual",),
)
def plain_twin() -> list[RunConfig]:
    """Section 1.5: the strong network without its skips."""
    return [replace(config, residual=False) for config in strong.grid()]


@experiment("strong-recipes", varies=("residual", "epochs", "seed"))
def recipes() -> list[RunConfig]:
    """Section 1.5: both with half the rate and smaller holes, the first for fewer epochs, too."""
    longer = [
        replace(config, learning_rate=0.12, cutout=12)
        for config in strong.grid() + plain_twin.grid()
    ]
    return [replace(config, epochs=16) for config in longer if config.residual] + longer


@experiment("strong-brief", varies=())
def brief() -> list[RunConfig]:
    """Section 1.5: the strong network trained briefly, without holes, as a CPU can afford."""
    return [replace(strong.grid()[0], cutout=0, epochs=8)]
