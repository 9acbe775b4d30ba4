"""Finished runs as they are stored: found by their configuration, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from labutils.config.base import Config, ConfigError
from labutils.config.classifier import RunConfig
from labutils.config.data_sets import DATA_SETS
from labutils.config.fcn import FCNConfig
from labutils.config.profiles import Profile, profile
from labutils.config.transfer import DistillConfig, TransferConfig
from labutils.models.networks import build_model
from labutils.runs.json_files import finite, fsync, history_json, with_nan, write_json
from labutils.training.classifiers import Outcome

Train = Callable[..., Outcome]  # what `load_or_train` is given
Keep = Literal["none", "fp32", "fp16"]
AnyConfig = TypeVar("AnyConfig", bound=Config)
AnyModule = TypeVar("AnyModule", bound=nn.Module)
WEIGHTS = "weights.safetensors"
CONFIGS: dict[str, type[Config]] = {
    kind.kind: kind for kind in (RunConfig, FCNConfig, TransferConfig, DistillConfig)
}


class RunError(RuntimeError):
    """A stored run that is missing or damaged; the message names the file and what to do."""


class MissingRuns(RunError):
    """Runs that are not stored, where training was not asked for."""


@dataclass(frozen=True)
class Run:
    """A finished run as it is stored.

    Attributes:
        history: what `training.History` describes; what was not finite is nan.
        metrics: status, epochs, best_epoch, val_ and test_ loss and accuracy, seconds and more.
    """

    config: Config
    folder: Path
    history: dict[str, Any] = field(repr=False)
    metrics: dict[str, Any] = field(repr=False)

    @property
    def arithmetic(self) -> Literal["bf16", "bf16 emulated", "fp32", "fp64"]:
        """What products were computed in.

        Older runs do not record it. Theirs was what the precision says, but for bf16 on a CPU
        without AVX-512: there factors were rounded to bf16 and multiplied in fp32.
        """
        if "arithmetic" in self.metrics:
            return self.metrics["arithmetic"]
        if self.config.precision == "fp32":
            return "fp32"
        hardware = self.metrics["hardware"]
        emulated = hardware["device"] == "cpu" and not hardware["processor"].startswith("AVX512")
        return "bf16 emulated" if emulated else "bf16"

    @property
    def has_weights(self) -> bool:
        """Whether `model` can load this run."""
        return (self.folder / WEIGHTS).exists()

    def model(self) -> nn.Module:
        """The trained classifier in eval mode, with its own normalisation; needs no data set.

        Raises:
            RunError: the run keeps no weights, or their file is damaged.
        """
        spec = DATA_SETS[self.config.data]
        return self.load_into(build_model(self.config, spec.image_shape, spec.classes))

    def load_into(self, model: AnyModule) -> AnyModule:
        """Give `model`, built as the run's was, the stored weights; it is returned in eval mode.

        Raises:
            RunError: as `model` does.
        """
        path = self.folder / WEIGHTS
        if not path.exists():
            raise RunError(f"{self.folder} keeps no weights: train it again with --keep fp32")
        try:
            # not by `load_file`, for which a file without the right to read it does not exist
            model.load_state_dict(load(path.read_bytes()))  # half precision becomes fp32
        except (SafetensorError, OSError, RuntimeError) as error:  # the last: other layers
            raise damaged(path, error) from error
        return model.eval()


@dataclass(frozen=True)
class Store:
    """A folder of finished runs, and one of unfinished ones and locks."""

    folder: Path
    scratch: Path

    @classmethod
    def of(cls, which: Profile) -> Store:
        """The store of a profile."""
        return cls(which.runs, which.scratch)

    def find(self, config: Config) -> Path | None:
        """Folder of the finished run with this id, whatever its label was when it was stored."""
        named = self.folder / config.name
        if named.is_dir():
            return named
        return self._find_id(config.id)

    def _find_id(self, run_id: str) -> Path | None:
        return next(iter(sorted(self.folder.glob(f"[!.]*-{run_id}"))), None)

    def load(self, config: Config) -> Run:
        """Read a finished run.

        Raises:
            MissingRuns: it is not stored.
            RunError: a file of it is damaged or missing.
        """
        folder = self.find(config)
        if folder is None:
            raise MissingRuns(f"{config.name} is not stored in {self.folder}")
        run = _read_run(folder)
        if run.config.id != config.id:
            raise damaged(folder / "config.json", f"it is that of run {run.config.id}")
        return run

    def load_id(self, run_id: str) -> Run:
        """Read the finished run with this id, of any kind.

        Raises:
            MissingRuns: it is not stored.
            RunError: a file of it is damaged or missing.
        """
        folder = self._find_id(run_id)
        if folder is None:
            raise MissingRuns(
                f"run {run_id} is not stored in {self.folder}: train it first "
                "(`python -m labutils runs` lists those that are)"
            )
        return _read_run(folder)

    def missing(self, configs: Iterable[AnyConfig], keep: Keep = "none") -> list[AnyConfig]:
        """Those that are not stored yet, or without the weights that `keep` asks for; each once."""
        wanted = {config.id: config for config in configs}
        return [config for config in wanted.values() if not self._has(config, keep)]

    def _has(self, config: Config, keep: Keep) -> bool:
        folder = self.find(config)
        return folder is not None and (keep == "none" or (folder / WEIGHTS).exists())

    def scan(self) -> tuple[list[Run], list[RunError]]:
        """All finished runs by name, and what is wrong with each folder that cannot be read."""
        found, unreadable = [], []
        for folder in sorted(path for path in self.folder.glob("[!.]*-*") if path.is_dir()):
            try:
                found.append(_read_run(folder))
            except RunError as error:
                unreadable.append(error)
        return found, unreadable

    def save(self, config: Config, outcome: Outcome, keep: Keep = "none") -> Run:
        """Write a finished run so that it is either there whole or not at all."""
        part = self.folder / f".{config.name}.part"
        shutil.rmtree(part, ignore_errors=True)  # what a process left that was killed here
        part.mkdir(parents=True)
        weights = {k: v.detach().cpu().contiguous() for k, v in outcome.model.state_dict().items()}
        metrics = outcome.metrics | {"weights_sha256": weights_digest(weights)}
        write_json(part / "config.json", config.to_dict())
        (part / "history.json").write_text(history_json(outcome.history))
        write_json(part / "metrics.json", finite(metrics))
        if keep != "none":
            half = keep == "fp16"
            content = save(
                {k: v.half() if half and v.is_floating_point() else v for k, v in weights.items()}
            )
            # not by safetensors' own writer, whose files only their owner may read
            (part / WEIGHTS).write_bytes(content)
        for path in part.iterdir():
            fsync(path)
        old, retired = self.find(config), self.folder / f".{config.name}.old"
        shutil.rmtree(retired, ignore_errors=True)
        if old is not None:  # trained again, for its weights
            os.rename(old, retired)
        os.rename(part, self.folder / config.name)
        fsync(self.folder)
        shutil.rmtree(retired, ignore_errors=True)
        return self.load(config)


def weights_digest(weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of a state dict: names and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read_run(folder: Path) -> Run:
    values = read_json(folder / "config.json")
    try:
        config = CONFIGS[values["kind"]].from_dict(values)
    except (ConfigError, KeyError, TypeError) as error:
        raise damaged(folder / "config.json", error) from error
    history, metrics = (read_json(folder / f"{name}.json") for name in ("history", "metrics"))
    return Run(config, folder, with_nan(history), with_nan(metrics))


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error
    if not isinstance(value, dict):
        raise damaged(path, "it holds no JSON object")
    return value


def damaged(path: Path, error: Exception | str) -> RunError:
    what = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    what = " ".join(what.split())
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
        return RunError(
            f"{path} cannot be read ({what}): it may be whole. Check that you have the right to "
            "read it and its folder."
        )
    folder = profile("full").runs
    restore = ""
    if path.is_relative_to(folder):  # what the quick profile stores is not in git
        name = path.relative_to(folder.parent).as_posix()
        restore = f"restore it with `git checkout -- {name}` in {folder.parent}, or "
    remedy = "delete the folder and train the run again"
    if path.parent.name == "measures":
        remedy = "delete it and it is measured again"
    return RunError(f"{path} is missing or damaged ({what}): {restore}{remedy}.")
