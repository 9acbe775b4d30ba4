import math

import numpy as np
import pytest
import torch
from fakes import canvases_of
from sklearn.metrics import average_precision_score

from labutils.fcn.boxes import (
    average_precision,
    best_threshold,
    box_scores,
    false_alarms,
    matches,
    resampled_precision,
)
from labutils.fcn.detection import Detections


def found_in(*answers):
    """Detections of one image: (label, left, top, right, bottom, score)."""
    rows = torch.tensor(answers, dtype=torch.float32).view(-1, 6)
    return Detections(rows[:, 1:5], rows[:, 0].long(), rows[:, 5])


ONE = canvases_of([(3, 0, 0, 10, 10)], [(3, 20, 20, 30, 30)])


def test_perfect_detections_have_precision_one():
    found = [found_in((3, 0, 0, 10, 10, 0.9)), found_in((3, 20, 20, 30, 30, 0.4))]
    assert average_precision(found, ONE) == (pytest.approx(1), pytest.approx(1))
    assert box_scores(found, ONE, 0.5) == (1, 0.5) and box_scores(found, ONE, 0.3).f1 == 1
    assert best_threshold(found, ONE) == 0.01


def test_thresholds_with_too_many_false_alarms_are_out_of_question():
    found = [found_in((3, 0, 0, 10, 10, 0.9)), found_in((3, 20, 20, 30, 30, 0.4))]
    nothing, alarm = found_in(), found_in((1, 0, 0, 9, 20, 0.6))
    kinds = [[nothing] * 4, [alarm, *[nothing] * 3]]
    assert best_threshold(found, ONE, kinds, most_alarms=0.25) == 0.01
    assert best_threshold(found, ONE, kinds, most_alarms=0.24) == 0.61
    sure = [[found_in((1, 0, 0, 9, 20, 1.0))]]
    assert best_threshold(found, ONE, sure, most_alarms=0.0) == 0.99, "the highest there is"


def test_scores_at_a_threshold_are_those_of_what_is_above_it():
    generator = torch.Generator().manual_seed(0)
    found, truth = [], []
    for _ in range(20):
        truth.append([(3, 4, 4, 14, 14), (5, 20, 20, 30, 30)])
        rows = []
        for _ in range(6):
            left, top = (torch.randint(0, 25, (2,), generator=generator)).tolist()
            label = [3, 5][int(torch.randint(2, (1,), generator=generator))]
            rows.append(
                (label, left, top, left + 10, top + 10, float(torch.rand(1, generator=generator)))
            )
        found.append(found_in(*rows))
    canvases = canvases_of(*truth)
    for threshold in (0.2, 0.5, 0.8):
        taken = [one.above(threshold) for one in found]
        assert box_scores(found, canvases, threshold) == box_scores(taken, canvases, 0.0)


def test_the_mean_over_iou_sees_how_tight_a_box_is():
    # 10 x 10 in 10 x 13 pixels: IoU 0.77, right at 0.5, 0.55 ... 0.75, six of ten
    found = [found_in((3, 0, 0, 10, 13, 0.9)), found_in((3, 20, 20, 30, 33, 0.9))]
    scores = average_precision(found, ONE)
    assert scores.at_half == pytest.approx(1) and scores.mean == pytest.approx(0.6)


def test_the_wrong_digit_and_the_second_of_one_are_wrong():
    truth = found_in((3, 0, 0, 10, 10, 1.0))
    twice = found_in((3, 0, 0, 10, 10, 0.6), (3, 0, 0, 10, 11, 0.8), (8, 0, 0, 10, 10, 0.99))
    assert matches(twice, truth).tolist() == [False, True, False]
    far = found_in((3, 0, 0, 10, 4, 0.9))
    assert matches(far, truth).tolist() == [False], "IoU 0.4"
    assert matches(found_in(), truth).tolist() == []
    assert matches(twice, found_in()).tolist() == [False] * 3


def test_canvases_that_count_twice_are_as_if_they_were_there_twice():
    """Drawn again with replacement, average precision is COCO's of the canvases drawn."""
    generator = np.random.default_rng(0)
    truth, found = [], []
    for _ in range(30):
        label, other = generator.integers(0, 3, 2).tolist()
        truth.append([(label, 0, 0, 10, 10), (7, 20, 20, 30, 30)][: generator.integers(1, 3)])
        first = (label, 0, 0, 10, int(generator.integers(4, 14)), generator.random())
        found.append([first, (other, 20, 20, 30, 30, generator.random())])
        found[-1] += [(7, 20, 20, 30, 31, generator.random())][: generator.integers(0, 2)]
    found[0].append((9, 5, 5, 9, 9, 0.5))  # a digit that is found once
    times = generator.multinomial(30, np.full(30, 1 / 30), 8)
    times[0] = 1
    drawn = resampled_precision([found_in(*one) for one in found], canvases_of(*truth), times)
    for each, value in zip(times, drawn, strict=True):
        again = np.repeat(np.arange(30), each)
        canvases = canvases_of(*(truth[index] for index in again))
        expected = average_precision([found_in(*found[index]) for index in again], canvases)
        assert value == pytest.approx(expected.at_half, abs=1e-12)
    assert len(set(drawn)) > 4, "draws differ"


def test_average_precision_is_that_of_a_reference():
    """Where each detection is right or wrong by its score alone, ranking is all that counts."""
    generator = torch.Generator().manual_seed(0)
    count = 60
    right = torch.rand(count, generator=generator) < 0.6
    score = torch.rand(count, generator=generator) + 0.3 * right
    canvases = canvases_of(*[[(5, 0, 0, 10, 10)] if one else [] for one in right])
    found = [found_in((5, 0, 0, 10, 10, value)) for value in score.tolist()]
    expected = average_precision_score(right.numpy(), score.numpy())
    # COCO reads precision, made monotone, at 101 recalls: a little above the plain sum
    assert average_precision(found, canvases).at_half == pytest.approx(expected, abs=0.02)


def test_classes_are_averaged_and_those_that_do_not_occur_do_not_count():
    canvases = canvases_of([(1, 0, 0, 10, 10), (2, 20, 0, 30, 10)])
    only_one = [found_in((1, 0, 0, 10, 10, 0.9), (7, 0, 20, 9, 30, 0.9))]
    assert average_precision(only_one, canvases).at_half == pytest.approx(0.5)


def test_a_false_alarm_on_an_empty_canvas_lowers_precision():
    canvases = canvases_of([(1, 0, 0, 10, 10)], [])
    alarm = found_in((1, 5, 5, 20, 20, 0.95))
    found = [found_in((1, 0, 0, 10, 10, 0.9)), alarm]
    assert average_precision(found, canvases).at_half == pytest.approx(0.5)
    assert average_precision([found[0], found_in()], canvases).at_half == pytest.approx(1)
    assert false_alarms([alarm, found_in()], 0.5) == 0.5
    assert false_alarms([alarm, found_in()], 0.96) == 0


def test_without_any_digit_there_is_nothing_to_average():
    empty = canvases_of([], [])
    nothing = [found_in(), found_in()]
    assert math.isnan(average_precision(nothing, empty).at_half)
    scores = box_scores(nothing, empty, 0.5)
    assert math.isnan(scores.precision) and math.isnan(scores.recall) and scores.f1 == 0
