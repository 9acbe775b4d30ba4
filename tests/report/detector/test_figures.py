from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle

from labutils import data
from labutils.config.fcn import FCNConfig
from labutils.data.canvases import BACKGROUND, NO_DIGIT, draw_canvases
from labutils.fcn.detection import Detections
from labutils.report import panels
from labutils.report.detector import figures
from labutils.runs.store import Store
from labutils.training.classifiers import Outcome

FOUND = Detections(
    torch.tensor([[4.0, 6, 14, 20], [20, 8, 30, 25]]),
    torch.tensor([3, 7]),
    torch.tensor([0.9, 0.5]),
)
NOTHING = Detections(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0))


def boxes_on(ax):
    return [
        (patch.get_x(), patch.get_y(), patch.get_width(), patch.get_height(), patch.get_linestyle())
        for patch in ax.patches
        if isinstance(patch, Rectangle)
    ]


def test_a_decision_map_is_black_where_no_digit_is():
    classes = np.array([[0, BACKGROUND], [9, 3]])
    colors = figures.decision_map(classes)
    assert colors.shape == (2, 2, 3) and not colors[0, 1].any()
    np.testing.assert_allclose(colors[1, 0], panels.DIGIT_COLORS[9])
    assert len(np.unique(colors.reshape(-1, 3), axis=0)) == 4


def test_boxes_lie_around_their_pixels():
    image = np.zeros((32, 32), np.uint8)
    fig = figures.detections_sheet([image, image], [FOUND, NOTHING], ["a", "b"])
    first, second = fig.axes[:2]
    # pixel 4 reaches from 3.5 to 4.5 on the axes
    assert boxes_on(first) == [(3.5, 5.5, 10, 14, "-"), (19.5, 7.5, 10, 17, "-")]
    assert [text.get_text() for text in first.texts] == ["3 0.90", "7 0.50"]
    assert not boxes_on(second) and first.get_title() == "a"


def test_a_map_without_detections_shows_the_canvas_alone():
    probability = np.full((10, 20, 24), 0.1, np.float32)
    ax = figures.dense_map(np.zeros((20, 24), np.uint8), probability).axes[0]
    assert ax.get_title() == "canvas" and not boxes_on(ax)


@pytest.mark.parametrize("classes", [10, 11])
def test_every_class_has_its_map(classes):
    probability = np.zeros((classes, 20, 24), np.float32)
    probability[4, :10], probability[-1, 10:] = 1, 1
    fig = figures.dense_map(np.zeros((20, 24), np.uint8), probability, FOUND)
    titles = [ax.get_title() for ax in fig.axes]
    names = [*map(str, range(10)), *(["background"] if classes == 11 else [])]
    assert [title for title in titles if title in names] == names
    by_title = dict(zip(titles, fig.axes, strict=True))
    np.testing.assert_array_equal(by_title["4"].images[0].get_array(), probability[4])
    assert by_title["decision"].get_legend() is None, "it would hide answers"
    last = fig.axes[13]  # of two rows of seven
    assert "4" in [t.get_text() for t in last.get_legend().get_texts()] and not last.images


def test_curves_have_a_line_a_run_and_a_colour_a_head(tmp_path):
    base, values = FCNConfig(), [0.3, 0.2, 0.1]
    store = Store(tmp_path / "runs", tmp_path / "scratch")
    names = (
        "train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_mean_iou", "seconds"
    )  # fmt: skip
    history = {name: values for name in names}
    runs = [
        store.save(replace(base, head=head, seed=seed), Outcome(torch.nn.Linear(1, 1), history, {}))
        for head in ("sliding", "deconvolution")
        for seed in range(2)
    ]
    fig = figures.detector_curves(runs)
    assert [len(ax.lines) for ax in fig.axes] == [8, 8, 4], "mean IoU in validation alone"
    for ax in fig.axes:
        assert len({line.get_color() for line in ax.lines}) == 2
    assert {line.get_linestyle() for line in fig.axes[0].lines} == {"-", ":"}
    fig.canvas.draw()
    for ax in fig.axes[1:]:  # shares of pixels and overlaps in one unit
        assert all(label.get_text().endswith("%") for label in ax.get_yticklabels())
    legend = [text.get_text() for text in fig.legends[0].get_texts()]
    assert legend == ["sliding", "deconvolution", "validation", "training"]


def test_conditions_show_every_seed_and_the_mean():
    fig = figures.condition_scores({"one digit": [0.9, 0.94], "touching": [0.5]}, "AP")
    points = [line for line in fig.axes[0].lines if line.get_marker() == "o"]
    assert [list(line.get_xdata()) for line in points] == [[0.9, 0.94], [0.5]]
    means = [line.get_xdata()[0] for line in fig.axes[0].lines if line.get_marker() == "|"]
    assert means == pytest.approx([0.92, 0.5])
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == ["one digit", "touching"]


def test_accuracy_by_distance_draws_each_curve():
    fig = figures.accuracy_by_distance(
        {
            "skip": {"distances": [0, 5], "shares": [1, 0.5]},
            "sliding": {"distances": [0, 5], "shares": [0.9, 0.1]},
        }
    )
    names = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert names == ["finer maps", "sliding"], "as in the tables"
    assert [list(line.get_ydata()) for line in fig.axes[0].lines] == [[1, 0.5], [0.9, 0.1]]


def test_answers_on_black_stand_beside_the_labels_there():
    shares = {"probability": [0.3, *[0.7 / 9] * 9], "labels": [0.1] * 10, "digits": [0.1] * 10}
    fig = figures.answers_on_black(shares | {"blind": 0.2})
    heights = [bar.get_height() for bar in fig.axes[0].patches]
    assert heights[:10] == shares["probability"] and heights[10:] == shares["labels"]
    assert [list(line.get_ydata()) for line in fig.axes[0].lines] == [[0.1, 0.1]] * 10
    assert len(fig.axes[0].get_legend().get_texts()) == 3


@pytest.fixture
def canvases():
    return draw_canvases(data.load("digits").test, 4, number=(0, 2), seed=3)


def test_canvases_of_each_kind_show_their_true_boxes_alone(canvases):
    fig = figures.canvas_sheet({f"kind {n}": canvases for n in range(6)})
    assert len(fig.axes) == 12
    digits = (canvases.labels[:2] != NO_DIGIT).sum(1).tolist()
    assert [len(boxes_on(ax)) for ax in fig.axes[:2]] == digits
    assert all(box[-1] == "--" for ax in fig.axes for box in boxes_on(ax))


def test_failures_show_what_is_there_and_what_was_read(canvases):
    index = int((canvases.labels != NO_DIGIT).sum(1).argmax())
    there = canvases.labels[index][canvases.labels[index] != NO_DIGIT].tolist()
    examples = [
        {"index": index, "boxes": [[4, 6, 14, 20]], "labels": [3], "scores": [0.5]},
        {"index": 0, "boxes": [], "labels": [], "scores": []},
    ]
    failures = {"share": 0.125, "examples": examples}
    fig = figures.failure_sheet({"one digit": (canvases, failures)})
    assert fig.subfigs[0].get_suptitle() == "one digit: 12.50 % of canvases"
    first, second = fig.axes[:2]
    assert first.get_title() == f"{''.join(map(str, there))}, read 3"
    assert [box[-1] for box in boxes_on(first)] == ["--"] * len(there) + ["-"]
    assert second.get_title().endswith("read nothing")
    assert not fig.axes[2].images
