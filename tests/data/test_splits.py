"""Subsets of few labels; the split itself is tested with the sets."""

import pytest
import torch

from labutils import data
from labutils.data.splits import SubsetError, nested_subset

LABELS = torch.tensor([i * i % 7 for i in range(500)])  # classes 0, 1, 2, 4, unequally many


def test_a_subset_has_as_many_of_each_class_and_is_part_of_a_larger():
    fewest = LABELS.unique(return_counts=True)[1].min().item()
    few, more = nested_subset(LABELS, 2), nested_subset(LABELS, fewest)
    assert set(few.tolist()) < set(more.tolist())
    assert set(LABELS[more].unique(return_counts=True)[1].tolist()) == {fewest}
    assert few.tolist() == sorted(few.tolist())


def test_draws_differ_and_are_the_same_each_time():
    first, again, other = (nested_subset(LABELS, 2, draw) for draw in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_too_few_images_are_told():
    with pytest.raises(SubsetError, match="3 images of each class .* class 0 has 2: give fewer"):
        nested_subset(torch.tensor([0, 0, 1, 1, 1]), 3)


def test_with_few_labels_validation_shrinks_too_and_test_does_not():
    images = data.load("digits")
    few = images.with_labels(20, draw=1)
    assert few.train.labels.bincount().tolist() == [20] * 10
    assert few.val.labels.bincount().tolist() == [2] * 10  # a ninth, as of the whole set
    assert few.test is images.test and not torch.equal(few.mean, images.mean)
    assert images.with_labels(3).val.labels.bincount().tolist() == [1] * 10
