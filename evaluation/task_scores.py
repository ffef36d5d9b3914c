"""Metrics of the text tasks.

- classification: accuracy, macro recall, macro F1, 0 to 1;
- summarisation: ROUGE-1, ROUGE-2 and ROUGE-L, mean F measure, 0 to 1 (Lin 2004), by rouge-score;
- translation: chrF (Popovic 2015) and BLEU (Papineni et al. 2002) of the whole set, 0 to 100, by sacrebleu.

Tokenisation of Chinese and Japanese: by character for ROUGE, sacrebleu's own tokenizers for BLEU.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np

from evaluation.bootstrap import Estimate, mean_interval
from evaluation.task_items import TextTask
from evaluation.text_scores import normalise

_RESAMPLES = 1000
ROUGE = ("rouge1", "rouge2", "rougeL")
# The per-reply metric whose mean on dev decides whether a soft prompt is kept.
SELECTION_SCORES: Mapping[TextTask, str] = {
    "classification": "accuracy",
    "summarisation": "ROUGE-L",
    "translation": "chrF of each text",
}


def reply_score(task: TextTask, reply: str, reference: str) -> float:
    """Score of one reply by `SELECTION_SCORES`: 0 to 1, for translation 0 to 100. Labels score 1 if they are equal."""
    if task == "classification":
        return float(reply == reference)
    if task == "summarisation":
        return _rouge(reply, reference)["rougeL"]
    from sacrebleu.metrics.chrf import CHRF

    return float(CHRF().sentence_score(reply, [reference]).score)


def task_scores(
    task: TextTask, replies: Sequence[str], references: Sequence[str], language: str
) -> dict[str, Estimate]:
    """All scores of a set by name, each with a 95% bootstrap interval over the texts.

    `language`, two letters, selects the tokenizer of BLEU.
    """
    if not replies or len(replies) != len(references):
        raise ValueError(f"{len(replies)} replies for {len(references)} references")
    if task == "classification":
        return _label_scores(replies, references)
    if task == "summarisation":
        scores = [_rouge(reply, reference) for reply, reference in zip(replies, references, strict=True)]
        return {f"ROUGE-{name.removeprefix('rouge')}": _mean([score[name] for score in scores]) for name in ROUGE}
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    tokenizer = {"zh": "zh", "ja": "char"}.get(language, "13a")
    return {
        "chrF": _corpus(CHRF(), replies, references),
        "BLEU": _corpus(BLEU(tokenize=tokenizer), replies, references),
    }


def _label_scores(predicted: Sequence[str], gold: Sequence[str]) -> dict[str, Estimate]:
    labels = {label: number for number, label in enumerate(sorted({*predicted, *gold}))}
    pairs = np.array([[labels[p], labels[g]] for p, g in zip(predicted, gold, strict=True)])
    samples = np.random.default_rng(0).integers(0, len(pairs), size=(_RESAMPLES, len(pairs)))
    resampled = np.array([_macro(pairs[rows], len(labels)) for rows in samples])
    low, high = np.percentile(resampled, (2.5, 97.5), axis=0)
    recall, f1 = _macro(pairs, len(labels))
    return {
        "accuracy": _mean([float(p == g) for p, g in zip(predicted, gold, strict=True)]),
        "macro recall": Estimate(recall, float(low[0]), float(high[0])),
        "macro F1": Estimate(f1, float(low[1]), float(high[1])),
    }


def _macro(pairs: Any, labels: int) -> tuple[float, float]:
    """Macro recall over the labels in gold, and macro F1 over the labels in gold or predictions.

    `pairs`: `[texts, 2]`, numbers of the predicted and of the gold label.
    """
    predicted, gold = pairs[:, 0], pairs[:, 1]
    correct = np.bincount(gold[predicted == gold], minlength=labels)
    in_gold, in_predicted = np.bincount(gold, minlength=labels), np.bincount(predicted, minlength=labels)
    total = in_gold + in_predicted
    return (
        float(np.mean(correct[in_gold > 0] / in_gold[in_gold > 0])),
        float(np.mean(2 * correct[total > 0] / total[total > 0])),
    )


def _mean(values: Sequence[float]) -> Estimate:
    estimate = mean_interval(values)
    assert estimate is not None
    return estimate


@lru_cache(maxsize=2)
def _scorer(by_character: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    # The default tokenizer drops everything but Latin letters and digits.
    if by_character:
        return RougeScorer(list(ROUGE), tokenizer=SimpleNamespace(tokenize=normalise))
    return RougeScorer(list(ROUGE), use_stemmer=True)


def _rouge(reply: str, reference: str) -> dict[str, float]:
    scores = _scorer(not reference.isascii()).score(reference, reply)
    return {name: float(scores[name].fmeasure) for name in ROUGE}


def _corpus(metric: Any, replies: Sequence[str], references: Sequence[str]) -> Estimate:
    score = metric.corpus_score(list(replies), [list(references)], n_bootstrap=_RESAMPLES)
    summary = json.loads(score.format(width=6, is_json=True, signature=str(metric.get_signature())))
    mean, half = summary.get("confidence_mean", score.score), summary.get("confidence_var", 0.0)
    return Estimate(float(score.score), max(0.0, float(mean - half)), min(100.0, float(mean + half)))
