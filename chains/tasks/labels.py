"""Classification with a backbone: the likelihood of each label's words as the answer, calibrated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chains.answering.speaker import OnReply, PreparedPrompt
from chains.chat.chat_model import SoftPromptChat
from chains.tasks.verbalizer import Verbalizer
from soft_prompt import encode_prompt, score_continuations

Normalise = Literal["sum", "mean"]
CalibrationMethod = Literal["none", "contextual", "prior"]
# Labels this many nats behind the best one have less than 1/100,000 of its probability and are not scored exactly.
WITHIN = 12.0
LabelScores = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Biases that are added to the scores of the labels before they are compared.

    Attributes:
        method: `none`; `contextual`: content-free texts get uniform label probabilities (Zhao et al. 2021,
            arXiv:2102.09690); `prior`: label frequencies match those of train (as in Batch Calibration, Zhou et al.
            2023, arXiv:2309.17249).
        normalise: the score of a label is the sum or the mean of its tokens' log-likelihoods.
        bias: nats, one per label.
    """

    method: CalibrationMethod
    normalise: Normalise
    bias: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        return {"way": self.method, "normalise": self.normalise, "bias": list(self.bias)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Calibration:
        return cls(stored["way"], stored["normalise"], tuple(stored["bias"]))


@dataclass(frozen=True)
class LabelScorer:
    """Scores all labels as continuations of prompts, with a backbone and filled soft slots."""

    chat: SoftPromptChat
    verbalizer: Verbalizer

    @cached_property
    def continuations(self) -> list[tuple[int, ...]]:
        """Token ids of each label's words, with the end token."""
        backbone = self.chat.store.backbone
        return [(*backbone.encode_text(self.verbalizer.words[x]), backbone.end_id) for x in self.verbalizer.labels]

    def scores(
        self,
        prompts: Sequence[PreparedPrompt],
        normalise: Normalise = "sum",
        *,
        biases: Sequence[Sequence[float]] | None = None,
        within: float | None = WITHIN,
        on_reply: OnReply | None = None,
    ) -> LabelScores:
        """Log-likelihoods `[prompts, labels]`, nats, without any bias.

        Args:
            normalise: sum or mean over the tokens of a label.
            biases: biases that the caller will add, each with one number per label; with `within`, labels near the best
                one under any of them are scored exactly.
            within: as in `soft_prompt.score_continuations`; ignored for means, which need all labels.

        Raises:
            BackboneError: if the backbone cannot score labels.
        """
        chat = self.chat
        rows = [encode_prompt(chat.store.backbone, p.model_input, chat.fills, chat.attention) for p in prompts]
        within = within if normalise == "sum" else None
        sums = score_continuations(chat.store, rows, self.continuations, biases=biases, within=within, on_row=on_reply)
        scores = np.asarray(sums.tolist(), dtype=np.float64).reshape(len(rows), len(self.continuations))
        return scores / np.array([len(ids) for ids in self.continuations]) if normalise == "mean" else scores

    def probabilities(
        self, prompts: Sequence[PreparedPrompt], calibration: Calibration, *, on_reply: OnReply | None = None
    ) -> LabelScores:
        """Probabilities of the labels, `[prompts, labels]`; each row sums to 1."""
        scores = self.scores(prompts, calibration.normalise, biases=[calibration.bias], on_reply=on_reply)
        return softmax(scores + np.array(calibration.bias))

    def best(
        self, prompts: Sequence[PreparedPrompt], calibration: Calibration, *, on_reply: OnReply | None = None
    ) -> list[int]:
        """The index of the most likely label of each prompt. Labels that cannot become it are not scored to the end."""
        scores = self.scores(prompts, calibration.normalise, biases=[calibration.bias], within=0.0, on_reply=on_reply)
        return [int(number) for number in (scores + np.array(calibration.bias)).argmax(axis=1)]


def softmax(scores: LabelScores) -> LabelScores:
    """Probabilities `[..., labels]` of scores in nats."""
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: LabelScores = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result


def contextual_bias(scores: LabelScores) -> tuple[float, ...]:
    """The bias that makes content-free texts favour no label. `scores`: `[texts, labels]`, nats, of these texts."""
    return tuple((-np.log(softmax(scores).mean(axis=0) + 1e-12)).tolist())


def prior_bias(scores: LabelScores, frequencies: LabelScores) -> tuple[float, ...]:
    """The bias that makes the mean probabilities of the labels match their frequencies.

    Args:
        scores: `[texts, labels]`, nats, of unlabelled texts.
        frequencies: `[labels]`, target frequencies; sums to 1.
    """
    bias = np.zeros(scores.shape[1])
    for _ in range(100):
        bias += np.log(frequencies + 1e-12) - np.log(softmax(scores + bias).mean(axis=0) + 1e-12)
    return tuple((bias - bias.mean()).tolist())
