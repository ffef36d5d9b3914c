"""PEFT's methods and full fine-tuning on the prompts of the quality benchmark.

Each reads the text twin in the slot, so that it starts where the soft prompts start. Prompt tuning has an empty slot
and its virtual tokens, started from the text twin, before all text. Only answer positions produce logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.peft_models import padded, peft_model, prompt_tuning_model
from benchmarks.quality.data import Question
from benchmarks.quality.settings import ALORA, BATCH, FULL, PEERS, PROMPT_TUNING
from benchmarks.quality.systems import Setup
from benchmarks.quality.training import TrainingSummary, train_for
from prompts import RenderedPrompt
from soft_prompt import SoftPrompt, encode_prompt, from_text_twin
from soft_prompt.model.backbone import fast_dtype

Ids = tuple[int, ...]
VIRTUAL_TOKENS = 32


class PeftSystem:
    """A method of `PEERS`: one of PEFT's, or the whole model trained in fp32 with products in bf16."""

    parameters = bytes = 0

    def __init__(self, name: str, setup: Setup) -> None:
        self.name, self.setup, self.learning_rate = name, setup, PEERS[name]
        torch.manual_seed(setup.seed)
        self.model: Any = self._make_model()

    def train(self, questions: Sequence[Question], seconds: float) -> TrainingSummary | None:
        trained = [weights for weights in self.model.parameters() if weights.requires_grad]
        self.parameters = sum(weights.numel() for weights in trained)
        # As saved: PEFT's weights in fp32, the whole model in its own bf16.
        self.bytes = self.parameters * (2 if self.name == FULL else 4)
        examples = [(self.prompt_ids(q.prompt), self.setup.answer_ids(q)) for q in questions]

        def loss_of(batch: list[int], step: int) -> tuple[Tensor, int]:
            return self.loss([examples[i] for i in batch])

        lengths = [len(ids) + len(answer) for ids, answer in examples]
        # Neither this backbone nor LoRA's default has dropout.
        return train_for(seconds, lengths, loss_of, [(trained, self.learning_rate)], self.setup.seed)

    def reply(self, questions: Sequence[Question], max_tokens: int) -> list[str]:
        backbone, rows = self.setup.backbone, [self.prompt_ids(q.prompt) for q in questions]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        replies: dict[int, str] = {}
        for first in range(0, len(order), 2 * BATCH):
            batch = order[first : first + 2 * BATCH]
            ids, mask = padded(backbone, [rows[i] for i in batch], "left")
            with torch.no_grad(), self._autocast():
                output = self.model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=max_tokens,
                    do_sample=False,
                    pad_token_id=backbone.end_id,
                    eos_token_id=list(backbone.end_ids),
                )
            for i, row in zip(batch, output[:, ids.shape[1] :].tolist(), strict=True):
                end = next((at for at, token in enumerate(row) if token in backbone.end_ids), len(row))
                # The engine also drops an incomplete character at the end.
                replies[i] = backbone.decode(row[:end]).rstrip("\ufffd").strip()
        return [replies[i] for i in range(len(rows))]

    def text_loss(self, texts: Sequence[str]) -> float:
        total, tokens = 0.0, 0
        for text in texts:
            *before, text_ids, _ = self._parts(self.setup.general_prompt(text))
            with torch.no_grad():
                loss, count = self.loss([(tuple(token for part in before for token in part), text_ids)])
            total, tokens = total + float(loss), tokens + count
        return total / tokens

    def prompt_ids(self, prompt: RenderedPrompt) -> Ids:
        """The prompt as token ids."""
        return tuple(token for part in self._parts(prompt) for token in part)

    def loss(self, examples: Sequence[tuple[Ids, Ids]]) -> tuple[Tensor, int]:
        """The summed loss of the answers of (prompt, answer) pairs, in nats, and the number of answer tokens."""
        rows, mask = padded(self.setup.backbone, [(*ids, *answer) for ids, answer in examples], "right")
        predicting = torch.zeros(rows.shape, dtype=torch.bool)
        for number, (ids, answer) in enumerate(examples):
            predicting[number, len(ids) - 1 : len(ids) + len(answer) - 1] = True
        if self.name == PROMPT_TUNING:
            predicting = torch.nn.functional.pad(predicting, (VIRTUAL_TOKENS, 0))
        with self._autocast():
            output = self.model(input_ids=rows, attention_mask=mask, use_cache=False, logits_to_keep=predicting)
        targets = torch.tensor([token for _, answer in examples for token in answer])
        logits = output.logits.float().reshape(len(targets), -1)
        return torch.nn.functional.cross_entropy(logits, targets, reduction="sum"), len(targets)

    def _make_model(self) -> Any:
        setup, backbone = self.setup, self.setup.backbone
        if self.name == FULL:
            return backbone.model.float().requires_grad_(True)
        if self.name == PROMPT_TUNING:
            vectors = from_text_twin(backbone, setup.slot, setup.twin, VIRTUAL_TOKENS).vectors
            return prompt_tuning_model(backbone, vectors)
        # aLoRA acts from the first words of the text twin on, where Softgraft has its slot.
        twin = backbone.encode_text(setup.twin)
        invocation = {"alora_invocation_tokens": twin[:4]} if self.name == ALORA else {}
        # The same layers as Softgraft's adapters.
        return peft_model(backbone, "LoraConfig", r=16, lora_alpha=16, target_modules="all-linear", **invocation)

    def _parts(self, prompt: RenderedPrompt) -> list[Ids]:
        fills = {} if self.name == PROMPT_TUNING else {self.setup.slot: self.setup.twin}
        row = encode_prompt(self.setup.backbone, prompt, fills)
        return [_ids(part) for part in (row.prefix, *row.suffix)]

    def _autocast(self) -> torch.autocast:
        bf16 = self.name == FULL and fast_dtype("cpu") == torch.bfloat16
        return torch.autocast("cpu", torch.bfloat16, enabled=bf16)


def _ids(part: Ids | SoftPrompt) -> Ids:
    assert isinstance(part, tuple)
    return part
