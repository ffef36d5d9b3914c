"""The answers of a new domain to the questions of one project, for `first_day.py`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.projects.questions import Project
from benchmarks.tables import estimate, interval_text, print_table
from evaluation import contains_answer
from retrieval.ranking.sentence_selection import FEATURES, SentenceSelector
from softgraft import open_domain
from softgraft.jobs.create import create_domain

_COSINE = tuple(float(feature == "cosine") for feature in FEATURES)


def answer_project(project: Project, data: Path, work: Path) -> dict[str, Any]:
    """For each answerable question 1 or 0 (right, refused, baseline, evidence); for each other one, refused or not."""
    folder = (work / project.name / "domain").absolute()
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        create_domain(str(folder), project.documents(data))
    with closing(open_domain(folder)) as domain:
        domain.ingest()
        answering = domain.answering(domain.graft)
        nearest = SentenceSelector(domain.encoder, _COSINE, cosine_scale=answering.index.cosine_scale)
        rows: dict[str, list[float]] = {name: [] for name in ("right", "refused", "cosine", "evidence", "unanswerable")}
        items = project.questions()
        start = time.perf_counter()
        queries = answering.queries([(item.question, ()) for item in items])
        evidence = answering.evidence_many(queries, [item.question for item in items])
        answers = [
            answering.finish(item.question, (), found, "", query)
            for item, found, query in zip(items, evidence, queries, strict=True)
        ]
        seconds = time.perf_counter() - start
        for item, found, answer in zip(items, evidence, answers, strict=True):
            if not item.answerable:
                rows["unanswerable"].append(float(answer.refused))
                continue
            passages = answering.quotable(found)
            best = nearest.select(item.question, passages)[:1]
            rows["refused"].append(float(answer.refused))
            rows["right"].append(0.0 if answer.refused else contains_answer(answer.text, item.answers))
            rows["cosine"].append(max((contains_answer(one.sentence.text, item.answers) for one in best), default=0.0))
            whole = " ".join(entry.passage.text for entry in passages)
            rows["evidence"].append(contains_answer(whole, item.answers))
    return {"questions": len(items), "seconds": round(seconds / len(items), 3), **rows}


def print_answers(projects: Mapping[str, Mapping[str, Any]]) -> None:
    """A row per project, and one for all questions."""
    names = ("right", "refused", "cosine", "evidence", "unanswerable")
    table = [[name, *(f"{statistics.mean(row[key]):.3f}" for key in names)] for name, row in projects.items()]
    together = {key: [value for row in projects.values() for value in row[key]] for key in names}
    table.append(["all", *(interval_text(estimate(together[key])) for key in names)])
    columns = ("project", "right", "refused", "nearest sentence", "in the evidence", "unanswerable, refused")
    print_table("first day", columns, table)
