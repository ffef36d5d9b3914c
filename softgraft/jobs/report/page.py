"""One self-contained HTML page about a domain: scores, losses, transfer, and its worst answers with their evidence."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from chains.speakers.secrets import without_known_secrets
from evaluation import Estimate
from evaluation.items import Item
from evaluation.systems import question_and_history
from soft_prompt.files import write_bytes
from softgraft.domain import Domain
from softgraft.errors import UsageError
from softgraft.jobs.charts import curve_chart, interval_chart, loss_chart, matrix_chart
from softgraft.jobs.curve import CURVE, QUOTE, LabelCurve, read_curve
from softgraft.jobs.report.files import (
    TRANSFER,
    read_evaluation,
    read_losses,
    read_matrix,
    read_replies,
    worst_answers,
)
from softgraft.terminal import visible

WORST = 10
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; } th, td { padding: .25rem .6rem; border-bottom: 1px solid #ccc; text-align: right; }
th:first-child, td:first-child { text-align: left; }
details { border: 1px solid #ccc; border-radius: 4px; padding: .5rem .8rem; margin: .5rem 0; }
blockquote { margin: .4rem 0; padding-left: .8rem; border-left: 3px solid #888; }
.quiet { color: #666; font-size: .9rem; } svg { max-width: 100%; height: auto; }
@media print { details { break-inside: avoid; } }
"""


def write_page(domain: Domain, path: Path, split: Literal["dev", "test"] = "test") -> list[str]:
    """Write the page, and return the headings of its sections.

    Raises:
        UsageError: if the domain was not evaluated on this split, or does not answer questions.
    """
    if domain.file.text_task is not None:
        raise UsageError(
            found=f"the task of {domain.cli_name} is {domain.file.task}",
            expected="a domain that answers questions",
            next_step=f"softgraft eval {domain.cli_name} --json",
        )
    found = read_evaluation(domain.build, split)
    if found is None:
        raise UsageError(
            found=f"no evaluation of {domain.cli_name} on {split}",
            expected="a finished evaluation",
            next_step=f"softgraft eval {domain.cli_name} --split {split}",
        )
    sections = list(_sections(domain, found, split))
    body = "\n".join(f"<section><h2>{_text(name)}</h2>\n{content}\n</section>" for name, content in sections)
    title = _text(domain.file.title)
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, page.encode())
    return [name for name, _ in sections]


def _sections(domain: Domain, found: Mapping[str, Any], split: str) -> Iterator[tuple[str, str]]:
    yield "Domain", _table(["", ""], _facts(domain))
    yield f"Systems on {split}", _systems(found)
    if found.get("comparisons"):
        yield "Differences", _differences(found["comparisons"])
    if (scores := found.get("retrieval")) is not None:
        rows = [
            [name.replace("_", " "), _number(scores[name])] for name in ("recall_at_1", "recall_at_5", "ndcg_at_10")
        ]
        yield "Retrieval", _table([f"{scores['questions']} questions", "score"], rows)
    if (losses := read_losses(domain.build)) is not None:
        yield "Loss of the last training run", loss_chart(losses.steps, losses.dev)
    if (curve := read_curve(domain.build / CURVE)) is not None and curve.points:
        yield f"Label curve on {curve.split}", _label_curve(curve)
    if (matrix := read_matrix(domain.file.name)) is not None:
        chart = matrix_chart(matrix.rows, matrix.columns, matrix.values, f"asked (token F1, {matrix.split})")
        yield (
            "Transfer",
            f"{chart}<p class=quiet>Rows: what the soft prompt was trained on. From {_text(str(TRANSFER))}.</p>",
        )
    if worst := _worst(domain, split, found):
        yield "Worst answers", worst


def _facts(domain: Domain) -> list[list[str]]:
    state = domain.status()
    prompt, start = state["soft_prompt"], state["start"]
    index = state["index"] or {"documents": 0, "passages": 0}
    soft_prompt = "none"
    if prompt:
        soft_prompt = f"{prompt['kind']}, {prompt['length']} positions, trained on {', '.join(prompt['trained_on'])}"
    return [
        ["backbone", state["backbone"]],
        ["template", state["template"]],
        ["documents", f"{index['documents']} ({index['passages']} passages)"],
        ["questions", ", ".join(f"{count} {name}" for name, count in state["questions"].items())],
        ["soft prompt", soft_prompt],
        ["start", f"{start['name']} {start['licences']}".strip()],
        ["answers", str(state["answer_form"])],
    ]


def _label_curve(curve: LabelCurve) -> str:
    lines = []
    for start in dict.fromkeys(point.start for point in curve.points if point.start != QUOTE):
        own = sorted((point for point in curve.points if point.start == start), key=lambda point: point.labels)
        lines.append((start, [(one.labels, *_numbers(one.token_f1)) for one in own]))
    level = next((point.token_f1.mean for point in curve.points if point.start == QUOTE), None)
    return curve_chart(lines, level)


def _numbers(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.mean, estimate.low, estimate.high


def _systems(found: Mapping[str, Any]) -> str:
    rows, charts = [], []
    for row in found["rows"]:
        numbers = [row[name] for name in ("unsupported", "refusal_accuracy", "wrong_refusals", "citation_precision")]
        scores = [_interval(row["accuracy"]), _interval(row["token_f1"])]
        rows.append(
            [row["system"], *scores, *map(_number, numbers), f"{row['words']:.0f}", f"{row['seconds_per_answer']:.2f}"]
        )
    for name, label in (("accuracy", "accuracy (95% interval)"), ("token_f1", "token F1 (95% interval)")):
        shown = [
            (row["system"], *(row[name][key] for key in ("mean", "low", "high"))) for row in found["rows"] if row[name]
        ]
        if shown:
            charts.append(interval_chart(shown, label))
    columns = [
        "system", "accuracy (95%)", "token F1 (95%)", "unsupported", "refused, unanswerable", "refused, answerable",
        "citations right", "words", "seconds",
    ]  # fmt: skip
    return _table(columns, rows) + "".join(charts)


def _differences(comparisons: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [f"{c['ours']} minus {c['theirs']}", _interval(c["accuracy"]), _interval(c["token_f1"])] for c in comparisons
    ]
    return _table(["", "accuracy (95%)", "token F1 (95%)"], rows)


def _worst(domain: Domain, split: str, found: Mapping[str, Any]) -> str:
    """The worst answers of what users get, each with the evidence that is found for it now."""
    names = [row["system"] for row in found["rows"]]
    shown = "auto" if "auto" in names else names[-1]
    items = {item.id: item for item in domain.items("test" if split == "test" else "dev") if item.answerable}
    known = [(row, items[row["item"]]) for row in worst_answers(read_replies(domain.build, split), shown, items, WORST)]
    if not known:
        return ""
    answering = domain.answering("text-twin", form="quote")
    asked = [question_and_history(item) for _, item in known]
    evidence = answering.evidence_many(answering.queries(asked), [question for question, _ in asked])
    blocks = [
        _answer(row, item, [entry.passage.text for entry in one.passages])
        for (row, item), one in zip(known, evidence, strict=True)
    ]
    return f"<p class=quiet>System: {_text(shown)}; lowest accuracy first, then lowest token F1.</p>" + "".join(blocks)


def _answer(row: Mapping[str, Any], item: Item, passages: Sequence[str]) -> str:
    history = "".join(f"<p class=quiet>{_text(question)}<br>{_text(answer)}</p>" for question, answer in item.history)
    quotes = "".join(f"<blockquote>{_text(text)}</blockquote>" for text in passages)
    scores = f"accuracy {_number(row['accuracy'])}, token F1 {_number(row.get('f1'))}" + (
        ", refused" if row.get("refused") else ""
    )
    return (
        f"<details><summary>{_text(item.question)}</summary>{history}"
        f"<p><b>Expected:</b> {_text(item.target or '; '.join(item.answers))}<br>"
        f"<b>Answer:</b> {_text(str(row['reply']))}<br><span class=quiet>{scores}</span></p>"
        f"<p><b>Evidence:</b></p>{quotes or '<p class=quiet>none</p>'}</details>"
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"


def _interval(estimate: Mapping[str, float] | None) -> str:
    if estimate is None:
        return "–"
    return f"{estimate['mean']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _text(text: str) -> str:
    """Text of a document, a model or a user, safe in a page: no markup, control characters or secrets."""
    return html.escape(visible(without_known_secrets(text)))
