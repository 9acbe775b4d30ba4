"""How configurations become options of the command line: groups, defaults in words, choices."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import tyro
from tyro.constructors import (
    MISSING_NONPROP,
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from labutils.config.classifier import RunConfig
from labutils.config.data_sets import DataName
from labutils.config.fit import FitConfig

REGISTRY = ConstructorRegistry()


class Network(dict[str, Any]):
    """What is trained."""


class Training(dict[str, Any]):
    """How it is trained."""


class Experiment(str):
    """A name in `experiments.EXPERIMENTS`."""


def default_hint(words: str) -> Any:
    """Says `words` for the default, where Python's own would tell a reader little."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {words})")


@REGISTRY.struct_rule
def _option_group(info: StructTypeInfo) -> StructConstructorSpec | None:
    """The options of `RunConfig` in two groups: its own fields, and those of `FitConfig`."""
    if info.type not in (Network, Training):
        return None
    whole = ConstructorRegistry.get_struct_spec(
        StructTypeInfo.make(RunConfig, MISSING_NONPROP, False)
    )
    training = {field.name for field in dataclasses.fields(FitConfig)}
    chosen = [f for f in whole.fields if (f.name in training) == (info.type is Training)]
    return StructConstructorSpec(info.type, tuple(_readable(field) for field in chosen))


def _readable(field: StructFieldSpec) -> StructFieldSpec:
    """The field with words for None, False and (): for None its docstring says what is meant."""
    if field.default is None:
        text, _, default = field.helptext().partition(" Default: ")
        kind = Annotated[
            field.type, tyro.conf.DisallowNone, default_hint(default.removesuffix("."))
        ]
        return dataclasses.replace(field, type=kind, helptext=text)
    if field.default is False:
        return dataclasses.replace(field, type=Annotated[field.type, default_hint("off")])
    if field.default == ():
        words = tyro.conf.arg(metavar="INT...", help_behavior_hint="(default: none)")
        return dataclasses.replace(field, type=Annotated[field.type, words])
    return field


@REGISTRY.primitive_rule
def _experiment_names(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """The choices of `sweep`; asked for only where sweep's own options are."""
    if info.type is not Experiment:
        return None
    from labutils.report.experiments import EXPERIMENTS

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="EXPERIMENT",
        instance_from_str=lambda words: Experiment(words[0]),
        is_instance=lambda value: isinstance(value, str),
        str_from_instance=lambda name: [name],
        choices=tuple(EXPERIMENTS),
    )


def experiments_hint(_: str) -> str:
    """The experiments that may be named."""
    from labutils.report.experiments import EXPERIMENTS

    return f"({', '.join(EXPERIMENTS)})"


def data_hint(default: str) -> str:
    """The data sets that may be named, and the default."""
    return f"({', '.join(DataName.__args__)}; default: {default})"
