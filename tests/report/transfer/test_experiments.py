import math
from dataclasses import replace

import pytest

from labutils.config.data_sets import DATA_SETS
from labutils.report.records import Experiment
from labutils.report.strong.experiments import strong
from labutils.report.transfer import experiments as transfer

RECORDS = [record for record in vars(transfer).values() if isinstance(record, Experiment)]
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
    classes = DATA_SETS["cifar100"].classes
    for config in transfer.few_labels.grid():
        images = config.labels_per_class * classes
        assert images % config.batch_size == 0
        assert math.ceil(images / config.batch_size) * config.epochs == 200


def test_what_was_chosen_is_among_the_candidates():
    chosen = {
        "head": transfer.HEAD,
        "everything": transfer.EVERYTHING,
        "scratch": transfer.SCRATCH,
        "sgd": transfer.WITH_SGD,
        "longer": transfer.LONGER,
        "longer-scratch": transfer.LONGER_SCRATCH,
        "student": transfer.SOFT,
    }
    assert set(chosen) == set(transfer.CANDIDATES)
    assert all(config in transfer.CANDIDATES[name] for name, config in chosen.items())
