"""Classical classifiers on frozen features: what a network knows without training it further."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from labutils import data
from labutils.config.data_sets import DataName
from labutils.models.networks import Classifier
from labutils.runs.load import load_or_measure
from labutils.runs.store import Run
from labutils.training.classifiers import untrained
from labutils.transfer.features import FOLDER, SPLITS, FeatureError, Features, cached_features

LARGEST_SIDE = 2  # of the maps that are kept
Matrix = Float[np.ndarray, "_ features"]
Labels = Int[np.ndarray, "_"]


@dataclass(frozen=True)
class Probe:
    """A kind of classifier with one number to choose.

    Attributes:
        make: the classifier for a value of that number; `n_jobs` processes or threads may fit it.
        values: among which validation chooses, at least one.
        chosen_on: at most so many training images of each class are fitted while choosing,
            because a fit takes long; then all are.
    """

    make: Callable[[float, int], ClassifierMixin]
    values: tuple[float, ...]
    chosen_on: int | None = None


PROBES: dict[str, Probe] = {
    # One class against the rest, side by side; in the primal, since images outnumber features.
    # liblinear multiplies its tolerance by the smaller class's share: 0.1 is a thousandth here.
    "svm": Probe(
        lambda c, jobs: OneVsRestClassifier(LinearSVC(C=c, dual=False, tol=0.1), n_jobs=jobs),
        (1e-4, 1e-3, 1e-2, 1e-1),
        chosen_on=20,
    ),
    "logistic": Probe(
        lambda c, jobs: LogisticRegression(C=c, max_iter=1_000),
        (1e-3, 1e-2, 1e-1, 1e0),
        chosen_on=90,
    ),
    "ridge": Probe(lambda alpha, jobs: RidgeClassifier(alpha=alpha), (1e1, 1e2, 1e3, 1e4, 1e5)),
    "neighbours": Probe(
        lambda k, jobs: KNeighborsClassifier(int(k), weights="distance", n_jobs=jobs),
        (5, 15, 45),
        chosen_on=90,
    ),
    "nearest-mean": Probe(lambda _, jobs: NearestCentroid(), (0,)),
}


def pipeline(kind: str, value: float, n_jobs: int = 1) -> Pipeline:
    """Scaling of each feature to mean 0 and deviation 1, then the classifier."""
    return make_pipeline(StandardScaler(), PROBES[kind].make(value, n_jobs))


def fit_probe(
    kind: str, train: tuple[Matrix, Labels], val: tuple[Matrix, Labels], *, n_jobs: int = 1
) -> tuple[Pipeline, dict[float, float]]:
    """Choose by validation, then fit on all training images; test images are not seen.

    Args:
        kind: a key of `PROBES`.

    Returns:
        The fitted pipeline, and the validation accuracy of each value that was tried.
    """
    probe = PROBES[kind]
    tried: dict[float, float] = {}
    if len(probe.values) > 1:
        part = first_of_each_class(train[1], probe.chosen_on)
        held = train[0][part], train[1][part]
        for value in probe.values:
            tried[value] = pipeline(kind, value, n_jobs).fit(*held).score(*val)
    best = max(tried, key=tried.get, default=probe.values[0])
    return pipeline(kind, best, n_jobs).fit(*train), tried


def first_of_each_class(labels: Labels, count: int | None) -> Int[np.ndarray, " k"]:
    """Indices of the first so many images of each class, in order; of all for None."""
    chosen = [np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]
    return np.sort(np.concatenate(chosen))


def probed(
    kind: str, parts: Mapping[str, tuple[Matrix, Labels]], *, n_jobs: int = 1
) -> dict[str, Any]:
    """Choose, fit and test one probe.

    Args:
        kind: a key of `PROBES`.
        parts: features and labels of `train`, `val` and `test`.

    Returns:
        `tried`: pairs of a value and its validation accuracy while choosing. `val_accuracy`,
        `test_accuracy`, `class_accuracy` (of each class, on the test images): shares in [0, 1] of
        the probe fitted on all `images`. `features`: how many an image has.
    """
    fitted, tried = fit_probe(kind, parts["train"], parts["val"], n_jobs=n_jobs)
    classes = 1 + max(int(labels.max()) for _, labels in parts.values())
    matrix, labels = parts["test"]
    right = fitted.predict(matrix) == labels
    by_class = np.bincount(labels, right, classes) / np.bincount(labels, minlength=classes)
    return {
        "tried": [list(pair) for pair in tried.items()],
        "val_accuracy": fitted.score(*parts["val"]),
        "test_accuracy": right.mean().item(),
        "class_accuracy": [round(share, 4) for share in by_class.tolist()],
        "images": len(parts["train"][1]),
        "features": matrix.shape[1],
    }


def probe(
    run: Run,
    kind: str,
    *,
    onto: DataName,
    of: Literal["trained", "untrained", "pixels"] = "trained",
    layers: Sequence[str] = (),
    side: int = 1,
    per_class: int | None = None,
    draw: int = 0,
    n_jobs: int = 1,
) -> dict[str, Any]:
    """A probe on the layers of a stored network, for the classes of another data set.

    Args:
        kind: a key of `PROBES`.
        onto: the data set whose images are told apart.
        of: the features: those of the stored network, those of the same network untrained, or
            the pixels themselves.
        layers: of `feature_layers`, their maps averaged to side x side; pixels have none.
        per_class: training images of each class; validation shrinks as `DataSet.with_labels` says.
        n_jobs: processes that fit the classes of an SVM.

    Returns:
        What `probed` does.

    Raises:
        RunError: the run keeps no weights.
        FeatureError: it has no such layers, or their outputs are no maps.
        SubsetError: a class has fewer than `per_class` images.
    """
    settings = PROBES[kind]
    arguments = {
        "data": onto,
        "of": of,
        "kind": kind,
        "values": list(settings.values),
        "chosen_on": settings.chosen_on,
        "layers": list(layers),
        "side": side,
        "per_class": per_class,
        "draw": draw,
    }

    def measure() -> dict[str, Any]:
        images = data.load(onto)
        found = _features(run, of, images, layers)
        if per_class is not None:
            few = images.with_labels(per_class, draw)
            found["train"] = found["train"].take(per_class, draw)
            found["val"] = found["val"].take(len(few.val) // len(images.class_names), draw)
        parts = {
            name: (part.matrix(layers, None if of == "pixels" else side), part.labels.numpy())
            for name, part in found.items()
        }
        return probed(kind, parts, n_jobs=n_jobs)

    return load_or_measure(run, "probe", arguments, measure)


def feature_layers(model: Classifier) -> list[str]:
    """Names of the stem and of each block, in order: what a probe may take its features from."""
    return ["stem", *(f"blocks.{name}" for name, _ in model.blocks.named_children())]


def _features(
    run: Run, of: str, images: data.DataSet, wanted: Sequence[str]
) -> dict[str, Features]:
    """Of all layers, so that one pass over the images serves every choice among them."""
    if of == "pixels":
        splits = [getattr(images, name) for name in SPLITS]
        found = [Features({"pixels": split.images.half()}, split.labels) for split in splits]
        return dict(zip(SPLITS, found, strict=True))
    model = run.model() if of == "trained" else untrained(run.config, images)
    layers, precision = feature_layers(model), run.config.precision
    if not set(wanted) <= set(layers):
        raise FeatureError(f"layers are {', '.join(wanted)}: choose of {', '.join(layers)}")
    file = FOLDER / f"{of}-{run.config.name}-{images.name}.safetensors"
    return cached_features(model, images, layers, LARGEST_SIDE, file, precision=precision)
