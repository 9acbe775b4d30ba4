import cv2
import numpy as np
import pytest
import torch
from torch import nn

from labutils.cam import METHODS
from labutils.data import Split
from labutils.models.blocks import GlobalAveragePool
from labutils.models.networks import Classifier
from labutils.report.explorers import MapExplorer

NAMES = ("red", "green", "blue")
SIDE = 256  # of a picture of 16 x 16 pixels, enlarged


@pytest.fixture
def network():
    """Names the colour of the image; at the stem a map of 8 x 8 cells, in the end 4 x 4."""
    linear = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        linear.weight.copy_(5 * torch.eye(3))
    blocks = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.ReLU()), nn.AvgPool2d(2)
    )
    with torch.no_grad():  # colours stay; at the stem the map is another one than the pooled
        blocks[0][0].weight.copy_(2 * torch.eye(3)[:, :, None, None])
    statistics = torch.zeros(3), torch.ones(3)
    head = nn.Sequential(GlobalAveragePool(), linear)
    return Classifier(statistics, nn.AvgPool2d(2), blocks, head).eval()


@pytest.fixture
def images():
    """Of a colour in one half, a little of it and of the next colour in the other; one is wrong."""
    pictures = torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
    for number, color in enumerate((0, 1, 2, 1)):
        pictures[number, color, :, :8] = 250
        pictures[number, color, :, 8:] = 50
        pictures[number, (color + 1) % 3, :, 8:] = 100
    return Split(pictures, torch.tensor([0, 1, 2, 0]))


@pytest.fixture
def explorer(shown, network, images):
    explorer = MapExplorer(network, images, NAMES)
    shown.clear()
    return explorer


def picture_of(image):
    """Image, map and overlay of what is displayed, in red, green and blue."""
    decoded = cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_COLOR)
    decoded = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    gap = SIDE // 64
    assert decoded.shape[0] == SIDE
    return [decoded[:, start : start + SIDE] for start in (0, SIDE + gap, 2 * (SIDE + gap))]


def test_it_opens_with_the_predicted_class_at_the_last_map(shown, network, images):
    explorer = MapExplorer(network, images, NAMES)
    sentence, picture = shown
    assert explorer.layer.value == "blocks" and explorer.method.value == "grad-cam"
    probability = network(images.images).softmax(1)[0, 0]
    assert sentence.data.startswith(
        f"<p>Label: red; prediction: red ({100 * probability:.2f} %). "
        "The map says what speaks for red "
    )
    assert "4 x 4 cells" in sentence.data
    assert picture.alt in sentence.data
    image, drawn, laid_over = picture_of(picture)
    large = images.images[0].permute(1, 2, 0).numpy().repeat(16, 0).repeat(16, 1)
    np.testing.assert_array_equal(image, large)
    assert (drawn[:, :64].mean((0, 1)) > drawn[:, 192:].mean((0, 1)))[1], "light on the left"
    assert (laid_over != image)[:, :64].any(2).all(), "over the object"


def test_the_filter_offers_right_or_wrong_predictions_alone(explorer, shown):
    assert explorer.group.options == ("all (4)", "right (3)", "wrong (1)")
    explorer.image.value = 2
    shown.clear()
    explorer.group.value = "wrong (1)"
    assert explorer.image.options == (3,) and explorer.image.value == 3
    assert len(shown) == 2, "drawn once"
    assert shown[0].data.startswith("<p>Label: red; prediction: green")
    explorer.group.value = "right (3)"
    assert explorer.image.options == (0, 1, 2) and explorer.image.value == 0
    assert "Label: red; prediction: red" in shown[-2].data


def test_a_group_without_images_is_not_offered(shown, network, images):
    explorer = MapExplorer(network, images.take(slice(3)), NAMES)
    assert explorer.group.options == ("all (3)", "right (3)")


def test_each_control_draws_once_and_changes_the_picture(explorer, shown):
    moves = {"image": 1, "opacity": 0.3, "versus": 2, "layer": "stem", "class_idx": 0}
    pictures = set()
    for name, value in moves.items():
        shown.clear()
        getattr(explorer, name).value = value
        sentence, picture = shown
        assert picture.data not in pictures and picture.alt in sentence.data
        pictures.add(picture.data)
    assert "speaks for red" in sentence.data and "against blue" in sentence.data
    assert "8 x 8 cells" in sentence.data


def test_any_class_can_be_asked_for(explorer, shown):
    explorer.class_idx.value = 1
    probability = explorer.probability[0, 1]
    assert f"what speaks for green ({100 * probability:.2f} %); it" in shown[-2].data
    image, _, laid_over = picture_of(shown[-1])
    assert (laid_over != image)[:, 192:].any(2).all(), "green is on the right"
    assert (laid_over == image)[:, :32].all()


def test_a_class_of_which_nothing_is_there_is_said_to_have_none(explorer, shown):
    explorer.class_idx.value = 2
    assert shown[-2].data.endswith("Nothing speaks for it: the map is all zero.</p>")
    image, _, laid_over = picture_of(shown[-1])
    assert (image == laid_over).all()


def test_a_pair_is_the_difference_of_two_classes(explorer, shown):
    explorer.class_idx.value, explorer.versus.value = 1, 0
    assert "speaks for green" in shown[-2].data and "against red; it has" in shown[-2].data
    image, _, laid_over = picture_of(shown[-1])
    assert (laid_over != image)[:, 192:].any(2).all() and (laid_over == image)[:, :32].all()
    explorer.versus.value = 1
    assert "all zero" in shown[-2].data, "a class against itself"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_works_where_it_is_defined(explorer, shown, method):
    explorer.image.value = 1
    shown.clear()
    explorer.method.value = method
    for picture in [item for item in shown if not isinstance(item.data, str)]:
        picture_of(picture)
    assert explorer.method.label == METHODS[method].title
    assert "speaks for green" in explorer.look()[0] and explorer.look()[1] is not None


def test_cam_where_it_cannot_be_is_explained_and_the_next_move_goes_on(explorer, shown):
    explorer.method.value = "cam"
    shown.clear()
    explorer.layer.value = "stem"
    (sentence,) = shown
    assert sentence.data.startswith(
        "<p>There is no such map: CAM needs a network that ends in global average pooling"
    )
    shown.clear()
    explorer.method.value = "layercam"
    assert len(shown) == 2 and "8 x 8 cells" in shown[0].data


def test_without_opacity_the_image_stands_alone(explorer, shown):
    explorer.opacity.value = 0
    image, drawn, laid_over = picture_of(shown[-1])
    np.testing.assert_array_equal(laid_over, image)
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 2, "the map beside it is as it was"


def test_all_layers_with_a_map_are_offered_and_can_be_shown(explorer, shown):
    assert explorer.layer.options == (
        "normalize", "stem", "blocks.0.0", "blocks.0.1", "blocks.0", "blocks.1", "blocks",
    )  # fmt: skip
    for layer in explorer.layer.options:
        explorer.layer.value = layer
        text, picture = explorer.look()
        assert picture is not None and "There is no such map" not in text


def test_grey_images_and_odd_sizes(shown):
    statistics = torch.zeros(1), torch.ones(1)
    network = Classifier(
        statistics,
        nn.Conv2d(1, 4, 3),
        nn.Sequential(),
        nn.Sequential(GlobalAveragePool(), nn.Linear(4, 2)),
    ).eval()
    drawn = torch.randint(0, 256, (2, 1, 20, 300), dtype=torch.uint8)
    MapExplorer(network, Split(drawn, torch.tensor([0, 1])), ("a", "b"))
    decoded = cv2.imdecode(np.frombuffer(shown[-1].data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape[0] == 240, "enlarged by a whole number"
    assert "18 x 298 cells" in shown[-2].data


def test_controls_have_labels_and_wait_for_the_slider(explorer):
    for row in explorer.children[:2]:
        assert all(control.description for control in row.children)
    assert not explorer.image.continuous_update and not explorer.opacity.continuous_update
