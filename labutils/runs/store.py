"""Finished runs as they are stored: found by their configuration, written whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from labutils.config import DATA_SETS, Config, ConfigError, FCNConfig, RunConfig
from labutils.config.profiles import Profile
from labutils.config.transfer import DistillConfig, TransferConfig
from labutils.data.files import content_digest
from labutils.data.whole_files import write_file, writing
from labutils.models.networks import build_model
from labutils.runs import files
from labutils.runs.files import CHECKSUMS, WEIGHTS, RunError, damaged, read_json, with_nan
from labutils.training.history import Outcome

Train = Callable[..., Outcome]  # what `load_or_train` is given
Keep = Literal["none", "fp32", "fp16"]
# a run; hidden, one that is written whole but was not moved to its place
FOLDER = re.compile(r"(\.)?[^.].*-([0-9a-f]{8})(?(1)\.part)")
CONFIGS = {kind.kind: kind for kind in (RunConfig, FCNConfig, TransferConfig, DistillConfig)}
OLDER_METRICS = {  # what those of a run without checksums are checked for
    "seconds": float, "val_accuracy": float, "test_accuracy": float,
    "status": str, "epochs": int, "weights_sha256": str,
}  # fmt: skip


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

    def load_into(self, model: nn.Module) -> nn.Module:
        """`model`, built as the run's was, with the stored weights; errors as of `Run.model`."""
        path = self.folder / WEIGHTS
        if not path.exists():
            raise RunError(f"{self.folder} keeps no weights: train it again with --keep fp32")
        content = files.read_checked(path)
        try:
            model.load_state_dict(load(content))  # half precision becomes fp32
        except (SafetensorError, RuntimeError) as error:  # the last: other layers
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

    def _folders(self) -> dict[str, Path]:
        """Folders of the finished runs, by id."""
        try:
            with os.scandir(self.folder) as entries:
                names = sorted(entry.name for entry in entries if entry.is_dir())
        except FileNotFoundError:
            return {}
        except OSError as error:  # what cannot be listed is not empty
            raise damaged(self.folder, error) from error
        found = {}
        for name in names:  # hidden ones first: what is in its place takes theirs
            match = FOLDER.fullmatch(name)
            if match and (not match[1] or (self.folder / name / CHECKSUMS).exists()):
                found[match[2]] = self.folder / name
        return found

    def find(self, config: Config) -> Path | None:
        """Folder of the finished run with this id, whatever its label was when it was stored."""
        named = self.folder / config.name
        return named if os.path.isdir(named) else self._folders().get(config.id)

    def load(self, config: Config) -> Run:
        """Read a finished run.

        Raises:
            MissingRuns: it is not stored.
            RunError: a file of it is damaged or missing.
        """
        return _read_run(self.find(config), f"{config.name} is not stored in {self.folder}")

    def load_id(self, run_id: str) -> Run:
        """Read the finished run with this id, of any kind; errors as of `load`."""
        return _read_run(
            self._folders().get(run_id),
            f"run {run_id} is not stored in {self.folder}: train it first "
            "(`python -m labutils runs` lists those that are)",
        )

    def missing(self, configs: Iterable[Config], keep: Keep = "none") -> list[Config]:
        """Those that are not stored yet, or without the weights that `keep` asks for; each once."""
        found = {}
        for config in configs:
            folder = self.find(config)
            in_place = folder is not None and not folder.name.startswith(".")
            if not in_place or (keep != "none" and not (folder / WEIGHTS).exists()):
                found[config.id] = config
        return list(found.values())

    def scan(self) -> tuple[list[Run], list[RunError]]:
        """All finished runs by name, and what is wrong with each folder that cannot be read."""
        found, unreadable = [], []
        for folder in sorted(self._folders().values()):
            try:
                found.append(_read_run(folder))
            except RunError as error:
                unreadable.append(error)
        return found, unreadable

    def save(self, config: Config, outcome: Outcome, keep: Keep = "none") -> Run:
        """Store a finished run: it is there whole or not at all."""
        self.write(config, outcome, keep)
        self.publish(config)
        return self.load(config)

    def _part(self, config: Config) -> Path:
        return self.folder / f".{config.name}.part"

    def write(self, config: Config, outcome: Outcome, keep: Keep) -> None:
        """Write a run into a hidden folder; one that is whole has checksums.

        Raises:
            Unwritable: nothing of it is left.
        """
        weights = {k: v.detach().cpu().contiguous() for k, v in outcome.model.state_dict().items()}
        metrics = outcome.metrics | {"weights_sha256": weights_digest(weights)}
        contents = {
            "config.json": files.as_json(config.to_dict()),
            **files.history_files(outcome.history),
            "metrics.json": files.as_json(files.finite(metrics)),
        }
        if keep == "fp16":
            weights = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
        if keep != "none":
            contents[WEIGHTS] = save(weights)
        contents[CHECKSUMS] = b"".join(files.checksum(*file) for file in contents.items())
        part = self._part(config)
        shutil.rmtree(part, ignore_errors=True)  # what a process left that was killed here
        try:
            for name, content in contents.items():
                write_file(part / name, content)
        except OSError:
            shutil.rmtree(part, ignore_errors=True)
            raise

    def is_written(self, config: Config, keep: Keep) -> bool:
        """Whether `write` came to its end for this run, but `publish` did not."""
        needed = [CHECKSUMS] if keep == "none" else [CHECKSUMS, WEIGHTS]
        return all((self._part(config) / name).exists() for name in needed)

    def publish(self, config: Config) -> None:
        """Move a run to its place when it is written whole, and what was there before away."""
        part, retired = self._part(config), self.folder / f".{config.name}.old"
        with writing(self.folder):
            old = self.find(config)
            if old != part:  # trained again, for its weights
                files.copy_measures(old, part)
                os.rename(old, retired)
            shutil.rmtree(retired, ignore_errors=True)  # until the last line `part` is read
            os.rename(part, self.folder / config.name)


def weights_digest(weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of a state dict: names and bytes, in the order of the names."""
    return content_digest({name: value.detach().cpu().numpy() for name, value in weights.items()})


def _read_run(folder: Path | None, absent: str = "") -> Run:
    if folder is None:
        raise MissingRuns(absent)
    path = folder / "config.json"
    values = read_json(path)
    try:
        config = CONFIGS[values["kind"]].from_dict(values)
    except (ConfigError, KeyError, TypeError) as error:
        raise damaged(path, error) from error
    if not values.get("id") == config.id == FOLDER.fullmatch(folder.name)[2]:
        raise damaged(path, f"it is that of run {config.id}")
    history = with_nan(files.read_history(folder))
    metrics = with_nan(read_json(folder / "metrics.json"))
    needed = {} if (folder / CHECKSUMS).exists() else OLDER_METRICS
    for name, kind in needed.items():
        if not isinstance(metrics.get(name), kind):
            raise damaged(folder / "metrics.json", f"{name} is no {kind.__name__}")
    return Run(config, folder, history, metrics)
