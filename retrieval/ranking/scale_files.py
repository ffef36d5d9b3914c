"""Evidence scales on disk: the one fitted to a domain, and the default ones that ship with the package.

The default scales are fitted on several domains (`python -m benchmarks.search.refusal`), one for each embedded encoder.
With any other encoder, or where words alone are searched, the default scale reads the features of words alone.
"""

from __future__ import annotations

import json
import math
import os
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from retrieval.errors import RetrievalError
from retrieval.ranking.evidence_features import FEATURES
from retrieval.ranking.evidence_score import EvidenceScale, LogisticModel
from retrieval.store.checked_file import read_checked, with_checksum

DEFAULT_SCALES = "default_scales.json"
FORMAT: Literal[2] = 2
_FIRST = ("best_cosine", "mean_cosine", "best_sentence", "best_coverage", "log_bm25", "lead")
_RENAMED = {"best_coverage": "coverage"}
_FIGURES = ("questions", "wrong_refusals", "right_refusals", "answered_share", "brier", "calibration_error")
# Weights of a fit stay below 1,000. A larger one would decide alone, or overflow.
_MAX_WEIGHT = 1e6


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class DefaultScales:
    """What `default_scales.json` holds.

    Attributes:
        made_by: the command that writes the file.
        encoders: beginning of an encoder's id -> the scale for its vectors.
        words: the scale for words alone.
    """

    made_by: str
    encoders: dict[str, EvidenceScale]
    words: EvidenceScale


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class _ScaleFile:
    format: Literal[2]
    scale: EvidenceScale


_FILE, _DEFAULTS = TypeAdapter(_ScaleFile), TypeAdapter(DefaultScales)


def default_scale(encoder_id: str, *, vectors: bool = True) -> EvidenceScale:
    """The default scale for the vectors of an encoder; `vectors` is False where words alone are searched."""
    scales = _default_scales()
    if vectors:
        for beginning, scale in scales.encoders.items():
            if encoder_id.startswith(beginning):
                return scale
    return scales.words


@cache
def _default_scales() -> DefaultScales:
    with as_file(files("retrieval.ranking").joinpath(DEFAULT_SCALES)) as path:
        return read_default_scales(path)


def read_default_scales(path: Path) -> DefaultScales:
    """The default scales of a file. Raises ValueError if it is not valid."""
    return _DEFAULTS.validate_json(path.read_bytes())


def save_default_scales(scales: DefaultScales, path: Path) -> None:
    """Write the default scales, atomically."""
    _write(path, _DEFAULTS.dump_json(scales, indent=1) + b"\n")


def save_scale(scale: EvidenceScale, path: Path) -> None:
    """Write a domain's scale as JSON with a checksum, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, with_checksum(_FILE.dump_json(_ScaleFile(FORMAT, scale), indent=1)))


def load_scale(path: Path) -> EvidenceScale | None:
    """The saved scale; None if there is none. Files of the first release are read as well.

    Raises RetrievalError if the file cannot be read or is damaged.
    """
    if not path.is_file():
        return None
    try:
        data = read_checked(path)
        raw = json.loads(data)
        is_first_format = isinstance(raw, dict) and "format" not in raw and tuple(raw.get("features", ())) == _FIRST
        scale = _first_scale(raw) if is_first_format else _FILE.validate_json(data).scale
        _check(scale)
    except (ValueError, TypeError, KeyError, OSError, RecursionError) as error:
        problem = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise RetrievalError(
            found=f"{path} is not a valid evidence scale: {problem}",
            expected="the file that `softgraft ingest` wrote",
            next_step=f"delete {path} and run: softgraft ingest DOMAIN",
        ) from error
    return scale


def _first_scale(raw: dict[str, Any]) -> EvidenceScale:
    """A scale as the first release wrote it, one of whose features had another name."""
    names = tuple(_RENAMED.get(name, name) for name in _FIRST)
    model = LogisticModel(names, tuple(map(float, raw["weights"])), float(raw["bias"]), float(raw["threshold"]))
    figures = {name: raw[name] for name in _FIGURES}
    return EvidenceScale(model, **figures)


def _check(scale: EvidenceScale) -> None:
    for model in (scale.model, *([scale.follow_up] if scale.follow_up else [])):
        if unknown := sorted({*model.features} - {*FEATURES}):
            raise ValueError(f"unknown features: {', '.join(unknown)}")
        if len(model.features) != len(model.weights):
            raise ValueError(f"{len(model.weights)} weights for {len(model.features)} features")
        if wrong := [weight for weight in (*model.weights, model.bias) if not abs(weight) <= _MAX_WEIGHT]:
            raise ValueError(f"the weight {wrong[0]}")
        if not 0 <= model.threshold <= 1:
            raise ValueError(f"the threshold {model.threshold}")
    for name in _FIGURES:
        figure = getattr(scale, name)
        if figure is not None and not 0 <= figure <= (math.inf if name == "questions" else 1):
            raise ValueError(f"{name}: {figure}")


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
