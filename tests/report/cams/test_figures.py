import numpy as np
import pytest
import torch
from drawings import lines
from matplotlib.colors import to_rgb
from torch import nn

from labutils.cam import class_activation_maps, overlay
from labutils.cam.kinds import GRADIENT, Kind
from labutils.data import Split
from labutils.models.blocks import GlobalAveragePool
from labutils.models.networks import Classifier
from labutils.report.cams import figures
from labutils.report.cams.figures import Panel

NAMES = ("red", "green", "blue")


@pytest.fixture
def network():
    """Names the colour of the image; the map of a class is where its colour is, in 4 x 4 cells."""
    linear = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        linear.weight.copy_(10 * torch.eye(3))
    stem = nn.Sequential(nn.AvgPool2d(2))
    blocks = nn.Sequential(nn.Identity(), nn.AvgPool2d(2))
    statistics = torch.zeros(3), torch.ones(3)
    return Classifier(statistics, stem, blocks, nn.Sequential(GlobalAveragePool(), linear)).eval()


@pytest.fixture
def images():
    """A red, a green and a blue image, of which one half is lit; the labels of two are wrong."""
    pictures = torch.zeros(3, 3, 16, 16, dtype=torch.uint8)
    for color in range(3):
        pictures[color, color, :, :8] = 255
    masks = torch.zeros(3, 16, 16, dtype=torch.uint8)
    masks[:, :, :8] = 1
    return Split(pictures, torch.tensor([0, 2, 0]), masks=masks)


def panels(fig, rows, columns):
    """The axes of a sheet without those of its scales."""
    return np.array(fig.axes[: rows * columns]).reshape(rows, columns)


def shown(ax):
    return np.asarray(ax.images[0].get_array())


def titles(axes):
    return [ax.get_title() for ax in axes]


def picture(value):
    return np.full((4, 4, 3), value, np.uint8)


def test_a_sheet_has_its_panels_in_rows_each_row_with_its_name():
    spot = np.eye(4, dtype=np.float32)
    rows = [[Panel(picture(10), "a"), Panel(picture(20), "b", spot)], [Panel(picture(30), "c")]]
    fig = figures.sheet(rows, ["first", "second"])
    axes = panels(fig, 2, 2)
    assert titles(axes.flat) == ["a", "b", "c", ""]
    assert (shown(axes[0, 0]) == picture(10)).all() and (shown(axes[1, 0]) == picture(30)).all()
    np.testing.assert_array_equal(shown(axes[0, 1]), overlay(picture(20), spot))
    assert not axes[1, 1].images, "a shorter row"
    assert [ax.texts[0].get_text() for ax in axes[:, 0]] == ["first", "second"]


@pytest.mark.parametrize(
    "signs, ends",
    [
        ([], []),
        ([False], [["0", "largest"]]),
        ([True], [["against", "for"]]),
        ([True, False, True], [["0", "largest"], ["against", "for"]]),
    ],
)
def test_the_scales_are_those_of_the_maps_that_are_shown(signs, ends):
    row = [Panel(picture(10)), *(Panel(picture(9), "", np.eye(4), signed) for signed in signs)]
    scales = figures.sheet([row]).axes[len(row) :]
    assert [[t.get_text() for t in ax.get_yticklabels()] for ax in scales] == ends


def test_a_signed_map_has_white_at_zero_on_a_grey_image():
    pixel_map = np.zeros((4, 4))
    pixel_map[0, 0], pixel_map[3, 3] = 0.5, -2.0
    colored = np.stack([np.full((4, 4), value, np.uint8) for value in (30, 60, 90)], 2)
    (ax,) = panels(figures.sheet([[Panel(colored, "", pixel_map, signed=True)]]), 1, 1).flat
    below, above = ax.images
    assert (np.asarray(below.get_array()) == 60).all()
    assert above.get_clim() == (-2, 2), "0 is in the middle"
    np.testing.assert_allclose(above.get_alpha(), 0.4 * np.abs(pixel_map))
    figures.sheet([[Panel(colored, "", np.zeros((4, 4)), signed=True)]])  # divides by no 0


def test_an_outline_is_drawn_where_the_mask_ends():
    mask = np.zeros((8, 8), np.uint8)
    mask[2:6, 3:5] = 1
    image = np.zeros((8, 8, 3), np.uint8)
    fig = figures.sheet([[Panel(image, outline=mask), Panel(image)]])
    with_mask, without = panels(fig, 1, 2)[0]
    (contour,) = with_mask.collections
    points = np.concatenate([path.vertices for path in contour.get_paths()])
    assert points.min(0).tolist() == [2.5, 1.5] and points.max(0).tolist() == [4.5, 5.5]
    assert not without.collections


def test_grey_images_become_pictures_of_three_channels():
    grey = torch.randint(0, 256, (2, 1, 5, 6), dtype=torch.uint8)
    found = figures.rgb(grey)
    assert found.shape == (2, 5, 6, 3) and (found == grey[:, 0, :, :, None].numpy()).all()
    colored = torch.randint(0, 256, (2, 3, 5, 6), dtype=torch.uint8)
    assert (figures.rgb(colored) == colored.permute(0, 2, 3, 1).numpy()).all()


def test_right_predictions_stand_above_their_maps(network, images):
    axes = panels(figures.right(network, images, NAMES), 2, 3)
    assert titles(axes[0]) == ["red", "blue", "red"], "the labels"
    assert titles(axes[1]) == ["red\n99%", "green\n99%", "blue\n99%"], "the predictions"
    for number, (above, below) in enumerate(axes.T):
        plain, drawn = figures.rgb(images.images)[number], shown(below)
        assert (shown(above) == plain).all()
        assert (drawn[:, :4] != plain[:, :4]).any(2).all(), "where the colour is"
        assert (drawn[:, 12:] == plain[:, 12:]).all(), "transparent where the map is 0"


def test_wrong_predictions_have_both_maps_and_what_differs(network, images):
    mixed = images.images.clone()
    mixed[1, 2, :, 8:] = 100  # the true class, in the other half
    split = Split(mixed, images.labels)
    axes = panels(figures.wrong(network, split, NAMES), 4, 3)
    assert titles(axes[0]) == ["red", "blue", "red"]
    assert titles(axes[1])[1].startswith("green\n") and titles(axes[2])[1].startswith("blue\n")
    assert titles(axes[3]) == ["", "", ""]
    names = [ax.texts[0].get_text().replace("\n", " ") for ax in axes[:, 0]]
    assert names == [
        "image, true class", "map of the predicted class", "map of the true class",
        "predicted against true",
    ]  # fmt: skip
    plain = figures.rgb(mixed)[1]
    predicted, true = (shown(axes[row, 1]) != plain for row in (1, 2))
    assert predicted[:, :4].any(2).all() and not predicted[:, 12:].any()
    assert true[:, 12:].any(2).all() and not true[:, :4].any()
    difference = np.asarray(axes[3, 1].images[1].get_array())
    assert (difference[:, :4] > 0).all() and (difference[:, 12:] < 0).all()


def test_probabilities_of_both_classes_stand_above_their_maps(network, images):
    axes = panels(figures.wrong(network, images, NAMES), 4, 3)
    probability = network(images.images).softmax(1)
    assert axes[1, 2].get_title() == f"blue\n{probability[2, 2]:.1%}"
    assert axes[2, 2].get_title() == f"red\n{probability[2, 0]:.1%}"


def test_layers_stand_beside_the_image_each_with_its_cells(network, images):
    layers = ["stem", "blocks.1"]
    fig = figures.by_layer(network, images.images, layers, "layercam")
    axes = panels(fig, 3, 3)
    assert titles(axes[0]) == ["image", "stem\n8 x 8", "blocks.1\n4 x 4"]
    assert titles(axes[1:].flat) == [""] * 6
    for layer, ax in zip(layers, axes[2, 1:], strict=True):
        pixels = figures.drawn(network, images.images, method="layercam", target_layer=layer)[2]
        np.testing.assert_array_equal(shown(ax), overlay(figures.rgb(images.images)[2], pixels))


def test_maps_of_the_true_class_are_held_against_their_masks(network, images):
    asked = {"placed": {}, "resized": {"placement": "resize"}}
    fig = figures.masked({name: (network, how) for name, how in asked.items()}, images)
    axes = panels(fig, 3, 3)
    assert titles(axes[0]) == ["image", "placed", "resized"]
    assert [len(ax.collections) for ax in axes.flat] == [0, 1, 1] * 3
    # of the true class, which is not the predicted one: nothing is seen
    assert (shown(axes[1, 1]) == figures.rgb(images.images)[1]).all()
    pixels = figures.drawn(network, images.images, class_idx=0)[0]
    np.testing.assert_array_equal(shown(axes[0, 1]), overlay(figures.rgb(images.images)[0], pixels))


def test_maps_of_a_sheet_are_those_of_the_library(network, images):
    maps = class_activation_maps(network, images.images, method="cam").values
    assert maps.shape == (3, 4, 4)
    found = figures.drawn(network, images.images, method="cam")
    assert found.shape == (3, 16, 16)
    np.testing.assert_allclose(found.max((1, 2)), maps.amax((1, 2)), rtol=1e-5)


def test_a_photograph_in_each_size_stands_before_its_map(network, images):
    large = images.images[:1].repeat_interleave(2, 2).repeat_interleave(3, 3)
    fig = figures.photographs(network, {"small": images.images[:1], "large": large}, NAMES)
    (axes,) = panels(fig, 1, 4)
    assert titles(axes) == ["small", "red, 98.7%", "large", "red, 98.7%"]
    assert [shown(ax).shape[:2] for ax in axes] == [(16, 16)] * 2 + [(32, 48)] * 2


KINDS = [Kind("grad-cam"), Kind("layercam", "finer"), Kind("random")]


def found_of(seed):
    """Curves that tell seed, kind and fill."""
    return [
        kind._asdict()
        | {
            "fill": fill,
            "deletion": [0.8, 0.1 * number + 0.2 * seed, 0.0],
            "insertion": [0.0, 0.5, 0.9 - 0.4 * (fill == "blur")],
        }
        for number, kind in enumerate(KINDS)
        for fill in ("mean", "blur")
    ]


def test_curves_are_means_over_networks_a_line_a_kind(tmp_path):
    fig = figures.curves([found_of(0), found_of(1)], KINDS)
    axes = np.array(fig.axes).reshape(2, 2)
    assert titles(axes.flat) == [
        f"{name}, filled with {fill}"
        for name in ("deletion", "insertion")
        for fill in ("the mean colour", "the blurred image")
    ]
    for ax in axes.flat:
        assert len(lines(ax)) == 3 and len({line.get_color() for line in lines(ax)}) == 3
    drawn = [list(line.get_ydata()) for line in lines(axes[0, 0])]
    np.testing.assert_allclose(drawn, [[0.8, 0.1 * number + 0.1, 0] for number in range(3)])
    assert list(lines(axes[0, 0])[0].get_xdata()) == [0, 0.5, 1]
    assert [lines(ax)[0].get_ydata()[-1] for ax in axes[1]] == pytest.approx([0.9, 0.5])
    legend = [text.get_text() for text in fig.legends[0].get_texts()]
    assert legend == ["Grad-CAM, last map", "LayerCAM, finer map", "random"]


def test_randomised_layers_have_a_line_a_network_that_begins_at_one():
    kinds = [Kind("grad-cam"), Kind(GRADIENT)]
    layers = ["head.1", "blocks.0.second", "stem.0"]
    groups = [
        [
            kind._asdict() | {"layers": layers, "correlation": [0.5 - seed, 0.1, number / 10]}
            for number, kind in enumerate(kinds)
        ]
        for seed in range(3)
    ]
    ax = figures.randomised(groups, kinds).axes[0]
    drawn = [line for line in lines(ax) if line.get_marker() == "o"]
    assert len(drawn) == 6
    assert {line.get_ydata()[0] for line in drawn} == {1}
    assert list(drawn[1].get_ydata()) == [1, -0.5, 0.1, 0]
    assert list(drawn[-1].get_ydata()) == [1, -1.5, 0.1, 0.1]
    assert len({to_rgb(line.get_color()) for line in drawn}) == 2
    assert [t.get_text() for t in ax.get_xticklabels()] == ["none", *layers]
    legend = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert legend == ["Grad-CAM, last map", GRADIENT]
