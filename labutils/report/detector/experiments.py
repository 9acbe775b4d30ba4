"""Exercise 2: detectors and the classifiers that they start from."""

from dataclasses import replace

from labutils.config import FCNConfig, RunConfig
from labutils.fcn.networks import classifier_config
from labutils.report.records import SEEDS, experiment, seeded

BEST_HEAD = "skip"  # the highest mean IoU in validation, in every seed: it reads pictures
DETECTOR = FCNConfig(
    width=16, batch_size=50, epochs=4, learning_rate=5e-3, schedule="one-cycle", precision="bf16"
)


@experiment("detector-classifier", varies=("seed",), keep="fp16")
def classifiers() -> list[RunConfig]:
    """Exercise 2: the classifiers that detectors start from."""
    return seeded([_classifier(DETECTOR)])


@experiment("window-classifier", varies=(), keep="fp16")
def window_classifier() -> list[RunConfig]:
    """Exercise 2: a classifier without padding, whose map is exactly its answers to windows."""
    small = replace(DETECTOR, model="small-cnn", width=32)  # that of benchmarks/windows.py
    return [replace(_classifier(small), epochs=8)]


# Each detector starts from the classifier of its seed.
@experiment("detector", varies=("head", "seed", "classifier"), keep="fp16")
def detectors() -> list[FCNConfig]:
    """Exercise 2: detectors with each head, on canvases with everything on them."""
    base = replace(
        DETECTOR, number=(0, 3), scale=(0.7, 1.5), rotation=10, touching=0.25, clutter=0.4,
        background_weight=0.3,
    )  # fmt: skip
    return [
        _from_classifier(replace(base, head=head, seed=seed))
        for head in (BEST_HEAD, "deconvolution", "sliding")
        for seed in SEEDS
    ]


@experiment("detector-no-background", varies=(), keep="fp16")
def no_background() -> list[FCNConfig]:
    """Exercise 2: a detector with report-b's labels, the digit's on its whole canvas."""
    return [_from_classifier(replace(DETECTOR, background=False, epochs=3))]


def _classifier(config: FCNConfig) -> RunConfig:
    changed = {"schedule": "one-cycle", "learning_rate": 2e-3, "crop_padding": 2, "epochs": 4}
    return replace(classifier_config(config), **changed, precision="bf16")


def _from_classifier(config: FCNConfig) -> FCNConfig:
    return replace(config, classifier=_classifier(config).id)
