"""How well questions find the documents that answer them, beside `bm25s` and plain MiniLM with FAISS.

    python -m benchmarks.search.quality --data DIR
    python -m benchmarks.search.quality --data DIR --sets squad,xquad_zh --limit 100

On the test questions of `squad`, `covidqa`, `mtrag` (the last turn alone, and rewritten by the chain) and `xquad_zh`,
with 95% bootstrap intervals; and the calibration of the evidence score, on these sets and on the example domains.
Weights are chosen on a dev part of train, nothing on test. Results are written after each set; if you repeat the
command, it measures only what is missing. Needs `pip install -e ".[embedded,bench]"`.
"""

from __future__ import annotations

import os

from benchmarks import script

PACKAGES = ("torch", "sentence-transformers", "faiss-cpu", "bm25s", "PyStemmer", "scikit-learn")
# The conversations of `mtrag` have no evidence score of their own: domains serve them rewritten.
RANKINGS = ("squad", "covidqa", "mtrag", "mtrag-rewritten", "xquad_zh")
EVIDENCE = ("squad", "covidqa", "mtrag-rewritten", "xquad_zh", "bank", "clinic")
SETS = tuple(dict.fromkeys((*RANKINGS, *EVIDENCE)))


def main() -> None:
    """Measure what is missing and print the tables."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = script.make_parser(__doc__, data="squad/, covidqa/, mtrag/ and xquad_zh/", work="retrieval", resumes=True)
    parser.add_argument("--sets", type=script.names_of(SETS), default=SETS, help=f"{', '.join(SETS)} (default: all)")
    parser.add_argument("--limit", type=script.positive, help="questions per set, spread over the file (default: all)")
    parser.add_argument("--report", action="store_true", help="print the results file and measure nothing")
    options = parser.parse_args()
    from benchmarks.search import data
    from benchmarks.search.ranking_quality import measure_rankings
    from benchmarks.search.refusals.evidence import measure_evidence
    from benchmarks.search.report import print_tables
    from retrieval import load_encoder
    from retrieval.ranking.index import DEFAULT_WEIGHTS

    config = {
        "limit": options.limit,
        "passage_tokens": data.PASSAGE_TOKENS,
        "dev_share_of_train": data.DEV_SHARE,
        "seed": data.SEED,
        "default_weights": list(DEFAULT_WEIGHTS),
        "shown": data.MAX_PASSAGES,
        "evidence_tokens": data.EVIDENCE_TOKENS,
    }
    head = script.results_head(config, PACKAGES)
    out = script.results_path(options.out, "retrieval_quality", head["hardware"])
    results = script.earlier_or({**head, "rankings": {}, "evidence": {}}, out, fresh=options.fresh)
    parts = {"rankings": (RANKINGS, measure_rankings), "evidence": (EVIDENCE, measure_evidence)}
    if not options.report:
        encoder = data.CachingEncoder(load_encoder())
        for name in options.sets:
            for part, (sets, measure) in parts.items():
                if name in sets and name not in results[part]:
                    print(f"{name}: {part}", flush=True)
                    results[part][name] = measure(name, options.data, options.work, encoder, options.limit)
                    script.write_results(out, results)
    print_tables(results)


if __name__ == "__main__":
    main()
