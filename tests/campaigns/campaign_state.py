"""What a workplace holds, as its own commands tell it, and what must be the same before and after."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from campaign_process import Done, in_turn
from campaign_workplace import HOUSE, QUESTION

CURVE = "label_curve.json"
# What differs from run to run without meaning anything.
_OF_THE_RUN = {
    "at", "updated", "seconds", "latency", "folder", "created", "score", "dense", "bm25", "sentence", "around",
    "unfinished_training", "nothing_kept", "next", "better", "evidence_score", "finished",
}  # fmt: skip
_READS: dict[str, tuple[str, ...]] = {
    "status": ("status", "house", "--json"),
    "first": ("threads", "show", "house", "first", "--json"),
    "answer": ("ask", "house", QUESTION, "--json"),
    # A quote needs no soft prompt, so this alone reads its vectors.
    "loaded": ("export", "house", "--format", "peft", "--out", "../loaded", "--json"),
}
# What only some commands change.
_MORE: dict[str, dict[str, tuple[str, ...]]] = {
    "ask": {
        "threads": ("threads", "list", "house", "--json"),
        "second": ("threads", "show", "house", "second", "--json"),
    },
    "delete": {"threads": ("threads", "list", "house", "--json")},
    "questions": {"drafts": ("questions", "house", "--json")},
    "source": {"sources": ("sources", "--json")},
    "new": {"shop": ("status", "domains/shop", "--json")},
}
# A conversation or domain that is not there yet, or not any more.
_MAY_FAIL = {"first", "second", "shop"}


@dataclass
class State:
    """What the commands read, and what is wrong with it."""

    parts: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_state(workplace: Path, command: str) -> State:
    """Read with the product's own commands what a command may change, and what it must not."""
    state, reads = State(), {**_READS, **_MORE.get(command, {})}
    loaded = workplace.parent / "loaded"
    shutil.rmtree(loaded, ignore_errors=True)
    results = in_turn(workplace, list(reads.values()))
    for name, done in zip(reads, results, strict=False):
        state.problems += [f"{name}: {problem}" for problem in problems_of(done)]
        if done.code != 0 and name not in _MAY_FAIL:
            state.problems.append(f"{name} fails: {done.err[-300:]}")
        parsed = _parsed(done.out)
        state.parts[name] = _meaning(parsed) if done.code == 0 else "none"
    if len(results) != len(reads):
        state.problems.append(f"{list(reads)[len(results) - 1]} {results[-1].ended}: {results[-1].err[-500:]}")
    house = workplace.joinpath(*HOUSE)
    manifest = house / "build" / "soft_prompt" / "manifest.json"
    state.parts["soft prompt"] = (
        _parsed(manifest.read_text("utf-8"))["vectors_sha256"] if manifest.is_file() else "none"
    )
    for name, file in (("transfer", workplace / "grafts" / "transfer.json"), ("curve", house / "build" / CURVE)):
        state.parts[name] = _meaning(_parsed(file.read_text("utf-8"))) if file.is_file() else "none"
    state.parts["vectors"] = digest_of(loaded)
    state.parts["exported"] = digest_of(workplace / "exported")
    return state


def problems_of(done: Done) -> list[str]:
    """What no command may print."""
    found = []
    if done.traceback:
        found.append(f"a traceback: {done.err[-800:]}")
    if done.ended == "timed out":
        found.append("it does not end")
    # `doctor` ends with 1 if it found something, and says what.
    told = ("next" in done.err, "Usage" in done.err, '"error"' in done.out, '"findings"' in done.out)
    if done.code not in (0, None) and not any(told):
        found.append(f"exit code {done.code} without a next step: {done.err[-300:]}")
    if any(bare in done.out for bare in (": NaN", ": Infinity", ": -Infinity")):
        found.append("a number that JSON does not know")
    return found


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _meaning(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _meaning(one) for name, one in value.items() if name not in _OF_THE_RUN}
    return [_meaning(one) for one in value] if isinstance(value, list) else value


def digest_of(folder: Path) -> str:
    """A digest of the files that hold weights; `none` without any."""
    files = sorted(file for file in folder.rglob("*.safetensors") if file.is_file()) if folder.is_dir() else []
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16] if files else "none"


def leftovers(workplace: Path, expected: set[str]) -> list[str]:
    """Scratch files and folders that a command left behind; those of the cache are removed after ten minutes."""
    more = [name for name in names(workplace) - expected if "/passages/" not in name]
    return sorted(name for name in more if ".tmp" in name or "/." in f"/{name}" or "-wal" in name)


def names(workplace: Path) -> set[str]:
    """All files, as paths in the workplace."""
    return {file.relative_to(workplace).as_posix() for file in workplace.rglob("*") if file.is_file()}
