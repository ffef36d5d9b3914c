"""Measures the systems of `decoding.py`, and prints the results."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import resident_bytes
from benchmarks.script import take_turns, utc_now
from benchmarks.speed.decode.systems import DOMAINS, KINDS, Peft, Prompts, Softgraft, System, Vllm
from benchmarks.tables import print_table
from soft_prompt import Backbone, Decoding
from soft_prompt.engine.request import Request
from soft_prompt.model.weights import EMBEDDED, backbone_folder

PEFT_ROWS = 16


class Measuring:
    """Measures with one backbone and one set of prompts."""

    def __init__(self, config: Mapping[str, int], vllm: Path | None, versions: dict[str, str]) -> None:
        torch.set_num_threads(config["threads"])
        self._config, self._vllm, self._versions = config, vllm, versions
        self._backbone = Backbone.load()
        self._prompts = Prompts(seed=0, context=config["context"])

    def times(self, names: Sequence[str], rows: int) -> dict[str, dict[str, list[float]]]:
        """Seconds of each system's runs with one token and with all, by turns; PEFT has no more than 16 rows."""
        names = [name for name in names if name != "peft" or rows <= PEFT_ROWS]
        systems = {name: self._system(name) for name in names}
        for system in systems.values():
            system.run(rows, 2)
        found: dict[str, dict[str, list[float]]] = {name: {"first": [], "whole": []} for name in names}
        for repeat in range(self._config["repeats"]):
            for name in take_turns(names, repeat):
                found[name]["first"].append(systems[name].run(rows, 1))
                found[name]["whole"].append(systems[name].run(rows, self._config["tokens"]))
        for system in systems.values():
            system.close()
        return found

    def _system(self, name: str) -> System:
        backbone, prompts = self._backbone, self._prompts
        if name == "vllm":
            assert self._vllm is not None
            return Vllm(self._vllm, backbone_folder(EMBEDDED), prompts, str(backbone.dtype).removeprefix("torch."))
        if name == "peft":
            # PEFT changes the model that it is given.
            return Peft(Backbone.load(), prompts)
        if name == "one domain kv 8 contexts":
            return Softgraft(backbone, prompts, ["kv"], contexts=DOMAINS)
        if name.startswith("one domain"):
            return Softgraft(backbone, prompts, [name.removeprefix("one domain ")])
        if name == "8 domains":
            return Softgraft(backbone, prompts, [KINDS[n % len(KINDS)] for n in range(DOMAINS)])
        if name == "8 domains kv":
            return Softgraft(backbone, prompts, ["kv"] * DOMAINS)
        return Softgraft(backbone, prompts, ["kv"], native=name != "engine in PyTorch", static=name == "static batch")

    def growth(self, requests: int) -> dict[str, Any]:
        """Memory while many requests of eight domains come and go, and what a row and a prefix take."""
        system = Softgraft(self._backbone, self._prompts, [KINDS[n % len(KINDS)] for n in range(DOMAINS)])
        rows, samples, peak = system.rows(2 * DOMAINS), [], 0
        start, step = time.perf_counter(), max(1, requests // 10)
        for first in range(0, requests, step):
            count = min(step, requests - first)
            some = [Request(system.store, rows[n % len(rows)], Decoding(max_tokens=4)) for n in range(count)]
            for _ in system.engine.submit(some):
                peak = max(peak, system.engine.used_bytes)
            samples.append(resident_bytes().get("resident", 0))
            print(f"{first + count:,} requests: {samples[-1] / 2**20:,.0f} MiB", flush=True)
        one = system.rows(1)[0]
        found = {
            "requests": requests,
            "seconds": round(time.perf_counter() - start),
            "resident_bytes": samples,
            "peak_row_bytes": peak // min(64, requests),
            "prefix_bytes": sum(segment.entry.nbytes for segment in system.store.segments(one)),
            "finished": utc_now(),
        }
        system.close()
        return found


def print_decoding(results: Mapping[str, Any]) -> None:
    """A row per system and number of rows, with ratios to vLLM and to one domain."""
    table = []
    for rows, cells in results["cells"].items():
        vllm = cells.get("vllm")
        for name, cell in cells.items():
            table.append([
                name, rows, f"{cell['first_ms']:,.0f} ms", f"{cell['tokens_per_second']:.1f}",
                f"{cell['first_ms'] / vllm['first_ms']:.2f}" if vllm else "–",
                f"{cell['tokens_per_second'] / vllm['tokens_per_second']:.2f}" if vllm else "–",
            ])  # fmt: skip
    columns = ("system", "rows", "first token", "tokens/s", "first / vLLM's", "tokens/s / vLLM's")
    print_table("decoding", columns, table)
    if "growth" in results:
        print(results["growth"])
