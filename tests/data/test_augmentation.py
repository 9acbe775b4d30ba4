"""Augmentation: every draw is a view of its own image, and another one for each image."""

import collections

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from labutils.config.fit import FitConfig
from labutils.data.augmentation import Augmenter, training_batches


def random_images(count, channels=3, height=9, width=7, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (count, channels, height, width), np.uint8))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def all_views(image, padding, flip):
    """Every window of the image framed in black, by mirror, top and left: the slow way."""
    framed = F.pad(image, (padding,) * 4)
    height, width = image.shape[1:]
    views = {}
    for mirror in (False, True) if flip else (False,):
        whole = framed.flip(2) if mirror else framed
        for top in range(2 * padding + 1):
            for left in range(2 * padding + 1):
                view = whole[:, top : top + height, left : left + width]
                views[view.contiguous().numpy().tobytes()] = (mirror, top, left)
    return views


def place(view):
    return view.contiguous().numpy().tobytes()


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("padding", [0, 1, 4])
def test_crops_are_exact_windows_of_the_framed_image(flip, padding):
    images = random_images(5)
    augment = Augmenter(images, flip=flip, crop_padding=padding)
    indices = torch.arange(5).repeat(20)
    batch = augment(indices, generator())
    assert batch.shape == (100, 3, 9, 7) and batch.dtype == torch.uint8
    for index, view in zip(indices, batch, strict=True):
        assert place(view) in all_views(images[index], padding, flip)


def test_a_reflected_frame_repeats_the_image_without_its_border():
    images = random_images(5)
    augment = Augmenter(images, crop_padding=2, padding_mode="reflect")
    indices = torch.arange(5).repeat(20)
    rows, columns = ([2, 1, *range(side), side - 2, side - 3] for side in (9, 7))
    framed = images.numpy()[:, :, rows][:, :, :, columns]
    for index, view in zip(indices, augment(indices, generator()), strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(framed[index], (3, 9, 7))
        assert (windows == view.numpy()).all((3, 4, 5)).any()


def test_each_image_has_its_own_draw():
    """Mistake 12 of the older reports: one random draw for a whole batch."""
    images = random_images(1).expand(2, -1, -1, -1)
    views = all_views(images[0], 1, flip=True)
    batch = Augmenter(images, flip=True, crop_padding=1)(torch.zeros(900).long(), generator())
    counts = collections.Counter(views[place(view)] for view in batch)
    assert len(counts) == 18, "every mirror, top and left comes"
    assert min(counts.values()) > 20 and max(counts.values()) < 90  # 50 each, on average


def test_about_half_are_mirrored_and_exactly():
    images = random_images(400)
    batch = Augmenter(images, flip=True)(torch.arange(400), generator())
    mirrored = (batch == images.flip(3)).flatten(1).all(1)
    kept = (batch == images).flatten(1).all(1)
    assert (mirrored ^ kept).all()
    assert 160 <= mirrored.sum() <= 240


@pytest.mark.parametrize("side", [1, 4, 5, 7])
def test_cutout_blanks_a_square_in_the_mean_colour(side):
    height, width = 9, 7
    images = 255 * (random_images(300) > 140).byte()  # no pixel has the mean colour
    fill = (images.double().mean((0, 2, 3))).round().byte()
    batch = Augmenter(images, cutout=side)(torch.arange(300), generator())
    changed = batch != images
    hole = changed[:, 0]
    assert (changed == hole[:, None]).all(), "all channels of a pixel, or none"
    assert (batch.permute(0, 2, 3, 1)[hole] == fill).all()
    seen = set()
    for square in hole:
        rows, columns = (square.any(axis).nonzero().flatten() for axis in (1, 0))
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        assert square[top:bottom, left:right].all(), "a rectangle"
        for start, stop, length in ((top, bottom, height), (left, right, width)):
            assert stop - start == side or (start == 0) or (stop == length), "clipped at borders"
            assert side // 2 <= stop - start <= side or side == 1
        # The pixel that was drawn: the square lies from side // 2 before it on.
        row = top + side // 2 if top > 0 else bottom - (side - side // 2)
        column = left + side // 2 if left > 0 else right - (side - side // 2)
        seen.add((int(row), int(column)))
    assert hole.any(0).all(), "every pixel is reached"
    assert len(seen) > 0.9 * height * width, "each pixel is the middle as often"
    assert all(0 <= row < height and 0 <= column < width for row, column in seen)


def test_cutout_is_drawn_anew_for_each_image():
    images = 255 * (random_images(2) > 140).byte()
    batch = Augmenter(images, cutout=3)(torch.zeros(50).long(), generator())
    assert len({place(view) for view in batch}) > 20


def test_augmentations_combine():
    images = random_images(6)
    augment = Augmenter(images, flip=True, crop_padding=2, cutout=3)
    plain = Augmenter(images, flip=True, crop_padding=2)
    indices = torch.tensor([3, 3, 0, 5])
    batch, cropped = augment(indices, generator(4)), plain(indices, generator(4))
    same = (batch == cropped).all(1)
    assert (same.flatten(1).sum(1) >= 9 * 7 - 9).all() and batch.dtype == torch.uint8
    assert not same.all()


def test_alternating_flips_show_each_image_both_ways_in_two_epochs():
    images = random_images(400)
    augment = Augmenter(images, flip=True, alternating_seed=3)
    mirrored = []
    for epoch in range(4):
        batch = augment(torch.arange(400), generator(epoch), epoch)
        mirrored.append((batch == images.flip(3)).flatten(1).all(1))
        kept = (batch == images).flatten(1).all(1)
        assert (mirrored[-1] ^ kept).all()
    first, second, *others = mirrored
    assert 160 <= first.sum() <= 240, "a draw for each image"
    assert torch.equal(second, ~first)
    assert torch.equal(others[0], first) and torch.equal(others[1], second)
    other = Augmenter(images, flip=True, alternating_seed=4)(torch.arange(400), generator(0), 0)
    assert not torch.equal(other, augment(torch.arange(400), generator(0), 0))


def test_alternating_flips_leave_the_other_draws_as_they_are():
    images = random_images(20)
    batch = Augmenter(images, flip=True, alternating_seed=0, crop_padding=2)
    indices = torch.arange(20).repeat(5)
    for index, view in zip(indices, batch(indices, generator(), 1), strict=True):
        assert place(view) in all_views(images[index], 2, flip=True)


def test_batches_without_augmentation_are_the_images():
    images = random_images(6)
    indices = torch.tensor([5, 0, 0])
    for given in (images, images.float() / 255):
        assert torch.equal(
            training_batches(given, FitConfig())(indices, generator(), 0), given[indices]
        )


def test_without_augmentation_images_are_what_they_were():
    images = random_images(8)
    indices = torch.tensor([7, 0, 0, 3])
    assert torch.equal(Augmenter(images)(indices, generator()), images[indices])


def test_draws_come_from_the_generator_alone():
    images = random_images(30)
    augment = Augmenter(images, flip=True, crop_padding=3, cutout=2)
    indices = torch.arange(30)
    torch.manual_seed(1)
    first = augment(indices, generator(5))
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert torch.equal(augment(indices, generator(5)), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(augment(indices, generator(6)), first)
    again = generator(5)
    augment(indices, again)
    assert not torch.equal(augment(indices, again), first), "the next epoch is another"


def test_augmentation_changes_no_stored_image():
    images = random_images(3)
    before = images.clone()
    augment = Augmenter(images, flip=True, crop_padding=1, cutout=3)
    augment(torch.arange(3), generator()).zero_()
    augment(torch.arange(3), generator())
    assert torch.equal(images, before)
    assert torch.equal(Augmenter(images)(torch.arange(3), generator()), before)


@pytest.mark.parametrize("wrong", [{"crop_padding": -1}, {"cutout": -2}, {"cutout": 8}])
def test_bad_augmentation_is_refused(wrong):
    with pytest.raises(ValueError, match="give whole numbers from 0.*9 x 7"):
        Augmenter(random_images(2), **wrong)
