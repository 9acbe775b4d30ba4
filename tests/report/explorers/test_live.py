import time
from dataclasses import replace

import pytest

from labutils import data
from labutils.models.networks import build_model
from labutils.report.explorers import live as module
from labutils.report.explorers.live import TrainLive
from labutils.training.classifiers import fit


@pytest.fixture
def digits():
    return data.load("digits")


@pytest.fixture
def live(digits):
    widget = TrainLive(digits, depth=4, epochs=2)
    yield widget
    widget.stop()
    widget.wait()


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_training_runs_to_its_end(live):
    waiting = bytes(live.picture.value)
    assert waiting.startswith(b"\x89PNG") and "wait for the Train button" in live.status.value
    live.train_button.click()
    live.wait()
    assert not live.running
    assert live.progress.value == live.progress.max == 4
    assert bytes(live.picture.value) != waiting
    assert "Finished" in live.status.value
    for kind in ("plain", "residual"):
        history = live.histories[kind]
        assert len(history["train_loss"]) == 2
        assert f"{kind}: training loss {history['train_loss'][-1]:.3f}" in live.status.value
    assert (live.train_button.disabled, live.stop_button.disabled) == (False, True)


def test_its_numbers_are_those_of_an_ordinary_training(live, digits):
    live.train()
    live.wait()
    for residual, kind in ((False, "plain"), (True, "residual")):
        config = replace(live.base, residual=residual)
        model = build_model(config, digits.image_shape, 10, (digits.mean, digits.std))
        train, val = ((part.images, part.labels) for part in (digits.train, digits.val))
        history = fit(model, train, val, config, progress=False)
        assert live.histories[kind]["train_loss"] == history.train_loss


def test_stop_ends_it_early_and_it_can_begin_anew(digits):
    live = TrainLive(digits, depth=4, epochs=500)
    live.train_button.click()
    assert (live.train_button.disabled, live.stop_button.disabled) == (True, False)
    live.train()  # a second press changes nothing
    wait_until(lambda: live.progress.value >= 2)
    live.stop_button.click()
    live.wait()
    assert not live.running and "Stopped" in live.status.value
    done = live.progress.value
    assert 2 <= done < 20
    assert (live.train_button.disabled, live.stop_button.disabled) == (False, True)
    live.train()
    assert live.progress.value <= 1
    live.stop()
    live.wait()


def test_the_networks_take_turns(digits, monkeypatch):
    order = []
    live = TrainLive(digits, depth=4, epochs=3)
    monkeypatch.setattr(live, "_say", lambda text: order.append(text))
    live.train()
    live.wait()
    kinds = ["plain" if "the plain" in text else "residual" for text in order[:-1]]
    assert kinds == ["plain", "residual"] * 3


@pytest.fixture(params=["plain", "residual"])
def diverges(request, monkeypatch):
    """One of the networks, whose loss is not a number from its first epoch on."""

    def one_diverges(config, *rest):
        model = build_model(config, *rest)
        if config.residual == (request.param == "residual"):
            model.head[-1].register_forward_hook(lambda m, i, out: out * float("nan"))
        return model

    monkeypatch.setattr(module, "build_model", one_diverges)
    return request.param


def test_one_may_end_before_the_other(digits, diverges):
    live = TrainLive(digits, depth=4, epochs=4)
    live.train()
    live.wait()
    assert not live.running and "Finished" in live.status.value
    epochs = {kind: len(history["val_loss"]) for kind, history in live.histories.items()}
    assert epochs.pop(diverges) == 1 and list(epochs.values()) == [4]
    assert (live.train_button.disabled, live.stop_button.disabled) == (False, True)


def test_stop_is_heard_when_one_has_ended(digits, diverges):
    live = TrainLive(digits, depth=4, epochs=500)
    live.train()
    wait_until(lambda: live.progress.value >= 4)
    live.stop()
    live.wait()
    assert not live.running and "Stopped" in live.status.value and live.progress.value < 20


def test_networks_that_stop_early_end_each_at_its_own_epoch(digits):
    live = TrainLive(digits, depth=4, epochs=40)
    live.base = replace(live.base, patience=1, learning_rate=0.05)
    live.train()
    live.wait()
    assert not live.running and "Finished" in live.status.value
    for history in live.histories.values():
        losses = history["val_loss"]
        assert len(losses) < 40 and losses[-1] >= min(losses[:-1])


def test_an_error_is_shown_and_ends_both(live, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("out of <memory>")

    monkeypatch.setattr(module, "fit", broken)
    live.train()
    live.wait()
    assert "RuntimeError: out of &lt;memory&gt;" in live.status.value
    assert not live.running and not live.train_button.disabled


@pytest.mark.slow
def test_the_pair_of_the_notebook_ends_as_it_says(digits):
    """With its fixed seed the plain network stays at chance, and the residual one learns."""
    live = TrainLive(digits)
    live.train()
    live.wait()
    assert max(live.histories["plain"]["val_accuracy"]) < 0.2
    assert live.histories["residual"]["val_accuracy"][-1] > 0.9
