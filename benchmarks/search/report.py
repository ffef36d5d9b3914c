"""The tables of the retrieval quality benchmark, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.search.rankings import METRICS
from benchmarks.tables import interval_text


def print_tables(results: Mapping[str, Any]) -> None:
    """A table of rankings per view, then the evidence that the model reads, then the evidence score."""
    for view, ranking in results["rankings"].items():
        weights = tuple(ranking["chosen_on_dev"]["weights"])
        print(f"\n{view}: {ranking['questions']} questions, weights {weights} chosen on dev\n")
        differences, best = ranking["served_against"]["differences"], ranking["served_against"]["best_single"]
        rows = [
            [
                system + (" (best single)" if system == best else ""),
                *(interval_text(scores[m]) if m == "ndcg@10" else f"{scores[m]['mean']:.3f}" for m in METRICS),
                interval_text(differences.get(system), "+"),
            ]
            for system, scores in ranking["systems"].items()
        ]
        _print_markdown(["", *METRICS, "`hybrid` minus this, nDCG@10"], rows)
    shown = {view: ranking["answers_shown"] for view, ranking in results["rankings"].items()}
    shown = {view: by_neighbours for view, by_neighbours in shown.items() if by_neighbours}
    if shown:
        print("\nEvidence that contains a short answer, and its tokens, by neighbours:\n")
        counts = list(next(iter(shown.values())))
        rows = [
            [view, *(f"{interval_text(by_neighbours[n]['answer'])}; {by_neighbours[n]['tokens']:.0f}" for n in counts)]
            for view, by_neighbours in shown.items()
        ]
        _print_markdown(["", *(f"{count} neighbours" for count in counts)], rows)
    if results["evidence"]:
        print("\nThe evidence score on test, before and after:\n")
        columns = [
            "",
            "calibration error",
            "Brier",
            "answered above 0.5",
            "wrong / correct refusals",
            "the same on dev",
        ]
        _print_markdown(columns, [[name, *_evidence(score)] for name, score in results["evidence"].items()])


def _evidence(score: Mapping[str, Any]) -> list[str]:
    scales = [score["before"], score["after"]]
    on_dev = [score["refusals_on_dev"]["before"], score["refusals_on_dev"]["after"]]
    return [
        ", ".join(interval_text(scale["calibration_error"]) for scale in scales),
        ", ".join(f"{scale['brier']['mean']:.3f}" for scale in scales),
        ", ".join(_share(scale["answered_of_those_above_half"]) for scale in scales),
        ", ".join(_refusals(scale["refusals"]) for scale in scales),
        ", ".join(_refusals(refusals) for refusals in on_dev),
    ]


def _refusals(refusals: Mapping[str, Any]) -> str:
    return f"{_share(refusals['wrong'])} / {_share(refusals['right'])}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _print_markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for row in (columns, ["---"] * len(columns), *rows):
        print(f"| {' | '.join(row)} |")
