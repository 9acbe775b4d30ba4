"""Names of classes without the images: they must be those of the data sets themselves."""

import pytest

from labutils import data
from labutils.config.data_sets import DATA_SETS
from labutils.data import class_names as module
from labutils.data.class_names import class_names


@pytest.mark.parametrize("name", ["digits", "shapes10", "shapes20"])
def test_built_in_sets_have_the_names_of_their_images(name):
    assert class_names(name) == data.load(name).class_names


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100"])
def test_real_sets_have_the_names_of_their_files(name):
    assert class_names(name) == data.load(name).class_names


def test_every_class_has_a_name_where_no_data_set_is(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "data_root", lambda: tmp_path)
    monkeypatch.setattr("labutils.data.sets.data_root", lambda: tmp_path)
    for name, spec in DATA_SETS.items():
        assert len(set(class_names(name))) == spec.classes
    assert class_names("cifar10")[3] == "cat" and class_names("cifar100")[3] == "3"
