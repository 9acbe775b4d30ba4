from dataclasses import replace

import pytest

from labutils.config.profiles import profile
from labutils.report.experiments import EXPERIMENTS, KEEP, configs, load
from labutils.report.mlps.experiments import STALL_DEPTH, stall_depth
from labutils.report.residuals.experiments import untrained_networks

FULL, QUICK = profile("full"), profile("quick")
# what makes a network of another family, precision included: MLPs gain nothing from bf16
NETWORK = ("model", "depth", "width", "stages", "norm", "init", "dropout", "precision")


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
        "convnet-depth": {"depth", "residual", "seed"},
        "mlp-like-convnet": {"depth", "residual", "seed"},
        "convnet-head": {"depth", "residual"},
        "resnet-depth": {"depth", "residual", "seed"},
        "lesions": {"residual"},
        "side-by-side": {"residual", "seed", *NETWORK},
        "side-by-side-sgd": {"residual", "seed", *NETWORK},
        "augmentation": {"seed"},
        "schedule": {"seed"},
        "mnist-cnn": {"seed", *NETWORK},
        "strong": {"seed"},
        "strong-plain": {"seed"},
        "strong-recipes": {"residual", "epochs", "seed"},
        "strong-brief": set(),
        "gradients": {"depth", "residual"},
        "ablation-mnist": {"residual", "norm", "init", "seed"},
        "ablation-cifar10": {"residual", "norm", "init", "seed"},
        "ablation-rates": {"residual", "norm", "init", "seed", "learning_rate"},
        "window-classifier": set(),
        "detector-classifier": {"seed"},
        "detector": {"head", "seed", "classifier"},  # each starts from the classifier of its seed
        "detector-no-background": set(),
        "rescue": {"learning_rate", "data", "depth"},  # each set at its own depth
        "best-mlp": {"data", "seed", "epochs", "flip"},  # digits are not mirrored
    }
    assert set(compared) == set(EXPERIMENTS)
    for name, fields in compared.items():
        first, *others = configs(name, FULL)
        for other in others:
            back = replace(other, **{field: getattr(first, field) for field in fields})
            assert back == first, name


@pytest.mark.parametrize("which", [FULL, QUICK], ids=["full", "quick"])
def test_both_protocols_train_the_same_networks(which):
    adam, sgd = configs("side-by-side", which), configs("side-by-side-sgd", which)
    how = {"optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0.0}
    assert [replace(config, **how) for config in sgd] == adam
    assert {config.optimizer for config in sgd} == {"sgd"}
    plain, residual = (select_configs(sgd, model="resnet", residual=skip) for skip in (False, True))
    assert [replace(config, residual=True) for config in plain] == residual


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


def test_untrained_networks_are_those_of_the_ablation_but_for_zero_residual():
    networks = untrained_networks((10, 40))
    cells = {(c.residual, c.norm, c.init) for configs in networks.values() for c in configs}
    assert len(cells) == len(networks) == 6
    assert cells < {(c.residual, c.norm, c.init) for c in configs("ablation-mnist", FULL)}
    assert all([c.depth for c in configs] == [10, 40] for configs in networks.values())


def test_the_ablation_has_ten_cells_of_three_seeds():
    for data in ("mnist", "cifar10"):
        grid = configs(f"ablation-{data}", FULL)
        cells = {(c.residual, c.norm, c.init) for c in grid}
        assert len(cells) == 10 and len(grid) == 30
        inits = {residual: {c[2] for c in cells if c[0] == residual} for residual in (False, True)}
        assert inits[True] - inits[False] == {"zero-residual"}


@pytest.mark.parametrize("which", [FULL, QUICK], ids=["full", "quick"])
def test_detectors_start_from_the_classifier_of_their_seed_and_shape(which):
    classifiers = {config.id: config for config in configs("detector-classifier", which)}
    assert KEEP["detector-classifier"] != "none"
    for name in ("detector", "detector-no-background"):
        for config in configs(name, which):
            classifier = classifiers[config.starts_from]
            for field in ("data", "model", "width", "seed"):
                assert getattr(classifier, field) == getattr(config, field), field


def test_the_strong_network_keeps_to_the_design():
    for config in configs("strong", FULL):
        assert config.residual and config.label_smoothing == 0
    assert len(configs("strong", FULL)) == 3


@pytest.mark.parametrize("which", [FULL, QUICK], ids=["full", "quick"])
def test_the_gentler_recipe_trains_the_same_networks(which):
    gentle = configs("strong-recipes", which)
    longest = max(config.epochs for config in gentle)
    chosen = configs("strong", which) + configs("strong-plain", which)
    how = {"learning_rate": 0.24, "cutout": 16}
    assert [replace(config, **how) for config in gentle if config.epochs == longest] == chosen
    shorter = [config for config in gentle if config.epochs < longest]
    assert [replace(config, epochs=longest, **how) for config in shorter] == chosen[: len(shorter)]
    assert len(shorter) == (0 if which.quick else 3)


def select_configs(grid, **fields):
    return [c for c in grid if all(getattr(c, k) == v for k, v in fields.items())]


def test_stored_grids_stall_where_the_rescue_looks():
    for name, depth in STALL_DEPTH.items():
        assert stall_depth(load(f"{name}-depth", FULL)) == depth
