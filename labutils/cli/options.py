"""The fields of a configuration as options: what Python calls None, False and () is in words."""

import dataclasses
from typing import Annotated, Any

from tyro.constructors import (
    MISSING_NONPROP,
    ConstructorRegistry,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from labutils.cli.app import default_hint
from labutils.config import RunConfig

REGISTRY = ConstructorRegistry()


class Options(dict[str, Any]):
    """The fields of a `RunConfig`, before it is asked whether there is such a run."""


@REGISTRY.struct_rule
def _options(info: StructTypeInfo) -> StructConstructorSpec | None:
    if info.type is not Options:
        return None
    config = StructTypeInfo.make(RunConfig, MISSING_NONPROP, False)
    fields = ConstructorRegistry.get_struct_spec(config).fields
    return StructConstructorSpec(Options, tuple(map(_in_words, fields)))


def _in_words(field: StructFieldSpec) -> StructFieldSpec:
    """The field with words for a default that is none; its docstring says what None means."""
    text, _, meant = field.helptext().partition(" Default: ")
    words = {None: meant.removesuffix("."), False: "off", (): "none"}
    if not isinstance(field.default, (type(None), bool, tuple)):
        return field
    kind = Annotated[field.type, default_hint(words[field.default])]
    return dataclasses.replace(field, type=kind, helptext=text)
