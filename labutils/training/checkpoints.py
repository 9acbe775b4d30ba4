"""Checkpoints: the state of an unfinished training, written whole or not at all."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from labutils.config.base import Config
from labutils.training.evaluation import TrainingError

REMEDY = "delete it, or give this run a checkpoint file of its own"


class Stateful(Protocol):
    """An optimiser, or what behaves like one."""

    def state_dict(self) -> dict: ...
    def load_state_dict(self, state: dict) -> None: ...


def save_checkpoint(
    path: Path,
    config: Config,
    model: nn.Module,
    optimizer: Stateful,
    history: Mapping[str, Any],
    **more: Any,
) -> None:
    """Write the state of a training; a process killed meanwhile leaves the file before as it was.

    Args:
        more: what else the training needs to go on.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".part{os.getpid()}")
    state = {
        "config": config.to_dict(),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": dict(history),
        **more,
    }
    with part.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def restore_checkpoint(
    path: Path,
    config: Config,
    model: nn.Module,
    optimizer: Stateful,
    history_type: type,
    device: torch.device,
) -> dict[str, Any] | None:
    """Load the state of a training into model and optimiser, where there is one to be read.

    A file that cannot be read is named in a warning: the training then starts from the beginning.

    Returns:
        What was saved, `history` as an instance of `history_type`; None where nothing was.

    Raises:
        TrainingError: the checkpoint belongs to another configuration or network.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location=device)
        owner, state["history"] = state["config"]["id"], history_type(**state["history"])
    except Exception as error:  # torch.load raises many kinds for a damaged file
        warnings.warn(
            f"{path} cannot be read ({error}): training starts from the beginning", stacklevel=5
        )
        return None
    if owner != config.id:
        raise TrainingError(
            f"{path} belongs to another configuration ({owner}, not {config.id}): {REMEDY}"
        )
    try:
        model.load_state_dict(state["model"])
    except RuntimeError as error:  # a FitConfig does not say which network it trains
        raise TrainingError(f"{path} belongs to another network: {REMEDY} ({error})") from error
    optimizer.load_state_dict(state["optimizer"])
    return state
