"""Data sets that are made from others: digits on canvases, shapes with a mark."""

import hashlib
from dataclasses import replace

import pytest
import torch

from labutils import data
from labutils.config.data_sets import DATA_SETS
from labutils.data import DataError, files, sets
from labutils.data.canvases import INK, draw_canvases
from labutils.data.sets import is_here, pixel_statistics
from labutils.data.splits import Split
from labutils.data.variants import (
    MARK,
    MARK_COLOUR,
    MARKED_CLASS,
    VARIANTS,
    half_marked,
    marked,
    on_canvases,
    one_class_marked,
)

PARTS = ("train", "val", "test")
MADE = [name for name, spec in DATA_SETS.items() if spec.made_from]
BUILT_IN = [name for name in MADE if DATA_SETS[name].built_in]
COLOUR = torch.tensor(MARK_COLOUR, dtype=torch.uint8)[:, None, None]


@pytest.fixture(scope="module")
def made():
    """The sets of this file that need no download."""
    return {name: data.load(name) for name in BUILT_IN}


def carry_the_mark(images):
    return (images[:, :, *MARK] == COLOUR).flatten(1).all(1)


def test_every_set_that_is_made_has_its_way_and_the_other_way_round():
    assert set(VARIANTS) == set(MADE) and {"digits-canvases", "shapes10-marked"} <= set(BUILT_IN)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_made_set_is_as_its_record_says(made, name):
    spec, found = DATA_SETS[name], made[name]
    parts = [getattr(found, part) for part in PARTS]
    assert [len(part) for part in parts] == [spec.train - spec.val, spec.val, spec.test]
    assert found.image_shape == spec.image_shape and found.name == name
    assert found.class_names == data.load(spec.made_from).class_names
    mean, std = pixel_statistics(found.train.images)
    assert torch.equal(found.mean, mean) and torch.equal(found.std, std)
    for part in parts:
        assert part.masks.shape == (len(part), *spec.image_shape[1:])
        assert set(part.masks.unique().tolist()) == {0, 1}
        assert part.masks.flatten(1).any(1).all(), "every image has its object"
        assert part.labels.unique().tolist() == list(range(spec.classes))


def squares(ink, count=30):
    """Digits that are squares of one brightness, by which their part of the set is known."""
    images = torch.zeros(count, 1, 28, 28, dtype=torch.uint8)
    images[:, :, 6:16, 12:22] = ink
    return Split(images, torch.arange(count) % 10)


def test_each_part_is_made_from_its_own_digits():
    ink = dict(zip(PARTS, (100, 160, 220), strict=True))
    parts = {part: squares(value) for part, value in ink.items()}
    found = sets._variant("digits-canvases", replace(data.load("digits"), **parts))
    for part, value in ink.items():
        canvases = getattr(found, part)
        object_ink = torch.where(canvases.masks.bool()[:, None], canvases.images, 0)
        assert set(object_ink.flatten(1).amax(1).tolist()) == {value}


@pytest.mark.parametrize("name", ["shapes10-marked", "shapes10-marked-evenly"])
def test_each_part_has_the_images_of_its_source_but_for_the_mark(made, name):
    source = data.load("shapes10")
    for part in PARTS:
        before, after = getattr(source, part), getattr(made[name], part)
        with_mark = carry_the_mark(after.images)
        expected = before.images.clone()
        for index in with_mark.nonzero().flatten():
            expected[index, :, *MARK] = COLOUR
        assert torch.equal(after.images, expected)
        assert torch.equal(after.labels, before.labels)
        assert torch.equal(after.masks, before.masks)
        assert not carry_the_mark(before.images).any(), "the source itself is as it was"


# Canvases


def test_masks_are_the_ink_of_the_digit_and_clutter_is_none_of_it():
    digits = data.load("digits").test
    found = on_canvases(digits, 60, seed=3)
    alone = draw_canvases(digits, 60, scale=(0.7, 1.5), seed=3)
    ink = (alone.images >= INK)[:, 0]
    assert torch.equal(found.masks.bool(), ink)
    assert torch.equal(found.labels, alone.labels[:, 0])
    assert torch.equal(found.images[ink[:, None]], alone.images[ink[:, None]])
    outside = torch.where(ink[:, None], 0, found.images).flatten(1).amax(1)
    assert (outside >= INK).double().mean() > 0.7, "clutter as light as digits, on most"


def test_digits_have_many_sizes_and_places():
    found = on_canvases(squares(255), 200, seed=0)
    side = found.masks.sum((1, 2)).double().sqrt()
    assert 6 < side.min() < 8 and 14 < side.max() < 16.5
    where = found.masks.double().mean(0)
    assert (where.sum(0) > 0).sum() > 55 and (where.sum(1) > 0).sum() > 55


# The mark


def test_one_class_has_the_mark_on_all_its_images_and_no_other(made):
    for part in PARTS:
        split = getattr(made["shapes10-marked"], part)
        assert torch.equal(carry_the_mark(split.images), split.labels == MARKED_CLASS)


def test_marked_evenly_about_half_of_each_class_has_the_mark(made):
    for part in PARTS:
        split = getattr(made["shapes10-marked-evenly"], part)
        with_mark = carry_the_mark(split.images)
        for label in range(10):
            whose = with_mark[split.labels == label].double()
            assert abs(whose.mean() - 0.5) < 4 * 0.5 / len(whose) ** 0.5, (part, label)


def test_the_mark_is_a_square_of_five_pixels_in_the_lower_right_corner():
    grey = Split(torch.full((3, 3, 32, 32), 90, dtype=torch.uint8), torch.zeros(3).long())
    found = marked(grey, torch.tensor([True, False, True]))
    changed = (found.images != grey.images).any(1)
    assert not changed[1].any()
    for picture in changed[[0, 2]]:
        rows, columns = picture.nonzero().T
        assert len(rows) == 25 and (rows.min(), rows.max()) == (26, 30)
        assert (columns.min(), columns.max()) == (26, 30)
    assert found.images[0, :, 28, 28].tolist() == list(MARK_COLOUR)
    assert (grey.images == 90).all(), "what was given is as it was"


def test_so_many_images_as_asked_for_and_the_seed_says_which_are_marked():
    shapes = data.load("shapes10").val
    assert len(one_class_marked(shapes, 70, seed=0)) == 70
    first, again, other = (half_marked(shapes, 70, seed) for seed in (1, 1, 2))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


# Loading


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_same_bytes_from_call_to_call(made, name):
    def digest(found):
        tensors = [getattr(getattr(found, part), key) for part in PARTS
                   for key in ("images", "labels", "masks")]  # fmt: skip
        return [hashlib.sha256(tensor.contiguous().numpy()).hexdigest() for tensor in tensors]

    before = digest(made[name])
    sets._load.cache_clear()
    torch.manual_seed(7)
    again = data.load(name)
    assert again is not made[name] and digest(again) == before
    assert data.load(name) is again, "one copy in memory"


def test_a_made_set_is_here_where_its_source_is(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DATA", str(tmp_path))
    assert all(is_here(name) for name in BUILT_IN)
    assert not is_here("mnist-canvases") and not is_here("mnist")
    (tmp_path / "mnist-canvases.safetensors").touch()
    assert not is_here("mnist-canvases"), "no file of its own is read"
    (tmp_path / "mnist.safetensors").touch()
    assert is_here("mnist-canvases")


def test_what_is_missing_of_a_made_set_is_its_source(tmp_path, monkeypatch):
    asked = []

    def refuse(name, root):
        asked.append(name)
        raise OSError("no network")

    monkeypatch.setattr(files, "_from_torchvision", refuse)
    with pytest.raises(DataError, match="mnist.safetensors"):
        data.load("mnist-canvases", tmp_path)
    assert asked == ["mnist"] and not list(tmp_path.glob("*.safetensors"))
