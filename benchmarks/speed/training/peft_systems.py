"""PEFT's training methods as its users write them, on the backbone and the token ids that Softgraft trains on.

Virtual tokens are before all text and start from the text twin, as Softgraft's do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.peft_models import padded, peft_model, prompt_tuning_model
from benchmarks.speed.training.data import TokenExample
from benchmarks.speed.training.report import ANSWER_LOGITS, CARTRIDGE, LORA, PREFIX_TUNING
from benchmarks.speed.training.systems import LEARNING_RATE, TWIN, optimizer_step, slot_first_loss
from soft_prompt import Backbone, SoftPrompt, from_text_twin, kv_from_text_twin
from soft_prompt.graft.prompt import keys_and_values

IGNORED, LORA_RANK = -100, 16


class PeftTraining:
    """A method of PEFT on a frozen backbone, with labels at the answer.

    PEFT caches nothing between steps. `stop` removes the weights that LoRA adds to the backbone. `initial` has the
    initial virtual tokens; LoRA has none.
    """

    def __init__(self, name: str, backbone: Backbone, initial: SoftPrompt | None) -> None:
        self.name, self.backbone, self.initial = name, backbone, initial

    def start(self) -> None:
        self.stop()
        torch.manual_seed(0)
        self.model: Any = self._make_model()
        self.trained = [weights for weights in self.model.parameters() if weights.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=LEARNING_RATE, weight_decay=0.0)

    def fill(self, examples: Sequence[TokenExample]) -> None:
        """Nothing: every context runs through the model for every example."""

    def step(self, examples: Sequence[TokenExample]) -> float:
        prompts = [(*e.context, *e.question) for e in examples]
        ids, mask = padded(self.backbone, [(*p, *e.answer) for p, e in zip(prompts, examples, strict=True)], "right")
        targets = [(*[IGNORED] * len(p), *e.answer) for p, e in zip(prompts, examples, strict=True)]
        labels, _ = padded(self.backbone, targets, "right", IGNORED)
        return optimizer_step(self._loss(ids, labels, mask), self.trained, self.optimizer)

    def stop(self) -> None:
        if self.name == LORA and hasattr(self, "model"):
            self.model.unload()
        for attribute in ("model", "trained", "optimizer"):
            self.__dict__.pop(attribute, None)

    def _make_model(self) -> Any:
        if self.initial is None:
            # All linear layers except the output head, as in Softgraft's adapters.
            return peft_model(self.backbone, "LoraConfig", r=LORA_RANK, target_modules="all-linear")
        if self.initial.kind == "embedding":
            return prompt_tuning_model(self.backbone, self.initial.vectors)
        # A cartridge's first token stays frozen, as is PEFT's default.
        config = "CartridgeConfig" if self.name == CARTRIDGE else "PrefixTuningConfig"
        model = peft_model(self.backbone, config, num_virtual_tokens=self.initial.length)
        # PEFT uses its keys as they are, from position 0 on, and stores all layers in one row per token.
        with torch.no_grad():
            placed = torch.cat(keys_and_values(self.backbone, self.initial, 0))
        rows = placed.permute(3, 0, 1, 2, 4).reshape(self.initial.length, -1)
        model.prompt_encoder["default"].load_prompt_embeddings(rows)
        return model

    def _loss(self, ids: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        if self.name != ANSWER_LOGITS or self.initial is None:
            loss: Tensor = self.model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss
            return loss
        answers = labels != IGNORED
        # A token is predicted one position before its own; the virtual tokens come before all others.
        predicting = torch.nn.functional.pad(answers, (self.initial.length - 1, 1))
        output = self.model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=predicting)
        return torch.nn.functional.cross_entropy(output.logits.float().flatten(0, -2), labels[answers])


def peft_system(name: str, backbone: Backbone, length: int) -> PeftTraining:
    """A system of `PEFT`."""
    return PeftTraining(name, backbone, _initial(name, backbone, length))


def same_tokens_loss(name: str, backbone: Backbone, examples: Sequence[TokenExample], length: int) -> float:
    """The expected first loss of a system of `PEFT`: Softgraft's, with its slot where PEFT's virtual tokens are.

    Call it only while no system is between `start` and `stop`, because LoRA changes the backbone in between.
    """
    return slot_first_loss(backbone, examples, _initial(name, backbone, length))


def _initial(name: str, backbone: Backbone, length: int) -> SoftPrompt | None:
    if name == LORA:
        return None
    if name in (PREFIX_TUNING, CARTRIDGE):
        return kv_from_text_twin(backbone, "domain", TWIN, (), length)
    return from_text_twin(backbone, "domain", TWIN, length)
