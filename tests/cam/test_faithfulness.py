import pytest
import torch
from scipy.stats import spearmanr
from small_networks import CIFAR, CONFIGS
from torch import nn

from labutils.cam.faithfulness import (
    FILLS,
    blur_fill,
    deletion_insertion,
    mean_fill,
    randomised_from_the_top,
    rank_correlation,
    shifted,
    with_noise,
)
from labutils.cam.maps import class_activation_maps
from labutils.models.networks import build_model

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Window(nn.Module):
    """Sees the mean of a few pixels alone: the more light there, the surer of class 1."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, x):
        light = self.scale * x[:, :, 8:12, 8:16].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(light), light], 1)


def in_window():
    seen = torch.zeros(3, 32, 32)
    seen[:, 8:12, 8:16] = 1
    return seen


def test_a_map_of_what_the_network_sees_deletes_and_inserts_at_once():
    fill = torch.zeros_like(IMAGES)
    curves = deletion_insertion(Window(), IMAGES, in_window(), fill, class_idx=1)
    whole = Window()(IMAGES).softmax(1)[:, 1]
    assert curves.deletion.shape == curves.insertion.shape == (3, 33)
    for curve in curves:  # 32 pixels are seen, and a step is 32 pixels
        assert curve[:, 1:].std(1).max() < 1e-6
    torch.testing.assert_close(curves.deletion[:, 0], whole.detach())
    torch.testing.assert_close(curves.insertion[:, 1], whole.detach())
    torch.testing.assert_close(curves.deletion[:, -1], torch.full((3,), 0.5))
    torch.testing.assert_close(curves.insertion[:, 0], torch.full((3,), 0.5))
    worst = deletion_insertion(Window(), IMAGES, -in_window(), fill, class_idx=1)
    assert (worst.deletion.mean(1) - curves.deletion.mean(1) > 0.4).all()
    assert (curves.insertion.mean(1) - worst.insertion.mean(1) > 0.4).all()


def test_the_predicted_class_is_the_default():
    one = deletion_insertion(Window(), IMAGES, in_window(), mean_fill(IMAGES), steps=4)
    other = deletion_insertion(Window(), IMAGES, in_window(), mean_fill(IMAGES), [1, 1, 1], 4)
    assert torch.equal(one.deletion, other.deletion) and one.deletion.shape == (3, 5)


def test_bytes_give_what_floats_give():
    network = build_model(CONFIGS["resnet20"], CIFAR, 10)
    pixels = (255 * IMAGES).byte()
    order = torch.rand(3, 32, 32)
    one = deletion_insertion(network, pixels, order, blur_fill(pixels), steps=4)
    floats = pixels.float() / 255
    other = deletion_insertion(network, floats, order, blur_fill(pixels).float() / 255, steps=4)
    torch.testing.assert_close(one.deletion, other.deletion)


@pytest.mark.parametrize("name", FILLS)
def test_fills_keep_type_and_mean_colour_and_lose_detail(name):
    for images in (IMAGES, (255 * IMAGES).byte()):
        fill = FILLS[name](images)
        assert fill.shape == images.shape and fill.dtype == images.dtype
        one, other = fill.double().mean((2, 3)), images.double().mean((2, 3))
        assert (one - other).abs().max() < 0.05 * images.max()
        assert fill.double().std() < 0.3 * images.double().std()


def test_blur_leaves_what_is_flat_and_slopes():
    flat = torch.full((1, 3, 16, 24), 0.25)
    torch.testing.assert_close(blur_fill(flat), flat)
    slope = torch.linspace(0, 1, 65).expand(1, 1, 65, 65)
    middle = blur_fill(slope, 0.03)[0, 0, 20:45, 20:45]
    torch.testing.assert_close(middle, slope[0, 0, 20:45, 20:45], rtol=1e-3, atol=1e-3)


def test_rank_correlation_is_that_of_scipy_ties_included():
    generator = torch.Generator().manual_seed(1)
    first = torch.rand(5, 6, 7, generator=generator).sub(0.5).relu()  # many zeros
    second = first + torch.rand(5, 6, 7, generator=generator).round(decimals=1)
    found = rank_correlation(first, second)
    for number, value in enumerate(found.tolist()):
        expected = spearmanr(first[number].flatten(), second[number].flatten()).statistic
        assert value == pytest.approx(expected)
    torch.testing.assert_close(rank_correlation(first, first.exp()), torch.ones(5).double())
    torch.testing.assert_close(rank_correlation(first, -first), -torch.ones(5).double())


def test_a_constant_map_has_no_ranks():
    assert rank_correlation(torch.zeros(1, 4, 4), torch.rand(1, 4, 4)).isnan().all()


def test_layers_lose_their_training_from_the_top_down():
    network = build_model(CONFIGS["resnet-plain"], CIFAR, 10)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(3)  # a value that no initialisation draws
    random = torch.get_rng_state()
    names, untrained = [], []
    for name, changed in randomised_from_the_top(network, IMAGES):
        names.append(name)
        untrained.append({n for n, p in changed.named_parameters() if (p != 3).any()})
        assert not changed.training or network.training
    layers = [f"blocks.{n}.{which}" for n in range(3) for which in ("first", "second")]
    assert names == ["head.1", *reversed(layers), "stem.0"]
    for number, found in enumerate(untrained):  # cumulative
        expected = {f"{name}.{kind}" for name in names[: number + 1] for kind in ("weight", "bias")}
        assert found == expected
    assert all((parameter == 3).all() for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), random)


def test_the_same_seed_gives_the_same_weights():
    network = build_model(CONFIGS["resnet-plain"], CIFAR, 10)

    def last(seed):
        *_, (_, changed) = randomised_from_the_top(network, IMAGES, seed)
        return changed.head[1].weight

    assert torch.equal(last(0), last(0)) and not torch.equal(last(0), last(1))


def test_parameters_of_a_module_without_a_reset_are_shuffled():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.head = nn.Parameter(torch.arange(32.0)), nn.Linear(3, 2)

        def forward(self, x):
            return self.head((x * self.scale).mean((2, 3)))

    network = Scaled()
    steps = {
        name: changed.scale.clone() for name, changed in randomised_from_the_top(network, IMAGES)
    }
    # the network itself finishes after its head
    assert list(steps) == ["", "head"]
    assert not torch.equal(steps[""], network.scale)
    assert torch.equal(steps[""].sort().values, network.scale)


def test_maps_of_an_image_correlate_with_themselves_and_less_with_noise():
    network = build_model(CONFIGS["resnet20"], CIFAR, 10)

    def maps_of(images):
        return class_activation_maps(network, images, class_idx=0, rectify=False).values

    same = rank_correlation(maps_of(IMAGES), maps_of(IMAGES))
    torch.testing.assert_close(same, torch.ones(3).double())
    noisy = rank_correlation(maps_of(IMAGES), maps_of(with_noise(IMAGES, 0.3)))
    assert (noisy < same - 1e-4).all()


def test_noise_has_its_deviation_and_bytes_stay_bytes():
    grey = torch.full((4, 3, 64, 64), 0.5)
    assert with_noise(grey, 0.1).std().item() == pytest.approx(0.1, rel=0.02)
    found = with_noise((255 * grey).byte(), 0.1)
    assert found.dtype == torch.uint8
    assert found.double().std().item() == pytest.approx(25.5, rel=0.02)


def test_a_shift_moves_pixels_and_repeats_the_border():
    picture = torch.arange(12.0).view(1, 1, 3, 4)
    found = shifted(picture, 1, -1)
    assert found[0, 0].tolist() == [[1, 2, 3, 3], [1, 2, 3, 3], [5, 6, 7, 7]]
    assert torch.equal(shifted(picture[0, 0], 0, 0), picture[0, 0])
