"""The two profiles: where results go, and which data sets stand in for the real ones."""

import shutil
from pathlib import Path

import pytest

from labutils.config.data_sets import DATA_SETS, DataName
from labutils.config.profiles import ProfileError, profile, root_of

ROOT = Path(__file__).parents[2]
REAL = ("mnist", "cifar10", "cifar100", "mnist-canvases")


def test_full_is_the_default_and_writes_into_the_report(monkeypatch):
    monkeypatch.delenv("LAB_PROFILE", raising=False)
    full = profile()
    assert full.name == "full" and not full.quick
    assert full.runs == ROOT / "trained_models"
    assert full.images == ROOT / "images"
    assert full.scratch == ROOT / "build" / "runs"


def test_quick_keeps_everything_under_build(monkeypatch):
    monkeypatch.setenv("LAB_PROFILE", "quick")
    quick = profile()
    assert quick.name == "quick" and quick.quick
    folders = (quick.runs, quick.scratch, quick.images)
    assert len(set(folders)) == 3
    assert all(folder.is_relative_to(ROOT / "build" / "quick") for folder in folders)


def test_an_argument_comes_before_the_variable(monkeypatch):
    monkeypatch.setenv("LAB_PROFILE", "quick")
    assert not profile("full").quick
    monkeypatch.setenv("LAB_PROFILE", "")  # as a shell leaves it that was to unset it
    assert not profile().quick
    assert profile("quick").quick


def test_paths_do_not_follow_the_working_directory(monkeypatch, tmp_path):
    before = profile()
    monkeypatch.chdir(tmp_path)
    assert profile() == before and before.runs.is_absolute()


def test_a_checkout_is_its_own_root_wherever_one_works(monkeypatch, tmp_path):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "pyproject.toml", checkout)
    assert root_of(checkout / "labutils") == checkout


@pytest.mark.parametrize(
    "beside",
    [None, '[project]\nname = "of-somebody-else"', "[tool.ruff]", "project = 3", "no toml", "\xff"],
)
def test_an_installed_package_works_where_one_works(beside, monkeypatch, tmp_path):
    """Not in site-packages, nor in the folder of a project that has a copy of the package."""
    home, here = tmp_path / "site-packages", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    if beside is not None:
        (home / "pyproject.toml").write_bytes(beside.encode("latin-1"))
    monkeypatch.chdir(here)
    assert root_of(home / "labutils") == here


def test_looking_makes_no_folder(monkeypatch, tmp_path):
    monkeypatch.setattr("labutils.config.profiles.ROOT", tmp_path)
    assert profile("quick").runs == tmp_path / "build" / "quick" / "trained_models"
    assert profile("full").runs == tmp_path / "trained_models"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["fast", "Quick", "full "])
def test_unknown_profile_is_never_taken_for_another(monkeypatch, name):
    monkeypatch.setenv("LAB_PROFILE", name)
    with pytest.raises(ProfileError, match=f"LAB_PROFILE is '{name}'.*full.*quick"):
        profile()


def test_full_means_the_sets_that_it_names():
    assert [profile("full").data(name) for name in DataName.__args__] == list(DataName.__args__)


def test_quick_needs_no_download():
    meant = {name: profile("quick").data(name) for name in DataName.__args__}
    assert all(DATA_SETS[name].built_in for name in meant.values())
    for name in REAL:
        real, stand_in = DATA_SETS[name], DATA_SETS[meant[name]]
        assert real.image_shape == stand_in.image_shape, "the same networks fit"
        assert stand_in.train < real.train and stand_in.classes <= real.classes


@pytest.mark.parametrize("name", [name for name, spec in DATA_SETS.items() if spec.made_from])
def test_a_set_that_is_made_has_the_classes_of_its_source_and_is_as_near(name):
    """Its stand-in is made from the stand-in of its source: neither needs a download."""
    spec, source = DATA_SETS[name], DATA_SETS[DATA_SETS[name].made_from]
    assert source.made_from is None and spec.classes == source.classes
    assert spec.built_in == source.built_in
    if spec.stand_in:
        assert DATA_SETS[spec.stand_in].made_from == source.stand_in
