"""The kinds of canvases that detectors are tested on."""

from dataclasses import dataclass, field
from typing import Any

import torch

from labutils.data.canvases import NO_DIGIT, Canvases, concatenate, draw_canvases
from labutils.data.sets import Split

COUNT = 2_000  # canvases a condition, and at most one for four digits that are drawn from
AGAIN = 10_000_000  # added to the seed each time that some canvases are drawn again
MOST_DRAWS = 50


@dataclass(frozen=True)
class Condition:
    """One kind of canvas: `options` are those of `draw_canvases`, the seed among them."""

    name: str
    options: dict[str, Any] = field(hash=False)


CONDITIONS = (
    Condition("one digit", {"seed": 3_000_001}),
    Condition("one digit, scale 0.7 to 1", {"seed": 3_000_002, "scale": (0.7, 1.0)}),
    Condition("one digit, scale 1 to 1.5", {"seed": 3_000_003, "scale": (1.0, 1.5)}),
    Condition("one digit, clutter", {"seed": 3_000_004, "clutter": 1.0}),
    Condition("one digit on 96 x 96", {"seed": 3_000_005, "size": (96, 96)}),
    Condition("one digit on 128 x 128", {"seed": 3_000_006, "size": (128, 128)}),
    Condition("one digit on 200 x 120", {"seed": 3_000_007, "size": (120, 200)}),
    Condition("two digits on 96 x 96", {"seed": 3_000_011, "number": (2, 2), "size": (96, 96)}),
    Condition("three digits on 96 x 96", {"seed": 3_000_012, "number": (3, 3), "size": (96, 96)}),
    Condition("four digits on 96 x 96", {"seed": 3_000_013, "number": (4, 4), "size": (96, 96)}),
    Condition("grid of digits on 96 x 96", {"seed": 3_000_009, "layout": "grid", "size": (96, 96)}),
    Condition(
        "two or three, touching, on 96 x 96",
        {"seed": 3_000_016, "number": (2, 3), "size": (96, 96), "layout": "touching"},
    ),
)

# Digits of other sizes than those trained on, for the image pyramid.
SIZES = (
    Condition("one digit, scale 0.5", {"seed": 3_000_014, "scale": (0.5, 0.5)}),
    Condition(
        "one digit on 200 x 120, scale 2 to 3",
        {"seed": 3_000_015, "scale": (2.0, 3.0), "size": (120, 200)},
    ),
)


def condition(name: str) -> Condition:
    """One of `CONDITIONS` by its name.

    Raises:
        KeyError: there is none; the message lists them.
    """
    named = {one.name: one for one in CONDITIONS}
    if name not in named:
        raise KeyError(f"no condition {name!r}: choose one of {'; '.join(named)}")
    return named[name]


def canvases_of(condition: Condition, digits: Split, count: int | None = None) -> Canvases:
    """Canvases of a condition; by default those that are measured, as many as there are.

    Each holds as many digits as the condition says: where `draw_canvases` found no place for one,
    the canvas is drawn again. Another `count` draws other canvases.

    Raises:
        ValueError: so many digits hardly ever find a place.
    """
    options, count = condition.options, count or canvas_count(len(digits))
    fewest, _ = options.get("number", (1, 1))
    drawn = draw_canvases(digits, count, **options)
    for draw in range(1, MOST_DRAWS):
        short = ((drawn.labels != NO_DIGIT).sum(1) < fewest).nonzero().flatten()
        if len(short) == 0:
            return drawn
        again = options | {"seed": options["seed"] + draw * AGAIN}
        place = torch.arange(count)
        place[short] = count + torch.arange(len(short))
        drawn = concatenate([drawn, draw_canvases(digits, len(short), **again)]).take(place)
    raise ValueError(
        f"{condition.name!r}: {len(short)} canvases hold fewer than {fewest} digits after "
        f"{MOST_DRAWS} draws: ask for fewer digits, or larger canvases"
    )


def canvas_count(digits: int) -> int:
    """How many canvases are drawn with the digits of a split that has so many."""
    return min(COUNT, digits // 4)
