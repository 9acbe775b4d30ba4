from dataclasses import replace

from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.report.convnets import tables


def test_head_table_sets_the_heads_beside_one_another(tmp_path):
    base = RunConfig(data="cifar10", model="convnet", depth=4, width=4)
    runs = []
    for head, accuracy in (("flatten", 0.5), ("fully-convolutional", 0.6)):
        grid = [replace(base, head=head, residual=residual) for residual in (False, True)]
        runs += fake_runs(tmp_path, grid, test_accuracy=accuracy)
    frame = tables.head_table(runs)
    assert list(frame["network"]) == ["plain", "residual"]
    assert list(frame["test accuracy, flattening"]) == ["50.00 %"] * 2
    assert list(frame["test accuracy, averaging"]) == ["60.00 %"] * 2
    assert list(frame["averaging - flattening"]) == ["10.00"] * 2
    last = f"{runs[0].history['train_loss'][-1]:.3f}"
    assert list(frame["train loss, flattening"]) == [last] * 2


def test_factor_table_has_a_row_a_way_of_training(tmp_path):
    grid = [
        RunConfig(data="cifar10", residual=True, depth=depth, flip=flip, seed=seed)
        for depth in (4, 24)
        for flip in (False, True)
        for seed in (0, 1)
    ]
    frame = tables.factor_table(fake_runs(tmp_path, grid))
    assert list(frame["images"]) == ["as they are", "mirrored and shifted"]
    assert list(frame["depth 24 - 4"]) == ["0.00 ± 0.00"] * 2
    assert list(frame["test accuracy, 4"]) == list(frame["test accuracy, 24"])
