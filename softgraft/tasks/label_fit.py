"""Which calibration suits the labels of a domain: chosen on dev, kept in its build folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from chains.answering.speaker import PreparedPrompt
from chains.tasks.labels import Calibration, LabelScorer, Scores, Way, contextual_bias, prior_bias
from evaluation.items import Item, spread
from softgraft.errors import UsageError
from softgraft.settings.sections import ClassificationSettings

# Texts that say nothing (Zhao et al. 2021, arXiv:2102.09690). An empty one would leave out its message.
NOTHING = ("N/A", "[MASK]", "...")
# How many texts of train tell how often the backbone says each label: two a label, within bounds.
_SAMPLE = (64, 200)
# Nats. More than at answering time, since a bias may bring up labels that are behind.
_WITHIN = 20.0

Prompts = Callable[[Sequence[str], bool], list[PreparedPrompt]]
OnFit = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class LabelFit:
    """A calibration, and what it was chosen by.

    Attributes:
        calibration: what is added to the scores.
        dev_accuracy: of each way that was tried.
        dev_found: the label of each dev text, with the calibration; empty where it was read from a file.
        biases: what each way adds; empty where it was read from a file.
    """

    calibration: Calibration
    dev_accuracy: dict[Way, float]
    dev_found: tuple[str, ...] = ()
    biases: dict[Way, tuple[float, ...]] = field(default_factory=dict)


def fit_labels(
    scorer: LabelScorer,
    prompts: Prompts,
    train: Sequence[Item],
    dev: Sequence[Item],
    settings: ClassificationSettings,
    on_fit: OnFit | None = None,
) -> LabelFit:
    """Choose the calibration by accuracy on dev, the plainer one where two are as good.

    Without dev examples `auto` takes none, and without train examples there is no prior to fit.

    Args:
        scorer: of the labels, with the slots filled.
        prompts: from texts to prompts; True for texts of train, which must not find themselves as examples.
        train: a sample of it gives the prior.
        dev: chooses.
        settings: which calibrations to try, and how labels of several tokens are compared.
        on_fit: called with the texts that were scored, and all.

    Raises:
        UsageError: the prior is asked for, and there are no train examples.
    """
    labels = scorer.verbalizer.labels
    ways: list[Way] = ["none", "contextual", "prior"] if settings.calibration == "auto" else [settings.calibration]
    if not dev and settings.calibration == "auto":
        ways = ["none"]
    if not train and settings.calibration == "prior":
        raise UsageError(
            found="the calibration `prior`, and no examples in train.jsonl",
            expected="examples that tell how often each label comes",
            next_step="write some, or set another calibration under `classification:` in domain.yaml",
        )
    ways = [way for way in ways if way != "prior" or train]
    sample = spread(train, min(max(2 * len(labels), _SAMPLE[0]), _SAMPLE[1])) if "prior" in ways else []
    nothing = NOTHING if "contextual" in ways else ()
    total = len(dev) + len(sample) + len(nothing)
    # Where nothing is added, only the best label is asked for.
    near = 0.0 if ways == ["none"] else _WITHIN

    def score(texts: Sequence[str], before: int, biases: list[tuple[float, ...]], *, own: bool, whole: bool) -> Scores:
        tell = (lambda done: on_fit(before + done, total)) if on_fit is not None else None
        return scorer.scores(
            prompts(texts, own), settings.normalise, biases=biases, within=None if whole else near, on_reply=tell
        )

    plain = (0.0,) * len(labels)
    biases: dict[Way, tuple[float, ...]] = {"none": plain}
    if nothing:
        biases["contextual"] = contextual_bias(score(nothing, 0, [plain], own=False, whole=True))
    tried = list(biases.values())
    if sample:
        texts = [item.question for item in sample]
        counts = Counter(item.target for item in train)
        wanted = np.array([counts[label] + 1.0 for label in labels])
        found = score(texts, len(nothing), tried, own=True, whole=False)
        biases["prior"] = prior_bias(found, wanted / wanted.sum())
        tried.append(biases["prior"])
    chosen = {way: biases.get(way, plain) for way in ways}
    if not dev:
        [way] = ways
        return LabelFit(Calibration(way, settings.normalise, chosen[way]), {}, (), chosen)
    scores = score([item.question for item in dev], len(nothing) + len(sample), tried, own=False, whole=False)
    gold = [item.target for item in dev]
    said = {way: [labels[i] for i in (scores + np.array(bias)).argmax(axis=1)] for way, bias in chosen.items()}
    accuracy = {way: float(np.mean([f == g for f, g in zip(said[way], gold, strict=True)])) for way in chosen}
    best = max(accuracy, key=lambda way: accuracy[way])
    return LabelFit(Calibration(best, settings.normalise, chosen[best]), accuracy, tuple(said[best]), chosen)


def keep_fit(path: Path, fingerprint: str, fit: LabelFit) -> None:
    """Write a calibration, with what it depends on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {"fingerprint": fingerprint, "calibration": asdict(fit.calibration), "dev_accuracy": fit.dev_accuracy}
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False), encoding="utf-8")


def read_fit(path: Path, fingerprint: str) -> LabelFit | None:
    """A calibration that was kept; None where there is none, or it belongs to something else."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["fingerprint"] != fingerprint:
            return None
        told = kept["calibration"]
        return LabelFit(Calibration(told["way"], told["normalise"], tuple(told["bias"])), kept["dev_accuracy"])
    except (OSError, ValueError, KeyError, TypeError):
        # Only a record: it is fitted again.
        return None
