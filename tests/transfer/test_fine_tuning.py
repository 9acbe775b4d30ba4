from dataclasses import asdict, replace

import pytest
import torch
from fakes import fake_outcome

from labutils import data
from labutils.config import FCNConfig, TransferConfig
from labutils.models.modes import probing
from labutils.models.networks import build_model
from labutils.runs.load import load_or_train
from labutils.runs.store import MissingRuns
from labutils.training.classifiers import train
from labutils.training.execution import execution_for
from labutils.training.inputs import TrainingError
from labutils.transfer.fine_tuning import FROZEN_NORMS, fine_tune, freeze, transferred

MUON = {
    "optimizer": "muon",
    "learning_rate": 0.1,
    "bias_learning_rate": 1.0,
    "head_learning_rate": 0.1,
}
SGD = {"optimizer": "sgd", "learning_rate": 0.1}
# By name what is trained; norms of the strong network have a shift alone, the whitening nothing.
HEAD = {"head.1.weight", "head.1.bias"}
LAST = HEAD | {
    f"blocks.3.{n}" for n in ("first.weight", "second.weight", "norm1.bias", "norm2.bias")
}
LAST_TWO = LAST | {name.replace("blocks.3", "blocks.2") for name in LAST}
EVERYTHING = LAST_TWO | {
    "stem.1.weight", "stem.3.bias", "blocks.1.0.weight", "blocks.1.2.bias",
    *(name.replace("blocks.3", "blocks.0") for name in LAST),
}  # fmt: skip
TRAINED = {"head": HEAD, "last-block": LAST, "last-two": LAST_TWO, "everything": EVERYTHING}


@pytest.fixture
def config(source):
    """Fine-tuning of the stored network for two epochs."""
    network = asdict(source) | {"seed": 0, "data": "shapes20", "epochs": 2, "batch_size": 16}
    return TransferConfig(**network | SGD, source=source.id)


@pytest.fixture
def images(sets):
    """The set that it is fine-tuned on, of twenty classes."""
    return sets["shapes20"]


def run(config, store, **options):
    return fine_tune(config, store=store, progress=False, **options)


@pytest.mark.parametrize(
    ("trained", "optimizer"),
    [(name, SGD) for name in TRAINED] + [(name, MUON) for name in TRAINED if name != "head"],
)
def test_what_is_trained_changes_and_all_else_stays(trained, optimizer, config, images, store):
    """Mistake 8 of the older reports: another layer than the last block was unfrozen."""
    config = replace(config, trained=trained, **optimizer)
    model = transferred(config, images, store)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == TRAINED[trained]
    before, after = model.state_dict(), run(config, store).model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name].cpu())}
    parts = {name.rsplit(".", 1)[0] for name in TRAINED[trained]}
    averages = {"running_mean", "running_var", "num_batches_tracked"}  # of norms that are trained
    assert {name for name in changed if name.rsplit(".", 1)[1] not in averages} == TRAINED[trained]
    assert {name.rsplit(".", 1)[0] for name in changed} == parts


def test_starts_from_the_sources_layers_and_normalisation(config, images, source, store):
    stored = store.load(source).model().state_dict()
    model = transferred(config, images, store).state_dict()
    same = {name for name in stored if torch.equal(stored[name], model.get(name))}
    assert same == {name for name in stored if not name.startswith("head.")}
    assert not torch.equal(model["normalize.mean"].flatten(), images.mean)


def test_the_new_head_is_that_of_the_network_from_scratch(config, images, store):
    from_source = transferred(config, images, store)
    scratch = transferred(replace(config, source=""), images, store)
    other = transferred(replace(config, seed=1), images, store)
    assert len(from_source.head[1].weight) == 20
    assert torch.equal(from_source.head[1].weight, scratch.head[1].weight)
    assert not torch.equal(from_source.head[1].weight, other.head[1].weight)
    assert torch.equal(scratch.normalize.mean.flatten(), images.mean)


def test_from_scratch_is_the_training_of_a_classifier(config, images, source, store):
    scratch = run(replace(config, source=""), store)
    plain = train(
        replace(source, seed=0, data="shapes20", epochs=2, batch_size=16, **SGD), progress=False
    )
    assert scratch.history["val_loss"] == plain.history["val_loss"]
    assert scratch.metrics["test_loss"] == plain.metrics["test_loss"]


def test_frozen_norms_stay_in_eval_mode(images, source):
    model = build_model(source, (3, 32, 32), 20)
    freeze(model)
    model.train()
    norms = [
        module for module in model.modules() if isinstance(module, tuple(FROZEN_NORMS.values()))
    ]
    assert len(norms) == 8 and not any(norm.training for norm in norms)
    before = [norm.running_mean.clone() for norm in norms]
    with probing(model):
        model(images.train.images)
    model(images.train.images)
    assert all(torch.equal(norm.running_mean, old) for norm, old in zip(norms, before, strict=True))


def test_a_stored_run_is_loaded_with_its_own_head(config, images, store):
    config = replace(config, trained="last-block")

    def recipe(config, **arguments):
        return fine_tune(config, store=store, **arguments)

    stored = load_or_train(config, recipe, store=store, keep="fp32", progress=False)
    assert "layers" not in stored.history  # of a network with frozen layers
    weights = stored.model().state_dict()
    assert all(
        torch.equal(value.cpu(), weights[name])
        for name, value in run(config, store).model.state_dict().items()
    )


def test_a_killed_run_goes_on_to_the_same_numbers(config, images, store, tmp_path):
    config = replace(config, trained="last-two", **MUON)

    def kill(epoch, scalars):
        raise KeyboardInterrupt

    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        run(config, store, checkpoint=checkpoint, on_epoch=kill)
    assert checkpoint.exists()
    again, unbroken = run(config, store, checkpoint=checkpoint), run(config, store)
    assert again.history["val_loss"] == unbroken.history["val_loss"]
    assert again.metrics["test_loss"] == unbroken.metrics["test_loss"]


def test_few_labels_are_all_that_it_sees(config, images, store, monkeypatch):
    """The rest of the training split may be anything, and no test image is trained on."""
    config = replace(config, labels_per_class=2, draw=1, batch_size=4)
    few = images.with_labels(2, 1)
    images.train.images[:] = 0
    monkeypatch.setattr(data, "load", lambda name: replace(images, train=few.train, val=few.val))
    alone = run(replace(config, labels_per_class=None, draw=0), store)
    monkeypatch.setattr(type(images), "with_labels", lambda self, count, draw: few)
    assert run(config, store).history["val_loss"] == alone.history["val_loss"]


def test_a_source_that_does_not_fit_is_refused(config, images, source, store):
    with pytest.raises(TrainingError, match="has width 4, but this configuration 8"):
        run(replace(config, width=8), store)
    with pytest.raises(MissingRuns, match="ffffffff is not stored"):
        run(replace(config, source="ffffffff"), store)


def test_a_detector_is_no_source(config, images, store):
    detector = FCNConfig()
    store.save(detector, fake_outcome(config)._replace(model=torch.nn.Linear(1, 1)))
    with pytest.raises(TrainingError, match="is no classifier"):
        run(replace(config, source=detector.id), store)


def test_it_runs_where_the_report_does(config, images, store):
    model = run(replace(config, epochs=1), store).model
    assert next(model.parameters()).device.type == execution_for(model).device.type
