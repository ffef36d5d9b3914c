"""Training speed and memory of Softgraft against PEFT prompt tuning on the same frozen backbone.

    python benchmarks/training_speed.py --contexts 1000 --peft-steps 3 --threads 2

Both sides train on the same token ids, batches, dtype and threads, with AdamW and clipping, and their virtual tokens
start from the same text. A run is some epochs over a fixed number of examples; Softgraft's time includes filling its
prefix store. Memory is taken in a process of its own for each system, since one peak would hide the other.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import random
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from soft_prompt import Backbone, PrefixStore, Row, SoftPrompt, from_text_twin, initial_adapter, kv_from_text_twin
from soft_prompt.forward import Example, answer_loss
from soft_prompt.schedule import epoch_batches

ROOT = Path(__file__).resolve().parents[1]
TEXT = sorted((ROOT / "domains" / "bank" / "docs").glob("*.md"))
TWIN = "Answer the customer's question from the passages above, in one short sentence and in the bank's own words."
SYSTEMS = ("softgraft-embedding", "softgraft-kv", "softgraft-kv-adapter", "peft", "peft-answer-logits")
LEARNING_RATE, CLIP, IGNORED, RANK = 1e-3, 1.0, -100, 4


@dataclass(frozen=True, slots=True)
class Task:
    """One example as token ids; the answer ends with the end token."""

    context: tuple[int, ...]
    question: tuple[int, ...]
    answer: tuple[int, ...]


@dataclass
class Result:
    """One row of the table."""

    context: int
    questions_per_context: int
    system: str
    uses_of_a_context: int
    first_step_loss: float
    same_tokens_loss: float
    timings: list[dict[str, float]] = field(default_factory=list)
    examples_per_second: float = 0.0
    ratio_to_peft: float = 0.0
    memory: dict[str, int] | None = None


class System(Protocol):
    """One way to train: `start` forgets everything, `fill` computes what is computed once, `step` gives its loss."""

    def start(self) -> None: ...
    def fill(self, tasks: Sequence[Task]) -> None: ...
    def step(self, tasks: Sequence[Task]) -> float: ...


class Softgraft:
    """The engine's own pieces: prefix store, loss at answer positions, AdamW on fp32 vectors."""

    def __init__(self, backbone: Backbone, initial: SoftPrompt) -> None:
        self.backbone, self.initial = backbone, initial
        self.store = PrefixStore(backbone)

    def start(self) -> None:
        self.store.close()
        self.store = PrefixStore(self.backbone)
        initial = self.initial.tensors().items()
        self.trained = {n: t.detach().to(self.backbone.device).clone().requires_grad_(True) for n, t in initial}
        self.soft_prompt = self.initial.with_tensors(self.trained)
        self.optimizer = torch.optim.AdamW(self.trained.values(), lr=LEARNING_RATE, weight_decay=0.0)

    def fill(self, tasks: Sequence[Task]) -> None:
        for context in dict.fromkeys(task.context for task in tasks):
            self.store.get(context)

    def step(self, tasks: Sequence[Task]) -> float:
        examples = [Example(Row(task.context, (self.soft_prompt, task.question)), task.answer) for task in tasks]
        total, tokens = answer_loss(self.store, examples)
        return _descend(total / tokens, list(self.trained.values()), self.optimizer)


class PeftPromptTuning:
    """PEFT as its users write it; with `answer_logits_only`, logits are made where an answer token is predicted."""

    def __init__(self, backbone: Backbone, initial: SoftPrompt, *, answer_logits_only: bool) -> None:
        try:
            from peft import PromptTuningConfig, TaskType, get_peft_model
        except ImportError as error:
            raise SystemExit('PEFT is not installed. Next: pip install "peft>=0.21,<0.22"') from error
        self.device, self.initial, self.answer_logits_only = backbone.device, initial, answer_logits_only
        self.pad = backbone.end_id
        config = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=initial.length)
        self.model: Any = get_peft_model(backbone.model, config)
        self.vectors: Tensor = self.model.prompt_encoder["default"].embedding.weight

    def start(self) -> None:
        self.vectors.data.copy_(self.initial.vectors)
        self.optimizer = torch.optim.AdamW([self.vectors], lr=LEARNING_RATE, weight_decay=0.0)

    def fill(self, tasks: Sequence[Task]) -> None:
        """Nothing: every context runs through the model for every example."""

    def step(self, tasks: Sequence[Task]) -> float:
        rows = [(*task.context, *task.question, *task.answer) for task in tasks]
        widest = max(map(len, rows))
        ids, labels, mask = [], [], []
        for row, task in zip(rows, tasks, strict=True):
            pad = widest - len(row)
            ids.append([*row, *[self.pad] * pad])
            labels.append([*[IGNORED] * (len(row) - len(task.answer)), *task.answer, *[IGNORED] * pad])
            mask.append([*[1] * len(row), *[0] * pad])
        batch = (torch.tensor(part, device=self.device) for part in (ids, labels, mask))
        return _descend(self._loss(*batch), [self.vectors], self.optimizer)

    def _loss(self, ids: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        if not self.answer_logits_only:
            loss: Tensor = self.model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss
            return loss
        answers = labels != IGNORED
        # A token is predicted one place before it stands; the virtual tokens stand before everything.
        predicting = torch.nn.functional.pad(answers, (self.initial.length - 1, 1))
        output = self.model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=predicting)
        return torch.nn.functional.cross_entropy(output.logits.float().flatten(0, -2), labels[answers])


def _descend(loss: Tensor, trained: Sequence[Tensor], optimizer: torch.optim.Optimizer) -> float:
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(trained, CLIP)
    optimizer.step()
    return float(loss.detach())


def make_system(name: str, backbone: Backbone, tasks: Sequence[Task], length: int) -> System:
    """A system by its name, with virtual tokens that start from the text twin."""
    initial = from_text_twin(backbone, "domain", TWIN, length)
    if name == "softgraft-embedding":
        return Softgraft(backbone, initial)
    if name.startswith("softgraft-kv"):
        kv = kv_from_text_twin(PrefixStore(backbone), "domain", TWIN, tasks[0].context, length)
        adapter = initial_adapter(backbone, RANK, 0) if name.endswith("adapter") else None
        return Softgraft(backbone, replace(kv, adapter=adapter))
    return PeftPromptTuning(backbone, initial, answer_logits_only=name == "peft-answer-logits")


def make_tasks(backbone: Backbone, options: argparse.Namespace, context: int, per_context: int) -> list[Task]:
    """Tasks over windows of real text, fixed by the seed; context lengths differ as those of real passages do."""
    chance = random.Random(f"{options.seed}-{context}-{per_context}")
    stream = backbone.encode_text("\n\n".join(path.read_text(encoding="utf-8") for path in TEXT))

    def window(length: int) -> tuple[int, ...]:
        start = chance.randrange(len(stream))
        repeated = stream * (2 + length // len(stream))
        return tuple(repeated[start : start + length])

    contexts: list[tuple[int, ...]] = []
    while len(contexts) * per_context < options.examples:
        drawn = window(round(context * chance.uniform(1 - options.spread, 1 + options.spread)))
        if drawn not in contexts:
            contexts.append(drawn)
    return [
        Task(contexts[n // per_context], window(options.question), (*window(options.answer - 1), backbone.end_id))
        for n in range(options.examples)
    ]


def make_batches(tasks: Sequence[Task], options: argparse.Namespace) -> list[list[Task]]:
    """The batches of a whole run, in the engine's own order."""
    lengths = [len(task.question) + len(task.answer) for task in tasks]
    orders = [epoch_batches(lengths, options.batch, options.seed, epoch) for epoch in range(options.epochs)]
    return [[tasks[i] for i in batch] for order in orders for batch in order]


def time_run(system: System, batches: Sequence[Sequence[Task]], only_steps: int | None) -> dict[str, float]:
    """Time a run from the start. With `only_steps`, that many steps are timed and scaled to the whole run."""
    system.start()
    gc.collect()
    timed = batches[:only_steps]
    began = _clock()
    system.fill([task for batch in batches for task in batch])
    filled = _clock()
    for batch in timed:
        system.step(batch)
    stepping = (_clock() - filled) * len(batches) / len(timed)
    filling = filled - began
    return {"seconds": filling + stepping, "fill_seconds": filling, "timed_steps": len(timed)}


def _clock() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def slot_first_loss(backbone: Backbone, tasks: Sequence[Task], length: int) -> float:
    """Loss of Softgraft with the slot where PEFT has it: near PEFT's first loss if both see the same tokens."""
    initial = from_text_twin(backbone, "domain", TWIN, length)
    examples = [Example(Row((), (initial, (*t.context, *t.question))), t.answer) for t in tasks]
    with torch.no_grad():
        total, tokens = answer_loss(PrefixStore(backbone), examples)
    return float(total) / tokens


def measure(backbone: Backbone, options: argparse.Namespace, context: int, per_context: int) -> list[Result]:
    """Time all systems on one kind of data, taking turns."""
    tasks = make_tasks(backbone, options, context, per_context)
    batches = make_batches(tasks, options)
    same_tokens = slot_first_loss(backbone, batches[0], options.prompt)
    systems = {name: make_system(name, backbone, tasks, options.prompt) for name in SYSTEMS}
    results = {}
    for name, system in systems.items():
        system.start()
        first = system.step(batches[0])  # the warm-up
        results[name] = Result(context, per_context, name, per_context * options.epochs, first, same_tokens)
        if name.startswith("peft") and not math.isclose(first, same_tokens, rel_tol=0.03):
            found = f"{name} starts from a loss of {first:.4f}, Softgraft with the slot in its place {same_tokens:.4f}"
            raise SystemExit(f"{found}: the two do not train on the same tokens")
    for repeat in range(options.repeats):
        for name in SYSTEMS[repeat % 5 :] + SYSTEMS[: repeat % 5]:
            only_steps = options.peft_steps if name.startswith("peft") else None
            results[name].timings.append(time_run(systems[name], batches, only_steps))
            systems[name].start()  # gives a filled store back before the next system runs
    for result in results.values():
        seconds = statistics.median(timing["seconds"] for timing in result.timings)
        result.examples_per_second = len(tasks) * options.epochs / seconds
    for result in results.values():
        result.ratio_to_peft = result.examples_per_second / results["peft"].examples_per_second
    return list(results.values())


def measure_memory(backbone: Backbone, options: argparse.Namespace) -> dict[str, int]:
    """Peak memory of this process, which runs one system: one epoch, or two steps where nothing accumulates."""
    loaded = peak_memory()
    tasks = make_tasks(backbone, options, options.contexts[0], options.questions_per_context[0])
    system = make_system(options.only, backbone, tasks, options.prompt)
    batches = make_batches(tasks, options)[: math.ceil(len(tasks) / options.batch)]
    system.start()
    system.fill(tasks)
    for batch in batches if isinstance(system, Softgraft) else batches[:2]:
        system.step(batch)
    memory = {"loaded_bytes": loaded, "peak_bytes": peak_memory()}
    if options.device.startswith("cuda"):
        memory["peak_device_bytes"] = torch.cuda.max_memory_allocated()
    if isinstance(system, Softgraft):
        entry = system.store.get(tasks[0].context)
        tokens = sum(len(context) for context in {task.context for task in tasks})
        memory["prefix_store_bytes"] = tokens * entry.nbytes // len(tasks[0].context)
        system.store.close()
    return memory


def peak_memory() -> int:
    """Largest resident set of this process so far, in bytes."""
    # On Linux getrusage starts from the peak of the process that started this one.
    status = Path("/proc/self/status")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) * 1024


def memory_in_own_process(options: argparse.Namespace, result: Result) -> dict[str, int]:
    """Run `measure_memory` in a process of its own."""
    data = ("seed", "examples", "batch", "prompt", "question", "answer", "spread", "backbone")
    flags = (*data, "device", "dtype", "threads")
    command = [sys.executable, __file__, "--only", result.system, "--contexts", str(result.context)]
    command += ["--questions-per-context", str(result.questions_per_context)]
    command += [part for flag in flags for part in (f"--{flag}", str(getattr(options, flag)))]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(finished.stdout.splitlines()[-1]))


def describe_hardware(options: argparse.Namespace) -> dict[str, Any]:
    """What the figures were measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.is_file() else []
    return {
        "cpu": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "device": torch.cuda.get_device_name() if options.device.startswith("cuda") else "cpu",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def describe_versions() -> dict[str, str]:
    """Versions of what takes part."""
    packages = ("torch", "transformers", "peft", "softgraft")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}


def show(results: Sequence[Result], options: argparse.Namespace) -> None:
    """Print the table."""
    table = Table(title=f"Training: batch {options.batch}, {options.prompt} virtual tokens, {options.epochs} epochs")
    for column in ("context", "uses", "system", "examples/s", "x PEFT", "MiB", "loss"):
        table.add_column(column, justify="left" if column == "system" else "right", no_wrap=True)
    for row in results:
        memory = f"{row.memory['peak_bytes'] / 2**20:,.0f}" if row.memory else "–"
        cells = [f"{row.context:,}", str(row.uses_of_a_context), row.system, f"{row.examples_per_second:.2f}"]
        cells += [f"{row.ratio_to_peft:.1f}", memory, f"{row.first_step_loss:.3f}"]
        table.add_row(*cells, end_section=row.system == SYSTEMS[-1])
    table.caption = "uses: of a context in a run; MiB: peak resident; loss: of the first step"
    Console().print(table)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Training speed and memory against PEFT prompt tuning.")

    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",")]

    add = parser.add_argument
    add("--contexts", type=numbers, default=[200, 1000, 2000], help="mean tokens of a context")
    add("--questions-per-context", type=numbers, default=[4, 1], help="examples that share a context")
    add("--examples", type=int, default=48, help="examples an epoch")
    add("--epochs", type=int, default=3)
    add("--batch", type=int, default=4)
    add("--prompt", type=int, default=20, help="virtual tokens")
    add("--question", type=int, default=20, help="tokens of a question")
    add("--answer", type=int, default=8, help="tokens of an answer, the end token counted")
    add("--spread", type=float, default=0.1, help="by which share contexts are shorter or longer than the mean")
    add("--repeats", type=int, default=3, help="runs of each system; the median is reported")
    add("--peft-steps", type=int, help="time so many steps of PEFT and scale to the whole run (default: all)")
    add("--backbone", default="embedded")
    add("--device", default="cpu")
    add("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    add("--threads", type=int, default=os.cpu_count())
    add("--seed", type=int, default=0)
    add("--no-memory", action="store_true", help="leave the memory runs out")
    add("--only", choices=SYSTEMS, help="measure the memory of one system in this process, and print JSON")
    add("--out", type=Path, help="where the JSON goes (default: benchmarks/results, named after the hardware)")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure, print and write."""
    options = parse()
    torch.set_num_threads(options.threads)
    backbone = Backbone.load(options.backbone, dtype=getattr(torch, options.dtype), device=options.device)
    if options.only:
        print(json.dumps(measure_memory(backbone, options)))
        return
    hardware = describe_hardware(options)
    processor = f"{hardware['cpu']} {hardware['cores']} cores" if hardware["device"] == "cpu" else hardware["device"]
    slug = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", processor.lower())).strip("-")
    out = options.out or ROOT / "benchmarks" / "results" / f"training_speed-{slug}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {
        "benchmark": "training_speed",
        "started": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S %Z}",
        "config": {k: v for k, v in vars(options).items() if k not in ("only", "out")},
        "peft_steps_timed": "all" if options.peft_steps is None else f"{options.peft_steps}, scaled to the whole run",
        "backbone": {"id": backbone.id, "digest": backbone.digest},
        "data_sha256": hashlib.sha256(b"".join(path.read_bytes() for path in TEXT)).hexdigest(),
        "versions": describe_versions(),
        "hardware": hardware,
    }
    results: list[Result] = []
    for context, per_context in product(options.contexts, options.questions_per_context):
        measured = measure(backbone, options, context, per_context)
        for result in measured if not options.no_memory else []:
            result.memory = memory_in_own_process(options, result)
        results += measured
        # Written after each kind of data, so that a long run that is stopped keeps what it has.
        report["finished"] = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S %Z}"
        report["rows"] = [asdict(result) for result in results]
        out.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    show(results, options)
    print(f"written to {out}")


if __name__ == "__main__":
    main()
