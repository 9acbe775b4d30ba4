from dataclasses import replace

import pytest
import torch
from fakes import fake_outcome, fake_runs

from labutils import experiments
from labutils.config.classifier import RunConfig
from labutils.config.profiles import Profile, profile
from labutils.report.experiments import BASELINES, baselines, configs, load, select
from labutils.report.mlps.experiments import stall_depth
from labutils.runs.store import MissingRuns, Store
from labutils.training.classifiers import Outcome

FULL, QUICK = profile("full"), profile("quick")


def private(tmp_path, name: str) -> Profile:
    return Profile(name, tmp_path / "runs", tmp_path / "scratch", tmp_path / "images")


def test_paired_blocks_differ_in_one_factor_alone():
    """A run and its partner of another block: the same seed, the same everything but one field."""
    assert {name: fields for name, (_, fields) in BASELINES.items()} == {
        "rescue": ("learning_rate",),
        "convnet-head": ("head",),
        "augmentation": ("flip", "crop_padding"),
        "schedule": ("schedule",),
        "strong-plain": ("residual",),
        "ablation-rates": ("learning_rate",),
    }
    for name, (others, fields) in BASELINES.items():
        for which in (FULL, QUICK):
            partners = [config for other in others for config in configs(other, which)]
            for config in configs(name, which):
                found = [
                    other
                    for other in partners
                    if replace(config, **{f: getattr(other, f) for f in fields}) == other
                ]
                assert len(found) == 1, (name, config.name)
                assert config != found[0]


def test_baselines_are_the_partners_and_nothing_else(tmp_path):
    which = private(tmp_path, "full")
    for config in configs("side-by-side-sgd", which):
        if config.model == "resnet":  # the others are not asked for
            Store.of(which).save(config, fake_outcome(config))
    found = [run.config for run in baselines("augmentation", which)]
    assert found == [
        config
        for config in configs("side-by-side-sgd", which)
        if config.model == "resnet" and config.residual
    ]
    without = [replace(config, flip=False, crop_padding=0) for config in found]
    assert without == configs("augmentation", which)


def test_unknown_experiment_names_the_choices():
    with pytest.raises(KeyError, match="mnist-depth"):
        configs("mnist-deph")


def test_full_never_trains_unasked(tmp_path, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("training began")

    monkeypatch.setattr(experiments, "run_sweep", never)
    with pytest.raises(MissingRuns) as caught:
        load("convnet-head", private(tmp_path, "full"))
    message = str(caught.value)
    assert "6 of the 6 runs" in message and "minutes" in message
    assert "python -m labutils sweep convnet-head" in message and "TRAIN_MISSING" in message


def test_full_loads_what_is_stored_in_the_order_of_the_grid(tmp_path):
    which = private(tmp_path, "full")
    wanted = configs("convnet-head", which)
    for config in reversed(wanted):
        Store.of(which).save(config, fake_outcome(config))
    assert [run.config for run in load("convnet-head", which)] == wanted


@pytest.mark.parametrize("name", experiments.UNSHIPPED)
def test_weights_that_git_does_not_hold_are_kept_by_training_but_not_asked_for_in_full(
    tmp_path, name
):
    full, quick = private(tmp_path, "full"), private(tmp_path, "quick")
    form = experiments.KEEP[name]
    wanted = configs(name, full)
    assert experiments.stages(wanted, full) == [(form, wanted)] and form != "none"
    for config in wanted:
        Store.of(full).save(config, fake_outcome(config))
    assert [run.config for run in load(name, full)] == wanted
    assert experiments.stages(wanted, full) == []
    assert experiments.stages(wanted, full, form) == [(form, wanted)], "asked for by name"
    small = configs(name, quick)
    for config in small:
        Store.of(quick).save(config, fake_outcome(config))
    assert experiments.stages(small, quick) == [(form, small)], "quick measures them"


@pytest.mark.parametrize("which, asked", [("quick", False), ("full", True)])
def test_quick_trains_what_is_missing_and_so_does_full_when_asked(
    tmp_path, monkeypatch, which, asked
):
    called = []

    def sweep(wanted, store, keep):
        called.append(wanted)
        for config in wanted:
            store.save(config, fake_outcome(config), keep=keep)

    monkeypatch.setattr(experiments, "run_sweep", sweep)
    where = private(tmp_path, which)
    found = load("rescue", where, train_missing=asked)
    assert called == [configs("rescue", where)] == [[run.config for run in found]]
    assert load("rescue", where) == found and len(called) == 1


def store_of(which, configs, keep="none"):
    for config in configs:
        Store.of(which).save(config, Outcome(torch.nn.Linear(1, 1), {}, {}), keep=keep)


def test_what_a_run_starts_from_is_trained_before_it_and_kept(tmp_path):
    """Groups by which weights are stored, sources first, whatever is asked for the rest."""
    which = private(tmp_path, "quick")
    detectors, sources = (configs(n, which) for n in ("detector", "detector-classifier"))
    assert experiments.stages(detectors, which) == [("fp16", sources), ("fp16", detectors)]
    both = [*sources, *detectors]
    assert experiments.stages(both, which) == [("fp16", sources), ("fp16", detectors)]
    plain = configs("rescue", which)
    assert experiments.stages([*detectors, *plain, *plain], which, "none") == [
        ("fp16", sources),
        ("none", detectors + plain),
    ]


def test_only_what_is_missing_is_trained_and_sources_only_of_that(tmp_path):
    which = private(tmp_path, "quick")
    detectors, sources = (configs(n, which) for n in ("detector", "detector-classifier"))
    store_of(which, sources)  # without the weights that detectors start from
    store_of(which, detectors[:1], keep="fp16")
    assert experiments.stages(detectors, which) == [("fp16", sources), ("fp16", detectors[1:])]
    store_of(which, detectors[1:], keep="fp16")
    assert experiments.stages(detectors, which) == []


def test_a_run_that_starts_from_an_unknown_one_is_named(tmp_path):
    which = private(tmp_path, "quick")
    lost = replace(configs("detector", which)[0], classifier="12345678")
    with pytest.raises(KeyError, match=f"{lost.name} starts from 12345678"):
        experiments.stages([lost], which)


def test_a_run_whose_weights_are_wanted_keeps_them_in_every_experiment(tmp_path):
    which = private(tmp_path, "full")
    groups = dict(experiments.stages(configs("resnet-depth", which), which))
    assert groups["fp16"] == configs("lesions", which)
    assert {c.depth for c in groups["fp16"]} == {44} and len(groups["none"]) == 10


def test_tables_and_curves_do_without_weights(tmp_path):
    which = private(tmp_path, "full")
    wanted = configs("resnet-depth", which)
    for config in wanted:
        Store.of(which).save(config, fake_outcome(config))
    assert [run.config for run in load("resnet-depth", which)] == wanted
    with pytest.raises(MissingRuns, match="2 of the 2 runs of lesions .* or without their weights"):
        load("lesions", which)


def test_select(tmp_path):
    grid = [RunConfig(depth=d, residual=r) for d in (4, 10) for r in (False, True)]
    runs = fake_runs(tmp_path, grid)
    assert [r.config for r in select(runs, depth=10, residual=True)] == [grid[3]]
    assert select(runs, depth=12) == []


def test_stall_depth_needs_every_plain_seed_at_chance(tmp_path):
    base = RunConfig(depth=4)
    learned = fake_runs(tmp_path, [base, replace(base, depth=10)], train_accuracy=0.9)
    stalled = fake_runs(
        tmp_path, [replace(base, depth=d, seed=1) for d in (10, 16)], train_accuracy=0.11
    )
    residual = fake_runs(tmp_path, [replace(base, depth=22, residual=True)], train_accuracy=0.11)
    assert stall_depth(learned + stalled + residual) == 16  # at 10 one of two seeds learned
    assert stall_depth(learned) is None


def test_every_stored_run_can_be_read_and_belongs_to_the_report():
    full = profile("full")
    runs, damaged = Store.of(full).scan()
    assert runs and not damaged
    wanted = {config.id for grid in experiments.EXPERIMENTS.values() for config in grid(full)}
    assert [run.folder.name for run in runs if run.config.id not in wanted] == []
    assert [run.folder.name for run in runs if not run.folder.name.endswith(run.config.id)] == []


def test_the_detector_is_one_of_its_grid_and_needs_no_other(tmp_path):
    which = private(tmp_path, "full")
    with pytest.raises(MissingRuns, match="python -m labutils sweep detector"):
        experiments.detector(which)
    wanted = configs("detector", which)[0]
    assert (wanted.head, wanted.seed) == ("skip", 0)
    history = {"seconds": [1.0]}
    outcome = Outcome(torch.nn.Linear(1, 1), history, {"status": "finished"})
    Store.of(which).save(wanted, outcome, keep="fp16")
    assert experiments.detector(which).config == wanted
