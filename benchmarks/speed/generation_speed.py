"""Time to first token and tokens per second of Softgraft against Transformers' `generate` with a PEFT prompt.

    python -m benchmarks.speed.generation_speed --threads 2
    python -m benchmarks.speed.generation_speed --device cuda --shape llama-1b

All systems answer the same prompts with the same number of virtual tokens in the same dtype, and decode the same number
of tokens; they take turns, and medians are reported. Before that, greedy tokens of the engine are compared with those
of plain forward passes. The last column says how near decoding comes to the hardware's limit: the bytes of weights and
cache that a token has to read, over the memory bandwidth that is measured beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.machine import clock, describe_hardware, describe_versions, hardware_slug
from benchmarks.speed.generation_systems import BLOCK, INT8, PEFT, SYSTEMS, make_system
from benchmarks.speed.random_backbones import SHAPES, random_backbone
from benchmarks.speed.training_data import DataSettings, Task, make_tasks
from benchmarks.speed.training_systems import bytes_per_token
from soft_prompt import Backbone, Decoding, PrefixStore, Row, generate
from soft_prompt.model.linear import MOST_ROWS

RESULTS = Path(__file__).resolve().parents[1] / "results"
# System and tokens of evidence -> how many times sooner than PEFT the first token has to be there, at batch 1.
FIRST_TOKEN_GOALS = {(BLOCK, 1000): 10.0, (BLOCK, 2000): 15.0}
DECODE_GOAL = 2.0


@dataclass
class Cell:
    """One row: a system at a length of evidence and a batch.

    Attributes:
        context: mean tokens of evidence.
        batch: rows decoded together.
        system: name of the system.
        first: seconds to the first token of all rows, one a run.
        each: seconds a later token of all rows, one a run.
        load: the machine's load average at the end of each run, which shows whether something else ran beside it.
        first_seconds, tokens_per_second: medians; tokens of all rows together.
        first_ratio, decode_ratio: times sooner and faster than PEFT; None where PEFT was not measured.
        limit: share of the speed that memory bandwidth allows, 0 to 1.
    """

    context: int
    batch: int
    system: str
    first: list[float] = field(default_factory=list)
    each: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    first_seconds: float = 0.0
    tokens_per_second: float = 0.0
    first_ratio: float | None = None
    decode_ratio: float | None = None
    limit: float = 0.0


def check_agreement(backbone: Backbone, task: Task, tokens: int) -> int:
    """Greedy tokens of the engine, with the weights as they are, are those of plain forward passes.

    Sums in another order differ by a rounding of bf16, so where they part, the two tokens must be as good as equal.

    Returns:
        Tokens that were equal.
    """
    row = Row(task.context, (task.question,), cuts=task.cuts)
    reply = generate(PrefixStore(backbone), [row], Decoding(max_tokens=tokens, weights="own"))[0]
    ids, decoded = [*task.context, *task.question], list[int]()
    while len(decoded) < reply.tokens:
        with torch.no_grad():
            logits = backbone.model(input_ids=torch.tensor([ids], device=backbone.device), use_cache=False,
                                    logits_to_keep=1).logits[0, -1].float()  # fmt: skip
        token = int(logits.argmax())
        if not reply.text.startswith(backbone.decode([*decoded, token]).rstrip("\N{REPLACEMENT CHARACTER}")):
            best = logits.topk(2).values
            gap, step = float(best[0] - best[1]), float(best[0].abs()) * 2**-7
            if gap > 2 * step:
                raise SystemExit(f"token {len(decoded)} of the engine is not that of a plain forward ({gap=:.3f})")
            break
        decoded.append(token)
        ids.append(token)
    return len(decoded)


def bandwidth(device: torch.device) -> float:
    """Bytes a second at which a large tensor can be read: the best of several sums."""
    large = torch.ones(2**28 if device.type == "cuda" else 2**26, device=device)
    times = []
    for _ in range(8):
        began = clock(device)
        large.sum()
        times.append(clock(device) - began)
    return large.nbytes / min(times[1:])


def bytes_read(backbone: Backbone, system: str, context: int, batch: int) -> int:
    """Bytes of weights and cache that a token of all rows has to read."""
    head = backbone.model.get_output_embeddings()
    layers = [m for m in backbone.model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    weights: int = sum(layer.weight.numel() for layer in [*layers, head])
    rounded = backbone.device.type == "cpu" and backbone.dtype == torch.bfloat16 and batch <= MOST_ROWS
    one = 1 if rounded and system in INT8 else torch.finfo(backbone.dtype).bits // 8
    return weights * one + context * batch * bytes_per_token(backbone)


def measure(backbone: Backbone, options: argparse.Namespace, context: int, batch: int, speed: float) -> list[Cell]:
    """All systems at one length and batch, taking turns."""
    settings = DataSettings(seed=options.seed, examples=batch, epochs=1, spread=0.0, passage_uses=1)
    tasks = make_tasks(backbone, settings, "passages", context)
    systems = {name: make_system(name, backbone, tasks, options.prompt) for name in options.systems}
    cells = {name: Cell(context, batch, name) for name in systems}
    for system in systems.values():
        system.run(2)  # the warm-up
    for repeat in range(options.repeats):
        first = repeat % len(systems)
        names = list(systems)
        for name in names[first:] + names[:first]:
            times = systems[name].run(options.tokens)
            cells[name].first.append(times[0])
            # A token that waits for a core of a shared machine says nothing of the system, so medians within a run too.
            cells[name].each.append(statistics.median(b - a for a, b in pairwise(times)))
            cells[name].load.append(os.getloadavg()[0])
    for system in systems.values():
        system.close()
    for name, cell in cells.items():
        cell.first_seconds = statistics.median(cell.first)
        each = statistics.median(cell.each)
        cell.tokens_per_second = batch / each
        length = sum(len(task.context) + len(task.question) for task in tasks) // batch + options.prompt
        cell.limit = bytes_read(backbone, name, length + options.tokens // 2, batch) / speed / each
    if PEFT in cells:
        for cell in cells.values():
            cell.first_ratio = cells[PEFT].first_seconds / cell.first_seconds
            cell.decode_ratio = cell.tokens_per_second / cells[PEFT].tokens_per_second
    return list(cells.values())


def make_table(cells: Sequence[Cell]) -> Table:
    """The rows for a person."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("tokens", "batch", "system", "first", "x PEFT", "tokens/s", "x PEFT", "limit"):
        table.add_column(column, justify="left" if column == "system" else "right", no_wrap=True)
    for number, cell in enumerate(cells):
        goal = FIRST_TOKEN_GOALS.get((cell.system, cell.context)) if cell.batch == 1 else None
        decode_goal = DECODE_GOAL if cell.batch == 1 and cell.system.startswith("softgraft") else None
        following = cells[number + 1] if number + 1 < len(cells) else None
        table.add_row(
            f"{cell.context:,}",
            str(cell.batch),
            cell.system,
            f"{cell.first_seconds * 1000:,.0f} ms",
            _ratio(cell.first_ratio, goal),
            f"{cell.tokens_per_second:.1f}",
            _ratio(cell.decode_ratio, decode_goal),
            f"{cell.limit:.0%}",
            end_section=following is None or (following.context, following.batch) != (cell.context, cell.batch),
        )
    table.caption = (
        "first: to the first token of all rows. tokens/s: of all rows together. ✓ ✗: goal met or missed. "
        "limit: share of the speed that reading weights and cache from memory allows."
    )
    table.caption_justify = "left"
    return table


def _ratio(ratio: float | None, goal: float | None) -> str:
    if ratio is None:
        return "–"
    return f"{ratio:.1f}" if goal is None else f"{ratio:.1f} {'✓' if ratio >= goal else '✗'}"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""

    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",")]

    def systems(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := sorted(set(chosen) - set(SYSTEMS)):
            raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}; choose from {', '.join(SYSTEMS)}")
        return [name for name in SYSTEMS if name in chosen]

    parser = argparse.ArgumentParser(description="Generation speed against Transformers' generate with a PEFT prompt.")
    add = parser.add_argument
    add("--contexts", type=numbers, default=[200, 1000, 2000], help="mean tokens of evidence")
    add("--batches", type=numbers, default=[1, 16], help="rows decoded together")
    add("--systems", type=systems, default=list(SYSTEMS), help="those to compare, with commas")
    add("--tokens", type=int, default=32, help="tokens of a reply")
    add("--prompt", type=int, default=20, help="virtual tokens")
    add("--repeats", type=int, default=5, help="runs of each system; the median is reported")
    add("--backbone", default="embedded")
    add("--shape", choices=sorted(SHAPES), help="a Llama of that shape with random weights, instead of --backbone")
    add("--device", default="cpu")
    add("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    add("--threads", type=int, default=os.cpu_count())
    add("--seed", type=int, default=0)
    add("--out", type=Path, help="where the JSON goes (default: benchmarks/results, named after the hardware)")
    options = parser.parse_args(arguments)
    if options.tokens < 2:
        parser.error("--tokens: at least 2, since the first one is timed apart")
    return options


def main() -> None:
    """Measure, print and write."""
    options = parse()
    torch.set_num_threads(options.threads)
    dtype = getattr(torch, options.dtype)
    if options.shape:
        backbone = random_backbone(options.shape, dtype=dtype, device=options.device, seed=options.seed)
    else:
        backbone = Backbone.load(options.backbone, dtype=dtype, device=options.device)
    console = Console(width=110)
    hardware = describe_hardware(options.device, options.threads)
    out = options.out or RESULTS / f"generation_speed-{hardware_slug(hardware)}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    checked = make_tasks(
        backbone, DataSettings(seed=options.seed, examples=1, epochs=1, passage_uses=1), "passages", 200
    )
    speed = bandwidth(backbone.device)
    report: dict[str, Any] = {
        "benchmark": "generation_speed",
        "started": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S %Z}",
        "config": {name: value for name, value in vars(options).items() if name != "out"},
        "backbone": {"id": backbone.id, "digest": backbone.digest},
        "versions": describe_versions(("torch", "transformers", "peft", "softgraft")),
        "hardware": {**hardware, "read_bytes_per_second": round(speed)},
        "greedy_tokens_equal_to_plain_forward": check_agreement(backbone, checked[0], 16),
    }
    cells: list[Cell] = []
    for context in options.contexts:
        for batch in options.batches:
            console.print(f"{context:,} tokens, batch {batch} ...")
            cells += measure(backbone, options, context, batch, speed)
            # Written as it grows, so that a long run that is stopped keeps what it has.
            report["finished"] = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S %Z}"
            report["rows"] = [asdict(cell) for cell in cells]
            out.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    console.print(make_table(cells))
    print(f"written to {out}")


if __name__ == "__main__":
    main()
