"""Scores of the tasks that are no questions.

- classification: accuracy, macro recall, macro F1, 0 to 1;
- summarisation: ROUGE-1, ROUGE-2 and ROUGE-L, mean F measure, 0 to 1 (Lin 2004), by rouge-score;
- translation: chrF (Popovic 2015) and BLEU (Papineni et al. 2002) of the whole set, 0 to 100, by sacrebleu.

Chinese and Japanese are cut as each metric wants them: ROUGE by character, BLEU by sacrebleu's own tokenizers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from evaluation.bootstrap import Estimate, mean_interval
from evaluation.task_items import TextTask
from evaluation.text_scores import normalise

_RESAMPLES = 1000
ROUGE = ("rouge1", "rouge2", "rougeL")
# What decides on dev whether a soft prompt is kept: one number a reply, whose mean is taken.
DECIDES: Mapping[TextTask, str] = {
    "classification": "accuracy",
    "summarisation": "ROUGE-L",
    "translation": "chrF of each text",
}


def reply_score(task: TextTask, reply: str, reference: str) -> float:
    """How good one reply is, by the number that decides on dev; 0 to 1, and 0 to 100 for translation.

    For classification both are label words, and it is 1 where they are the same.
    """
    if task == "classification":
        return float(reply == reference)
    if task == "summarisation":
        return _rouge(reply, reference)["rougeL"]
    from sacrebleu.metrics.chrf import CHRF

    return float(CHRF().sentence_score(reply, [reference]).score)


def task_scores(
    task: TextTask, replies: Sequence[str], references: Sequence[str], language: str
) -> dict[str, Estimate]:
    """All scores of a set, by name, each with a 95% bootstrap interval over the texts.

    Args:
        task: which scores.
        replies: of one system; labels for classification.
        references: what they are compared with.
        language: two letters, of the replies; decides how BLEU cuts words.

    Raises:
        ValueError: nothing to score, or more of one than of the other.
    """
    if not replies or len(replies) != len(references):
        raise ValueError(f"{len(replies)} replies for {len(references)} references")
    if task == "classification":
        return _label_scores(replies, references)
    if task == "summarisation":
        told = [_rouge(reply, reference) for reply, reference in zip(replies, references, strict=True)]
        return {f"ROUGE-{name.removeprefix('rouge')}": _mean([one[name] for one in told]) for name in ROUGE}
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    tokenizer = {"zh": "zh", "ja": "char"}.get(language, "13a")
    return {
        "chrF": _corpus(CHRF(), replies, references),
        "BLEU": _corpus(BLEU(tokenize=tokenizer), replies, references),
    }


def _label_scores(found: Sequence[str], gold: Sequence[str]) -> dict[str, Estimate]:
    labels = {label: number for number, label in enumerate(sorted({*found, *gold}))}
    pairs = np.array([[labels[f], labels[g]] for f, g in zip(found, gold, strict=True)])
    chosen = np.random.default_rng(0).integers(0, len(pairs), size=(_RESAMPLES, len(pairs)))
    drawn = np.array([_macro(pairs[rows], len(labels)) for rows in chosen])
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    recall, f1 = _macro(pairs, len(labels))
    return {
        "accuracy": _mean([float(f == g) for f, g in zip(found, gold, strict=True)]),
        "macro recall": Estimate(recall, float(low[0]), float(high[0])),
        "macro F1": Estimate(f1, float(low[1]), float(high[1])),
    }


def _macro(pairs: Any, labels: int) -> tuple[float, float]:
    """Recall, meant over the labels that occur, and F1, meant over those that occur or were found."""
    found, gold = pairs[:, 0], pairs[:, 1]
    right = np.bincount(gold[found == gold], minlength=labels)
    asked, told = np.bincount(gold, minlength=labels), np.bincount(found, minlength=labels)
    occurs, counts = asked > 0, asked + told > 0
    return (
        float(np.mean(right[occurs] / asked[occurs])),
        float(np.mean(2 * right[counts] / (asked[counts] + told[counts]))),
    )


def _mean(values: Sequence[float]) -> Estimate:
    found = mean_interval(values)
    assert found is not None
    return found


class _Cut:
    """Words and, one by one, Chinese and Japanese characters, as rouge-score asks for them."""

    def tokenize(self, text: str) -> list[str]:
        return normalise(text)


@lru_cache(maxsize=2)
def _scorer(by_character: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    # Its own tokenizer keeps nothing but Latin letters and digits.
    return RougeScorer(list(ROUGE), tokenizer=_Cut()) if by_character else RougeScorer(list(ROUGE), use_stemmer=True)


def _rouge(reply: str, reference: str) -> dict[str, float]:
    scores = _scorer(not reference.isascii()).score(reference, reply)
    return {name: float(scores[name].fmeasure) for name in ROUGE}


def _corpus(metric: Any, replies: Sequence[str], references: Sequence[str]) -> Estimate:
    score = metric.corpus_score(list(replies), [list(references)], n_bootstrap=_RESAMPLES)
    told = json.loads(score.format(width=6, is_json=True, signature=str(metric.get_signature())))
    mean, half = told.get("confidence_mean", score.score), told.get("confidence_var", 0.0)
    return Estimate(float(score.score), max(0.0, float(mean - half)), min(100.0, float(mean + half)))
