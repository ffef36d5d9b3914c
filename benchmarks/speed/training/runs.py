"""The runs of the training benchmark: which ones are missing, in which order, and where their results go."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import fields
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import torch

from benchmarks.machine import describe_hardware, describe_versions
from benchmarks.script import in_own_process, take_turns
from benchmarks.speed.training.data import TEXT, DataSettings, make_batches, make_examples
from benchmarks.speed.training.measure import make_system, measure_memory, open_cell, systems_for, time_run
from benchmarks.speed.training.report import MIB, PEFT, Report
from soft_prompt import Backbone, PrefixStore

# Options that select rows or the output. All other options change figures, so the rows of a file share them.
NOT_CONFIG = ("contexts", "data", "systems", "repeats", "no_memory", "out", "fresh")


class Run(NamedTuple):
    """One measurement: the time of run number `repeat` of a system, or its memory if `repeat` is None."""

    data: str
    context: int
    system: str
    repeat: int | None

    @property
    def key(self) -> tuple[str, int, str]:
        """The row that the run belongs to."""
        return self[:3]


class Benchmark:
    """All runs of one command line on one backbone."""

    def __init__(self, backbone: Backbone, options: argparse.Namespace, report: Report) -> None:
        self.backbone, self.options, self.report = backbone, options, report
        self.settings = data_settings(options)

    def run(self) -> None:
        """Do the missing runs."""
        for data, context in product(self.options.data, self.options.contexts):
            if runs := self._missing(data, context):
                for run in self._do(runs):
                    print(self._summary(run), flush=True)

    def _summary(self, run: Run) -> str:
        cell = self.report.cells[run.key]
        if run.repeat is None:
            result = f"memory, {(cell.memory or {})['peak_bytes'] / MIB:,.0f} MiB peak"
        else:
            result = f"run {run.repeat + 1} of {self.options.repeats}, {cell.examples_per_second:.2f} examples/s"
        return f"{run.data}, {run.context:,} tokens, {run.system}: {result}"

    def _missing(self, data: str, context: int) -> list[Run]:
        names = systems_for(data, self.options.systems)
        runs = []
        for repeat in range(self.options.repeats):
            runs += [Run(data, context, name, repeat) for name in take_turns(names, repeat)]
        if not self.options.no_memory:
            runs += [Run(data, context, name, None) for name in names]
        return [run for run in runs if not self._is_done(run)]

    def _is_done(self, run: Run) -> bool:
        cell = self.report.cells.get(run.key)
        if cell is None:
            return False
        return cell.memory is not None if run.repeat is None else len(cell.timings) > run.repeat

    def _do(self, runs: Sequence[Run]) -> Iterator[Run]:
        """Do the runs on one kind of data; the file contains each one when it is yielded."""
        examples = make_examples(self.backbone, self.settings, runs[0].data, runs[0].context)
        batches = make_batches(examples, self.settings)
        memory_bytes = self.options.timed_store_memory_mib * MIB
        new_store = partial(PrefixStore, self.backbone, memory_bytes=memory_bytes)
        length = self.options.prompt
        systems = {run.system: make_system(run.system, self.backbone, examples, length, new_store) for run in runs}
        warm: set[str] = set()
        for run in runs:
            system = systems[run.system]
            if run.repeat is None:
                self.report.cells[run.key].memory = memory_in_own_process(self.options, run)
            else:
                if run.system not in warm:
                    cell = open_cell(system, run.system, self.backbone, run.data, run.context, batches, length)
                    self.report.cells.setdefault(run.key, cell)
                    warm.add(run.system)
                only_steps = self.options.peft_steps if run.system in PEFT else None
                timing = time_run(system, batches, only_steps, self.backbone.device)
                self.report.cells[run.key].timings.append(timing)
            self.report.write()
            yield run


def memory_in_own_process(options: argparse.Namespace, run: Run) -> dict[str, int]:
    """The memory of one system on one kind of data, in a new process: a shared peak would hide the smaller ones."""
    try:
        return in_own_process(_memory, options, run)
    except BrokenProcessPool as error:
        raise SystemExit(
            f"the process that measured the memory of {run.system} at {run.context:,} tokens died. "
            "Next: see above, or use --no-memory; the results so far are saved"
        ) from error


def _memory(options: argparse.Namespace, run: Run) -> dict[str, int]:
    torch.set_num_threads(options.threads)
    backbone, settings = load_backbone(options), data_settings(options)
    examples = make_examples(backbone, settings, run.data, run.context)
    budget = options.store_memory_mib * MIB
    return measure_memory(run.system, backbone, examples, settings, options.prompt, budget)


def data_settings(options: argparse.Namespace) -> DataSettings:
    """The options that the examples depend on."""
    return DataSettings(**{field.name: getattr(options, field.name) for field in fields(DataSettings)})


def load_backbone(options: argparse.Namespace) -> Backbone:
    """The backbone that the options name."""
    return Backbone.load(options.backbone, dtype=getattr(torch, options.dtype), device=options.device)


def report_head(backbone: Backbone, options: argparse.Namespace) -> dict[str, Any]:
    """What the rows of a file share."""
    steps = options.peft_steps
    return {
        "benchmark": "training_speed",
        "config": {name: value for name, value in vars(options).items() if name not in NOT_CONFIG},
        "peft_steps_timed": "all" if steps is None else f"{steps}, scaled by tokens to the whole run",
        "backbone": {"id": backbone.id, "digest": backbone.digest},
        "data_sha256": hashlib.sha256(b"".join(path.read_bytes() for path in TEXT)).hexdigest(),
        "versions": describe_versions(("torch", "transformers", "peft", "softgraft")),
        "hardware": describe_hardware(options.device, options.threads),
    }
