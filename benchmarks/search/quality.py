"""How well questions find the documents that answer them, beside `bm25s` and plain MiniLM with FAISS.

    python -m benchmarks.search.quality --data DIR
    python -m benchmarks.search.quality --data DIR --sets squad,xquad_zh --limit 100

On the test questions of `squad`, `covidqa`, `mtrag` (the last turn alone, and as the chain rewrites it) and `xquad_zh`
of the data folder, with 95% bootstrap intervals; and how well calibrated the evidence score is, on these and on the
example domains. Weights are chosen on a dev part of train, nothing on test. Each set is written as it ends: started
again, only what is missing is measured. Needs `pip install -e ".[embedded,bench]"`.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.machine import describe_hardware, describe_versions, hardware_slug
from benchmarks.search.data import (
    DEV_SHARE,
    LANGUAGES,
    PASSAGE_TOKENS,
    SEED,
    VIEWS,
    DataSet,
    asked,
    queries_of,
    remembering_encoder,
)
from benchmarks.search.evidence import DOMAINS, measure_evidence
from benchmarks.search.metrics import METRICS, scores_of
from benchmarks.search.report import print_tables
from benchmarks.search.systems import SINGLE, Weights, rankers
from evaluation import contains_answer, mean_interval, paired_difference
from evaluation.items import Item, spread
from retrieval import Encoder, Index
from retrieval.ranking.evidence_budget import EvidenceBudget, within_budget
from retrieval.ranking.index import DEFAULT_WEIGHTS
from softgraft.training.ranking_weights import choose_weights, usual_weights

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "sentence-transformers", "faiss-cpu", "bm25s", "PyStemmer", "scikit-learn")
SERVED = "hybrid"
# As `domain.yaml` has it by default: what the model reads of a ranking.
SHOWN, EVIDENCE_TOKENS = 3, 320
NEIGHBOURS = (0, 1, 2)


def main() -> None:
    """Measure what is missing and print the tables."""
    parser = argparse.ArgumentParser(description="How well questions find the documents that answer them.")
    parser.add_argument("--data", type=Path, required=True, help="folder with squad/, covidqa/, mtrag/ and xquad_zh/")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "retrieval", help="indexes and vectors")
    parser.add_argument("--out", type=Path, help="results; by default in benchmarks/results")
    parser.add_argument("--sets", default=",".join((*VIEWS, *DOMAINS)))
    parser.add_argument("--limit", type=int, help="so many questions a set, spread over the file; by default all")
    parser.add_argument("--report", action="store_true", help="print what is there and measure nothing")
    chosen = parser.parse_args()
    hardware = describe_hardware("cpu", 1)
    out = chosen.out or ROOT / "benchmarks" / "results" / f"retrieval_quality-{hardware_slug(hardware)}.json"
    config = {
        "limit": chosen.limit,
        "passage_tokens": PASSAGE_TOKENS,
        "dev_share_of_train": DEV_SHARE,
        "seed": SEED,
        "default_weights": list(DEFAULT_WEIGHTS),
        "shown": SHOWN,
        "evidence_tokens": EVIDENCE_TOKENS,
    }
    results = read_results(out, {"config": config, "hardware": hardware, "versions": describe_versions(PACKAGES)})
    if not chosen.report:
        encoder = remembering_encoder(chosen.work)
        for name in chosen.sets.split(","):
            parts = {"rankings": measure_rankings} if name in VIEWS else {}
            for part, measure in {**parts, "evidence": measure_evidence}.items():
                if name in results[part] or (part == "evidence" and name == "mtrag"):
                    continue  # conversations are searched for as they are served, rewritten
                print(f"{name}: {part}", flush=True)
                results[part][name] = measure(name, chosen.data, chosen.work, encoder, chosen.limit)
                write_results(out, results)
    print_tables(results)


def read_results(out: Path, fresh: dict[str, Any]) -> dict[str, Any]:
    """What was measured before with the same settings, or the head of new results."""
    if not out.is_file():
        return {**fresh, "rankings": {}, "evidence": {}}
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    if found["config"] != fresh["config"]:
        raise SystemExit(f"{out} was measured with {found['config']}. Next: the same settings, or another --out")
    return found


def write_results(out: Path, results: dict[str, Any]) -> None:
    """Write beside the file and rename, so that an interrupted run loses nothing."""
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_suffix(".new")
    beside.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    beside.replace(out)


def measure_rankings(view: str, data: Path, work: Path, encoder: Encoder, limit: int | None) -> dict[str, Any]:
    """Every system on the test questions of one set."""
    name, rewritten = VIEWS[view]
    source = DataSet(name, data, work, encoder)
    test = source.items("test")
    with source.index() as index:
        questions = asked(index, test, rewritten=rewritten, limit=limit)
        choice = choose_weights(
            index, usual_weights(LANGUAGES.get(name, "en"), "embedded"), spread(source.items("dev"), limit)
        )
        found: dict[str, list[dict[str, float]]] = {}
        for system, rank in rankers(index, source.documents(), encoder, choice.weights).items():
            ranked = rank([question.query for question in questions])
            found[system] = [scores_of(one, q.gold) for one, q in zip(ranked, questions, strict=True)]
        shown = answers_shown(index, test, choice.weights, rewritten=rewritten, limit=limit)
    return {
        "questions": len(questions),
        "chosen_on_dev": asdict(choice),
        "systems": {
            system: {metric: asdict(_interval([row[metric] for row in rows])) for metric in METRICS}
            for system, rows in found.items()
        },
        "served_against": against(found),
        "answers_shown": shown,
    }


def against(found: dict[str, list[dict[str, float]]], metric: str = "ndcg@10") -> dict[str, Any]:
    """What is served against the best single ranking and against every other system, on the same questions."""
    rows = {system: [row[metric] for row in scores] for system, scores in found.items()}
    best = max((system for system in rows if system in SINGLE), key=lambda system: sum(rows[system]))
    differences = {
        system: asdict(difference)
        for system, theirs in rows.items()
        if system != SERVED and (difference := paired_difference(rows[SERVED], theirs)) is not None
    }
    return {"metric": metric, "best_single": best, "differences": differences}


def answers_shown(
    index: Index, items: Sequence[Item], weights: Weights, *, rewritten: bool, limit: int | None
) -> dict[str, Any] | None:
    """How often a short answer stands in what the model is given, by neighbours; None where answers are free-form."""
    if any(item.history for item in items):
        return None
    items = spread(items, limit)
    ranked = index.search_many(queries_of(index, items, rewritten=rewritten), SHOWN, weights=weights)
    shown: dict[str, Any] = {}
    for neighbours in NEIGHBOURS:
        budget = EvidenceBudget(SHOWN, tokens=EVIDENCE_TOKENS, neighbours=neighbours)
        texts = [
            [
                entry.passage.text
                for entry in within_budget(
                    one, budget, expanded=index.expanded, count_tokens=index.encoder.count_tokens
                )
            ]
            for one in ranked
        ]
        hits = [contains_answer(" ".join(text), item.answers) for text, item in zip(texts, items, strict=True)]
        tokens = [sum(index.encoder.count_tokens(part) for part in text) for text in texts]
        shown[str(neighbours)] = {"answer": asdict(_interval(hits)), "tokens": sum(tokens) / len(tokens)}
    return shown


def _interval(values: Sequence[float]) -> Any:
    found = mean_interval(values)
    if found is None:
        raise ValueError("no question to score")
    return found


if __name__ == "__main__":
    main()
