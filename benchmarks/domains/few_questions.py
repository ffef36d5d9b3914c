"""Training with few questions: how many steps, measured on dev of the example domains.

    python -m benchmarks.domains.few_questions
    python -m benchmarks.domains.few_questions --domains bank --sizes 40 --steps 0,60 --seeds 0

Each run trains on some of a domain's train questions, drawn with the seed, and answers dev questions. `steps` is
`train.min_steps`; 0 is two epochs, the default for large sets. Results are written after each run; if you repeat the
command, it measures only what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import script
from benchmarks.tables import print_table

DOMAINS = ("bank", "clinic")
COLUMNS = ("domain", "questions", "steps", "seed", "best", "dev loss", "token F1", "minus twin", "better/worse", "s")
PACKAGES = ("torch", "transformers", "sentence-transformers")


def numbers(text: str) -> list[int]:
    """The type of an option: integers, separated by commas."""
    return [int(part) for part in text.split(",")]


def main() -> None:
    """Measure the missing runs and print all."""
    parser = script.make_parser(__doc__, work="few-questions", resumes=True)
    add = parser.add_argument
    add("--domains", type=script.names_of(DOMAINS), default=DOMAINS, help="default: both")
    add("--sizes", type=script.positives, default=[20, 40, 60], help="numbers of train questions (default: 20,40,60)")
    add("--steps", type=numbers, default=[0, 30, 60, 100], help="minimum numbers of steps (default: 0,30,60,100)")
    add("--seeds", type=numbers, default=[0, 1, 2], help="default: 0,1,2")
    add("--dev", type=script.positive, default=30, help="dev questions, spread over the file (default: %(default)s)")
    options = parser.parse_args()
    import torch

    from benchmarks.domains.few_question_runs import measure

    head = script.results_head({"dev_limit": options.dev}, PACKAGES, threads=torch.get_num_threads())
    out = script.results_path(options.out, "few_questions", head["hardware"])
    keys = [
        {"domain": domain, "questions": size, "min_steps": steps, "seed": seed}
        for seed in options.seeds
        for domain in options.domains
        for size in options.sizes
        for steps in options.steps
    ]
    for key in keys:
        runs = _read(out)
        if not options.fresh and any(key.items() <= run.items() for run in runs):
            continue
        run = measure(options.work, script.ROOT / "domains" / str(key["domain"]), key, options.dev)
        others = [other for other in _read(out) if not key.items() <= other.items()]
        script.write_results(out, {"runs": [*others, run], **head})
        show([run])
    show(_read(out))


def _read(out: Path) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = script.read_results(out)["runs"] if out.is_file() else []
    return runs


def show(runs: Sequence[Mapping[str, Any]]) -> None:
    """Print the runs."""
    rows = []
    for run in sorted(runs, key=lambda run: [run[name] for name in ("domain", "questions", "min_steps", "seed")]):
        compared = run["comparison"]
        rows.append([
            run["domain"], str(run["questions"]), str(run["steps"]), str(run["seed"]),
            f"{run['best_epoch']}/{run['epochs']}", f"{run['dev_loss']:.3f}", f"{run['dev_f1']:.3f}",
            f"{compared['difference']['mean']:+.3f}", f"{compared['better']}/{compared['worse']}",
            f"{run['seconds']:.0f}",
        ])  # fmt: skip
    print_table("training with few questions, dev", COLUMNS, rows)


if __name__ == "__main__":
    main()
