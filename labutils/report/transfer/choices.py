"""What was tried for transfer and distillation, with seed 0, and among which validation chose.

No table or figure shows these runs, so the quick profile trains them only if it is asked to.
"""

from dataclasses import replace

from labutils.config import DistillConfig, RunConfig, TransferConfig
from labutils.report.records import at_rates, experiment
from labutils.report.transfer import experiments as chosen


def _regularised(config: TransferConfig) -> list[TransferConfig]:
    """With and without holes, with and without smoothed labels."""
    return [
        replace(config, cutout=cutout, label_smoothing=smoothing)
        for cutout in (0, 8)
        for smoothing in (0.0, 0.1)
    ]


# Of each list that with the highest validation accuracy was taken.
CANDIDATES: dict[str, list[RunConfig]] = {
    "head": at_rates([chosen.HEAD], (0.3, 1.0, 3.0)),
    "everything": at_rates([chosen.EVERYTHING], (0.06, 0.12, 0.24)),
    "scratch": at_rates([chosen.SCRATCH], (0.12, 0.24, 0.48)),
    "sgd": at_rates([chosen.WITH_SGD], (0.03, 0.1, 0.3)),
    "longer": _regularised(chosen.LONGER),
    "longer-scratch": _regularised(chosen.LONGER_SCRATCH),
    "student": [
        replace(chosen.SOFT, temperature=temperature, soft_weight=weight)
        for temperature in (1.0, 4.0)
        for weight in (0.5, 0.9)
    ],
}


@experiment(
    "transfer-choices",
    varies=("trained", "source", "learning_rate", "weight_decay", "epochs", "cutout",
            "label_smoothing", *chosen.SGD),
)  # fmt: skip
def choices() -> list[TransferConfig]:
    """Transfer: rates and augmentation among which validation chose."""
    return [config for name in CANDIDATES if name != "student" for config in CANDIDATES[name]]


@experiment("distillation-choices", varies=("temperature", "soft_weight"))
def temperatures() -> list[DistillConfig]:
    """Distillation: temperatures and weights among which validation chose."""
    return CANDIDATES["student"]
