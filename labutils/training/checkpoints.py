"""Checkpoints: the state of an unfinished training, written whole or not at all."""

import hashlib
import io
import os
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from labutils.config import Config
from labutils.data.whole_files import make_folder, write_file
from labutils.training.inputs import TrainingError


class Checkpoint:
    """The file of one training: of one configuration, network, and data to train and validate on.

    Raises:
        Unwritable: nothing can be written in its folder.
    """

    def __init__(
        self, path: Path | str, config: Config, model: nn.Module, data: Iterable[Tensor]
    ) -> None:
        self.path = Path(path)
        self.owner = {
            "configuration": config.id,
            "network": network_digest(model),
            "data set": data_digest(data),
        }
        make_folder(self.path.parent)

    def save(self, **state: Any) -> None:
        """Write a state; if that is killed or fails (`Unwritable`), the one before stays."""
        content = io.BytesIO()  # of a full disk Python's files tell more than PyTorch's
        torch.save({"owner": self.owner, **state}, content)
        write_file(self.path, content.getbuffer())

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The state that was saved last, None where none was.

        A damaged archive is moved aside with a warning; any other file stays as it is.

        Raises:
            TrainingError: the file is no checkpoint, or that of another training.
        """
        if not self.path.exists():
            return None
        if damage := _damage(self.path):
            aside = self.path.with_name(f"{self.path.name}.unreadable")
            os.replace(self.path, aside)
            message = f"{self.path} is damaged ({damage}) and now called {aside.name}: "
            warnings.warn(message + "training starts from the beginning", stacklevel=6)
            return None
        try:
            state = torch.load(self.path, map_location=device, weights_only=True)
            owner = {what: state["owner"][what] for what in self.owner}
        except Exception as error:  # torch.load raises many kinds, and the file may hold anything
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise TrainingError(
                f"{self.path} is no checkpoint ({reason}) and stays as it is: delete it, or give "
                "another name"
            ) from error
        for what, mine in self.owner.items():
            if owner[what] != mine:
                raise TrainingError(
                    f"the checkpoint {self.path} belongs to another {what} ({owner[what]}, not "
                    f"{mine}): delete it, or give this training a checkpoint of its own"
                )
        return state


def network_digest(model: nn.Module) -> str:
    """Digest of a network's modules and of the kinds of its weights, not of their values."""
    weights = {name: value for name, value in model.state_dict().items() if torch.is_tensor(value)}
    kinds = [(name, tuple(value.shape), value.dtype) for name, value in weights.items()]
    trained = [name for name, value in model.named_parameters() if value.requires_grad]
    return hashlib.blake2b(repr((model, kinds, trained)).encode(), digest_size=8).hexdigest()


def data_digest(data: Iterable[Tensor]) -> str:
    """Digest of the shapes, types and bytes of tensors."""
    digest = hashlib.blake2b(digest_size=8)
    for tensor in data:
        digest.update(repr((tuple(tensor.shape), tensor.dtype)).encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _damage(path: Path) -> str:
    """What is wrong with a file that begins as PyTorch's do, as a zip archive; empty: nothing."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return ""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() or ""  # PyTorch itself does not compare checksums
    except Exception as error:  # a damaged archive may raise anything
        return str(error)
