from dataclasses import replace

import pytest
import torch
from fakes import fake_outcome

from labutils import data
from labutils.analysis import predictions  # pytest takes an imported predictions_on_test for a test
from labutils.analysis.predictions import MISTAKES, mistaken_images
from labutils.config.classifier import RunConfig
from labutils.models.networks import build_model
from labutils.runs.store import RunError, Store
from labutils.training.evaluation import evaluate, predict

CONFIG = RunConfig(data="digits", depth=2, width=4)


@pytest.fixture
def run(tmp_path):
    outcome = fake_outcome(CONFIG)._replace(model=build_model(CONFIG, (1, 28, 28), 10))
    return Store(tmp_path / "runs", tmp_path / "scratch").save(CONFIG, outcome, keep="fp16")


def test_answers_are_those_of_the_stored_weights(run):
    found, test = predictions.predictions_on_test(run), data.load("digits").test
    assert found["class_names"] == list(data.load("digits").class_names)
    assert found["accuracy"] == pytest.approx(
        evaluate(run.model(), test.images, test.labels).accuracy
    )
    counts = torch.tensor(found["confusion"])
    assert torch.equal(counts.sum(1), test.labels.bincount(minlength=10))
    assert counts.diag().sum() == round(found["accuracy"] * len(test))
    answers = run.model()(test.images).argmax(1)
    assert torch.equal(counts.sum(0), answers.bincount(minlength=10))


def test_mistakes_are_wrong_and_the_most_confident_come_first(run):
    found, test = predictions.predictions_on_test(run)["mistakes"], data.load("digits").test
    assert len(found) == MISTAKES
    probabilities = run.model()(test.images).softmax(1)
    wrong = probabilities.argmax(1) != test.labels
    for mistake in found:
        index = mistake["index"]
        assert mistake["label"] == test.labels[index] != mistake["answer"]
        assert mistake["answer"] == probabilities[index].argmax()
        expected = probabilities[index].max().item()
        assert mistake["probability"] == pytest.approx(expected, abs=1e-4)
    stated = [mistake["probability"] for mistake in found]
    assert stated == sorted(stated, reverse=True)
    assert stated[0] == pytest.approx(probabilities[wrong].max().item(), abs=1e-4)


def test_images_of_mistakes_are_those_of_the_test_set(run):
    found = predictions.predictions_on_test(run)
    indices = [mistake["index"] for mistake in found["mistakes"]]
    images = torch.from_numpy(mistaken_images(found).copy()).permute(0, 3, 1, 2)
    assert torch.equal(images, data.load("digits").test.images[indices])


def test_answers_are_measured_once(run, monkeypatch):
    first = predictions.predictions_on_test(run)
    monkeypatch.setattr(predictions, "predict", lambda *_: pytest.fail("measured again"))
    assert predictions.predictions_on_test(run) == first


def test_a_run_without_weights_is_refused(tmp_path):
    store = Store(tmp_path / "runs", tmp_path / "scratch")
    with pytest.raises(RunError, match="keeps no weights"):
        predictions.predictions_on_test(store.save(CONFIG, fake_outcome(CONFIG)))


def test_predict_gives_probabilities_and_restores_modes():
    model = build_model(replace(CONFIG, dropout=0.5), (1, 28, 28), 10)
    images = torch.randint(0, 256, (2_345, 1, 28, 28), dtype=torch.uint8)
    found = predict(model, images)
    assert model.training and not found.requires_grad
    torch.testing.assert_close(found.sum(1), torch.ones(2_345))
    torch.testing.assert_close(found, model.eval()(images).softmax(1))
