"""The reader of picture files: every kind, turned, damaged, too large, and oddly named."""

import io
import os
import struct
import warnings
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labutils.data import pictures
from labutils.data.ink import light_on_black
from labutils.data.pictures import (
    CAT,
    PictureError,
    PictureWarning,
    check_picture,
    printable,
    read_picture,
)

COLORS = np.zeros((40, 60, 3), np.uint8)
COLORS[:10, :20] = (200, 40, 0)  # left above, so that a turn is seen
COLORS[20:, 30:] = (0, 90, 250)
FORMATS = (
    "AVIF", "BMP", "DDS", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM",
    "QOI", "SGI", "SPIDER", "TGA", "TIFF", "WEBP",
)  # fmt: skip
# The file of a test is written anew for each example.
anew = settings(
    deadline=None,
    max_examples=200,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def encoded(form: str, image: PIL.Image.Image | None = None, **options) -> bytes:
    file = io.BytesIO()
    image = image or PIL.Image.fromarray(COLORS)
    image.convert("F" if form == "SPIDER" else image.mode).save(file, form, **options)
    return file.getvalue()


def written(folder: Path, content: bytes, name: str = "a.picture") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


# What is shown


@pytest.mark.parametrize("form", ["BMP", "PNG", "PPM", "QOI", "SGI", "TGA", "TIFF"])
def test_colours_come_as_they_were_stored(form, tmp_path):
    assert np.array_equal(read_picture(written(tmp_path, encoded(form))), COLORS)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "I;16", "F"]
)
def test_every_mode_is_read(mode, tmp_path):
    """White on black, in the place where it is; all are red, green, blue from 0 to 255."""
    grey = np.zeros((40, 60), np.uint8)
    grey[5:15, 40:50] = 255
    image = PIL.Image.fromarray(grey)
    if mode == "LAB":
        image = PIL.Image.fromarray(np.dstack([grey, *2 * [np.full_like(grey, 128)]]), "LAB")
    elif mode == "I;16":
        image = PIL.Image.fromarray(grey.astype(np.uint16) * 16)  # twelve bits in sixteen
    else:
        image = image.convert(mode)
    form = "TIFF" if mode in ("CMYK", "F", "LAB", "RGBX", "YCbCr") else "PNG"
    picture = read_picture(written(tmp_path, encoded(form, image)))
    assert picture.dtype == np.uint8 and picture.shape == (40, 60, 3)
    assert picture[5:15, 40:50].min() >= 250 and picture[:, :39].max() <= 5


def test_what_is_transparent_hides_nothing(tmp_path):
    for ink, ground in ((0, 255), (255, 0)):
        pixels = np.zeros((30, 30, 4), np.uint8)
        pixels[5:25, 10:14] = (ink, ink, ink, 255)
        found = read_picture(written(tmp_path, encoded("PNG", PIL.Image.fromarray(pixels))))
        assert (found[5:25, 10:14] == ink).all() and (found[:, :9] == ground).all()


def test_values_below_zero_keep_their_distance(tmp_path):
    values = np.full((20, 20), -2, np.float32)
    values[5:15, 8:11] = 2
    values[0, 0] = 0
    found = read_picture(written(tmp_path, encoded("TIFF", PIL.Image.fromarray(values))))
    assert found[0, 0, 0] in (127, 128) and found.min() == 0 and found[5:15, 8:11].min() == 255


TURNS = {  # what must be done with what the camera stored: turns to the left, mirrored after
    1: (0, False), 2: (0, True), 3: (2, False), 4: (2, True),
    5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False),
}  # fmt: skip


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_a_picture_is_turned_as_its_camera_says(form, orientation, tmp_path):
    exif = PIL.Image.Exif()
    exif[pictures.ORIENTATION] = orientation
    turns, mirrored = TURNS[orientation]
    expected = np.rot90(COLORS, turns)[:, :: -1 if mirrored else 1]
    assert np.array_equal(read_picture(written(tmp_path, encoded(form, exif=exif))), expected)


@pytest.mark.parametrize("form", ["GIF", "PNG", "TIFF", "WEBP"])
def test_of_several_frames_the_first_is_read_and_this_is_said(form, tmp_path):
    following = [PIL.Image.new("RGB", (60, 40), color) for color in ("white", "red")]
    options = {"lossless": True} if form == "WEBP" else {}
    content = encoded(form, save_all=True, append_images=following, **options)
    path = written(tmp_path, content, "pages")
    with pytest.warns(PictureWarning, match="pages has several frames or pages: the first") as said:
        assert np.array_equal(read_picture(path), COLORS)
    assert len(said) == 1


def test_a_preview_behind_a_photograph_is_no_frame(tmp_path):
    preview = PIL.Image.new("RGB", (30, 20))
    path = written(tmp_path, encoded("MPO", save_all=True, append_images=[preview]))
    assert read_picture(path).shape == (40, 60, 3)


# Light on black


@pytest.fixture
def drawing():
    """A light bar on black, 40 x 60."""
    picture = np.zeros((40, 60), np.uint8)
    picture[10:30, 20:26] = 200
    return picture


def read(folder, image, form="PNG"):
    return light_on_black(read_picture(written(folder, encoded(form, image))))


@pytest.mark.parametrize(
    "mode", ["L", "RGB", "RGBA", "LA", "P", "1", "I", "F", "I;16", "CMYK", "YCbCr"]
)
@pytest.mark.parametrize("light", [True, False], ids=["light", "dark"])
def test_digits_are_light_on_black_whatever_the_mode(mode, light, drawing, tmp_path):
    values = drawing if light else 255 - drawing
    if mode == "I;16":
        image = PIL.Image.fromarray(values.astype(np.uint16) * 200)
    else:
        image = PIL.Image.fromarray(values).convert(mode)
    form = "TIFF" if mode in ("I", "F", "CMYK", "YCbCr") else "PNG"
    found = read(tmp_path, image, form)
    assert found.dtype == np.uint8 and found.shape == (40, 60)
    if mode == "1":  # dithered
        assert found[10:30, 20:26].mean() > 150 > 60 > found[:, :15].mean()
        return
    assert (found[10:30, 20:26] >= 250).all() and found[:, :19].max() <= 5


def test_a_transparent_ground_does_not_hide_the_digit(tmp_path):
    for ink in (0, 255):  # black or white on nothing
        pixels = np.zeros((30, 30, 4), np.uint8)
        pixels[5:25, 10:14] = (ink, ink, ink, 255)
        found = read(tmp_path, PIL.Image.fromarray(pixels))
        assert found[5:25, 10:14].min() == 255 and found[:, :9].max() == 0


@pytest.mark.parametrize("level", [0, 7, 255])
def test_a_picture_without_contrast_is_black(level, tmp_path):
    values = np.full((20, 20), level, np.uint8)
    values[3, 3] = min(level + 10, 255)
    assert not read(tmp_path, PIL.Image.fromarray(values)).any()


@pytest.mark.parametrize("mode", ["I", "F"])
def test_contrast_counts_whatever_the_scale_of_the_values(mode, tmp_path):
    values = np.zeros((20, 20), np.int32 if mode == "I" else np.float32)
    values[5:15, 8:11] = 1  # black is 0, white is 1
    image = PIL.Image.fromarray(values, mode)
    assert read(tmp_path, image, "TIFF")[5:15, 8:11].min() == 255
    noise = np.full((20, 20), 30_000, np.uint16)
    noise[3, 3] += 2
    assert not read(tmp_path, PIL.Image.fromarray(noise)).any()


def test_values_that_use_little_of_their_range_are_seen(tmp_path):
    values = np.full((20, 20), 400, np.uint16)  # twelve bits in a file of sixteen
    values[5:15, 8:11] = 4_095
    found = read(tmp_path, PIL.Image.fromarray(values))
    assert found[5:15, 8:11].min() == 255 and found[:, :7].max() == 0


def test_values_that_are_no_numbers_are_ground(tmp_path):
    values = np.zeros((20, 20), np.float32)
    values[5:15, 8:11] = 1
    values[0, :3] = (np.nan, np.inf, -np.inf)
    found = read(tmp_path, PIL.Image.fromarray(values), "TIFF")
    assert found[5:15, 8:11].min() == 255 and found[0].max() == 0
    values[:] = np.nan
    assert not read(tmp_path, PIL.Image.fromarray(values), "TIFF").any()


def test_lightness_is_what_counts_of_lab(tmp_path):
    values = np.zeros((20, 20, 3), np.uint8)
    values[5:15, 8:11, 0] = 200
    image = PIL.Image.fromarray(values, "LAB")
    assert read(tmp_path, image, "TIFF")[5:15, 8:11].min() == 255


# What is wrong


def test_bad_files_are_named_with_what_to_do(tmp_path):
    with pytest.raises(PictureError, match="gone.png: there is no such file"):
        read_picture(tmp_path / "gone.png")
    for content in (b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(30), encoded("PNG")[:80]):
        with pytest.raises(PictureError, match="bad.png cannot be read as a picture .*: give a"):
            read_picture(written(tmp_path, content, "bad.png"))
    for path in (tmp_path, Path("n" * 300), Path("nul\0")):
        with pytest.raises(PictureError, match="cannot be read as a picture"):
            read_picture(path)


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, struct.error, KeyError, IndexError])
def test_whatever_a_decoder_raises_names_the_file(error, tmp_path, monkeypatch):
    def broken(*_):
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", broken)
    with pytest.raises(PictureError, match=f"a.png cannot be read as a picture .{error.__name__}"):
        read_picture(written(tmp_path, encoded("PNG"), "a.png"))


@anew
@given(
    form=st.sampled_from(FORMATS),
    damage=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), max_size=5),
    kept=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_a_damaged_file_is_a_picture_or_named(form, damage, kept, tmp_path):
    content = bytearray(encoded(form))
    for place, new in damage:
        start = int(place**3 * len(content))  # most of it in the header
        content[start : start + len(new)] = new
    path = written(tmp_path, content[: int(kept * len(content))])
    with warnings.catch_warnings(action="ignore", category=PictureWarning):
        try:
            picture = read_picture(path)
        except PictureError as error:
            assert str(error).startswith(str(path))
        else:
            height, width = picture.shape[:2]
            assert picture.dtype == np.uint8 and height * width <= pictures.MAX_PIXELS


entries = st.tuples(st.integers(0, 0xFFFF), st.integers(0, 14), st.integers(0, 3), st.binary())


@anew
@given(
    form=st.sampled_from(["JPEG", "PNG", "WEBP"]),
    odd=st.lists(entries, max_size=4),
    tail=st.binary(max_size=30),
)
def test_no_value_of_its_exif_loses_a_picture(form, odd, tail, tmp_path):
    """Nor its turn: what stands beside the orientation may be anything."""
    fields = [(pictures.ORIENTATION, 3, 1, b"\x06\x00"), *odd]
    block = b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", len(fields))
    for tag, kind, count, value in fields:
        if tag != pictures.ORIENTATION or value == b"\x06\x00":
            block += struct.pack("<HHL", tag, kind, count) + value[:4].ljust(4, b"\x00")
    exif = b"Exif\x00\x00" + block + bytes(4) + tail
    assert read_picture(written(tmp_path, encoded(form, exif=exif))).shape == (60, 40, 3)


def test_a_camera_that_divides_by_zero_loses_no_picture(tmp_path):
    head = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x02\x00"
    turned = struct.pack("<HHLHH", pictures.ORIENTATION, 3, 1, 6, 0)
    resolution = struct.pack("<HHLL", 0x011A, 10, 1, 38) + bytes(4)
    exif = head + turned + resolution + struct.pack("<ll", -1, 0)
    found = read_picture(written(tmp_path, encoded("PNG", exif=exif)))
    assert np.array_equal(found, np.rot90(COLORS, 3))


def test_a_picture_of_too_many_pixels_is_not_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_READ", 2_000)
    for look in (check_picture, read_picture):
        with pytest.raises(PictureError, match="60 x 40 pixels are too many: .* to 2,000 pixels"):
            look(written(tmp_path, encoded("PNG")))


@pytest.mark.parametrize(
    ("size", "shrunk"), [((4_000, 3_000), (2_309, 1_732)), ((10_001, 2), (10_000, 1))]
)
def test_a_large_photograph_is_shrunk_and_this_is_said(size, shrunk, tmp_path):
    image = PIL.Image.new("RGB", size, "white")
    image.paste("red", (0, 0, size[0] // 2, size[1]))
    path = written(tmp_path, encoded("JPEG", image), "photo.jpg")
    said = "photo.jpg has {} x {} pixels: shrunk to {} x {}".format(*size, *shrunk)
    with pytest.warns(PictureWarning, match=said) as warned:
        found = read_picture(path)
    assert found.shape == (*shrunk[::-1], 3) and len(warned) == 1
    assert found[:, 5, 2].max() < 10 and found[:, -5, 2].min() > 245, "red at the left alone"


@pytest.mark.parametrize("content", [b"", b"no picture", encoded("PNG")[:20]], ids=len)
def test_a_file_is_checked_by_its_first_bytes(content, tmp_path):
    check_picture(written(tmp_path, encoded("PNG")))
    check_picture(written(tmp_path, encoded("PNG")[:-30]))  # its end is read with the rest
    with pytest.raises(PictureError, match="cannot be read as a picture"):
        check_picture(written(tmp_path, content))
    with pytest.raises(PictureError, match="there is no such file"):
        check_picture(tmp_path / "gone.png")


# The photograph


def test_the_photograph_is_there_with_its_credit():
    assert read_picture(CAT).shape == (300, 451, 3)
    credit = (CAT.parent / "CREDITS.md").read_text()
    assert CAT.name in credit and "CC0" in credit


# Names


@given(name=st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_every_name_can_be_printed_on_one_line(name):
    said = printable(os.fsdecode(name))
    assert said.isprintable() and said.encode()


def test_a_name_that_can_be_printed_stays_as_it_is():
    assert printable(Path("a b/né\\数.png")) == "a b/né\\数.png".replace("/", os.sep)
    assert printable(os.fsdecode(b"caf\xe9\n.png")) == "caf\\xe9\\n.png"


def test_a_bad_file_is_named_whatever_its_name(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    with pytest.raises(PictureError, match=r"caf\\xe9.png: there is no such file"):
        read_picture(path)
    path.write_bytes(encoded("PNG"))
    assert np.array_equal(read_picture(path), COLORS)
