from drawings import lines
from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.report.families import figures
from labutils.report.statistics import squared_errors


def test_schedule_curves_show_both_measures(tmp_path):
    grid = [RunConfig(schedule=name, seed=s) for name in ("constant", "one-cycle") for s in (0, 1)]
    runs = fake_runs(tmp_path, grid)
    running, own = figures.schedule_curves(runs).axes
    assert len(lines(running)) == len(lines(own)) == 4
    assert list(lines(running)[0].get_ydata()) == runs[0].history["val_accuracy"]
    assert list(lines(own)[0].get_ydata()) == squared_errors(runs[0])[1:]
    assert len({line.get_color() for line in lines(own)}) == 2


def test_protocol_curves_have_a_panel_each_and_a_colour_a_network(tmp_path):
    grid = [RunConfig(depth=depth, seed=seed) for depth in (4, 6) for seed in (0, 1)]
    adam, sgd = fake_runs(tmp_path, grid), fake_runs(tmp_path, [grid[0]])
    left, right = figures.protocol_curves({"Adam": adam, "SGD": sgd}).axes
    assert [left.get_title(), right.get_title()] == ["Adam", "SGD"]
    assert list(lines(left)[2].get_ydata()) == adam[2].history["val_accuracy"]
    colors = [line.get_color() for line in lines(left)]
    assert colors[0] == colors[1] != colors[2] == colors[3]
    assert [line.get_color() for line in lines(right)] == colors[:1]
