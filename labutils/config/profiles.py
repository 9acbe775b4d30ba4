"""The full and the quick profile: which data sets are meant, and where results go."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from labutils.config.data_sets import DATA_SETS, DataName


def root_of(package: Path) -> Path:
    """Where a copy of labutils reads and writes: its own checkout, or else where one works.

    Args:
        package: the folder of the package. A checkout has this project's pyproject.toml beside it.
    """
    checkout = package.parent
    try:
        project = tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))["project"]
        return checkout if project["name"] == package.name else Path.cwd()
    except (OSError, ValueError, KeyError, TypeError):  # none, or one of another shape
        return Path.cwd()


ROOT = root_of(Path(__file__).resolve().parents[1])  # an import decides: chdir moves nothing


class ProfileError(ValueError):
    """LAB_PROFILE names no profile."""


@dataclass(frozen=True)
class Profile:
    """Where a profile reads and writes; `quick` puts everything under build/quick/.

    Attributes:
        runs: folder of the finished runs.
        scratch: folder of unfinished runs and locks.
        images: folder of the figures.
    """

    name: str
    runs: Path
    scratch: Path
    images: Path

    @property
    def quick(self) -> bool:
        """Whether built-in stand-ins and small grids are meant."""
        return self.name == "quick"

    @property
    def notice(self) -> str:
        """What a reader of the quick profile must know, in Markdown; nothing in full."""
        if not self.quick:
            return ""
        return (
            "**Quick profile:** the figures and tables here come from small built-in stand-ins "
            "(digits for MNIST, shapes for CIFAR); the text speaks of the full report."
        )

    def data(self, name: DataName) -> DataName:
        """The set that this profile means by `name`: in quick, a built-in stand-in."""
        return (self.quick and DATA_SETS[name].stand_in) or name


def profile(name: str | None = None) -> Profile:
    """The profile `name`, by default that of the variable LAB_PROFILE, by default `full`.

    Raises:
        ProfileError: there is no such profile.
    """
    name = name or os.environ.get("LAB_PROFILE") or "full"
    build = ROOT / "build"
    if name == "full":
        return Profile(name, ROOT / "trained_models", build / "runs", ROOT / "images")
    if name == "quick":
        quick = build / "quick"
        return Profile(name, quick / "trained_models", quick / "runs", quick / "images")
    raise ProfileError(f"LAB_PROFILE is {name!r}: set it to full (the default) or quick")
