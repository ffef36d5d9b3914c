"""Which examples each step of a run trains on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from soft_prompt.training.config import TrainConfig
from soft_prompt.training.example import TrainingExample
from soft_prompt.training.methods.adversarial import UNLABELLED_SHARE
from soft_prompt.training.methods.replay import Replay, token_weights
from soft_prompt.training.methods.reptile import INNER_STEPS, grouped_batches
from soft_prompt.training.schedule import EpochPlan, epoch_batches, plan_epochs

REPLAY_SHARE = 0.25


@dataclass(frozen=True)
class BatchOrder:
    """The batches of a run; they depend on the settings and the step alone, so a run can resume.

    Attributes:
        examples: of the domain.
        replayed: of the source domains, for the methods that replay, each with its weight among them; for
            `adversarial` the unlabelled texts.
    """

    config: TrainConfig
    examples: Sequence[TrainingExample]
    replayed: Sequence[TrainingExample]

    def plan(self) -> EpochPlan:
        """Number of epochs and steps."""
        config, per_epoch = self.config, math.ceil(len(self.examples) / self.config.batch_size)
        if config.method == "reptile":
            per_epoch = len(self.batches(0))
        return plan_epochs(per_epoch * config.batch_size, config.batch_size, config.epochs, config.min_steps)

    def batches(self, epoch: int) -> list[list[int]]:
        """The indices of the domain's examples in each batch of an epoch."""
        return [batch for run in self._runs(epoch) for batch in run]

    def ends_of_runs(self, epoch: int) -> set[int]:
        """The batches of an epoch, counted from 1, after which `reptile` goes part of the way back."""
        ends, done = set(), 0
        for run in self._runs(epoch) if self.config.method == "reptile" else ():
            done += len(run)
            ends.add(done)
        return ends

    def _runs(self, epoch: int) -> list[list[list[int]]]:
        config = self.config
        lengths = [example.row.run_length + len(example.answer) for example in self.examples]
        if config.method != "reptile":
            return [epoch_batches(lengths, config.batch_size, config.seed, epoch)]
        groups = [example.group or 0 for example in self.examples]
        inner = config.inner_steps or INNER_STEPS
        return grouped_batches(lengths, groups, config.batch_size, inner, config.seed, epoch)

    def with_replayed(self, batch: Sequence[TrainingExample], step: int, steps: int) -> list[TrainingExample]:
        """A batch with the examples that this step replays, and the weights that give both their share of the loss."""
        if not self.replayed:
            return list(batch)
        config = self.config
        if config.method == "adversarial":
            texts = Replay(len(self.replayed), config.batch_size, UNLABELLED_SHARE, False, steps, config.seed)
            return [*batch, *(self.replayed[i] for i in texts.chosen_at(step))]
        share = REPLAY_SHARE if config.replay_share is None else config.replay_share
        replay = Replay(
            len(self.replayed), config.batch_size, share, bool(config.replay_anneal), steps, config.seed
        )  # fmt: skip
        added = [self.replayed[i] for i in replay.chosen_at(step)]
        tokens = [len(example.answer) for example in (*batch, *added)]
        among = [*[None] * len(batch), *(example.weight for example in added)]
        weights = token_weights(tokens, among, replay.share_at(step))
        return [replace(one, weight=weight) for one, weight in zip((*batch, *added), weights, strict=True)]
