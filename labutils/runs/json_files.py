"""Results as JSON: small, readable in a diff, and nothing in them that is not finite."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

LAYER_DIGITS, DIGITS = 3, 6  # significant digits kept of layer statistics, and of all else


def as_json(value: Any) -> bytes:
    """One value a line; what is not finite is an error."""
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value, however its keys are ordered and its lines are broken."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def history_json(history: dict[str, Any]) -> str:
    """One line a quantity, and for layers one line an epoch: small, and readable in a diff."""
    lines = []
    for name, value in history.items():
        if name == "layers":
            rows = [
                f'  "{quantity}": [\n   '
                + ",\n   ".join(_compact(epoch, LAYER_DIGITS) for epoch in epochs)
                + "]"
                for quantity, epochs in value.items()
            ]
            lines.append(' "layers": {\n' + ",\n".join(rows) + "}")
        else:
            lines.append(f' "{name}": {_compact(value, DIGITS)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


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
