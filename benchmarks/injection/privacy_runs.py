"""The runs of `privacy.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, cast

import numpy as np

from benchmarks.injection.grafts import Grafts, Half
from benchmarks.script import utc_now
from benchmarks.tables import estimate, interval_text, print_table
from chains import Answering, Evidence, LocalSpeaker
from chains.answering.speaker import PreparedPrompt
from evaluation.bootstrap import RESAMPLES
from evaluation.items import Item, spread
from evaluation.text_scores import contains_answer, exact_match, normalise
from soft_prompt import encode_prompt
from soft_prompt.training.answer_loss import answer_losses
from soft_prompt.training.example import TrainingExample

HALVES: tuple[Half, ...] = ("first", "second")
TWIN = "text twin"
PROMPTS = ("question", "first words")
NEAR = 0.8
SCORES = {
    "exact": "exact",
    "near": f"ROUGE-L at least {NEAR}",
    "rouge_l": "ROUGE-L",
    "run": "longest run",
    "answer": "short answer",
}


def measure(grafts: Grafts, system: str, seed: int) -> dict[str, Any]:
    """The scores of one system on the questions of both halves, in their order."""
    domain = grafts.untrained() if system == TWIN else grafts.trained("soft", seed, cast(Half, system))
    with closing(domain):
        answering = domain.answering("text-twin" if system == TWIN else "soft", form="generate")
        result: dict[str, Any] = {}
        for half in HALVES:
            items = spread(grafts.half(domain, half), grafts.config["questions"])
            result[half] = {"questions": [item.id for item in items], "loss": _losses(answering, items)}
            for kind in PROMPTS:
                asked = [item.question if kind == "question" else first_words(item.question) for item in items]
                replies = answering.speaker.reply_many([_without_evidence(answering, one) for one in asked])
                result[half][kind] = scores(replies, items)
    return {**result, "finished": utc_now()}


def first_words(question: str) -> str:
    """The first half of a question's words, at least three."""
    words = question.split()
    return " ".join(words[: max(3, len(words) // 2)])


def scores(replies: Sequence[str], items: Sequence[Item]) -> dict[str, list[float]]:
    """How close each reply is to its question's response: `SCORES` by name."""
    rows = []
    for reply, item in zip(replies, items, strict=True):
        words, target = normalise(reply), normalise(item.target)
        overlap = rouge_l(words, target)
        rows.append({
            "exact": exact_match(reply, (item.target,)),
            "near": float(overlap >= NEAR),
            "rouge_l": round(overlap, 4),
            "run": float(longest_run(words, target)),
            "answer": contains_answer(reply, item.answers),
        })  # fmt: skip
    return {name: [row[name] for row in rows] for name in SCORES}


def rouge_l(reply: Sequence[str], target: Sequence[str]) -> float:
    """F1 of the longest common subsequence of words (Lin 2004)."""
    if not reply or not target:
        return float(reply == target)
    previous = [0] * (len(target) + 1)
    for word in reply:
        row = [0]
        for n, other in enumerate(target):
            row.append(previous[n] + 1 if word == other else max(previous[n + 1], row[n]))
        previous = row
    return 2 * previous[-1] / (len(reply) + len(target))


def longest_run(reply: Sequence[str], target: Sequence[str]) -> int:
    """Number of words of the longest text that both contain."""
    best, previous = 0, [0] * (len(target) + 1)
    for word in reply:
        ends = [before + 1 if word == other else 0 for before, other in zip(previous[:-1], target, strict=True)]
        best, previous = max(best, *ends, 0), [0, *ends]
    return best


def _without_evidence(answering: Answering, question: str) -> PreparedPrompt:
    return answering.speaker.prepare(answering.prompt(question, (), Evidence((), None, False)))


def _losses(answering: Answering, items: Sequence[Item]) -> list[float]:
    """Nats per token of each response to its question without evidence."""
    speaker = answering.speaker
    assert isinstance(speaker, LocalSpeaker)
    chat = speaker.chat
    backbone, slots = chat.store.backbone, answering.template.current().soft_slots
    fills = {slot: chat.fills[slot] for slot in slots}
    examples = [
        TrainingExample(
            encode_prompt(backbone, _without_evidence(answering, item.question).model_input, fills, chat.attention),
            (*backbone.encode_text(item.target), backbone.end_id),
        )
        for item in items
    ]
    return [round(loss, 4) for loss in answer_losses(chat.store, examples, 8)]


def print_privacy(cells: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """For each prompt the scores on seen and unseen questions, and how well the likelihood tells them apart."""
    columns = ("score", "seen", "twin, same", "unseen", "twin, same", "gain if seen minus gain if unseen")
    for name, seeds in cells.items():
        runs = [run for run in seeds.values() if TWIN in run and len(run) > 1]
        for kind in PROMPTS if runs else ():
            rows = [_row(title, _values(runs, kind, score)) for score, title in SCORES.items()]
            print_table(f"{name}, prompt: {kind}, {len(runs)} seeds", columns, rows)
        if runs:
            losses = _values(runs, "loss")
            print_table(f"{name}, likelihood", columns, [_row("nats per token", losses)])
            seen, unseen = _gain(losses["seen"]), _gain(losses["unseen"])
            print(f"AUC of the likelihood relative to the text twin: {interval_text(auc_interval(seen, unseen))}")


# By "seen" and "unseen": for each question the value of the soft prompt and that of the text twin.
Values = Mapping[str, Sequence[tuple[float, float]]]


def _row(title: str, values: Values) -> list[str]:
    sides = [[pair[n] for pair in values[which]] for which in ("seen", "unseen") for n in (0, 1)]
    gap = gap_interval(_gain(values["seen"]), _gain(values["unseen"]))
    return [title, *(interval_text(estimate(side)) for side in sides), interval_text(gap, "+")]


def _gain(pairs: Sequence[tuple[float, float]]) -> list[float]:
    return [ours - twin for ours, twin in pairs]


def _values(runs: Sequence[Mapping[str, Any]], *path: str) -> dict[str, list[tuple[float, float]]]:
    """The values of all questions and soft prompts, one after the other."""
    found: dict[str, list[tuple[float, float]]] = {"seen": [], "unseen": []}
    for run in runs:
        for system in set(HALVES) & set(run):
            for half in HALVES:
                ours, twin = run[system][half], run[TWIN][half]
                for key in path:
                    ours, twin = ours[key], twin[key]
                found["seen" if system == half else "unseen"] += zip(ours, twin, strict=True)
    return found


def gap_interval(seen: Sequence[float], unseen: Sequence[float], *, seed: int = 0) -> dict[str, float]:
    """The difference of two means with its 95% bootstrap interval; the questions are not the same."""
    rng = np.random.default_rng(seed)
    means = [
        data[rng.integers(0, len(data), size=(RESAMPLES, len(data)))].mean(axis=1)
        for data in (np.asarray(seen), np.asarray(unseen))
    ]
    low, high = np.percentile(means[0] - means[1], (2.5, 97.5))
    return {"mean": float(np.mean(seen) - np.mean(unseen)), "low": float(low), "high": float(high)}


def auc_interval(seen: Sequence[float], unseen: Sequence[float], *, seed: int = 0) -> dict[str, float]:
    """Share of pairs in which the loss of the seen question is lower, with its 95% interval over questions."""
    ours, theirs = np.asarray(seen), np.asarray(unseen)
    lower = (ours[:, None] < theirs[None]) + 0.5 * (ours[:, None] == theirs[None])
    rng = np.random.default_rng(seed)
    means = [
        lower[np.ix_(rng.integers(0, len(ours), len(ours)), rng.integers(0, len(theirs), len(theirs)))].mean()
        for _ in range(RESAMPLES // 10)
    ]
    low, high = np.percentile(means, (2.5, 97.5))
    return {"mean": float(lower.mean()), "low": float(low), "high": float(high)}
