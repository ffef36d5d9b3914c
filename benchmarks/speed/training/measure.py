"""Measures one run of a training system: its time and its memory."""

from __future__ import annotations

import gc
import math
import os
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from benchmarks.machine import MemorySampler, clock, peak_resident_bytes, resident_bytes
from benchmarks.speed.training.data import DataSettings, TokenExample, count_uses, make_batches, padded_tokens
from benchmarks.speed.training.peft_systems import PeftTraining, peft_system, same_tokens_loss
from benchmarks.speed.training.report import BLOCK, PEFT, PROMPT_TUNING, SOFTGRAFT, Cell
from benchmarks.speed.training.systems import NewStore, SoftgraftTraining, bytes_per_token, softgraft_system
from soft_prompt import Backbone, PrefixStore

# Block attention differs from exact attention only if contexts have passages; there the cache is what is measured.
ON_PASSAGES = ("softgraft-kv", BLOCK, PROMPT_TUNING)

TrainingSystem = SoftgraftTraining | PeftTraining
Batches = Sequence[Sequence[TokenExample]]


def systems_for(data: str, systems: Sequence[str]) -> list[str]:
    """Those of the systems that are measured on a kind of data."""
    return [name for name in systems if (name in ON_PASSAGES if data == "passages" else name != BLOCK)]


def make_system(
    name: str, backbone: Backbone, examples: Sequence[TokenExample], length: int, new_store: NewStore
) -> TrainingSystem:
    """A system by its name, with `length` virtual tokens that start from the text twin."""
    if name in PEFT:
        return peft_system(name, backbone, length)
    return softgraft_system(name, backbone, examples, length, new_store)


def open_cell(
    system: TrainingSystem, name: str, backbone: Backbone, data: str, context: int, batches: Batches, length: int
) -> Cell:
    """Take the first step as a warm-up, and check that PEFT sees the same tokens as Softgraft.

    Raises:
        SystemExit: if the first losses differ.
    """
    system.start()
    first = system.step(batches[0])
    system.stop()
    expected = same_tokens_loss(name, backbone, batches[0], length) if name in PEFT else None
    if expected is not None and not math.isclose(first, expected, rel_tol=0.03):
        raise SystemExit(
            f"{name} starts with a loss of {first:.4f}, Softgraft with its slot in the same place with {expected:.4f}: "
            "they do not train on the same tokens"
        )
    examples = sum(map(len, batches))
    return Cell(data, context, name, examples, len(batches), count_uses(batches), first, expected)


def time_run(
    system: TrainingSystem, batches: Batches, only_steps: int | None, device: torch.device
) -> dict[str, float]:
    """Time a whole run, including filling the store.

    With `only_steps`, that number of steps is timed and scaled to the whole run by their tokens.
    """
    system.start()
    gc.collect()
    timed = batches[:only_steps]
    start = clock(device)
    system.fill([example for batch in batches for example in batch])
    filled = clock(device)
    for batch in timed:
        system.step(batch)
    share = sum(map(padded_tokens, timed)) / sum(map(padded_tokens, batches))
    step_seconds = (clock(device) - filled) / share
    system.stop()
    return {
        "seconds": filled - start + step_seconds,
        "fill_seconds": filled - start,
        "timed_steps": len(timed),
        "load_average": os.getloadavg()[0],
    }


def measure_memory(
    name: str,
    backbone: Backbone,
    examples: Sequence[TokenExample],
    settings: DataSettings,
    length: int,
    memory_bytes: int,
) -> dict[str, int]:
    """Peak memory of this process, which runs one system for an epoch (PEFT: its two widest steps).

    Softgraft keeps `memory_bytes` of its store in memory and the rest in a folder.
    """
    loaded = resident_bytes()
    if backbone.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(backbone.device)
    with tempfile.TemporaryDirectory(prefix="training-speed-", ignore_cleanup_errors=True) as folder:
        new_store = partial(PrefixStore, backbone, memory_bytes=memory_bytes, folder=Path(folder))
        system = make_system(name, backbone, examples, length, new_store)
        batches = make_batches(examples, settings)[: math.ceil(len(examples) / settings.batch)]
        with MemorySampler() as sampler:
            system.start()
            system.fill(examples)
            for batch in batches if name in SOFTGRAFT else sorted(batches, key=padded_tokens)[-2:]:
                system.step(batch)
        memory = {f"loaded_{kind}_bytes": size for kind, size in loaded.items()}
        memory |= {f"peak_{kind}_bytes": size for kind, size in sampler.peaks.items()}
        memory["peak_bytes"] = peak_resident_bytes()
        if backbone.device.type == "cuda":
            memory["peak_device_bytes"] = torch.cuda.max_memory_allocated(backbone.device)
        if name in SOFTGRAFT:
            memory["store_bytes"] = _store_tokens(name, examples) * bytes_per_token(backbone)
        system.stop()
    return memory


def _store_tokens(name: str, examples: Sequence[TokenExample]) -> int:
    """Tokens that a store holds after these examples: each context (block attention: each passage and head) once."""
    if name != BLOCK:
        return sum(map(len, {example.context for example in examples}))
    heads = {example.context[: example.cuts[0]] for example in examples}
    return sum(map(len, heads)) + sum(map(len, {passage for example in examples for passage in example.passages}))
