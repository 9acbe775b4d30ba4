from dataclasses import replace

import pytest
from fakes import fake_outcome, fake_runs

from labutils import experiments
from labutils.config import RunConfig
from labutils.experiments import (
    BASELINES,
    EXPERIMENTS,
    STALL_DEPTH,
    baselines,
    configs,
    load,
    select,
    stall_depth,
)
from labutils.profiles import Profile, profile
from labutils.runs import MissingRuns, Store

FULL, QUICK = profile("full"), profile("quick")
# what makes a network of another family, precision included: MLPs gain nothing from bf16
NETWORK = ("model", "depth", "width", "stages", "norm", "init", "dropout", "precision")


def private(tmp_path, name: str) -> Profile:
    return Profile(name, tmp_path / "runs", tmp_path / "scratch", tmp_path / "images")


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("which", [FULL, QUICK], ids=["full", "quick"])
def test_a_grid_has_no_configuration_twice(name, which):
    ids = [config.id for config in configs(name, which)]
    assert ids and len(ids) == len(set(ids))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_quick_uses_built_in_data_and_full_the_real_sets(name):
    assert {c.data for c in configs(name, FULL)} <= {"mnist", "cifar10"}
    assert {c.data for c in configs(name, QUICK)} <= {"digits", "shapes10"}


def test_networks_of_a_block_differ_only_in_what_the_block_compares():
    """Mistake 14 of the older reports: other optimisers, schedules or epochs for one of two."""
    compared = {
        "mnist-width": {"width", "crop_padding", "seed"},
        "mnist-depth": {"depth", "residual", "seed"},
        "cifar10-depth": {"depth", "residual", "seed"},
        "mnist-blocks": {"width", "depth", "residual", "seed"},
        "convnet-pair": {"residual"},
        "convnet-depth": {"depth", "residual", "seed"},
        "convnet-head": {"depth", "residual"},
        "resnet-depth": {"depth", "residual", "seed"},
        "side-by-side": {"residual", "seed", *NETWORK},
        "augmentation": {"seed"},
        "schedule": {"seed"},
        "mnist-cnn": {"seed", *NETWORK},
        "strong": {"seed"},
        "strong-plain": {"residual"},
        "rescue": {"learning_rate", "data", "depth"},  # each set at its own depth
        "best-mlp": {"data", "seed", "epochs", "flip"},  # digits are not mirrored
    }
    assert set(compared) == set(EXPERIMENTS)
    for name, fields in compared.items():
        first, *others = configs(name, FULL)
        for other in others:
            back = replace(other, **{field: getattr(first, field) for field in fields})
            assert back == first, name


def test_the_depth_grids_are_those_of_the_protocol():
    for data, depths in (("mnist", (2, 4, 10, 22, 26, 34, 40)), ("cifar10", (4, 10, 16, 24, 36))):
        grid = configs(f"{data}-depth", FULL)
        for residual in (False, True):
            for depth in depths if not residual else depths[data == "mnist" :]:
                assert len(select_configs(grid, depth=depth, residual=residual)) == 3
        common = {
            (c.width, c.init, c.norm, c.optimizer, c.learning_rate, c.schedule, c.batch_size,
             c.epochs, c.patience)
            for c in grid
        }  # fmt: skip
        assert common == {(128, "default", "none", "adam", 1e-3, "constant", 128, 20, None)}


def test_paired_blocks_differ_in_one_factor_alone():
    """A run and its partner of another block: the same seed, the same everything but one field."""
    assert {name: fields for name, (_, fields) in BASELINES.items()} == {
        "rescue": ("learning_rate",),
        "convnet-head": ("head",),
        "augmentation": ("flip", "crop_padding"),
        "schedule": ("schedule",),
        "strong-plain": ("residual",),
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
    for config in configs("side-by-side", which):
        Store.of(which).save(config, fake_outcome(config))
    found = [run.config for run in baselines("augmentation", which)]
    assert found == [
        config
        for config in configs("side-by-side", which)
        if config.model == "resnet" and config.residual
    ]
    without = [replace(config, flip=False, crop_padding=0) for config in found]
    assert without == configs("augmentation", which)


def test_the_first_pair_of_convnets_is_part_of_their_grid():
    assert set(configs("convnet-pair", FULL)) <= set(configs("convnet-depth", FULL))


def test_the_strong_network_keeps_to_the_design():
    for config in configs("strong", FULL):
        assert config.residual and config.label_smoothing == 0
    assert len(configs("strong", FULL)) == 3


def select_configs(grid, **fields):
    return [c for c in grid if all(getattr(c, k) == v for k, v in fields.items())]


def test_unknown_experiment_names_the_choices():
    with pytest.raises(KeyError, match="mnist-depth"):
        configs("mnist-deph")


def test_full_never_trains_unasked(tmp_path, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("training began")

    monkeypatch.setattr(experiments, "run_sweep", never)
    with pytest.raises(MissingRuns) as caught:
        load("convnet-pair", private(tmp_path, "full"))
    message = str(caught.value)
    assert "2 of the 2 runs" in message and "minutes" in message
    assert "python -m labutils sweep convnet-pair" in message and "TRAIN_MISSING" in message


def test_full_loads_what_is_stored_in_the_order_of_the_grid(tmp_path):
    which = private(tmp_path, "full")
    wanted = configs("convnet-pair", which)
    for config in reversed(wanted):
        Store.of(which).save(config, fake_outcome(config))
    assert [run.config for run in load("convnet-pair", which)] == wanted


@pytest.mark.parametrize("which, asked", [("quick", False), ("full", True)])
def test_quick_trains_what_is_missing_and_so_does_full_when_asked(
    tmp_path, monkeypatch, which, asked
):
    called = []
    monkeypatch.setattr(
        experiments, "run_sweep", lambda wanted, store, keep: called.append(wanted) or []
    )
    where = private(tmp_path, which)
    load("rescue", where, train_missing=asked)
    assert called == [configs("rescue", where)]


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


def test_stored_grids_stall_where_the_rescue_looks():
    for name, depth in STALL_DEPTH.items():
        assert stall_depth(load(f"{name}-depth", FULL)) == depth
