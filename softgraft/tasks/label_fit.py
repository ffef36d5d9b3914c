"""The calibration of a domain's labels: chosen on dev, stored in its build folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chains.answering.speaker import PreparedPrompt
from chains.tasks.labels import Calibration, CalibrationMethod, LabelScorer, LabelScores, contextual_bias, prior_bias
from evaluation.items import Item, spread
from soft_prompt.json_text import dump_json
from softgraft.errors import UsageError
from softgraft.settings.sections import ClassificationSettings

# Content-free texts (Zhao et al. 2021, arXiv:2102.09690). An empty one would leave out its message.
CONTENT_FREE = ("N/A", "[MASK]", "...")
# Number of train texts that estimate how often the backbone predicts each label: two per label, within these bounds.
_SAMPLE = (64, 200)
# Nats. More than when answering, since a bias may raise labels that are behind.
_WITHIN = 20.0

Prompts = Callable[[Sequence[str], bool], list[PreparedPrompt]]
OnFit = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class LabelFit:
    """A calibration, and how it was chosen.

    Attributes:
        calibration: the biases added to the scores.
        dev_accuracy: accuracy on dev of each method that was compared.
        dev_labels: the predicted label of each dev text; empty if the fit was read from a file.
    """

    calibration: Calibration
    dev_accuracy: dict[CalibrationMethod, float]
    dev_labels: tuple[str, ...] = ()


def fit_labels(
    scorer: LabelScorer,
    prompts: Prompts,
    train: Sequence[Item],
    dev: Sequence[Item],
    settings: ClassificationSettings,
    on_fit: OnFit | None = None,
) -> LabelFit:
    """Choose the calibration by accuracy on dev; of equally good ones, the simpler.

    Without dev examples `auto` uses none, and without train examples no prior can be fitted.

    Args:
        scorer: scores the labels, with the slots filled.
        prompts: from texts to prompts; True for train texts, which must not find themselves as examples.
        train: a sample of it gives the prior.
        dev: the examples that decide.
        settings: which calibrations to compare, and how labels of several tokens are scored.
        on_fit: called with the number of texts scored and of all.

    Raises:
        UsageError: if the prior is asked for, and there are no train examples.
    """
    labels = scorer.verbalizer.labels
    methods: list[CalibrationMethod] = [settings.calibration] if settings.calibration != "auto" else ["none"]
    if dev and settings.calibration == "auto":
        methods = ["none", "contextual", "prior"] if train else ["none", "contextual"]
    if not train and settings.calibration == "prior":
        raise UsageError(
            found="the calibration `prior`, and no examples in train.jsonl",
            expected="examples that tell how often each label comes",
            next_step="write some, or set another calibration under `classification:` in domain.yaml",
        )
    sample = spread(train, min(max(2 * len(labels), _SAMPLE[0]), _SAMPLE[1])) if "prior" in methods else []
    content_free = CONTENT_FREE if "contextual" in methods else ()
    total = len(dev) + len(sample) + len(content_free)
    # Without a bias only the best label is needed.
    within = 0.0 if methods == ["none"] else _WITHIN

    def score(
        texts: Sequence[str], before: int, biases: list[tuple[float, ...]], *, own: bool, within: float | None = within
    ) -> LabelScores:
        on_reply = (lambda done: on_fit(before + done, total)) if on_fit is not None else None
        return scorer.scores(prompts(texts, own), settings.normalise, biases=biases, within=within, on_reply=on_reply)

    plain = (0.0,) * len(labels)
    biases: dict[CalibrationMethod, tuple[float, ...]] = {"none": plain}
    if content_free:
        biases["contextual"] = contextual_bias(score(content_free, 0, [plain], own=False, within=None))
    compared = list(biases.values())
    if sample:
        counts = Counter(item.target for item in train)
        wanted = np.array([counts[label] + 1.0 for label in labels])
        scores = score([item.question for item in sample], len(content_free), compared, own=True)
        biases["prior"] = prior_bias(scores, wanted / wanted.sum())
        compared.append(biases["prior"])
    chosen = {method: biases.get(method, plain) for method in methods}
    if not dev:
        [method] = methods
        return LabelFit(Calibration(method, settings.normalise, chosen[method]), {})
    scores = score([item.question for item in dev], len(content_free) + len(sample), compared, own=False)
    predicted = {m: [labels[i] for i in (scores + np.array(bias)).argmax(axis=1)] for m, bias in chosen.items()}
    gold = np.array([item.target for item in dev])
    accuracy = {method: float(np.mean(np.array(found) == gold)) for method, found in predicted.items()}
    best = max(accuracy, key=lambda method: accuracy[method])
    return LabelFit(Calibration(best, settings.normalise, chosen[best]), accuracy, tuple(predicted[best]))


def keep_fit(path: Path, fingerprint: str, fit: LabelFit) -> None:
    """Store a calibration, with the fingerprint of everything it depends on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"fingerprint": fingerprint, "calibration": fit.calibration.to_json(), "dev_accuracy": fit.dev_accuracy}
    path.write_text(dump_json(record, indent=1, ensure_ascii=False), encoding="utf-8")


def read_fit(path: Path, fingerprint: str) -> LabelFit | None:
    """A stored calibration; None if there is none, or it belongs to something else."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["fingerprint"] != fingerprint:
            return None
        stored = record["calibration"]
        return LabelFit(Calibration.from_json(stored), record["dev_accuracy"])
    except (OSError, ValueError, KeyError, TypeError):
        # It is only a cache: a broken record is fitted again.
        return None
