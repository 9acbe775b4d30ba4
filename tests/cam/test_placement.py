import pytest
import timm
import torch
import torch.nn.functional as F
from small_networks import CONFIGS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models import get_model

from labutils.cam.layers import map_layers
from labutils.cam.maps import class_activation_maps
from labutils.cam.placement import at_pixels, locate_cells, measure_cells, spread_evenly, upsample
from labutils.models.networks import build_model
from labutils.models.receptive_field import receptive_field


class Halved(nn.Module):
    """Resizes within, which the arithmetic does not know."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1)
        self.head = nn.Linear(4, 10)

    def forward(self, x):
        x = F.interpolate(self.first(x).relu(), scale_factor=0.5, mode="bilinear")
        return self.head(self.last(x).relu().mean((2, 3)))


class Unpadded(nn.Sequential):
    """Paddings, a crop and poolings as functions; a flattening head."""

    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 5), nn.Conv2d(4, 4, 3, dilation=2), nn.Linear(4 * 64, 10))

    def forward(self, x):
        x = F.max_pool2d(self[0](F.pad(x, (1, 0, 2, 1))[:, :, 1::2, -40:]), (1, 2))
        return self[2](F.adaptive_avg_pool2d(self[1](F.avg_pool2d(x, 2, 1)), 8).flatten(1))


def own(name):
    return lambda: build_model(CONFIGS[name], (3, 32, 32), 10)


# a network, the side of its images, the stride of its last map
NETWORKS = {
    "resnet20": (own("resnet20"), 32, 4),
    "resnet18": (own("resnet18"), 32, 8),
    "strong": (own("strong"), 32, 4),
    "convnet10": (own("convnet10"), 32, 1),
    "convnet-stride": (own("convnet-stride"), 32, 2),
    "small-cnn": (own("small-cnn"), 32, 4),
    "small-cnn-unpadded": (own("small-cnn-unpadded"), 32, 4),
    "torchvision-resnet18": (lambda: get_model("resnet18"), 160, 32),
    "torchvision-squeezenet": (lambda: get_model("squeezenet1_1"), 160, 16),
    "timm-regnet": (lambda: timm.create_model("regnetx_002"), 160, 32),
    "timm-mobilenetv3": (lambda: timm.create_model("mobilenetv3_small_050"), 160, 32),
    "halved": (Halved, 64, 4),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def centred(network):
    """The network with positive weights, largest in the middle of a kernel: so a cell's centre
    is what it sees best."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1 if parameter.ndim > 1 else 0)
            if parameter.ndim == 4:
                for dim in (2, 3):
                    side = parameter.shape[dim]
                    away = (torch.arange(side) - (side - 1) / 2).abs()
                    shape = (-1, 1) if dim == 2 else (1, -1)
                    parameter *= (0.3 ** (away - away.min())).view(shape)
            if parameter.ndim > 1:
                parameter /= parameter[0].sum()
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.reset_parameters()
    return network.eval()


def miss(drawn, row, column):
    """Pixels from a place to the nearest pixel where the map is at its largest, either way."""
    best = (drawn >= drawn.max() * (1 - 1e-5)).nonzero()
    return (best - torch.stack([row, column])).abs().amax(1).min().item()


def misses(name, placement):
    make, side, stride = NETWORKS[name]
    network = centred(make())
    places = sorted({0, 1, side // 5, side // 3, side // 2, 3 * side // 4, side - 1})
    where = [(row, column) for row in places for column in places[::2]]
    images = torch.zeros(len(where), 3, side, side)
    for image, (row, column) in zip(images, where, strict=True):
        image[:, row, column] = 1
    maps = class_activation_maps(network, images, method="hirescam", class_idx=0)
    drawn = at_pixels(network, images, maps, placement)
    seen = drawn.amax((1, 2)) > 0  # without padding the last pixels may be in no window
    assert seen.double().mean() > 0.6
    found = [miss(*one) for one in zip(drawn[seen], *torch.tensor(where)[seen].T, strict=True)]
    return torch.tensor(found), stride


@every_network
def test_the_map_of_a_bright_spot_peaks_at_the_spot(name):
    found, stride = misses(name, "receptive-field")
    assert (found <= stride / 2).all(), found


@pytest.mark.parametrize("name", ["resnet20", "torchvision-resnet18", "timm-mobilenetv3"])
def test_a_resize_draws_the_spot_farther_than_half_a_cell_away(name):
    found, stride = misses(name, "resize")
    assert (found > stride / 2).any()


def test_a_resize_draws_half_a_cell_too_far_to_the_lower_right():
    network = get_model("resnet18").eval()
    images = torch.zeros(1, 3, 224, 224)
    where, drawn = locate_cells(network, images, "layer4"), spread_evenly((7, 7), (224, 224))
    assert where.rows == where.columns == (32, 0)
    assert drawn.rows == drawn.columns == (32, 15.5)


@pytest.mark.parametrize(
    "name, offset", [("resnet20", 0.0), ("strong", 2.0), ("small-cnn-unpadded", 4.5)]
)
def test_own_networks_are_placed_as_their_receptive_fields_say(name, offset):
    network = own(name)().eval()
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    layer = list(map_layers(network, images))[-1]
    cells = locate_cells(network, images, layer)
    assert cells.rows == cells.columns == (NETWORKS[name][2], offset)
    if name != "strong":  # `receptive_field` does not know of its whitening
        geometry = receptive_field(nn.Sequential(network.stem, network.blocks))
        assert cells.rows == (geometry.stride, geometry.offset)


def test_functions_and_rectangles_are_followed():
    network = Unpadded().eval()
    images = torch.zeros(1, 3, 40, 40)
    cells = locate_cells(network, images, "0")
    # rows: two pixels of padding, every second one from the second; columns: the padding cropped
    assert cells.rows == (2, 1 - 2 + 4) and cells.columns == (1, 2)
    cells = locate_cells(network, images, "1")
    assert cells.rows == (2, 3 + 1 + 4) and cells.columns == (2, 2 + 0.5 + 1 + 4)


@pytest.mark.parametrize("images", [torch.zeros(1, 3, 96, 96), torch.zeros(1, 3, 64, 128)])
def test_where_an_operation_is_unknown_the_places_are_measured(images):
    network = centred(Halved())
    assert locate_cells(network, images, "first").rows == (2, 0)
    cells = locate_cells(network, images, "last")
    for axis in cells:  # the mean of two neighbours of stride 2
        assert axis.stride == pytest.approx(4, abs=0.1)
        assert axis.offset == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("name", ["resnet20", "strong", "convnet-stride", "small-cnn"])
def test_measured_places_agree_with_the_arithmetic(name):
    torch.manual_seed(0)
    network, side, stride = centred(NETWORKS[name][0]()), *NETWORKS[name][1:]
    images = torch.zeros(1, 3, side, side)
    layer = list(map_layers(network, images))[-1]
    exact, measured = locate_cells(network, images, layer), measure_cells(network, images, layer)
    cells = torch.arange(map_layers(network, images)[layer][1])
    for one, other in zip(exact, measured, strict=True):
        difference = (one.offset - other.offset) + cells * (one.stride - other.stride)
        assert difference.abs().max() < stride / 2


def test_cells_without_gradients_are_spread_evenly():
    network = nn.Sequential(nn.Conv2d(3, 1, 2, 2), nn.Threshold(1e9, 0.0), nn.Conv2d(1, 1, (1, 4)))
    images = torch.zeros(1, 3, 8, 8)
    assert measure_cells(network, images, "1") == spread_evenly((4, 4), (8, 8))
    assert measure_cells(network.requires_grad_(False), images, "2").columns == (8, 3.5)
    network[0].register_forward_hook(lambda module, args, output: output.detach())
    assert measure_cells(network, images, "1") == spread_evenly((4, 4), (8, 8))


def test_a_convnext_of_torchvision_is_placed_by_measuring():
    torch.manual_seed(0)
    network = get_model("convnext_tiny").eval()  # permutes its maps: patches of 4, then of 2
    cells = locate_cells(network, torch.zeros(1, 3, 128, 128), "features")
    for axis in cells:
        assert axis.stride * 1.5 + axis.offset == pytest.approx(32 * 1.5 + 15.5, abs=4)


def test_placement_resize_is_the_bilinear_resize_of_the_libraries():
    values = torch.rand(2, 7, 5)
    expected = F.interpolate(values[:, None], (224, 61), mode="bilinear", align_corners=False)
    found = upsample(values, spread_evenly((7, 5), (224, 61)), (224, 61))
    torch.testing.assert_close(found, expected[:, 0])


def test_a_value_is_drawn_at_its_cell():
    values = torch.zeros(1, 4, 4)
    values[0, 2, 1] = 1
    network = own("resnet-stride")().eval()
    images = torch.zeros(1, 3, 32, 32)
    cells = locate_cells(network, images, "stem")
    drawn = upsample(values, cells, (32, 32))
    assert drawn[0, 4, 2] == 1 == drawn.max() and drawn[0, 4, 3] == 0.5


def test_an_unknown_placement_is_refused():
    network = own("strong")().eval()
    images = torch.zeros(1, 3, 32, 32)
    maps = class_activation_maps(network, images)
    with pytest.raises(ValueError, match="'nearest'.*'resize'"):
        at_pixels(network, images, maps, "nearest")
