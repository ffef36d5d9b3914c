"""How likely each label is: what classification does with a backbone.

The backbone says how likely each label's words are as the answer; a calibration takes away what it would say to any
text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from chains.answering.speaker import PreparedPrompt
from chains.chat.chat_model import SoftPromptChat
from chains.tasks.verbalizer import Verbalizer
from soft_prompt import encode_prompt, score_continuations

Normalise = Literal["sum", "mean"]
Way = Literal["none", "contextual", "prior"]
# A label whose likelihood is so many nats behind the best one's has less than a hundred-thousandth of its probability.
WITHIN = 12.0
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """What is added to the scores of the labels before they are compared.

    Attributes:
        way: `none`; `contextual`, against what the backbone says to a text that says nothing (Zhao et al. 2021,
            arXiv:2102.09690); `prior`, so that labels come as often as they do in train (as in Batch Calibration, Zhou
            et al. 2023, arXiv:2309.17249).
        normalise: whether a label's score is the likelihood of its words, `sum`, or the mean of its tokens', `mean`.
        bias: nats, one a label.
    """

    way: Way
    normalise: Normalise
    bias: tuple[float, ...]


@dataclass(frozen=True)
class LabelScorer:
    """Scores of all labels behind prompts, by a backbone with its soft slots filled.

    Attributes:
        chat: the backbone and what fills the slots.
        verbalizer: the labels.
    """

    chat: SoftPromptChat
    verbalizer: Verbalizer

    @cached_property
    def continuations(self) -> list[tuple[int, ...]]:
        """Token ids of each label's words as a whole answer."""
        backbone = self.chat.store.backbone
        return [(*backbone.encode_text(self.verbalizer.words[x]), backbone.end_id) for x in self.verbalizer.labels]

    def scores(
        self,
        prompts: Sequence[PreparedPrompt],
        normalise: Normalise = "sum",
        *,
        biases: Sequence[Sequence[float]] | None = None,
        within: float | None = WITHIN,
        on_reply: Callable[[int], None] | None = None,
    ) -> Scores:
        """Log-likelihoods `[prompts, labels]`, nats, without any bias.

        Args:
            prompts: tokenised prompts.
            normalise: of a label's words, or of one of their tokens in the mean.
            biases: that will be added, each a number a label; with `within`, what is near the best under any of them.
            within: as in `soft_prompt.score_continuations`; means need all labels, so there it does not count.
            on_reply: called with the number of prompts that are done.

        Raises:
            BackboneError: the backbone cannot score labels.
        """
        chat = self.chat
        rows = [
            encode_prompt(chat.store.backbone, prompt.model_input, chat.fills, chat.attention) for prompt in prompts
        ]
        found = np.asarray(
            score_continuations(
                chat.store,
                rows,
                self.continuations,
                biases=biases,
                within=within if normalise == "sum" else None,
                on_row=on_reply,
            ).tolist(),
            dtype=np.float64,
        ).reshape(len(rows), len(self.continuations))
        return found / np.array([len(ids) for ids in self.continuations]) if normalise == "mean" else found

    def probabilities(
        self,
        prompts: Sequence[PreparedPrompt],
        calibration: Calibration,
        *,
        on_reply: Callable[[int], None] | None = None,
    ) -> Scores:
        """How likely each label is among all, `[prompts, labels]`; a row sums to 1."""
        found = self.scores(prompts, calibration.normalise, biases=[calibration.bias], on_reply=on_reply)
        return softmax(found + np.array(calibration.bias))

    def best(
        self,
        prompts: Sequence[PreparedPrompt],
        calibration: Calibration,
        *,
        on_reply: Callable[[int], None] | None = None,
    ) -> list[int]:
        """The number of the likeliest label behind each prompt. What cannot become it is not run to its end."""
        found = self.scores(prompts, calibration.normalise, biases=[calibration.bias], within=0.0, on_reply=on_reply)
        return [int(number) for number in (found + np.array(calibration.bias)).argmax(axis=1)]


def softmax(scores: Scores) -> Scores:
    """Probabilities `[..., labels]` of scores in nats."""
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: Scores = raised / raised.sum(axis=-1, keepdims=True)
    return result


def contextual_bias(scores: Scores) -> tuple[float, ...]:
    """The bias under which texts that say nothing have no favourite label. `scores`: `[texts, labels]`, theirs."""
    return tuple((-np.log(softmax(scores).mean(axis=0) + 1e-12)).tolist())


def prior_bias(scores: Scores, wanted: Scores, *, rounds: int = 100) -> tuple[float, ...]:
    """The bias under which labels come, in the mean over texts, as often as they should.

    Args:
        scores: `[texts, labels]`, nats, of texts as they come.
        wanted: `[labels]`, how often each label comes; sums to 1.
        rounds: of bringing them nearer; each is exact for two labels that all texts agree on.
    """
    bias = np.zeros(scores.shape[1])
    for _ in range(rounds):
        bias += np.log(wanted + 1e-12) - np.log(softmax(scores + bias).mean(axis=0) + 1e-12)
    return tuple((bias - bias.mean()).tolist())
