"""Training speed and memory of Softgraft against PEFT's methods on the same frozen backbone.

    python -m benchmarks.speed.training_speed --contexts 1000 --peft-steps 3 --threads 2

All systems train on the same token ids, batches, dtype and threads, with AdamW and clipping. A run is some epochs over
a fixed number of examples; Softgraft's time includes filling its prefix store. Memory is taken in a process of its own
for each system, since one peak would hide the others.

Results are written as they come. Started again with the same settings and file, the script measures what is missing,
so a long benchmark can be split: `--contexts 200`, then `--contexts 1000 --systems softgraft-kv,peft-prompt-tuning`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.machine import describe_hardware, describe_versions, hardware_slug
from benchmarks.speed.peft_systems import PEFT
from benchmarks.speed.random_backbones import SHAPES, random_backbone
from benchmarks.speed.training_data import DATA, TEXT, DataSettings, Task, make_batches, make_tasks
from benchmarks.speed.training_measure import (
    PROCESS_SECONDS,
    SYSTEMS,
    expected_seconds,
    make_system,
    measure_memory,
    open_cell,
    seconds_per_token,
    systems_for,
    time_run,
)
from benchmarks.speed.training_report import MIB, Report, make_tables
from benchmarks.speed.training_systems import StoreSettings
from soft_prompt import Backbone

RESULTS = Path(__file__).resolve().parents[1] / "results"
# These choose rows or where they go; everything else changes figures, so rows of one file share it.
CHOICES = ("contexts", "data", "systems", "repeats", "no_memory", "memory_of", "out", "fresh", "json")


@dataclass(frozen=True)
class Job:
    """Something to measure: run number `repeat` of a system by the clock, or its memory where `repeat` is None."""

    data: str
    context: int
    system: str
    repeat: int | None
    seconds: float


class Benchmark:
    """All jobs of one command line on one backbone."""

    def __init__(self, backbone: Backbone, options: argparse.Namespace, report: Report, console: Console) -> None:
        self.backbone, self.options, self.report, self.console = backbone, options, report, console
        self.settings = data_settings(options)

    def run(self, memory: Callable[[Job], dict[str, int]]) -> None:
        """Do what is missing. `memory` measures a job's memory in a process of its own."""
        token = seconds_per_token(self.backbone)
        groups = [(data, context) for data in self.options.data for context in self.options.contexts]
        jobs = [job for data, context in groups for job in self._missing(data, context, token)]
        ahead = sum(job.seconds for job in jobs)
        self.console.print(f"{len(jobs)} runs to do, about {_duration(ahead)}")
        began, done = time.monotonic(), 0.0
        for data, context in groups:
            for job in self._measured([j for j in jobs if (j.data, j.context) == (data, context)], memory):
                done += job.seconds
                left = (time.monotonic() - began) / done * (ahead - done)
                self.console.print(f"{self._found(job)}; about {_duration(left)} left", highlight=False, soft_wrap=True)

    def _found(self, job: Job) -> str:
        cell = self.report.cells[job.data, job.context, job.system]
        if job.repeat is None:
            found = f"memory, {(cell.memory or {})['peak_bytes'] / MIB:,.0f} MiB at its peak"
        else:
            found = f"run {job.repeat + 1} of {self.options.repeats}, {cell.examples_per_second:.2f} examples/s"
        return f"{job.data}, {job.context:,} tokens, {job.system}: {found}"

    def _missing(self, data: str, context: int, token: float) -> list[Job]:
        tasks = make_tasks(self.backbone, self.settings, data, context)
        batches = make_batches(tasks, self.settings)
        names = systems_for(data, self.options.systems)
        expected = {name: expected_seconds(name, batches, self._only_steps(name), token) for name in names}
        jobs = []
        for repeat in range(self.options.repeats):
            # Systems take turns, so that a machine that slows down slows all of them.
            first = repeat % max(1, len(names))
            jobs += [Job(data, context, n, repeat, expected[n]) for n in names[first:] + names[:first]]
        if not self.options.no_memory:
            one_epoch = {name: PROCESS_SECONDS + expected[name] / self.settings.epochs for name in names}
            jobs += [Job(data, context, name, None, one_epoch[name]) for name in names]
        return [job for job in jobs if not self._done(job)]

    def _done(self, job: Job) -> bool:
        cell = self.report.cells.get((job.data, job.context, job.system))
        if cell is None:
            return False
        return cell.memory is not None if job.repeat is None else len(cell.timings) > job.repeat

    def _measured(self, jobs: Sequence[Job], memory: Callable[[Job], dict[str, int]]) -> Iterator[Job]:
        """Do the jobs of one kind of data; each is in the report and on disk when it is yielded."""
        if not jobs:
            return
        tasks = make_tasks(self.backbone, self.settings, jobs[0].data, jobs[0].context)
        batches = make_batches(tasks, self.settings)
        store = StoreSettings(self.options.timed_store_memory_mib * MIB)
        length = self.options.prompt
        systems = {j.system: make_system(j.system, self.backbone, tasks, length, store) for j in jobs}
        warm: set[str] = set()
        for job in jobs:
            key, system = (job.data, job.context, job.system), systems[job.system]
            if job.repeat is None:
                self.report.cells[key].memory = memory(job)
            else:
                if job.system not in warm:
                    cell = open_cell(system, job.system, self.backbone, job.data, job.context, batches, length)
                    self.report.cells.setdefault(key, cell)
                    warm.add(job.system)
                timing = time_run(system, batches, self._only_steps(job.system), self.backbone.device)
                self.report.cells[key].timings.append(timing)
            self.report.write()
            yield job

    def _only_steps(self, name: str) -> int | None:
        steps: int | None = self.options.peft_steps
        return steps if name in PEFT else None


def memory_in_own_process(options: argparse.Namespace, job: Job) -> dict[str, int]:
    """Run this script for the memory of one system on one kind of data."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.speed.training_speed",
        "--memory-of",
        job.system,
        "--data",
        job.data,
        "--contexts",
        str(job.context),
    ]
    for name, value in vars(options).items():
        if name not in CHOICES and value is not None:
            command += [f"--{name.replace('_', '-')}", str(value)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if finished.returncode:
        raise SystemExit(
            f"measuring the memory of {job.system} at {job.context:,} tokens ended with status {finished.returncode}. "
            "Next: see above, or leave it out with --no-memory; what was measured so far is kept"
        )
    return dict(json.loads(finished.stdout.splitlines()[-1]))


def data_settings(options: argparse.Namespace) -> DataSettings:
    """The part of the command line that the examples depend on."""
    return DataSettings(**{field.name: getattr(options, field.name) for field in fields(DataSettings)})


def load_backbone(options: argparse.Namespace) -> Backbone:
    """The backbone that is asked for."""
    dtype = getattr(torch, options.dtype)
    if options.shape:
        return random_backbone(options.shape, dtype=dtype, device=options.device, seed=options.seed)
    return Backbone.load(options.backbone, dtype=dtype, device=options.device)


def report_head(backbone: Backbone, options: argparse.Namespace) -> dict[str, Any]:
    """What the rows of a file have in common."""
    steps = options.peft_steps
    return {
        "benchmark": "training_speed",
        "config": {name: value for name, value in vars(options).items() if name not in CHOICES},
        "peft_steps_timed": "all" if steps is None else f"{steps}, scaled by tokens to the whole run",
        "backbone": {"id": backbone.id, "digest": backbone.digest},
        "data_sha256": hashlib.sha256(b"".join(path.read_bytes() for path in TEXT)).hexdigest(),
        "versions": describe_versions(("torch", "transformers", "peft", "softgraft")),
        "hardware": describe_hardware(options.device, options.threads),
    }


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Training speed and memory against PEFT's methods.")
    add, data = parser.add_argument, asdict(DataSettings())
    add("--contexts", type=_numbers, default=[200, 1000, 2000], help="mean tokens of a context")
    add("--data", type=_names(DATA), default=list(DATA), help=f"kinds of data: {', '.join(DATA)}")
    add(
        "--systems",
        type=_names(SYSTEMS),
        default=list(SYSTEMS),
        help=f"rows to measure (default: all): {', '.join(SYSTEMS)}",
    )
    add("--examples", type=_count, default=data["examples"], help="examples an epoch")
    add("--epochs", type=_count, default=data["epochs"])
    add("--batch", type=_count, default=data["batch"])
    add("--prompt", type=_count, default=20, help="virtual tokens")
    add("--question", type=_count, default=data["question"], help="tokens of a question")
    add("--answer", type=_count, default=data["answer"], help="tokens of an answer, the end token counted")
    add("--spread", type=float, default=data["spread"], help="share by which contexts differ from the mean in length")
    add("--questions-per-context", type=_count, default=data["questions_per_context"], help="for the data `recurring`")
    add("--passage-uses", type=_count, default=data["passage_uses"], help="of a passage in a run at least")
    add("--repeats", type=_count, default=3, help="runs of each system; the median is reported")
    add("--peft-steps", type=_count, help="time so many steps of PEFT and scale to the whole run (default: all)")
    add("--store-memory-mib", type=int, default=64, help="of Softgraft's store, where memory is measured")
    add("--timed-store-memory-mib", type=int, default=1024, help="the same, where speed is measured")
    add("--backbone", default="embedded")
    add("--shape", choices=sorted(SHAPES), help="a backbone of random weights in this shape instead")
    add("--device", default="cpu")
    add("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    add("--threads", type=_count, default=os.cpu_count())
    add("--seed", type=int, default=data["seed"])
    add("--no-memory", action="store_true", help="leave the memory runs out")
    add("--memory-of", choices=SYSTEMS, help="measure the memory of one system in this process, and print JSON")
    add("--out", type=Path, help="the file of results (default: benchmarks/results, named after the hardware)")
    add("--fresh", action="store_true", help="measure all again, even what the file of results holds")
    add("--json", action="store_true", help="print the report as JSON on stdout, and all else on stderr")
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}, expected at least 1")
    return int(text)


def _numbers(text: str) -> list[int]:
    return [_count(part) for part in text.split(",")]


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        if unknown := [name for name in text.split(",") if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; expected: {', '.join(known)}")
        return [name for name in known if name in text.split(",")]

    return names


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"


def main() -> None:
    """Measure, print and write."""
    options = parse()
    torch.set_num_threads(options.threads)
    backbone = load_backbone(options)
    settings = data_settings(options)
    if options.memory_of:
        tasks: list[Task] = make_tasks(backbone, settings, options.data[0], options.contexts[0])
        budget = options.store_memory_mib * MIB
        print(json.dumps(measure_memory(options.memory_of, backbone, tasks, settings, options.prompt, budget)))
        return
    head = report_head(backbone, options)
    slug = hardware_slug(head["hardware"]) + (f"-{options.shape}" if options.shape else "")
    report = Report(options.out or RESULTS / f"training_speed-{slug}.json", head, fresh=options.fresh)
    console = Console(stderr=options.json)
    Benchmark(backbone, options, report, console).run(lambda job: memory_in_own_process(options, job))
    content = report.content()
    console.print(f"batch {options.batch}, {options.prompt} virtual tokens, {options.epochs} epochs")
    for table in make_tables(report.rows()):
        console.print(table)
    console.print(f"written to {report.path}")
    if options.json:
        print(json.dumps(content, indent=1, allow_nan=False))


if __name__ == "__main__":
    main()
