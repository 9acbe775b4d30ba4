"""What every configuration has: validation, an id, and the way to and from JSON."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self


class ConfigError(ValueError):
    """A configuration that cannot be run; the message says what to change."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Base of every configuration: validation, identity, and the way to and from JSON.

    `recipe` is raised by hand when code changes what a configuration of this class computes:
    then every id changes, and no stored run is mistaken for a new one.
    """

    recipe: ClassVar[int] = 1
    kind: ClassVar[str] = "config"
    source_field: ClassVar[str] = ""  # the field that names the run that this one starts from

    def __post_init__(self) -> None:
        for field in fields(self):
            value, kind = getattr(self, field.name), str(field.type)
            if kind.startswith("float") and isinstance(value, int) and not isinstance(value, bool):
                object.__setattr__(self, field.name, float(value))
            if kind.startswith("tuple") and isinstance(value, list):  # as JSON has it
                value = tuple(value)
                object.__setattr__(self, field.name, value)
            if kind.startswith("tuple[float") and isinstance(value, tuple):
                # 1 and 1.0 are equal, and would make two ids
                whole = tuple(
                    float(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in value
                )
                object.__setattr__(self, field.name, whole)
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{field.name} is {value}: give a finite number")
            if kind == "bool" and not isinstance(value, bool):  # 1 would make another id than True
                raise ConfigError(f"{field.name} is {value!r}: give True or False")

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
        text = json.dumps(
            {"kind": self.kind, "recipe": self.recipe, "fields": changed}, sort_keys=True
        )
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


def choice(name: str, value: object, choices: tuple) -> None:
    """Raise a `ConfigError` unless `value` is one of `choices`."""
    if value not in choices:
        raise ConfigError(f"{name} is {value!r}: choose one of {', '.join(map(str, choices))}")


def at_least(name: str, value: float, lowest: float, *, strict: bool = False) -> None:
    """Raise a `ConfigError` unless `value` is a number of the kind of `lowest` and not below it."""
    whole = isinstance(lowest, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise ConfigError(f"{name} is {value!r}: give a{' whole' if whole else ''} number")
    if value < lowest or (strict and value == lowest):
        raise ConfigError(
            f"{name} is {value}: give {'more than' if strict else 'at least'} {lowest}"
        )


def below_one(name: str, value: float) -> None:
    """Raise a `ConfigError` unless `value` is a share: at least 0 and below 1."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value < 1:
        raise ConfigError(f"{name} is {value!r}: give a share of at least 0 and below 1")
