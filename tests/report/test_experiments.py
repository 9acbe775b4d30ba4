"""The experiments of all chapters: what their records say, what is loaded, what is trained."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from fakes import fake_outcome

from labutils.config.data_sets import DATA_SETS
from labutils.config.profiles import profile
from labutils.report import experiments
from labutils.report.detector.experiments import BEST_HEAD
from labutils.report.experiments import (
    CHAPTERS,
    EXPERIMENTS,
    GROUPS,
    UnknownExperiment,
    configs,
    find,
    load,
    load_all,
    load_compared,
    plan,
)
from labutils.report.mlps import experiments as mlps
from labutils.report.records import Experiment
from labutils.runs.store import MissingRuns, Store
from labutils.training.history import Outcome

FULL, QUICK = profile("full"), profile("quick")
every_experiment = pytest.mark.parametrize("name", EXPERIMENTS)
both_profiles = pytest.mark.parametrize("which", [FULL, QUICK], ids=["full", "quick"])


def varied(name):
    """The fields in which the configurations of an experiment differ."""
    found = [asdict(config) for config in find(name).grid()]
    return {field for field in found[0] if any(one[field] != found[0][field] for one in found)}


# Records


def test_every_chapter_is_of_the_report_and_no_name_is_given_twice():
    folders = Path(experiments.__file__).parent.glob("*/experiments.py")
    assert {Path(chapter.__file__) for chapter in CHAPTERS} == set(folders)
    # a chapter may know the experiments of another one by name
    every = {id(r): r for c in GROUPS for r in vars(c).values() if isinstance(r, Experiment)}
    assert sorted(record.name for record in every.values()) == sorted(EXPERIMENTS)


@every_experiment
def test_networks_of_an_experiment_differ_in_what_it_varies_and_nothing_else(name):
    """Mistake 14 of the older reports: other optimisers, schedules or epochs for one of two."""
    record = find(name)
    assert set(record.varies) == varied(name)
    assert len({type(config) for config in find(name).grid()}) == 1


@every_experiment
@both_profiles
def test_what_is_compared_has_one_partner_that_differs_as_the_record_says(name, which):
    record = find(name)
    assert bool(record.compared_with) == bool(record.differs_in)
    partners = [config for other in record.compared_with for config in configs(other, which)]
    for config in configs(name, which) if record.compared_with else ():
        found = [
            other
            for other in partners
            if replace(config, **{f: getattr(other, f) for f in record.differs_in}) == other
        ]
        assert len(found) == 1, config.name
        assert all(getattr(config, f) != getattr(found[0], f) for f in record.differs_in)


@every_experiment
@both_profiles
def test_an_experiment_has_no_configuration_twice(name, which):
    ids = [config.id for config in configs(name, which)]
    assert ids and len(ids) == len(set(ids))


# the truth that maps are held against: real sets have neither masks nor a mark
NEEDS_TRUTH = {"cam-shapes", "cam-flatten", "cam-resolution", "cam-marked"}


@every_experiment
def test_the_full_report_trains_on_real_sets_but_where_maps_need_the_truth(name):
    on = {config.data for config in configs(name, FULL)}
    if name in NEEDS_TRUTH:
        assert on <= {"shapes10", "shapes10-marked", "shapes10-marked-evenly"}
    else:
        assert not any(DATA_SETS[data].built_in for data in on)


def test_an_unknown_experiment_names_the_choices():
    for ask in (find, configs, load, load_compared):
        with pytest.raises(UnknownExperiment, match="no experiment 'mnist-deph'.*mnist-depth"):
            ask("mnist-deph")


# What the report stands on


def test_every_stored_run_can_be_read_and_belongs_to_the_report():
    runs, damaged = Store.of(FULL).scan()
    assert runs and not damaged
    wanted = {config.id for record in EXPERIMENTS.values() for config in record.grid()}
    assert [run.folder.name for run in runs if run.config.id not in wanted] == []
    assert [run.folder.name for run in runs if not run.folder.name.endswith(run.config.id)] == []


@every_experiment
def test_every_experiment_is_stored_with_the_weights_that_git_holds(name):
    record = find(name)
    runs = load(name, FULL)
    assert [run.config for run in runs] == configs(name, FULL)
    if record.keep != "none" and record.shipped:
        assert all(run.has_weights for run in runs)


# Loading


def save(which, wanted, keep="none"):
    """Runs as if they had been trained."""
    for config in wanted:
        Store.of(which).save(config, Outcome(torch.nn.Linear(1, 1), {}, {}), keep=keep)


def test_full_never_trains_unasked(private, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("training began")

    monkeypatch.setattr(experiments, "run_sweep", never)
    with pytest.raises(MissingRuns) as caught:
        load("convnet-head", private("full"))
    message = str(caught.value)
    assert "6 of the 6 runs" in message and "minutes" in message
    assert "python -m labutils sweep convnet-head" in message and "TRAIN_MISSING" in message


def test_full_loads_what_is_stored_in_the_order_of_the_grid(private):
    which = private("full")
    wanted = configs("convnet-head", which)
    save(which, reversed(wanted))
    assert [run.config for run in load("convnet-head", which)] == wanted
    assert [run.config for run in load("convnet-head", which, depth=16)] == [
        config for config in wanted if config.depth == 16
    ]


@pytest.fixture
def sweeps(monkeypatch):
    """The sweeps that are asked for; each stores its runs untrained."""
    asked = []

    def sweep(wanted, recipe, *, store, keep, seconds):
        asked.append((keep, wanted))
        assert seconds(wanted) > 0
        for config in wanted:
            store.save(config, fake_outcome(config), keep=keep)

    monkeypatch.setattr(experiments, "run_sweep", sweep)
    return asked


@pytest.mark.parametrize("name, asked", [("quick", False), ("full", True)])
def test_quick_trains_what_is_missing_and_so_does_full_when_asked(private, sweeps, name, asked):
    """In quick with the rest of its chapter: one sweep takes less time than one for each."""
    which = private(name)
    wanted = configs("rescue", which)
    found = load("rescue", which, train_missing=asked)
    ((keep, trained),) = sweeps
    assert keep == "none" and [run.config for run in found] == wanted == trained[: len(wanted)]
    records = [one for one in vars(mlps).values() if isinstance(one, Experiment)]
    chapter = {record.name for record in records}
    meant = {"rescue"} if asked else chapter
    ids = {config.id for other in meant for config in configs(other, which)}
    assert {config.id for config in trained} == ids and len(trained) == len(ids)
    assert load("rescue", which) == found and len(sweeps) == 1


def test_one_run_is_loaded_without_the_others(private):
    which = private("full")
    best = {"head": BEST_HEAD, "seed": 0}
    with pytest.raises(MissingRuns, match="1 of the 1 runs.*python -m labutils sweep detector"):
        load("detector", which, **best)
    (wanted,) = (c for c in configs("detector", which) if (c.head, c.seed) == (BEST_HEAD, 0))
    save(which, [wanted], keep="fp16")
    assert [run.config for run in load("detector", which, **best)] == [wanted]


def test_tables_and_curves_do_without_weights(private):
    which = private("full")
    wanted = configs("resnet-depth", which)
    save(which, wanted)
    assert [run.config for run in load("resnet-depth", which)] == wanted
    with pytest.raises(MissingRuns, match="2 of the 2 runs of lesions .* or without their weights"):
        load("lesions", which)


def test_partners_are_loaded_and_nothing_else(private):
    which = private("full")
    own = configs("augmentation", which)
    partners = [
        config
        for config in configs("side-by-side-sgd", which)
        if config.model == "resnet" and config.residual
    ]
    save(which, own + partners)  # the others are not asked for
    assert [run.config for run in load_compared("augmentation", which)] == partners + own
    assert [replace(config, flip=False, crop_padding=0) for config in partners] == own


def test_what_is_compared_with_nothing_is_loaded_alone(private):
    which = private("full")
    save(which, configs("gradients", which))
    assert load_compared("gradients", which) == load("gradients", which)


def test_runs_of_all_experiments_are_found_by_their_fields_each_once(private, monkeypatch):
    which = private("full")
    for name in ("resnet-depth", "lesions"):  # two runs are of both
        save(which, configs(name, which), keep="fp16")
    names = ("resnet-depth", "lesions", "deciding-cifar10-rates")  # the last is shown nowhere
    monkeypatch.setattr(experiments, "EXPERIMENTS", {name: EXPERIMENTS[name] for name in names})
    found = [run.config for run in load_all(which, depth=44)]
    assert found == [config for config in configs("resnet-depth", which) if config.depth == 44]
    assert load_all(which, depth=36) == []


# What is trained, and in which order


def test_what_a_run_starts_from_is_trained_before_it_and_kept(private):
    """Groups by which weights are stored, sources first, whatever is asked for the rest."""
    which = private("quick")
    detectors, sources = (configs(n, which) for n in ("detector", "detector-classifier"))
    assert plan(detectors, which) == [("fp16", sources), ("fp16", detectors)]
    assert plan([*sources, *detectors], which) == [("fp16", sources), ("fp16", detectors)]
    first = configs("rescue", which)
    assert plan([*detectors, *first, *first], which, "none") == [
        ("fp16", sources),
        ("none", first),
        ("none", detectors),
    ]


def test_only_what_is_missing_is_trained_and_sources_only_of_that(private):
    which = private("quick")
    detectors, sources = (configs(n, which) for n in ("detector", "detector-classifier"))
    save(which, sources)  # without the weights that detectors start from
    save(which, detectors[:1], keep="fp16")
    assert plan(detectors, which) == [("fp16", sources), ("fp16", detectors[1:])]
    save(which, detectors[1:], keep="fp16")
    assert plan(detectors, which) == []


def test_a_run_that_starts_from_an_unknown_one_is_named(private):
    which = private("quick")
    lost = replace(configs("detector", which)[0], classifier="12345678")
    with pytest.raises(UnknownExperiment, match=f"{lost.name} starts from 12345678"):
        plan([lost], which)


def test_a_run_whose_weights_are_wanted_keeps_them_in_every_experiment(private):
    which = private("full")
    groups = dict(plan(configs("resnet-depth", which), which))
    assert groups["fp16"] == configs("lesions", which)
    assert {c.depth for c in groups["fp16"]} == {44} and len(groups["none"]) == 10


@pytest.mark.parametrize("name", [r.name for r in EXPERIMENTS.values() if not r.shipped])
def test_weights_that_git_does_not_hold_are_kept_by_training_but_not_asked_for_in_full(
    private, name
):
    full, quick, form = private("full"), private("quick"), find(name).keep
    wanted, small = configs(name, full), configs(name, quick)
    for which, grid in ((full, wanted), (quick, small)):  # what they start from is there
        begun = {config.starts_from for config in grid}
        known = [config for record in EXPERIMENTS for config in configs(record, which)]
        save(which, [config for config in known if config.id in begun], keep="fp16")
    assert plan(wanted, full) == [(form, wanted)] and form != "none"
    save(full, wanted)
    assert [run.config for run in load(name, full)] == wanted
    assert plan(wanted, full) == []
    assert plan(wanted, full, form) == [(form, wanted)], "asked for by name"
    save(quick, small)
    assert plan(small, quick) == [(form, small)], "quick measures them"
