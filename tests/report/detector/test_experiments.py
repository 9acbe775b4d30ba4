import pytest

from labutils.config.profiles import profile
from labutils.report.detector import experiments
from labutils.report.experiments import configs


@pytest.mark.parametrize("which", ["full", "quick"])
@pytest.mark.parametrize("name", ["detector", "detector-no-background"])
def test_detectors_start_from_the_classifier_of_their_seed_and_shape(name, which):
    classifiers = {c.id: c for c in configs("detector-classifier", profile(which))}
    for config in configs(name, profile(which)):
        classifier = classifiers[config.starts_from]
        for field in ("data", "model", "width", "seed"):
            assert getattr(classifier, field) == getattr(config, field), field


def test_classifiers_keep_the_weights_that_detectors_start_from():
    assert experiments.classifiers.keep != "none"


def test_detectors_with_and_without_background_start_alike():
    """Mistake 9 of the older reports is shown by one that differs in its labels, on black."""
    (unaware,) = experiments.no_background.grid()
    assert not unaware.background
    assert unaware.starts_from == experiments.classifiers.grid()[0].id
    assert all(config.background for config in experiments.detectors.grid())
