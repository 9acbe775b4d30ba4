"""Exercise 2: detectors and the classifiers that they start from."""

from __future__ import annotations

from dataclasses import replace

from labutils.config.classifier import RunConfig
from labutils.config.fcn import FCNConfig
from labutils.config.profiles import Profile
from labutils.fcn.networks import classifier_config
from labutils.report.records import seeds_of

BEST_HEAD = "skip"  # the highest mean IoU in validation, in every seed: it reads pictures


def detector_classifiers(which: Profile) -> list[RunConfig]:
    """Exercise 2: the classifiers that detectors start from."""
    return [
        _detector_classifier(replace(_detector_base(which), seed=seed)) for seed in seeds_of(which)
    ]


def window_classifier(which: Profile) -> list[RunConfig]:
    """Exercise 2: a classifier without padding, whose map is exactly its answers to windows."""
    width = 8 if which.quick else 32  # that of benchmarks/windows.py
    config = _detector_classifier(
        replace(_detector_base(which), model="small-cnn", width=width), epochs=8
    )
    return [config]


def detector_grid(which: Profile) -> list[FCNConfig]:
    """Exercise 2: detectors with each head, on canvases with everything on them."""
    base = replace(
        _detector_base(which),
        size=48 if which.quick else 64,
        number=(0, 2) if which.quick else (0, 3),
        scale=(0.8, 1.2) if which.quick else (0.7, 1.5),
        touching=0.25,
        clutter=0.2 if which.quick else 0.4,
        rotation=10,
        background_weight=0.3,
    )
    return [
        _from_classifier(replace(base, head=head, seed=seed))
        for head in (BEST_HEAD, "deconvolution", "sliding")
        for seed in seeds_of(which)
    ]


def no_background_grid(which: Profile) -> list[FCNConfig]:
    """Exercise 2: a detector with report-b's labels, the digit's on its whole canvas."""
    base = replace(_detector_base(which), background=False, epochs=2 if which.quick else 3)
    return [_from_classifier(base)]


def _detector_base(which: Profile) -> FCNConfig:
    return FCNConfig(
        data=which.data("mnist"),
        width=8 if which.quick else 16,
        canvases=400 if which.quick else 20_000,
        epochs=8 if which.quick else 4,
        batch_size=10 if which.quick else 50,
        learning_rate=5e-3,
        schedule="one-cycle",
        precision="bf16",
    )


def _detector_classifier(config: FCNConfig, epochs: int = 4) -> RunConfig:
    quick = config.data == "digits"
    return replace(
        classifier_config(config),
        schedule="one-cycle",
        learning_rate=2e-3,
        crop_padding=2,
        batch_size=32 if quick else 128,
        epochs=3 if quick else epochs,
        precision="bf16",
    )


def _from_classifier(config: FCNConfig) -> FCNConfig:
    return replace(config, classifier=_detector_classifier(config).id)
