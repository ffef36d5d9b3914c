"""Error rates of the support check and of simple baselines on sentences judged by hand."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chains.answering.citations import cite
from chains.answering.support import Support, check_support
from retrieval import Passage
from retrieval.splitting.scripts import UNSPACED

_WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_THRESHOLDS = tuple(round(0.3 + 0.05 * step, 2) for step in range(15))


@dataclass(frozen=True, slots=True)
class JudgedSentence:
    """A sentence, what it was checked against, and whether a person found it supported.

    Attributes:
        split: "dev", on which limits were chosen; "inspected", whose errors were read later; or "test".
        source: "written" by hand, "response" of an example domain, or "model" for a reply of the embedded backbone.
        kind: of the paraphrase, or of the error.
    """

    id: str
    split: str
    language: str
    source: str
    question: str
    earlier: tuple[str, ...]
    passages: tuple[Passage, ...]
    sentence: str
    supported: bool
    kind: str


Judge = Callable[[JudgedSentence], bool]


def read_sentences(path: Path) -> list[JudgedSentence]:
    """Read the judged sentences, one JSON object per line."""
    return [_sentence(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def measure(sentences: Sequence[JudgedSentence], split: str, gain: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Error rates of each method on one split; thresholds of the baselines are chosen on dev.

    `gain` is the likelihood gain of each sentence by its id, if it was measured.
    """
    dev = [sentence for sentence in sentences if sentence.split == "dev"]
    chosen = [sentence for sentence in sentences if sentence.split == split]
    start = time.process_time()
    found = {sentence.id: _check(sentence) for sentence in chosen}
    seconds = time.process_time() - start
    share = _best_threshold(dev, word_share)
    methods: dict[str, Judge] = {
        "support check": lambda s: found[s.id].supported,
        f"share of words >= {share}": lambda s: word_share(s) >= share,
        "all numbers": has_numbers,
        f"share of words >= {share} and all numbers": lambda s: word_share(s) >= share and has_numbers(s),
        "citation": lambda s: bool(cite(s.sentence, s.passages, question=s.question)),
    }
    if gain is not None:
        least = _best_threshold(dev, lambda s: gain[s.id], thresholds=sorted({gain[s.id] for s in dev}))
        methods[f"likelihood gain >= {least:.2f}"] = lambda s: gain[s.id] >= least
        methods["support check and likelihood gain"] = lambda s: found[s.id].supported and gain[s.id] >= least
    groups: dict[str, Callable[[JudgedSentence], str]] = {
        "language": lambda s: s.language,
        "source": lambda s: s.source,
        "kind": lambda s: s.kind,
    }
    return {
        "counts": {"unsupported": sum(not s.supported for s in chosen), "supported": sum(s.supported for s in chosen)},
        "methods": {name: error_rates(chosen, judge) for name, judge in methods.items()},
        "check_by": {
            name: {
                value: error_rates([s for s in chosen if group(s) == value], methods["support check"])
                for value in sorted({group(s) for s in chosen})
            }
            for name, group in groups.items()
        },
        "milliseconds": {"mean": round(1000 * seconds / max(1, len(chosen)), 3)},
        "errors": [
            {"id": s.id, "kind": s.kind, "sentence": s.sentence, "passed": not s.supported,
             "share": found[s.id].share, "reasons": list(found[s.id].reasons)}
            for s in chosen if found[s.id].supported != s.supported
        ],
    }  # fmt: skip


def error_rates(sentences: Sequence[JudgedSentence], judge: Judge) -> dict[str, Any]:
    """The share of unsupported sentences that pass, and of supported ones that are rejected."""
    unsupported = [judge(sentence) for sentence in sentences if not sentence.supported]
    supported = [not judge(sentence) for sentence in sentences if sentence.supported]
    return {"unsupported_passed": _rate(unsupported), "supported_rejected": _rate(supported)}


def wilson(count: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927); (0, 1) without observations."""
    if not total:
        return 0.0, 1.0
    rate = count / total
    centre = rate + z * z / (2 * total)
    spread = z * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def word_share(sentence: JudgedSentence) -> float:
    """The share of the sentence's words that stand anywhere in the evidence."""
    words = _WORD.findall(sentence.sentence.lower())
    known = set(_WORD.findall(_text(sentence).lower()))
    return sum(word in known for word in words) / len(words) if words else 1.0


def has_numbers(sentence: JudgedSentence) -> bool:
    """Whether all numbers in digits stand anywhere in the evidence."""
    known = set(_NUMBER.findall(_text(sentence)))
    return known.issuperset(_NUMBER.findall(sentence.sentence))


def _check(sentence: JudgedSentence) -> Support:
    return check_support(sentence.sentence, sentence.passages, question=sentence.question, earlier=sentence.earlier)


def _text(sentence: JudgedSentence) -> str:
    return "\n".join(f"{passage.title}\n{passage.heading}\n{passage.text}" for passage in sentence.passages)


def _rate(errors: Sequence[bool]) -> dict[str, Any]:
    count, total = sum(errors), len(errors)
    low, high = wilson(count, total)
    return {"count": count, "total": total, "rate": round(count / total, 4) if total else None,
            "low": round(low, 4), "high": round(high, 4)}  # fmt: skip


def _best_threshold(
    dev: Sequence[JudgedSentence],
    score: Callable[[JudgedSentence], float],
    thresholds: Sequence[float] = _THRESHOLDS,
) -> float:
    """The threshold with the smallest sum of both error rates on dev."""

    def error(threshold: float) -> float:
        rates = error_rates(dev, lambda sentence: score(sentence) >= threshold)
        return float(sum(rate["rate"] or 0.0 for rate in rates.values()))

    return min(thresholds, key=error)


def _sentence(record: Mapping[str, Any]) -> JudgedSentence:
    passages = [
        Passage(f"{record['id']}-{number}", "", entry["title"], entry["heading"], entry["text"], 0, len(entry["text"]))
        for number, entry in enumerate(record["evidence"])
    ]
    return JudgedSentence(
        id=record["id"],
        split=record["split"],
        language=record["language"],
        source=record["source"],
        question=record["question"],
        earlier=tuple(record.get("earlier", ())),
        passages=tuple(passages),
        sentence=record["sentence"],
        supported=record["supported"],
        kind=record["kind"],
    )
