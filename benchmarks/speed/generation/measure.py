"""Measures generation: memory bandwidth, and the time of each system."""

from __future__ import annotations

import argparse
import os
import statistics
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import torch

from benchmarks.machine import clock, describe_hardware, describe_versions
from benchmarks.script import results_path, take_turns, utc_now, write_results
from benchmarks.speed.generation.report import BLOCK_INT8, PEFT, Cell
from benchmarks.speed.generation.systems import make_system
from benchmarks.speed.training.data import DataSettings, make_examples
from benchmarks.speed.training.systems import bytes_per_token
from soft_prompt import Backbone
from soft_prompt.model.linear import MAX_INT8_ROWS


def run(options: argparse.Namespace) -> list[Cell]:
    """Measure all rows. The results file is written after each one, so that an interrupted run keeps its results."""
    torch.set_num_threads(options.threads)
    backbone = Backbone.load(options.backbone, dtype=getattr(torch, options.dtype), device=options.device)
    read_speed = bandwidth(backbone.device)
    hardware = describe_hardware(options.device, options.threads)
    out = results_path(options.out, "generation_speed", hardware)
    report: dict[str, Any] = {
        "benchmark": "generation_speed",
        "started": utc_now(),
        "config": {name: value for name, value in vars(options).items() if name != "out"},
        "backbone": {"id": backbone.id, "digest": backbone.digest},
        "versions": describe_versions(("torch", "transformers", "peft", "softgraft")),
        "hardware": {**hardware, "read_bytes_per_second": round(read_speed)},
    }
    cells: list[Cell] = []
    for context in options.contexts:
        for batch in options.batches:
            print(f"{context:,} tokens, batch {batch} ...", flush=True)
            cells += measure(backbone, options, context, batch, read_speed)
            write_results(out, {**report, "finished": utc_now(), "rows": [asdict(cell) for cell in cells]})
    print(f"written to {out}")
    return cells


def bandwidth(device: torch.device) -> float:
    """Memory bandwidth in bytes per second: the best of several sums over a large tensor."""
    large = torch.ones(2**28 if device.type == "cuda" else 2**26, device=device)
    times = []
    for _ in range(8):
        start = clock(device)
        large.sum()
        times.append(clock(device) - start)
    return large.nbytes / min(times[1:])


def bytes_read(backbone: Backbone, system: str, context: int, batch: int) -> int:
    """Bytes of weights and cache that decoding reads per token of all rows."""
    head = backbone.model.get_output_embeddings()
    layers = [m for m in backbone.model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    weights: int = sum(layer.weight.numel() for layer in [*layers, head])
    rounded = backbone.device.type == "cpu" and backbone.dtype == torch.bfloat16 and batch <= MAX_INT8_ROWS
    width = 1 if rounded and system == BLOCK_INT8 else torch.finfo(backbone.dtype).bits // 8
    return weights * width + context * batch * bytes_per_token(backbone)


def measure(backbone: Backbone, options: argparse.Namespace, context: int, batch: int, read_speed: float) -> list[Cell]:
    """Measure all systems at one length and batch size; they take turns."""
    settings = DataSettings(seed=options.seed, examples=batch, epochs=1, spread=0.0, passage_uses=1)
    examples = make_examples(backbone, settings, "passages", context)
    systems = {name: make_system(name, backbone, examples, options.prompt) for name in options.systems}
    cells = {name: Cell(context, batch, name) for name in systems}
    for system in systems.values():
        system.run(2)  # warm-up
    for repeat in range(options.repeats):
        for name in take_turns(list(systems), repeat):
            times = systems[name].run(options.tokens)
            cells[name].first.append(times[0])
            # The median over a run leaves out tokens that waited for a core of a shared machine.
            cells[name].each.append(statistics.median(b - a for a, b in pairwise(times)))
            cells[name].load.append(os.getloadavg()[0])
    for system in systems.values():
        system.close()
    length = sum(len(e.context) + len(e.question) for e in examples) // batch + options.prompt
    for name, cell in cells.items():
        cell.first_seconds = statistics.median(cell.first)
        token_seconds = statistics.median(cell.each)
        cell.tokens_per_second = batch / token_seconds
        cell.limit = bytes_read(backbone, name, length + options.tokens // 2, batch) / read_speed / token_seconds
    if PEFT in cells:
        for cell in cells.values():
            cell.first_ratio = cells[PEFT].first_seconds / cell.first_seconds
            cell.decode_ratio = cell.tokens_per_second / cells[PEFT].tokens_per_second
    return list(cells.values())
