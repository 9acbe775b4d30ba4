"""Any values whatever: a configuration that comes back from JSON, or an error of one line."""

import json
from dataclasses import fields
from typing import get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labutils.config import ConfigError, DistillConfig, FCNConfig, RunConfig, TransferConfig

KINDS = (RunConfig, FCNConfig, TransferConfig, DistillConfig)
NUMBERS = st.one_of(
    st.integers(-2, 40),
    st.sampled_from([2**31, 2**32 - 1, 2**32, 2**63, 10**30, 10**400, -(10**400)]),
    st.floats(),
)
SIMPLE = st.one_of(NUMBERS, st.booleans(), st.none(), st.text(max_size=5))
ANYTHING = st.one_of(
    SIMPLE, st.lists(NUMBERS, max_size=3), st.dictionaries(st.text(max_size=3), SIMPLE, max_size=2)
)


@st.composite
def values(draw, kind):
    """Values for some fields: most of the right type, some of any."""
    hints = get_type_hints(kind)
    names = draw(st.lists(st.sampled_from(fields(kind)), unique=True, max_size=6))
    found = {}
    for name in (field.name for field in names):
        whole = int in (hints[name], *get_args(hints[name]))
        fitting = st.integers(1, 30) if whole else st.from_type(hints[name])
        found[name] = draw(ANYTHING if draw(st.integers(0, 9)) == 9 else fitting)
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_a_configuration_or_an_error_of_one_line(kind, data):
    try:
        config = kind.from_dict(data.draw(values(kind)))
    except ConfigError as error:
        assert str(error) and len(str(error).splitlines()) == 1
        return
    stored = json.loads(json.dumps(config.to_dict(), allow_nan=False))
    again = kind.from_dict(stored)
    assert again == config and again.name == config.name and hash(again) == hash(config)
    assert len(config.name.splitlines()) == 1 and "/" not in config.name
