from dataclasses import replace

import numpy as np
import pytest
from drawings import lines
from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.report.strong import figures


def test_cost_has_a_point_a_network_at_its_cost(tmp_path):
    convnets = [
        RunConfig(data="cifar10", model="convnet", depth=depth, width=4, residual=skip, seed=seed)
        for depth in (4, 10)
        for skip in (False, True)
        for seed in (0, 1)
    ]
    runs = fake_runs(tmp_path, convnets, test_accuracy=0.7)
    runs += fake_runs(tmp_path, [RunConfig(data="cifar10", width=8)], test_accuracy=0.4)
    at_chance = RunConfig(data="cifar10", width=9)
    runs += fake_runs(tmp_path, [at_chance], test_accuracy=0.1, train_accuracy=0.1)
    inference, training = figures.cost(runs).axes
    drawn = lines(inference)
    assert len(drawn) == len(lines(training)) == 5  # seeds share a point
    assert sorted(float(line.get_ydata()[0]) for line in drawn) == pytest.approx([0.4] + [0.7] * 4)
    mlp = drawn[-1]
    weights = 3 * 32 * 32 * 8 + 2 * 8 * 8 + 8 * 10
    assert list(mlp.get_xdata()) == [weights]
    assert list(lines(training)[-1].get_xdata()) == [3 * 45_000 * 20 * weights]
    assert mlp.get_markerfacecolor() == "none"  # it has no skip
    names = [text.get_text() for text in inference.get_legend().get_texts()]
    assert names == ["residual", "plain"]


def test_cost_names_the_best_of_each_family_and_the_brief_training_of_the_best(tmp_path):
    brief = RunConfig(data="cifar10", model="convnet", depth=10, width=4, residual=True, epochs=2)
    networks = {
        replace(brief, epochs=9): 0.8, brief: 0.7, replace(brief, residual=False): 0.6,
        RunConfig(data="cifar10", width=8): 0.4, RunConfig(data="cifar10", width=9): 0.3,
    }  # fmt: skip
    runs = [fake_runs(tmp_path, [c], test_accuracy=share)[0] for c, share in networks.items()]
    for ax in figures.cost(runs).axes:
        named = {text.xy[1]: text.get_text() for text in ax.texts if text.get_text()}
        assert named == {0.8: "ConvNet 10, 9 epochs", 0.7: "ConvNet 10, 2 epochs", 0.4: "MLP 4"}
        faint = {line.get_ydata()[0] for line in lines(ax) if line.get_alpha() < 1}
        assert faint == {0.6, 0.3}


def test_confusion_shows_each_count():
    ax = figures.confusion([[5, 1], [2, 4]], ["cat", "dog"]).axes[0]
    assert [text.get_text() for text in ax.texts] == ["5", "1", "2", "4"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "dog"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")


def test_mistakes_show_each_picture_under_its_title():
    images = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
    axes = figures.mistakes(images, [f"picture {n}" for n in range(7)], columns=4).axes
    assert len(axes) == 8
    assert [ax.get_title() for ax in axes] == [*(f"picture {n}" for n in range(7)), ""]
    for ax, image in zip(axes, images, strict=False):
        assert (ax.get_images()[0].get_array() == image).all()
