"""PEFT models around a frozen backbone, and the padded batches that Transformers' models read."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from soft_prompt import Backbone


def peft_model(backbone: Backbone, config_class: str, **settings: Any) -> Any:
    """The backbone wrapped in a PEFT model, such as `peft_model(backbone, "LoraConfig", r=16)`."""
    try:
        import peft
    except ImportError as error:
        raise SystemExit('PEFT is not installed. Next: pip install -e ".[embedded,bench]"') from error
    config = getattr(peft, config_class)(task_type=peft.TaskType.CAUSAL_LM, **settings)
    with warnings.catch_warnings():
        # PEFT reads an attribute of Transformers by its deprecated name.
        warnings.simplefilter("ignore", FutureWarning)
        return peft.get_peft_model(backbone.model, config)


def prompt_tuning_model(backbone: Backbone, vectors: Tensor) -> Any:
    """A PEFT prompt tuning model whose virtual tokens start from `vectors` `[tokens, hidden]`."""
    model = peft_model(backbone, "PromptTuningConfig", num_virtual_tokens=len(vectors))
    model.prompt_encoder["default"].embedding.weight.data.copy_(vectors)
    return model


def padded(
    backbone: Backbone, rows: Sequence[Sequence[int]], side: Literal["left", "right"], fill: int | None = None
) -> tuple[Tensor, Tensor]:
    """Rows of token ids as one batch: ids and attention mask, int64 `[rows, tokens]` on the backbone's device.

    Rows are padded at `side` (generation needs "left") with `fill` or the backbone's end token.
    """
    value = backbone.end_id if fill is None else fill
    ids = pad_sequence([torch.tensor(row) for row in rows], True, value, side)
    mask = pad_sequence([torch.ones(len(row), dtype=torch.int64) for row in rows], True, 0, side)
    return ids.to(backbone.device), mask.to(backbone.device)
