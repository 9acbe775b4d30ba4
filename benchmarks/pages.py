"""Pages of handwritten digits, as scanners and telephones see them: how many are read whole."""

import io
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import PIL.Image
import torch

from benchmarks.timing import compare, keep
from labutils import data
from labutils.config.profiles import profile
from labutils.data.splits import Split
from labutils.fcn.networks import load_detector
from labutils.fcn.pictures import read_digits, read_page
from labutils.fcn.scores import validation_threshold
from labutils.report.detector.experiments import BEST_HEAD
from labutils.report.experiments import load

PAGES = 100
PART = 20  # pages whose shares make one ratio
SEED = 23
TIMED = 6  # pages
SHEET, DIGITS = 2_000, 60  # pixels of its sides, digits on it
PAPER = ((252, 252, 250), (238, 236, 230), (250, 240, 205), (200, 170, 130), (225, 240, 250))
INK = ((20, 20, 25), (25, 45, 140), (170, 30, 35), (20, 100, 50))
BOARD, CHALK = ((35, 60, 45), (40, 40, 45)), ((240, 240, 235), (250, 235, 150))
TROUBLES = {  # and the share of pages that have them
    "chalk": 0.15, "pencil": 0.3, "colours": 0.15, "pen": 0.4, "shadow": 0.35, "table": 0.2,
    "dust": 0.3,
}  # fmt: skip
# Colours of equal lightness: grey shows nothing of what is written.
EQUAL = (((0, 188, 230), (240, 140, 20)), ((120, 190, 110), (235, 130, 165)))


class Page(NamedTuple):
    """A picture, what is written on it, and what makes it hard to read.

    Attributes:
        picture: red, green, blue, after JPEG.
        text: the digits from left to right.
        troubles: names of what was drawn besides.
    """

    picture: np.ndarray
    text: str
    troubles: tuple[str, ...]


def draw_pages(digits: Split, count: int = PAGES, seed: int = SEED) -> Iterator[Page]:
    """Pages of three to six digits on a line, each trouble on its share of them."""
    for number in range(count):
        random = np.random.default_rng([seed, number])
        troubles = {name: bool(random.random() < share) for name, share in TROUBLES.items()}
        ink, text = _written(digits, random, troubles["pen"])
        page = _shaded(_colored(ink, random, troubles), random, troubles["shadow"])
        page = _on_a_table(page, random) if troubles["table"] else page
        page += random.normal(0, random.uniform(0.5, 4), page.shape)
        if troubles["dust"]:
            for _ in range(random.integers(1, 6)):
                at = tuple(random.integers(0, page.shape[:2]))
                page[at] = random.choice((0, 255))
        picture = PIL.Image.fromarray(page.clip(0, 255).astype(np.uint8))
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=int(random.integers(60, 96)))
        picture = np.array(PIL.Image.open(file))
        yield Page(picture, text, tuple(name for name, there in troubles.items() if there))


def _written(digits: Split, random: np.random.Generator, pen: bool) -> tuple[np.ndarray, str]:
    """How much ink is where, in [0, 1], and the digits."""
    height = int(random.integers(24, 90))  # of MNIST's picture, 1.4 times as high as the digit
    chosen = random.integers(0, len(digits.labels), random.integers(3, 7))
    page = np.zeros((int(height * random.uniform(1.4, 3)), height * (len(chosen) + 1)))
    left = random.integers(0, height // 2 + 1)
    for index in chosen:
        image = digits.images[index, 0].numpy()
        drawn = cv2.resize(image, (height, height), interpolation=cv2.INTER_CUBIC) / 255
        top = (page.shape[0] - height) // 2 + int(random.integers(-height // 8, height // 8 + 1))
        page[top : top + height, left : left + height] += drawn
        left += int(height * random.uniform(0.85, 1.1))
    if pen:  # a thin one or a marker
        kernel = np.ones(2 * [max(2, round(height / 28 * random.uniform(1, 2)))])
        page = cv2.erode(page, kernel) if random.random() < 0.5 else cv2.dilate(page, kernel)
    return page.clip(0, 1), "".join(str(digits.labels[index].item()) for index in chosen)


def _colored(ink: np.ndarray, random: np.random.Generator, troubles: dict[str, bool]) -> np.ndarray:
    if troubles["colours"]:
        colors = EQUAL[random.integers(len(EQUAL))]
        paper, pen = colors if random.random() < 0.5 else colors[::-1]
    elif troubles["chalk"]:
        paper, pen = BOARD[random.integers(len(BOARD))], CHALK[random.integers(len(CHALK))]
    else:
        paper, pen = PAPER[random.integers(len(PAPER))], INK[random.integers(len(INK))]
    pressure = random.uniform(0.25, 0.5) if troubles["pencil"] else random.uniform(0.8, 1)
    alpha = pressure * ink[..., None]
    return alpha * np.array(pen, float) + (1 - alpha) * np.array(paper, float)


def _shaded(page: np.ndarray, random: np.random.Generator, shadow: bool) -> np.ndarray:
    """Light from one side, or a hand before the lamp."""
    if not shadow:
        return page
    rows, columns = np.mgrid[0 : page.shape[0], 0 : page.shape[1]]
    angle = random.uniform(0, 2 * np.pi)
    along = rows * np.sin(angle) + columns * np.cos(angle)
    along = (along - along.min()) / np.ptp(along)
    if random.random() < 0.5:
        along = 1 / (1 + np.exp((random.uniform(0.3, 0.7) - along) / random.uniform(0.01, 0.1)))
    return page * (1 - random.uniform(0.3, 0.65) * along[..., None])


def _on_a_table(page: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A slip of paper on something darker or lighter."""
    sides = random.uniform(0.1, 0.8, 4) * page.shape[0]
    top, bottom, left, right = sides.astype(int)
    light = random.choice((30, 60, 100, 235))
    table = np.full((page.shape[0] + top + bottom, page.shape[1] + left + right, 3), float(light))
    table += cv2.GaussianBlur(random.normal(0, 12, table.shape), (0, 0), 2)
    table[top : top + page.shape[0], left : left + page.shape[1]] = page
    return table


def draw_sheet(digits: Split, seed: int = SEED) -> np.ndarray:
    """Digits of 21 to 107 pixels of height, scattered on a large sheet, with camera noise."""
    random = np.random.default_rng(seed)
    ink = np.zeros((SHEET, SHEET))
    for image in digits.images[:DIGITS, 0].numpy():
        side = int(random.integers(30, 150))  # of MNIST's picture
        top, left = random.integers(0, SHEET - side, 2)
        ink[top : top + side, left : left + side] += cv2.resize(image, (side, side)) / 255
    grey = 240 - 200 * ink.clip(0, 1) + random.normal(0, 2, ink.shape)
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, 2)


def _by_extremes(picture: np.ndarray) -> np.ndarray:
    """Light on black as one would write it first: the median is ground, the farthest value ink."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(float)
    ground = np.median(grey)
    light = grey.max() - ground >= ground - grey.min()
    ink = grey - ground if light else ground - grey
    return (255 * ink / max(ink.max(), 1)).clip(0, 255).round().astype(np.uint8)


def main() -> None:
    run = load("detector", profile(), head=BEST_HEAD, seed=0)[0]
    asked = {"threshold": validation_threshold(run), "scales": run.config.scale}
    plain, network = load_detector(run), load_detector(run).to(memory_format=torch.channels_last)

    def before(picture: np.ndarray) -> str:
        return read_digits(plain, _by_extremes(picture), **asked).text

    def after(picture: np.ndarray) -> str:
        return read_page(network, picture, **asked).text

    test = data.load(run.config.data).test
    pages, sheet = list(draw_pages(test)), draw_sheet(test)
    right = np.array(
        [[read(page.picture) == page.text for page in pages] for read in (before, after)]
    )
    count = right.sum(1)
    shares = right.reshape(2, -1, PART).mean(2)
    keep(
        "pages",
        f"Pages of {len(pages)} read whole: {count[1]} with ground and ink told apart locally / "
        f"{count[0]} by extremes of the picture",
        (shares[1] / shares[0]).tolist(),
        pages=len(pages),
        read=dict(zip(("before", "after"), count.tolist(), strict=True)),
        troubles=_by_trouble(pages, right),
    )
    compare(
        "pages-time",
        "Reading pages, at all sizes of the picture / at those needed, where there is ink",
        lambda: [before(page.picture) for page in pages[:TIMED]],
        lambda: [after(page.picture) for page in pages[:TIMED]],
        5,
    )
    compare(
        "pages-sheet",
        f"Reading a sheet of {SHEET:,} x {SHEET:,} pixels, in the same two ways",
        lambda: before(sheet),
        lambda: after(sheet),
        3,
    )


def _by_trouble(pages: list[Page], right: np.ndarray) -> dict[str, dict[str, int]]:
    """Of each trouble: pages that have it, and how many of these are read before and after."""
    found = {}
    for name in TROUBLES:
        there = np.array([name in page.troubles for page in pages])
        before, after = right[:, there].sum(1).tolist()
        found[name] = {"pages": int(there.sum()), "before": before, "after": after}
    return found


if __name__ == "__main__":
    main()
