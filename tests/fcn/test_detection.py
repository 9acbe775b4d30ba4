import torch

from labutils.config.fcn import FCNConfig
from labutils.data.canvases import BACKGROUND
from labutils.fcn.detection import Detections, detect, find_digits, pixel_probabilities, suppress
from labutils.fcn.networks import build_detector


def probabilities(size, parts):
    """A map that is background but for rectangles: (label, left, top, right, bottom, value)."""
    found = torch.zeros(11, *size)
    found[BACKGROUND] = 1
    for label, left, top, right, bottom, value in parts:
        found[:, top:bottom, left:right] = 0
        found[label, top:bottom, left:right] = value
        found[BACKGROUND, top:bottom, left:right] = 1 - value
    return found


def test_boxes_are_tight_and_read_from_left_to_right():
    found = find_digits(
        probabilities((40, 60), [(7, 30, 5, 40, 25, 0.9), (3, 2, 10, 12, 30, 0.75)])
    )
    assert found.boxes.tolist() == [[2, 10, 12, 30], [30, 5, 40, 25]]
    assert found.labels.tolist() == [3, 7] and found.text == "37" and len(found) == 2
    torch.testing.assert_close(found.scores, torch.tensor([0.75, 0.9]))


def test_one_class_in_two_places_is_two_digits_and_corners_connect():
    apart = find_digits(probabilities((30, 40), [(1, 0, 0, 5, 12, 0.9), (1, 20, 0, 25, 12, 0.9)]))
    assert apart.text == "11"
    corner = find_digits(probabilities((30, 40), [(1, 0, 0, 5, 9, 0.9), (1, 5, 9, 9, 19, 0.9)]))
    assert corner.boxes.tolist() == [[0, 0, 9, 19]]


def test_small_parts_are_left_out():
    parts = [(4, 0, 0, 2, 3, 0.9), (5, 10, 10, 14, 14, 0.9)]
    assert find_digits(probabilities((30, 30), parts), min_area=7, min_side=1).text == "5"
    assert find_digits(probabilities((30, 30), parts), min_area=6, min_side=1).text == "45"


def test_boxes_shorter_than_any_digit_are_left_out():
    parts = [(4, 0, 0, 9, 9, 0.9), (1, 20, 5, 22, 15, 0.9)]  # the longer side counts
    assert find_digits(probabilities((30, 30), parts)).text == "1"
    assert find_digits(probabilities((30, 30), parts), min_side=9).text == "41"
    assert find_digits(probabilities((30, 30), parts), min_side=11).text == ""


def test_a_fragment_belongs_to_the_digit_around_it():
    whole = (8, 5, 5, 17, 25, 0.8)
    found = find_digits(probabilities((30, 40), [whole, (3, 5, 5, 9, 10, 0.9)]))
    assert found.text == "8" and found.boxes.tolist() == [[5, 5, 17, 25]]
    # 20 of 240 pixels say 3, and give 8 no probability
    torch.testing.assert_close(found.scores, torch.tensor([0.8 * 220 / 240]))


def test_digits_that_touch_are_told_apart_by_their_classes():
    touching = [(8, 5, 5, 17, 25, 0.8), (1, 17, 6, 21, 24, 0.7)]
    found = find_digits(probabilities((30, 40), touching))
    assert found.text == "81" and found.boxes.tolist() == [[5, 5, 17, 25], [17, 6, 21, 24]]
    torch.testing.assert_close(found.scores, torch.tensor([0.8, 0.7]))
    assert find_digits(probabilities((30, 40), touching), fragment=0.5).text == "8"


def test_where_nothing_is_nothing_is_found():
    found = find_digits(probabilities((20, 20), []))
    assert len(found) == 0 and found.text == "" and found.boxes.shape == (0, 4)


def test_a_background_that_is_more_probable_wins():
    assert len(find_digits(probabilities((20, 20), [(8, 0, 0, 9, 9, 0.45)]))) == 0


def test_without_a_background_class_everything_is_a_digit():
    found = find_digits(
        torch.nn.functional.one_hot(torch.ones(20, 30).long(), 10).permute(2, 0, 1).float()
    )
    assert found.text == "1" and found.boxes.tolist() == [[0, 0, 30, 20]]


def test_of_boxes_that_overlap_the_best_stays():
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [30, 0, 40, 10]])
    found = Detections(boxes, torch.tensor([1, 7, 2]), torch.tensor([0.6, 0.9, 0.5]))
    assert suppress(found, 0.3).text == "72"
    assert suppress(found, 0.9).text == "172"
    assert found.above(0.6).text == "17"


def test_images_are_seen_in_eval_mode_and_parts():
    network = build_detector(FCNConfig(width=4)).train()  # with batch norm
    images = torch.randint(0, 256, (60, 1, 30, 34), dtype=torch.uint8)
    found = pixel_probabilities(network, images)
    assert found.shape == (60, 11, 30, 34) and network.training
    torch.testing.assert_close(found.sum(1), torch.ones(60, 30, 34))
    network.eval()
    torch.testing.assert_close(found[55:57], network(images[55:57]).softmax(1))
    detections = detect(network, images[:3])
    assert len(detections) == 3
    again = find_digits(found[0])
    assert torch.equal(detections[0].boxes, again.boxes)
