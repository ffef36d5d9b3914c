"""The runs of `privacy.py`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, cast

import numpy as np

from benchmarks.injection.grafts import Grafts, Half
from benchmarks.script import utc_now
from benchmarks.tables import difference, estimate, interval_text, print_table
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
# The half that a soft prompt has seen, or the text twin.
SYSTEMS = (TWIN, *HALVES)
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
    for name, seeds in cells.items():
        runs = [run for run in seeds.values() if set(SYSTEMS) <= set(run)]
        if not runs:
            continue
        for kind in PROMPTS:
            rows = []
            for score, title in SCORES.items():
                seen, unseen, twin = (_by_question(runs, which, kind, score) for which in ("seen", "unseen", TWIN))
                rows.append([
                    title, interval_text(estimate(seen)), interval_text(estimate(unseen)),
                    interval_text(estimate(twin)), interval_text(difference(seen, unseen), "+"),
                ])  # fmt: skip
            columns = ("score", "seen", "unseen", "text twin", "seen minus unseen")
            print_table(f"{name}, prompt: {kind}, {len(runs)} seeds", columns, rows)
        seen, unseen, twin = (_by_question(runs, which, "loss") for which in ("seen", "unseen", TWIN))
        rows = [
            ["nats per token", interval_text(estimate(seen)), interval_text(estimate(unseen)),
             interval_text(estimate(twin)), interval_text(difference(seen, unseen), "+")],
            ["AUC of the likelihood", interval_text(auc_interval(seen, unseen)), "", "", ""],
            ["AUC relative to the text twin", interval_text(auc_interval(
                [a - b for a, b in zip(seen, twin, strict=True)], [a - b for a, b in zip(unseen, twin, strict=True)]
            )), "", "", ""],
        ]  # fmt: skip
        print_table(f"{name}, likelihood of the response", ("score", "seen", "unseen", "text twin", "difference"), rows)


def auc_interval(seen: Sequence[float], unseen: Sequence[float], *, seed: int = 0) -> dict[str, float]:
    """Share of pairs in which the loss of the seen question is lower, with its 95% interval over questions."""
    ours, theirs = np.asarray(seen), np.asarray(unseen)
    lower = (ours[:, None] < theirs[None]) + 0.5 * (ours[:, None] == theirs[None])
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(RESAMPLES // 10):
        chosen = rng.integers(0, len(ours), len(ours))
        means.append(lower[np.ix_(chosen, chosen)].mean())
    low, high = np.percentile(means, (2.5, 97.5))
    return {"mean": float(lower.mean()), "low": float(low), "high": float(high)}


def _by_question(runs: Sequence[Mapping[str, Any]], which: str, *path: str) -> list[float]:
    """The values of all questions, averaged over the runs: of the one that saw them, of the other, or of the twin."""
    values: list[float] = []
    for half, other in (HALVES, HALVES[::-1]):
        system = {"seen": half, "unseen": other}.get(which, TWIN)
        lists = []
        for run in runs:
            found = run[system][half]
            for key in path:
                found = found[key]
            lists.append(found)
        values += map(statistics.mean, zip(*lists, strict=True))
    return values
