"""Measuring: one run of a system by the clock, its memory in a process of its own, and how long that will take."""

from __future__ import annotations

import gc
import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.machine import MemorySampler, clock, peak_resident_bytes, resident_bytes
from benchmarks.speed.peft_systems import BASELINE, PEFT, peft_system, same_tokens_loss
from benchmarks.speed.training_data import DataSettings, Task, count_uses, make_batches, padded_tokens
from benchmarks.speed.training_report import Cell
from benchmarks.speed.training_systems import BLOCK, SOFTGRAFT, StoreSettings, System, bytes_per_token, softgraft_system
from soft_prompt import Backbone

SYSTEMS = (*SOFTGRAFT, *PEFT)
# Block attention differs from exact only where a context has passages, and there it is the cache that is measured.
ON_PASSAGES = ("softgraft-kv", BLOCK, BASELINE)
# A step in units of a forward pass of the same tokens without gradient, roughly; only the estimate rests on it.
STEP, PROCESS_SECONDS = 4.0, 20.0


def systems_for(data: str, chosen: Sequence[str]) -> list[str]:
    """The chosen systems that are measured on a kind of data."""
    return [name for name in chosen if (name in ON_PASSAGES if data == "passages" else name != BLOCK)]


def make_system(name: str, backbone: Backbone, tasks: Sequence[Task], length: int, store: StoreSettings) -> System:
    """A system by its name, with virtual tokens that start from the text twin."""
    if name in PEFT:
        return peft_system(name, backbone, length)
    return softgraft_system(name, backbone, tasks, length, store)


def open_cell(
    system: System,
    name: str,
    backbone: Backbone,
    data: str,
    context: int,
    batches: Sequence[Sequence[Task]],
    length: int,
) -> Cell:
    """Take the first step, which warms up too, and check that PEFT sees the tokens that Softgraft does.

    Raises:
        SystemExit: the first losses differ.
    """
    system.start()
    first = system.step(batches[0])
    system.stop()
    expected = same_tokens_loss(name, backbone, batches[0], length) if name in PEFT else None
    if expected is not None and not math.isclose(first, expected, rel_tol=0.03):
        found = f"{name} starts from a loss of {first:.4f}, Softgraft with the slot in its place {expected:.4f}"
        raise SystemExit(f"{found}: the two do not train on the same tokens")
    examples = sum(map(len, batches))
    return Cell(data, context, name, examples, len(batches), count_uses(batches), first, expected)


def time_run(
    system: System, batches: Sequence[Sequence[Task]], only_steps: int | None, device: torch.device
) -> dict[str, float]:
    """Time a run from the start, filling counted.

    With `only_steps`, that many steps are timed and scaled to the whole run by the tokens in them.
    """
    system.start()
    gc.collect()
    timed = batches[:only_steps]
    began = clock(device)
    system.fill([task for batch in batches for task in batch])
    filled = clock(device)
    for batch in timed:
        system.step(batch)
    share = sum(map(padded_tokens, timed)) / sum(map(padded_tokens, batches))
    stepping = (clock(device) - filled) / share
    system.stop()
    filling = filled - began
    return {
        "seconds": filling + stepping,
        "fill_seconds": filling,
        "timed_steps": len(timed),
        "load_average": os.getloadavg()[0],
    }


def measure_memory(
    name: str, backbone: Backbone, tasks: Sequence[Task], settings: DataSettings, length: int, memory_bytes: int
) -> dict[str, int]:
    """Peak memory of this process, which runs one system: an epoch, or its two widest steps where nothing accumulates.

    Softgraft keeps `memory_bytes` of its store in memory and the rest in a folder.
    """
    loaded = resident_bytes()
    if backbone.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(backbone.device)
    folder = Path(tempfile.mkdtemp(prefix="training-speed-"))
    try:
        system = make_system(name, backbone, tasks, length, StoreSettings(memory_bytes, folder))
        batches = make_batches(tasks, settings)[: math.ceil(len(tasks) / settings.batch)]
        with MemorySampler() as sampler:
            system.start()
            system.fill(tasks)
            for batch in batches if name in SOFTGRAFT else sorted(batches, key=padded_tokens)[-2:]:
                system.step(batch)
        memory = {f"loaded_{kind}_bytes": size for kind, size in loaded.items()}
        memory |= {f"peak_{kind}_bytes": size for kind, size in sampler.peaks.items()}
        memory["peak_bytes"] = peak_resident_bytes()
        if backbone.device.type == "cuda":
            memory["peak_device_bytes"] = torch.cuda.max_memory_allocated(backbone.device)
        if name in SOFTGRAFT:
            memory["store_bytes"] = _fill_tokens(name, tasks) * bytes_per_token(backbone)
        system.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return memory


def seconds_per_token(backbone: Backbone) -> float:
    """Time of a forward pass without gradient, a token."""
    ids = torch.full((1, 256), backbone.end_id, device=backbone.device)
    with torch.no_grad():
        backbone.model(input_ids=ids, use_cache=False, logits_to_keep=1)
        began = clock(backbone.device)
        backbone.model(input_ids=ids, use_cache=False, logits_to_keep=1)
        return (clock(backbone.device) - began) / ids.numel()


def expected_seconds(name: str, batches: Sequence[Sequence[Task]], only_steps: int | None, token: float) -> float:
    """A rough guess at how long a run takes, from the time of a token."""
    if name in PEFT:
        return sum(map(padded_tokens, batches[:only_steps])) * STEP * token
    tasks = [task for batch in batches for task in batch]
    behind_the_slot = sum(len(task.question) + len(task.answer) for task in tasks)
    # Reading the cache is left out; at 2,000 tokens of context it is as much again.
    return (_fill_tokens(name, tasks) + behind_the_slot * STEP * 2) * token


def _fill_tokens(name: str, tasks: Sequence[Task]) -> int:
    """Tokens of what a store holds after these examples: each context, or each passage behind the head, once."""
    if name != BLOCK:
        return sum(map(len, {task.context for task in tasks}))
    heads = {task.context[: task.cuts[0]] for task in tasks}
    return sum(map(len, heads)) + sum(map(len, {passage for task in tasks for passage in task.passages}))
