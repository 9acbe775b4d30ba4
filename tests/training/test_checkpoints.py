"""Checkpoints: whole or not at all, of one training, and nobody else's file."""

import copy
import errno
import os
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_problem import (
    EVERYTHING,
    MLP,
    NOISE_TRAIN,
    NOISE_VAL,
    TRAIN,
    VAL,
    Interrupted,
    build,
    interrupt_after,
    measured,
    same_weights,
    trained,
)
from torch import nn

from labutils.config.fit import FitConfig
from labutils.data.whole_files import Unwritable
from labutils.training import fit
from labutils.training.inputs import TrainingError

ROOT = Path(__file__).parents[2]
KILLED_CONFIG = replace(EVERYTHING, epochs=5, patience=4)
KILLED = """
import os, signal, sys
sys.path += ["tests", "tests/training"]
import torch
torch.set_num_threads(1)
from labutils.training.classifiers import Classification, fit
from test_checkpoints import KILLED_CONFIG, NOISE_TRAIN, NOISE_VAL, build

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
    Classification.loss = kill_at(Classification.loss, 8)
else:  # the third epoch's checkpoint is written, but not yet in its place
    os.replace = kill_at(os.replace, 3)
fit(build(KILLED_CONFIG), NOISE_TRAIN, NOISE_VAL, KILLED_CONFIG,
    checkpoint=sys.argv[1], progress=False)
"""


def state_of(path):
    """What a checkpoint holds."""
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("where", ["step", "save"])
def test_a_process_killed_with_signal_9_goes_on_to_the_same_numbers(where, tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, checkpoint, where], cwd=ROOT, capture_output=True, text=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(state_of(checkpoint)["history"]["val_loss"]) == 2
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
    with pytest.raises(TrainingError, match=f"another configuration .{MLP.id}, not {other.id}"):
        trained(other, checkpoint=checkpoint)
    assert state_of(checkpoint)["owner"]["configuration"] == MLP.id


def layers(activation=nn.ReLU, width=16):
    """A network whose weights have the same names and shapes whatever the activation."""
    return nn.Sequential(nn.Flatten(), nn.Linear(192, width), activation(), nn.Linear(width, 3))


OTHERS = {
    "wider": layers(width=8),
    "activation": layers(nn.GELU),
    "dtype": layers().double(),
    "frozen": nn.Sequential(layers()[:2].requires_grad_(False), *layers()[2:]),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_checkpoint_of_another_network_is_refused(other, tmp_path):
    config, checkpoint = FitConfig(epochs=1), tmp_path / "c.pt"
    fit(layers(), TRAIN, VAL, config, checkpoint=checkpoint, progress=False)
    before = checkpoint.read_bytes()
    with pytest.raises(TrainingError, match="another network .*: delete it, or give"):
        fit(other, TRAIN, VAL, config, checkpoint=checkpoint, progress=False)
    assert checkpoint.read_bytes() == before
    # the same layers with other weights are the same network, whose training this is
    calls = []
    fit(
        layers(), TRAIN, VAL, config, checkpoint=checkpoint, progress=False,
        on_epoch=lambda epoch, scalars: calls.append(epoch),
    )  # fmt: skip
    assert calls == []


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize("what", ["images", "labels"])
def test_a_checkpoint_of_other_data_is_refused(part, what, tmp_path):
    """Other data give another history, even where a single pixel or label differs."""
    checkpoint, splits = tmp_path / "c.pt", {"train": TRAIN, "val": VAL}
    trained(MLP, **splits, checkpoint=checkpoint)
    images, labels = (tensor.clone() for tensor in splits[part])
    if what == "images":
        images[-1, -1, -1, -1] ^= 1
    else:
        labels[-1] = (labels[-1] + 1) % 3
    with pytest.raises(TrainingError, match="belongs to another data set"):
        trained(MLP, **splits | {part: (images, labels)}, checkpoint=checkpoint)
    _, again = trained(MLP, **splits, checkpoint=checkpoint)
    assert again.epochs == MLP.epochs


FOREIGN = {
    "weights": lambda path: torch.save(build(MLP).state_dict(), path),
    "network": lambda path: torch.save(layers(), path),
    "tensor": lambda path: torch.save(torch.ones(3), path),
    "old-format": lambda path: torch.save(
        layers().state_dict(), path, _use_new_zipfile_serialization=False
    ),
    "text": lambda path: path.write_text("hello"),
    "empty": lambda path: path.write_bytes(b""),
    "zip": lambda path: zipfile.ZipFile(path, "w").writestr("notes.txt", "hello"),
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_is_no_checkpoint_is_never_overwritten(make, tmp_path):
    path, model = tmp_path / "model.pt", build(MLP)
    make(path)
    before, weights = path.read_bytes(), copy.deepcopy(model.state_dict())
    with pytest.raises(TrainingError, match=r"model.pt is no checkpoint \(.*give another name"):
        fit(model, TRAIN, VAL, MLP, checkpoint=path, progress=False)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["model.pt"]
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(TrainingError, match="is no checkpoint"):
        trained(MLP, checkpoint=tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_checkpoint_is_moved_aside_and_training_starts_afresh(damage, tmp_path):
    checkpoint = tmp_path / "c.pt"
    expected = measured(trained(MLP, checkpoint=checkpoint)[1])
    content = bytearray(checkpoint.read_bytes())
    if damage == "truncated":
        del content[len(content) // 2 :]
    else:
        for i in range(len(content) // 2, len(content) // 2 + 200):  # some of them weights
            content[i] ^= 0x0F
    checkpoint.write_bytes(content)
    with pytest.warns(UserWarning, match="c.pt is damaged .*c.pt.unreadable.*from the beginning"):
        _, history = trained(MLP, checkpoint=checkpoint)
    assert measured(history) == expected
    assert (tmp_path / "c.pt.unreadable").read_bytes() == content
    _, again = trained(MLP, checkpoint=checkpoint)  # and it is whole again
    assert measured(again) == expected


def test_on_a_full_disk_the_last_checkpoint_stays_and_no_part_of_the_next(tmp_path, monkeypatch):
    checkpoint = tmp_path / "c.pt"
    with pytest.raises(Interrupted):
        trained(MLP, checkpoint=checkpoint, on_epoch=interrupt_after(1))
    before = checkpoint.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unwritable, match="c.pt cannot be written .No space left.*make room"):
        trained(MLP, checkpoint=checkpoint)
    assert os.listdir(tmp_path) == ["c.pt"] and checkpoint.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_named_before_training(tmp_path):
    (tmp_path / "file").touch()
    calls = []
    with pytest.raises(Unwritable, match="file cannot be written"):
        trained(MLP, checkpoint=tmp_path / "file" / "c.pt", on_epoch=lambda *a: calls.append(a))
    assert not calls
