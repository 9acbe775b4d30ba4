import json
import math

import pytest

from labutils.runs.files import as_json, digest_of, finite, history_json, with_nan


def test_what_is_not_finite_is_none_and_nan_again():
    given = {"a": [1.0, math.nan, (math.inf, 2)], "b": "text", "c": {"d": -math.inf}}
    stored = finite(given)
    assert stored == {"a": [1.0, None, [None, 2]], "b": "text", "c": {"d": None}}
    read = with_nan(stored)
    assert math.isnan(read["a"][1]) and math.isnan(read["c"]["d"]) and read["a"][2][1] == 2


def test_floats_are_rounded_to_significant_digits():
    assert finite([123456.7, 1.23456789e-9, 7], 3) == [123000.0, 1.23e-9, 7]


def test_a_history_has_a_line_a_quantity_and_for_layers_one_an_epoch():
    history = {"loss": [1.0, 0.5], "layers": {"norm": [[1.0, 2.0], [3.0, math.nan]]}}
    text = history_json(history)
    assert text.splitlines() == [
        "{", ' "loss": [1.0,0.5],', ' "layers": {', '  "norm": [', "   [1.0,2.0],",
        "   [3.0,null]]}", "}",
    ]  # fmt: skip
    assert json.loads(text) == {"loss": [1.0, 0.5], "layers": {"norm": [[1.0, 2.0], [3.0, None]]}}


def test_what_is_not_finite_is_never_written_by_mistake():
    assert json.loads(as_json({"a": [1]})) == {"a": [1]}
    with pytest.raises(ValueError):
        as_json({"a": [1, math.nan]})


def test_a_digest_is_of_the_value_and_not_of_its_lines():
    value = {"b": [0.1, 1 / 3], "a": {"2": None}}
    assert digest_of(json.loads(as_json(value))) == digest_of(dict(reversed(value.items())))
    assert digest_of(value) != digest_of(value | {"b": [0.1, 0.3333333333333334]})
