"""The systems that `generation_speed.py` compares, each timed token by token on the same prompts."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import StoppingCriteria

from benchmarks.machine import clock
from benchmarks.peft_models import padded, prompt_tuning_model
from benchmarks.speed.generation.report import BLOCK_DISK, BLOCK_INT8, EXACT, PEFT, PEFT_BEST
from benchmarks.speed.training.data import TokenExample
from benchmarks.speed.training.systems import TWIN
from soft_prompt import Backbone, Decoding, PrefixStore, Row, from_text_twin, kv_from_text_twin
from soft_prompt.generation.generation import decode_batch
from soft_prompt.model.kv_cache import dynamic_cache
from soft_prompt.model.optimized import DecodeWeights


@dataclass(frozen=True, eq=False)
class TimedBackbone(Backbone):
    """A backbone without end tokens, so that every system decodes the same number of tokens, and with a clock.

    Attributes:
        times: a time per row and token, recorded when the engine decodes the row's text.
    """

    times: list[float] = field(default_factory=list)

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """None."""
        return frozenset()

    def decode(self, ids: Sequence[int]) -> str:
        """Decode as the backbone does, and record the time."""
        self.times.append(clock(self.device))
        return super().decode(ids)


class SoftgraftGeneration:
    """The engine with a `kv` soft prompt and a warm prefix store.

    `run` returns the seconds at which each token of the whole batch was ready. With `from_disk`, entries are read from
    memory-mapped files that are not in the page cache.
    """

    def __init__(
        self,
        backbone: Backbone,
        examples: Sequence[TokenExample],
        length: int,
        *,
        attention: Literal["exact", "block"],
        from_disk: bool = False,
        weights: DecodeWeights = "own",
    ) -> None:
        self.backbone = TimedBackbone(backbone.id, backbone.digest, backbone.model, backbone.tokenizer)
        self.weights = weights
        self.folder = Path(tempfile.mkdtemp(prefix="softgraft-bench-")) if from_disk else None
        self.store = self._open()
        first = examples[0]
        soft = kv_from_text_twin(self.store.backbone, "domain", TWIN, first.context[: first.cuts[0]], length)
        self.rows = [Row(e.context, (soft, e.question), cuts=e.cuts, attention=attention) for e in examples]
        for row in self.rows:
            self.store.warm(row)

    def run(self, tokens: int) -> list[float]:
        if self.folder is not None:
            self.store.close()
            _drop_page_cache(self.folder)
            self.store = self._open()
        times = self.backbone.times
        times.clear()
        start = clock(self.backbone.device)
        for _ in decode_batch(self.store, self.rows, Decoding(max_tokens=tokens, weights=self.weights)):
            continue
        return [time - start for time in times[len(self.rows) - 1 :: len(self.rows)]]

    def close(self) -> None:
        self.store.close()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _open(self) -> PrefixStore:
        if self.folder is None:
            return PrefixStore(self.backbone, memory_bytes=8 * 1024**3)
        return PrefixStore(self.backbone, memory_bytes=0, folder=self.folder)


def _drop_page_cache(folder: Path) -> None:
    """Let the system forget the pages of these files, so that the next read comes from the disk."""
    if not hasattr(os, "posix_fadvise"):
        raise SystemExit(f"this system cannot drop file pages. Next: leave {BLOCK_DISK} out of --systems")
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class _TokenClock(StoppingCriteria):  # type: ignore[misc]
    """Records when each token is ready; never stops."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.times = device, list[float]()

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        self.times.append(clock(self.device))
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


class TransformersGeneration:
    """`generate` of Transformers with a PEFT prompt, as PEFT's users write it.

    `cached` is PEFT's best case, which its users must write themselves: the same contexts are asked about again, and
    the KV cache of virtual tokens and context was kept.
    """

    def __init__(self, backbone: Backbone, examples: Sequence[TokenExample], length: int, *, cached: bool) -> None:
        self.backbone, self.cached = backbone, cached
        self.ids, self.mask = padded(backbone, [(*e.context, *e.question) for e in examples], "left")
        vectors = from_text_twin(backbone, "domain", TWIN, length).vectors
        self.model: Any = backbone.model if cached else prompt_tuning_model(backbone, vectors)
        if cached:
            self._cache_contexts(vectors, len(examples[0].question))

    def run(self, tokens: int) -> list[float]:
        timed = _TokenClock(self.backbone.device)
        settings: dict[str, Any] = {"do_sample": False, "max_new_tokens": tokens, "min_new_tokens": tokens,
                                    "pad_token_id": self.backbone.end_id, "stopping_criteria": [timed]}  # fmt: skip
        start = clock(self.backbone.device)
        with torch.no_grad():
            if self.cached:
                # Generation writes into its cache, so a cache that is used again must be copied.
                settings["past_key_values"] = copy.deepcopy(self.cache)
            self.model.generate(input_ids=self.ids, attention_mask=self.mask, **settings)
        return [time - start for time in timed.times]

    def close(self) -> None:
        self.__dict__.pop("cache", None)

    def _cache_contexts(self, vectors: Tensor, question: int) -> None:
        """Cache virtual tokens `[tokens, hidden]` and contexts. The ids of virtual tokens are never read."""
        rows, length = len(self.ids), len(vectors)
        context = self.model.get_input_embeddings()(self.ids[:, :-question])
        embedded = torch.cat((vectors.to(context).expand(rows, -1, -1), context), dim=1)
        self.ids = torch.nn.functional.pad(self.ids, (length, 0), value=self.backbone.end_id)
        self.mask = torch.nn.functional.pad(self.mask, (length, 0), value=1)
        self.cache = dynamic_cache([])
        with torch.no_grad():
            self.model(
                inputs_embeds=embedded, attention_mask=self.mask[:, : embedded.shape[1]], past_key_values=self.cache,
                use_cache=True, logits_to_keep=1,
            )  # fmt: skip


def make_system(
    name: str, backbone: Backbone, examples: Sequence[TokenExample], length: int
) -> SoftgraftGeneration | TransformersGeneration:
    """A system of `SYSTEMS`, with a warm cache."""
    if name in (PEFT, PEFT_BEST):
        return TransformersGeneration(backbone, examples, length, cached=name == PEFT_BEST)
    attention: Literal["exact", "block"] = "exact" if name == EXACT else "block"
    weights: DecodeWeights = "auto" if name == BLOCK_INT8 else "own"
    from_disk = name == BLOCK_DISK
    return SoftgraftGeneration(backbone, examples, length, attention=attention, from_disk=from_disk, weights=weights)
