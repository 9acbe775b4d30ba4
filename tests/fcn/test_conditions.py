import pytest
import torch

from labutils import data
from labutils.data.canvases import BACKGROUND, draw_canvases
from labutils.fcn import conditions
from labutils.fcn.conditions import (
    CONDITIONS,
    SIZES,
    Condition,
    canvas_count,
    canvases_of,
    condition,
)


def test_conditions_have_names_and_seeds_of_their_own():
    every = [*CONDITIONS, *SIZES]
    assert len({one.name for one in every}) == len(every)
    assert len({one.options["seed"] for one in every}) == len(every)


def test_a_condition_is_found_by_its_name():
    assert condition("one digit") is CONDITIONS[0]
    with pytest.raises(KeyError, match="no condition 'a hundred'.*one digit; "):
        condition("a hundred")


def test_there_is_one_canvas_for_four_digits_up_to_a_number():
    digits = data.load("digits").test
    assert canvas_count(len(digits)) == len(digits) // 4 == len(canvases_of(CONDITIONS[0], digits))
    assert canvas_count(10_000) == conditions.COUNT


@pytest.mark.parametrize("one", [*CONDITIONS, *SIZES], ids=lambda one: one.name)
def test_every_canvas_is_what_the_name_of_its_condition_says(one):
    digits = data.load("digits").test
    drawn = canvases_of(one, digits)
    assert len(drawn) == canvas_count(len(digits))
    height, width = one.options.get("size", (64, 64))
    if " on " in one.name:
        size = one.name.split(" on ")[1].split(",")[0]
        assert size in (f"{width} x {height}", f"{height} x {width}")
    assert drawn.images.shape[1:] == (1, height, width)
    there = (drawn.labels >= 0).sum(1)
    words = {"one": {1}, "two": {2}, "three": {3}, "four": {4}, "grid": {9}, "two or": {2, 3}}
    first, second, *_ = one.name.split()
    assert set(there.tolist()) == words.get(f"{first} {second}", words.get(first))
    assert torch.equal(drawn.images, canvases_of(one, digits).images)


@pytest.mark.parametrize("one", [*CONDITIONS, *SIZES], ids=lambda one: one.name)
def test_digits_of_a_canvas_lie_as_the_name_of_its_condition_says(one):
    """Side by side with a gap, or touching: then each box begins where the one before ends."""
    drawn = canvases_of(one, data.load("digits").test)
    gaps = []
    for index in range(len(drawn)):
        boxes, _ = drawn.digits(index)
        for left, right in zip(boxes[:-1], boxes[1:], strict=True):
            across = right[0] - left[2]
            down = torch.maximum(left[1], right[1]) - torch.minimum(left[3], right[3])
            gaps.append((across if "touching" in one.name else max(across, down)).item())
    if "touching" in one.name:
        assert -4 <= min(gaps) and max(gaps) <= 1
    else:
        assert all(gap >= 0 for gap in gaps)


@pytest.mark.parametrize("scale, name", [((0.7, 1), "0.7 to 1"), ((1, 1.5), "1 to 1.5"),
                                         ((0.5, 0.5), "0.5"), ((2, 3), "2 to 3")])  # fmt: skip
def test_the_scales_of_a_condition_are_those_of_its_name(scale, name):
    (one,) = (one for one in (*CONDITIONS, *SIZES) if one.name.endswith(f"scale {name}"))
    assert one.options["scale"] == scale


def test_clutter_is_behind_every_digit_of_its_condition_and_of_no_other():
    for one in (*CONDITIONS, *SIZES):
        assert one.options.get("clutter", 0.0) == ("clutter" in one.name)
        if "clutter" in one.name:
            digits = data.load("digits").test
            bare = draw_canvases(digits, 30, **one.options | {"clutter": 0.0})
            changed = canvases_of(one, digits, 30).images != bare.images
            assert changed.flatten(1).any(1).float().mean() > 0.95, "a digit hides a small piece"
            assert not changed[bare.classes[:, None] != BACKGROUND].any()


def test_canvases_that_are_drawn_again_leave_the_others_as_they_are():
    """The first draw drops digits that find no place; so it does in training still."""
    digits, one = data.load("digits").test, condition("two or three, touching, on 96 x 96")
    first = draw_canvases(digits, canvas_count(len(digits)), **one.options)
    final = canvases_of(one, digits)
    short = (first.labels >= 0).sum(1) < 2
    assert 0 < short.sum() < len(short) / 2
    assert torch.equal(first.images[~short], final.images[~short])
    assert not torch.equal(first.images[short], final.images[short])


def test_what_never_finds_a_place_is_said():
    crowded = Condition("nine digits on 40 x 40", {"seed": 1, "number": (9, 9), "size": (40, 40)})
    with pytest.raises(ValueError, match="'nine digits on 40 x 40': 3 canvases hold fewer than 9"):
        canvases_of(crowded, data.load("digits").test, 3)
