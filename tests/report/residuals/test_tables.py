from dataclasses import replace

import pytest
from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.report.residuals import tables
from labutils.report.untrained import Kept


@pytest.fixture
def kept(monkeypatch):
    """Residual kinds and those of looks-linear keep both; nothing is measured."""

    def of(configs):
        config = list(configs)[0]
        good = config.residual or config.init == "looks-linear"
        return Kept(0.5 if good else 0.1, 1, 1)

    monkeypatch.setattr(Kept, "of", of)


def test_ablation_table_says_which_cells_train(tmp_path, kept):
    base = RunConfig(depth=4)
    runs = fake_runs(tmp_path, [base], train_accuracy=0.1)
    runs += fake_runs(tmp_path, [replace(base, seed=1), replace(base, residual=True)])
    frame = tables.ablation_table(runs)
    kinds = [kind.split(",")[0] for kind in frame["skip, norm, initialisation"]]
    assert kinds == ["plain", "residual"]
    assert list(frame["trains"]) == ["1 of 2", "1 of 1"]
    assert list(frame["gradient, first / logits"]) == ["1.0e-03"] * 2
    assert list(frame["activations"]) == ["1.0e-02"] * 2  # of the last hidden layer
    assert list(frame["variance across images"]) == ["10.00 %", "50.00 %"]


def test_gradient_table_tells_which_gradients_come_back(tmp_path):
    base = RunConfig(model="convnet", depth=4, gradient_epochs=(0,))
    runs = fake_runs(tmp_path, [base, replace(base, residual=True, seed=1)])
    for run, first, last in ((runs[0], (1e-8, 0.5, 0.0), (2.0, 1.0, 0.0)),
                             (runs[1], (1.0, 3.0, 4.0), (2.0, 1.0, 1.0))):  # fmt: skip
        measured = [[a, 9.0, 9.0, b] for a, b in zip(first, last, strict=True)]
        run.history["layers"]["activation_gradient_norm"] = measured
    frame = tables.gradient_table(runs)
    assert list(frame["network"]) == ["plain", "residual"]
    columns = [c for c in frame if c.startswith("first")]
    assert frame[columns].to_numpy().tolist() == [
        ["5.0e-09", "5.0e-01", "0"], ["5.0e-01", "3.0e+00", "4.0e+00"]
    ]  # fmt: skip


def test_rate_table_has_a_row_a_kind_and_rate(tmp_path):
    base = RunConfig(depth=40)
    grid = [
        replace(base, residual=residual, learning_rate=rate, seed=seed)
        for residual in (False, True)
        for rate in (1e-4, 1e-3)
        for seed in (0, 1)
    ]
    frame = tables.rate_table(fake_runs(tmp_path, grid))
    kinds = [kind.split(",")[0] for kind in frame["skip, norm, initialisation"]]
    assert kinds == ["plain", "plain", "residual", "residual"]
    assert list(frame["learning rate"]) == ["0.001", "0.0001"] * 2
    assert set(frame["train loss"]) == {"0.010 ± 0.000"}
    assert set(frame["test accuracy"]) == {"90.00 ± 0.00 %"}


def test_lesion_table_has_a_row_a_network_and_way_of_batch_norm(tmp_path, monkeypatch):
    cut = {
        "deletions": [[0.9, 0.8, 0.5], [0.9, 0.6, 0.3]],
        "single": dict(zip("abcde", (0.8, 0.6, 0.7, 0.7, 0.7), strict=True)),
    }
    own = {
        "deletions": [[0.9, 0.9, 0.9]],
        "single": dict(zip("abcde", (0.85, 0.75, 0.8, 0.8, 0.8), strict=True)),
    }
    swaps = [
        {"first": first, "second": second, "distance": distance, "accuracy": accuracy}
        for first, second, distance, accuracy in (
            ("a", "b", 1, 0.8), ("a", "c", 2, 0.3), ("b", "c", 1, 0.7), ("d", "e", 1, 0.6)
        )
    ]  # fmt: skip
    better = [pair | {"accuracy": pair["accuracy"] + 0.1} for pair in swaps]
    found = cut | {"swaps": swaps, "own_statistics": own | {"swaps": better}}
    monkeypatch.setattr(tables, "lesions_of", lambda run: found)
    base = RunConfig(depth=6, norm="batch")
    runs = fake_runs(tmp_path, [replace(base, seed=1), base])
    frame = tables.lesion_table(runs)  # of a plain network the first seed alone
    assert list(frame["network"]) == ["MLP 6, plain, 1 seed"] * 2
    assert list(frame["batch norm"]) == ["of the training", "its own"]
    assert list(frame["one deleted"]) == ["70.0 %", "80.0 %"]
    assert list(frame["worst"]) == ["60.0 %", "75.0 %"]
    assert list(frame["best"]) == ["80.0 %", "85.0 %"]
    assert list(frame["2 deleted"]) == ["40.0 %", "90.0 %"] and "4 deleted" not in frame
    assert list(frame["neighbours swapped"]) == ["70.0 %", "80.0 %"]
    assert list(frame["ends of each stage swapped"]) == ["30.0, 60.0 %", "40.0, 70.0 %"]
    residual = [replace(base, residual=True, seed=seed) for seed in (0, 1)]
    single = dict.fromkeys("abcde", 0.72)
    worse = found | {"single": single, "deletions": [[0.7, 0.6, 0.2]]}
    monkeypatch.setattr(tables, "lesions_of", lambda run: worse if run.config.seed else found)
    frame = tables.lesion_table(fake_runs(tmp_path, residual))
    assert list(frame["network"]) == ["MLP 6, residual, 2 seeds"] * 2
    assert list(frame["whole"]) == ["80.0 ± 14.1 %", "90.0 ± 0.0 %"]
    assert list(frame["worst"]) == ["66.0 ± 8.5 %", "75.0 ± 0.0 %"]
    assert frame["ends of each stage swapped"][0] == "30.0 ± 0.0, 60.0 ± 0.0 %"
    deep = found | {"deletions": [[0.9, 0.8, 0.5, 0.4, 0.25]]}
    by_depth = {6: found, 12: deep}
    monkeypatch.setattr(tables, "lesions_of", lambda run: by_depth[run.config.depth])
    frame = tables.lesion_table(fake_runs(tmp_path, [replace(base, depth=12), base]))
    assert list(frame["4 deleted"]) == ["25.0 %", "-", "-", "-"], "not so many blocks, or orders"


def test_deciding_table_sets_what_is_beside_what_was_predicted(tmp_path, kept):
    base = RunConfig(depth=6)
    kinds = [
        replace(base, residual=True),
        replace(base, init="looks-linear", activation="crelu"),
        replace(base, init="orthogonal"),
    ]
    runs = fake_runs(tmp_path, [replace(kind, seed=s) for kind in kinds for s in (0, 1)])
    for run in runs:
        slow = run.config.init == "orthogonal"
        run.history["train_loss"][-1] = 1.0 if slow else 0.5 + 0.1 * (not run.config.residual)
    frame = tables.deciding_table(runs)
    assert list(frame["network"])[0] == "residual, default"
    assert list(frame["by what is kept"]) == ["quick", "quick", "slow"]
    assert list(frame["by the skip"]) == ["quick", "slow", "slow"]
    assert list(frame["is"]) == ["quick", "quick", "slow"]
    assert list(frame["train loss"])[1] == "0.600 ± 0.000"


def test_order_table_ranks_kinds_by_what_is_measured_before_training(tmp_path, monkeypatch):
    grid = [RunConfig(depth=6, width=width, seed=s) for width in (8, 16, 32) for s in (0, 1)]
    signals = {8: 0.1, 16: 0.2, 32: 0.3}  # the loss falls with the signal and rises with the other
    found = {"of": lambda configs: Kept(signals[configs[0].width], 10.0 ** -configs[0].width, 1)}
    monkeypatch.setattr(Kept, "of", found["of"])
    monkeypatch.setattr(tables, "shattering", lambda config: [0.5 - signals[config.width]])
    runs = fake_runs(tmp_path, grid)
    for run in runs:
        run.history["train_loss"][-1] = 1 - signals[run.config.width]
    frame = tables.order_table(runs)
    assert list(frame["rank correlation"]) == ["-1.00 ± 0.00", "1.00 ± 0.00", "1.00 ± 0.00"]
