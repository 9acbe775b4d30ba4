"""docs/safety.md: each promise names a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_each_promise_names_a_test():
    page = (ROOT / "docs" / "safety.md").read_text()
    promises = [line for line in page.splitlines() if re.match(r"\| (?!What)\w", line)]
    assert len(promises) > 20
    for line in promises:
        named = re.findall(r"`([\w/.]+)::(\w+)`", line)
        assert named, line
        for file, function in named:
            assert f"\ndef {function}(" in (ROOT / "tests" / file).read_text(), line
