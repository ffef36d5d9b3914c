"""Training a soft prompt.

In a decoder-only model the keys and values before the slot do not depend on it. They come from the prefix store, and
gradients run through slot, question and answer only.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch

from soft_prompt.errors import DivergedError, TrainingError
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.model.memory import free_memory
from soft_prompt.rows.prefix_store import PrefixStore
from soft_prompt.training.answer_loss import answer_loss, answer_loss_and_states, cache_lower_layers, distillation
from soft_prompt.training.checkpoint import (
    EpochScore,
    RunState,
    TrainLog,
    load_checkpoint,
    remove_checkpoint,
    save_checkpoint,
)
from soft_prompt.training.config import TrainConfig
from soft_prompt.training.distributed import init_distributed
from soft_prompt.training.example import TrainingExample, encode_example
from soft_prompt.training.layer_split import frozen_lower_layers
from soft_prompt.training.methods.adversarial import adversary
from soft_prompt.training.methods.batches import BatchOrder
from soft_prompt.training.methods.data import MethodData, PromptAndAnswer, pool_of, with_method_data
from soft_prompt.training.methods.parametrisation import on_cpu, parametrisation
from soft_prompt.training.methods.reptile import OUTER_RATE
from soft_prompt.training.micro_batch import largest_micro_batch
from soft_prompt.training.result import TrainResult, TrainStep
from soft_prompt.training.trained_tensors import TrainedTensors

# A run has diverged if its mean loss over this many steps exceeds the loss of the start by this factor.
DIVERGENCE_WINDOW = 16
_DIVERGENCE_FACTOR = 1.1


def train(
    store: PrefixStore,
    start: SoftPrompt,
    examples: Sequence[PromptAndAnswer],
    dev: Sequence[PromptAndAnswer],
    config: TrainConfig | None = None,
    *,
    folder: Path | None = None,
    log: Path | None = None,
    keep_state: bool = False,
    data: MethodData | None = None,
    on_step: Callable[[TrainStep], None] | None = None,
) -> TrainResult:
    """Train a soft prompt on prompts and their answers.

    If `torchrun` (or on GPUs `accelerate launch`) started several processes, each trains on its share of every batch.
    All return the same result, and only the first writes files. They need a common `folder`.

    Args:
        store: the frozen backbone, and the keys and values of prefixes.
        start: the initial soft prompt; not changed.
        examples: prompts, rendered or tokenised, each with its target answer.
        dev: held-out examples. Their loss selects the epoch that is returned.
        config: settings.
        folder: for checkpoints. A killed run resumes from there and ends with the same bits (on the same machine, build
            and number of threads). None writes nothing.
        log: a file with one JSON object per line for every step and epoch.
        keep_state: keep the checkpoint of a finished run; the caller removes it once the result is saved.
        data: what `config.method` needs besides the examples.
        on_step: called after every prefix, step and dev batch, and while the frozen lower layers are computed.

    Raises:
        TrainingError: if there are no examples, an answer is empty, the settings do not suit the start or the
            backbone, or the checkpoint is of another version.
        DivergedError: if the loss is not finite, or stays above that of the start.
        ContextError: if an example is longer than the backbone's context.
    """
    config, report = config or TrainConfig(), on_step or (lambda _: None)
    data = data or MethodData()
    run = _TrainingRun(store, start, [*examples, *data.labelled], dev, config, folder, log, report, data)
    result = run.run()
    if folder is not None and not keep_state and run.distributed.is_main_process:
        remove_checkpoint(folder)
    return result


@dataclass
class _TrainingRun:
    store: PrefixStore
    start: SoftPrompt
    train_pairs: Sequence[PromptAndAnswer]
    dev_pairs: Sequence[PromptAndAnswer]
    config: TrainConfig
    folder: Path | None
    log_path: Path | None
    on_step: Callable[[TrainStep], None]
    data: MethodData

    def __post_init__(self) -> None:
        config, backbone, splits = self.config, self.store.backbone, (self.train_pairs, self.dev_pairs)
        for split, pairs in zip(("train", "dev"), splits, strict=True):
            if not pairs or any(not answer.strip() for _, answer in pairs):
                raise TrainingError(
                    found=f"{len(pairs)} {split} examples, {sum(not a.strip() for _, a in pairs)} with an empty answer",
                    expected="at least one example, each with an answer",
                    next_step=f"add questions with answers to {split}.jsonl",
                )
        self.distributed = init_distributed(backbone.device)
        if config.layers is not None:
            self.start = self.start.with_trained_layers(config.layers)
        self.data.require(config.method, len(self.train_pairs))
        self.parts = parametrisation(self.start, config, self.data.sources, self.data.groups)
        self.trained = TrainedTensors(self.parts, config, backbone.device)
        # Where training starts, which is not the start itself for a mixture.
        first = on_cpu(self.trained.soft_prompt())

        def encode(pair: PromptAndAnswer) -> TrainingExample:
            return encode_example(backbone, *pair, first, config.attention)

        self.examples, self.dev = ([encode(pair) for pair in pairs] for pairs in splits)
        self.examples = with_method_data(self.examples, self.data)
        self.replayed = pool_of(self.data, encode)
        self.distillation = distillation(config, backbone, self.data.teacher)
        self.adversary = adversary(config, backbone, self.data.domains)
        self.best, self.state, self.anchor = self.trained.snapshot(), RunState(), self.trained.snapshot()
        self.order = BatchOrder(config, self.examples, self.replayed)
        self.plan = self.order.plan()
        self.fingerprint = self._fingerprint()

    def run(self) -> TrainResult:
        resumed = self._resume()
        state, config = self.state, self.config
        self.log = TrainLog(self.log_path if self.distributed.is_main_process else None, state, resumed=resumed)
        self.began = time.monotonic() - state.seconds
        self._compute_prefixes()
        self._cache_lower_layers()
        state.micro_batch = state.micro_batch or self._initial_micro_batch()
        if not state.scores:
            self._finish_epoch(None)
        while state.epoch < self.plan.epochs and (
            state.step < config.min_steps or state.epochs_without_gain < config.patience
        ):
            self._run_epoch()
        # The main process may delete the checkpoint only after all others have read it.
        self.distributed.barrier()
        return TrainResult(
            soft_prompt=replace(on_cpu(self.parts.soft_prompt(self.best)), lower=self.start.lower),
            start_loss=state.scores[0].dev_loss,
            dev_loss=state.best_loss,
            best_epoch=state.best_epoch,
            scores=tuple(state.scores),
            losses=tuple(state.losses),
            seconds=self._seconds(),
            resumed=resumed,
            micro_batch=state.micro_batch,
            processes=self.distributed.world_size,
            domain_accuracies=tuple(state.domain_accuracies),
        )

    def _compute_prefixes(self) -> None:
        """Compute this process's share of the prefixes now, and the others when it needs them."""
        # The prefix of an encoder depends on what follows it.
        if self.store.backbone.encoder_decoder:
            return
        by_prefix = {e.row.prefix: e.row for e in [*self.examples, *self.replayed, *self.dev] if e.row.prefix}
        rows = self.distributed.shard(list(by_prefix.values()))
        for number, row in enumerate(rows, 1):
            self.store.warm(row)
            self.on_step(TrainStep("prefixes", number, len(rows), self.state.epoch))

    def _cache_lower_layers(self) -> None:
        """Every process caches all examples, since every epoch distributes them anew."""
        layers, done = frozen_lower_layers(self.start), 0
        total = len(self.examples) + len(self.replayed) + len(self.dev)

        def cached(examples: list[TrainingExample]) -> list[TrainingExample]:
            report = partial(TrainStep, "layers", total=total, epoch=self.state.epoch)
            return cache_lower_layers(self.store, examples, layers, lambda n: self.on_step(report(done + n)))

        self.examples = cached(self.examples)
        done += len(self.examples)
        self.replayed = cached(self.replayed)
        done += len(self.replayed)
        self.order = replace(self.order, replayed=self.replayed)
        self.dev = cached(self.dev)

    def _initial_micro_batch(self) -> int:
        if self.config.micro_batch is not None:
            return min(self.config.micro_batch, self.config.batch_size)
        backbone = self.store.backbone
        # Processes on the CPU share its memory.
        free = free_memory(backbone.device) // (1 if backbone.device.type == "cuda" else self.distributed.world_size)
        return largest_micro_batch(backbone, [*self.examples, *self.replayed], self.config.batch_size, free)

    def _run_epoch(self) -> None:
        state = self.state
        batches, ends = self.order.batches(state.epoch), self.order.ends_of_runs(state.epoch)
        started, examples_done = time.monotonic(), 0
        for batch in batches[state.batches_done :]:
            own = [self.examples[i] for i in batch]
            loss, optimiser_fields = self._step(self.order.with_replayed(own, state.step, self.plan.steps))
            examples_done += len(batch)
            state.batches_done += 1
            if state.batches_done in ends:
                self.trained.move_back(self.anchor, self.config.outer_rate or OUTER_RATE)
                self.anchor = self.trained.snapshot()
            speed = examples_done / max(1e-9, time.monotonic() - started)
            line = {"step": state.step, "epoch": state.epoch + 1, "loss": loss, **optimiser_fields}
            self.log.write(line | {"examples_per_second": round(speed, 3)}, self._seconds())
            self.on_step(TrainStep("train", state.step, self.plan.steps, state.epoch + 1, loss, speed))
            if state.step % self.config.checkpoint_steps == 0:
                self._save_checkpoint()
        state.epoch, state.batches_done = state.epoch + 1, 0
        if self.plan.scored(state.epoch):
            train_loss = state.epoch_loss / max(1, state.epoch_tokens)
            state.epoch_loss, state.epoch_tokens = 0.0, 0
            self._finish_epoch(train_loss)
        self._save_checkpoint()

    def _step(self, examples: Sequence[TrainingExample]) -> tuple[float, dict[str, float]]:
        """One optimiser step. Returns its loss per answer token, and more fields for the log."""
        state, trained = self.state, self.trained
        rate = trained.set_learning_rates(state.step, self.plan.steps)
        tokens = sum(len(example.answer) for example in examples if example.labelled)
        total = self._summed_loss(examples, tokens)
        self.distributed.sum_gradients(
            [*trained.by_name.values(), *(self.adversary.by_name.values() if self.adversary else ())]
        )
        norm, loss = trained.clip_gradients(), total / tokens
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise self._diverged(f"a loss of {loss}", "a finite loss", state.step + 1)
        trained.optimizer.step()
        fields = {"learning_rate": rate, "gradient_norm": norm}
        if self.adversary is not None:
            self.adversary.optimizer.step()
            fields["domain_accuracy"] = self.distributed.sum(self.adversary.accuracy)
            state.domain_accuracies.append(fields["domain_accuracy"])
        state.step += 1
        state.epoch_loss += total
        state.epoch_tokens += tokens
        state.losses.append(loss)
        start_loss = state.scores[0].dev_loss
        if (mean := loss_above_start(state.losses, start_loss, self.config.warmup_steps)) is not None:
            found = f"a mean loss of {mean:.3g} in the last steps, above the dev loss of {start_loss:.3g} at the start,"
            raise self._diverged(found, "a loss that falls", state.step)
        return loss, fields

    def _summed_loss(self, examples: Sequence[TrainingExample], tokens: int | None) -> float:
        """Summed loss of a batch over all processes, one micro-batch at a time.

        If a micro-batch does not fit into the device's memory, its size is halved for the rest of the run. With the
        batch's number of answer `tokens`, it also computes this process's share of the gradient of the mean loss.
        """
        own, state = self.distributed.shard(examples), self.state
        while True:
            self.trained.optimizer.zero_grad(set_to_none=True)
            if self.adversary is not None and tokens:
                self.adversary.start_step([example.domain for example in examples], state.step / self.plan.steps)
            total = 0.0
            try:
                for first in range(0, len(own), state.micro_batch):
                    part = own[first : first + state.micro_batch]
                    # Built anew for each backward pass, since the methods compute it from other tensors.
                    soft_prompts = {group: self.trained.soft_prompt(group) for group in {e.group for e in part}}
                    part = [e.with_soft_prompt(soft_prompts[e.group]) for e in part]
                    if self.adversary is not None and tokens:
                        loss, states = answer_loss_and_states(self.store, part)
                        apart = self.adversary.loss(states, [example.domain for example in part])
                        torch.autograd.backward(loss / tokens + apart)
                    else:
                        loss, _ = answer_loss(self.store, part, self.distillation if tokens else None)
                        if tokens:
                            torch.autograd.backward(loss / tokens)
                    total += float(loss.detach())
                return self.distributed.sum(total)
            except torch.OutOfMemoryError as error:
                if state.micro_batch == 1:
                    raise TrainingError(
                        found=f"one example alone does not fit into the memory of {self.store.backbone.device}",
                        expected="memory for at least one example at a time",
                        next_step="lower `retrieval.evidence_tokens` in domain.yaml, or choose a smaller backbone",
                    ) from error
            # Outside the handler, since the error keeps the tensors of the failed pass alive.
            state.micro_batch = (state.micro_batch + 1) // 2
            torch.cuda.empty_cache()

    def _finish_epoch(self, train_loss: float | None) -> None:
        state = self.state
        loss = self._dev_loss()
        if not math.isfinite(loss):
            raise self._diverged(f"a loss of {loss}", "a finite loss", state.step + 1)
        state.scores.append(EpochScore(state.epoch, train_loss, loss, self._seconds()))
        self.log.write(asdict(state.scores[-1]), state.scores[-1].seconds)
        if loss < state.best_loss:
            state.best_loss, state.best_epoch, state.epochs_without_gain = loss, state.epoch, 0
            self.best = self.trained.snapshot()
        else:
            state.epochs_without_gain += 1

    def _dev_loss(self) -> float:
        by_length = sorted(self.dev, key=lambda example: example.full.run_length)
        total = 0.0
        with torch.no_grad():
            for first in range(0, len(by_length), self.config.batch_size):
                batch = by_length[first : first + self.config.batch_size]
                total += self._summed_loss(batch, None)
                self.on_step(TrainStep("dev", first + len(batch), len(by_length), self.state.epoch))
        return total / sum(len(example.answer) for example in self.dev)

    def _diverged(self, found: str, expected: str, step: int) -> DivergedError:
        rates = {"learning-rate": self.config.learning_rate} if self.start.kind != "adapter" else {}
        rates |= {"adapter-learning-rate": self.config.adapter_learning_rate} if self.start.adapter else {}
        options = "".join(f" --{name} {rate / 4:g}" for name, rate in rates.items())
        return DivergedError(
            found=f"{found} at step {step}: training has diverged",
            expected=expected,
            next_step=f"lower the learning rate: softgraft train DOMAIN{options}",
        )

    def _seconds(self) -> float:
        return time.monotonic() - self.began

    def _resume(self) -> bool:
        checkpoint = load_checkpoint(self.folder, self.fingerprint) if self.folder is not None else None
        step = checkpoint[0].step if checkpoint else -1
        if self.distributed.sum(step) != step * self.distributed.world_size:
            raise TrainingError(
                found=f"a checkpoint of step {step} here and another in the other {self.distributed.world_size - 1} "
                "processes",
                expected="one folder that all processes see",
                next_step=f"put {self.folder} where every machine reads it, or delete it to train from the start",
            )
        if checkpoint is None:
            return False
        self.state, tensors = checkpoint
        self.trained.load_state(tensors)
        if self.adversary is not None:
            self.adversary.load_state(tensors)
        self.best = {name: tensors[f"best.{name}"].to(tensor.device) for name, tensor in self.best.items()}
        self.anchor = {
            name: tensors.get(f"anchor.{name}", tensor).to(tensor.device) for name, tensor in self.anchor.items()
        }
        return True

    def _save_checkpoint(self) -> None:
        if self.folder is None or not self.distributed.is_main_process:
            return
        self.state.seconds = self._seconds()
        kept = {f"best.{name}": tensor for name, tensor in self.best.items()}
        if self.config.method == "reptile":
            kept |= {f"anchor.{name}": tensor for name, tensor in self.anchor.items()}
        if self.adversary is not None:
            kept |= self.adversary.state()
        save_checkpoint(self.folder, self.fingerprint, self.state, self.trained.state() | kept)

    def _fingerprint(self) -> str:
        """Identifies everything that the result depends on; a run resumes only from its own checkpoint."""
        backbone = self.store.backbone
        digest = hashlib.sha256()
        settings = self.config.model_dump(exclude={"checkpoint_steps"})
        context = [backbone.digest, str(backbone.dtype), self.start.slot, len(self.examples)]
        digest.update(json.dumps([settings, *context, self.distributed.world_size]).encode())
        for soft_prompt in (self.start, *self.data.sources):
            for name, tensor in (soft_prompt.tensors() | soft_prompt.frozen_tensors()).items():
                digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        for example in [*self.examples, *self.replayed, *self.dev]:
            ids = [p if isinstance(p, tuple) else ("slot", p.slot) for p in example.row.suffix]
            digest.update(repr((example.row.prefix, ids, example.answer, example.group, example.weight)).encode())
            digest.update(repr((example.domain, example.labelled)).encode() if self.adversary else b"")
            if example.teacher is not None:
                for tensor in (example.teacher.ids, example.teacher.log_probabilities):
                    digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()


def loss_above_start(losses: Sequence[float], dev_loss: float, warmup: int) -> float | None:
    """The mean loss of the last steps if it is clearly above the loss of the start, else None.

    The loss of the start is the higher one of its dev loss and the first step's, since dev may be easier than train.
    Warm-up steps do not count: a run recovers from a few bad ones.
    """
    if len(losses) < warmup + DIVERGENCE_WINDOW:
        return None
    mean = math.fsum(losses[-DIVERGENCE_WINDOW:]) / DIVERGENCE_WINDOW
    return mean if mean > _DIVERGENCE_FACTOR * max(dev_loss, losses[0]) else None
