"""A small training task, and one run of it that a test may kill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from prompts import Message, PassageSegment, RenderedPrompt, SoftSegment, TextSegment
from soft_prompt import Backbone, PrefixStore, SoftPrompt, TrainConfig, TrainResult, TrainStep, train

Task = tuple[RenderedPrompt, str]
CONFIG = TrainConfig(
    epochs=3, min_steps=1, batch_size=2, learning_rate=2e-2, warmup_steps=2, checkpoint_steps=2, patience=9
)


def configured(**changes: Any) -> TrainConfig:
    """The usual settings with some changes."""
    return TrainConfig(**{**CONFIG.model_dump(), **changes})


def task(passage: str, question: str, answer: str, slot: str = "domain") -> Task:
    system = (TextSegment("Help."), PassageSegment(passage, "p"), SoftSegment(slot))
    return RenderedPrompt((Message("system", system), Message("user", (TextSegment(question),)))), answer


EXAMPLES = [
    task("Fees: 12.", "What is the fee?", "12."),
    task("Fees: 12.", "How much?", "It is 12."),
    task("Open at nine.", "When?", "At nine."),
    task("Open at nine, but on Sundays at ten.", "On Sunday?", "Ten."),
    task("", "Who are you?", "A bank."),
]
DEV = [task("Close at five.", "Until when?", "Five."), task("Fees: 7.", "What is the fee?", "7.")]


class Killed(KeyboardInterrupt):
    """A keyboard interrupt that differs from a real one."""


def killer(kill_at: int | None) -> Callable[[TrainStep], None]:
    """An `on_step` that kills the run at its call of this number."""
    calls = 0

    def on_step(_: TrainStep) -> None:
        nonlocal calls
        calls += 1
        if calls == kill_at:
            raise Killed

    return on_step


def run(
    backbone: Backbone,
    start: SoftPrompt,
    config: TrainConfig = CONFIG,
    *,
    examples: Sequence[Task] = EXAMPLES,
    dev: Sequence[Task] = DEV,
    folder: Path | None = None,
    kill_at: int | None = None,
) -> TrainResult:
    """One run with a store of its own, killed at a call of `on_step`."""
    return train(PrefixStore(backbone), start, examples, dev, config, folder=folder, on_step=killer(kill_at))


def same_bits(one: TrainResult, other: TrainResult) -> bool:
    return (
        torch.equal(one.soft_prompt.vectors, other.soft_prompt.vectors)
        and one.losses == other.losses
        and [(s.epoch, s.train_loss, s.dev_loss) for s in one.scores]
        == [(s.epoch, s.train_loss, s.dev_loss) for s in other.scores]
        and (one.best_epoch, one.start_loss, one.dev_loss) == (other.best_epoch, other.start_loss, other.dev_loss)
    )
