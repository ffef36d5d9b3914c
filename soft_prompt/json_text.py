"""JSON that every reader accepts: undefined and infinite numbers become null, since JSON has no name for them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn


def dump_json(data: Any, *, indent: int | None = None, sort_keys: bool = False, ensure_ascii: bool = True) -> str:
    """JSON of `data`, with null in the place of numbers that are not finite."""
    finite = _finite(data)
    return json.dumps(finite, ensure_ascii=ensure_ascii, indent=indent, sort_keys=sort_keys, allow_nan=False)


def parse_json(text: str | bytes) -> Any:
    """The content of a JSON text. Raises ValueError also for `NaN` and `Infinity`, which Python writes by default."""
    return json.loads(text, parse_constant=_refuse)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {name: _finite(value) for name, value in data.items()}
    return [_finite(value) for value in data] if isinstance(data, (list, tuple)) else data
