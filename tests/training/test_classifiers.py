import copy
import inspect
import json
import math
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import jaxtyping
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, OneCycleLR

from labutils import data
from labutils.config.classifier import RunConfig
from labutils.config.fit import FitConfig
from labutils.data.sets import pixel_statistics
from labutils.models.blocks import Whitening, weight_layers
from labutils.models.networks import build_model
from labutils.training import classifiers as training
from labutils.training import loop
from labutils.training.classifiers import fit, train
from labutils.training.evaluation import Evaluation, TrainingError, evaluate
from labutils.training.optimizers import learning_rate_at, make_optimizer, set_learning_rate

ROOT = Path(__file__).parents[2]
SHAPE, CLASSES = (3, 8, 8), 3
MLP = RunConfig(depth=4, width=16, epochs=3, batch_size=16)
EVERYTHING = RunConfig(  # dropout, batch norm, augmentation
    model="cnn", width=4, epochs=3, batch_size=16, flip=True, crop_padding=1, cutout=3
)


def problem(count=60, *, seed=0, shape=SHAPE, noise=False):
    """Noise and, unless it is to be learned by heart, a row of pixels that tells the class."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 200, (count, *shape), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (count,), generator=generator)
    if not noise:
        images[torch.arange(count), :, labels] = 255
    return images, labels


TRAIN, VAL, TEST = problem(60), problem(30, seed=1), problem(20, seed=2)
NOISE_TRAIN, NOISE_VAL = problem(40, noise=True), problem(30, seed=1, noise=True)


def build(config, shape=SHAPE):
    return build_model(config, shape, CLASSES)


def trained(config, train=TRAIN, val=VAL, **options):
    model = build(config)
    return model, fit(model, train, val, config, progress=False, **options)


def same_weights(model, other):
    mine, others = model.state_dict(), other.state_dict()
    return mine.keys() == others.keys() and all(torch.equal(mine[k], others[k]) for k in mine)


def measured(history):
    """All of a history but the clock's time."""
    return {name: value for name, value in history.to_dict().items() if name != "seconds"}


@pytest.fixture
def unchecked(monkeypatch):
    """Annotations are not checked, as outside of the tests."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def data_set(monkeypatch):
    """A tiny data set behind every name."""
    splits = [data.Split(*part) for part in (TRAIN, VAL, TEST)]
    statistics = pixel_statistics(TRAIN[0])
    tiny = data.DataSet("digits", ("a", "b", "c"), *splits, *statistics)
    monkeypatch.setattr(data, "load", lambda name: tiny)
    return tiny


# Learning


@pytest.mark.parametrize(
    "config",
    [
        RunConfig(depth=6, width=64, residual=True),
        RunConfig(model="convnet", depth=4, width=16, residual=True, norm="batch"),
        RunConfig(model="resnet", depth=8, width=8, residual=True),
    ],
    ids=["mlp", "convnet", "resnet"],
)
def test_overfits_64_samples(config):
    """Images and labels of pure noise: only a sound training learns them by heart."""
    config = replace(config, epochs=25, batch_size=16, learning_rate=5e-3, schedule="one-cycle")
    noise = problem(64, noise=True)
    _, history = trained(config, noise, NOISE_VAL)
    assert history.train_accuracy[-1] == 1 and history.train_loss[-1] < 0.05
    assert history.status == "finished"
    assert history.val_accuracy[-1] < 0.75  # there is nothing to generalise


def test_generalises_where_there_is_something_to_learn():
    _, history = trained(replace(MLP, epochs=20, learning_rate=0.01))
    assert history.val_accuracy[-1] > 0.85 and history.val_loss[-1] < history.val_loss[0]


@pytest.mark.parametrize(
    "config",
    [
        MLP,
        replace(MLP, schedule="one-cycle", optimizer="sgd", learning_rate=0.05, weight_decay=1e-3),
        replace(MLP, schedule="cosine", optimizer="adamw", label_smoothing=0.2, weight_decay=0.1),
        replace(MLP, norm="batch", seed=3, batch_size=59),
    ],
    ids=["adam", "sgd", "adamw", "batch-of-one"],
)
def test_fit_is_a_plain_loop(config):
    """The loop that a student would write, with PyTorch's schedulers, gives the same weights."""
    model, reference = build(config), build(config)
    history = fit(model, TRAIN, VAL, config, progress=False)
    steps = math.ceil(60 / config.batch_size)
    optimizer = {
        "adam": lambda p, **o: torch.optim.Adam(p, **o),
        "adamw": lambda p, **o: torch.optim.AdamW(p, **o),
        "sgd": lambda p, **o: torch.optim.SGD(p, momentum=0.9, nesterov=True, **o),
    }[config.optimizer](
        reference.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    total = steps * config.epochs
    scheduler = {
        "constant": lambda: None,
        "cosine": lambda: CosineAnnealingLR(optimizer, total),
        "one-cycle": lambda: OneCycleLR(
            optimizer, config.learning_rate, total, cycle_momentum=False
        ),
    }[config.schedule]()
    reference.train()
    rates = []
    for epoch in range(config.epochs):
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + epoch)
        for indices in torch.randperm(60, generator=generator).split(config.batch_size):
            if len(indices) > 1:
                loss = F.cross_entropy(
                    reference(TRAIN[0][indices]),
                    TRAIN[1][indices],
                    label_smoothing=config.label_smoothing,
                )
                optimizer.zero_grad()
                loss.backward()
                rate = optimizer.param_groups[0]["lr"]
                optimizer.step()
            if scheduler:
                scheduler.step()
        rates.append(rate)
    for name, value in reference.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    assert history.learning_rate == pytest.approx(rates, rel=1e-6)


@pytest.mark.parametrize("config", [MLP, EVERYTHING], ids=["mlp", "everything"])
def test_the_seed_alone_decides(config):
    torch.manual_seed(98)  # both set: else this hangs on what the test before has drawn
    model, history = trained(config)
    torch.manual_seed(99)
    again, same = trained(config)
    assert measured(same) == measured(history) and same_weights(again, model)
    # the same initial weights, other order and augmentation
    other = build(config)
    fit(other, TRAIN, VAL, replace(config, seed=1), progress=False)
    assert not same_weights(other, model)


def test_training_leaves_the_global_generator_and_the_images_alone():
    before, images = torch.get_rng_state(), TRAIN[0].clone()
    trained(EVERYTHING)
    assert torch.equal(torch.get_rng_state(), before) and torch.equal(TRAIN[0], images)


def seen_in_training(model, kept):
    """Images of every training step, without those of evaluation and of the statistics."""

    def keep(module, inputs):
        if module.training:
            kept.append(inputs[0].clone())

    model.register_forward_pre_hook(keep)


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"),
    [(10, 4, [4, 4, 2]), (9, 4, [4, 4]), (8, 4, [4, 4]), (3, 1, [1, 1, 1]), (5, 100, [5])],
    ids=["last-smaller", "one-left-over", "even", "single", "whole"],
)
def test_batches_of_an_epoch(count, batch_size, sizes):
    config, kept = RunConfig(depth=2, width=4, epochs=2, batch_size=batch_size), []
    model = build(config)
    seen_in_training(model, kept)
    images, labels = TRAIN[0][:count], TRAIN[1][:count]
    fit(model, (images, labels), VAL, config, progress=False)
    assert [len(batch) for batch in kept] == sizes * 2
    epochs = [torch.cat(kept[: len(sizes)]), torch.cat(kept[len(sizes) :])]
    numbers = [
        [(images == image).flatten(1).all(1).nonzero().item() for image in e] for e in epochs
    ]
    assert all(len(set(order)) == sum(sizes) for order in numbers)  # each image once
    if sum(sizes) > 3:
        assert numbers[0] != numbers[1]  # in an order of each epoch's own


def test_augmentation_reaches_the_training_steps_alone():
    kept, model = [], build(EVERYTHING)
    seen_in_training(model, kept)
    history = fit(model, TRAIN, VAL, EVERYTHING, progress=False)
    known = {image.numpy().tobytes() for image in TRAIN[0]}
    augmented = [
        image.contiguous().numpy().tobytes() not in known for batch in kept for image in batch
    ]
    assert sum(augmented) / len(augmented) > 0.9
    assert history.train_loss[-1] == pytest.approx(evaluate(model, *TRAIN).loss, rel=1e-5)


# What is recorded


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
    assert set(history.layers) == set(training.layer_statistics(model, *TRAIN))
    for epochs in history.layers.values():
        assert [len(layers) for layers in epochs] == [config.depth] * (config.epochs + 1)
    untrained = training.layer_statistics(build(config), *TRAIN)
    end = training.layer_statistics(model, *TRAIN)
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
    original = training.layer_statistics

    def spy(model, images, labels):
        sizes.append(len(labels))
        return original(model, images, labels)

    monkeypatch.setattr(training, "layer_statistics", spy)
    images, labels = problem(600, shape=(1, 3, 3))
    config = RunConfig(depth=2, width=4, epochs=1)
    fit(build(config, (1, 3, 3)), (images, labels), (images, labels), config, progress=False)
    assert sizes == [512, 512]


def test_on_epoch_gets_each_epoch_and_its_scalars():
    calls = []
    _, history = trained(MLP, on_epoch=lambda epoch, scalars: calls.append((epoch, dict(scalars))))
    assert [epoch for epoch, _ in calls] == [1, 2, 3]
    for epoch, scalars in calls:
        assert set(scalars) == {
            "train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate",
        }  # fmt: skip
        assert all(value == getattr(history, name)[epoch - 1] for name, value in scalars.items())


def test_progress_is_one_bar_and_can_be_silenced(capsys):
    trained(MLP)
    assert capsys.readouterr() == ("", "")
    fit(build(MLP), TRAIN, VAL, MLP)
    out, err = capsys.readouterr()
    assert not out and MLP.label in err and "12/12" in err and "val_accuracy" in err


# Schedules


@pytest.mark.parametrize("total", [2, 3, 4, 5, 10, 33, 100, 937])
@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "one-cycle"])
def test_schedules_are_pytorchs(schedule, total):
    config = FitConfig(schedule=schedule, learning_rate=0.3)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    if schedule == "one-cycle":
        scheduler = OneCycleLR(optimizer, 0.3, total, cycle_momentum=False)
    elif schedule == "cosine":
        scheduler = CosineAnnealingLR(optimizer, total)
    elif schedule == "linear":
        scheduler = LinearLR(optimizer, 1, 0, total)
    rates = []
    for step in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if schedule != "constant" and step < total - 1:
            scheduler.step()
    found = [learning_rate_at(config, step, total) for step in range(total)]
    assert found == pytest.approx(rates, rel=1e-6, abs=1e-9)
    assert max(found) <= 0.3 and min(found) > 0


def test_a_single_step_has_a_learning_rate():
    for schedule in ("constant", "linear", "cosine", "one-cycle"):
        assert 0 < learning_rate_at(FitConfig(schedule=schedule), 0, 1) <= 1e-3


def test_one_rate_for_all_where_none_is_given():
    optimizer = make_optimizer(nn.Linear(2, 2), FitConfig())
    set_learning_rate(optimizer, 0.7)
    assert [group["lr"] for group in optimizer.param_groups] == [0.7]


def test_train_fits_the_whitening_to_training_images(data_set):
    outcome = train(replace(MUON, epochs=2), progress=False)
    whitening = outcome.model.stem[0]
    expected = Whitening(3)
    expected.adapt(outcome.model.normalize(TRAIN[0]))
    assert torch.equal(whitening.weight, expected.weight)


def test_optimizers_are_those_of_the_configuration():
    model = nn.Linear(2, 2)
    sgd = make_optimizer(model, FitConfig(optimizer="sgd", momentum=0.8, weight_decay=0.1))
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.defaults["momentum"], sgd.defaults["nesterov"]) == (0.8, True)
    assert sgd.defaults["weight_decay"] == 0.1
    adamw = make_optimizer(model, FitConfig(optimizer="adamw", weight_decay=0.2))
    assert type(adamw) is torch.optim.AdamW and adamw.defaults["weight_decay"] == 0.2
    assert type(make_optimizer(model, FitConfig())) is torch.optim.Adam


# Evaluation


def test_evaluate_is_in_eval_mode_whatever_the_batches():
    """Mistake 2: with dropout and batch norm on, the result depends on chance and batch."""
    model, _ = trained(EVERYTHING)
    model.train()
    whole = evaluate(model, *VAL)
    order = torch.randperm(len(VAL[1]), generator=torch.Generator().manual_seed(0))
    for size in (1, 7, 1_000):
        found = evaluate(model, VAL[0][order], VAL[1][order], batch_size=size)
        assert found == pytest.approx(whole, rel=1e-4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate(model, *VAL)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    with torch.no_grad():
        logits = model.eval()(VAL[0])
    expected = F.cross_entropy(logits, VAL[1]).item()
    share = (logits.argmax(1) == VAL[1]).float().mean().item()
    assert whole == pytest.approx((expected, share), rel=1e-4)


@pytest.mark.parametrize("mode", [True, False])
def test_evaluate_restores_the_mode_of_each_module(mode):
    model = build(EVERYTHING).train(mode)
    model.blocks.train(not mode)  # a frozen part stays frozen
    before = [module.training for module in model.modules()]
    evaluate(model, *VAL)
    assert [module.training for module in model.modules()] == before
    with pytest.raises(TrainingError):
        evaluate(model, VAL[0], VAL[1] + 1)
    assert [module.training for module in model.modules()] == before


def test_evaluate_builds_no_graph_and_fit_ends_in_eval_mode():
    model, _ = trained(MLP)
    assert not any(module.training for module in model.modules())
    grads = []
    model.register_forward_hook(lambda m, i, out: grads.append(out.requires_grad))
    evaluate(model, *VAL)
    assert grads == [False]


# Early stopping


def test_early_stopping_restores_the_best_weights_by_copy():
    """Mistake 6: "best" weights kept by reference are the last."""
    config = replace(MLP, patience=2, epochs=30, learning_rate=5e-3, width=64)
    model, history = trained(config, NOISE_TRAIN, NOISE_VAL)
    assert history.status == "stopped_early"
    assert history.epochs == history.best_epoch + 2 < 30
    best = min(history.val_loss)
    assert history.val_loss[history.best_epoch - 1] == best < history.val_loss[-1]
    assert evaluate(model, *NOISE_VAL).loss == pytest.approx(best, rel=1e-6)
    # the same as a training of just so many epochs
    short = replace(config, patience=None, epochs=history.best_epoch)
    assert same_weights(model, trained(short, NOISE_TRAIN, NOISE_VAL)[0])


def test_batch_norm_statistics_are_restored_with_the_weights():
    config = replace(EVERYTHING, patience=2, epochs=30, learning_rate=0.02)
    model, history = trained(config, NOISE_TRAIN, NOISE_VAL)
    assert history.best_epoch < history.epochs
    assert evaluate(model, *NOISE_VAL).loss == pytest.approx(min(history.val_loss), rel=1e-6)


def test_without_patience_all_epochs_run_and_the_last_weights_stay():
    config = replace(MLP, epochs=12, learning_rate=5e-3, width=64)
    model, history = trained(config, NOISE_TRAIN, NOISE_VAL)
    assert (history.epochs, history.best_epoch, history.status) == (12, 12, "finished")
    assert history.val_loss[-1] > min(history.val_loss)
    assert evaluate(model, *NOISE_VAL).loss == pytest.approx(history.val_loss[-1], rel=1e-6)


@pytest.mark.parametrize(
    ("losses", "patience", "epochs", "best", "status"),
    [
        ([3, 2, 2.5, 1.9, 2, 2, 2, 0], 3, 7, 4, "stopped_early"),
        ([2, 2, 2, 0], 2, 3, 1, "stopped_early"),  # as low is not lower
        ([1, 2, 0, 0], 1, 2, 1, "stopped_early"),
        ([4, 3, 2, 1], 1, 4, 4, "finished"),
        ([1, 2, 2, 2], 4, 4, 1, "finished"),
        ([1, 2, 2, 2], None, 4, 4, "finished"),
    ],
)
def test_patience_counts_epochs_without_a_lower_validation_loss(
    monkeypatch, losses, patience, epochs, best, status
):
    values = iter(losses)

    def scripted(model, images, labels, **options):
        return Evaluation(next(values) if len(labels) == len(VAL[1]) else 1.0, 0.5)

    monkeypatch.setattr(training, "evaluate", scripted)
    config = replace(MLP, epochs=len(losses), patience=patience)
    _, history = trained(config)
    assert (history.epochs, history.best_epoch, history.status) == (epochs, best, status)
    assert history.val_loss == losses[:epochs]


def test_the_test_set_is_evaluated_once_and_after_training(monkeypatch, data_set):
    """Mistake 5: the test set used for early stopping."""
    assert set(inspect.signature(fit).parameters) == {
        "model", "train", "val", "config", "device", "checkpoint", "on_epoch", "progress",
    }  # fmt: skip
    events, original_fit, original = [], training.fit, training.evaluate

    def spy(model, images, labels, **options):
        parts = {len(TRAIN[1]): "train", len(VAL[1]): "val", len(TEST[1]): "test"}
        events.append(parts[len(labels)])
        return original(model, images, labels, **options)

    def fit_spy(*args, **options):
        history = original_fit(*args, **options)
        events.append("fitted")
        return history

    monkeypatch.setattr(training, "evaluate", spy)
    monkeypatch.setattr(training, "fit", fit_spy)
    train(replace(MLP, data="digits", patience=1), progress=False)
    assert Counter(events)["test"] == 1
    assert events.index("test") > events.index("fitted") > 0


# The recipe


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


# A run that diverges


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


@pytest.mark.parametrize("patience", [None, 5])
def test_a_late_divergence_keeps_the_last_finite_weights(monkeypatch, capsys, patience):
    config = replace(MLP, epochs=6, patience=patience)
    expected, _ = trained(replace(config, epochs=2))
    calm = 2 * math.ceil(60 / 16)
    monkeypatch.setattr(
        loop, "learning_rate_at", lambda config, step, total: 1e-3 if step < calm else 1e30
    )
    model, history = trained(config)
    assert (history.status, history.epochs, history.best_epoch) == ("diverged", 3, 2)
    assert same_weights(model, expected)
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    assert math.isnan(history.train_loss[-1]) and math.isfinite(history.train_loss[1])
    assert "weights of epoch 2" in capsys.readouterr().out


def test_one_training_loss_that_is_not_finite_is_enough(monkeypatch, capsys):
    """Even where the weights survive it and every evaluation is finite."""
    step, calls = training.Classification.loss, []

    def infinite_once(self, indices):
        calls.append(len(indices))
        loss = step(self, indices)
        return loss + math.inf if len(calls) == 6 else loss  # the second of epoch 2

    monkeypatch.setattr(training.Classification, "loss", infinite_once)
    model, history = trained(MLP)
    assert all(map(math.isfinite, history.train_loss + history.val_loss))
    assert (history.status, history.epochs, history.best_epoch) == ("diverged", 2, 1)
    assert evaluate(model, *VAL).loss == pytest.approx(history.val_loss[0], rel=1e-6)
    assert "weights of epoch 1" in capsys.readouterr().out


# Going on after a kill


class Interrupted(Exception):
    pass


def interrupt_after(last):
    def on_epoch(epoch, scalars):
        if epoch == last:
            raise Interrupted

    return on_epoch


MUON = RunConfig(
    model="strong", width=4, residual=True, init="partial-identity", optimizer="muon",
    learning_rate=0.2, momentum=0.6, bias_learning_rate=0.1, head_learning_rate=0.05,
    schedule="linear", flip=True, alternating_flip=True, crop_padding=2, epochs=4,
    padding_mode="reflect", batch_size=16, precision="bf16",
)  # fmt: skip

RESUMED = {
    "muon": MUON,
    "everything": replace(EVERYTHING, patience=3, epochs=30, learning_rate=0.02),
    "sgd": replace(MLP, optimizer="sgd", schedule="one-cycle", learning_rate=0.05, epochs=4),
    "bf16": RunConfig(
        model="resnet", depth=8, width=4, residual=True, optimizer="adamw", weight_decay=0.1,
        schedule="cosine", precision="bf16", epochs=3, batch_size=16, crop_padding=1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("config", RESUMED.values(), ids=RESUMED)
def test_an_interrupted_run_goes_on_to_the_same_numbers(config, tmp_path):
    unbroken_model, unbroken = trained(config, NOISE_TRAIN, NOISE_VAL)
    if config.patience:
        assert unbroken.status == "stopped_early"
    for stop in {1, 2, unbroken.epochs - 1, unbroken.epochs}:
        checkpoint, calls = tmp_path / f"{stop}" / "checkpoint.pt", []
        with pytest.raises(Interrupted):
            trained(
                config,
                NOISE_TRAIN,
                NOISE_VAL,
                checkpoint=checkpoint,
                on_epoch=interrupt_after(stop),
            )
        torch.manual_seed(stop)  # nor does the state of a new process matter
        model = build(replace(config, seed=7))  # its weights come from the checkpoint
        history = fit(
            model,
            NOISE_TRAIN,
            NOISE_VAL,
            config,
            checkpoint=checkpoint,
            on_epoch=lambda epoch, scalars, calls=calls: calls.append(epoch),
            progress=False,
        )
        assert measured(history) == measured(unbroken)
        assert same_weights(model, unbroken_model)
        assert calls == list(range(stop + 1, unbroken.epochs + 1))
        assert len(history.seconds) == history.epochs
        assert os.listdir(checkpoint.parent) == ["checkpoint.pt"]  # no temporary file is left


def test_a_run_interrupted_after_every_epoch_is_still_the_same(tmp_path):
    config = replace(EVERYTHING, epochs=4)
    unbroken_model, unbroken = trained(config)
    for epoch in range(1, 5):
        with pytest.raises(Interrupted):
            trained(config, checkpoint=tmp_path / "c.pt", on_epoch=interrupt_after(epoch))
    model, history = trained(config, checkpoint=tmp_path / "c.pt")
    assert measured(history) == measured(unbroken) and same_weights(model, unbroken_model)


def test_a_diverged_run_is_still_diverged_when_it_is_loaded_again(tmp_path, capsys):
    config = replace(MLP, optimizer="sgd", learning_rate=1e20)
    trained(config, checkpoint=tmp_path / "c.pt")
    model, history = trained(config, checkpoint=tmp_path / "c.pt")
    assert (history.status, history.epochs) == ("diverged", 1)
    assert same_weights(model, build(config))
    capsys.readouterr()


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, "tests/training")
import torch
torch.set_num_threads(1)
from labutils.training import classifiers as training
from test_classifiers import KILLED_CONFIG, NOISE_TRAIN, NOISE_VAL, build

def kill_at(function, count):
    calls = 0
    def wrapped(*args):
        nonlocal calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args)
    return wrapped

if sys.argv[2] == "step":  # the second of the third epoch's three
    training.Classification.loss = kill_at(training.Classification.loss, 8)
else:  # the third epoch's checkpoint is written, but not yet in its place
    os.replace = kill_at(os.replace, 3)
training.fit(build(KILLED_CONFIG), NOISE_TRAIN, NOISE_VAL, KILLED_CONFIG,
             checkpoint=Path(sys.argv[1]), progress=False)
"""
KILLED_CONFIG = replace(EVERYTHING, epochs=5, patience=4)


@pytest.mark.parametrize("where", ["step", "save"])
def test_a_process_killed_with_signal_9_goes_on_to_the_same_numbers(where, tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, checkpoint, where], cwd=ROOT, capture_output=True, text=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(torch.load(checkpoint)["history"]["val_loss"]) == 2
    calls = []
    model, history = trained(
        KILLED_CONFIG,
        NOISE_TRAIN,
        NOISE_VAL,
        checkpoint=checkpoint,
        on_epoch=lambda epoch, scalars: calls.append(epoch),
    )
    unbroken_model, unbroken = trained(KILLED_CONFIG, NOISE_TRAIN, NOISE_VAL)
    assert measured(history) == measured(unbroken) and same_weights(model, unbroken_model)
    assert calls == list(range(3, unbroken.epochs + 1))


def test_a_checkpoint_changes_no_number(tmp_path):
    model, history = trained(EVERYTHING)
    other, same = trained(EVERYTHING, checkpoint=tmp_path / "deep" / "c.pt")
    assert measured(history) == measured(same) and same_weights(model, other)


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path):
    checkpoint = tmp_path / "c.pt"
    trained(MLP, checkpoint=checkpoint)
    other = replace(MLP, seed=1)
    with pytest.raises(TrainingError, match=f"another configuration.*{MLP.id}, not {other.id}"):
        trained(other, checkpoint=checkpoint)
    assert checkpoint.exists()


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    config, checkpoint = FitConfig(epochs=1), tmp_path / "c.pt"
    fit(build(MLP), TRAIN, VAL, config, checkpoint=checkpoint, progress=False)
    with pytest.raises(TrainingError, match="another network: delete it"):
        fit(build(replace(MLP, width=8)), TRAIN, VAL, config, checkpoint=checkpoint, progress=False)


def test_a_checkpoint_from_before_a_field_was_added_is_taken(tmp_path):
    checkpoint, calls = tmp_path / "c.pt", []
    with pytest.raises(Interrupted):
        trained(MLP, checkpoint=checkpoint, on_epoch=interrupt_after(2))
    state = torch.load(checkpoint)
    del state["config"]["stages"]
    torch.save(state, checkpoint)
    trained(MLP, checkpoint=checkpoint, on_epoch=lambda epoch, scalars: calls.append(epoch))
    assert calls == [3]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "other-content"])
def test_a_damaged_checkpoint_is_named_and_training_starts_afresh(damage, tmp_path):
    checkpoint = tmp_path / "c.pt"
    expected = measured(trained(MLP, checkpoint=checkpoint)[1])
    content = checkpoint.read_bytes()
    if damage == "other-content":
        torch.save({"weights": torch.ones(3)}, checkpoint)
    else:
        broken = {"truncated": content[: len(content) // 2], "empty": b"", "text": b"hello"}
        checkpoint.write_bytes(broken[damage])
    with pytest.warns(UserWarning, match="c.pt cannot be read .*starts from the beginning"):
        _, history = trained(MLP, checkpoint=checkpoint)
    assert measured(history) == expected
    _, again = trained(MLP, checkpoint=checkpoint)  # and it is whole again
    assert again.epochs == 3


# One's own model, and what does not fit


def test_ones_own_model_on_ones_own_tensors():
    """As the README shows it; floats from 0 to 1 are as good as bytes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    images = TRAIN[0] / 255
    config = FitConfig(epochs=5, learning_rate=5e-3, batch_size=16)
    history = fit(model, (images, TRAIN[1]), (VAL[0] / 255, VAL[1]), config, progress=False)
    assert history.train_accuracy[-1] > 0.9
    assert history.layer_names == ["1", "3"]


@pytest.mark.parametrize("option", [{"flip": True}, {"crop_padding": 1}, {"cutout": 2}])
def test_augmentation_of_floats_is_refused(option):
    floats = (TRAIN[0] / 255, TRAIN[1])
    with pytest.raises(TrainingError, match="augmentation needs uint8 images"):
        trained(replace(MLP, **option), floats)
    trained(replace(MLP, epochs=1), floats)


IMAGES, LABELS = VAL
UNFIT = {
    "no-channels": (IMAGES[:, 0], LABELS, r"images are \(30, 8, 8\)"),
    "fewer-labels": (IMAGES, LABELS[:-1], r"labels \(29,\)"),
    "column-of-labels": (IMAGES, LABELS[:, None], r"labels \(30, 1\)"),
    "none": (IMAGES[:0], LABELS[:0], "with n at least 1"),
    "float-labels": (IMAGES, LABELS.float(), "labels are torch.float32"),
    "int32-labels": (IMAGES, LABELS.int(), "labels are torch.int32"),
    "negative-labels": (IMAGES, LABELS - 1, "the smallest -1; give class indices, int64 from 0"),
    "int64-images": (IMAGES.long(), LABELS, r"images are torch.int64; give uint8"),
    "too-many-classes": (IMAGES, LABELS + 1, r"a label is 3, but the model has 3 classes"),
}


@pytest.mark.parametrize(("images", "labels", "message"), UNFIT.values(), ids=UNFIT)
def test_what_does_not_fit_is_refused_before_anything_is_trained(
    unchecked, images, labels, message
):
    model = build(MLP)
    before = copy.deepcopy(model)
    for part, given in (("train", ((images, labels), VAL)), ("val", (TRAIN, (images, labels)))):
        with pytest.raises(TrainingError, match=f"^{part}: .*{message}"):
            fit(model, *given, MLP, progress=False)
    with pytest.raises(TrainingError, match=f"^evaluate: .*{message}"):
        evaluate(model, images, labels)
    assert same_weights(model, before)


def test_a_model_without_logits_a_class_is_refused(unchecked):
    model = nn.Sequential(nn.Conv2d(3, CLASSES, 1))
    with pytest.raises(TrainingError, match=r"output is \(1, 3, 8, 8\); give a model whose output"):
        fit(model, (TRAIN[0] / 255, TRAIN[1]), VAL, FitConfig(), progress=False)


def test_a_wrong_type_is_caught_by_the_annotations_while_testing():
    with pytest.raises(jaxtyping.TypeCheckError):
        evaluate(build(MLP), IMAGES, LABELS.float())


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
