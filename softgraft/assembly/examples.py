"""Where a domain's worked examples come from: its own train.jsonl."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from chains.answering.examples import NearestExamples, Solved
from evaluation import read_items
from retrieval import Encoder

FOLDER = "examples"


def nearest_examples(folder: Path, build: Path, encoder: Callable[[], Encoder]) -> NearestExamples:
    """Chooses among the answered questions of train.jsonl; nothing is read before the first is asked for.

    Args:
        folder: of the domain.
        build: where vectors of the questions are kept.
        encoder: gives the encoder of the domain.
    """
    return NearestExamples(lambda: solved_questions(folder / "train.jsonl"), encoder, build / FOLDER)


def solved_questions(path: Path) -> list[Solved]:
    """The questions of a file that show how to answer: answerable, with an answer, and no follow-ups, which are
    nothing without their conversation. None where there is no file.

    Raises:
        ItemsError: the file is malformed.
    """
    items = read_items(path) if path.is_file() else []
    return [
        Solved(item.question, item.target, item.group or item.doc_id)
        for item in items
        if item.answerable and item.target and not item.history
    ]
