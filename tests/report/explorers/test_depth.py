import pytest
from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.report.explorers.depth import DepthExplorer


@pytest.fixture
def grids(tmp_path):
    def grid(data, depths):
        return [
            RunConfig(data=data, depth=depth, residual=residual, seed=seed)
            for depth in depths
            for residual in ((False,) if depth == 2 else (False, True))
            for seed in (0, 1)
        ]

    return [
        fake_runs(tmp_path, grid("mnist", (2, 4, 10)), test_accuracy=0.9),
        fake_runs(tmp_path, grid("cifar10", (4, 16)), test_accuracy=0.5),
    ]


def text(shown) -> str:
    return " ".join(item.data for item in shown if isinstance(item.data, str))


def test_each_position_shows_the_runs_of_that_position(grids, shown):
    explorer = DepthExplorer(*grids)
    for grid, percent in (("MLP, MNIST", "90.00"), ("MLP, CIFAR-10", "50.00")):
        explorer.grid.value = grid
        for depth in explorer.depth.options:
            for residual in (False, True):
                explorer.depth.value, explorer.residual.value = depth, residual
                if depth == 2 and residual:
                    assert "no block" in shown[-1].data
                    continue
                assert f"{percent} ± 0.00 %" in text(shown[-2:]) and "2 seeds" in text(shown[-2:])
                assert ("Faintly" in text(shown[-2:])) == (depth > 2)
                picture = shown[-1].data
                assert picture.startswith(b"\x89PNG")


def test_it_opens_where_a_plain_network_fails_and_says_so(tmp_path, shown):
    runs = [
        run
        for depth in (4, 10, 22)
        for residual in (False, True)
        for run in fake_runs(
            tmp_path / f"{depth}-{residual}",
            [RunConfig(depth=depth, residual=residual, seed=seed) for seed in (0, 1)],
            train_accuracy=0.1 if depth > 4 and not residual else 0.9,
        )
    ]
    explorer = DepthExplorer(runs)
    assert explorer.depth.value == 10
    assert "Plain, depth 10: 0 of 2 seeds learn, test accuracy" in text(shown)
    assert "Faintly: residual, depth 10: 2 of 2 seeds learn" in text(shown)


def test_moving_a_control_shows_the_new_position(grids, shown):
    explorer = DepthExplorer(*grids)
    shown.clear()
    explorer.depth.value = 10
    assert len(shown) == 2
    explorer.residual.value = True
    assert len(shown) == 4
    assert shown[1].data != shown[3].data  # another picture


def test_a_new_data_set_offers_its_depths_and_stays_near(grids, shown):
    explorer = DepthExplorer(*grids)
    explorer.depth.value = 10
    shown.clear()
    explorer.grid.value = "MLP, CIFAR-10"
    assert len(shown) == 2  # a sentence and one picture, however many controls change
    assert explorer.depth.options == (4, 16)
    assert explorer.depth.value == 4
    assert "50.00" in text(shown[-2:])


def test_missing_runs_are_named(grids, shown):
    grids[0] = [run for run in grids[0] if not run.config.residual]
    explorer = DepthExplorer(*grids)
    shown.clear()
    explorer.depth.value, explorer.residual.value = 10, True
    assert "No residual run of depth 10 of MLP, MNIST was given" in text(shown)


AVERAGING = {"model": "convnet", "depth": 4, "head": "fully-convolutional"}


@pytest.mark.parametrize(
    "network, title",
    [
        ({"model": "convnet", "depth": 4}, "ConvNet"),
        (AVERAGING, "ConvNet with averaging head"),
        ({"model": "resnet", "depth": 8}, "ResNet, batch norm"),
    ],
)
def test_each_family_is_named(network, title, tmp_path, shown):
    explorer = DepthExplorer(fake_runs(tmp_path, [RunConfig(data="cifar10", **network)]))
    assert explorer.grid.options == (f"{title}, CIFAR-10",)


def test_labels_explain_themselves(grids, shown):
    explorer = DepthExplorer(*grids)
    assert explorer.depth.description == "Depth (weight layers)"
    assert "skip" in explorer.residual.description
    assert explorer.grid.description == "Networks"
    assert not explorer.depth.continuous_update


def test_nothing_to_explore_says_what_to_do():
    with pytest.raises(ValueError, match="experiments.load"):
        DepthExplorer([])
