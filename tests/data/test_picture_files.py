"""Batches of picture files: what is written under which name, what is said and returned."""

import json
import os

import numpy as np
import PIL.Image
import pytest
from faults import files_of_at_most

from labutils.data.picture_files import LONGEST_NAME, Seen, look_at_files
from labutils.data.pictures import PictureWarning, read_picture
from labutils.data.whole_files import Unwritable


@pytest.fixture
def picture(tmp_path):
    """A light bar on black."""
    pixels = np.zeros((40, 60), np.uint8)
    pixels[10:30, 20:26] = 200
    return saved(tmp_path, PIL.Image.fromarray(pixels), "picture.png")


def look(picture):
    return Seen(picture[:5], {"height": len(picture)}, "seen")


def look_at(paths, output):
    return look_at_files(paths, output, "bars", lambda: look)


def named(picture, name):
    """A copy of the picture under a name, in bytes or not."""
    copy = picture.with_name(os.fsdecode(name))
    copy.write_bytes(picture.read_bytes())
    return copy


def results(output):
    """The names of the pictures that there is a drawing and a list for."""
    drawn, listed = (
        {path.name.removesuffix(ending) for path in output.glob(f"*{ending}")}
        for ending in ("-bars.png", "-bars.json")
    )
    assert drawn == listed and len(list(output.iterdir())) == 2 * len(drawn)
    return drawn


def saved(folder, image, name="a.png", **options):
    image.save(folder / name, **options)
    return folder / name


def test_each_picture_gets_a_drawing_and_a_list(picture, tmp_path, capsys):
    output = tmp_path / "made" / "here"
    assert look_at([picture], output) == 0
    assert read_picture(output / "picture-bars.png").shape == (5, 60, 3)
    listed = json.loads((output / "picture-bars.json").read_text())
    pixels = {"width": 60, "height": 40}
    assert listed == {"picture": str(picture), "pixels": pixels, "height": 40}
    assert capsys.readouterr().out == (
        f"{picture}: seen ({output / 'picture-bars.png'}, picture-bars.json)\n"
    )


LONG = "n" * 246


@pytest.mark.parametrize(
    ("name", "result", "said"),
    [
        (f"{LONG}.png", LONG[:LONGEST_NAME], LONG),
        ("数" * 80 + ".png", "数" * (LONGEST_NAME // 3), "数" * 80),
        (b"caf\xe9.png", "caf_xe9", r"caf\xe9.png: "),
        ("two\nlines \x1b[31m.png", "two_nlines _x1b[31m", r"two\nlines \x1b[31m.png: "),
        ("né 1.png", "né 1", "né 1.png: "),
    ],
    ids=["long", "long in UTF-8", "no UTF-8", "control characters", "ordinary"],
)
def test_no_name_ends_the_batch(name, result, said, picture, tmp_path, capsys):
    after, output = named(picture, "after.png"), tmp_path / "out"
    assert look_at([picture, named(picture, name), after], output) == 0
    assert results(output) == {"picture", result, "after"}
    printed = capsys.readouterr().out
    assert printed.count("\n") == 3 and said in printed
    listed = json.loads((output / f"{result}-bars.json").read_text())
    assert said.removesuffix(": ") in listed["picture"] and listed["picture"].encode()


def test_a_file_that_no_decoder_reads_does_not_end_the_batch(
    picture, tmp_path, capsys, monkeypatch
):
    def broken(self):
        raise NotImplementedError("no such compression")

    monkeypatch.setattr("PIL.GifImagePlugin.GifImageFile.load", broken)
    bad = saved(tmp_path, PIL.Image.new("L", (9, 9)), "bad.gif")
    assert look_at([bad, picture, tmp_path / ("n" * 300)], tmp_path / "out") == 1
    assert results(tmp_path / "out") == {"picture"}
    missing, undecoded = capsys.readouterr().err.splitlines()
    assert "nnn" in missing
    assert "bad.gif cannot be read" in undecoded and "no such compression" in undecoded


def test_files_are_looked_for_before_anything_is_prepared(picture, tmp_path, capsys):
    text = tmp_path / "text.png"
    text.write_text("no picture")
    asked = [tmp_path / "gone.png", text, tmp_path]

    def prepare():
        raise AssertionError("prepared")

    assert look_at_files(asked, tmp_path / "out", "bars", prepare) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 3 and not (tmp_path / "out").exists()

    def prepare_after_all_is_said():
        assert "gone.png: there is no such file" in capsys.readouterr().err
        return look

    output = tmp_path / "out"
    assert look_at_files([picture, asked[0]], output, "bars", prepare_after_all_is_said) == 1
    assert results(output) == {"picture"}


def test_names_that_become_equal_are_numbered(picture, tmp_path):
    names = [f"{LONG}-a.png", f"{LONG}-b.png", "A.png", "a.png", "a-2.png"]
    output = tmp_path / "out"
    assert look_at([named(picture, name) for name in names], output) == 0
    long = LONG[:LONGEST_NAME]
    assert results(output) == {long, f"{long}-2", "A", "a-2", "a-2-2"}


def test_no_picture_is_overwritten_with_what_was_seen_in_another(picture):
    twin = named(picture, "picture-bars.png")
    before = picture.read_bytes()
    assert look_at([picture, twin], picture.parent) == 0
    assert picture.read_bytes() == twin.read_bytes() == before
    assert (picture.parent / "picture-2-bars.png").exists()
    assert (picture.parent / "picture-bars-bars.png").exists()
    assert look_at([picture], picture.parent) == 0  # the twin is the result of an earlier call
    assert twin.read_bytes() != before == picture.read_bytes()


def test_of_several_frames_the_first_is_looked_at_and_this_is_said(tmp_path):
    white = PIL.Image.new("L", (30, 90), 255)
    path = saved(tmp_path, PIL.Image.new("L", (30, 90)), "a.gif", save_all=True,
                 append_images=[white])  # fmt: skip
    with pytest.warns(PictureWarning, match="a.gif has several frames"):
        assert look_at([path], tmp_path / "out") == 0
    assert not read_picture(tmp_path / "out" / "a-bars.png").any()


def test_on_a_full_disk_a_result_is_whole_or_not_there(picture, tmp_path, capsys):
    look_at([picture], tmp_path / "whole")
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    for level in range(20):
        output = tmp_path / str(level)
        size = max(map(len, whole.values())) * level // 20
        with files_of_at_most(size), pytest.raises(Unwritable, match="bars.*make room"):
            look_at([picture], output)
        assert {path.name: path.read_bytes() for path in output.iterdir()}.items() <= whole.items()
