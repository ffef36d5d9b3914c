"""The ways to generate that `generation_speed.py` compares, each timed token by token on the same prompts."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from transformers import StoppingCriteria

from benchmarks.machine import clock
from benchmarks.speed.training_data import Task
from benchmarks.speed.training_systems import TWIN
from soft_prompt import (
    Backbone,
    Decoding,
    PrefixStore,
    Row,
    from_text_twin,
    kv_from_text_twin,
)
from soft_prompt.generation.generation import decode_batch
from soft_prompt.model.decoder import DecodeWeights
from soft_prompt.model.kv_cache import filled_cache

PEFT, PEFT_BEST = "peft", "peft-same-context-cached"
EXACT, BLOCK, BLOCK_DISK = "softgraft-exact", "softgraft-block", "softgraft-block-disk"
EXACT_INT8, BLOCK_INT8 = "softgraft-exact-int8", "softgraft-block-int8"
INT8 = (EXACT_INT8, BLOCK_INT8)
SYSTEMS = (PEFT, PEFT_BEST, EXACT, BLOCK, BLOCK_DISK, EXACT_INT8, BLOCK_INT8)


@dataclass(frozen=True, eq=False)
class TimedBackbone(Backbone):
    """A backbone that no token ends, so that every system decodes the same number, and that notes when each is there.

    Attributes:
        times: a time a row and token, as the engine asks for the row's text.
    """

    times: list[float] = field(default_factory=list)

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """None."""
        return frozenset()

    def decode(self, ids: Sequence[int]) -> str:
        """As the backbone, with the time noted."""
        self.times.append(clock(self.device))
        return super().decode(ids)


class System(Protocol):
    """A way to generate. `run` gives the seconds at which each token of the whole batch was there."""

    def run(self, tokens: int) -> list[float]: ...

    def close(self) -> None: ...


class Softgraft:
    """The engine with a `kv` soft prompt and everything before it in the store.

    Args:
        backbone: the frozen model.
        tasks: one a row.
        length: positions of the soft prompt.
        attention: whether passages see one another.
        from_disk: entries come from memory-mapped files that the system has not read yet, instead of from memory.
        weights: how decoding reads the weights.
    """

    def __init__(
        self,
        backbone: Backbone,
        tasks: Sequence[Task],
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
        soft = kv_from_text_twin(self.store.backbone, "domain", TWIN, tasks[0].context[: tasks[0].cuts[0]], length)
        self.rows = [Row(t.context, (soft, t.question), cuts=t.cuts, attention=attention) for t in tasks]
        for row in self.rows:
            self.store.warm(row)

    def run(self, tokens: int) -> list[float]:
        if self.folder is not None:
            self.store.close()
            _forget_pages(self.folder)
            self.store = self._open()
        times = self.backbone.times
        times.clear()
        began = clock(self.backbone.device)
        for _ in decode_batch(self.store, self.rows, Decoding(max_tokens=tokens, weights=self.weights)):
            continue
        return [time - began for time in times[len(self.rows) - 1 :: len(self.rows)]]

    def close(self) -> None:
        self.store.close()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _open(self) -> PrefixStore:
        if self.folder is None:
            return PrefixStore(self.backbone, memory_bytes=8 * 1024**3)
        return PrefixStore(self.backbone, memory_bytes=0, folder=self.folder)


def _forget_pages(folder: Path) -> None:
    """Let the system drop what it has read of these files, so that they come from the disk again."""
    if not hasattr(os, "posix_fadvise"):
        raise SystemExit(f"this system cannot forget file pages. Next: leave {BLOCK_DISK} out of --systems")
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class _Clock(StoppingCriteria):  # type: ignore[misc]
    """Notes when each token was there; never stops."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.times = device, list[float]()

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        self.times.append(clock(self.device))
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


class TransformersGenerate:
    """`generate` of Transformers with a prompt of PEFT, as its users write it.

    Args:
        backbone: the frozen model.
        tasks: one a row.
        length: virtual tokens.
        cached: PEFT's best case, which its users have to write themselves: the very same contexts are asked about
            again, and keys and values of virtual tokens and context were kept from the time before.
    """

    def __init__(self, backbone: Backbone, tasks: Sequence[Task], length: int, *, cached: bool) -> None:
        self.backbone, self.cached = backbone, cached
        rows = [(*task.context, *task.question) for task in tasks]
        widest = max(map(len, rows))
        pad = backbone.end_id
        self.ids = torch.tensor([[pad] * (widest - len(row)) + [*row] for row in rows], device=backbone.device)
        self.mask = torch.tensor([[0] * (widest - len(r)) + [1] * len(r) for r in rows], device=backbone.device)
        initial = from_text_twin(backbone, "domain", TWIN, length)
        if cached:
            self._keep_contexts(initial.vectors, len(tasks[0].question))
            return
        try:
            from peft import PromptTuningConfig, TaskType, get_peft_model
        except ImportError as error:
            raise SystemExit('PEFT is not installed. Next: pip install "peft>=0.21,<0.22"') from error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            config = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=length)
            self.model: Any = get_peft_model(backbone.model, config)
        self.model.prompt_encoder["default"].embedding.weight.data.copy_(initial.vectors)

    def run(self, tokens: int) -> list[float]:
        timed = _Clock(self.backbone.device)
        settings: dict[str, Any] = {"do_sample": False, "max_new_tokens": tokens, "min_new_tokens": tokens,
                                    "pad_token_id": self.backbone.end_id, "stopping_criteria": [timed]}  # fmt: skip
        began = clock(self.backbone.device)
        with torch.no_grad():
            if self.cached:
                # Generation writes into its cache, so what is to be used again is copied.
                kept = copy.deepcopy(self.kept)
                self.model.generate(input_ids=self.ids, attention_mask=self.mask, past_key_values=kept, **settings)
            else:
                self.model.generate(input_ids=self.ids, attention_mask=self.mask, **settings)
        return [time - began for time in timed.times]

    def close(self) -> None:
        self.__dict__.pop("kept", None)

    def _keep_contexts(self, virtual: Tensor, question: int) -> None:
        """The virtual tokens stand first; their ids are never read, since they are cached."""
        self.model = self.backbone.model
        rows, length = len(self.ids), len(virtual)
        context = self.model.get_input_embeddings()(self.ids[:, :-question])
        embedded = torch.cat((virtual.to(context).expand(rows, -1, -1), context), dim=1)
        self.ids = torch.nn.functional.pad(self.ids, (length, 0), value=self.backbone.end_id)
        self.mask = torch.nn.functional.pad(self.mask, (length, 0), value=1)
        self.kept = filled_cache([])
        with torch.no_grad():
            self.model(
                inputs_embeds=embedded, attention_mask=self.mask[:, : embedded.shape[1]], past_key_values=self.kept,
                use_cache=True, logits_to_keep=1,
            )  # fmt: skip


def make_system(name: str, backbone: Backbone, tasks: Sequence[Task], length: int) -> System:
    """A system of `SYSTEMS`, warm: what it keeps between questions is there."""
    if name in (PEFT, PEFT_BEST):
        return TransformersGenerate(backbone, tasks, length, cached=name == PEFT_BEST)
    attention: Literal["exact", "block"] = "exact" if name in (EXACT, EXACT_INT8) else "block"
    weights: DecodeWeights = "auto" if name in INT8 else "own"
    return Softgraft(backbone, tasks, length, attention=attention, from_disk=name == BLOCK_DISK, weights=weights)
