"""Colours, lines and labels that several figures share."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from drawings import lines
from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.report import style


def test_each_of_several_has_a_colour_of_its_own_and_more_than_there_are_is_an_error():
    names = [f"line {number}" for number in range(len(style.OTHERS))]
    colors = style.colors_of([*names, *names])
    assert list(colors) == names and len(set(colors.values())) == len(names)
    with pytest.raises(ValueError, match=f"{len(names) + 1} lines, {len(names)} colours"):
        style.colors_of([*names, "one more"])


def depth(run):
    return run.config.depth


@pytest.fixture
def drawn(tmp_path):
    """A function from ends of lines by depth, and depths that stall, to what is drawn of them."""

    def draw(ends, stalled=()):
        fig, ax = plt.subplots(layout="constrained")
        runs = []
        for number, end in ends.items():
            share = 0.1 if number in stalled else 0.9
            runs += fake_runs(tmp_path, [RunConfig(depth=number)], train_accuracy=share)
            runs[-1].history["train_loss"][:] = [1, 1, end]
        style.draw_lines(ax, runs, "train_loss", depth, style.shades_of(ends))
        ax.set_ylim(0, 1)
        style.label_lines(fig, "depth")
        return ax

    return draw


def test_lines_that_stall_have_their_turns_in_the_dashes(drawn):
    ax = drawn({4: 0.1, 22: 1, 26: 1, 34: 1}, stalled=(22, 26, 34))
    patterns = [line._unscaled_dash_pattern for line in lines(ax)]
    assert patterns[0] == (0, None), "what learns is drawn through"
    seen = [
        [(place - start) % sum(on_off) < on_off[0] for place in range(sum(on_off))]
        for start, on_off in patterns[1:]
    ]
    assert (np.sum(seen, 0) == 1).all(), "at every place one line is seen"
    assert [text.get_text() for text in ax.texts] == ["depth 4", "depths 22 to 34"]


def test_lines_that_end_among_one_another_share_a_label_and_others_keep_their_colour(drawn):
    ax = drawn({4: 0.2, 10: 0.8, 16: 0.2, 22: 0.9})
    labels = {text.get_text(): text for text in ax.texts}
    assert list(labels) == ["depths 4, 16", "depth 10", "depth 22"]
    shades = style.shades_of((4, 10, 16, 22))
    assert labels["depth 10"].get_color() == pytest.approx(0.75 * np.array(shades[10]))
    assert labels["depth 10"].get_position()[1] == pytest.approx(0.8, abs=0.01)


def test_labels_move_apart_and_stay_in_the_order_of_their_lines(drawn):
    ax = drawn({4: 0.97, 10: 0.98, 16: 0.99, 22: 1.0, 26: 0.01})
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    names = [text.get_text() for text in ax.texts]
    assert names == ["depth 26", "depth 4", "depth 10", "depth 16", "depth 22"]
    assert all(low.y1 <= high.y0 for low, high in zip(boxes, boxes[1:], strict=False))
    assert boxes[-1].y0 < ax.bbox.y1, "beside the axes"


def test_ticks_over_powers_of_ten_are_text_without_exponents():
    fig, ax = plt.subplots()
    ax.plot([1e-20, 1])
    style.powers_axis(ax, "gradient")
    fig.canvas.draw()
    texts = [label.get_text() for label in ax.get_yticklabels()]
    assert "1e-20" in texts or "1e-18" in texts
    assert not any("^" in text for text in texts)
