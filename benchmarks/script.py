"""What every benchmark script does: parse options, and read and write JSON results.

This module and the script modules import nothing heavy, so that `--help` is quick. Each script imports its measuring
code inside `main`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from benchmarks.machine import describe_hardware, describe_versions, hardware_slug

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
P = ParamSpec("P")
T = TypeVar("T")


def make_parser(
    docstring: str | None, *, data: str | None = None, work: str | None = None, resumes: bool = False
) -> argparse.ArgumentParser:
    """A parser with the options that scripts share; the help shows the script's docstring with its examples.

    `data` is what the data folder holds, and `work` the folder under `build/` for indexes and caches, if the script has
    any. A script that `resumes` continues an earlier results file.
    """
    parser = argparse.ArgumentParser(description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter)
    if data:
        parser.add_argument("--data", type=Path, required=True, help=f"folder with {data}")
    if work:
        help_text = "folder for indexes and caches (default: %(default)s)"
        parser.add_argument("--work", type=Path, default=Path("build") / work, help=help_text)
    parser.add_argument("--out", type=Path, help="results file (default: in benchmarks/results, named by the hardware)")
    if resumes:
        parser.add_argument("--fresh", action="store_true", help="measure everything again, even if a result exists")
    return parser


def positive(text: str) -> int:
    """The type of an option: an integer of at least 1."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}, expected at least 1")
    return int(text)


def positives(text: str) -> list[int]:
    """The type of an option: positive integers, separated by commas."""
    return [positive(part) for part in text.split(",")]


def names_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    """The type of an option: names out of `known`, separated by commas, returned in the order of `known`."""

    def names(text: str) -> list[str]:
        if unknown := [name for name in text.split(",") if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; expected: {', '.join(known)}")
        return [name for name in known if name in text.split(",")]

    return names


def results_head(config: Mapping[str, Any], packages: Sequence[str], *, threads: int = 1) -> dict[str, Any]:
    """What a results file says about a run on the CPU: its settings (if any), hardware and package versions."""
    hardware, versions = describe_hardware("cpu", threads), describe_versions(packages)
    return {**({"config": dict(config)} if config else {}), "hardware": hardware, "versions": versions}


def results_path(out: Path | None, name: str, hardware: Mapping[str, Any]) -> Path:
    """The results file: `out` if given, else named by the benchmark and the hardware."""
    return out or RESULTS / f"{name}-{hardware_slug(hardware)}.json"


def read_results(path: Path) -> dict[str, Any]:
    """The content of a results file."""
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Write the file in one step, so that an interrupted run loses nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    scratch.replace(path)


def require_same(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Refuse to add to results that were measured with other settings.

    Raises:
        SystemExit: if a value differs between the file and this run.
    """
    names = sorted({*old, *new})
    if different := [f"{n} {old.get(n)!r}, now {new.get(n)!r}" for n in names if old.get(n) != new.get(n)]:
        raise SystemExit(
            f"{path} was measured with other settings: {'; '.join(different)}. Expected: the same settings in all "
            "rows. Next: choose another file with --out, or --fresh to measure everything again"
        )


def earlier_or(new: dict[str, Any], path: Path, *, fresh: bool) -> dict[str, Any]:
    """The results that a file holds, to be continued; `new` if there is none, or if all is to be measured again.

    Raises:
        SystemExit: if the file was measured with another `config` than that of `new`.
    """
    if fresh or not path.is_file():
        return new
    results = read_results(path)
    require_same(path, results["config"], new["config"])
    return results


def utc_now() -> str:
    """The time as results record it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def take_turns(names: Sequence[T], repeat: int) -> list[T]:
    """The order of the systems in a repeat. Each is first by turns, so that a slower machine slows all of them."""
    first = repeat % max(1, len(names))
    return [*names[first:], *names[:first]]


def in_own_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a new process, which starts with clean memory and an unchanged model."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()
