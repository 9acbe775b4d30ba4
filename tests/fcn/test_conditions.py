import pytest
import torch

from labutils import data
from labutils.fcn import conditions
from labutils.fcn.conditions import CONDITIONS, SIZES, canvas_count, canvases_of, condition


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


@pytest.mark.parametrize("one", CONDITIONS, ids=[one.name for one in CONDITIONS])
def test_canvases_are_those_that_the_name_says(one):
    drawn = canvases_of(one, data.load("digits").test, 20)
    height, width = one.options.get("size", (64, 64))
    assert drawn.images.shape == (20, 1, height, width)
    there = (drawn.labels >= 0).sum(1)
    words = {"one": 1, "two": 2, "three": 3, "four": 4}
    word = one.name.split()[0]
    if "touching" in one.name:
        assert there.max() == 3 and there.float().mean() > 1.5
    elif word in words:
        assert there.max() == words[word] and (there == words[word]).float().mean() > 0.9
    assert torch.equal(drawn.images, canvases_of(one, data.load("digits").test, 20).images)
