"""`detect` over files of every kind and name: what it writes, says and returns."""

import json
import os
from types import SimpleNamespace

import cv2
import numpy as np
import PIL.Image
import pytest

from labutils import data
from labutils.config.fcn import FCNConfig
from labutils.fcn import files as detect
from labutils.fcn.files import detect_in_files
from labutils.fcn.networks import build_detector


@pytest.fixture
def untrained(monkeypatch):
    """A small detector as it begins: it finds what it likes."""
    network = build_detector(FCNConfig(width=4)).eval()
    monkeypatch.setattr(detect, "load_detector", lambda run: network)
    monkeypatch.setattr(detect, "validation_threshold", lambda run: 0.5)
    return SimpleNamespace(config=FCNConfig(width=4))


@pytest.fixture
def picture(tmp_path):
    """A light bar on black."""
    pixels = np.zeros((40, 60), np.uint8)
    pixels[10:30, 20:26] = 200
    return saved(tmp_path, PIL.Image.fromarray(pixels), "picture.png")


def named(picture, name):
    """A copy of the picture under a name, in bytes or not."""
    copy = picture.with_name(os.fsdecode(name))
    copy.write_bytes(picture.read_bytes())
    return copy


def results(output):
    """The names of the pictures that there is a drawing and a list for."""
    drawn, listed = (
        {path.name.removesuffix(ending) for path in output.glob(f"*{ending}")}
        for ending in ("-digits.png", "-digits.json")
    )
    assert drawn == listed and len(list(output.iterdir())) == 2 * len(drawn)
    return drawn


def saved(folder, image, name="a.png", **options):
    image.save(folder / name, **options)
    return folder / name


def test_files_give_pictures_and_lists_and_bad_ones_are_named(detector, tmp_path, capsys):
    digit = data.load("digits").test.images[0, 0].numpy()
    page = np.zeros((90, 140), np.uint8)
    page[20:48, 40:68] = digit
    good = saved(tmp_path, PIL.Image.fromarray(255 - page), "page.png")
    (tmp_path / "other").mkdir()
    twin = saved(tmp_path / "other", PIL.Image.fromarray(page), "page.png")
    output = tmp_path / "found" / "here"
    assert detect_in_files(detector, [good, tmp_path / "gone.png", twin], output) == 1
    said = capsys.readouterr()
    assert "gone.png: there is no such file" in said.err and said.err.count("\n") == 1
    assert sorted(path.name for path in output.iterdir()) == [
        "page-2-digits.json", "page-2-digits.png", "page-digits.json", "page-digits.png"
    ]  # fmt: skip
    listed = json.loads((output / "page-digits.json").read_text())
    assert listed["picture"] == str(good)
    # dark on light or light on dark: the same digits
    assert listed["digits"] == json.loads((output / "page-2-digits.json").read_text())["digits"]
    assert cv2.imread(str(output / "page-digits.png")).shape[2] == 3
    assert said.out.count("\n") == 2 and "page-digits.json" in said.out
    before = good.read_bytes()
    assert detect_in_files(detector, [good], good.parent) == 0
    assert good.read_bytes() == before, "beside the picture, not over it"


def test_an_empty_picture_has_no_digit(detector, tmp_path, capsys):
    path = saved(tmp_path, PIL.Image.new("L", (100, 50), 255))
    assert detect_in_files(detector, [path], tmp_path / "out") == 0
    assert "no digit" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "a-digits.json").read_text())["digits"] == []


LONG = "n" * 246


@pytest.mark.parametrize(
    ("name", "result", "said"),
    [
        (f"{LONG}.png", LONG[: detect.LONGEST_NAME], LONG),
        ("数" * 80 + ".png", "数" * (detect.LONGEST_NAME // 3), "数" * 80),
        (b"caf\xe9.png", "caf_xe9", r"caf\xe9.png: "),
        ("two\nlines \x1b[31m.png", "two_nlines _x1b[31m", r"two\nlines \x1b[31m.png: "),
        ("né 1.png", "né 1", "né 1.png: "),
    ],
    ids=["long", "long in UTF-8", "no UTF-8", "control characters", "ordinary"],
)
def test_no_name_ends_the_batch(name, result, said, untrained, picture, tmp_path, capsys):
    after, output = named(picture, "after.png"), tmp_path / "out"
    paths = [picture, named(picture, name), after]
    assert detect_in_files(untrained, paths, output) == 0
    assert results(output) == {"picture", result, "after"}
    printed = capsys.readouterr().out
    assert printed.count("\n") == 3 and said in printed
    listed = json.loads((output / f"{result}-digits.json").read_text())
    assert said.removesuffix(": ") in listed["picture"] and listed["picture"].encode()


def test_a_file_that_no_decoder_reads_does_not_end_the_batch(
    untrained, picture, tmp_path, capsys, monkeypatch
):
    def broken(self):
        raise NotImplementedError("no such compression")

    monkeypatch.setattr("PIL.GifImagePlugin.GifImageFile.load", broken)
    bad = saved(tmp_path, PIL.Image.new("L", (9, 9)), "bad.gif")
    paths = [bad, picture, tmp_path / ("n" * 300)]
    assert detect_in_files(untrained, paths, tmp_path / "out") == 1
    assert results(tmp_path / "out") == {"picture"}
    first, second = capsys.readouterr().err.splitlines()
    assert "bad.gif cannot be read" in first and "no such compression" in first
    assert "nnn" in second


def test_names_that_become_equal_are_numbered(untrained, picture, tmp_path):
    names = [f"{LONG}-a.png", f"{LONG}-b.png", "A.png", "a.png", "a-2.png"]
    output = tmp_path / "out"
    assert detect_in_files(untrained, [named(picture, name) for name in names], output) == 0
    long = LONG[: detect.LONGEST_NAME]
    assert results(output) == {long, f"{long}-2", "A", "a-2", "a-2-2"}
