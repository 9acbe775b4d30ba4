"""Colours that several figures share."""

import pytest

from labutils.report import style


def test_each_of_several_has_a_colour_of_its_own_and_more_than_there_are_is_an_error():
    names = [f"line {number}" for number in range(len(style.OTHERS))]
    colors = style.colors_of([*names, *names])
    assert list(colors) == names and len(set(colors.values())) == len(names)
    with pytest.raises(ValueError, match=f"{len(names) + 1} lines, {len(names)} colours"):
        style.colors_of([*names, "one more"])
