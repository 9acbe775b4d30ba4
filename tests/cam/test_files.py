"""Maps of picture files: what the network looks at, and where what it says is drawn."""

import json
import warnings
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

from labutils.cam import class_activation_maps
from labutils.cam.files import (
    MOST_PIXELS,
    CamError,
    MapFinder,
    as_images,
    as_shown,
    class_number,
    map_at,
    size_to_look_at,
)
from labutils.config.classifier import RunConfig
from labutils.config.data_sets import DATA_SETS
from labutils.config.fcn import FCNConfig
from labutils.data.picture_files import look_at_files
from labutils.data.pictures import CAT, read_picture
from labutils.models.networks import build_model

POOLING = RunConfig(data="shapes10", model="resnet", depth=8, width=4, residual=True)
FLATTENING = RunConfig(data="digits", model="small-cnn", width=4)
NAMES = ("circle", "square", "hand")


def network_of(config):
    spec = DATA_SETS[config.data]
    return build_model(config, spec.image_shape, spec.classes).eval()


def stored(config):
    """A run as the store returns it, untrained."""
    folder = SimpleNamespace(name=config.name)
    return SimpleNamespace(config=config, folder=folder, model=lambda: network_of(config))


def finder(config=POOLING, **question):
    return MapFinder(stored(config), **question)


# Classes


def test_a_class_is_given_by_name_or_number():
    assert class_number("square", NAMES) == class_number("Square", NAMES) == 1
    assert class_number("2", NAMES) == 2
    assert class_number("7", [str(digit) for digit in range(10)]) == 7


@pytest.mark.parametrize("name", ["3", "-1", "cat", "", "1.0", "²"])
def test_an_unknown_class_is_refused_with_the_list(name):
    with pytest.raises(CamError, match=r"no class .*: give one of 0 circle, 1 square, 2 hand"):
        class_number(name, NAMES)


# What the network looks at


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((300, 451), None, (32, 48)),
        ((300, 451), 64, (64, 96)),
        ((300, 451), "own", (300, 451)),
        ((20, 30), None, (32, 48)),
        ((20, 30), "own", (32, 32)),
        ((1600, 2400), "own", (418, 627)),
        ((1, 10_000), None, (32, MOST_PIXELS // 32)),
        ((10_000, 1), "own", (MOST_PIXELS // 32, 32)),
        ((1, 1), 4_000, (512, 512)),
    ],
)
def test_a_network_that_pools_slides_over_any_size(size, side, expected):
    found = size_to_look_at(network_of(POOLING), size, (32, 32), side)
    assert found == expected and found[0] * found[1] <= MOST_PIXELS


def test_other_networks_look_at_the_size_of_their_training_images():
    network = network_of(FLATTENING)
    assert size_to_look_at(network, (300, 451), (28, 28)) == (28, 28)
    with pytest.raises(CamError, match="takes pictures of 28 pixels a side: leave side out"):
        size_to_look_at(network, (300, 451), (28, 28), "own")


def test_a_side_shorter_than_that_of_training_is_refused():
    with pytest.raises(CamError, match="side is 8: give 32"):
        finder(side=8)


# Where it is drawn


class Bright(nn.Module):
    """Its map are the means of 4x4 pixels."""

    def __init__(self):
        super().__init__()
        self.cells = nn.AvgPool2d(4)
        self.head = nn.Linear(3, 2)

    def forward(self, images):
        return self.head(self.cells(images).mean((2, 3)))


@pytest.mark.parametrize("place", [(2, 3), (50, 20), (79, 119)])
def test_the_map_of_a_resized_picture_peaks_at_its_spot(place):
    picture = np.zeros((80, 120, 3), np.uint8)
    picture[max(place[0] - 5, 0) : place[0] + 5, max(place[1] - 5, 0) : place[1] + 5] = 255
    network = Bright()
    nn.init.ones_(network.head.weight)
    images = as_images(picture, (40, 64)).float() / 255  # stretched, too
    maps = class_activation_maps(network, images, target_layer="cells", class_idx=0)
    for size in ((80, 120), (240, 360)):
        found = map_at(network, images, maps, size)
        assert found.shape == size
        at = np.array(np.unravel_index(found.argmax(), size)) * 80 / size[0]
        assert np.abs(at - place).max() <= 8  # a cell has 8 rows, 7.5 columns


def test_small_pictures_are_shown_enlarged_and_large_ones_shrunk():
    small = np.random.default_rng(0).integers(0, 256, (28, 20, 3), dtype=np.uint8)
    shown = as_shown(small)
    assert shown.shape == (280, 200, 3) and np.array_equal(shown[5::10, 5::10], small)
    assert as_shown(np.zeros((1, 1, 3), np.uint8)).shape == (300, 300, 3)
    assert as_shown(np.zeros((2400, 1600, 3), np.uint8)).shape == (600, 400, 3)
    assert as_shown(np.zeros((1, 10_000, 3), np.uint8)).shape == (1, 600, 3)


# What is said


def test_what_is_listed_of_a_photograph():
    picture = read_picture(CAT)
    seen = finder(class_name="heart", versus="9")(picture)
    listed = seen.listed
    assert (listed["class"], listed["versus"]["class"]) == ("heart", "hourglass")
    assert (listed["layer"], listed["method"]) == ("blocks", "grad-cam")
    assert listed["looked_at"] == {"width": 48, "height": 32}
    assert listed["cells"] == {"columns": 12, "rows": 8}
    logits = network_of(POOLING)(as_images(picture, (32, 48)))[0].detach()
    assert listed["probability"] == pytest.approx(logits.softmax(0)[6].item(), abs=1e-4)
    assert listed["predicted"]["probability"] == pytest.approx(
        logits.softmax(0).max().item(), abs=1e-4
    )
    assert seen.said.startswith("heart (") and "rather than hourglass (" in seen.said
    left, top, right, bottom = listed["box"]
    assert 0 <= left < right <= 451 and 0 <= top < bottom <= 300 and listed["peak"] > 0
    assert seen.drawing.shape[1] > 3 * 451 and seen.drawing.shape[0] > 300
    assert np.array_equal(seen.drawing[:300, :451], picture), "the original, red first"


def test_by_default_the_predicted_class_is_asked_for():
    listed = finder()(read_picture(CAT)).listed
    assert listed["versus"] is None
    assert listed["predicted"] == {key: listed[key] for key in ("class", "probability")}


def test_a_map_that_is_nowhere_positive_has_no_box():
    picture = np.zeros((40, 40, 3), np.uint8)
    found = [finder(class_name=str(number))(picture) for number in range(10)]
    without = [seen for seen in found if seen.listed["box"] is None]
    assert without, "some class has nothing that speaks for it"
    assert all(seen.listed["peak"] == 0 and "nothing speaks" in seen.said for seen in without)
    assert all("nothing" not in seen.said for seen in found if seen.listed["box"])


def test_networks_of_grey_images_see_light_on_black():
    page = np.full((60, 60, 3), 250, np.uint8)
    page[10:50, 28:33] = (10, 30, 60)
    ask = finder(FLATTENING)
    dark, light = ask(page), ask(255 - page)
    assert dark.drawing[:300, :300].mean() < 60
    assert dark.listed == light.listed


@pytest.mark.parametrize(
    ("config", "question", "said"),
    [
        (POOLING, {"layer": "nowhere"}, "no layer 'nowhere': .* blocks.2"),
        (POOLING, {"layer": "head.1"}, "gives no map"),
        (POOLING, {"class_name": "cat"}, "no class 'cat'"),
        (POOLING, {"versus": "10"}, "no class '10'"),
        (POOLING, {"method": "heat"}, "no method is called 'heat'"),
        (FLATTENING, {"method": "cam"}, "CAM needs a network that ends in global average"),
        (FCNConfig(), {}, "is a detector: give the run of a classifier"),
    ],
)
def test_what_does_not_fit_the_network_is_said_once_before_any_picture(config, question, said):
    with pytest.raises(CamError, match=said):
        finder(config, **question)


# Every kind of file


def saved(folder, image, name, **options):
    image.save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize("config", [POOLING, FLATTENING], ids=["colour", "grey"])
def test_pictures_of_every_kind_give_the_same_map(config, tmp_path):
    grey = np.zeros((40, 60), np.uint8)
    grey[5:15, 40:50] = 255
    image = PIL.Image.fromarray(grey)
    turned = PIL.Image.Exif()
    turned[0x0112] = 6  # stored lying on its left side
    paths = [
        saved(tmp_path, image, "grey.png"),
        saved(tmp_path, image.convert("CMYK"), "cmyk.tif"),
        saved(tmp_path, image.convert("RGBA"), "alpha.png"),
        saved(tmp_path, image.convert("P"), "palette.gif"),
        saved(tmp_path, PIL.Image.fromarray(grey.astype(np.uint16) * 257), "sixteen.png"),
        saved(tmp_path, image.rotate(90, expand=True), "turned.png", exif=turned),
    ]
    output = tmp_path / "out"
    with warnings.catch_warnings(action="error"):
        assert look_at_files(paths, output, "cam", lambda: finder(config)) == 0
    listed = [json.loads((output / f"{path.stem}-cam.json").read_text()) for path in paths]
    names = [entry.pop("picture") for entry in listed]
    assert names == list(map(str, paths)) and all(entry == listed[0] for entry in listed)
    drawn = [read_picture(output / f"{path.stem}-cam.png") for path in paths]
    assert all(np.array_equal(each, drawn[0]) for each in drawn)


def test_a_prepared_finder_leaves_its_network_as_it_was():
    ask = finder()
    before = {name: value.clone() for name, value in ask.network.state_dict().items()}
    ask(read_picture(CAT))
    assert all(torch.equal(before[name], v) for name, v in ask.network.state_dict().items())
    assert not ask.network.training and all(p.grad is None for p in ask.network.parameters())
