"""Built-in image sets `shapes10` and `shapes20`: one object on a texture, drawn from a seed."""

from numbers import Integral
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

SHAPES10 = (
    "circle", "square", "triangle", "star", "cross",
    "crescent", "heart", "arrow", "letter L", "hourglass",
)  # fmt: skip
SHAPES20 = tuple(f"{fill} {shape}" for fill in ("filled", "outline") for shape in SHAPES10)
CLASS_NAMES = {"shapes10": SHAPES10, "shapes20": SHAPES20}

SIZE = 32  # side of an image, pixels
AREA = (60.0, 185.0)  # of a silhouette, pixels: whole-pixel masks then stay in 5 to 20 % of 1024
ROTATION = np.deg2rad(25)  # at most, either way: a triangle still stands, a heart still points down
STROKE = 1.4  # thickness of an outline, pixels
CONTRAST = 80.0  # least distance between object and background colours, of 255
NOISE = 10  # of each pixel and channel, either way, of 255
MAX_DISTRACTORS = 7
# Of a pixel, for it to count as the object's. More than a half, because OpenCV's polygons include
# their border, half a subpixel too much.
MASK_COVERAGE = 0.55
SUPERSAMPLE = 4  # objects are drawn this many times larger, then averaged down
SUBPIXEL_BITS = 4  # OpenCV takes vertices as integers, in units of 2 ** -SUBPIXEL_BITS pixels
CHUNK = 1000  # images held in floating point at a time

Rng = np.random.Generator
Numbers = UInt8[np.ndarray, " n"]  # indices into `SHAPES10`
Filled = Bool[np.ndarray, " n"]
Colours = Float[np.ndarray, "n 3"]
Outlines = Float[np.ndarray, "n vertices 2"]  # x and y of each vertex, in pixels
Pixels = Float[np.ndarray, "n 32 32"]


class Shapes(NamedTuple):
    """Images with one object each, its class and the pixels that it covers.

    Attributes:
        images: red, green, blue, 0 to 255.
        labels: index into `class_names`; modulo 10 it is the shape, in either set.
        masks: true on the filled silhouette, also for an object drawn in outline.
    """

    images: UInt8[np.ndarray, "n 32 32 3"]
    labels: UInt8[np.ndarray, " n"]
    masks: Bool[np.ndarray, "n 32 32"]
    class_names: tuple[str, ...]


def render(name: str, n_images: int, seed: int) -> Shapes:
    """Draw a set of images, the same bytes for the same arguments.

    Classes are equally frequent (up to rounding) and in random order. The class decides the shape,
    in `shapes20` also whether it is filled or an outline; in `shapes10` that is drawn at random.
    Everything else is drawn independently of the class: colours, texture, distractors, rotation
    (up to 25 degrees), the area of the silhouette (5 to 20 % of the image, an outline's inside
    included), and the position, uniform over all places where the object fits whole.

    Raises:
        ValueError: `name` is neither shapes10 nor shapes20, `n_images` is not an integer from 1 on,
            or `seed` from 0 on.
    """
    _check(name, n_images, seed)
    class_names = CLASS_NAMES[name]
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n_images) % len(class_names)).astype(np.uint8)
    images = np.empty((n_images, SIZE, SIZE, 3), np.uint8)
    masks = np.empty((n_images, SIZE, SIZE), bool)
    for start in range(0, n_images, CHUNK):
        part = slice(start, start + CHUNK)
        shape = labels[part] % len(SHAPES10)
        by_class = name == "shapes20"
        filled = labels[part] < len(SHAPES10) if by_class else rng.random(len(shape)) < 0.5
        images[part], masks[part] = _draw_images(rng, shape, filled)
    return Shapes(images, labels, masks, class_names)


def _check(name: str, n_images: int, seed: int) -> None:
    if name not in CLASS_NAMES:
        raise ValueError(
            f"no built-in set is called {name!r}: expected one of "
            f"{', '.join(map(repr, CLASS_NAMES))}; pass one of these names"
        )
    for argument, value, least in (("n_images", n_images, 1), ("seed", seed, 0)):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            raise ValueError(
                f"{argument} is {value!r}: expected an integer of at least {least}; "
                f"pass for example {argument}={max(least, 1000 if least else 0)}"
            )


def _draw_images(rng: Rng, shape: Numbers, filled: Filled) -> tuple[np.ndarray, np.ndarray]:
    """Images, and their masks."""
    # Rather dark: objects are more often lighter than darker, so that a network without
    # convolutions learns something too. This is so for every class alike.
    ground = rng.uniform(0, 150, (len(shape), 3))
    # The second colour of a texture is near the first, or no object could stand out from both.
    other_ground = np.clip(ground + rng.normal(0, 30, ground.shape), 0, 255)
    colour = _contrasting_colours(rng, ground, other_ground)
    ground, other_ground, colour = (
        array[:, None, None].astype(np.float32) for array in (ground, other_ground, colour)
    )
    texture = _textures(rng, len(shape))[..., None]
    scenes = (ground + texture * (other_ground - ground)).astype(np.uint8)
    for scene in scenes:
        _draw_distractors(rng, scene)
    silhouettes, ink = _draw_objects(_place(rng, shape), filled)
    images = scenes + ink[..., None] * (colour - scenes)
    images += rng.integers(-NOISE, NOISE, images.shape, np.int8, endpoint=True)
    return np.clip(images, 0, 255, out=images).astype(np.uint8), silhouettes >= MASK_COVERAGE


def _contrasting_colours(rng: Rng, first: Colours, second: Colours) -> Colours:
    """Draw colours that are uniform but for the neighbourhood of two others."""
    candidates = rng.uniform(0, 255, (len(first), 32, 3))
    # The eye tells greens apart better than blues and reds: weights of a common approximation.
    perceived = np.sqrt(np.array([2, 4, 3]) / 9)
    distance = np.minimum(
        np.linalg.norm((candidates - first[:, None]) * perceived, axis=-1),
        np.linalg.norm((candidates - second[:, None]) * perceived, axis=-1),
    )
    # The first that is far enough; in the rare case of none, the farthest.
    chosen = np.argmax(np.minimum(distance, CONTRAST), axis=1)
    return candidates[np.arange(len(first)), chosen]


def _textures(rng: Rng, n: int) -> Pixels:
    """Draw blends in [0, 1] of blotches, coarse and fine, and of waves."""
    texture = np.zeros((n, SIZE, SIZE), np.float32)
    for cells in (4, 11):
        # Linear interpolation between the points of a random grid, as two matrix products.
        position = np.linspace(0, cells - 1, SIZE)[:, None]
        spread = np.maximum(0, 1 - np.abs(position - np.arange(cells))).astype(np.float32)
        grid = rng.standard_normal((n, cells, cells), np.float32)
        texture += rng.uniform(0.2, 1, (n, 1, 1)).astype(np.float32) * (spread @ grid @ spread.T)
    low, high = [0, 4, 0, 0], [np.pi, 16, 2 * np.pi, 1]
    drawn = rng.uniform(low, high, (n, 4)).astype(np.float32)
    angle, period, phase, amplitude = drawn.T[..., None, None]
    pixel = np.arange(SIZE, dtype=np.float32)
    distance = np.cos(angle) * pixel + np.sin(angle) * pixel[:, None]
    texture += amplitude * np.sin(distance * (2 * np.pi / period) + phase)
    return np.clip(0.5 + 0.4 * texture, 0, 1)


def _draw_distractors(rng: Rng, scene: UInt8[np.ndarray, "32 32 3"]) -> None:
    """Draw short strokes and dots into an image; the object, drawn later, is never hidden."""
    count = rng.integers(2, MAX_DISTRACTORS + 1)
    colours = rng.integers(0, 256, (count, 3)).tolist()
    unit = 1 << SUBPIXEL_BITS
    start = rng.uniform(0, SIZE, (count, 2))
    angle = rng.uniform(0, 2 * np.pi, count)
    is_dot = rng.random(count) < 0.4
    length = np.where(is_dot, 0.5, rng.uniform(2.5, 6, count))
    end = start + length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    start, end = (start * unit).astype(int).tolist(), (end * unit).astype(int).tolist()
    for i, colour in enumerate(colours):
        # A very short thick line is a round dot; OpenCV's own small discs look like crosses.
        thickness = 2 + i % 2 if is_dot[i] else 1
        cv2.line(scene, start[i], end[i], colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS)


def _place(rng: Rng, shape: Numbers) -> Outlines:
    """Turn, scale and move the outline of each object."""
    n = len(shape)
    angle = rng.uniform(-ROTATION, ROTATION, n)
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], axis=1)
    scale = np.sqrt(rng.uniform(*AREA, n))[:, None, None]
    vertices = OUTLINES[shape] @ rotation * scale
    low, high = vertices.min(axis=1), vertices.max(axis=1)
    corner = rng.random((n, 2)) * (SIZE - (high - low))
    return vertices + (corner - low)[:, None]


def _draw_objects(outlines: Outlines, filled: Filled) -> tuple[Pixels, Pixels]:
    """How much of each pixel the silhouettes and the drawn objects cover, in [0, 1]."""
    # OpenCV puts the centre of the first pixel at 0, `outlines` put its corner there.
    fixed = (outlines * SUPERSAMPLE - 0.5) * (1 << SUBPIXEL_BITS)
    silhouettes = np.empty((len(outlines), SIZE, SIZE), np.uint8)
    ink = np.empty_like(silhouettes)
    stroke = round(2 * STROKE * SUPERSAMPLE)  # its outer half falls outside of the silhouette
    for i, points in enumerate(np.rint(fixed).astype(np.int32)):
        canvas = np.zeros((SIZE * SUPERSAMPLE,) * 2, np.uint8)
        cv2.fillPoly(canvas, [points], 255, cv2.LINE_8, SUBPIXEL_BITS)
        cv2.resize(canvas, (SIZE, SIZE), silhouettes[i], interpolation=cv2.INTER_AREA)
        ink[i] = silhouettes[i]
        if not filled[i]:
            inside = canvas.copy()
            cv2.polylines(inside, [points], True, 0, stroke, cv2.LINE_8, SUBPIXEL_BITS)
            cv2.resize(canvas - inside, (SIZE, SIZE), ink[i], interpolation=cv2.INTER_AREA)
    return silhouettes / np.float32(255), ink / np.float32(255)


def _arc(start: float, stop: float, n: int) -> Float[np.ndarray, "n 2"]:
    angle = np.linspace(np.deg2rad(start), np.deg2rad(stop), n)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _upright_outlines() -> Outlines:
    """The outlines of `SHAPES10` (y points down), of area 1."""
    star = _arc(-90, 270, 11)[:-1]
    star[1::2] *= 0.45
    t = np.linspace(0, 2 * np.pi, 33)[:-1]
    heart_y = -13 * np.cos(t) + 5 * np.cos(2 * t) + 2 * np.cos(3 * t) + np.cos(4 * t)
    outlines = {
        "circle": _arc(0, 360, 33)[:-1],
        "square": [(0, 0), (1, 0), (1, 1), (0, 1)],
        "triangle": [(0, -1), (1.1, 0.9), (-1.1, 0.9)],
        "star": star,
        "cross": [(1, 0), (2, 0), (2, 1), (3, 1), (3, 2), (2, 2),
                  (2, 3), (1, 3), (1, 2), (0, 2), (0, 1), (1, 1)],
        # Between two circles that meet at 50 degrees either way from the right.
        "crescent": np.concatenate(
            [_arc(50, 310, 24), _arc(-100, -260, 16)[1:-1] * 0.78 + (0.78, 0)]
        ),
        "heart": np.stack([16 * np.sin(t) ** 3, heart_y], axis=1),
        "arrow": [(0, 1), (2, 1), (2, 0), (4, 1.9), (2, 3.8), (2, 2.8), (0, 2.8)],
        "letter L": [(0, 0), (1.1, 0), (1.1, 2), (2.6, 2), (2.6, 3.1), (0, 3.1)],
        "hourglass": [(0, 0), (2, 0), (1.2, 1.3), (2, 2.6), (0, 2.6), (0.8, 1.3)],
    }  # fmt: skip
    length, table = max(map(len, outlines.values())), []
    for name in SHAPES10:
        x, y = np.asarray(outlines[name], float).T
        area = abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2
        # One array for all: a repeated last vertex changes no polygon.
        repeated = np.pad(np.stack([x, y], 1), ((0, length - len(x)), (0, 0)), "edge")
        table.append(repeated / np.sqrt(area))
    return np.stack(table)


OUTLINES = _upright_outlines()
