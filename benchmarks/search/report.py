"""The tables of the retrieval benchmark, as Markdown."""

from __future__ import annotations

from typing import Any

from benchmarks.search.metrics import METRICS


def print_tables(results: dict[str, Any]) -> None:
    """One table of rankings a set, then what the model is shown, then the evidence score."""
    for view, found in results["rankings"].items():
        choice = found["chosen_on_dev"]
        print(f"\n{view}: {found['questions']} questions, weights {tuple(choice['weights'])} chosen on dev\n")
        print(_row("", *METRICS, "`hybrid` against it, nDCG@10"))
        print(_row(*["---"] * (len(METRICS) + 2)))
        differences = found["served_against"]["differences"]
        for system, scores in found["systems"].items():
            best = " (best single)" if system == found["served_against"]["best_single"] else ""
            cells = (_interval(scores[metric]) if metric == "ndcg@10" else _mean(scores[metric]) for metric in METRICS)
            print(_row(system + best, *cells, _signed(differences.get(system))))
    shown = {view: found["answers_shown"] for view, found in results["rankings"].items() if found["answers_shown"]}
    if shown:
        print("\nA short answer stands in what the model is shown, and tokens shown, by neighbours:\n")
        counts = list(next(iter(shown.values())))
        print(_row("", *(f"{count} neighbours" for count in counts)))
        print(_row(*["---"] * (len(counts) + 1)))
        for view, found in shown.items():
            print(_row(view, *(f"{_interval(found[n]['answer'])}; {found[n]['tokens']:.0f}" for n in counts)))
    if results["evidence"]:
        print("\nThe evidence score on test, before and after:\n")
        print(_row("", "calibration error", "Brier", "answered above 0.5", "wrong / right refusals", "the same on dev"))
        print(_row(*["---"] * 6))
        for name, found in results["evidence"].items():
            print(_row(name, *_evidence(found)))


def _evidence(found: dict[str, Any]) -> list[str]:
    ways = [found[way] for way in ("before", "after")]
    return [
        ", ".join(_interval(way["calibration_error"]) for way in ways),
        ", ".join(_mean(way["brier"]) for way in ways),
        ", ".join(_plain(way["answered_of_those_above_half"]) for way in ways),
        ", ".join(_refused(way["refusals"]) for way in ways),
        ", ".join(_refused(found["refusals_on_dev"][way]) for way in ("before", "after")),
    ]


def _refused(found: dict[str, Any]) -> str:
    return f"{_plain(found['wrong'])} / {_plain(found['right'])}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _mean(estimate: dict[str, float]) -> str:
    return f"{estimate['mean']:.3f}"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _interval(estimate: dict[str, float]) -> str:
    return f"{estimate['mean']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"


def _signed(estimate: dict[str, float] | None) -> str:
    if estimate is None:
        return ""
    return f"{estimate['mean']:+.3f} ({estimate['low']:+.3f} to {estimate['high']:+.3f})"
