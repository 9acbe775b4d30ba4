import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.svm import LinearSVC

from labutils.training.classifiers import untrained
from labutils.transfer import probes
from labutils.transfer.features import extract
from labutils.transfer.probes import (
    PROBES,
    Probe,
    feature_layers,
    first_of_each_class,
    fit_probe,
    pipeline,
    probe,
    probed,
)


@pytest.fixture(scope="module")
def parts():
    """Three classes that a linear boundary separates, in features of very different size."""
    matrix, labels = make_classification(
        900, 12, n_informative=8, n_classes=3, class_sep=2.0, random_state=0
    )
    matrix = (matrix * np.logspace(-3, 3, 12)).astype(np.float32)
    cuts = {"train": slice(500), "val": slice(500, 700), "test": slice(700, None)}
    return {name: (matrix[cut], labels[cut]) for name, cut in cuts.items()}


@pytest.mark.parametrize("kind", PROBES)
def test_every_probe_learns_whatever_the_scale_of_its_features(kind, parts):
    found = probed(kind, parts)
    assert found["test_accuracy"] > 0.7
    assert (found["images"], found["features"]) == (500, 12)
    labels = parts["test"][1]
    assert np.mean(np.array(found["class_accuracy"])[labels]) == pytest.approx(
        found["test_accuracy"], abs=1e-3
    )


class Counting(ClassifierMixin, BaseEstimator):
    """A classifier that tells how many images it was fitted on; only 2 is right."""

    fits = []

    def __init__(self, value):
        self.value = value

    def fit(self, matrix, labels):
        self.fits.append((self.value, len(labels)))
        self.classes_ = np.unique(labels)
        return self

    def predict(self, matrix):
        return np.full(len(matrix), 0 if self.value == 2 else 7)


def test_validation_chooses_on_a_part_and_then_all_images_are_fitted(monkeypatch, parts):
    """Mistakes 5 and 7 of the older reports: an SVM on a part, chosen by test images."""
    Counting.fits = []
    counting = Probe(lambda value, jobs: Counting(value), (1, 2, 3), chosen_on=10)
    monkeypatch.setitem(PROBES, "counting", counting)
    fitted, tried = fit_probe("counting", parts["train"], parts["val"])
    assert fitted[-1].value == 2 and list(tried) == [1, 2, 3]
    assert Counting.fits == [(1, 30), (2, 30), (3, 30), (2, 500)]


def test_test_images_decide_nothing(parts):
    other = parts | {"test": (parts["test"][0] * 0, parts["test"][1])}
    first, second = probed("ridge", parts), probed("ridge", other)
    assert first["tried"] == second["tried"]
    assert first["val_accuracy"] == second["val_accuracy"]
    assert first["test_accuracy"] != second["test_accuracy"]


def test_classes_fitted_side_by_side_are_the_svm_of_one_fit(parts):
    matrix, labels = parts["train"]
    split = pipeline("svm", 0.01, n_jobs=2).fit(matrix, labels)
    scaled = split[0].transform(matrix)
    whole = LinearSVC(C=0.01, dual=False, tol=0.1).fit(scaled, labels)
    assert (split.predict(matrix) == whole.predict(scaled)).all()


def test_first_of_each_class_are_as_many_of_each():
    labels = np.array([2, 0, 0, 2, 1, 0, 2, 1])
    assert first_of_each_class(labels, 2).tolist() == [0, 1, 2, 3, 4, 7]
    assert first_of_each_class(labels, None).tolist() == list(range(8))


@pytest.fixture
def run(store, source, sets, tmp_path, monkeypatch):
    monkeypatch.setattr(probes, "FOLDER", tmp_path / "features")
    return store.load(source)


def test_a_probe_is_of_the_stored_network_its_untrained_twin_or_of_pixels(run, sets):
    seen = {}

    def spy(kind, parts, *, n_jobs):
        seen.update(parts)
        return probed(kind, parts, n_jobs=n_jobs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probes, "probed", spy)
        layers = ["blocks.2", "blocks.3"]
        trained = probe(run, "ridge", onto="shapes20", layers=layers, side=2)
        images = sets["shapes20"]
        matrix = seen["test"][0]
        assert trained["images"] == len(images.train) and trained["features"] == 2 * 16 * 4
        maps = extract(run.model(), images.test.images, layers, 2, progress=False)
        expected = torch.cat([part.flatten(1) for part in maps.values()], 1).float().numpy()
        assert np.array_equal(matrix, expected)

        probe(run, "ridge", onto="shapes20", of="untrained", layers=layers, side=2)
        twin = untrained(run.config, images)
        maps = extract(twin, images.test.images, layers, 2, progress=False)
        expected = torch.cat([part.flatten(1) for part in maps.values()], 1).float().numpy()
        assert np.array_equal(seen["test"][0], expected)

        pixels = probe(run, "ridge", onto="shapes20", of="pixels")
        assert pixels["features"] == 3 * 32 * 32
        assert np.array_equal(seen["test"][0], images.test.images.flatten(1).float().numpy())


def test_few_labels_shrink_training_and_validation(run, monkeypatch):
    seen = {}
    monkeypatch.setattr(probes, "probed", lambda kind, parts, n_jobs: seen.update(parts))
    probe(run, "ridge", onto="shapes20", layers=["blocks.3"], per_class=2, draw=1)
    assert np.bincount(seen["train"][1]).tolist() == [2] * 20
    assert np.bincount(seen["val"][1]).tolist() == [1] * 20
    assert len(seen["test"][1]) == 20


def test_a_probe_is_fitted_once_for_what_decides_it(run, monkeypatch):
    ask = {"onto": "shapes20", "layers": ["blocks.3"]}
    first = probe(run, "nearest-mean", **ask)
    monkeypatch.setattr(probes, "probed", lambda *args, **options: {"test_accuracy": 2.0})
    assert probe(run, "nearest-mean", **ask, n_jobs=2) == first
    for change in ({"side": 2}, {"layers": ["stem"]}, {"per_class": 1}, {"of": "untrained"}):
        assert probe(run, "nearest-mean", **ask | change) == {"test_accuracy": 2.0}
    assert probe(run, "ridge", **ask) == {"test_accuracy": 2.0}


def test_layers_of_a_strong_network_are_its_stem_and_blocks(run):
    model = run.model()
    assert feature_layers(model) == ["stem", "blocks.0", "blocks.1", "blocks.2", "blocks.3"]
    assert set(feature_layers(model)) <= set(dict(model.named_modules()))
