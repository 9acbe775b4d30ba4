"""The one epoch loop: learning, order and batches, early stopping, divergence, resume."""

import math
import os
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from small_problem import (
    EVERYTHING,
    MLP,
    MUON,
    NOISE_TRAIN,
    NOISE_VAL,
    TRAIN,
    VAL,
    Interrupted,
    build,
    interrupt_after,
    measured,
    problem,
    same_weights,
    trained,
)
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from labutils.config.classifier import RunConfig
from labutils.training import classifiers, evaluate, fit, loop
from labutils.training.classifiers import Classification
from labutils.training.evaluation import Evaluation


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

    monkeypatch.setattr(classifiers, "evaluate", scripted)
    config = replace(MLP, epochs=len(losses), patience=patience)
    _, history = trained(config)
    assert (history.epochs, history.best_epoch, history.status) == (epochs, best, status)
    assert history.val_loss == losses[:epochs]


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
    step, calls = Classification.loss, []

    def infinite_once(self, indices):
        calls.append(len(indices))
        loss = step(self, indices)
        return loss + math.inf if len(calls) == 6 else loss  # the second of epoch 2

    monkeypatch.setattr(Classification, "loss", infinite_once)
    model, history = trained(MLP)
    assert all(map(math.isfinite, history.train_loss + history.val_loss))
    assert (history.status, history.epochs, history.best_epoch) == ("diverged", 2, 1)
    assert evaluate(model, *VAL).loss == pytest.approx(history.val_loss[0], rel=1e-6)
    assert "weights of epoch 1" in capsys.readouterr().out


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
