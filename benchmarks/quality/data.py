"""The questions of a data set as prompts, with the gold passage alone or with retrieved passages.

Passages have at most 72 tokens, including title and heading. Dev is cut from train by group; test shares no group with
either.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.quality.settings import Evidence, Split
from benchmarks.search.data import index_documents
from evaluation import Item, read_items
from evaluation.items import spread
from evaluation.questions.dev_split import cut_dev
from evaluation.text_scores import contains_answer, normalise
from prompts import PassageInput, RenderedPrompt, Template, Turn, find_template, load_template
from retrieval import Index, Passage, load_encoder

# Number of retrieved passages.
PASSAGES = 4
TEMPLATE = "extractive-qa"
# Number of worked examples in the few-shot prompt, and maximum words of their answers.
SHOTS, SHOT_WORDS = 3, 12


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its evidence.

    Attributes:
        item: the question and its answers.
        prompt: the rendered template, with its soft slot after the passages.
        passages: the evidence, the best passage last.
        answerable: whether a passage contains an answer.
    """

    item: Item
    prompt: RenderedPrompt
    passages: tuple[PassageInput, ...]
    answerable: bool


class DataSet:
    """A set of the data folder; its index and rankings go to the work folder."""

    def __init__(self, name: str, data: Path, work: Path) -> None:
        self.name, self.source, self.work = name, data / name, work / name
        self.template: Template = load_template(find_template(TEMPLATE, "en"))
        self.slot = next(iter(self.template.soft_slots))
        self.twin = self.template.text_twin(self.slot)

    def questions(self, split: Split, evidence: Evidence, limit: int) -> list[Question]:
        """At most `limit` questions, spread over the file, with their evidence.

        In training, the gold passage is added if retrieval missed the answer.
        """
        items = self._items(split, limit)
        passages = self._passages(split, evidence, items)
        return [self._question(item, own) for item, own in zip(items, passages, strict=True)]

    def few_shot(self, evidence: Evidence) -> Callable[[Question], RenderedPrompt]:
        """A function that renders a question after worked examples from train."""
        examples = [q for q in self.questions("train", evidence, 40) if q.answerable]
        examples = [q for q in examples if len(normalise(q.item.target)) <= SHOT_WORDS][:SHOTS]
        turns: list[Turn] = []
        for q in examples:
            turns += [Turn("user", f"{q.passages[-1].text}\n\n{q.item.question}"), Turn("assistant", q.item.target)]
        return lambda question: self._render(question.item, question.passages, turns)

    def _items(self, split: Split, limit: int) -> list[Item]:
        if split == "test":
            return spread(read_items(self.source / "test.jsonl"), limit)
        train, dev = cut_dev(read_items(self.source / "train.jsonl"))
        return spread(train if split == "train" else dev, limit)

    def _passages(self, split: Split, evidence: Evidence, items: Sequence[Item]) -> list[list[Passage]]:
        """The passages of each question, best first. They are stored in a file, since every cell needs the same."""
        path = self.work / f"{split}-{evidence}-{len(items)}.json"
        if path.is_file():
            stored = json.loads(path.read_text(encoding="utf-8"))
            return [[Passage(**passage) for passage in own] for own in stored]
        with index_documents(self.source, self.work, load_encoder("embedded")) as index:
            golds = [_gold(index, item) for item in items]
            if evidence == "gold":
                passages = [[gold] for gold in golds]
            else:
                rankings = index.search_many([item.question for item in items], PASSAGES)
                passages = [[entry.passage for entry in ranked] for ranked in rankings]
                if split == "train":
                    passages = [
                        own if any(_holds_answer(item, p) for p in own) else [*own[: PASSAGES - 1], gold]
                        for item, own, gold in zip(items, passages, golds, strict=True)
                    ]
        path.write_text(json.dumps([[asdict(passage) for passage in own] for own in passages]), encoding="utf-8")
        return passages

    def _question(self, item: Item, passages: Sequence[Passage]) -> Question:
        # The best passage is last, next to the slot and the question.
        shown = tuple(PassageInput(p.id, p.title, p.heading, p.text) for p in reversed(passages))
        answerable = any(contains_answer(p.text, item.answers) for p in shown)
        return Question(item, self._render(item, shown, ()), shown, answerable)

    def _render(self, item: Item, passages: Sequence[PassageInput], turns: Sequence[Turn]) -> RenderedPrompt:
        return self.template.render({"question": item.question, "history": list(turns), "context": list(passages)})


def general_texts(data: Path, count: int) -> list[str]:
    """General text that was not trained on: documents of squad's test questions, spread over the file."""
    ids = {item.doc_id for item in read_items(data / "squad" / "test.jsonl")}
    lines = (data / "squad" / "docs.jsonl").read_text(encoding="utf-8").splitlines()
    return spread([row["text"] for row in map(json.loads, lines) if row["id"] in ids], count)


def _gold(index: Index, item: Item) -> Passage:
    """The passage with the answer or, if a cut runs through the answer, with most of its words."""
    answer, question = set(normalise(item.target)), set(normalise(item.question))

    def fit(passage: Passage) -> tuple[float, int, int]:
        words = set(normalise(passage.text))
        return contains_answer(passage.text, item.answers), len(words & answer), len(words & question)

    return max(index.document_passages(sorted(item.documents)), key=fit)


def _holds_answer(item: Item, passage: Passage) -> bool:
    return passage.doc_id in item.documents and bool(contains_answer(passage.text, item.answers))
