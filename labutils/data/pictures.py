"""Anybody's picture files: one reader for all that look at them, and names that can be printed."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
from jaxtyping import UInt8
from PIL.Image import Transpose

MAX_PIXELS = 4_000_000
MAX_SIDE = 10_000  # pixels
MOST_READ = 64_000_000  # pixels of a file; what is larger than the other two allow is shrunk
# Their frames are no pictures of their own: a PSD's are layers, an MPO's a camera's previews.
ONE_PICTURE = ("MPO", "PSD")
ORIENTATION = 0x0112  # in EXIF: how the camera was held
CAT = Path(__file__).parent / "photographs" / "cat.png"  # 451x300 pixels; beside it its credit
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}

Picture = UInt8[np.ndarray, "height width 3"]  # red, green, blue
Grey = UInt8[np.ndarray, "height width"]


class PictureError(ValueError):
    """A file that is no picture that can be looked at; the message says what to do."""


class PictureWarning(UserWarning):
    """Something of a picture is left out."""


def read_picture(path: Path) -> Picture:
    """A picture of any format and mode that Pillow knows, upright: red, green, blue, 0 to 255.

    With more than eight bits a pixel, 0 stays 0 (unless there are negative values) and the largest
    value becomes 255. Of LAB the lightness is shown, and transparent pixels on white or black,
    whichever leaves more contrast. A picture larger than `MAX_PIXELS` or `MAX_SIDE` allow is
    shrunk, and of several frames or pages the first is read; a `PictureWarning` says so.

    Raises:
        PictureError: the file is missing, is no picture, or has more than `MOST_READ` pixels.
    """
    with _opened(path) as image:
        image.load()  # turns a TIFF itself, and then says so in its EXIF
        picture = _in_color(_turned(image))
        left_out = ["has several frames or pages: the first is looked at"] * _has_frames(image)
        height, width = picture.shape[:2]
        factor = min((MAX_PIXELS / (width * height)) ** 0.5, MAX_SIDE / max(width, height))
        if factor < 1:
            size = max(int(factor * width), 1), max(int(factor * height), 1)
            picture = np.array(PIL.Image.fromarray(picture).resize(size))
            left_out.append(f"has {width} x {height} pixels: shrunk to {size[0]} x {size[1]}")
    for what in left_out:
        warnings.warn(f"{printable(path)} {what}", PictureWarning, stacklevel=2)
    return picture


def check_picture(path: Path) -> None:
    """Raise the error of `read_picture`, as far as the first bytes of the file tell."""
    with _opened(path):
        pass


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[PIL.Image.Image]:
    """The image, not loaded yet; whatever goes wrong inside the block names the file."""
    name = printable(path)
    try:
        # Pillow warns of what it can read all the same
        with warnings.catch_warnings(action="ignore"), PIL.Image.open(path) as image:
            width, height = image.size
            if width * height > MOST_READ:
                raise PictureError(
                    f"{name}: {width} x {height} pixels are too many: shrink it, or cut out the "
                    f"part that counts, to {MOST_READ:,} pixels at most"
                )
            yield image
    except FileNotFoundError:
        raise PictureError(f"{name}: there is no such file") from None
    except PictureError:
        raise
    except Exception as error:  # each decoder has errors of its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(
            f"{name} cannot be read as a picture ({reason}): give a PNG, JPEG or another format "
            f"that Pillow knows, of {MOST_READ:,} pixels at most"
        ) from None


def printable(path: Path | str) -> str:
    """A path with escapes for what cannot be printed: bytes that are no UTF-8, control characters.

    Linux takes any bytes for a name; Python cannot print those that are no UTF-8.
    """
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _turned(image: PIL.Image.Image) -> PIL.Image.Image:
    """The image upright; as it is where its EXIF cannot be read.

    Pillow's `exif_transpose` writes the EXIF anew, and fails with any value that it cannot write.
    """
    with contextlib.suppress(Exception):
        return image.transpose(UPRIGHT[image.getexif()[ORIENTATION]])
    return image


def _has_frames(image: PIL.Image.Image) -> bool:
    with contextlib.suppress(Exception):  # damage behind the first frame, which was read
        return image.format not in ONE_PICTURE and image.is_animated
    return False


def _in_color(image: PIL.Image.Image) -> Picture:
    if image.mode.startswith(("I", "F")):  # 16 bits a pixel or more, which Pillow would clip
        # Few files use the whole range that they could hold: the largest value is taken for white.
        values = np.asarray(image, dtype=np.float64)
        finite = np.isfinite(values)
        values = np.where(finite, values, np.median(values[finite]) if finite.any() else 0)
        low, high = min(values.min(), 0), max(values.max(), 0)
        grey = (255 * (values - low) / ((high - low) or 1)).round().astype(np.uint8)
        image = PIL.Image.fromarray(grey)
    elif image.mode == "LAB":
        image = image.getchannel("L")
    elif image.has_transparency_data:
        grounds = (PIL.Image.new("RGBA", image.size, color) for color in ("white", "black"))
        image = image.convert("RGBA")
        shown = [PIL.Image.alpha_composite(ground, image) for ground in grounds]
        image = max(shown, key=lambda one: np.asarray(one.convert("L"), dtype=np.float64).std())
    return np.array(image.convert("RGB"))
