"""PEFT's methods as its users write them, on the backbone and the token ids that Softgraft trains on.

Virtual tokens stand before everything and start from the text twin as Softgraft's do. `same_tokens_loss` is what the
first loss has to be if both sides see the same tokens in the same places.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed.training_data import Task
from benchmarks.speed.training_systems import LEARNING_RATE, TWIN, descend, slot_first_loss
from soft_prompt import Backbone, SoftPrompt, from_text_twin, kv_from_text_twin
from soft_prompt.graft.prompt import keys_and_values

BASELINE = "peft-prompt-tuning"
ANSWER_LOGITS = "peft-answer-logits"
PEFT = (BASELINE, ANSWER_LOGITS, "peft-prefix-tuning", "peft-cartridge", "peft-lora")
IGNORED, LORA_RANK = -100, 16


class PeftSystem:
    """A method of PEFT: a frozen backbone inside a PEFT model, and labels at the answer.

    PEFT's methods keep nothing between steps. Weights that it puts into the backbone itself are taken out by `stop`.

    Args:
        name: a member of `PEFT`.
        backbone: the frozen model.
        initial: what the virtual tokens start from; None for LoRA, which has none.
    """

    def __init__(self, name: str, backbone: Backbone, initial: SoftPrompt | None) -> None:
        self.name, self.backbone, self.initial = name, backbone, initial

    def start(self) -> None:
        peft = _peft()
        self.stop()
        shared = {"task_type": peft.TaskType.CAUSAL_LM}
        virtual = {**shared, "num_virtual_tokens": self.initial.length if self.initial else 0}
        torch.manual_seed(0)
        if self.name == "peft-lora":
            # All linear layers but the one that makes logits, as in the adapters of Softgraft.
            config = peft.LoraConfig(**shared, r=LORA_RANK, target_modules="all-linear")
        elif self.name == "peft-prefix-tuning":
            config = peft.PrefixTuningConfig(**virtual)
        elif self.name == "peft-cartridge":
            # Its first token stays frozen, as PEFT has it by default.
            config = peft.CartridgeConfig(**virtual)
        else:
            config = peft.PromptTuningConfig(**virtual)
        with warnings.catch_warnings():
            # PEFT asks Transformers for an attribute by its old name.
            warnings.simplefilter("ignore", FutureWarning)
            self.model: Any = peft.get_peft_model(self.backbone.model, config)
        if self.initial is not None:
            self._take_initial(self.initial)
        self.trained = [weights for weights in self.model.parameters() if weights.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=LEARNING_RATE, weight_decay=0.0)

    def fill(self, tasks: Sequence[Task]) -> None:
        """Nothing: every context runs through the model for every example."""

    def step(self, tasks: Sequence[Task]) -> float:
        rows = [(*task.context, *task.question, *task.answer) for task in tasks]
        widest = max(map(len, rows))
        ids, labels, mask = [], [], []
        for row, task in zip(rows, tasks, strict=True):
            pad = widest - len(row)
            ids.append([*row, *[self.backbone.end_id] * pad])
            labels.append([*[IGNORED] * (len(row) - len(task.answer)), *task.answer, *[IGNORED] * pad])
            mask.append([*[1] * len(row), *[0] * pad])
        batch = (torch.tensor(part, device=self.backbone.device) for part in (ids, labels, mask))
        return descend(self._loss(*batch), self.trained, self.optimizer)

    def stop(self) -> None:
        if self.name == "peft-lora" and hasattr(self, "model"):
            self.model.unload()
        for left in ("model", "trained", "optimizer"):
            if hasattr(self, left):
                delattr(self, left)

    def _take_initial(self, initial: SoftPrompt) -> None:
        encoder = self.model.prompt_encoder["default"]
        if initial.kind == "embedding":
            encoder.embedding.weight.data.copy_(initial.vectors)
            return
        # PEFT takes its keys as they are, from position 0 on, and has those of all layers in one row a token.
        with torch.no_grad():
            placed = torch.cat(keys_and_values(self.backbone, initial, 0))
        encoder.load_prompt_embeddings(placed.permute(3, 0, 1, 2, 4).reshape(initial.length, -1))

    def _loss(self, ids: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        if self.name != ANSWER_LOGITS or self.initial is None:
            loss: Tensor = self.model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss
            return loss
        answers = labels != IGNORED
        # A token is predicted one place before it stands; the virtual tokens stand before everything.
        predicting = torch.nn.functional.pad(answers, (self.initial.length - 1, 1))
        output = self.model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=predicting)
        return torch.nn.functional.cross_entropy(output.logits.float().flatten(0, -2), labels[answers])


def peft_system(name: str, backbone: Backbone, length: int) -> PeftSystem:
    """A system of `PEFT`."""
    _peft()
    return PeftSystem(name, backbone, _initial(name, backbone, length))


def same_tokens_loss(name: str, backbone: Backbone, tasks: Sequence[Task], length: int) -> float:
    """What the first loss of a system of `PEFT` has to be near, by Softgraft with the slot where PEFT has it.

    To be asked for while no system is between `start` and `stop`: LoRA changes the backbone in between.
    """
    return slot_first_loss(backbone, tasks, _initial(name, backbone, length))


def _initial(name: str, backbone: Backbone, length: int) -> SoftPrompt | None:
    if name == "peft-lora":
        return None
    if name in (BASELINE, ANSWER_LOGITS):
        return from_text_twin(backbone, "domain", TWIN, length)
    return kv_from_text_twin(backbone, "domain", TWIN, (), length)


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise SystemExit('PEFT is not installed. Next: pip install "peft>=0.21,<0.22"') from error
    return peft
