import pytest
import torch

from labutils.config.fcn import FCNConfig
from labutils.fcn.conversion import convolutionalize
from labutils.fcn.networks import build_detector, classifier_config, dense, dilated
from labutils.models.networks import build_model

SHAPE = (1, 28, 28)
SIZES = [(64, 64), (61, 67), (28, 28), (96, 33)]


@pytest.fixture
def classifier():
    return build_model(
        classifier_config(FCNConfig(model="small-cnn", width=4, seed=3)), SHAPE, 10
    ).eval()


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 1, 48, 56), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("model", "head"), [("small-cnn", "sliding"), ("small-cnn", "deconvolution"), ("cnn", "skip")]
)
def test_every_pixel_of_an_image_of_any_size_has_scores(model, head, size):
    network = build_detector(FCNConfig(model=model, width=4, head=head)).eval()
    assert network(torch.zeros(2, 1, *size, dtype=torch.uint8)).shape == (2, 11, *size)


@pytest.mark.parametrize("model", ["small-cnn", "cnn"])
def test_no_cell_is_computed_that_no_pixel_needs(model):
    network = build_detector(FCNConfig(model=model, width=4)).eval()
    stride = network.geometry.stride
    for size in (8 * stride, 8 * stride + 1, 9 * stride - 1):
        framed = torch.zeros(1, 1, size + sum(network._frame(size)), 40 + sum(network._frame(40)))
        cells = network.network(framed).shape[2:]
        assert cells == (-(-size // stride), -(-40 // stride))


def test_without_background_there_are_ten_classes():
    for head in ("sliding", "deconvolution", "skip"):
        network = build_detector(FCNConfig(width=4, head=head, background=False)).eval()
        assert network(torch.zeros(1, 1, 28, 28)).shape == (1, 10, 28, 28)


def test_the_coarse_map_is_the_classifier_at_every_fourth_pixel(classifier, images):
    network = dense(convolutionalize(classifier, SHAPE)).eval()
    size, stride, offset = network.geometry
    assert (size, stride) == (26, 4)
    before = int(offset - (stride - 1) / 2)
    framed = torch.nn.functional.pad(images, (30, 30, 30, 30))
    coarse = network.network(
        torch.nn.functional.pad(images, (*network._frame(56), *network._frame(48)))
    )
    assert coarse.shape[2:] == (48 // stride, 56 // stride)
    for row, column in ((0, 0), (3, 5), (11, 13)):
        top, left = 30 - before + stride * row, 30 - before + stride * column
        window = framed[:, :, top : top + 28, left : left + 28]
        torch.testing.assert_close(coarse[:, :, row, column], classifier(window))


def test_upsampling_puts_a_cell_in_the_middle_of_its_pixels(classifier, images, monkeypatch):
    network = dense(convolutionalize(classifier, SHAPE)).eval()
    frame = (*network._frame(56), *network._frame(48))
    assert network.network(torch.nn.functional.pad(images, frame)).shape[2:] == (12, 14)
    ramp = torch.arange(12.0)[:, None].expand(2, 1, 12, 14)
    monkeypatch.setattr(network.network, "forward", lambda framed: ramp)
    rows = network(images)[0, 0, :, 5]
    # cell i lies between its two middle pixels, 4i + 1 and 4i + 2
    middles = (rows[1::4] + rows[2::4]) / 2
    torch.testing.assert_close(middles[1:-1], torch.arange(1.0, 11.0))
    torch.testing.assert_close(rows[6:42].diff(), torch.full((35,), 0.25))


def test_the_dilated_network_agrees_with_the_coarse_one_where_both_have_a_cell(classifier, images):
    network = dense(convolutionalize(classifier, SHAPE)).eval()
    fine = dilated(network)
    coarse = network.network(
        torch.nn.functional.pad(images, (*network._frame(56), *network._frame(48)))
    )
    pixels = fine(images)
    assert pixels.shape == (2, 10, 48, 56)
    shift = fine._frame(56)[0] - network._frame(56)[0]
    torch.testing.assert_close(
        pixels[:, :, shift::4, shift::4], coarse[:, :, : pixels[:, :, shift::4].shape[2], :]
    )


def test_learned_upsampling_begins_as_interpolation_of_the_coarse_map():
    networks = [
        build_detector(FCNConfig(width=4, head=head)).eval()
        for head in ("sliding", "deconvolution")
    ]
    images = torch.randint(0, 256, (2, 1, 50, 37), dtype=torch.uint8)
    coarse, learned = (network(images) for network in networks)
    torch.testing.assert_close(learned, coarse)
    learned.sum().backward()
    assert networks[1].upsample.details[-1].weight.grad.abs().sum() > 0  # and can leave it


def test_scores_of_finer_maps_begin_as_the_interpolated_coarse_map():
    network = build_detector(FCNConfig(width=4, head="skip")).eval()
    images = torch.randint(0, 256, (2, 1, 48, 40), dtype=torch.uint8)
    coarse, finer = network.network.with_finer_maps(images)
    assert torch.equal(coarse, network.network(images))
    assert [tuple(one.shape[1:]) for one in finer] == [(4, 48, 40), (8, 24, 20), (16, 12, 10)]
    expected = coarse
    for _ in range(3):
        expected = torch.nn.functional.interpolate(
            expected, scale_factor=2, mode="bilinear", align_corners=False
        )
    scores = network(images)
    torch.testing.assert_close(scores, expected)
    scores.square().sum().backward()
    assert all(layer.weight.grad.abs().sum() > 0 for layer in network.upsample.scores)


def test_each_finer_map_moves_the_scores_of_its_own_cells():
    network = build_detector(FCNConfig(width=4, head="skip")).eval()
    coarse, finer = network.network.with_finer_maps(torch.zeros(1, 1, 32, 32, dtype=torch.uint8))
    before = network.upsample(coarse, finer)
    for stage, (layer, cell) in enumerate(zip(network.upsample.scores, (1, 2, 4), strict=True)):
        torch.nn.init.ones_(layer.weight)
        moved = [one.clone() for one in finer]
        moved[stage][:, :, 3, 2] += 1
        change = network.upsample(coarse, moved) - network.upsample(coarse, finer)
        # of the peak, a cell's own pixels have at least 0.69, those around it at most 0.5
        rows, columns = (change[0, 0] > 0.6 * change.max()).nonzero().T
        assert (rows.min(), rows.max()) == (3 * cell, 4 * cell - 1)
        assert (columns.min(), columns.max()) == (2 * cell, 3 * cell - 1)
        torch.nn.init.zeros_(layer.weight)
    torch.testing.assert_close(network.upsample(coarse, finer), before)


def test_a_cnn_sees_the_canvas_alone_and_has_a_cell_for_each_stride():
    network = build_detector(FCNConfig(width=4)).eval()
    seen = []
    network.network.register_forward_hook(
        lambda module, inputs, output: seen.append((inputs, output))
    )
    network(torch.zeros(1, 1, 64, 40, dtype=torch.uint8))
    ((inputs,), output) = seen[0]
    assert inputs.shape[2:] == (64, 40) and output.shape[2:] == (8, 5)
    assert network.geometry.offset == (network.geometry.stride - 1) / 2


@pytest.mark.parametrize("head", ["deconvolution", "skip"])
def test_a_head_with_a_cell_for_each_pixel_is_not_dilated(head):
    with pytest.raises(ValueError, match="cell for each pixel already"):
        dilated(build_detector(FCNConfig(width=4, head=head)))


def test_a_detector_takes_over_the_weights_of_its_classifier(classifier, images):
    network = build_detector(FCNConfig(model="small-cnn", width=4, seed=9), classifier).eval()
    alone = dense(convolutionalize(classifier, SHAPE)).eval()
    scores = network(images)
    torch.testing.assert_close(scores[:, :10], alone(images))
    assert (scores[:, 10] == 0).all(), "background begins at zero"


@pytest.mark.parametrize("head", ["sliding", "deconvolution"])
def test_the_seed_draws_the_weights(head):
    def weights(seed):
        return build_detector(
            FCNConfig(model="small-cnn", width=4, head=head, seed=seed)
        ).state_dict()

    same, other = weights(1), weights(2)
    for name, value in weights(1).items():
        assert torch.equal(value, same[name])
    new = "upsample.details.0.weight" if head == "deconvolution" else "network.features.0.0.weight"
    assert not torch.equal(same[new], other[new])


def test_building_a_detector_leaves_the_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    build_detector(FCNConfig(model="small-cnn", width=4, head="deconvolution"))
    assert torch.equal(torch.rand(3), expected)
