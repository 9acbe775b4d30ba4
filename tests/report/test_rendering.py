import pandas as pd
import pytest

from labutils.models.blocks import Block
from labutils.report import rendering
from labutils.report.rendering import markdown, show


def test_markdown_has_as_many_cells_in_each_line():
    frame = pd.DataFrame({"a": ["CIFAR-10", "z"], "b": [1, "- z"], "c": ["1 ± 2 %", "z"]})
    # words to the left; a line may break between cells alone
    assert markdown(frame).splitlines() == [
        "| a | b | c |",
        "|:---|---:|---:|",
        "| CIFAR\N{NON-BREAKING HYPHEN}10 | 1 | 1\xa0±\xa02\xa0% |",
        "| z | - z | z |",
    ]


@pytest.fixture
def shown(monkeypatch):
    """What is displayed."""
    displayed = []
    monkeypatch.setattr("IPython.display.display", displayed.append)
    return displayed


def test_a_notebook_shows_the_table_and_in_quick_its_notice(monkeypatch, shown):
    frame = pd.DataFrame({"depth": [4, 10]})
    monkeypatch.setenv("LAB_PROFILE", "full")
    show(frame)
    assert [one.data for one in shown] == [markdown(frame)]
    monkeypatch.setenv("LAB_PROFILE", "quick")
    show(frame)
    assert shown[1].data == markdown(frame) and "Quick profile" in shown[2].data


def test_an_experiment_says_what_it_varies_and_what_it_fixes():
    text = rendering.experiment_text("mnist-depth")
    assert text.startswith("`mnist-depth`, 39 runs. ")
    varies, fixes = text.splitlines()[-2:]
    assert "depth 2, 4, 10" in varies and "residual False, True" in varies
    assert "epochs 20" in fixes and "width 128" in fixes and "residual" not in fixes


def test_source_is_shown_as_it_runs(shown):
    rendering.show_source(Block.forward)
    text = shown[0].data
    assert text.startswith("```python\n# labutils/models/blocks.py\ndef forward(self, x")
    assert "self.shortcut(x) + out if self.residual else out" in text


def test_an_experiment_is_shown(shown):
    rendering.show_experiment("strong")
    assert "epochs 64" in shown[0].data
