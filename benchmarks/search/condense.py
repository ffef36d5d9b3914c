"""Ways of making a query of a follow-up, side by side.

    python -m benchmarks.search.condense --data DIR
    python -m benchmarks.search.condense --data DIR --limit 40 --no-model

On the follow-ups of `mtrag`: how well each way finds the documents that answer them, and what it gains over the last
turn alone, with 95% bootstrap intervals over the same questions. And on questions of `squad` and `xquad_zh`, which
stand alone, put behind conversations that they have nothing to do with: how many it rewrites. What the chain does was
chosen on train; test is reported beside it. Needs `pip install -e ".[embedded,bench]"`.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.machine import describe_hardware, describe_versions, hardware_slug
from benchmarks.search.condense_ways import WAYS, Follow, ModelRewriting, Way
from benchmarks.search.data import LANGUAGES, PASSAGE_TOKENS, SEED, DataSet, RememberingEncoder, remembering_encoder
from benchmarks.search.metrics import METRICS, scores_of
from benchmarks.search.quality import write_results
from evaluation import Item, mean_interval, paired_difference, read_items
from evaluation.items import spread
from retrieval.encoders.load import EMBEDDED
from softgraft.training.ranking_weights import usual_weights

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "transformers", "sentence-transformers", "faiss-cpu")
SPLITS = ("train", "test")
# Questions that stand alone: whose they are, and whose conversations they are put behind.
STANDALONE = (("squad", "mtrag"), ("squad", "squad"), ("xquad_zh", "xquad_zh"))
# So many of each split, spread over the file.
STANDALONE_LIMIT = 400
ALONE = "off"
# The other ways rewrite whatever has a conversation before it, or take a model's word for it.
DECIDING = (ALONE, "join by words", "join by evidence")


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description="Ways of making a query of a follow-up.")
    parser.add_argument("--data", type=Path, required=True, help="folder with mtrag/, squad/ and xquad_zh/")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "retrieval", help="indexes and vectors")
    parser.add_argument("--out", type=Path, help="results; by default in benchmarks/results")
    parser.add_argument("--limit", type=int, help="so many questions a split, spread over the file; by default all")
    parser.add_argument("--no-model", action="store_true", help="leave out the backbone's own rewriting, which is slow")
    chosen = parser.parse_args()
    hardware = describe_hardware("cpu", 1)
    out = chosen.out or ROOT / "benchmarks" / "results" / f"condense-{hardware_slug(hardware)}.json"
    encoder = remembering_encoder(chosen.work)
    ways: dict[str, Way] = dict(WAYS)
    if not chosen.no_model:
        ways["model"] = ModelRewriting(chosen.work)
    limit = chosen.limit or STANDALONE_LIMIT
    results = {
        "config": {
            "limit": chosen.limit, "standalone_limit": limit, "passage_tokens": PASSAGE_TOKENS, "seed": SEED,
            "chosen_on": "train", "ways": {name: (way.__doc__ or "").split("\n")[0] for name, way in ways.items()},
        },
        "hardware": hardware,
        "versions": describe_versions(PACKAGES),
        "follow_ups": {split: follow_ups(split, ways, chosen.data, chosen.work, encoder, chosen.limit)
                       for split in SPLITS},
        "standalone": {
            f"{questions} behind {histories}": {
                split: standalone(questions, histories, split, chosen.data, chosen.work, encoder, limit)
                for split in SPLITS
            }
            for questions, histories in STANDALONE
        },
    }  # fmt: skip
    write_results(out, results)
    print_tables(results)


def follow_ups(
    split: str, ways: dict[str, Way], data: Path, work: Path, encoder: RememberingEncoder, limit: int | None
) -> dict[str, Any]:
    """Each way's metrics on the follow-ups of `mtrag`, and what it gains over the last turn alone."""
    items = spread([item for item in _items(data, "mtrag", split) if item.history and item.documents], limit)
    gold = [frozenset(item.doc_ids) or item.documents for item in items]
    weights = _weights("mtrag")
    found: dict[str, list[dict[str, float]]] = {}
    rewritten, milliseconds = {}, {}
    with DataSet("mtrag", data, work, encoder).index() as index:
        for name, way in ways.items():
            began = time.perf_counter()
            ranked = way(index, [Follow(item.question, item.history) for item in items], weights)
            milliseconds[name] = 1000 * (time.perf_counter() - began) / len(items)
            found[name] = [scores_of(one.documents, one_gold) for one, one_gold in zip(ranked, gold, strict=True)]
            rewritten[name] = sum(one.rewritten for one in ranked) / len(items)
            print(f"mtrag {split}: {name}", flush=True)
    return {
        "questions": len(items),
        "ways": {
            name: {
                **{metric: _estimate([row[metric] for row in rows]) for metric in METRICS},
                "gain": {
                    metric: _gain([row[metric] for row in rows], [row[metric] for row in found[ALONE]])
                    for metric in METRICS
                },
                "rewritten": rewritten[name],
                "milliseconds": milliseconds[name],
            }
            for name, rows in found.items()
        },
    }


def standalone(
    questions: str, histories: str, split: str, data: Path, work: Path, encoder: RememberingEncoder, limit: int
) -> dict[str, Any]:
    """How many questions a way rewrites that stand alone, and whether their document still stands among five."""
    rng = random.Random(SEED)
    items = spread(_items(data, questions, split), limit)
    told = _items(data, histories, split)
    asked = [Follow(item.question, _foreign(item, told, rng)) for item in items]
    found: dict[str, dict[str, float]] = {}
    with DataSet(questions, data, work, encoder).index() as index:
        for name in DECIDING:
            ranked = WAYS[name](index, asked, _weights(questions))
            right = sum(bool(set(one.documents[:5]) & item.documents) for one, item in zip(ranked, items, strict=True))
            found[name] = {
                "rewritten": sum(one.rewritten for one in ranked) / len(items),
                "recall@5": right / len(items),
            }
            print(f"{questions} behind {histories}, {split}: {name}", flush=True)
    return {"questions": len(items), "ways": found}


def _items(data: Path, name: str, split: str) -> list[Item]:
    return read_items(data / name / f"{split}.jsonl")


def _foreign(item: Item, told: Sequence[Item], rng: random.Random) -> tuple[tuple[str, str], ...]:
    """A conversation of `mtrag`, or a question about another source with its answer."""
    while True:
        other = rng.choice(told)
        if other.history:
            return other.history
        if other.multi_turn is None and other.group != item.group:
            return ((other.question, other.target),)


def _weights(name: str) -> tuple[float, float]:
    return usual_weights(LANGUAGES.get(name, "en"), EMBEDDED)


def _estimate(values: Sequence[float]) -> dict[str, float]:
    found = mean_interval(values)
    if found is None:
        raise SystemExit("no question to score. Next: a larger --limit")
    return asdict(found)


def _gain(ours: Sequence[float], alone: Sequence[float]) -> dict[str, float] | None:
    found = paired_difference(ours, alone)
    return asdict(found) if found is not None else None


def print_tables(results: dict[str, Any]) -> None:
    """Follow-ups, then what is rewritten that stands alone."""
    for split, found in results["follow_ups"].items():
        print(f"\nmtrag {split}, {found['questions']} follow-ups")
        print(f"{'way':<16} recall@1 recall@5 recall@10 nDCG@10  recall@5 over the last turn (95%)  rewritten  ms")
        for name, row in found["ways"].items():
            gain = row["gain"]["recall@5"]
            told = f"{gain['mean']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})" if gain else "-"
            numbers = "".join(f"{row[metric]['mean']:9.3f}" for metric in METRICS[:4])
            print(f"{name:<15} {numbers}  {told:>34} {row['rewritten']:>10.2f} {row['milliseconds']:>4.0f}")
    for name, splits in results["standalone"].items():
        for split, found in splits.items():
            print(f"\n{name}, {split}, {found['questions']} questions")
            for way, row in found["ways"].items():
                print(f"{way:<16} rewritten {row['rewritten']:6.3f}   recall@5 {row['recall@5']:.3f}")


if __name__ == "__main__":
    main()
