import hashlib
import math
from dataclasses import replace

import pytest
import torch

from labutils import data
from labutils.config.base import ConfigError
from labutils.config.fcn import FCNConfig
from labutils.data.canvases import draw_canvases
from labutils.fcn import training
from labutils.fcn.networks import classifier_config, load_detector
from labutils.fcn.pixels import mean_iou, pixel_confusion
from labutils.fcn.training import draw_for, pixel_labels, train_detector, weighted_cross_entropy
from labutils.runs.load import load_or_train
from labutils.runs.store import MissingRuns, RunError, Store
from labutils.training.inputs import TrainingError

TINY = FCNConfig(
    model="small-cnn", data="digits", width=4, canvases=24, size=40, epochs=2, batch_size=8
)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs", tmp_path / "scratch")


def test_canvases_of_a_configuration_are_those_it_names(digits):
    config = replace(TINY, number=(0, 3), scale=(0.6, 0.8), touching=0.5, clutter=0.5, size=70)
    canvases = draw_for(config, digits.train, 40, seed=3)
    assert canvases.images.shape == (40, 1, 70, 70) and canvases.labels.shape == (40, 3)
    assert (canvases.labels.max(1).values < 0).any() and (canvases.labels.min(1).values >= 0).any()
    clean = draw_for(replace(config, clutter=0.0), digits.train, 40, seed=3)
    assert (canvases.images != clean.images).flatten(1).any(1).sum() == 20
    touching = canvases.labels[20:]
    assert ((touching >= 0).sum(1) >= 1).all() and ((touching >= 0).sum(1) >= 2).sum() >= 14
    again, other = (draw_for(config, digits.train, 40, seed=seed) for seed in (3, 4))
    assert torch.equal(canvases.images, again.images)
    assert not torch.equal(canvases.images, other.images)


def test_without_background_the_digit_labels_its_whole_canvas(digits):
    canvases = draw_canvases(digits.train, 5, size=(40, 40), seed=0)
    indices = torch.tensor([4, 1])
    labels = pixel_labels(canvases, indices, background=False)
    assert labels.shape == (2, 40, 40)
    assert torch.equal(labels[:, 0, 0], canvases.labels[indices, 0])
    assert (labels == labels[:, :1, :1]).all()
    with_background = pixel_labels(canvases, indices, background=True)
    assert torch.equal(with_background, canvases.classes[indices].long())


def test_confusion_and_mean_iou_by_hand():
    labels = torch.tensor([[[0, 0], [1, 2]]])
    logits = torch.zeros(1, 4, 2, 2)
    for (row, column), answer in {(0, 0): 0, (0, 1): 1, (1, 0): 1, (1, 1): 2}.items():
        logits[0, answer, row, column] = 1.0
    confusion = pixel_confusion(logits, labels)
    expected = torch.zeros(11, 11, dtype=torch.int64)
    expected[0, 0] = expected[0, 1] = expected[1, 1] = expected[2, 2] = 1
    assert torch.equal(confusion, expected)
    assert mean_iou(confusion) == pytest.approx((1 / 2 + 1 / 2 + 1) / 3), "class 3 does not occur"


def test_a_detector_is_trained_stored_and_loaded(store):
    seen = []
    run = load_or_train(
        TINY,
        train_detector,
        store=store,
        keep="fp32",
        on_epoch=lambda epoch, values: seen.append((epoch, values["val_mean_iou"])),
        progress=False,
    )
    assert run.metrics["status"] == "finished" and run.metrics["epochs"] == 2
    assert [epoch for epoch, _ in seen] == [1, 2]
    assert run.history["val_mean_iou"] == pytest.approx([value for _, value in seen], rel=1e-5)
    for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds"):
        assert len(run.history[name]) == 2
    assert run.history["best_epoch"] == run.metrics["best_epoch"] == 2
    assert not {"layers", "layer_names", "first_gradient", "not_measured"} & set(run.history)
    assert 0 < run.metrics["test_mean_iou"] < 1 and 0 < run.metrics["test_accuracy"] <= 1
    network = load_detector(run)
    assert not network.training
    digits = data.load("digits")
    scored = training.Detection(network, digits, TINY).score(digits.test, training.TEST_SEED)
    assert scored.mean_iou == pytest.approx(run.metrics["test_mean_iou"], rel=1e-6)
    assert store.load_id(TINY.id).config == TINY and store.scan()[0][0].config == TINY


def test_training_makes_it_better():
    config = replace(TINY, canvases=200, epochs=6, learning_rate=3e-3, batch_size=20, width=8)
    outcome = train_detector(config, progress=False)
    assert outcome.history["train_loss"][-1] < 0.7 * outcome.history["train_loss"][0]
    assert outcome.history["val_mean_iou"][-1] > outcome.history["val_mean_iou"][0]


def test_an_unbroken_run_and_a_resumed_one_end_alike(tmp_path):
    whole = train_detector(TINY, progress=False)
    path = tmp_path / "checkpoint.pt"

    def stop(epoch, values):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_detector(TINY, checkpoint=path, on_epoch=stop, progress=False)
    resumed = train_detector(TINY, checkpoint=path, progress=False)
    for name in ("train_loss", "val_loss", "val_mean_iou"):
        assert resumed.history[name] == whole.history[name]
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name])


def test_each_epoch_draws_canvases_of_its_own(monkeypatch):
    drawn = []

    def spy(config, digits, count, seed, **options):
        canvases = draw_for(config, digits, count, seed, **options)
        drawn.append((seed, canvases.images))
        return canvases

    monkeypatch.setattr(training, "draw_for", spy)
    train_detector(TINY, progress=False)
    train_seeds = [seed for seed, images in drawn if seed < training.TRAIN_SEED]
    assert len(set(train_seeds)) == TINY.epochs
    images = [images for seed, images in drawn if seed < training.TRAIN_SEED]
    assert not torch.equal(*images)


def test_a_checkpoint_of_other_digits_is_refused(tmp_path, digits, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    train_detector(TINY, checkpoint=path, progress=False)
    flipped = replace(digits, train=replace(digits.train, images=digits.train.images.flip(0)))
    monkeypatch.setattr(data, "load", lambda name: flipped)
    with pytest.raises(TrainingError, match="another data set"):
        train_detector(TINY, checkpoint=path, progress=False)


def test_a_run_that_diverges_keeps_the_weights_before_it(capsys):
    outcome = train_detector(replace(TINY, learning_rate=1e30, optimizer="sgd"), progress=False)
    assert outcome.metrics["status"] == "diverged"
    assert "ends as diverged with the weights of epoch" in capsys.readouterr().out
    for split in ("val", "test"):  # of the weights that are kept
        assert math.isfinite(outcome.metrics[f"{split}_loss"])
        assert 0 <= outcome.metrics[f"{split}_mean_iou"] <= 1
    assert all(value.isfinite().all() for value in outcome.model.state_dict().values())


def test_it_starts_from_a_stored_classifier(store):
    source = replace(classifier_config(TINY), epochs=1)
    with pytest.raises(MissingRuns, match="train it first"):
        train_detector(replace(TINY, classifier=source.id), store=store, progress=False)
    run = load_or_train(source, store=store, progress=False)
    config = replace(TINY, classifier=source.id, learning_rate=1e-30, epochs=1)
    with pytest.raises(RunError, match="keeps no weights"):
        train_detector(config, store=store, progress=False)
    run = load_or_train(source, store=store, keep="fp32", progress=False)
    outcome = train_detector(config, store=store, progress=False)
    classifier = run.model()
    found = outcome.model.network.features.state_dict()
    for name, value in classifier.stem.state_dict().items():
        torch.testing.assert_close(found[f"0.{name}"], value)
    torch.testing.assert_close(outcome.model.network.normalize.mean, classifier.normalize.mean)


def test_a_classifier_of_another_build_is_refused(store):
    for options, message in (
        ({"unpadded": False}, "has unpadded False, but the detector needs True"),
        ({"dropout": 0.5}, "has dropout 0.5"),
        ({"width": 8}, "has width 8"),
    ):
        other = replace(classifier_config(TINY), epochs=1, **options)
        load_or_train(other, store=store, keep="fp32", progress=False)
        with pytest.raises(TrainingError, match=message):
            train_detector(replace(TINY, classifier=other.id), store=store, progress=False)
    detector = load_or_train(TINY, train_detector, store=store, keep="fp32", progress=False)
    config = replace(TINY, classifier=detector.config.id)
    with pytest.raises(TrainingError, match="has kind 'fcn', but the detector needs 'classifier'"):
        train_detector(config, store=store, progress=False)


def test_batch_norm_is_in_eval_mode_where_it_is_scored():
    config = replace(TINY, model="cnn", epochs=1)
    trained = training.Detection(training.build_detector(config), data.load("digits"), config)
    trained.model.train()
    before = {name: value.clone() for name, value in trained.model.state_dict().items()}
    trained.score(data.load("digits").val, 0)
    assert trained.model.training
    for name, value in trained.model.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("weight", [0.1, 1.0, 5.0])
def test_whatever_the_weights_the_best_scores_are_those_of_the_pixels(weight):
    labels = torch.tensor([0] * 6 + [1] * 3 + [2]).view(1, 2, 5)
    weights = torch.tensor([1.0, 1.0, weight])
    scores = torch.zeros(1, 3, 1, 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([scores], max_iter=100)

    def loss():
        optimizer.zero_grad()
        value = weighted_cross_entropy(scores.expand(1, 3, 2, 5), labels, weights)
        value.backward()
        return value

    optimizer.step(loss)
    assert scores.softmax(1).flatten().tolist() == pytest.approx([0.6, 0.3, 0.1], abs=1e-3)


def test_background_pixels_weigh_in_the_loss_as_they_are_told_to():
    logits = torch.zeros(1, 2, 1, 2)
    labels = torch.tensor([[[0, 1]]])
    weights = torch.tensor([1.0, 0.25])
    # scores 0 and log(1/4): the first pixel has probability 4/5, the second 1/5
    expected = (math.log(5 / 4) + 0.25 * math.log(5)) / 1.25
    assert weighted_cross_entropy(logits, labels, weights).item() == pytest.approx(expected)


def test_digits_are_turned_in_training_alone(digits, monkeypatch):
    asked = []
    original = training.draw_canvases

    def drawn(*args, **options):
        asked.append(options["rotation"])
        return original(*args, **options)

    monkeypatch.setattr(training, "draw_canvases", drawn)
    train_detector(replace(TINY, epochs=1, rotation=20), progress=False)
    assert asked[0] == 20 and set(asked[1:]) == {0}, "then scored on train, val and test"
    assert len(asked) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flip": True}, "no option flip"),
        ({"patience": 3}, "no option patience"),
        ({"number": (3, 1)}, "the smaller first"),
        ({"number": (-1, 1)}, "number"),
        ({"scale": (0.0, 1.0)}, "scale"),
        ({"background": False, "number": (0, 2)}, "label of its one digit"),
        ({"head": "dense"}, "choose one of sliding, deconvolution, skip"),
        ({"head": "skip", "model": "small-cnn"}, "take model cnn"),
        ({"data": "cifar10"}, "choose one of mnist, digits"),
        ({"background_weight": 0.0}, "background_weight"),
        ({"size": 20}, "size"),
        ({"clutter": 1.5}, "clutter"),
        ({"number": (1, 2.5)}, "number is 2.5: give a whole number"),
        ({"number": (1, True)}, "number is True"),
        ({"scale": (0.5, math.inf)}, "scale is inf: give a finite number"),
        ({"scale": (0.5, math.nan)}, "scale is nan: give a finite number"),
        ({"scale": (1.0, 3.0)}, "give a size of at least 84"),
        ({"touching": 0.5}, "needs two digits"),
        ({"rotation": -1.0}, "rotation"),
        ({"background": False, "background_weight": 0.5}, "background_weight 1"),
    ],
)
def test_a_configuration_that_cannot_be_run_says_why(options, message):
    with pytest.raises(ConfigError, match=message):
        FCNConfig(**options)


def test_whole_numbers_make_the_same_id_as_their_floats():
    assert FCNConfig(scale=(1, 2)).id == FCNConfig(scale=(1.0, 2.0)).id
    assert FCNConfig.from_dict(FCNConfig(scale=(1, 2)).to_dict()) == FCNConfig(scale=(1.0, 2.0))


def test_canvases_of_training_and_validation_are_those_that_stored_detectors_saw():
    """Which digits, where: another draw would orphan every stored detector and threshold."""
    config = FCNConfig(data="digits", number=(0, 3), scale=(0.7, 1.5), touching=0.25, clutter=0.25)
    digits, digest = data.load("digits"), hashlib.sha256()
    for split, rotation in ((digits.train, 10.0), (digits.val, 0.0)):
        drawn = draw_for(config, split, 200, 7, rotation=rotation)
        digest.update(drawn.labels.numpy().tobytes())
        digest.update(drawn.boxes.round().to(torch.int64).numpy().tobytes())
    assert digest.hexdigest()[:12] == "6dee1382fe78"
