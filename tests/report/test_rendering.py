import pandas as pd

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


def test_a_notebook_shows_the_table_and_in_quick_its_notice(monkeypatch):
    displayed = []
    monkeypatch.setattr("IPython.display.display", displayed.append)
    frame = pd.DataFrame({"depth": [4, 10]})
    monkeypatch.setenv("LAB_PROFILE", "full")
    show(frame)
    assert [shown.data for shown in displayed] == [markdown(frame)]
    monkeypatch.setenv("LAB_PROFILE", "quick")
    show(frame)
    assert displayed[1].data == markdown(frame) and "Quick profile" in displayed[2].data
