"""Built-in image sets: what they promise, and that they are worth training on."""

import numpy as np
import pytest
import torch
from torch import nn

from labutils.data.shapes import CLASS_NAMES, SHAPES10, SHAPES20, Shapes, render

NAMES = list(CLASS_NAMES)


@pytest.fixture(scope="module", params=NAMES)
def shapes(request: pytest.FixtureRequest) -> Shapes:
    return render(request.param, 4000, seed=3)


@pytest.fixture(scope="module")
def sets() -> tuple[Shapes, Shapes]:
    """Training and test images of shapes10."""
    return render("shapes10", 6000, seed=0), render("shapes10", 1000, seed=1)


def boxes(shapes: Shapes) -> tuple[np.ndarray, np.ndarray]:
    """First covered pixel and extent of each mask, as (x, y)."""
    first, extent = [], []
    for axis in (1, 2):
        covered = shapes.masks.any(axis)
        first.append(covered.argmax(1))
        extent.append(32 - covered[:, ::-1].argmax(1) - first[-1])
    return np.stack(first, axis=1), np.stack(extent, axis=1)


def test_arrays_have_the_promised_form(shapes: Shapes):
    assert shapes.images.shape == (4000, 32, 32, 3) and shapes.images.dtype == np.uint8
    assert shapes.labels.shape == (4000,) and shapes.labels.dtype == np.uint8
    assert shapes.masks.shape == (4000, 32, 32) and shapes.masks.dtype == bool
    assert shapes.images.min() == 0 and shapes.images.max() == 255


def test_class_names():
    assert CLASS_NAMES == {"shapes10": SHAPES10, "shapes20": SHAPES20}
    assert len(set(SHAPES10)) == 10 and len(set(SHAPES20)) == 20
    assert all(SHAPES20[i].endswith(SHAPES10[i % 10]) for i in range(20))
    assert render("shapes20", 1, seed=0).class_names == SHAPES20


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_images", [1, 7, 1003])
def test_classes_are_balanced_and_shuffled(name: str, n_images: int):
    labels = render(name, n_images, seed=0).labels
    counts = np.bincount(labels, minlength=len(CLASS_NAMES[name]))
    assert counts.max() - counts.min() <= 1
    if n_images > 100:
        assert np.abs(np.corrcoef(np.arange(n_images), labels)[0, 1]) < 0.1
        assert len(set(labels[:40])) > 5


def test_objects_cover_5_to_20_percent(shapes: Shapes):
    area = shapes.masks.mean(axis=(1, 2))
    assert area.min() >= 0.05 and area.max() <= 0.20
    assert area.min() < 0.07 and area.max() > 0.17  # the range is used


def test_area_is_independent_of_class(shapes: Shapes):
    area = shapes.masks.mean(axis=(1, 2))
    means = [area[shapes.labels == label].mean() for label in np.unique(shapes.labels)]
    assert np.ptp(means) < 0.02


@pytest.mark.parametrize("fill", ["filled", "outline"])
def test_mask_is_where_the_object_is(fill: str):
    shapes = render("shapes20", 600, seed=5)
    chosen = [shapes.class_names[label].startswith(fill) for label in shapes.labels]
    images, masks = shapes.images[chosen].astype(float), shapes.masks[chosen]
    shift = [np.roll(masks, step, axis) for axis in (1, 2) for step in (-1, 1)]
    inside = masks & np.logical_and.reduce(shift)
    edge, outside = masks & ~inside, ~(masks | np.logical_or.reduce(shift))
    # The object has one colour: its pixels differ less among themselves than from the ground.
    ink = inside if fill == "filled" else edge
    separated = []
    for image, on, off in zip(images, ink, outside, strict=True):
        colour = np.median(image[on], axis=0)
        far = np.linalg.norm(image - colour, axis=-1)
        separated.append(np.median(far[on]) + 25 < np.median(far[off]))
    assert np.mean(separated) > 0.98


def test_objects_fit_whole_and_reach_every_side(shapes: Shapes):
    covered = shapes.masks.mean(axis=0)
    assert covered[[0, -1]].any() and covered[:, [0, -1]].any()
    # Moved by one pixel past a border, some objects would be cut: none is much smaller for it.
    on_border = shapes.masks[:, [0, -1]].any((1, 2)) | shapes.masks[:, :, [0, -1]].any((1, 2))
    area = shapes.masks.mean(axis=(1, 2))
    assert area[on_border].mean() >= area[~on_border].mean()


def test_position_is_uniform_in_every_class(shapes: Shapes):
    first, extent = boxes(shapes)
    place = (first + 0.5) / (33 - extent)  # among the places where the object fits, 0 to 1
    for axis in (0, 1):
        quarters = np.bincount((place[:, axis] * 4).astype(int), minlength=4) / len(place)
        assert np.abs(quarters - 0.25).max() < 0.04
    quadrants = np.bincount((place > 0.5) @ [1, 2], minlength=4) / len(place)
    assert np.abs(quadrants - 0.25).max() < 0.04
    for label in np.unique(shapes.labels):
        assert np.abs(place[shapes.labels == label].mean(0) - 0.5).max() < 0.08


def test_nuisances_are_independent_of_class(shapes: Shapes):
    """Nearest class mean over colour, size and position stays near chance.

    Of the shape: fill, a part of the class in shapes20, shows in the mean colour of the inside.
    """
    labels = shapes.labels % 10
    inside = shapes.masks[..., None]
    colour = (shapes.images * inside).sum((1, 2)) / inside.sum((1, 2))
    ground = (shapes.images * ~inside).sum((1, 2)) / (~inside).sum((1, 2))
    area = shapes.masks.sum((1, 2))[:, None]
    first, extent = boxes(shapes)
    features = np.concatenate([colour, ground, area, first + extent / 2], axis=1)
    features = (features - features.mean(0)) / features.std(0)
    train, test = slice(2000), slice(2000, None)
    means = np.stack([features[train][labels[train] == label].mean(0) for label in range(10)])
    distance = np.linalg.norm(features[test][:, None] - means, axis=-1)
    assert np.mean(distance.argmin(1) == labels[test]) < 0.15


def test_fill_is_random_in_shapes10_and_known_in_shapes20():
    outline = {}
    for name in NAMES:
        shapes = render(name, 2000, seed=2)
        # The middle of a filled square has the colour of its rim.
        outline[name] = []
        for image, mask in zip(shapes.images[shapes.labels % 10 == 1].astype(float),
                               shapes.masks[shapes.labels % 10 == 1], strict=True):  # fmt: skip
            rows, columns = np.nonzero(mask)
            middle = image[round(rows.mean()), round(columns.mean())]
            rim = image[rows.min() + 1, columns[rows == rows.min() + 1]].mean(0)
            outline[name].append(np.linalg.norm(middle - rim) > 50)
    assert 0.3 < np.mean(outline["shapes10"]) < 0.7
    assert 0.3 < np.mean(outline["shapes20"]) < 0.7


def test_same_seed_same_bytes_other_seed_other_images():
    first, again, other = (render("shapes20", 1100, seed) for seed in (4, 4, 5))
    for field in ("images", "labels", "masks"):
        assert np.array_equal(getattr(first, field), getattr(again, field))
        assert not np.array_equal(getattr(first, field), getattr(other, field))
    assert len(np.unique(first.images.reshape(1100, -1), axis=0)) == 1100


def test_drawing_leaves_numpys_global_generator_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    render("shapes10", 5, seed=0)
    assert np.array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("shapes11", 10, 0), "'shapes11'.*'shapes10', 'shapes20'"),
        (("shapes10", 0, 0), "n_images is 0: expected .* at least 1; pass"),
        (("shapes10", -3, 0), "n_images is -3"),
        (("shapes10", 2.5, 0), "n_images is 2.5: expected an integer"),
        (("shapes10", True, 0), "n_images is True: expected an integer"),
        (("shapes10", 10, -1), "seed is -1: expected .* at least 0; pass"),
        (("shapes10", 10, None), "seed is None"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple, said: str):
    with pytest.raises(ValueError, match=said):
        render(*arguments)


def accuracy(net: nn.Module, train: Shapes, test: Shapes, epochs: int, lr: float) -> float:
    """Test accuracy after training with Adam on batches of 64."""
    mean, std = train.images.mean(), train.images.std()

    def tensors(shapes: Shapes) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = torch.from_numpy(shapes.images).permute(0, 3, 1, 2)
        return (pixels.float() - mean) / std, torch.from_numpy(shapes.labels).long()

    images, labels = tensors(train)
    net = net.to(memory_format=torch.channels_last)
    images = images.contiguous(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(net.parameters(), lr)
    generator = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for batch in torch.randperm(len(images), generator=generator).split(64):
            loss = nn.functional.cross_entropy(net(images[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    images, labels = tensors(test)
    with torch.no_grad():
        return (net(images).argmax(1) == labels).float().mean().item()


def test_worth_training_on(sets: tuple[Shapes, Shapes]):
    """A linear model on pixels fails, and convolutions beat a network without them."""
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    mlp = nn.Sequential(nn.Flatten(), nn.Linear(3072, 128), nn.ReLU(), nn.Linear(128, 10))
    cnn = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(2048, 10),
    )  # fmt: skip
    assert accuracy(linear, *sets, epochs=4, lr=1e-4) < 0.35
    mlp_accuracy = accuracy(mlp, *sets, epochs=4, lr=1e-3)
    assert accuracy(cnn, *sets, epochs=6, lr=2e-3) > mlp_accuracy + 0.10
