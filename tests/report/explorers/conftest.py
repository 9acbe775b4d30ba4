"""What tests of all explorers share."""

import pytest


@pytest.fixture
def shown(monkeypatch):
    """What the explorer displays, newest last, without a notebook."""
    seen = []
    monkeypatch.setattr("labutils.report.explorers.drawing.display", seen.append)
    return seen
