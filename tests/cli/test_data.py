"""`data`: what is in a set, and what is wrong with one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from labutils import data
from labutils.cli.main import main
from labutils.config.data_sets import DATA_SETS
from labutils.data import DataError


@pytest.fixture
def small_mnist(monkeypatch, tmp_path) -> Path:
    """A data folder with an MNIST of sixty images."""
    spec = DATA_SETS["mnist"]._replace(train=40, test=20, classes=2, sha256=None)
    monkeypatch.setitem(DATA_SETS, "mnist", spec)
    monkeypatch.setenv("LAB_DATA", str(tmp_path))
    drawn = np.random.default_rng(0)
    arrays = {
        f"{part}_{key}": drawn.integers(high, size=shape, dtype=np.uint8)
        for part, count in (("train", 40), ("test", 20))
        for key, high, shape in (("images", 255, (count, 28, 28, 1)), ("labels", 2, (count,)))
    }
    path = tmp_path / "mnist.safetensors"
    save_file(arrays, path, {"class_names": '["no", "yes"]', "source": "drawn"})
    return path


def test_data_says_what_is_in_a_set(capsys, small_mnist):
    assert main(["data", "mnist", "digits"]) == 0
    said = capsys.readouterr().out
    assert f"mnist: {small_mnist}\n  images   36 training, 4 validation, 20 test\n" in said
    assert "classes  2: no, yes\n" in said
    mean, std = (float(re.search(rf"{name} +([\d.]+)\n", said)[1]) for name in ("mean", "std"))
    assert (mean, std) == pytest.approx((0.5, 0.29), abs=0.02)
    assert "digits: built in\n" in said
    assert "shape    1 x 28 x 28 (channels x height x width)\n" in said


def test_one_damaged_set_does_not_stop_the_others(capsys, small_mnist):
    small_mnist.write_bytes(small_mnist.read_bytes()[:-1])
    assert main(["data", "mnist", "digits"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"{small_mnist} is missing or damaged")
    assert said.err.count("\n") == 1
    assert said.out.startswith("digits: built in")


def test_data_means_the_real_sets_where_none_is_named(monkeypatch):
    asked = []

    def load(name):
        asked.append(name)
        raise DataError("no network")

    monkeypatch.setattr(data, "load", load)
    assert main(["data"]) == 1
    assert asked == ["mnist", "cifar10", "cifar100"]


def test_a_set_that_is_made_says_from_which(capsys, small_mnist, monkeypatch):
    spec = DATA_SETS["mnist-canvases"]._replace(train=30, test=5, classes=2)
    monkeypatch.setitem(DATA_SETS, "mnist-canvases", spec)
    assert main(["data", "mnist-canvases"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("mnist-canvases: made from mnist\n")
    assert "  images   27 training, 3 validation, 5 test\n  shape    1 x 64 x 64" in said
    assert "classes  2: no, yes\n" in said


def test_what_is_wrong_with_its_source_is_wrong_with_a_set_that_is_made(capsys, small_mnist):
    small_mnist.write_bytes(small_mnist.read_bytes()[:-1])
    assert main(["data", "mnist-canvases"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"{small_mnist} is missing or damaged") and said.out == ""
