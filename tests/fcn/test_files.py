"""Digits in files: the boxes drawn, and the list."""

import json

import numpy as np
import PIL.Image

from labutils import data
from labutils.data.picture_files import look_at_files
from labutils.data.pictures import read_picture
from labutils.fcn.files import digit_finder
from labutils.fcn.pictures import COLOR


def look_for_digits(detector, paths, output):
    return look_at_files(paths, output, "digits", lambda: digit_finder(detector))


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
    assert look_for_digits(detector, [good, tmp_path / "gone.png", twin], output) == 1
    said = capsys.readouterr()
    assert "gone.png: there is no such file" in said.err and said.err.count("\n") == 1
    assert sorted(path.name for path in output.iterdir()) == [
        "page-2-digits.json", "page-2-digits.png", "page-digits.json", "page-digits.png"
    ]  # fmt: skip
    listed = json.loads((output / "page-digits.json").read_text())
    assert listed["picture"] == str(good)
    # dark on light or light on dark: the same digits
    assert listed["digits"] == json.loads((output / "page-2-digits.json").read_text())["digits"]
    drawn = read_picture(output / "page-digits.png")
    assert (drawn == COLOR).all(2).any() and drawn[0, 0].min() == 255, "boxes on the picture"
    assert listed["pixels"] == {"width": 140, "height": 90}
    assert said.out.count("\n") == 2 and "page-digits.json" in said.out
    before = good.read_bytes()
    assert look_for_digits(detector, [good], good.parent) == 0
    assert good.read_bytes() == before, "beside the picture, not over it"


def test_an_empty_picture_has_no_digit(detector, tmp_path, capsys):
    path = saved(tmp_path, PIL.Image.new("L", (100, 50), 255))
    assert look_for_digits(detector, [path], tmp_path / "out") == 0
    assert "no digit" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "a-digits.json").read_text())["digits"] == []
