"""Features of a trained network: what its layers make of images, pooled and kept on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float16, Int64, Shaped
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from tqdm import tqdm

from labutils import data
from labutils.config.profiles import ROOT
from labutils.data.splits import nested_subset
from labutils.data.whole_files import write_file
from labutils.models.modes import eval_mode
from labutils.runs.store import weights_digest
from labutils.training.checkpoints import data_digest
from labutils.training.execution import Execution, device_of, execution_for, memory_reused

FOLDER = ROOT / "build" / "features"
BATCH = 250
SPLITS = ("train", "val", "test")

Maps = Float16[Tensor, "n _ _ _"]  # channels, side, side: each layer has its own


class FeatureError(ValueError):
    """A network has no such features; the message says which it has."""


@dataclass(frozen=True)
class Features:
    """Pooled feature maps of the images of one split, by layer, in half precision; and labels."""

    maps: dict[str, Maps]
    labels: Int64[Tensor, " n"]

    def matrix(
        self, layers: Sequence[str] | None = None, side: int | None = None
    ) -> Float[np.ndarray, "n features"]:
        """The maps of some layers, or all, side by side, one row an image, in single precision.

        Args:
            side: pooled further to side x side; by default as they are.
        """
        parts = [self.maps[name].float() for name in layers or self.maps]
        if side:
            parts = [F.adaptive_avg_pool2d(maps, side) for maps in parts]
        return torch.cat([maps.flatten(1) for maps in parts], 1).numpy()

    def take(self, per_class: int, draw: int = 0) -> Features:
        """Those of so many images of each class; of one draw, fewer are among more."""
        chosen = nested_subset(self.labels, per_class, draw)
        maps = {name: maps[chosen] for name, maps in self.maps.items()}
        return Features(maps, self.labels[chosen])


@memory_reused()
@torch.no_grad()
def extract(
    model: nn.Module,
    images: Shaped[Tensor, "n channels height width"],
    layers: Sequence[str],
    side: int,
    *,
    execution: Execution | None = None,
    progress: bool = True,
) -> dict[str, Maps]:
    """Outputs of named layers, averaged to side x side each, from one pass in eval mode.

    Args:
        images: as the model takes them; a network of this package takes bytes.
        layers: names in `model.named_modules()`.

    Raises:
        FeatureError: the model has no such layer, or its output is not a map.
    """
    modules = dict(model.named_modules())
    if not layers or not set(layers) <= set(modules):
        raise FeatureError(
            f"layers are {list(layers)}: choose of {', '.join(filter(None, modules))}"
        )
    execution = execution or execution_for(model, device=device_of(model))
    # written into one tensor a layer: many small ones between large ones fragment the memory
    pooled: dict[str, Tensor] = {}
    start = 0

    def keep(name: str, module: nn.Module, args: tuple, output: Tensor) -> None:
        if not isinstance(output, Tensor) or output.ndim != 4:
            raise FeatureError(f"the output of layer {name!r} is no map: choose another")
        if name not in pooled:
            shape = len(images), output.shape[1], side, side
            pooled[name] = torch.empty(shape, dtype=torch.float16)
        maps = F.adaptive_avg_pool2d(output.float(), side)
        pooled[name][start : start + len(maps)] = maps

    with ExitStack() as hooked, eval_mode(model), execution.autocast():
        for name in layers:
            hooked.enter_context(modules[name].register_forward_hook(partial(keep, name)))
        for batch in tqdm(images.split(BATCH), "features", disable=not progress, unit="batch"):
            model(execution.place(batch))
            start += len(batch)
    return {name: pooled[name] for name in layers}


def cached_features(
    model: nn.Module,
    images: data.DataSet,
    layers: Sequence[str],
    side: int,
    file: Path,
    *,
    precision: str = "fp32",
) -> dict[str, Features]:
    """Features of `train`, `val` and `test`, from a file where they are of this model and data.

    The file says which weights, images, layers and precision it is of, and its own digest. A file
    of others, or one that is damaged, is written anew.
    """
    execution = execution_for(model, precision)
    model.to(execution.device)
    splits = {name: getattr(images, name) for name in SPLITS}
    key = {
        "weights": weights_digest(model.state_dict()),
        "images": data_digest(split.images for split in splits.values()),
        "layers": json.dumps([*layers, side]),
        "arithmetic": execution.arithmetic,
    }
    tensors = _read(file, key)
    if tensors is None:
        tensors = {
            f"{part}/{name}": maps
            for part, split in splits.items()
            for name, maps in extract(
                model, split.images, layers, side, execution=execution
            ).items()
        }
        write_file(file, save(tensors, {**key, "content": weights_digest(tensors)}))
    return {
        part: Features({name: tensors[f"{part}/{name}"] for name in layers}, split.labels)
        for part, split in splits.items()
    }


def _read(file: Path, key: Mapping[str, str]) -> dict[str, Tensor] | None:
    """The tensors of a file, if it is whole and its key is this."""
    try:
        with safe_open(file, "pt") as opened:
            stated = opened.metadata() or {}
            if {name: stated.get(name) for name in key} != key:
                return None
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}
    except (OSError, SafetensorError):
        return None
    whole = stated.get("content") == weights_digest(tensors)
    return tensors if whole else None
