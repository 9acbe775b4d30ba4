import math
from dataclasses import replace

import pytest

from labutils.config import DistillConfig, TransferConfig
from labutils.config.data_sets import DATA_SETS
from labutils.config.profiles import profile
from labutils.report.experiments import configs, load
from labutils.report.records import Experiment
from labutils.report.strong.experiments import strong
from labutils.report.transfer import choices
from labutils.report.transfer import experiments as transfer
from labutils.runs.store import Store

RECORDS = [
    record
    for record in (vars(transfer) | vars(choices)).values()
    if isinstance(record, Experiment) and record is not strong
]
SOURCES = {config.seed: config.id for config in strong.grid()}


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_runs_of_an_experiment_differ_in_what_its_record_says(record):
    first, *others = record.grid()
    assert len({config.id for config in (first, *others)}) == len(others) + 1
    for other in others:
        back = {field: getattr(first, field) for field in record.varies if hasattr(first, field)}
        assert replace(other, **back) == first


def test_each_network_starts_from_the_strong_one_of_its_seed():
    started = [c for c in transfer.layers.grid() + transfer.few_labels.grid() if c.source]
    assert started and all(config.source == SOURCES[config.seed] for config in started)


@pytest.mark.parametrize("record", [transfer.longer, transfer.few_labels])
def test_transfer_and_scratch_have_one_budget_in_pairs(record):
    """Mistake 14 of the older reports: two networks compared under different schedules."""
    grid = record.grid()
    pairs = 0
    for config in grid:
        if config.source:
            alike = [c for c in grid if not c.source and _budget(c) == _budget(config)]
            assert len(alike) == 1
            pairs += 1
    assert 2 * pairs == len(grid)


def _budget(config):
    return (
        config.seed, config.draw, config.labels_per_class, config.epochs, config.batch_size,
        config.optimizer, config.schedule, config.flip, config.crop_padding,
    )  # fmt: skip


def test_few_labels_are_shown_for_200_steps_of_whole_batches():
    for config in transfer.few_labels.grid():
        assert config.training_images == config.labels_per_class * 100
        assert config.training_images % config.batch_size == 0
        assert config.training_images // config.batch_size * config.epochs == 200


CHOSEN = {
    "head": transfer.HEAD,
    "everything": transfer.EVERYTHING,
    "scratch": transfer.SCRATCH,
    "sgd": transfer.WITH_SGD,
    "longer": transfer.LONGER,
    "longer-scratch": transfer.LONGER_SCRATCH,
    "student": transfer.SOFT,
}


def test_something_was_chosen_of_each_list_of_candidates():
    assert set(CHOSEN) == set(choices.CANDIDATES)


@pytest.mark.parametrize("name", CHOSEN)
def test_what_was_chosen_is_the_best_in_validation_of_its_candidates(name):
    store = Store.of(profile("full"))
    found = {c: store.load(c).metrics["val_accuracy"] for c in choices.CANDIDATES[name]}
    assert len(found) > 2 and CHOSEN[name] == max(found, key=found.get)


@pytest.mark.parametrize("name, highest", [("head", 3.0), ("sgd", 0.3)])
def test_where_the_highest_rate_is_the_best_a_higher_one_was_not_tried(name, highest):
    """The chapter says so of these two alone."""
    rates = {c.learning_rate for c in choices.CANDIDATES[name]}
    assert CHOSEN[name].learning_rate == max(rates) == highest
    for other in {"everything", "scratch"}:
        rates = sorted(c.learning_rate for c in choices.CANDIDATES[other])
        assert rates[0] < CHOSEN[other].learning_rate < rates[-1]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_every_run_is_stored_and_none_needs_its_weights(record):
    runs = load(record.name, profile("full"))
    assert [run.config for run in runs] == record.grid()
    assert not record.shipped or record.keep == "none"
    assert all(run.metrics["status"] == "finished" for run in runs)


def test_every_stored_run_of_transfer_or_distillation_is_in_an_experiment():
    runs, _ = Store.of(profile("full")).scan()
    kinds = TransferConfig, DistillConfig
    stored = {run.config.id for run in runs if isinstance(run.config, kinds)}
    grids = [config for record in RECORDS for config in record.grid()]
    assert stored == {config.id for config in grids if isinstance(config, kinds)}


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_the_quick_profile_has_stand_ins_and_few_steps(record):
    small = configs(record.name, profile("quick"))
    sources = {config.id for config in configs("strong", profile("quick"))}
    assert len(small) == len(set(small)) <= len(record.grid())
    for config in small:
        assert DATA_SETS[config.data].built_in and config.width <= 8
        assert config.epochs * math.ceil(config.training_images / config.batch_size) <= 150
        assert not config.starts_from or config.starts_from in sources


def test_the_student_is_smaller_than_its_teacher_and_learns_the_same_set():
    by_id = {config.id: config for config in strong.grid()}
    for config in transfer.students.grid():
        if config.teacher:
            assert by_id[config.teacher].data == config.data
    seeds = {}
    for config in transfer.students.grid():
        seeds.setdefault(replace(config, seed=0).id, set()).add(config.seed)
    assert list(seeds.values()) == [{0, 1, 2}] * 3  # so that all are compared in pairs
