from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from labutils.config import DistillConfig, RunConfig
from labutils.runs.store import MissingRuns
from labutils.training.classifiers import labelled, train, train_and_test, untrained
from labutils.training.inputs import TrainingError
from labutils.transfer.distillation import Distillation, distill, distillation_loss

NETWORK = {
    "data": "shapes10",
    "model": "resnet",
    "depth": 8,
    "width": 4,
    "residual": True,
    "norm": "batch",
    "epochs": 2,
    "batch_size": 16,
    "flip": True,
    "crop_padding": 4,
}
HARD = DistillConfig(**NETWORK)


@pytest.fixture
def images(sets):
    """The set that teacher and student learn."""
    return sets["shapes10"]


@pytest.fixture
def soft(source):
    return replace(HARD, teacher=source.id, temperature=4.0, soft_weight=0.9)


def logits(seed, scale=3.0):
    return scale * torch.randn(32, 10, generator=torch.Generator().manual_seed(seed))


LABELS = torch.arange(32) % 10


def test_weight_zero_at_temperature_one_is_the_loss_of_hard_labels_bit_for_bit():
    student = logits(0).requires_grad_()
    loss = distillation_loss(student, logits(1), LABELS, temperature=1.0, soft_weight=0.0)
    hard = F.cross_entropy(student, LABELS)
    assert torch.equal(loss, hard)
    assert torch.equal(*(torch.autograd.grad(value, student)[0] for value in (loss, hard)))


def test_without_a_teacher_it_is_the_training_of_a_classifier_bit_for_bit(images):
    plain, hard = train(RunConfig(**NETWORK), progress=False), distill(HARD, progress=False)
    assert plain.history["train_loss"] == hard.history["train_loss"]
    weights = hard.model.state_dict()
    assert all(torch.equal(v, weights[k]) for k, v in plain.model.state_dict().items())


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_is_that_of_the_paper(temperature):
    """Cross-entropy with the teacher's probabilities, less the teacher's entropy, times T^2."""
    student, teacher = logits(0), logits(1)
    p, q = (part.div(temperature).softmax(1) for part in (teacher, student))
    divergence = (p * (p / q).log()).sum(1).mean()
    wanted = 0.3 * F.cross_entropy(student, LABELS) + 0.7 * temperature**2 * divergence
    loss = distillation_loss(student, teacher, LABELS, temperature=temperature, soft_weight=0.7)
    assert torch.allclose(loss, wanted, rtol=1e-5)


def test_nothing_is_left_to_learn_from_a_teacher_that_it_equals():
    student = logits(0).requires_grad_()
    loss = distillation_loss(student, logits(0), LABELS, temperature=4.0, soft_weight=1.0)
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.abs() < 1e-5 and gradient.abs().max() < 1e-6


def test_the_factor_keeps_the_size_of_the_gradient():
    """Without T^2 the gradient at T = 200 is four times smaller than at 100; section 2.1."""
    norms = []
    for temperature in (100.0, 200.0):
        student = logits(0).requires_grad_()
        loss = distillation_loss(
            student, logits(1), LABELS, temperature=temperature, soft_weight=1.0
        )
        norms.append(torch.autograd.grad(loss, student)[0].norm().item())
    assert norms[0] == pytest.approx(norms[1], rel=0.05)


def test_the_teacher_sees_the_students_views_and_stays_as_it_is(images, source, store, soft):
    teacher, seen = store.load(source).model(), {"teacher": [], "student": []}
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    student = untrained(soft, images)
    for name, network in (("teacher", teacher), ("student", student)):
        network.register_forward_pre_hook(
            lambda module, inputs, name=name: seen[name].append((module.training, inputs[0]))
        )
    train_and_test(
        Distillation(student, *labelled(images), soft, teacher), images.test, progress=False
    )
    views = [images for training, images in seen["student"] if training]
    assert len(views) == len(seen["teacher"]) == 4
    for view, (training, shown) in zip(views, seen["teacher"], strict=True):
        assert not training and torch.equal(view, shown)
    after = teacher.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_teacher_changes_what_is_learned(images, store, soft):
    hard, taught = distill(HARD, progress=False), distill(soft, store=store, progress=False)
    assert hard.history["val_loss"] != taught.history["val_loss"]
    assert taught.history["status"] == "finished"


def test_a_teacher_of_another_set_is_refused(images, store, soft):
    with pytest.raises(TrainingError, match="its student learns shapes20"):
        distill(replace(soft, data="shapes20"), store=store)
    with pytest.raises(MissingRuns, match="ffffffff is not stored"):
        distill(replace(soft, teacher="ffffffff"), store=store)
