from dataclasses import replace

import numpy as np
from drawings import lines
from fakes import fake_runs

from labutils.report.transfer import experiments, figures


def test_benefit_has_a_point_a_run_and_a_line_a_start(tmp_path):
    grid = [
        (replace(config, labels_per_class=labels), accuracy)
        for config, accuracy in ((experiments.EVERYTHING, 0.7), (experiments.SCRATCH, 0.5))
        for labels in (22, None)
    ]
    runs = [
        fake_runs(tmp_path, [replace(config, seed=seed)], test_accuracy=accuracy + seed / 10)[0]
        for config, accuracy in grid
        for seed in (0, 1)
    ]
    probes = [
        ({"kind": "ridge", "per_class": 22}, {"test_accuracy": 0.3}),
        ({"kind": "ridge"}, {"test_accuracy": 0.6}),
        ({"kind": "svm"}, {"test_accuracy": 0.5}),
    ]
    fig = figures.benefit(runs, probes, 450)
    ax = fig.axes[0]
    named = {container.get_label(): container.lines[0] for container in ax.containers}
    means = {
        name: dict(zip(line.get_xdata(), np.round(line.get_ydata().astype(float), 3), strict=True))
        for name, line in named.items()
    }
    assert means == {
        "fine-tuned": {22: 0.75, 450: 0.75},
        "from scratch": {22: 0.55, 450: 0.55},
        "frozen, ridge regression": {22: 0.3, 450: 0.6},
        "frozen, linear SVM": {450: 0.5},
    }
    points = [y for line in ax.get_lines() if line.get_marker() == "o" for y in line.get_ydata()]
    assert len(points) == len(runs) + len(probes)


def bins(counts, confidence, accuracy):
    return {"counts": counts, "confidence": confidence, "accuracy": accuracy}


def test_reliability_counts_the_bins_of_all_seeds_together():
    before = [
        bins([30, 0], [0.4, None], [0.0, None]),
        bins([90, figures.FEWEST - 1], [0.4, 0.9], [1.0, 0.8]),
    ]
    after = [bins([0, 20], [None, 0.9], [None, 0.5])] * 2
    found = [{"before": b, "after": a} for b, a in zip(before, after, strict=True)]
    groups = {"one": found, "other": found, "student, of a teacher and of the labels": found}
    axes = figures.reliability(groups).axes
    assert [ax.get_title() for ax in axes if ax.axison] == [
        "one", "other", "student, of a teacher\nand of the labels"
    ]  # fmt: skip
    diagonal, raw, scaled = lines(axes[0])
    assert (list(raw.get_xdata()), list(raw.get_ydata())) == ([0.4], [0.75])
    assert (list(scaled.get_xdata()), list(scaled.get_ydata())) == ([0.9], [0.5])


def test_confusion_between_superclasses_is_in_percent_and_leaves_the_diagonal_out():
    found = [
        {"superclass_names": ["a", "b", "c"], "confusion": [[8, 2, 0], [3, 7, 0], [0, 0, 9]]},
        {"superclass_names": ["a", "b", "c"], "confusion": [[6, 4, 0], [5, 5, 0], [0, 0, 9]]},
    ]
    (ax,) = figures.superclass_confusion(found).axes
    assert [text.get_text() for text in ax.texts if text.get_text()] == ["30", "40"], "no zeros"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c"]
