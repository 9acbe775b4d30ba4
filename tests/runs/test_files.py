import gzip
import json
import math

import pytest

from labutils.runs.files import (
    RunError,
    as_json,
    digest_of,
    finite,
    history_files,
    read_history,
    with_nan,
)


def test_what_is_not_finite_is_none_and_nan_again():
    given = {"a": [1.0, math.nan, (math.inf, 2)], "b": "text", "c": {"d": -math.inf}}
    stored = finite(given)
    assert stored == {"a": [1.0, None, [None, 2]], "b": "text", "c": {"d": None}}
    read = with_nan(stored)
    assert math.isnan(read["a"][1]) and math.isnan(read["c"]["d"]) and read["a"][2][1] == 2


def test_floats_are_rounded_to_significant_digits():
    assert finite([123456.7, 1.23456789e-9, 7], 3) == [123000.0, 1.23e-9, 7]


def test_a_history_has_a_line_a_quantity_and_its_layers_are_compressed(tmp_path):
    history = {"loss": [1.0, 0.5], "layers": {"norm": [[1.0, 2.0], [3.0, math.nan]]}}
    written = history_files(history)
    assert written == history_files(history), "equal for equal histories"
    assert written["history.json"].decode().splitlines() == [
        "{", ' "loss": [1.0,0.5],', ' "layers": "layers.json.gz"', "}",
    ]  # fmt: skip
    assert json.loads(gzip.decompress(written["layers.json.gz"])) == {
        "norm": [[1.0, 2.0], [3.0, None]]
    }
    for name, content in written.items():
        (tmp_path / name).write_bytes(content)
    stored = {"loss": [1.0, 0.5], "layers": {"norm": [[1.0, 2.0], [3.0, None]]}}
    assert read_history(tmp_path) == stored


def test_a_history_of_an_older_version_has_its_layers_in_one_file(tmp_path):
    stored = {"loss": [1.0], "layers": {"norm": [[1.0, None]]}}
    (tmp_path / "history.json").write_text(json.dumps(stored))
    assert read_history(tmp_path) == stored


DAMAGED = {
    "empty": b"",
    "not compressed": b"{}",
    "a list": gzip.compress(b"[1]"),
    "cut short": gzip.compress(b"{}")[:-9],
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_layers_without_checksums_are_named(tmp_path, content):
    (tmp_path / "history.json").write_text('{"layers": "layers.json.gz"}')
    (tmp_path / "layers.json.gz").write_bytes(content)
    with pytest.raises(RunError, match="layers.json.gz"):
        read_history(tmp_path)


def test_what_is_not_finite_is_never_written_by_mistake():
    assert json.loads(as_json({"a": [1]})) == {"a": [1]}
    with pytest.raises(ValueError):
        as_json({"a": [1, math.nan]})


def test_a_digest_is_of_the_value_and_not_of_its_lines():
    value = {"b": [0.1, 1 / 3], "a": {"2": None}}
    assert digest_of(json.loads(as_json(value))) == digest_of(dict(reversed(value.items())))
    assert digest_of(value) != digest_of(value | {"b": [0.1, 0.3333333333333334]})
