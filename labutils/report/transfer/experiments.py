"""Transfer of the strong network to CIFAR-100, and distillation of it on CIFAR-10.

Rates, augmentation, temperature and weight are the best, in validation of seed 0, of those in
`choices.py`. For the head alone and for SGD the highest rate that was tried is the best: a higher
one may be better still.
"""

from collections.abc import Iterable
from dataclasses import asdict, replace

from labutils.config import DistillConfig, RunConfig, TransferConfig
from labutils.report.convnets.experiments import RESNET
from labutils.report.families import experiments as families
from labutils.report.records import SEEDS, experiment
from labutils.report.strong.experiments import strong

# From scratch, with the recipe of the strong network but for the holes, which need more epochs.
SCRATCH = TransferConfig(
    **asdict(strong.grid()[0]) | {"data": "cifar100", "cutout": 0, "epochs": 10}
)
SOURCES = {config.seed: config.id for config in strong.grid()}
EVERYTHING = replace(SCRATCH, source=SOURCES[0], learning_rate=0.12)
SGD = {"optimizer": "sgd", "momentum": 0.9, "bias_learning_rate": 0.0, "head_learning_rate": 0.0}
HEAD = replace(EVERYTHING, trained="head", learning_rate=3.0, **SGD)
WITH_SGD = replace(EVERYTHING, learning_rate=0.3, weight_decay=5e-4, **SGD)
LONGER = replace(EVERYTHING, epochs=32)
LONGER_SCRATCH = replace(SCRATCH, epochs=32, cutout=8)
# Labels a class, and what makes 200 steps of them: all batches of one size, of about 550 images.
BUDGETS = {22: {"batch_size": 550, "epochs": 50}, 112: {"batch_size": 560, "epochs": 10}}

# The layers of the strong network that probes take their features from, and labels a class.
LAYERS = ("stem", "blocks.0", "blocks.1", "blocks.2", "blocks.3")
LAST = LAYERS[-1:]
PROBE_BUDGETS = (5, 22, 112)
DRAWS = 5

STUDENT = DistillConfig(**asdict(RESNET) | {"residual": True})
SMOOTHED = replace(STUDENT, label_smoothing=0.1)
SOFT = replace(STUDENT, teacher=SOURCES[0], temperature=4.0, soft_weight=0.9)

# Keywords of `probe`.
SVM = {"kind": "svm", "layers": LAST, "side": 1}
# Every probe on all labels, the last as floor and as control.
PROBES: list[dict] = [
    SVM,
    {**SVM, "side": 2},
    *({"kind": "logistic", "layers": LAST, "side": side} for side in (1, 2)),
    {"kind": "logistic", "layers": LAYERS, "side": 2},
    *({"kind": "ridge", "layers": LAST, "side": side} for side in (1, 2)),
    {"kind": "ridge", "layers": LAYERS, "side": 2},
    *({"kind": kind, "layers": LAST} for kind in ("neighbours", "nearest-mean")),
    {"kind": "ridge", "layers": LAYERS, "side": 2, "of": "untrained"},
    *({"kind": kind, "of": "pixels"} for kind in ("ridge", "neighbours", "nearest-mean")),
]
# The same of the last map of report-d's kind of network, the CNN of section 1.4.
OF_CNN: list[dict] = [{**given, "layers": ("blocks.17",)} for given in PROBES[:4]]
BY_LAYER: list[dict] = [{"kind": "ridge", "layers": (name,), "side": 2} for name in LAYERS]
ON_FEW: list[dict] = [{"kind": "ridge", "layers": LAYERS, "side": 2}, SVM]
FEW: list[dict] = [
    {**given, "per_class": labels, "draw": draw}
    for given in ON_FEW
    for labels in PROBE_BUDGETS
    for draw in range(DRAWS)
]


def _seeds(configs: Iterable[TransferConfig]) -> list[TransferConfig]:
    """Each with each seed, of its own source and its own draw of labels where these are few."""
    return [
        replace(
            config,
            seed=seed,
            source=SOURCES[seed] if config.source else "",
            draw=seed if config.labels_per_class else 0,
        )
        for config in configs
        for seed in SEEDS
    ]


# The head alone is trained by SGD, because Muon trains filters.
@experiment(
    "transfer",
    varies=("trained", "source", "seed", "learning_rate", *SGD),
    keep="fp16",
    shipped=False,
)
def layers() -> list[TransferConfig]:
    """Transfer: the head, the last block or two, or everything trained on CIFAR-100."""
    partly = [replace(EVERYTHING, trained=trained) for trained in ("last-block", "last-two")]
    return _seeds([HEAD, *partly, EVERYTHING])


@experiment("transfer-cnn", keep="fp16", shipped=False, varies=())
def small_source() -> list[RunConfig]:
    """Transfer: the CNN of section 1.4, report-d's kind, as a source of features."""
    return [config for config in families.sgd.grid() if (config.model, config.seed) == ("cnn", 0)]


@experiment("transfer-scratch", varies=("epochs", "seed"), keep="fp16", shipped=False)
def scratch() -> list[TransferConfig]:
    """Transfer: the same network from scratch, with the same epochs and with twice as many."""
    return _seeds([SCRATCH, replace(SCRATCH, epochs=20)])


@experiment("transfer-sgd", varies=("source", "seed"))
def with_sgd() -> list[TransferConfig]:
    """Transfer: everything trained by SGD instead of Muon."""
    return _seeds([WITH_SGD])


@experiment("transfer-longer", varies=("source", "seed", "learning_rate", "cutout"))
def longer() -> list[TransferConfig]:
    """Transfer: everything and from scratch for 32 epochs, each with its best augmentation."""
    return _seeds([LONGER, LONGER_SCRATCH])


@experiment(
    "transfer-labels",
    varies=("labels_per_class", "batch_size", "epochs", "draw", "source", "seed", "learning_rate"),
)
def few_labels() -> list[TransferConfig]:
    """Transfer: everything and from scratch on few labels of each class, for 200 steps."""
    return _seeds(
        replace(config, labels_per_class=labels, **steps)
        for labels, steps in BUDGETS.items()
        for config in (EVERYTHING, SCRATCH)
    )


@experiment(
    "distillation",
    varies=("label_smoothing", "teacher", "temperature", "soft_weight", "seed"),
    keep="fp16",
    shipped=False,
)
def students() -> list[DistillConfig]:
    """Distillation: hard labels, smoothed labels, and the teacher that validation chose."""
    return [replace(row, seed=seed) for row in (STUDENT, SMOOTHED, SOFT) for seed in SEEDS]
