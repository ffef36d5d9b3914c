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
from torch import Tensor

from prompts import RenderedPrompt
from soft_prompt.checkpoint import EpochScore, RunState, load_checkpoint, remove_checkpoint, save_checkpoint
from soft_prompt.encode import Attention, encode_prompt
from soft_prompt.errors import TrainingError
from soft_prompt.forward import Example, answer_loss
from soft_prompt.prefix_store import PrefixStore
from soft_prompt.prompt import VECTORS, SoftPrompt
from soft_prompt.schedule import batches_per_epoch, epoch_batches, learning_rate


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Settings of a run; every one of them is recorded with the soft prompt.

    Attributes:
        epochs: at most so many passes over the examples.
        batch_size: examples a step.
        learning_rate: peak, for AdamW without weight decay.
        adapter_learning_rate: the same for the weights of an adapter, where the start has one.
        warmup_steps: linear warm-up before the cosine.
        clip: largest norm of the gradient.
        patience: stop after so many epochs without a better loss on dev.
        attention: whether passages see one another, here and wherever the soft prompt is used.
        seed: of the order of examples.
        checkpoint_steps: write the run's state every so many steps.
    """

    epochs: int = 6
    batch_size: int = 8
    learning_rate: float = 2e-2
    adapter_learning_rate: float = 1e-3
    warmup_steps: int = 10
    clip: float = 1.0
    patience: int = 2
    attention: Attention = "exact"
    seed: int = 0
    checkpoint_steps: int = 10

    def __post_init__(self) -> None:
        whole = ("epochs", "batch_size", "patience", "checkpoint_steps")
        problems = [f"{name}={getattr(self, name)}" for name in whole if getattr(self, name) < 1]
        problems += [f"warmup_steps={self.warmup_steps}"] if self.warmup_steps < 0 else []
        # Beyond fp32 the optimiser itself fails.
        rates = ("learning_rate", "adapter_learning_rate", "clip")
        problems += [f"{n}={getattr(self, n)}" for n in rates if not 0 <= getattr(self, n) < 1e30]
        if problems:
            raise TrainingError(
                found=", ".join(problems),
                expected="whole numbers of at least 1, a warm-up of at least 0, and finite rates of at least 0",
                next_step="correct the settings under `train:` in domain.yaml",
            )


@dataclass(frozen=True, slots=True)
class TrainStep:
    """Progress of a run, for a bar or a log."""

    phase: Literal["prefixes", "train", "dev"]
    done: int
    total: int
    epoch: int
    loss: float | None = None
    examples_per_second: float | None = None


@dataclass(frozen=True)
class TrainResult:
    """A finished run. `start_loss` and `dev_loss` are the dev losses of the initial and of the kept vectors."""

    soft_prompt: SoftPrompt
    start_loss: float
    dev_loss: float
    best_epoch: int
    scores: tuple[EpochScore, ...]
    losses: tuple[float, ...]
    seconds: float
    resumed: bool


Task = tuple[RenderedPrompt, str]


def train(
    store: PrefixStore,
    start: SoftPrompt,
    examples: Sequence[Task],
    dev: Sequence[Task],
    config: TrainConfig | None = None,
    *,
    folder: Path | None = None,
    keep_state: bool = False,
    on_step: Callable[[TrainStep], None] | None = None,
) -> TrainResult:
    """Train a soft prompt on prompts and their answers.

    Args:
        store: prefix keys and values, and the frozen backbone.
        start: the initial vectors; not changed.
        examples: rendered prompts, each with the answer to aim at.
        dev: the same, held out; its loss chooses the epoch that is kept.
        config: settings.
        folder: where the run's state is written; a run that was killed goes on from there and ends with the same
            bits (same machine, build and threads). None writes nothing.
        keep_state: leave the state of a finished run there, for a caller that calls `remove_checkpoint` once the
            result is in safety.
        on_step: called after every prefix, step and dev batch.

    Returns:
        The best vectors on dev and how the run went.

    Raises:
        TrainingError: no examples, an empty answer, or a loss that is not a number.
        ContextError: an example is longer than the backbone's context.
    """
    config = config or TrainConfig()
    run = _Run(store, start, examples, dev, config, folder, on_step or (lambda _: None))
    result = run.go()
    if folder is not None and not keep_state:
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
        on_step: Callable[[TrainStep], None],
    ) -> None:
        for name, tasks in (("train", examples), ("dev", dev)):
            if not tasks or any(not answer.strip() for _, answer in tasks):
                raise TrainingError(
                    found=f"{len(tasks)} {name} examples, {sum(not a.strip() for _, a in tasks)} with an empty answer",
                    expected="at least one example, each with an answer",
                    next_step=f"add questions with answers to {name}.jsonl",
                )
        self.store, self.config, self.folder, self.on_step = store, config, folder, on_step
        self.start = start
        # What is trained, by name; `live` holds the same tensors.
        self.trained = {n: t.detach().to(store.backbone.device, torch.float32).clone().requires_grad_(True)
                        for n, t in start.tensors().items()}  # fmt: skip
        live = start.with_tensors(self.trained)
        self.examples = [_encode(store, task, live, config.attention) for task in examples]
        self.dev = [_encode(store, task, live, config.attention) for task in dev]
        self.peaks = [config.learning_rate if n == VECTORS else config.adapter_learning_rate for n in self.trained]
        groups = [{"params": [t], "lr": peak} for t, peak in zip(self.trained.values(), self.peaks, strict=True)]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        self.best = self._copy()
        self.state = RunState()
        self.steps = config.epochs * batches_per_epoch(len(self.examples), config.batch_size)
        self.fingerprint = self._fingerprint()

    def go(self) -> TrainResult:
        resumed = self._resume()
        began = time.monotonic() - self.state.seconds
        self._warm()
        if not self.state.scores:
            self._finish_epoch(None, began)
        while self.state.epoch < self.config.epochs and self.state.bad_epochs < self.config.patience:
            self._epoch(began)
        return TrainResult(
            soft_prompt=self.start.with_tensors({name: tensor.cpu() for name, tensor in self.best.items()}),
            start_loss=_known(self.state.scores[0].dev_loss),
            dev_loss=self.state.best_loss,
            best_epoch=self.state.best_epoch,
            scores=tuple(self.state.scores),
            losses=tuple(self.state.losses),
            seconds=time.monotonic() - began,
            resumed=resumed,
        )

    def _copy(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.trained.items()}

    def _warm(self) -> None:
        rows = {e.row.prefix: e.row for e in [*self.examples, *self.dev] if e.row.prefix}
        # An encoder reads in both directions, so nothing of it can be computed ahead.
        for number, row in enumerate(() if self.store.backbone.encoder_decoder else rows.values(), 1):
            self.store.warm(row)
            self.on_step(TrainStep("prefixes", number, len(rows), self.state.epoch))

    def _epoch(self, began: float) -> None:
        state = self.state
        lengths = [e.row.run_length + len(e.answer) for e in self.examples]
        batches = epoch_batches(lengths, self.config.batch_size, self.config.seed, state.epoch)
        started, seen = time.monotonic(), 0
        for batch in batches[state.cursor :]:
            loss = self._step([self.examples[i] for i in batch])
            seen += len(batch)
            state.cursor += 1
            rate = seen / (time.monotonic() - started)
            self.on_step(TrainStep("train", state.step, self.steps, state.epoch + 1, loss, rate))
            if state.step % self.config.checkpoint_steps == 0:
                self._save(began)
        train_loss = state.epoch_loss / max(1, state.epoch_tokens)
        state.epoch, state.cursor, state.epoch_loss, state.epoch_tokens = state.epoch + 1, 0, 0.0, 0
        self._finish_epoch(train_loss, began)
        self._save(began)

    def _step(self, examples: Sequence[Example]) -> float:
        config, state = self.config, self.state
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = learning_rate(state.step, peak=peak, warmup=config.warmup_steps, total=self.steps)
        total, tokens = answer_loss(self.store, examples)
        loss = total / tokens
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = float(torch.nn.utils.clip_grad_norm_(self.trained.values(), config.clip))
        value = float(loss.detach())
        if not math.isfinite(value) or not math.isfinite(norm):
            raise self._diverged(value)
        self.optimizer.step()
        state.step += 1
        state.epoch_loss += float(total.detach())
        state.epoch_tokens += tokens
        state.losses.append(value)
        return value

    def _finish_epoch(self, train_loss: float | None, began: float) -> None:
        state = self.state
        loss = self._dev_loss()
        if not math.isfinite(loss):
            raise self._diverged(loss)
        state.scores.append(EpochScore(state.epoch, train_loss, loss, time.monotonic() - began))
        if loss < state.best_loss:
            state.best_loss, state.best_epoch, state.bad_epochs = loss, state.epoch, 0
            self.best = self._copy()
        else:
            state.bad_epochs += 1

    def _diverged(self, loss: float) -> TrainingError:
        lower = self.config.learning_rate / 4
        beside = f" --adapter-learning-rate {self.config.adapter_learning_rate / 4:g}" if self.start.adapter else ""
        return TrainingError(
            found=f"a loss of {loss} at step {self.state.step + 1}: training has diverged",
            expected="a finite loss",
            next_step=f"lower the learning rate: softgraft train DOMAIN --learning-rate {lower:g}{beside}",
        )

    def _dev_loss(self) -> float:
        order = sorted(range(len(self.dev)), key=lambda i: self.dev[i].full.run_length)
        total, tokens = 0.0, 0
        with torch.no_grad():
            for start in range(0, len(order), self.config.batch_size):
                batch = [self.dev[i] for i in order[start : start + self.config.batch_size]]
                loss, count = answer_loss(self.store, batch)
                total, tokens = total + float(loss), tokens + count
                self.on_step(TrainStep("dev", min(len(order), start + len(batch)), len(order), self.state.epoch))
        return total / tokens

    def _resume(self) -> bool:
        found = load_checkpoint(self.folder, self.fingerprint) if self.folder is not None else None
        if found is None:
            return False
        self.state, tensors = found
        moments: dict[int, dict[str, Tensor]] = {}
        for number, (name, tensor) in enumerate(self.trained.items()):
            with torch.no_grad():
                tensor.copy_(tensors[f"now.{name}"])
            self.best[name] = tensors[f"best.{name}"].to(tensor.device)
            if f"exp_avg.{name}" in tensors:
                moments[number] = {kind: tensors[f"{kind}.{name}"] for kind in ("step", "exp_avg", "exp_avg_sq")}
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        return True

    def _save(self, began: float) -> None:
        if self.folder is None:
            return
        self.state.seconds = time.monotonic() - began
        tensors: dict[str, Tensor] = {}
        for name, tensor in self.trained.items():
            tensors |= {f"now.{name}": tensor, f"best.{name}": self.best[name]}
            tensors |= {f"{kind}.{name}": moment for kind, moment in self.optimizer.state.get(tensor, {}).items()}
        save_checkpoint(self.folder, self.fingerprint, self.state, tensors)

    def _fingerprint(self) -> str:
        """Stands for everything the result depends on; a checkpoint of another run is not taken up."""
        backbone = self.store.backbone
        digest = hashlib.sha256()
        settings = {k: v for k, v in asdict(self.config).items() if k != "checkpoint_steps"}
        backed = [backbone.digest, str(backbone.dtype), self.start.slot, len(self.examples)]
        digest.update(json.dumps([settings, *backed]).encode())
        for name, tensor in self.start.tensors().items():
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
