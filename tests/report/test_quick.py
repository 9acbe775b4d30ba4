"""The quick profile: every experiment, small, on built-in data, from one function."""

from dataclasses import asdict

import pytest

from labutils.config.data_sets import DATA_SETS
from labutils.config.fcn import FCNConfig
from labutils.config.profiles import profile
from labutils.fcn.networks import build_detector
from labutils.models.networks import build_model
from labutils.report.experiments import EXPERIMENTS, configs, find
from labutils.report.quick import quick, quick_probe
from labutils.report.training import estimate_seconds

QUICK = profile("quick")
FULL = {config.id: config for record in EXPERIMENTS.values() for config in record.grid()}
SMALL = {config.id: config for name in EXPERIMENTS for config in configs(name, QUICK)}
every_experiment = pytest.mark.parametrize("name", EXPERIMENTS)


@every_experiment
def test_an_experiment_is_small_on_built_in_data_with_one_seed(name):
    found = configs(name, QUICK)
    assert all(DATA_SETS[config.data].built_in for config in found)
    assert len({config.seed for config in found}) == 1
    # a set of ten thousand small images in seconds a network, not in minutes
    assert estimate_seconds(found) < estimate_seconds(find(name).grid()) / 20


def test_every_network_can_be_built():
    for config in SMALL.values():
        spec = DATA_SETS[config.data]
        if isinstance(config, FCNConfig):
            assert build_detector(config)
        else:
            assert build_model(config, spec.image_shape, spec.classes)


def test_full_and_quick_runs_are_never_taken_for_one_another():
    assert not SMALL.keys() & FULL.keys()


@every_experiment
def test_what_a_run_starts_from_is_of_the_quick_grids_and_of_its_build(name):
    for config in configs(name, QUICK):
        if config.starts_from:
            source = SMALL[config.starts_from]
            # fine-tuning takes another data set, a student is another network
            apart = {"transfer": {"data"}, "distill": {"model", "width"}}.get(config.kind, set())
            for field in {"data", "model", "width", "seed"} - apart:
                assert getattr(source, field) == getattr(config, field), field


def test_some_run_starts_from_another():
    """Without this, the test above could be empty."""
    assert any(config.starts_from for config in SMALL.values())


def test_quick_depends_on_the_full_configuration_alone(monkeypatch):
    before = {run_id: asdict(config) for run_id, config in FULL.items()}
    first = {run_id: quick(config, FULL) for run_id, config in FULL.items()}
    monkeypatch.setenv("LAB_PROFILE", "quick")
    assert {run_id: quick(config, FULL) for run_id, config in FULL.items()} == first
    assert {run_id: asdict(config) for run_id, config in FULL.items()} == before
    for record in EXPERIMENTS.values():
        assert all(config.id in FULL for config in record.grid()), "grids know no profile"


def test_nothing_grows():
    for config in FULL.values():
        small = quick(config, FULL)
        for field in ("width", "epochs", "batch_size", "depth", "canvases", "size"):
            if hasattr(config, field):
                assert getattr(small, field) <= getattr(config, field), (config.name, field)


@every_experiment
def test_networks_of_an_experiment_differ_in_nothing_more_than_in_full(name):
    """But for the stem's stride, which makes networks with blocks of convolutions cheaper.

    Data sets of other sizes need other batches and epochs, and networks of other stages have other
    depths: each stage has a whole number of blocks.
    """
    allowed = {*find(name).varies, "stem_stride"}
    allowed |= {"batch_size", "epochs"} if "data" in allowed else set()
    allowed |= {"depth"} if "stages" in allowed else set()
    found = [asdict(config) for config in configs(name, QUICK)]
    differ = {field for field in found[0] if any(one[field] != found[0][field] for one in found)}
    assert differ <= allowed


@pytest.mark.parametrize(("labels", "fitted"), [(None, 22), (112, 22), (5, 5)])
def test_a_quick_probe_is_fitted_to_few_images(labels, fitted):
    small = quick_probe({"kind": "svm", "side": 2, "per_class": labels})
    assert small == {"kind": "svm", "side": 2, "per_class": fitted}
