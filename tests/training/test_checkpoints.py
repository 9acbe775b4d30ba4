"""Checkpoints: whole or not at all, of one training, and nobody else's file."""

import collections
import copy
import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from faults import Bomb, files_of_at_most, flipped, killed_at, lines_of
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
from labutils.training.checkpoints import Checkpoint
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


# Faults that are really made


def one_checkpoint(folder):
    return Checkpoint(folder / "c.pt", MLP, build(MLP), [*TRAIN, *VAL])


def saved(checkpoint, epoch):
    """A state as a training saves it."""
    model = build(replace(MLP, seed=epoch))
    checkpoint.save(model=model.state_dict(), history={"val_loss": [0.5] * epoch}, kept=None)


def state_in(checkpoint):
    """What the checkpoint gives back, as something that can be compared."""
    state = checkpoint.load(torch.device("cpu"))
    return state and json.dumps(state, default=torch.Tensor.tolist)


@pytest.mark.filterwarnings("ignore:.*is damaged")
def test_no_flipped_bit_goes_on_to_other_results(tmp_path):
    """Of 200: each checkpoint gives the same state, is moved aside, or is refused."""
    checkpoint = one_checkpoint(tmp_path)
    saved(checkpoint, 2)
    good, seen = state_in(checkpoint), collections.Counter()
    for content in flipped(checkpoint.path.read_bytes(), 200):
        checkpoint.path.write_bytes(content)
        try:
            state = state_in(checkpoint)
            assert state in (good, None)
            assert (state is None) == (not checkpoint.path.exists())
            seen[state is None] += 1
        except TrainingError as error:
            assert "c.pt is no checkpoint" in str(error)
            seen["refused"] += 1
    assert seen[True] > 150


def test_a_process_may_be_killed_at_every_line_of_a_save(tmp_path):
    modules = ("training/checkpoints", "data/whole_files")
    checkpoint = one_checkpoint(tmp_path)
    saved(checkpoint, 1)
    old = state_in(checkpoint)
    lines = lines_of(lambda: saved(checkpoint, 2), modules)
    new, seen = state_in(checkpoint), set()
    assert len(lines) > 10 and new != old
    for line in lines:
        saved(checkpoint, 1)
        assert killed_at(line, lambda: saved(checkpoint, 2), modules) == -9
        seen.add(state_in(checkpoint))
        saved(checkpoint, 2)
        assert state_in(checkpoint) == new and os.listdir(tmp_path) == ["c.pt"], line
    assert seen == {old, new}


def test_a_disk_that_is_full_at_20_levels_keeps_the_last_checkpoint(tmp_path):
    checkpoint = one_checkpoint(tmp_path)
    saved(checkpoint, 1)
    old, size, said = state_in(checkpoint), checkpoint.path.stat().st_size, 0
    for level in range(20):
        with files_of_at_most(size * level // 19 + 1000 * (level == 19)):
            try:
                saved(checkpoint, 2)
            except Unwritable as error:
                said += 1
                assert "c.pt cannot be written (File too large): make room" in str(error)
                assert state_in(checkpoint) == old and os.listdir(tmp_path) == ["c.pt"]
    assert said == 19 and state_in(checkpoint) != old, "the last fits"


@pytest.mark.filterwarnings("ignore:.*is damaged")
@pytest.mark.parametrize("pack", [pickle.dump, torch.save])
def test_a_pickle_in_place_of_a_checkpoint_is_never_executed(tmp_path, pack):
    checkpoint, executed = one_checkpoint(tmp_path), tmp_path / "executed"
    for content in (Bomb(executed), {"owner": checkpoint.owner, "model": Bomb(executed)}):
        with checkpoint.path.open("wb") as file:
            pack(content, file)
        with pytest.raises(TrainingError, match="c.pt is no checkpoint"):
            checkpoint.load(torch.device("cpu"))
        assert not executed.exists()
