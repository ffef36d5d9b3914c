"""PEFT's methods and full fine-tuning on the prompts of the quality benchmark.

Each reads what the text twin's system reads, so that it starts where the soft prompts start; prompt tuning has its
virtual tokens before everything, started from the text twin, and no text in the slot. Only answer positions make
logits, in training and in the loss of general text.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from benchmarks.quality.data import Question
from benchmarks.quality.systems import Where, answer_ids, general_prompt
from benchmarks.quality.training import BATCH, Trained, train_for
from soft_prompt import SoftPrompt, encode_prompt, from_text_twin
from soft_prompt.model.backbone import fast_dtype

Ids = tuple[int, ...]
LORA, ALORA, PROMPT_TUNING, FULL = "lora-r16", "alora-r16", "peft-prompt-tuning", "full-fine-tuning"
# Chosen on dev, of those that `PEER_WAYS` names.
RATES = {LORA: 3e-3, ALORA: 3e-3, PROMPT_TUNING: 1e-1, FULL: 1e-4}
VIRTUAL_TOKENS = 32
# bytes of a number, as each is saved: PEFT's in fp32, the whole model in its own bf16.
_WIDTH = {FULL: 2}


class PeftSystem:
    """A method of PEFT, or the whole model trained in fp32 with bf16 products.

    Args:
        name: `LORA`, `ALORA`, `PROMPT_TUNING` or `FULL`.
        where: what it is trained for.
        rate: highest learning rate, where it is another than that of `RATES`.
    """

    parameters = bytes = 0

    def __init__(self, name: str, where: Where, rate: float | None = None) -> None:
        import peft

        self.name, self.where, self.rate = name, where, RATES[name] if rate is None else rate
        backbone = where.backbone
        torch.manual_seed(where.seed)
        shared = {"task_type": peft.TaskType.CAUSAL_LM}
        if name == FULL:
            self.model: Any = backbone.model.float()
            self.model.requires_grad_(True)
        else:
            if name == PROMPT_TUNING:
                config = peft.PromptTuningConfig(**shared, num_virtual_tokens=VIRTUAL_TOKENS)
            else:
                # aLoRA acts from the first words of the text twin on: where Softgraft's slot stands.
                invoke = {"alora_invocation_tokens": self._twin()[:4]} if name == ALORA else {}
                # The layers beside which Softgraft's adapters stand.
                config = peft.LoraConfig(**shared, r=16, lora_alpha=16, target_modules="all-linear", **invoke)
            with warnings.catch_warnings():
                # PEFT asks Transformers for an attribute by its old name.
                warnings.simplefilter("ignore", FutureWarning)
                self.model = peft.get_peft_model(backbone.model, config)
        if name == PROMPT_TUNING:
            start = from_text_twin(backbone, where.slot, where.twin, VIRTUAL_TOKENS)
            self.model.prompt_encoder["default"].embedding.weight.data.copy_(start.vectors)

    def train(self, questions: Sequence[Question], seconds: float) -> Trained | None:
        trained = [weights for weights in self.model.parameters() if weights.requires_grad]
        self.parameters = sum(weights.numel() for weights in trained)
        self.bytes = self.parameters * _WIDTH.get(self.name, 4)
        examples = [(self._ids(q), answer_ids(self.where.backbone, q)) for q in questions]

        def loss_of(batch: list[int], step: int) -> tuple[Tensor, int]:
            return self._loss([examples[i] for i in batch])

        lengths = [len(ids) + len(answer) for ids, answer in examples]
        # Transformers' dropout is none in this backbone, and LoRA's default is none either.
        return train_for(seconds, lengths, loss_of, [(trained, self.rate)], self.where.seed)

    def reply(self, questions: Sequence[Question], max_tokens: int) -> list[str]:
        backbone, rows = self.where.backbone, [self._ids(q) for q in questions]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        replies: dict[int, str] = {}
        for first in range(0, len(order), 2 * BATCH):
            chosen = order[first : first + 2 * BATCH]
            width = max(len(rows[i]) for i in chosen)
            # generate goes on at the right, so rows are padded at the left.
            ids = torch.tensor([[backbone.end_id] * (width - len(rows[i])) + [*rows[i]] for i in chosen])
            mask = torch.tensor([[0] * (width - len(rows[i])) + [1] * len(rows[i]) for i in chosen])
            with torch.no_grad(), self._products():
                whole = self.model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=max_tokens,
                    do_sample=False,
                    pad_token_id=backbone.end_id,
                    eos_token_id=list(backbone.end_ids),
                )
            for i, row in zip(chosen, whole[:, -(whole.shape[1] - width) :].tolist(), strict=True):
                end = next((at for at, token in enumerate(row) if token in backbone.end_ids), len(row))
                # Half a character at the end is never said, as in the engine.
                replies[i] = backbone.decode(row[:end]).rstrip("\ufffd").strip()
        return [replies[i] for i in range(len(rows))]

    def text_loss(self, texts: Sequence[str]) -> float:
        backbone, total, tokens = self.where.backbone, 0.0, 0
        twin = {} if self.name == PROMPT_TUNING else {self.where.slot: self.where.twin}
        for text in texts:
            row = encode_prompt(backbone, general_prompt(self.where.slot, text), twin)
            *before, wanted, _ = row.suffix
            assert isinstance(wanted, tuple)
            with torch.no_grad():
                loss, count = self._loss([((*row.prefix, *_flat(before)), wanted)])
            total, tokens = total + float(loss), tokens + count
        return total / tokens

    def _twin(self) -> list[int]:
        return self.where.backbone.encode_text(self.where.twin)

    def _ids(self, question: Question) -> Ids:
        fills = {} if self.name == PROMPT_TUNING else {self.where.slot: self.where.twin}
        row = encode_prompt(self.where.backbone, question.prompt, fills)
        return (*row.prefix, *_flat(row.suffix))

    def _loss(self, examples: Sequence[tuple[Ids, Ids]]) -> tuple[Tensor, int]:
        """Summed loss of the answers and how many tokens they have; rows are padded at the right."""
        widest = max(len(ids) + len(answer) for ids, answer in examples)
        end = self.where.backbone.end_id
        pads = [widest - len(ids) - len(answer) for ids, answer in examples]
        rows = [[*ids, *answer, *[end] * pad] for (ids, answer), pad in zip(examples, pads, strict=True)]
        mask = torch.tensor([[1] * (widest - pad) + [0] * pad for pad in pads])
        wanted = torch.zeros(len(rows), widest, dtype=torch.bool)
        for number, (ids, answer) in enumerate(examples):
            wanted[number, len(ids) - 1 : len(ids) + len(answer) - 1] = True
        if self.name == PROMPT_TUNING:
            wanted = torch.nn.functional.pad(wanted, (VIRTUAL_TOKENS, 0))
        with self._products():
            output = self.model(
                input_ids=torch.tensor(rows), attention_mask=mask, use_cache=False, logits_to_keep=wanted
            )
        targets = torch.tensor([token for _, answer in examples for token in answer])
        logits = output.logits.float().reshape(len(targets), -1)
        return torch.nn.functional.cross_entropy(logits, targets, reduction="sum"), len(targets)

    @contextmanager
    def _products(self) -> Iterator[None]:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.name == FULL and fast_dtype("cpu") == torch.bfloat16):
            yield


def _flat(parts: Sequence[Ids | SoftPrompt]) -> Ids:
    ids: list[int] = []
    for part in parts:
        assert isinstance(part, tuple)
        ids += part
    return tuple(ids)
