import math

import pytest
import torch
import torch.nn.functional as F
from fakes import fake_outcome

from labutils import data
from labutils.analysis import calibration as module
from labutils.analysis.calibration import calibration, fit_temperature, reliability
from labutils.config.classifier import RunConfig
from labutils.models.networks import build_model
from labutils.runs.store import RunError, Store
from labutils.training.evaluation import evaluate

CONFIG = RunConfig(data="digits", depth=2, width=4)


def two_classes(*confidences):
    """Probabilities of two classes of which the first is predicted."""
    return torch.tensor([[share, 1 - share] for share in confidences], dtype=torch.float64)


def test_expected_error_of_bins_that_can_be_computed_by_hand():
    probabilities = two_classes(0.6, 0.7, 0.95, 0.95)
    labels = torch.tensor([0, 1, 0, 1])
    diagram = reliability(probabilities, labels, bins=5)
    # (0.4, 0.6] has the first, (0.6, 0.8] the second, (0.8, 1] the others
    assert diagram.counts.tolist() == [0, 0, 1, 1, 2]
    assert diagram.confidence[2:].tolist() == pytest.approx([0.6, 0.7, 0.95])
    assert diagram.accuracy[2:].tolist() == [1, 0, 0.5]
    assert diagram.accuracy[:2].isnan().all()
    assert diagram.expected_error == pytest.approx((0.4 + 0.7 + 2 * 0.45) / 4)


def test_one_bin_says_only_whether_confidence_and_accuracy_agree_on_average():
    diagram = reliability(two_classes(0.9, 0.7, 0.5, 0.9), torch.tensor([0, 0, 0, 1]), bins=1)
    assert diagram.expected_error == pytest.approx(0, abs=1e-12)


def test_probability_one_is_in_the_last_bin_and_the_lowest_in_its_own():
    probabilities = torch.cat([two_classes(1.0), two_classes(0.5)])
    assert reliability(probabilities, torch.tensor([0, 1]), bins=2).counts.tolist() == [1, 1]


def test_temperature_is_found_again_where_it_is_known():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 5, generator=generator) * 2
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator).flatten()
    for factor in (1.0, 3.0, 0.4):
        assert fit_temperature(logits * factor, labels) == pytest.approx(factor, rel=0.05)


@pytest.fixture
def run(tmp_path):
    outcome = fake_outcome(CONFIG)._replace(model=build_model(CONFIG, (1, 28, 28), 10))
    return Store(tmp_path / "runs", tmp_path / "scratch").save(CONFIG, outcome, keep="fp32")


def test_calibration_is_of_the_test_set_with_a_temperature_of_the_validation_set(run):
    found, digits = calibration(run), data.load("digits")
    model = run.model()
    with torch.no_grad():
        val, test = model(digits.val.images), model(digits.test.images)
    temperature = fit_temperature(val, digits.val.labels)
    assert found["temperature"] == pytest.approx(temperature, rel=1e-3)
    for name, scale in (("before", 1), ("after", temperature)):
        part, logits = found[name], test / scale
        expected = reliability(logits.softmax(1), digits.test.labels)
        assert part["counts"] == expected.counts.tolist()
        assert sum(part["counts"]) == len(digits.test)
        assert part["expected_error"] == pytest.approx(expected.expected_error, abs=1e-4)
        loss = F.cross_entropy(logits, digits.test.labels).item()
        assert part["loss"] == pytest.approx(loss, abs=1e-4)
    whole = evaluate(model, digits.test.images, digits.test.labels).accuracy
    right = [c * a for c, a in zip(part["counts"], part["accuracy"], strict=True) if c]
    assert math.isclose(sum(right) / len(digits.test), whole, abs_tol=1e-6)


def test_calibration_is_measured_once_and_needs_weights(run, tmp_path, monkeypatch):
    first = calibration(run)
    monkeypatch.setattr(module, "ready", lambda run: pytest.fail("measured again"))
    assert calibration(run) == first
    monkeypatch.undo()
    other = Store(tmp_path / "others", tmp_path / "scratch").save(CONFIG, fake_outcome(CONFIG))
    with pytest.raises(RunError, match="keeps no weights"):
        calibration(other)
