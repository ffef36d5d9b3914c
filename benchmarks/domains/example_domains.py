"""Quality of the soft prompt on the example domains, over several seeds.

    python -m benchmarks.domains.example_domains
    python -m benchmarks.domains.example_domains --domains bank --seeds 0 --out bank.json

For each domain and seed, trains on all training questions with the settings of domain.yaml, then answers all test
questions with every system, as `softgraft train` and `softgraft eval` do. Systems that do not depend on the seed answer
once. Nothing is chosen on test. Results are written after each seed; if you repeat the command, it measures only what
is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.script import RESULTS, ROOT, make_parser, names_of, read_results, write_results
from benchmarks.tables import interval_text, mean_text, print_table

DOMAINS = ("bank", "clinic")
RATES = ("refusal_accuracy", "wrong_refusals", "citation_precision")
COLUMNS = ("system", "accuracy", "token F1", "by seed", "correct refusals", "wrong refusals", "citations")


def main() -> None:
    """Measure what is missing and print the tables."""
    parser = make_parser(__doc__, resumes=True)
    add = parser.add_argument
    add("--domains", type=names_of(DOMAINS), default=DOMAINS, help=f"{', '.join(DOMAINS)} (default: all)")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], help="default: %(default)s")
    options = parser.parse_args()
    from benchmarks.domains.example_runs import compare_seeds, measure
    from evaluation.hardware import describe_machine

    out = options.out or RESULTS / "example_domains.json"
    results: dict[str, Any] = {"machine": describe_machine(), "comparisons": {}, "runs": {}}
    if out.is_file() and not options.fresh:
        results = read_results(out)
    for name in options.domains:
        runs = results["runs"].setdefault(name, [])
        for seed in options.seeds:
            if any(run["seed"] == seed for run in runs):
                continue
            print(f"{name}, seed {seed} ...", flush=True)
            # After the first seed, only the systems that depend on it.
            runs.append(measure(ROOT / "domains" / name, seed, ["soft", "soft-gold", "auto"] if runs else None))
            results["comparisons"][name] = compare_seeds(runs)
            write_results(out, results)
        print_tables(name, runs, results["comparisons"][name])


def print_tables(domain: str, runs: Sequence[Mapping[str, Any]], comparisons: Sequence[Mapping[str, Any]]) -> None:
    """The means over the seeds, then the paired differences."""
    table = []
    for system in [row["system"] for row in runs[0]["eval"]["rows"]]:
        rows = [row for run in runs for row in run["eval"]["rows"] if row["system"] == system]
        f1 = [row["token_f1"]["mean"] for row in rows]
        table.append([
            system,
            mean_text([row["accuracy"]["mean"] for row in rows]),
            mean_text(f1),
            " ".join(f"{value:.3f}" for value in f1),
            *(mean_text([row[name] for row in rows]) for name in RATES),
        ])  # fmt: skip
    print_table(f"{domain}, {len(runs)} seeds", COLUMNS, table)
    rows = [
        [
            f"{pair['system']}, {pair['seed']}, minus {pair['minus']}",
            interval_text(pair["token_f1"]),
            f"{pair['token_f1_ratio']:.2f}",
            interval_text(pair["accuracy"]),
        ]
        for pair in comparisons
    ]
    print_table("", ("difference", "token F1", "ratio of F1", "accuracy"), rows)


if __name__ == "__main__":
    main()
