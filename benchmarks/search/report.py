"""The tables of the retrieval quality benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.search.rankings import METRICS
from benchmarks.tables import interval_text, print_table

EVIDENCE_COLUMNS = ("", "calibration error", "Brier", "answered above 0.5", "wrong / correct refusals", "the same, dev")


def print_tables(results: Mapping[str, Any]) -> None:
    """A table of rankings per set, then the evidence that the model reads, then the evidence score."""
    for name, ranking in results["rankings"].items():
        differences, best = ranking["served_against"]["differences"], ranking["served_against"]["best_single"]
        rows = [
            [
                system + (" (best single)" if system == best else ""),
                *(interval_text(scores[m]) if m == "ndcg@10" else f"{scores[m]['mean']:.3f}" for m in METRICS),
                interval_text(differences.get(system), "+"),
            ]
            for system, scores in ranking["systems"].items()
        ]
        weights = tuple(ranking["chosen_on_dev"]["weights"])
        title = f"{name}: {ranking['questions']} questions, weights {weights} chosen on dev"
        print_table(title, ["", *METRICS, "hybrid minus this, nDCG@10"], rows)
    shown = {name: ranking["answers_shown"] for name, ranking in results["rankings"].items()}
    rows = [
        [name, neighbours, interval_text(evidence["answer"]), f"{evidence['tokens']:.0f}"]
        for name, by_neighbours in shown.items()
        for neighbours, evidence in (by_neighbours or {}).items()
    ]
    print_table("Evidence that contains a short answer", ("", "neighbours", "share", "tokens"), rows)
    rows = [
        [
            name,
            interval_text(score["calibration_error"]),
            f"{score['brier']['mean']:.3f}",
            _share(score["answered_of_those_above_half"]),
            *(f"{_share(r['wrong'])} / {_share(r['right'])}" for r in (score["refusals"], score["refusals_on_dev"])),
        ]
        for name, score in results["evidence"].items()
    ]
    print_table("The evidence score on test", EVIDENCE_COLUMNS, rows)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
