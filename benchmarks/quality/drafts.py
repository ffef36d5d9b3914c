"""What unreviewed drafts of `softgraft questions DOMAIN draft` give: a domain trained on them.

    python -m benchmarks.quality.drafts
    python -m benchmarks.quality.drafts --domain clinic --seeds 0 --count 40

Drafts questions from the documents of an example domain, with nothing else at hand, and trains on them with the default
settings; then trains on as many hand-written questions, spread over its train.jsonl. Both are compared on its test
questions with the text twin and with the simplest baseline, the evidence sentence nearest to the question. dev is the
hand-written one in both cases; it chooses the epoch and whether the soft prompt is kept. Results are written after each
run; if you repeat the command, it measures only what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.script import (
    ROOT,
    make_parser,
    names_of,
    positive,
    read_results,
    require_same,
    results_head,
    results_path,
    write_results,
)
from benchmarks.tables import interval_text, mean_text, print_table

PARTS = ("drafting", "baselines", "drafts", "hand-written")
ARMS = ("drafts", "hand-written")
PACKAGES = ("torch", "transformers", "sentence-transformers", "faiss-cpu", "softgraft")
COLUMNS = ("system", "accuracy", "token F1", "correct refusals", "wrong refusals")


def main() -> None:
    """Measure what is missing and print the tables."""
    parser = make_parser(__doc__, work="drafts", resumes=True)
    add = parser.add_argument
    add("--domain", default="bank", help="an example domain (default: %(default)s)")
    add("--count", type=positive, default=60, help="number of questions (default: %(default)s)")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], help="default: %(default)s")
    add("--wording", choices=("auto", "rules", "model"), default="auto", help="default: %(default)s")
    add("--epochs", type=positive, help="default: that of the domain, at least 60 steps")
    add("--limit", type=positive, help="maximum number of test questions, spread over the file (default: all)")
    add("--dev-limit", type=positive, help="the same for dev")
    add("--parts", type=names_of(PARTS), default=PARTS, help=f"{', '.join(PARTS)} (default: all)")
    options = parser.parse_args()
    from benchmarks.quality.draft_runs import baselines, compare, draft, train_and_answer

    names = ("domain", "count", "wording", "epochs", "limit", "dev_limit")
    config = {name: getattr(options, name) for name in names}
    head = results_head(config, PACKAGES)
    name = f"drafts-{options.domain}" + ("" if options.wording == "auto" else f"-{options.wording}")
    out = results_path(options.out, name, head["hardware"])
    folder, work = ROOT / "domains" / options.domain, options.work / options.domain
    results: dict[str, Any] = {**head, "drafting": None, "baselines": {}, "runs": [], "comparisons": []}
    if out.is_file() and not options.fresh:
        results = read_results(out)
        require_same(out, results["config"], config)
    if results["drafting"] is None and "drafting" in options.parts:
        results["drafting"] = draft(folder, work, options.count, options.wording)
        write_results(out, results)
    if not results["baselines"] and "baselines" in options.parts:
        results["baselines"] = baselines(folder, work, options.limit)
        write_results(out, results)
    for seed in options.seeds:
        for arm in ARMS:
            if arm not in options.parts or any((run["seed"], run["arm"]) == (seed, arm) for run in results["runs"]):
                continue
            print(f"{options.domain}, {arm}, seed {seed} ...", flush=True)
            drafts = results["drafting"]["drafts"] if arm == "drafts" else []
            results["runs"].append(train_and_answer(folder, work, arm, drafts, config, seed))
            results["comparisons"] = compare(results)
            write_results(out, results)
    print_tables(results)


def print_tables(results: Mapping[str, Any]) -> None:
    """What was drafted, the systems, and their paired differences."""
    if results["drafting"] is not None:
        report = results["drafting"]["report"]
        dropped = "; ".join(f"{number} {reason}" for reason, number in report["dropped"].items())
        print(f"{report['drafts']} drafts of {report['generated']} questions, {report['seconds']:.0f} s. {dropped}")
    rows = [_row(name, [scores]) for name, scores in results["baselines"].items()]
    for arm in ARMS:
        runs = [run for run in results["runs"] if run["arm"] == arm]
        rows += [_row(f"soft, {arm}, {len(runs)} seeds", [run["scores"] for run in runs])] if runs else []
    print_table(f"{results['config']['domain']}, test", COLUMNS, rows)
    compared = [[pair["pair"], interval_text(pair["accuracy"]), interval_text(pair["token_f1"])]
                for pair in results["comparisons"]]  # fmt: skip
    print_table("", ("difference", "accuracy", "token F1"), compared)


def _row(name: str, scores: list[Mapping[str, Any]]) -> list[str]:
    means = (
        mean_text([one[key] for one in scores]) for key in ("accuracy", "token_f1", "right_refusals", "wrong_refusals")
    )
    return [name, *means]


if __name__ == "__main__":
    main()
