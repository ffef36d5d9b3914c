"""Distillation: learn a teacher's distributions at the answer's tokens (Hinton et al. 2015, arXiv:1503.02531).

Of each distribution the most likely tokens are kept. What is left over is one more class, so that a student is not
rewarded for likelihood on tokens that the teacher finds unlikely.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import kl_div

TOP = 64
# A distribution's rest may round to 0 or below.
_SMALLEST = 1e-8
# Below the rest's smallest value, so that a token that only fills a row does not count.
_IMPOSSIBLE = math.log(1e-10)


@dataclass(frozen=True, eq=False)
class TeacherTargets:
    """The teacher's most likely tokens at each position of one answer.

    Attributes:
        ids: `[answer tokens, TOP]`, int32.
        log_probabilities: `[answer tokens, TOP]`, fp32, at temperature 1.
    """

    ids: Tensor
    log_probabilities: Tensor


def teacher_targets(logits: Tensor, lengths: Sequence[int], top: int = TOP) -> list[TeacherTargets]:
    """Keep the `top` most likely tokens of each distribution.

    Args:
        logits: `[answer tokens, vocabulary]` of several answers, one after the other.
        lengths: number of tokens of each answer.
    """
    best = torch.log_softmax(logits.detach().float(), dim=-1).topk(min(top, logits.shape[-1]), dim=-1)
    values, ids = best.values.cpu(), best.indices.to("cpu", torch.int32)
    parts = zip(torch.split(ids, list(lengths)), torch.split(values, list(lengths)), strict=True)
    # Copies, since a part of a batch keeps the whole of it in memory.
    return [TeacherTargets(own_ids.clone(), own_values.clone()) for own_ids, own_values in parts]


def listed_targets(rows: Sequence[Mapping[int, float]], width: int) -> TeacherTargets:
    """Targets from the few most likely tokens of each position, as an API lists them.

    Args:
        rows: token id to log-probability, for each token of one answer; the largest values of longer rows are kept.
        width: number of tokens per position; shorter rows are filled up with tokens that are nearly impossible.
    """
    ids, values = [], []
    for row in rows:
        known = dict(sorted(row.items(), key=lambda pair: -pair[1])[:width])
        token = 0
        while len(known) < width:
            known.setdefault(token, _IMPOSSIBLE)
            token += 1
        ids.append(list(known))
        values.append([max(value, _IMPOSSIBLE) for value in known.values()])
    return TeacherTargets(torch.tensor(ids, dtype=torch.int32), torch.tensor(values, dtype=torch.float32))


def distillation_loss(logits: Tensor, targets: Sequence[TeacherTargets], temperature: float) -> Tensor:
    """KL divergence from the teacher to the student at each answer token, times the temperature squared.

    Args:
        logits: the student's, `[answer tokens, vocabulary]`, fp32.
        targets: of the same answers, in the same order.
        temperature: both distributions are flattened by it; above 1, unlikely tokens count more.

    Returns:
        `[answer tokens]`, fp32.

    Raises:
        ValueError: if teacher and student have different numbers of tokens.
    """
    ids = torch.cat([one.ids for one in targets]).to(logits.device, torch.int64)
    known = torch.cat([one.log_probabilities for one in targets]).to(logits.device)
    if len(ids) != len(logits):
        raise ValueError(f"a teacher of {len(ids)} tokens for {len(logits)}; expected the same answers")
    # Flattened over the kept tokens and the rest, which has no logit of its own.
    teacher = torch.log_softmax(_with_rest(known) / temperature, dim=-1)
    student = torch.log_softmax(_with_rest(torch.log_softmax(logits, dim=-1).gather(1, ids)) / temperature, dim=-1)
    return kl_div(student, teacher, reduction="none", log_target=True).sum(dim=-1) * temperature**2


def _with_rest(log_probabilities: Tensor) -> Tensor:
    rest = (1 - log_probabilities.exp().sum(dim=-1, keepdim=True)).clamp_min(_SMALLEST).log()
    return torch.cat((log_probabilities, rest), dim=-1)
