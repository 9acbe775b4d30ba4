"""What was measured of networks whose weights are not shipped is stored, once and for all."""

import pytest

from labutils.analysis import calibration, superclasses
from labutils.config.profiles import profile
from labutils.report.experiments import load

FULL = profile("full")


@pytest.fixture
def unmeasured(monkeypatch):
    """Nothing can be measured; only what is stored can be read."""
    for module in (calibration, superclasses):
        monkeypatch.setattr(module, "ready", lambda run: pytest.fail(f"{run} is measured"))


def ten_epochs():
    """Networks of CIFAR-100 that are compared: everything trained, and from scratch."""
    return [
        run
        for name in ("transfer", "transfer-scratch")
        for run in load(name, FULL)
        if run.config.trained == "everything" and run.config.epochs == 10
    ]


def test_calibration_is_stored_and_its_test_accuracy_is_the_runs(unmeasured):
    runs = load("strong", FULL) + ten_epochs() + load("distillation", FULL)
    assert len(runs) == 3 + 6 + 9
    for run in runs:
        found = calibration.calibration(run)
        right = {
            when: sum(
                count * share
                for count, share in zip(part["counts"], part["accuracy"], strict=True)
                if count
            )
            for when, part in ((when, found[when]) for when in ("before", "after"))
        }
        assert right["before"] == pytest.approx(right["after"])  # scaling changes no prediction
        # weights in half precision, on another processor
        assert right["before"] / 10_000 == pytest.approx(run.metrics["test_accuracy"], abs=2e-3)


def test_superclasses_are_stored_of_the_networks_that_are_compared(unmeasured):
    for run in ten_epochs():
        found = superclasses.superclass_predictions(run)
        assert found["accuracy"] == pytest.approx(run.metrics["test_accuracy"], abs=2e-3)
        assert found["accuracy"] < found["superclass_accuracy"] < found["top5_accuracy"]
        assert sum(map(sum, found["confusion"])) == 10_000
