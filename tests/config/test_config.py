import dataclasses
import json
from dataclasses import FrozenInstanceError, dataclass, fields, replace
from typing import ClassVar

import pytest

from labutils.config.base import ConfigError
from labutils.config.classifier import FAMILIES, RunConfig
from labutils.config.fit import FitConfig

MLP = RunConfig(data="cifar10", depth=22, residual=True, seed=2)
RESNET = RunConfig(
    data="cifar10",
    model="resnet",
    depth=18,
    stages=4,
    width=64,
    residual=True,
    init="zero-residual",
    optimizer="sgd",
    learning_rate=0.1,
    schedule="one-cycle",
    weight_decay=5e-4,
    epochs=30,
    flip=True,
    crop_padding=4,
    cutout=8,
    precision="bf16",
)

# One other value of each field, on a base where every option is allowed.
OTHER_VALUES = {
    "optimizer": "adamw",
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "momentum": 0.8,
    "bias_learning_rate": 0.4,
    "head_learning_rate": 0.04,
    "weight_decay": 1e-4,
    "batch_size": 64,
    "epochs": 21,
    "patience": 3,
    "label_smoothing": 0.1,
    "flip": True,
    "crop_padding": 2,
    "padding_mode": "reflect",
    "cutout": 4,
    "alternating_flip": True,
    "precision": "bf16",
    "gradient_epochs": (0, 2),
    "seed": 1,
    "data": "digits",
    "model": "convnet",
    "depth": 8,
    "width": 16,
    "residual": True,
    "norm": "batch",
    "init": "he",
    "activation": "leaky",
    "head": "fully-convolutional",
    "stem_stride": 2,
    "unpadded": True,
    "stages": 2,
    "dropout": 0.1,
}
MUON = {
    "model": "convnet",
    "optimizer": "muon",
    "bias_learning_rate": 0.5,
    "head_learning_rate": 0.05,
}
BASE_FOR = {
    "momentum": {"optimizer": "sgd"},
    "bias_learning_rate": MUON,
    "head_learning_rate": MUON,
    "alternating_flip": {"flip": True},
    "padding_mode": {"crop_padding": 4},
    "head": {"model": "convnet"},
    "stem_stride": {"model": "convnet"},
    "unpadded": {"model": "small-cnn"},
    "stages": {"model": "resnet", "depth": 14},
}


def test_three_ids_are_pinned():
    """If this fails, stored runs are orphans: give a new field the default that means as before."""
    assert RunConfig().name == "mnist-mlp4-plain-s0-a2a2e092"
    assert MLP.name == "cifar10-mlp22-residual-s2-d1076cb4"
    assert RESNET.name == "cifar10-resnet18-residual-s0-03f3ec7c"


def test_a_field_added_later_changes_no_id():
    @dataclass(frozen=True, kw_only=True)
    class Later(RunConfig):
        warmup: int = 0

    def later(config, **changes):
        return Later(**dataclasses.asdict(config), **changes)

    for config in (RunConfig(), MLP, RESNET):
        assert later(config).id == config.id
        assert later(config, warmup=5).id != config.id
        stored = config.to_dict()  # written before the field was there
        assert Later.from_dict(stored).id == config.id


def test_id_and_recipe_and_kind():
    @dataclass(frozen=True, kw_only=True)
    class NewRecipe(RunConfig):
        recipe: ClassVar[int] = 2

    @dataclass(frozen=True, kw_only=True)
    class NewKind(RunConfig):
        kind: ClassVar[str] = "another"

    assert len({RunConfig().id, NewRecipe().id, NewKind().id}) == 3


def test_every_field_has_another_value_here():
    assert set(OTHER_VALUES) == {field.name for field in fields(RunConfig)}


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_each_field_changes_the_id(name):
    base = BASE_FOR.get(name, {})
    before = RunConfig(**base)
    after = RunConfig(**base | {name: OTHER_VALUES[name]})
    assert after.id != before.id
    assert RunConfig(**base | {name: getattr(before, name)}).id == before.id


def test_id_is_the_same_however_the_values_are_written():
    assert RunConfig(learning_rate=1).id == RunConfig(learning_rate=1.0).id
    assert RunConfig(dropout=0).id == RunConfig().id
    assert RunConfig(depth=4, width=128, norm="none").id == RunConfig().id
    assert isinstance(RunConfig(weight_decay=1).weight_decay, float)


def test_frozen_and_hashable():
    config = RunConfig()
    with pytest.raises(FrozenInstanceError):
        config.seed = 1
    assert config == RunConfig() and len({config, RunConfig(), replace(config, seed=1)}) == 2


@pytest.mark.parametrize("config", [RunConfig(), MLP, RESNET, FitConfig(patience=3)])
def test_there_and_back_through_json(config):
    stored = json.loads(json.dumps(config.to_dict()))
    again = type(config).from_dict(stored)
    assert again == config and again.id == config.id == stored["id"]
    assert stored["kind"] == config.kind and stored["recipe"] == 1
    assert stored["seed"] == config.seed
    assert stored == config.to_dict()  # what from_dict is given stays as it was


def test_from_dict_takes_defaults_for_what_is_missing():
    assert RunConfig.from_dict({}) == RunConfig()
    assert RunConfig.from_dict({"seed": 3}) == RunConfig(seed=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"warmup": 3}, r"unknown fields \['warmup'\].*newer version"),
        ({"recipe": 7}, "written by recipe 7; this version has recipe 1"),
        ({"kind": "fit"}, "kind 'fit', not 'classifier'"),
        ({"depth": 5}, "depth 5 is not"),
    ],
)
def test_from_dict_refuses(change, message):
    with pytest.raises(ConfigError, match=message):
        RunConfig.from_dict(RunConfig().to_dict() | change)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": "svhn"}, "data is 'svhn': choose one of mnist, cifar10"),
        ({"model": "vgg"}, "model is 'vgg': choose one of mlp, convnet"),
        ({"optimizer": "lion"}, "optimizer is 'lion': choose one of adam, adamw, sgd, muon"),
        (
            {"schedule": "step"},
            "schedule is 'step': choose one of constant, linear, cosine, one-cycle",
        ),
        ({"precision": "fp16"}, "precision is 'fp16': choose one of fp32, bf16"),
        ({"norm": "layer"}, "norm is 'layer': choose one of none, batch"),
        ({"init": "xavier"}, "init is 'xavier': choose one of default, he, zero-residual"),
        ({"head": "gap"}, "head is 'gap': choose one of flatten, fully-convolutional"),
        ({"learning_rate": 0}, r"learning_rate is 0.0: give more than 0"),
        ({"learning_rate": -0.1}, r"learning_rate is -0.1: give more than 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan: give a finite number"),
        ({"learning_rate": float("inf")}, "learning_rate is inf: give a finite number"),
        ({"learning_rate": "0.1"}, "learning_rate is '0.1': give a number"),
        ({"learning_rate": True}, "learning_rate is True: give a number"),
        ({"weight_decay": -1}, r"weight_decay is -1.0: give at least 0"),
        ({"epochs": 0}, "epochs is 0: give at least 1"),
        ({"epochs": 2.0}, "epochs is 2.0: give a whole number"),
        ({"epochs": True}, "epochs is True: give a whole number"),
        ({"batch_size": 0}, "batch_size is 0: give at least 1"),
        ({"crop_padding": -1}, "crop_padding is -1: give at least 0"),
        ({"cutout": -1}, "cutout is -1: give at least 0"),
        ({"seed": -1}, "seed is -1: give at least 0"),
        ({"seed": 2**32}, "seed is 4294967296: give at most 4294967295"),
        ({"batch_size": 10**30}, "batch_size is 1000000000000000000000000000000: give at most"),
        ({"learning_rate": 10**400}, "learning_rate is inf: give a finite number"),
        ({"gradient_epochs": 3}, "gradient_epochs is 3: give a list of numbers"),
        ({"cutout": 29}, "of images of 28 pixels, cutout is 29: give at most 28"),
        ({"data": "cifar10", "cutout": 33}, "cutout is 33: give at most 32"),
        ({"crop_padding": 29}, "crop_padding is 29: give at most 28"),
        ({"width": 10**9}, "width is 1000000000: give at most 16384"),
        ({"depth": 10**6}, "depth is 1000000: give at most 10000"),
        ({"model": "convnet", "stem_stride": 65}, "stem_stride is 65: give at most 64"),
        ({"model": "resnet", "depth": 20, "stages": 9}, "stages is 9: give at most 8"),
        (
            {"model": "cnn", "width": 8192},
            "depth 8 and width 8192 make up to 77,309,411,328 weights: give 200,000,000 at most",
        ),
        ({"patience": 0}, "patience is 0: give at least 1"),
        ({"width": 0}, "width is 0: give at least 1"),
        ({"width": 8.0}, "width is 8.0: give a whole number"),
        ({"depth": 4.0}, "depth is 4.0: give a whole number"),
        ({"depth": "4"}, "depth is '4': give a whole number"),
        ({"depth": 0}, "depth is 0: give at least 2"),
        ({"model": "convnet", "stem_stride": 0}, "stem_stride is 0: give at least 1"),
        ({"model": "resnet", "stages": 0}, "stages is 0: give at least 1"),
        ({"momentum": 1}, "momentum is 1.0: give a share of at least 0 and below 1"),
        ({"label_smoothing": 1.5}, "label_smoothing is 1.5: give a share"),
        ({"dropout": 1.0}, "dropout is 1.0: give a share"),
        ({"dropout": -0.1}, "dropout is -0.1: give a share"),
        ({"dropout": False}, "dropout is False: give a share"),
        ({"flip": 1}, "flip is 1: give True or False"),
        ({"residual": "no"}, "residual is 'no': give True or False"),
        ({"optimizer": "sgd", "momentum": 0}, "Nesterov momentum: give momentum above 0"),
        ({"momentum": 0.5}, r"adam has no option momentum \(given 0.5\): leave it out"),
        ({"optimizer": "muon"}, "give bias_learning_rate and head_learning_rate, above 0"),
        ({"bias_learning_rate": 0.5}, r"adam has no option bias_learning_rate \(given 0.5\)"),
        ({"head_learning_rate": -1}, "head_learning_rate is -1.0: give at least 0"),
        ({"padding_mode": "wrap", "crop_padding": 2}, "padding_mode is 'wrap': choose"),
        ({"padding_mode": "reflect"}, "padding_mode says what crop_padding pads with: give that"),
        ({"alternating_flip": True}, "alternating_flip says how to mirror: give flip too"),
        ({"gradient_epochs": (2, 21)}, "gradient_epochs has 21: give epochs up to 20"),
        ({"gradient_epochs": (-1,)}, "gradient_epochs is -1: give at least 0"),
        ({"init": "partial-identity"}, "partial-identity is for convolutions: mlp has none"),
        (
            {"model": "strong", "residual": True, "init": "zero-residual"},
            "the norms of strong have no scale",
        ),
        ({"norm": "batch", "batch_size": 1}, "needs a batch_size of 2 or more"),
        ({"init": "zero-residual"}, "init zero-residual needs residual"),
        ({"depth": 5}, "depth 5 is not 2 .* take for example 4, 6 or 8"),
        (
            {"model": "resnet", "depth": 18},
            "depth 18 is not 2 . 6 x blocks for resnet: take for example 8, 14 or 20",
        ),
        ({"depth": 2, "residual": True}, "depth 2 has no block to put a skip around"),
        ({"model": "resnet", "depth": 2}, "depth 2 has no block"),
        ({"model": "cnn", "depth": 10}, "cnn has depth 8, not 10: leave out"),
        ({"model": "small-cnn", "depth": 8}, "small-cnn has depth 4, not 8"),
    ],
)
def test_what_cannot_be_run_is_refused_with_its_value_and_a_remedy(given, message):
    with pytest.raises(ConfigError, match=message):
        RunConfig(**given)


NOT_DEFAULT = {
    "residual": True,
    "norm": "batch",
    "init": "he",
    "head": "fully-convolutional",
    "stem_stride": 2,
    "unpadded": True,
    "stages": 2,
    "dropout": 0.25,
}


@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.parametrize("option", NOT_DEFAULT)
def test_an_option_that_the_family_would_ignore_is_refused(model, option):
    value = NOT_DEFAULT[option]
    if option == "norm" and FAMILIES[model].norm == "batch":
        value = "none"
    depth = 14 if model == "resnet" else None
    if option in FAMILIES[model].options:
        assert getattr(RunConfig(model=model, depth=depth, **{option: value}), option) == value
        return
    with pytest.raises(ConfigError) as caught:
        RunConfig(model=model, depth=depth, **{option: value})
    assert f"{model} has no option {option} (given {value!r})" in str(caught.value)
    having = [name for name in FAMILIES if option in FAMILIES[name].options]
    assert having and all(name in str(caught.value) for name in having)


@pytest.mark.parametrize("model", FAMILIES)
def test_open_fields_take_the_family_values(model):
    config, family = RunConfig(model=model), FAMILIES[model]
    assert (config.depth, config.width) == (family.depth, family.width)
    assert (config.norm, config.dropout) == (family.norm, family.dropout)


def test_labels_are_for_people():
    assert RunConfig(model="convnet", depth=16, residual=True, data="cifar10").label == (
        "cifar10-convnet16-residual-s0"
    )
    assert RunConfig(model="cnn", seed=3).label == "mnist-cnn8-s3"  # it has no residual option
    assert FitConfig().name == f"fit-{FitConfig().id}"


@pytest.mark.parametrize("depth", [2, 4, 10, 22, 26, 34, 40, 16, 24, 36])
def test_depths_of_the_report_are_allowed(depth):
    assert RunConfig(depth=depth).depth == depth
    if depth > 2:
        assert RunConfig(depth=depth, residual=True, model="convnet").depth == depth
