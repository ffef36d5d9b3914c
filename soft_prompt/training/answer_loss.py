"""The loss of a batch of answers, and the hidden states that are cached for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from soft_prompt.errors import TrainingError
from soft_prompt.graft.adapter_hooks import apply_adapters, batch_adapters
from soft_prompt.model.backbone import Backbone
from soft_prompt.model.frozen_attention import frozen_prefix, suffix_cache
from soft_prompt.model.kv_cache import dynamic_cache
from soft_prompt.model.optimized import optimized, supports_frozen_prefix
from soft_prompt.rows.batch import Batch, assemble
from soft_prompt.rows.encoder_inputs import decoder_start_id, encoder_inputs
from soft_prompt.rows.prefix_store import GIB, PrefixStore
from soft_prompt.training.config import TrainConfig
from soft_prompt.training.example import TrainingExample
from soft_prompt.training.layer_split import can_split, capture_hidden_states, inject_hidden_states, split_backbone
from soft_prompt.training.teacher import TeacherTargets, distillation_loss, teacher_targets

# Targets that cross entropy skips.
_IGNORED = -100
# Constants rather than functions of the free memory, so that a resumed run computes the same bits.
EXAMPLES_AT_ONCE = 8
# Limit of the cached hidden states of one set of examples, such as train or dev: about 900,000 positions of a backbone
# with a hidden size of 576, in fp32.
MAX_BYTES = 2 * GIB
# Maximum relative difference of the logits with and without cached hidden states. Rounding alone gives far less.
TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Distillation:
    """Share of the teacher in the loss, and the temperature of both distributions."""

    share: float
    temperature: float


def distillation(
    config: TrainConfig, backbone: Backbone, teacher: Sequence[TeacherTargets | None]
) -> Distillation | None:
    """How a run learns from a teacher; None for the other methods.

    Raises:
        TrainingError: if the backbone is an encoder-decoder and there are distributions of a `teacher`.
    """
    if config.method != "distillation":
        return None
    if backbone.encoder_decoder and any(targets is not None for targets in teacher):
        raise TrainingError(
            found=f"distributions of a teacher for the encoder-decoder {backbone.id!r}",
            expected="a decoder-only backbone, or a teacher that gives answers alone",
            next_step="set another `train.method` or `backbone` in domain.yaml",
        )
    return Distillation(config.teacher_share or 0.5, config.teacher_temperature or 2.0)


def answer_loss(
    store: PrefixStore, examples: Sequence[TrainingExample], distillation: Distillation | None = None
) -> tuple[Tensor, int]:
    """Summed cross entropy of the answers, each token times the weight of its example.

    With `distillation`, part of the loss of the examples that have a teacher is their divergence from it.

    Returns:
        Loss, a scalar in fp32 that is differentiable in the soft prompts' vectors, and the number of answer tokens.

    Raises:
        ContextError: if a prompt or an answer is longer than the context of an encoder-decoder.
        BackboneError: if the backbone is an encoder-decoder and a prompt has a `kv` soft prompt or an adapter.
    """
    if store.backbone.encoder_decoder:
        return _encoder_decoder_loss(store.backbone, examples)
    return _summed_loss(answer_logits(store, examples), examples, distillation)


def answer_loss_and_states(store: PrefixStore, examples: Sequence[TrainingExample]) -> tuple[Tensor, Tensor]:
    """The loss of `answer_loss`, and the hidden states that predict the first token of each answer.

    Returns:
        Loss, and states `[examples, hidden]`, fp32: the last layer's, after its norm. Both are differentiable in the
        soft prompts' vectors.
    """
    output = _answer_output(store, examples, states=True)
    logits: Tensor = output.logits.float()
    loss, _ = _summed_loss(logits.reshape(-1, logits.shape[-1]), examples, None)
    states: Tensor = output.hidden_states[-1]
    first = torch.tensor([states.shape[1] - len(example.answer) for example in examples], device=states.device)
    return loss, states[torch.arange(len(examples), device=states.device), first].float()


def _summed_loss(
    logits: Tensor, examples: Sequence[TrainingExample], distillation: Distillation | None
) -> tuple[Tensor, int]:
    targets = torch.tensor([token for example in examples for token in example.answer], device=logits.device)
    if distillation is None and all(example.weight == 1 for example in examples):
        return cross_entropy(logits, targets, reduction="sum"), len(targets)
    losses = cross_entropy(logits, targets, reduction="none")
    teacher = [example.teacher for example in examples if example.teacher is not None]
    if distillation is not None and teacher:
        taught = _per_token(examples, lambda example: example.teacher is not None).to(losses.device)
        apart = distillation_loss(logits[taught], teacher, distillation.temperature)
        mixed = (1 - distillation.share) * losses[taught] + distillation.share * apart
        losses = losses.masked_scatter(taught, mixed)
    return (losses * _per_token(examples, lambda example: example.weight).to(losses)).sum(), len(targets)


def _per_token(examples: Sequence[TrainingExample], of: Callable[[TrainingExample], float]) -> Tensor:
    return torch.tensor([of(example) for example in examples for _ in example.answer])


def mean_answer_loss(store: PrefixStore, examples: Sequence[TrainingExample], batch_size: int) -> float:
    """Mean cross entropy in nats per answer token, without gradient, for `batch_size` examples at a time."""
    total = 0.0
    with torch.no_grad():
        for indices in _by_length(examples, batch_size):
            total += float(answer_loss(store, [examples[i] for i in indices])[0])
    return total / sum(len(example.answer) for example in examples)


def answer_losses(store: PrefixStore, examples: Sequence[TrainingExample], batch_size: int) -> list[float]:
    """Mean cross entropy of each example in nats per answer token, as in `mean_answer_loss`."""
    losses = [0.0] * len(examples)
    with torch.no_grad():
        for indices in _by_length(examples, batch_size):
            part = [examples[i] for i in indices]
            targets = [torch.tensor(example.answer) for example in part]
            per_token = cross_entropy(answer_logits(store, part).cpu(), torch.cat(targets), reduction="none")
            for i, own in zip(indices, torch.split(per_token, [len(one) for one in targets]), strict=True):
                losses[i] = float(own.mean())
    return losses


def _by_length(examples: Sequence[TrainingExample], batch_size: int) -> list[list[int]]:
    """The indices of all examples in batches of similar length."""
    order = sorted(range(len(examples)), key=lambda i: examples[i].full.run_length)
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


def teach(
    store: PrefixStore, examples: Sequence[TrainingExample], batch_size: int, vocabulary: int | None = None
) -> list[TeacherTargets]:
    """The distributions of a teacher, whose soft prompt the examples hold, at their answers' tokens.

    `vocabulary` is the number of the student's logits, if the teacher has more: models of a family are padded to
    different sizes.
    """
    result: dict[int, TeacherTargets] = {}
    with torch.no_grad():
        for indices in _by_length(examples, batch_size):
            part = [examples[i] for i in indices]
            found = teacher_targets(
                answer_logits(store, part)[:, :vocabulary], [len(example.answer) for example in part]
            )
            result |= dict(zip(indices, found, strict=True))
    return [result[i] for i in range(len(examples))]


def answer_logits(store: PrefixStore, examples: Sequence[TrainingExample]) -> Tensor:
    """Logits of a decoder-only backbone at the answer positions of all examples, one example after the other.

    Rows are padded on the left, so the last `n` positions of a row predict an answer of `n` tokens.

    Returns:
        `[answer tokens, vocabulary]`, fp32, differentiable in the soft prompts' vectors.
    """
    logits: Tensor = _answer_output(store, examples).logits.float()
    return logits.reshape(-1, logits.shape[-1])


def _answer_output(store: PrefixStore, examples: Sequence[TrainingExample], *, states: bool = False) -> Any:
    """The backbone's output, with logits at the answer positions and, with `states`, the hidden states everywhere."""
    batch = assemble(store, [example.full for example in examples])
    tokens = batch.embeddings.shape[1]
    lengths = torch.tensor([len(example.answer) for example in examples], device=batch.mask.device)
    answer_positions = torch.arange(tokens, device=lengths.device) >= tokens - lengths[:, None]
    cached = [example.lower_states for example in examples if example.lower_states is not None]
    start: AbstractContextManager[None] = nullcontext()
    if len(cached) == len(examples):
        _, backbone = split_backbone(store.backbone, examples[0].lower_layers)
        start = inject_hidden_states([states.to(store.backbone.device) for states in cached], tokens)
    else:
        backbone = optimized(store.backbone, "own")
    with start:
        return _forward(backbone, batch, examples, answer_positions, states=states)


def cache_lower_layers(
    store: PrefixStore, examples: Sequence[TrainingExample], layers: int, on_progress: Callable[[int], None]
) -> list[TrainingExample]:
    """The examples with the hidden states of the backbone's first `layers` layers, computed once for all epochs.

    Returns the examples unchanged if `layers` is 0, if the cache would exceed `MAX_BYTES` or the device's memory, or if
    the backbone cannot be split: the first batch is checked for equal logits.
    """
    backbone, result = store.backbone, list(examples)
    tokens = sum(example.full.run_length for example in examples)
    if not layers or not can_split(backbone) or tokens * backbone.hidden_size * backbone.dtype.itemsize > MAX_BYTES:
        return result
    order = sorted(range(len(examples)), key=lambda i: examples[i].full.run_length)
    try:
        for first in range(0, len(order), EXAMPLES_AT_ONCE):
            indices = order[first : first + EXAMPLES_AT_ONCE]
            plain = [examples[i] for i in indices]
            cached = with_lower_states(store, plain, layers)
            if not first and not _same_logits(store, plain, cached):
                return list(examples)
            for i, example in zip(indices, cached, strict=True):
                result[i] = example
            on_progress(first + len(indices))
    except torch.OutOfMemoryError:
        # Training may still fit: it lowers the micro-batch.
        return list(examples)
    return result


def with_lower_states(store: PrefixStore, examples: Sequence[TrainingExample], layers: int) -> list[TrainingExample]:
    """The examples with the hidden states of the backbone's first `layers` layers, computed in one batch.

    Nothing that is trained may act in these layers.
    """
    batch = assemble(store, [example.full for example in examples])
    lower, _ = split_backbone(store.backbone, layers)
    with torch.no_grad(), capture_hidden_states() as captured:
        _forward(lower, batch, examples, 1)
    result = []
    for example, row in zip(examples, captured[0], strict=True):
        states = row[row.shape[0] - example.full.run_length :].detach().cpu().clone()
        result.append(replace(example, lower_layers=layers, lower_states=states))
    return result


def _same_logits(store: PrefixStore, plain: Sequence[TrainingExample], cached: Sequence[TrainingExample]) -> bool:
    with torch.no_grad():
        expected, actual = (answer_logits(store, examples) for examples in (plain, cached))
    return bool((actual - expected).norm() <= TOLERANCE * expected.norm())


def _forward(
    backbone: Backbone,
    batch: Batch,
    examples: Sequence[TrainingExample],
    logits_to_keep: Tensor | int,
    *,
    states: bool = False,
) -> Any:
    frozen = batch.cached_layers() if supports_frozen_prefix(backbone) else []
    cache = suffix_cache(frozen, batch.kv_prompt_layers()) if frozen else dynamic_cache(batch.layers())
    adapters = batch_adapters(backbone, [example.row.adapter for example in examples])
    with apply_adapters(backbone, adapters), frozen_prefix(frozen) if frozen else nullcontext():
        return backbone.model(
            inputs_embeds=batch.embeddings,
            attention_mask=batch.mask,
            position_ids=batch.positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=logits_to_keep,
            **({"output_hidden_states": True} if states else {}),
        )


def _encoder_decoder_loss(backbone: Backbone, examples: Sequence[TrainingExample]) -> tuple[Tensor, int]:
    """`answer_loss` for an encoder-decoder, whose decoder reads the answers alone."""
    embeddings, mask = encoder_inputs(backbone, [e.row for e in examples], max(len(e.answer) for e in examples))
    answers = [torch.tensor(example.answer, device=backbone.device) for example in examples]
    labels = torch.nn.utils.rnn.pad_sequence(answers, batch_first=True, padding_value=_IGNORED)
    start = labels.new_full((len(examples), 1), decoder_start_id(backbone))
    decoder_ids = torch.cat((start, labels[:, :-1]), dim=1)
    logits = backbone.model(
        inputs_embeds=embeddings,
        attention_mask=mask,
        # The padding after an answer is not scored, so any token id will do.
        decoder_input_ids=decoder_ids.masked_fill(decoder_ids == _IGNORED, 0),
        use_cache=False,
    ).logits.float()
    if all(example.weight == 1 for example in examples):
        loss = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=_IGNORED, reduction="sum")
    else:
        losses = cross_entropy(logits.transpose(1, 2), labels, ignore_index=_IGNORED, reduction="none")
        loss = (losses.sum(dim=1) * torch.tensor([example.weight for example in examples]).to(losses)).sum()
    return loss, sum(len(example.answer) for example in examples)
