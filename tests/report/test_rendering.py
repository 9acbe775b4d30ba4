import pandas as pd

from labutils.report.rendering import markdown


def test_markdown_has_as_many_cells_in_each_line():
    frame = pd.DataFrame({"a": ["CIFAR-10", "z"], "b": [1, "- z"], "c": ["1 ± 2 %", "z"]})
    # words to the left; a line may break between cells alone
    assert markdown(frame).splitlines() == [
        "| a | b | c |",
        "|:---|---:|---:|",
        "| CIFAR\N{NON-BREAKING HYPHEN}10 | 1 | 1\xa0±\xa02\xa0% |",
        "| z | - z | z |",
    ]
