"""Files of results: JSON that is small and finite, checked when it is read."""

import gzip
import hashlib
import json
import math
import shutil
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labutils.config.profiles import profile
from labutils.data.whole_files import refusal

HISTORY, LAYERS, WEIGHTS = "history.json", "layers.json.gz", "weights.safetensors"
CHECKSUMS = "SHA256SUMS"  # of the other files of a run: `sha256sum --check --ignore-missing`

LAYER_DIGITS, DIGITS = 3, 6  # significant digits kept of layer statistics, and of all else


def as_json(value: Any) -> bytes:
    """One value a line; what is not finite is an error."""
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value, however its keys are ordered and its lines are broken."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def history_files(history: dict[str, Any]) -> dict[str, bytes]:
    """One line a quantity; layer statistics, most of it, compressed in a file of their own."""
    layers = {}
    if "layers" in history:
        compact = _compact(history["layers"], LAYER_DIGITS).encode()
        layers[LAYERS] = gzip.compress(compact, mtime=0)  # equal for equal statistics
        history = history | {"layers": LAYERS}
    lines = [f' "{name}": {_compact(value, DIGITS)}' for name, value in history.items()]
    return {HISTORY: ("{\n" + ",\n".join(lines) + "\n}\n").encode(), **layers}


def read_history(folder: Path) -> dict[str, Any]:
    """What `history_files` wrote, or an older version, with the layers in the same file."""
    history = read_json(folder / HISTORY)
    if history.get("layers") == LAYERS:
        history["layers"] = read_json(folder / LAYERS)
    return history


def _compact(value: Any, digits: int) -> str:
    return json.dumps(finite(value, digits), separators=(",", ":"), allow_nan=False)


def finite(value: Any, digits: int | None = None) -> Any:
    """The value with None for what is not finite, and floats rounded to significant digits."""
    if isinstance(value, Mapping):
        return {key: finite(item, digits) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item, digits) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return float(f"{value:.{digits}g}") if digits else value
    return value


def with_nan(value: Any) -> Any:
    """The value with nan for None, as arithmetic and plots expect it."""
    if isinstance(value, dict):
        return {key: with_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_nan(item) for item in value]
    return math.nan if value is None else value


class RunError(RuntimeError):
    """A stored run that is missing or damaged; the message names the file and what to do."""


def checksum(name: str, content: bytes) -> bytes:
    """A line as the program sha256sum writes it."""
    return f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode()


def read_checked(path: Path) -> bytes:
    """The content of a file of a run; of an older run without checksums only weights are refused.

    Raises:
        RunError: it cannot be read, or is not what was stored.
    """
    try:
        content, sums = path.read_bytes(), path.with_name(CHECKSUMS)
        stated = sums.read_bytes() if sums.exists() else None
    except OSError as error:
        raise damaged(path, error) from error
    if stated is None:
        if path.name == WEIGHTS:
            raise damaged(path, f"{CHECKSUMS}, which it is checked against, is missing")
        return content
    if checksum(path.name, content) not in stated:
        raise damaged(path, f"it is not what {CHECKSUMS} says")
    return content


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file of a run; errors are those of `read_checked`."""
    try:
        content = read_checked(path)
        value = json.loads(zlib.decompress(content, 31) if path.suffix == ".gz" else content)
    except (ValueError, RecursionError, zlib.error) as error:
        raise damaged(path, error) from error
    if not isinstance(value, dict):
        raise damaged(path, "it holds no JSON object")
    return value


def copy_measures(old: Path, new: Path) -> None:
    """A run that was trained again keeps the measures of the same weights."""
    digest, lost = read_json(new / "metrics.json")["weights_sha256"].encode(), 0
    for path in old.glob("measures/*.json"):
        if digest in path.read_bytes():
            (new / "measures").mkdir(exist_ok=True)
            shutil.copy(path, new / "measures")
        else:
            lost += 1
    if lost:
        warnings.warn(
            f"{old.name} was trained again and has other weights: the {lost} measures of the old "
            "ones are removed, and are made again when they are asked for",
            stacklevel=2,
        )


def damaged(path: Path, error: Exception | str) -> RunError:
    """What is to be raised of a file that is damaged, missing, or may not be read."""
    measure, runs = path.parent.name == "measures", profile("full").runs
    remedy = "delete the folder and train the run again"
    if measure:
        remedy = "delete it and it is measured again"
    if path.is_relative_to(runs):  # what the quick profile stores is not in git
        name = (path if measure else path.parent).relative_to(runs.parent).as_posix()
        remedy = f"restore it with `git checkout -- {name}` in {runs.parent}, or {remedy}"
    return RunError(refusal(path, error, remedy))
