"""Learning rates that validation chose."""

import json

from fakes import fake_runs

from labutils.config.classifier import RunConfig
from labutils.report import choices
from labutils.report.choices import at_best_rate, at_rates

RATES = (1e-3, 3e-4, 1e-4)


def test_the_rate_of_the_highest_validation_accuracy_is_taken(tmp_path, private, monkeypatch):
    which = private("full")
    monkeypatch.setattr(choices, "profile", lambda name: which)
    kind = RunConfig(depth=6, init="he", seed=2)
    tried = at_rates(RunConfig(depth=6, init="he"), RATES)
    for config, accuracy in zip(tried[:2], (0.8, 0.9), strict=True):
        fake_runs(tmp_path, [config], train_accuracy=accuracy)
    assert at_best_rate(kind, RATES).learning_rate == 1e-3, "one of three is not there yet"
    fake_runs(tmp_path, tried[2:], train_accuracy=0.7)
    best = at_best_rate(kind, RATES)
    assert best.learning_rate == 3e-4 and best.seed == 2 and best.init == "he"
    path = which.runs / tried[2].name / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"val_accuracy": 0.95}))
    assert at_best_rate(kind, RATES).learning_rate == 1e-4
