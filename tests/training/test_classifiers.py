"""The recipe of a classifier, and what is recorded of it."""

import inspect
import json
import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from small_problem import (
    CLASSES,
    EVERYTHING,
    MLP,
    MUON,
    SHAPE,
    TEST,
    TRAIN,
    VAL,
    Interrupted,
    build,
    interrupt_after,
    problem,
    same_weights,
    trained,
)

from labutils import data
from labutils.config.classifier import RunConfig
from labutils.data.sets import pixel_statistics
from labutils.models.blocks import Whitening, weight_layers
from labutils.models.networks import build_model
from labutils.training import classifiers, evaluate, fit
from labutils.training.classifiers import train
from labutils.training.statistics import layer_statistics


@pytest.fixture
def data_set(monkeypatch):
    """A tiny data set behind every name."""
    splits = [data.Split(*part) for part in (TRAIN, VAL, TEST)]
    statistics = pixel_statistics(TRAIN[0])
    tiny = data.DataSet("digits", ("a", "b", "c"), *splits, *statistics)
    monkeypatch.setattr(data, "load", lambda name: tiny)
    return tiny


def test_recorded_losses_are_never_smoothed():
    config = replace(MLP, epochs=6, learning_rate=5e-3)
    plain, history = trained(config)
    smooth, smooth_history = trained(replace(config, label_smoothing=0.4))
    assert not same_weights(plain, smooth)
    for model, found in ((plain, history), (smooth, smooth_history)):
        with torch.no_grad():
            expected = F.cross_entropy(model(TRAIN[0]), TRAIN[1]).item()
        assert found.train_loss[-1] == pytest.approx(expected, rel=1e-5)
    assert smooth_history.train_loss[-1] > history.train_loss[-1]  # it was kept from certainty


def test_train_loss_is_that_of_the_first_5000_images():
    images, labels = problem(5_400, shape=(1, 3, 3))
    labels[5_000:] = 0
    config = RunConfig(depth=2, width=4, epochs=1, batch_size=600, learning_rate=0.01)
    model = build(config, (1, 3, 3))
    history = fit(model, (images, labels), (images[:50], labels[:50]), config, progress=False)
    first = evaluate(model, images[:5_000], labels[:5_000])
    assert history.train_loss == [first.loss] and history.train_accuracy == [first.accuracy]
    assert abs(evaluate(model, images, labels).loss - first.loss) > 1e-3


@pytest.mark.parametrize("config", [MLP, EVERYTHING], ids=["mlp", "everything"])
def test_history_has_a_value_an_epoch_and_layers_from_epoch_0(config):
    model, history = trained(config)
    assert history.epochs == config.epochs == history.best_epoch
    for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate"):
        assert len(getattr(history, name)) == config.epochs
    assert len(history.seconds) == config.epochs and min(history.seconds) > 0
    assert history.layer_names == list(weight_layers(model))
    assert set(history.layers) == set(layer_statistics(model, *TRAIN).values)
    for epochs in history.layers.values():
        assert [len(layers) for layers in epochs] == [config.depth] * (config.epochs + 1)
    untrained = layer_statistics(build(config), *TRAIN).values
    end = layer_statistics(model, *TRAIN).values
    for name, epochs in history.layers.items():
        assert epochs[0] == pytest.approx(untrained[name], rel=1e-4), name
        assert epochs[-1] == pytest.approx(end[name], rel=1e-4), name
    val = evaluate(model, *VAL)
    assert (history.val_loss[-1], history.val_accuracy[-1]) == pytest.approx(val, rel=1e-5)
    assert json.loads(json.dumps(history.to_dict())) == history.to_dict()


def test_the_first_gradient_is_kept_after_the_epochs_asked_for(tmp_path):
    config = replace(MLP, epochs=4, gradient_epochs=(0, 3))
    model, history = trained(config)
    assert list(history.first_gradient) == ["0", "3"]
    for epoch in (0, 3):
        norm = torch.tensor(history.first_gradient[str(epoch)]).norm().item()
        assert norm == pytest.approx(history.layers["gradient_norm"][epoch][0], rel=1e-5)
    assert torch.tensor(history.first_gradient["0"]).shape == model.stem[1].weight.shape
    _, without = trained(replace(config, gradient_epochs=()))
    assert without.first_gradient == {} and without.val_loss == history.val_loss
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(Interrupted):
        trained(config, checkpoint=checkpoint, on_epoch=interrupt_after(2))
    _, resumed = trained(config, checkpoint=checkpoint)
    assert resumed.first_gradient == history.first_gradient


def test_layer_statistics_are_of_512_training_images(monkeypatch):
    sizes = []
    original = classifiers.layer_statistics

    def spy(model, images, labels):
        sizes.append(len(labels))
        return original(model, images, labels)

    monkeypatch.setattr(classifiers, "layer_statistics", spy)
    images, labels = problem(600, shape=(1, 3, 3))
    config = RunConfig(depth=2, width=4, epochs=1)
    fit(build(config, (1, 3, 3)), (images, labels), (images, labels), config, progress=False)
    assert sizes == [512, 512]


def test_train_fits_the_whitening_to_training_images(data_set):
    outcome = train(replace(MUON, epochs=2), progress=False)
    whitening = outcome.model.stem[0]
    expected = Whitening(3)
    expected.adapt(outcome.model.normalize(TRAIN[0]))
    assert torch.equal(whitening.weight, expected.weight)


def test_the_test_set_is_evaluated_once_and_after_training(monkeypatch, data_set):
    """Mistake 5: the test set used for early stopping."""
    assert set(inspect.signature(fit).parameters) == {
        "model", "train", "val", "config", "device", "checkpoint", "on_epoch", "progress",
    }  # fmt: skip
    events, original_run, original = [], classifiers.run_epochs, classifiers.evaluate

    def spy(model, images, labels, **options):
        parts = {len(TRAIN[1]): "train", len(VAL[1]): "val", len(TEST[1]): "test"}
        events.append(parts[len(labels)])
        return original(model, images, labels, **options)

    def run_spy(*args, **options):
        history = original_run(*args, **options)
        events.append("fitted")
        return history

    monkeypatch.setattr(classifiers, "evaluate", spy)
    monkeypatch.setattr(classifiers, "run_epochs", run_spy)
    train(replace(MLP, data="digits", patience=1), progress=False)
    assert Counter(events)["test"] == 1
    assert events.index("test") > events.index("fitted") > 0


@pytest.mark.parametrize("patience", [None, 1])
def test_train_reports_validation_and_test_of_the_same_weights(data_set, patience):
    config = replace(MLP, data="digits", patience=patience, epochs=5, learning_rate=0.05)
    model, history, metrics = train(config, progress=False)
    val, test = evaluate(model, *VAL), evaluate(model, *TEST)
    assert (metrics["val_loss"], metrics["val_accuracy"]) == pytest.approx(val)
    assert (metrics["test_loss"], metrics["test_accuracy"]) == pytest.approx(test)
    assert metrics["val_loss"] == pytest.approx(history["val_loss"][metrics["best_epoch"] - 1])
    assert metrics["status"] == history["status"]
    assert metrics["epochs"] == len(history["val_loss"])
    assert metrics["seconds"] == pytest.approx(sum(history["seconds"]))
    assert metrics["parameters"] == sum(p.numel() for p in model.parameters())
    assert {"software", "hardware"} <= set(metrics)
    assert json.loads(json.dumps(metrics)) == metrics
    torch.testing.assert_close(model.normalize.mean.flatten(), data_set.mean)  # of its own set


def test_seconds_of_a_resumed_run_are_those_of_all_its_epochs(data_set, tmp_path):
    config, checkpoint = replace(MLP, data="digits"), tmp_path / "checkpoint.pt"
    with pytest.raises(Interrupted):
        train(config, checkpoint=checkpoint, on_epoch=interrupt_after(2), progress=False)
    state = torch.load(checkpoint)
    state["history"]["seconds"] = [500.0, 500.0]
    torch.save(state, checkpoint)
    metrics = train(config, checkpoint=checkpoint, progress=False).metrics
    assert 1_000 < metrics["seconds"] < 1_100
    assert 0 < metrics["test_seconds"] < 100


def test_a_huge_learning_rate_is_a_result_not_a_crash(capsys, data_set):
    config = replace(MLP, data="digits", optimizer="sgd", learning_rate=1e20)
    model, history, metrics = train(config, progress=False)
    assert history["status"] == metrics["status"] == "diverged"
    assert history["best_epoch"] == 0 and len(history["val_loss"]) == 1
    assert same_weights(model, build_model(config, SHAPE, 3, (data_set.mean, data_set.std)))
    assert not math.isfinite(history["train_loss"][0])
    assert math.isfinite(metrics["test_loss"]) and math.isfinite(metrics["val_loss"])
    assert len(history["layers"]["gradient_norm"]) == 2
    out = capsys.readouterr().out
    assert out.startswith(f"{config.label}: the loss is not finite in epoch 1.")
    assert "diverged with the weights of epoch 0; a lower learning rate" in out


def test_a_residual_stack_without_normalisation_explodes_and_says_so(capsys):
    """Mistake 13 of the older reports: the activations double with every block, unremarked."""
    config = RunConfig(
        depth=80, width=16, residual=True, init="he", optimizer="sgd", learning_rate=0.1, epochs=2
    )
    images, labels = problem(noise=True)
    model = build_model(config, SHAPE, CLASSES)
    history = fit(model, (images, labels), (images[:20], labels[:20]), config, progress=False)
    deviation = history.layers["activation_std"][0]
    assert deviation[-2] > 1e3 * deviation[0]  # before the first step already
    assert history.status == "diverged"
    assert "normalisation may help" in capsys.readouterr().out
