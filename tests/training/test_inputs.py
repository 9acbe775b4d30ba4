"""What is given to `fit` and `evaluate`: converted, or refused with a word on what to do."""

import copy
import math
import os
from dataclasses import replace

import pytest
import torch
from small_problem import CLASSES, MLP, TRAIN, VAL, build, measured, same_weights, trained
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from labutils.config.fit import FitConfig
from labutils.training import evaluate, fit
from labutils.training.evaluation import predict
from labutils.training.inputs import TrainingError, as_split


def test_ones_own_model_on_ones_own_tensors():
    """As the README shows it; floats from 0 to 1 are as good as bytes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    images = TRAIN[0] / 255
    config = FitConfig(epochs=5, learning_rate=5e-3, batch_size=16)
    history = fit(model, (images, TRAIN[1]), (VAL[0] / 255, VAL[1]), config, progress=False)
    assert history.train_accuracy[-1] > 0.9
    assert history.layer_names == ["1", "3"]


@pytest.mark.parametrize("option", [{"flip": True}, {"crop_padding": 1}, {"cutout": 2}])
def test_augmentation_of_floats_is_refused(option):
    floats = (TRAIN[0] / 255, TRAIN[1])
    with pytest.raises(TrainingError, match="augmentation needs uint8 images"):
        trained(replace(MLP, **option), floats)
    trained(replace(MLP, epochs=1), floats)


IMAGES, LABELS = VAL
FLOATS = IMAGES / 255
with_nan, with_inf = FLOATS.clone(), FLOATS.clone()
with_nan[[3, 7], 0, 0, 0] = math.nan
with_inf[5] = math.inf
UNFIT = {
    "no-channels": (IMAGES[:, 0], LABELS, r"images are \(30, 8, 8\)"),
    "fewer-labels": (IMAGES, LABELS[:-1], r"labels \(29,\)"),
    "column-of-labels": (IMAGES, LABELS[:, None], r"labels \(30, 1\)"),
    "none": (IMAGES[:0], LABELS[:0], "with n at least 1"),
    "float-labels": (IMAGES, LABELS.float(), "labels are torch.float32; give class indices"),
    "negative-labels": (IMAGES, LABELS - 1, "the smallest label is -1; give class indices from 0"),
    "int64-images": (IMAGES.long(), LABELS, r"images are torch.int64; give uint8"),
    "too-many-classes": (IMAGES, LABELS + 1, r"a label is 3, but the model has 3 classes"),
    "nan": (with_nan, LABELS, "2 of 30 images have pixels that are not finite, .*number 3: leave"),
    "infinite": (with_inf, LABELS, "1 of 30 images .*the first is number 5"),
    "words": (["cat"] * 30, LABELS, "is not images and labels .*give a pair of tensors"),
}


@pytest.mark.parametrize(("images", "labels", "message"), UNFIT.values(), ids=UNFIT)
def test_what_does_not_fit_is_refused_before_anything_is_trained(images, labels, message):
    model = build(MLP)
    before = copy.deepcopy(model)
    for part, given in (("train", ((images, labels), VAL)), ("val", (TRAIN, (images, labels)))):
        with pytest.raises(TrainingError, match=f"^{part}: .*{message}"):
            fit(model, *given, MLP, progress=False)
    with pytest.raises(TrainingError, match=f"^evaluate: .*{message}"):
        evaluate(model, images, labels)
    assert same_weights(model, before)


@pytest.mark.parametrize("given", [3, None, TRAIN[0], (*TRAIN, TRAIN[1]), DataLoader([TRAIN])])
def test_what_is_no_pair_is_refused(given):
    with pytest.raises(TrainingError, match="^train: a .* is not images and labels"):
        trained(MLP, given)


def test_large_finite_images_are_finite():
    """Their sum is not."""
    images = torch.full((30, 3, 8, 8), 3e38)
    assert as_split("train", (images, LABELS))[0] is not None


def layers(classes=CLASSES):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, classes))


CONFIG = FitConfig(epochs=2, batch_size=16)


def fitted(train, val, config=CONFIG, **options):
    model = layers()
    return measured(fit(model, train, val, config, progress=False, **options)), model


TRAIN_FLOATS = (TRAIN[0] / 255, TRAIN[1])
VAL_FLOATS = (FLOATS, LABELS)
PLAIN = {
    "float64": lambda images, labels: (images.double(), labels),
    "float16": lambda images, labels: (images.half(), labels),
    "arrays": lambda images, labels: (images.numpy(), labels.numpy()),
    "read-only": lambda images, labels: tuple(read_only(t.numpy()) for t in (images, labels)),
    "mirrored": lambda images, labels: (images.flip(3).numpy()[..., ::-1], labels),
    "int32": lambda images, labels: (images, labels.int()),
    "uint16": lambda images, labels: (images, labels.numpy().astype("uint16")),
    "list-of-labels": lambda images, labels: [images, labels.tolist()],
    "tensor-data-set": lambda images, labels: TensorDataset(images, labels),
    "subset": lambda images, labels: Subset(TensorDataset(images, labels), range(len(labels))),
    "asks-for-gradients": lambda images, labels: (images.clone().requires_grad_(), labels),
}


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("convert", PLAIN.values(), ids=PLAIN)
def test_images_and_labels_of_any_type_train_alike(convert):
    expected, model = fitted(TRAIN_FLOATS, VAL_FLOATS)
    found, other = fitted(convert(*TRAIN_FLOATS), convert(*VAL_FLOATS))
    close = {"rel": 1e-2} if convert is PLAIN["float16"] else {"rel": 1e-6}
    assert found["val_loss"] == pytest.approx(expected["val_loss"], **close)
    given = convert(*VAL_FLOATS)
    if isinstance(given, (tuple, list)):
        assert evaluate(model, *given).loss == pytest.approx(expected["val_loss"][-1], **close)


def test_device_and_checkpoint_may_be_strings(tmp_path):
    expected, model = fitted(TRAIN_FLOATS, VAL_FLOATS)
    path = str(tmp_path / "run.pt")
    found, other = fitted(TRAIN_FLOATS, VAL_FLOATS, device="cpu", checkpoint=path)
    assert found == expected and same_weights(model, other)
    assert os.path.exists(path)


def test_bytes_are_floats_from_0_to_1_for_a_network_without_normalize(tmp_path):
    expected, model = fitted(TRAIN_FLOATS, VAL_FLOATS)
    found, other = fitted(TRAIN, VAL)
    assert found == expected and same_weights(model, other)
    assert evaluate(other, *VAL) == evaluate(other, *VAL_FLOATS)
    assert torch.equal(predict(other, VAL[0]), predict(other, FLOATS))


def test_bytes_are_augmented_for_any_network():
    """As the README says of its own network."""
    config = replace(CONFIG, flip=True, crop_padding=4, cutout=8)
    found, _ = fitted(TRAIN, VAL, config)
    plain, _ = fitted(TRAIN, VAL)
    assert found["status"] == "finished" and found["train_loss"] != plain["train_loss"]


def test_a_network_that_normalizes_gets_the_bytes():
    model, seen = build(MLP), set()
    model.register_forward_pre_hook(lambda module, inputs: seen.add(inputs[0].dtype))
    fit(model, TRAIN, VAL, MLP, progress=False)
    evaluate(model, *VAL)
    assert seen == {torch.uint8}


def test_a_network_that_works_in_place_leaves_the_images_as_they_are():
    class Centered(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = layers()

        def forward(self, images):
            return self.layers(images.sub_(0.5))

    before = [images.clone() for images in (TRAIN_FLOATS[0], FLOATS)]
    fit(Centered(), TRAIN_FLOATS, VAL_FLOATS, CONFIG, progress=False)
    evaluate(Centered(), *VAL_FLOATS)
    assert torch.equal(TRAIN_FLOATS[0], before[0]) and torch.equal(FLOATS, before[1])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_batches_of_one_and_a_single_image(count):
    few = (TRAIN_FLOATS[0][:count], TRAIN_FLOATS[1][:count])
    found, _ = fitted(few, few, FitConfig(epochs=2, batch_size=1))
    assert found["status"] == "finished" and len(found["val_loss"]) == 2


def test_batch_norm_on_batches_of_one_says_what_to_do():
    model = nn.Sequential(*layers()[:2], nn.BatchNorm1d(16), *layers()[2:])
    with pytest.raises(TrainingError, match="a batch of one image .*give a larger batch_size"):
        fit(model, TRAIN, VAL, FitConfig(batch_size=1), progress=False)


class Pair(nn.Module):
    """Auxiliary logits in train mode, as torchvision's GoogLeNet has them."""

    def __init__(self, always):
        super().__init__()
        self.layers, self.always = layers(), always

    def forward(self, images):
        logits = self.layers(images)
        return (logits, logits) if self.always or self.training else logits


BAD_OUTPUTS = {
    "tuple": (lambda: Pair(True), "output is a tuple: give a model whose output is the logits"),
    "tuple-in-training": (lambda: Pair(False), "output is a tuple: .*aux_logits=False"),
    "map": (lambda: nn.Conv2d(3, CLASSES, 1), r"\(1, 3, 8, 8\) is \(1, 3, 8, 8\): give a model"),
    "squeezed": (
        lambda: nn.Sequential(layers(), nn.Flatten(0)), r"is \(3,\): give a model whose output"
    ),
    "few-classes": (lambda: layers(2), "a label is 2, but the model has 2 classes"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "message"), BAD_OUTPUTS.values(), ids=BAD_OUTPUTS)
def test_a_model_without_logits_a_class_is_refused(make, message):
    with pytest.raises(TrainingError, match=message):
        fit(make(), TRAIN, VAL, FitConfig(), progress=False)


@pytest.mark.parametrize(
    "model", [nn.Flatten(), layers().requires_grad_(False)], ids=["no weights", "frozen"]
)
def test_a_model_with_nothing_to_train_is_refused(model):
    with pytest.raises(TrainingError, match="nothing to train: set requires_grad"):
        fit(model, TRAIN, VAL, FitConfig(), progress=False)


def test_a_model_without_weights_can_be_evaluated():
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert 0 <= evaluate(model, *VAL).accuracy <= 1


def test_large_images_go_through_a_network_in_smaller_batches():
    sizes, model = [], nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, CLASSES))
    model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    images = torch.zeros(60, 3, 224, 224, dtype=torch.uint8)
    evaluate(model, images, torch.zeros(60, dtype=torch.int64))
    assert sum(sizes) == 60 and max(sizes) == 41  # as many numbers as 512 images of 64 pixels
