"""The fields of a configuration as options: what Python calls None, False and () is in words."""

import dataclasses
from typing import Annotated, Any, ClassVar

from tyro import constructors

from labutils.cli.app import default_hint
from labutils.config import DistillConfig, RunConfig, TransferConfig
from labutils.config.transfer import NETWORK_FIELDS

REGISTRY = constructors.ConstructorRegistry()


class Options(dict[str, Any]):
    """The fields of a `RunConfig`, before it is asked whether there is such a run.

    Attributes:
        config: the configuration whose fields these are.
        decided: those that something else decides, which are no options.
        defaults: those whose default on the command line is another.
    """

    config: ClassVar[type] = RunConfig
    decided: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[dict[str, Any]] = {}


class FineTuneOptions(Options):
    """How a stored network is trained further; its build is its own."""

    config = TransferConfig
    decided = ("data", "source", *NETWORK_FIELDS)


class DistillOptions(Options):
    """A student, and how it learns; the data set is its teacher's."""

    config = DistillConfig
    decided = ("data", "teacher")
    defaults = {"temperature": 4.0, "soft_weight": 0.9}  # what the report chose by validation


@REGISTRY.struct_rule
def _options(info: constructors.StructTypeInfo) -> constructors.StructConstructorSpec | None:
    kind = info.type
    if not (isinstance(kind, type) and issubclass(kind, Options)):
        return None
    config = constructors.StructTypeInfo.make(kind.config, constructors.MISSING_NONPROP, False)
    fields = [
        dataclasses.replace(field, default=kind.defaults.get(field.name, field.default))
        for field in constructors.ConstructorRegistry.get_struct_spec(config).fields
        if field.name not in kind.decided
    ]
    return constructors.StructConstructorSpec(kind, tuple(map(_in_words, fields)))


def _in_words(field: constructors.StructFieldSpec) -> constructors.StructFieldSpec:
    """The field with words for a default that is none; its docstring says what None means."""
    text, _, meant = field.helptext().partition(" Default: ")
    words = {None: meant.removesuffix("."), False: "off", (): "none"}
    if not isinstance(field.default, (type(None), bool, tuple)):
        return field
    kind = Annotated[field.type, default_hint(words[field.default])]
    return dataclasses.replace(field, type=kind, helptext=text)
