"""Training a soft prompt at the cost of the answer.

What stands before the slot does not depend on it in a causal model, so its keys and values come from the prefix store
and gradients run through slot, question and answer only.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch

from prompts import RenderedPrompt
from soft_prompt.errors import DivergedError, TrainingError
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.rows.encode import encode_prompt
from soft_prompt.rows.prefix_store import PrefixStore
from soft_prompt.rows.row import Attention
from soft_prompt.training.answer_loss import answer_loss
from soft_prompt.training.checkpoint import EpochScore, RunState, load_checkpoint, remove_checkpoint, save_checkpoint
from soft_prompt.training.config import TrainConfig
from soft_prompt.training.devices import joined
from soft_prompt.training.divergence import diverged, worse_than_start
from soft_prompt.training.example import Example
from soft_prompt.training.kept_below import keep_below
from soft_prompt.training.log import TrainLog
from soft_prompt.training.micro_batch import fitting_micro_batch, free_memory
from soft_prompt.training.schedule import batches_per_epoch, epoch_batches
from soft_prompt.training.trained_tensors import TrainedTensors
from soft_prompt.training.upper_layers import untrained_layers


@dataclass(frozen=True, slots=True)
class TrainStep:
    """Progress of a run, for a bar or a log."""

    phase: Literal["prefixes", "layers", "train", "dev"]
    done: int
    total: int
    epoch: int
    loss: float | None = None
    examples_per_second: float | None = None


@dataclass(frozen=True)
class TrainResult:
    """A finished run.

    `start_loss` and `dev_loss` are the dev losses of the start and of what is kept; `micro_batch` is how many
    examples ran at once, in each of so many `processes`.
    """

    soft_prompt: SoftPrompt
    start_loss: float
    dev_loss: float
    best_epoch: int
    scores: tuple[EpochScore, ...]
    losses: tuple[float, ...]
    seconds: float
    resumed: bool
    micro_batch: int
    processes: int


Task = tuple[RenderedPrompt, str]


def train(
    store: PrefixStore,
    start: SoftPrompt,
    examples: Sequence[Task],
    dev: Sequence[Task],
    config: TrainConfig | None = None,
    *,
    folder: Path | None = None,
    log: Path | None = None,
    keep_state: bool = False,
    on_step: Callable[[TrainStep], None] | None = None,
) -> TrainResult:
    """Train a soft prompt on prompts and their answers.

    Started in several processes by `torchrun` (or on GPUs by `accelerate launch`), each trains on its share of every
    batch; all return the same result, and only the first writes. They need a common `folder`.

    Args:
        store: prefix keys and values, and the frozen backbone.
        start: the initial vectors; not changed.
        examples: rendered prompts, each with the answer to aim at.
        dev: the same, held out; its loss chooses the epoch that is kept.
        config: settings.
        folder: where the run's state is written; a run that was killed goes on from there and ends with the same
            bits (same machine, build and threads). None writes nothing.
        log: a file for one JSON object a line, one for each step and epoch (`soft_prompt.training.log`).
        keep_state: leave the state of a finished run there, for a caller that calls `remove_checkpoint` once the
            result is in safety.
        on_step: called after every prefix, step and dev batch, and as the layers that are not trained are run.

    Returns:
        The best vectors on dev and how the run went.

    Raises:
        TrainingError: no examples, an empty answer, or settings that the start cannot follow.
        DivergedError: a loss that is not a number, or one that stays above the start's.
        ContextError: an example is longer than the backbone's context.
    """
    run = _Run(store, start, examples, dev, config or TrainConfig(), folder, log, on_step or (lambda _: None))
    result = run.go()
    if folder is not None and not keep_state and run.devices.main:
        remove_checkpoint(folder)
    return result


class _Run:
    def __init__(
        self,
        store: PrefixStore,
        start: SoftPrompt,
        examples: Sequence[Task],
        dev: Sequence[Task],
        config: TrainConfig,
        folder: Path | None,
        log: Path | None,
        on_step: Callable[[TrainStep], None],
    ) -> None:
        for name, tasks in (("train", examples), ("dev", dev)):
            if not tasks or any(not answer.strip() for _, answer in tasks):
                raise TrainingError(
                    found=f"{len(tasks)} {name} examples, {sum(not a.strip() for _, a in tasks)} with an empty answer",
                    expected="at least one example, each with an answer",
                    next_step=f"add questions with answers to {name}.jsonl",
                )
        self.store, self.config, self.folder, self.log_path, self.on_step = store, config, folder, log, on_step
        self.devices = joined(store.backbone.device)
        self.start = start if config.layers is None else start.with_top(config.layers)
        self.trained = TrainedTensors(self.start, config, store.backbone.device)
        self.examples = [_encode(store, task, self.start, config.attention) for task in examples]
        self.dev = [_encode(store, task, self.start, config.attention) for task in dev]
        self.best = self.trained.plain()
        self.state = RunState()
        self.steps = config.epochs * batches_per_epoch(len(self.examples), config.batch_size)
        self.fingerprint = self._fingerprint()

    def go(self) -> TrainResult:
        resumed = self._resume()
        state, config = self.state, self.config
        self.log = TrainLog(self.log_path if self.devices.main else None, state, resumed=resumed)
        began = time.monotonic() - state.seconds
        self._warm()
        self._keep_below()
        state.micro_batch = state.micro_batch or self._micro_batch()
        if not state.scores:
            self._finish_epoch(None, began)
        while state.epoch < config.epochs and state.bad_epochs < config.patience:
            self._epoch(began)
        # Nobody may still need what the first process is about to clear away.
        self.devices.wait()
        return TrainResult(
            soft_prompt=self.start.with_tensors({name: tensor.cpu() for name, tensor in self.best.items()}),
            start_loss=_known(state.scores[0].dev_loss),
            dev_loss=state.best_loss,
            best_epoch=state.best_epoch,
            scores=tuple(state.scores),
            losses=tuple(state.losses),
            seconds=time.monotonic() - began,
            resumed=resumed,
            micro_batch=state.micro_batch,
            processes=self.devices.count,
        )

    def _warm(self) -> None:
        """Compute the prefixes; of several processes each a part, and the rest when it meets them."""
        # An encoder reads in both directions, so nothing of it can be computed ahead.
        ahead = not self.store.backbone.encoder_decoder
        found = {e.row.prefix: e.row for e in [*self.examples, *self.dev] if e.row.prefix and ahead}
        rows = self.devices.share(list(found.values()))
        for number, row in enumerate(rows, 1):
            self.store.warm(row)
            self.on_step(TrainStep("prefixes", number, len(rows), self.state.epoch))

    def _keep_below(self) -> None:
        """Run the layers that are not trained, once for all steps. A process has all, since every step deals anew."""
        layers = untrained_layers(self.start)
        if self.config.random_length:
            # The number of positions that these layers see is another at every step.
            return
        total, ready = len(self.examples) + len(self.dev), 0

        def tell(done: int) -> None:
            self.on_step(TrainStep("layers", ready + done, total, self.state.epoch))

        self.examples = keep_below(self.store, self.examples, layers, tell)
        ready = len(self.examples)
        self.dev = keep_below(self.store, self.dev, layers, tell)

    def _micro_batch(self) -> int:
        config, device = self.config, self.store.backbone.device
        if config.micro_batch is not None:
            return min(config.micro_batch, config.batch_size)
        free = free_memory(device) // (1 if device.type == "cuda" else self.devices.count)
        return fitting_micro_batch(self.store.backbone, self.examples, config.batch_size, free)

    def _epoch(self, began: float) -> None:
        state = self.state
        lengths = [e.row.run_length + len(e.answer) for e in self.examples]
        batches = epoch_batches(lengths, self.config.batch_size, self.config.seed, state.epoch)
        started, seen = time.monotonic(), 0
        for batch in batches[state.cursor :]:
            loss, told = self._step([self.examples[i] for i in batch])
            seen += len(batch)
            state.cursor += 1
            now = time.monotonic()
            rate = seen / max(1e-9, now - started)
            self.log.step(step=state.step, epoch=state.epoch + 1, loss=loss, **told,
                          examples_per_second=round(rate, 3), seconds=round(now - began, 3))  # fmt: skip
            self.on_step(TrainStep("train", state.step, self.steps, state.epoch + 1, loss, rate))
            if state.step % self.config.checkpoint_steps == 0:
                self._save(began)
        train_loss = state.epoch_loss / max(1, state.epoch_tokens)
        state.epoch, state.cursor, state.epoch_loss, state.epoch_tokens = state.epoch + 1, 0, 0.0, 0
        self._finish_epoch(train_loss, began)
        self._save(began)

    def _step(self, examples: Sequence[Example]) -> tuple[float, dict[str, float]]:
        """One step: its mean loss an answer token, and what the log says beside it."""
        state, trained = self.state, self.trained
        rate = trained.set_rates(state.step, self.steps)
        tokens = sum(len(example.answer) for example in examples)
        total = self._summed_loss(examples, tokens)
        self.devices.sum_gradients(trained.by_name.values())
        norm, value = trained.clip(), total / tokens
        if not math.isfinite(value) or not math.isfinite(norm):
            raise self._diverged(f"a loss of {value}")
        trained.optimizer.step()
        state.step += 1
        state.epoch_loss += total
        state.epoch_tokens += tokens
        state.losses.append(value)
        start_loss = _known(state.scores[0].dev_loss)
        if (mean := worse_than_start(state.losses, start_loss, self.config.warmup_steps)) is not None:
            raise self._diverged(
                f"a mean loss of {mean:.3g} in the last steps, where dev began with {start_loss:.3g},", 0
            )
        return value, {"learning_rate": rate, "gradient_norm": norm}

    def _summed_loss(self, examples: Sequence[Example], tokens: int | None) -> float:
        """Summed loss of a batch, a micro-batch at a time, over all processes; where `tokens` says how many answer
        tokens the whole batch has, the gradient of the mean loss an answer token is left behind, this process's part.

        A micro-batch that does not fit into the device's memory is halved, for good.
        """
        own, state = self.devices.share(examples), self.state
        while True:
            self.trained.optimizer.zero_grad(set_to_none=True)
            total = 0.0
            try:
                for first in range(0, len(own), state.micro_batch):
                    soft_prompt = self.trained.for_step(state.step) if tokens else self.trained.soft_prompt()
                    part = [e.with_soft_prompt(soft_prompt) for e in own[first : first + state.micro_batch]]
                    loss, _ = answer_loss(self.store, part)
                    if tokens:
                        torch.autograd.backward(loss / tokens)
                    total += float(loss.detach())
                return self.devices.total(total)
            except torch.OutOfMemoryError as error:
                if state.micro_batch == 1:
                    raise TrainingError(
                        found=f"one example alone does not fit into the memory of {self.store.backbone.device}",
                        expected="memory for at least one example at a time",
                        next_step="lower `retrieval.evidence_tokens` in domain.yaml, or choose a smaller backbone",
                    ) from error
            # Not before the error and all that it holds on to is gone.
            state.micro_batch = (state.micro_batch + 1) // 2
            torch.cuda.empty_cache()

    def _finish_epoch(self, train_loss: float | None, began: float) -> None:
        state = self.state
        loss = self._dev_loss()
        if not math.isfinite(loss):
            raise self._diverged(f"a loss of {loss}")
        state.scores.append(EpochScore(state.epoch, train_loss, loss, time.monotonic() - began))
        self.log.epoch(state.scores[-1])
        if loss < state.best_loss:
            state.best_loss, state.best_epoch, state.bad_epochs = loss, state.epoch, 0
            self.best = self.trained.plain()
        else:
            state.bad_epochs += 1

    def _diverged(self, loss: str, ahead: int = 1) -> DivergedError:
        expected = "a finite loss" if ahead else "a loss that falls"
        return diverged(loss, self.state.step + ahead, expected, self.config, self.start)

    def _dev_loss(self) -> float:
        order = sorted(range(len(self.dev)), key=lambda i: self.dev[i].full.run_length)
        total = 0.0
        with torch.no_grad():
            for start in range(0, len(order), self.config.batch_size):
                batch = [self.dev[i] for i in order[start : start + self.config.batch_size]]
                total += self._summed_loss(batch, None)
                self.on_step(TrainStep("dev", min(len(order), start + len(batch)), len(order), self.state.epoch))
        return total / sum(len(example.answer) for example in self.dev)

    def _resume(self) -> bool:
        found = load_checkpoint(self.folder, self.fingerprint) if self.folder is not None else None
        step = found[0].step if found else -1
        if self.devices.total(step) != step * self.devices.count:
            raise TrainingError(
                found=f"a checkpoint of step {step} here and another elsewhere, in {self.devices.count} processes",
                expected="one folder that all processes see",
                next_step=f"put {self.folder} where every machine reads it, or delete it to start afresh",
            )
        if found is None:
            return False
        self.state, tensors = found
        self.trained.restore(tensors)
        self.best = {name: tensors[f"best.{name}"].to(tensor.device) for name, tensor in self.best.items()}
        return True

    def _save(self, began: float) -> None:
        if self.folder is None or not self.devices.main:
            return
        self.state.seconds = time.monotonic() - began
        best = {f"best.{name}": tensor for name, tensor in self.best.items()}
        save_checkpoint(self.folder, self.fingerprint, self.state, self.trained.state() | best)

    def _fingerprint(self) -> str:
        """Stands for everything the result depends on; a checkpoint of another run is not taken up."""
        backbone = self.store.backbone
        digest = hashlib.sha256()
        settings = {k: v for k, v in asdict(self.config).items() if k != "checkpoint_steps"}
        backed = [backbone.digest, str(backbone.dtype), self.start.slot, len(self.examples), self.devices.count]
        digest.update(json.dumps([settings, *backed]).encode())
        for name, tensor in (self.start.tensors() | self.start.frozen()).items():
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        for example in [*self.examples, *self.dev]:
            ids = [p if isinstance(p, tuple) else ("slot", p.slot) for p in example.row.suffix]
            digest.update(repr((example.row.prefix, ids, example.answer)).encode())
        return digest.hexdigest()


def _encode(store: PrefixStore, task: Task, soft_prompt: SoftPrompt, attention: Attention) -> Example:
    prompt, answer = task
    row = encode_prompt(store.backbone, prompt, {soft_prompt.slot: soft_prompt}, attention)
    if soft_prompt not in row.suffix:
        raise TrainingError(
            found=f"a prompt without the soft slot {soft_prompt.slot!r}",
            expected=f"the slot {{{soft_prompt.slot}}} in a message of the template",
            next_step="put the slot into the template, or choose another template in domain.yaml",
        )
    return Example(row, (*store.backbone.encode_text(answer), store.backbone.end_id))


def _known(loss: float | None) -> float:
    return math.nan if loss is None else loss
