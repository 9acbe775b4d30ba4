"""Ink on paper: which values of a picture are ink, and how much of it is where, light on black."""

import itertools

import cv2
import numpy as np
from jaxtyping import Float

from labutils.data.pictures import Grey, Picture

STROKES = (3, 5)  # pixels of width that tell ink from ground
ENOUGH = 1_000_000  # pixels of a picture that is asked what is ink
SHORTEST = 14  # pixels of a side
GRAIN = 4  # of 255, that paper, camera and JPEG add to any picture
FAINTEST = 0.06  # of the range of values: ink of less contrast is shown fainter
LOCAL = 0.3  # of the strongest ink: fainter ink is shown as if it were alone
NOISE = 3  # deviations from the ground that are ground, too

Values = Float[np.ndarray, "height width"]


def light_on_black(picture: Picture) -> Grey:
    """The grey values of a picture with one large digit as light on black.

    Dark ink on a light ground is inverted. A picture without contrast is black.
    """
    return on_black(ink(picture), min(picture.shape[:2]) // 3)


def ink(picture: Picture) -> Values:
    """The grey values of a picture, or a colour's, the ink higher than its ground.

    Ink is thin: whether more rises or falls within a few pixels decides what is ink, at the size
    of the picture and at a half, a quarter, and so on. Of grey and the differences of red and blue
    from it (YCrCb) the one counts in which there is most of it.
    """
    channels = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    thin = [_thinness(channels[..., number]) for number in range(3)]
    most = int(np.argmax(np.abs(thin)))
    return channels[..., most] if thin[most] >= 0 else -channels[..., most]


def on_black(values: Values, window: int) -> Grey:
    """Values that rise above their surroundings within `window` pixels, as light on black.

    The ground is a morphological opening: it follows shadows, and the edges of paper on a table,
    and what lies along an edge of the picture is ground. The strongest ink within two windows or
    so becomes 255, so that one black pixel hides no pencil. Noise of the ground becomes 0.

    Source: Meyer 1979, "Iterative image transformations for an automatic screening of cervical
    smears" (the top-hat).
    """
    raised = _top_hat(values, window)
    smooth = cv2.GaussianBlur(raised, (0, 0), 1)  # a grain of dust counts little
    if smooth.max() <= GRAIN:
        return np.zeros(values.shape, np.uint8)
    reach = 2 * max(window, 1) + 1
    local = cv2.blur(cv2.dilate(smooth, np.ones((reach, reach), np.uint8)), (reach, reach))
    sample = raised[::2, ::2]
    ground = np.median(sample)
    noise = 1.5 * np.median(np.abs(sample - ground))
    full = 0.9 * np.maximum(local, max(LOCAL * smooth.max(), FAINTEST * 255, 10 * noise))
    black = ground + NOISE * noise
    shown = (raised - black) / np.maximum(full - black, 1)
    return (255 * shown.clip(0, 1)).round().astype(np.uint8)


def _top_hat(values: Values, window: int) -> Values:
    square = np.ones((max(window, 1) | 1,) * 2, np.uint8)
    return cv2.morphologyEx(values, cv2.MORPH_TOPHAT, square, borderType=cv2.BORDER_REPLICATE)


def _thinness(values: Values) -> float:
    """Squares of what rises within a few pixels, less those of what falls, at all sizes."""
    total = 0.0
    while values.size > ENOUGH:
        values = _halved(values)
    while np.ptp(values):  # grey pictures have no colours
        for stroke, sign in itertools.product(STROKES, (1, -1)):
            smooth = cv2.GaussianBlur(_top_hat(sign * values, stroke), (0, 0), 1)
            total += sign * float((np.maximum(smooth - GRAIN, 0) ** 2).sum())
        if min(values.shape) < 2 * SHORTEST:
            break
        values = _halved(values)
    return total


def _halved(values: Values) -> Float[np.ndarray, "rows columns"]:
    return cv2.resize(values, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
