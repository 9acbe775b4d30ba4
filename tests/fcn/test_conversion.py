from dataclasses import replace

import pytest
import torch
from torch import nn

from labutils.config.classifier import RunConfig
from labutils.fcn.conversion import convolutionalize, dilate
from labutils.models.networks import Classifier, build_model
from labutils.models.receptive_field import receptive_field, sliding_layers

SHAPE = (1, 28, 28)
CONFIGS = {
    "small-cnn": RunConfig(model="small-cnn", width=4, dropout=0.3),
    "small-cnn-unpadded": RunConfig(model="small-cnn", width=4, unpadded=True),
    "small-cnn-norm": RunConfig(model="small-cnn", width=4, norm="batch"),
    "cnn": RunConfig(model="cnn", width=4),
    "convnet": RunConfig(model="convnet", depth=4, width=4, stem_stride=2),
    "convnet-fcn": RunConfig(model="convnet", depth=4, width=4, head="fully-convolutional"),
    "resnet": RunConfig(model="resnet", depth=8, width=4, residual=True),
}
UNPADDED = CONFIGS["small-cnn-unpadded"]


def build(name_or_config, shape=SHAPE):
    config = CONFIGS.get(name_or_config, name_or_config) if isinstance(name_or_config, str) else (
        name_or_config
    )  # fmt: skip
    return build_model(config, shape, 10).eval()


def images(height, width, count=3):
    generator = torch.Generator().manual_seed(height + width)
    return torch.randint(0, 256, (count, 1, height, width), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "convnet-fcn"])
def test_on_its_own_size_it_answers_as_the_classifier(name):
    classifier = build(name)
    before = {key: value.clone() for key, value in classifier.state_dict().items()}
    network = convolutionalize(classifier, SHAPE)
    batch = images(28, 28)
    found = network(batch)
    assert found.shape == (3, 10, 1, 1)
    torch.testing.assert_close(found[:, :, 0, 0], classifier(batch))
    assert not any(isinstance(module, nn.Linear) for module in network.modules())
    assert not network.training and convolutionalize(classifier.train(), SHAPE).training
    for key, value in classifier.state_dict().items():
        assert torch.equal(value, before[key])
    numbers = [sum(p.numel() for p in m.parameters()) for m in (network, classifier)]
    assert numbers[0] == numbers[1]


def test_it_has_weights_of_its_own():
    classifier = build("small-cnn")
    network = convolutionalize(classifier, SHAPE)
    expected = classifier(images(28, 28))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert torch.equal(classifier(images(28, 28)), expected)


@pytest.mark.parametrize("size", [(40, 28), (64, 64), (30, 53)])
def test_each_cell_answers_for_its_window_where_nothing_pads(size):
    classifier = build(UNPADDED)
    network = convolutionalize(classifier, SHAPE)
    geometry = receptive_field(network)
    picture = images(*size, count=1)
    found = network(picture)
    assert geometry.stride == 4
    rows, columns = ((side - 28) // 4 + 1 for side in size)
    assert found.shape[2] >= rows and found.shape[3] >= columns
    for row in range(rows):
        for column in range(columns):
            window = picture[:, :, 4 * row : 4 * row + 28, 4 * column : 4 * column + 28]
            torch.testing.assert_close(found[:, :, row, column], classifier(window))


def test_an_mlp_and_an_unknown_head_are_refused():
    with pytest.raises(ValueError, match="as an MLP does"):
        convolutionalize(build(RunConfig(width=4)), SHAPE)
    base = build("small-cnn")
    head = nn.Sequential(nn.Flatten(), nn.LayerNorm(8 * 7 * 7), nn.Linear(8 * 7 * 7, 10))
    statistics = (torch.zeros(1), torch.ones(1))
    with pytest.raises(ValueError, match="a head with LayerNorm cannot slide"):
        convolutionalize(Classifier(statistics, base.stem, base.blocks, head), SHAPE)


# Receptive field


def numerical_field(network, cell, side=96):
    """The pixels that can change a cell: first and last row and column, over many images."""
    touched = torch.zeros(side, side, dtype=torch.bool)
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        image = torch.rand(1, 1, side, side, generator=generator, requires_grad=True)
        network(image)[0, :, cell[0], cell[1]].sum().backward()
        touched |= image.grad[0, 0] != 0
    rows, columns = (touched.any(axis).nonzero().flatten() for axis in (1, 0))
    return tuple(int(value) for value in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))


@pytest.mark.parametrize("name", ["small-cnn", "small-cnn-unpadded", "cnn", "convnet"])
def test_the_receptive_field_is_the_one_that_gradients_see(name):
    network = convolutionalize(build(name), SHAPE)
    with torch.no_grad():  # no unit dead, no path cancelled
        for layer in sliding_layers(network):
            if isinstance(layer, nn.Conv2d):
                layer.weight.abs_()
                layer.bias.abs_() if layer.bias is not None else None
    geometry = receptive_field(network)
    for cell in ((4, 5), (5, 4)):
        assert geometry.box(*cell) == numerical_field(network, cell)


def test_geometry_by_hand():
    geometry = receptive_field(convolutionalize(build(UNPADDED), SHAPE))
    # convolution 3, pooling 4, convolution 8, pooling 10, five cells of stride 4
    assert (geometry.size, geometry.stride, geometry.offset) == (26, 4, 12.5)
    assert geometry.box(0, 0) == (0, 0, 26, 26)
    assert geometry.box(1, 2) == (8, 4, 34, 30)


# Dilation


def test_the_dilated_network_has_the_coarse_map_at_every_stride():
    coarse = convolutionalize(build(UNPADDED), SHAPE)
    dense = dilate(coarse)
    picture = images(60, 44)
    found, expected = dense(picture), coarse(picture)
    torch.testing.assert_close(found[:, :, ::4, ::4], expected)
    geometry = receptive_field(dense)
    assert geometry.stride == 1
    assert (geometry.size, geometry.offset) == receptive_field(coarse)[::2]
    assert found.shape[2:] == (60 - 26 + 1, 44 - 26 + 1)


def test_the_dilated_network_answers_at_every_pixel():
    classifier = build(UNPADDED)
    dense = dilate(convolutionalize(classifier, SHAPE))
    picture = images(33, 31, count=1)
    found = dense(picture)
    for row in range(6):
        for column in range(4):
            window = picture[:, :, row : row + 28, column : column + 28]
            torch.testing.assert_close(found[:, :, row, column], classifier(window))


def test_a_dilated_average_is_refused():
    with pytest.raises(ValueError, match="average pooling cannot be dilated"):
        dilate(convolutionalize(build("resnet"), SHAPE))


def test_a_wider_classifier_of_another_size_slides_too():
    classifier = build(replace(UNPADDED, width=2), (3, 40, 36))
    network = convolutionalize(classifier, (3, 40, 36))
    batch = torch.rand(2, 3, 40, 36)
    torch.testing.assert_close(network(batch)[:, :, 0, 0], classifier(batch))
    assert network(torch.rand(1, 3, 48, 36)).shape == (1, 10, 3, 1)


def test_a_network_dilated_in_part_has_the_cells_between():
    network = convolutionalize(build(UNPADDED), SHAPE).eval()
    batch = images(44, 44)
    coarse, fine, finest = network(batch), dilate(network, 2)(batch), dilate(network)(batch)
    assert [receptive_field(dilate(network, stride)).stride for stride in (1, 2, 4)] == [1, 2, 4]
    rows, columns = coarse.shape[2:]
    torch.testing.assert_close(fine[:, :, ::2, ::2][..., :rows, :columns], coarse)
    rows, columns = fine.shape[2:]
    torch.testing.assert_close(finest[:, :, ::2, ::2][..., :rows, :columns], fine)
    torch.testing.assert_close(dilate(network, 4)(batch), coarse)
    with pytest.raises(ValueError, match="stride by 3 together"):
        dilate(network, 3)
