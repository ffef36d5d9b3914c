"""Methods of making a query from a follow-up question, compared.

    python -m benchmarks.search.condense --data DIR
    python -m benchmarks.search.condense --data DIR --limit 40 --no-model

On the follow-ups of `mtrag`: how well each method finds the documents that answer them, and its gain over the last turn
alone, with paired 95% bootstrap intervals. On standalone questions of `squad` and `xquad_zh` after unrelated
conversations: how many a method rewrites. The chain's method was chosen on train; test is reported beside it. Needs
`pip install -e ".[embedded,bench]"`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from benchmarks.script import make_parser, positive, results_head, results_path, write_results

PACKAGES = ("torch", "transformers", "sentence-transformers", "faiss-cpu")
SPLITS = ("train", "test")
# The set of the standalone questions, and the set of the conversations before them.
STANDALONE = (("squad", "mtrag"), ("squad", "squad"), ("xquad_zh", "xquad_zh"))
STANDALONE_LIMIT = 400


def main() -> None:
    """Measure, print and write."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = make_parser(__doc__, data="mtrag/, squad/ and xquad_zh/", work="retrieval")
    parser.add_argument("--limit", type=positive, help="questions per split, spread over the file (default: all)")
    parser.add_argument("--no-model", action="store_true", help="leave out the backbone's rewriting, which is slow")
    options = parser.parse_args()
    from benchmarks.search.condense_methods import all_methods
    from benchmarks.search.condense_quality import measure_follow_ups, measure_standalone
    from benchmarks.search.data import PASSAGE_TOKENS, SEED, caching_encoder

    data, work = options.data, options.work
    encoder = caching_encoder(work)
    methods = all_methods(work, model=not options.no_model)
    limit = options.limit or STANDALONE_LIMIT
    config = {
        "limit": options.limit, "standalone_limit": limit, "passage_tokens": PASSAGE_TOKENS, "seed": SEED,
        "chosen_on": "train", "methods": {name: description for name, (description, _) in methods.items()},
    }  # fmt: skip
    results = {
        **results_head(config, PACKAGES),
        "follow_ups": {s: measure_follow_ups(s, methods, data, work, encoder, options.limit) for s in SPLITS},
        "standalone": {
            f"{questions} behind {histories}": {
                split: measure_standalone(questions, histories, split, data, work, encoder, limit) for split in SPLITS
            }
            for questions, histories in STANDALONE
        },
    }
    write_results(results_path(options.out, "condense", results["hardware"]), results)
    print_tables(results)


def print_tables(results: Mapping[str, Any]) -> None:
    """The follow-ups, then the standalone questions."""
    from benchmarks.search.rankings import METRICS
    from benchmarks.tables import interval_text, print_table

    columns = ("method", *METRICS[:4], "recall@5 minus the last turn alone", "rewritten", "ms")
    for split, part in results["follow_ups"].items():
        rows = [
            [
                name,
                *(f"{row[metric]['mean']:.3f}" for metric in METRICS[:4]),
                interval_text(row["gain"]["recall@5"], "+"),
                f"{row['rewritten']:.2f}",
                f"{row['milliseconds']:.0f}",
            ]
            for name, row in part["methods"].items()
        ]
        print_table(f"mtrag {split}, {part['questions']} follow-ups", columns, rows)
    for name, splits in results["standalone"].items():
        for split, part in splits.items():
            rows = [[m, f"{row['rewritten']:.3f}", f"{row['recall@5']:.3f}"] for m, row in part["methods"].items()]
            title = f"{name}, {split}, {part['questions']} questions"
            print_table(title, ("method", "rewritten", "recall@5"), rows)


if __name__ == "__main__":
    main()
