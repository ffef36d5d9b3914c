"""Which sentence of the evidence answers a question: the weights of `SentenceSelector`, and its simple rivals.

    python -m benchmarks.answers.sentences --data DIR
    python -m benchmarks.answers.sentences --data DIR --split test

The share of answerable questions, follow-ups included, with a short answer in the best sentence, in the best two, and
in what is quoted, given the passages that an untrained domain retrieves and does not refuse. Weights are fitted on the
training questions of all sets but the one that is measured, on its own, and on all of them; `shipped` are those in
`retrieval/ranking/sentence_selection.py`.
"""

from __future__ import annotations

import os

from benchmarks import script

SETS = ("bank", "clinic", "squad", "covidqa", "xquad_zh", "college", "playhouse")
# Never used for a choice.
HELD_OUT = ("college", "playhouse")
PACKAGES = ("torch", "sentence-transformers", "faiss-cpu", "scikit-learn")


def main() -> None:
    """Fit, measure, print and write."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = script.make_parser(__doc__, data="squad/, covidqa/ and xquad_zh/", work="forms")
    parser.add_argument("--sets", type=script.names_of(SETS), default=SETS, help=f"{', '.join(SETS)} (default: all)")
    parser.add_argument("--limit", type=script.positive, default=300, help="questions per set and split")
    parser.add_argument("--split", choices=("dev", "test"), default="dev", help="measured on (default: %(default)s)")
    options = parser.parse_args()
    from benchmarks.answers.sentence_fit import fit, load_questions, shares
    from benchmarks.tables import print_table
    from retrieval.ranking.sentence_selection import FEATURES, WEIGHTS

    train, measured = (
        {name: load_questions(name, options.data, options.work, split, options.limit) for name in options.sets}
        for split in ("train", options.split)
    )
    results: dict[str, dict[str, dict[str, float]]] = {}
    for name in options.sets:
        others = [q for other in options.sets if other not in (name, *HELD_OUT) for q in train[other]]
        only = [0.0] * len(FEATURES)
        methods = {
            "cosine": [1.0, *only[1:]],
            "words": [float(feature == "coverage") for feature in FEATURES],
            "fitted on the others": fit(others) if others else list(WEIGHTS),
            "fitted on its own": fit(train[name]),
            "shipped": list(WEIGHTS),
        }
        results[name] = {method: shares(measured[name], weights) for method, weights in methods.items()}
        results[name]["all of the evidence"] = shares(measured[name], None)
    final = fit([question for name in options.sets if name not in HELD_OUT for question in train[name]])
    config = {"limit": options.limit, "split": options.split, "features": list(FEATURES)}
    head = script.results_head(config, PACKAGES)
    path = script.results_path(options.out, f"sentences-{options.split}", head["hardware"])
    script.write_results(path, {**head, "fitted": final, "shares": results})
    for count in ("best", "best_two", "quoted", "sentences"):
        rows = [[name, *(f"{results[name][method][count]:.3f}" for method in results[name])] for name in options.sets]
        print_table(count.replace("_", " "), ("set", *results[options.sets[0]]), rows)
    print("fitted on all:", "(" + ", ".join(f"{weight:.3f}" for weight in final) + ")")


if __name__ == "__main__":
    main()
