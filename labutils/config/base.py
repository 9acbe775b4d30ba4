"""What every configuration has: validation, an id, and the way to and from JSON."""

import functools
import hashlib
import json
import math
import typing
from dataclasses import asdict, dataclass, fields
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Self, Union


class ConfigError(ValueError):
    """A configuration that cannot be run; the message says what to change."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Base of every configuration: validation by the types of its fields, identity, JSON.

    `recipe` is raised by hand when code changes what a configuration of this class computes:
    then every id changes, and no stored run is mistaken for a new one.
    """

    recipe: ClassVar[int] = 1
    kind: ClassVar[str] = "config"
    source_field: ClassVar[str] = ""  # the field that names the run that this one starts from

    def __post_init__(self) -> None:
        for name, hint in _types_of(type(self)).items():
            object.__setattr__(self, name, _checked(name, getattr(self, name), hint))

    @property
    def starts_from(self) -> str:
        """Id of the stored run whose weights this one starts from, or an empty string."""
        return getattr(self, self.source_field) if self.source_field else ""

    @property
    def id(self) -> str:
        """Eight hexadecimal digits: the hash of the recipe and all fields that are not default.

        A field that is added later, with a default that means "as before", changes no id.
        """
        changed = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }
        decisive = {"kind": self.kind, "recipe": self.recipe, "fields": changed}
        text = json.dumps(decisive, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def label(self) -> str:
        """The part of a run's folder name that is for people; subclasses say more."""
        return self.kind

    @property
    def name(self) -> str:
        """Folder name of the run: `label-id`."""
        return f"{self.label}-{self.id}"

    def to_dict(self) -> dict[str, Any]:
        """All fields, with `kind`, `id` and `recipe`, ready for JSON."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {"kind": self.kind, "id": self.id, "recipe": self.recipe, **values}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what `to_dict` wrote. Fields that are missing take their defaults.

        Raises:
            ConfigError: a field is unknown, or the values were written by another recipe.
        """
        values = dict(values)
        kind, recipe = values.pop("kind", cls.kind), values.pop("recipe", cls.recipe)
        values.pop("id", None)
        if kind != cls.kind:
            raise ConfigError(f"this is a configuration of kind {kind!r}, not {cls.kind!r}")
        if recipe != cls.recipe:
            raise ConfigError(f"written by recipe {recipe}; this version has recipe {cls.recipe}")
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ConfigError(f"unknown fields {unknown}: written by a newer version of labutils?")
        return cls(**values)


@functools.cache
def _types_of(config: type[Config]) -> dict[str, Any]:
    hints = typing.get_type_hints(config, include_extras=True)
    return {field.name: hints[field.name] for field in fields(config)}


def _checked(name: str, value: Any, hint: Any) -> Any:
    """The value as a field of this type keeps it; 1 and 1.0 are equal, and would make two ids."""
    origin, (first, *rest) = typing.get_origin(hint), typing.get_args(hint) or (None,)
    if origin is Annotated:
        value = _checked(name, value, first)
        for check in rest:
            check(name, value)
    elif origin in (Union, UnionType):  # with None
        value = None if value is None else _checked(name, value, first)
    elif origin is tuple:
        if not isinstance(value, (list, tuple)):  # a list, as JSON has it
            raise ConfigError(f"{name} is {value!r}: give a list of numbers")
        value = tuple(_checked(name, item, first) for item in value)
    elif origin is Literal and value not in (first, *rest):
        raise ConfigError(f"{name} is {value!r}: choose one of {', '.join((first, *rest))}")
    elif hint in (bool, str) and not isinstance(value, hint):  # 1 makes another id than True
        wanted = "True or False" if hint is bool else "a text"
        raise ConfigError(f"{name} is {value!r}: give {wanted}")
    elif hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(str(value))  # by way of text a number that is too large becomes infinite
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name} is {value}: give a finite number")
    return value


@dataclass(frozen=True)
class Within:
    """Refuses what is no number of the kind of `lowest`, or out of bounds.

    A bound above is far from what is of use: it ends what no memory holds, and no library counts.
    """

    lowest: float
    highest: float = 2**32 - 1
    strict: bool = False

    def __call__(self, name: str, value: Any) -> None:
        whole = isinstance(self.lowest, int)
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise ConfigError(f"{name} is {value!r}: give a{' whole' if whole else ''} number")
        if value < self.lowest or (self.strict and value == self.lowest):
            least = "more than" if self.strict else "at least"
            raise ConfigError(f"{name} is {value}: give {least} {self.lowest}")
        if value > self.highest:
            raise ConfigError(f"{name} is {value}: give at most {self.highest}")


def _below_one(name: str, value: Any) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value < 1:
        raise ConfigError(f"{name} is {value!r}: give a share of at least 0 and below 1")


# Types of fields.
Natural = Annotated[int, Within(0)]
Count = Annotated[int, Within(1)]
NotNegative = Annotated[float, Within(0.0, math.inf)]
Positive = Annotated[float, Within(0.0, math.inf, strict=True)]
Share = Annotated[float, _below_one]
