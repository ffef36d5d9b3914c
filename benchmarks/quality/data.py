"""The questions of a data set as prompts, with the gold passage alone or with what retrieval finds.

Passages are the project's own: documents cut at 72 tokens, title and heading counted. The dev set is cut from train by
group; test shares no group with either.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evaluation import Item, read_items
from evaluation.items import spread
from evaluation.text_scores import contains_answer, normalise
from prompts import PassageInput, RenderedPrompt, Template, Turn, find_template, load_template
from retrieval import Index, Passage, ingest, load_encoder, open_index
from softgraft.jobs.create import cut_dev

Evidence = Literal["gold", "retrieved"]
Split = Literal["train", "dev", "test"]
DATA_SETS = ("squad", "covidqa")
# How many passages retrieval gives, and how many tokens of a passage.
PASSAGES, PASSAGE_TOKENS = 4, 72
TEMPLATE = "extractive-qa"
# Example conversations of the few-shot prompt, and how long an answer in one may be: long ones teach nothing here.
SHOTS, SHOT_WORDS = 3, 12


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its evidence.

    Attributes:
        prompt: the rendered template, with its soft slot behind the passages.
        passages: what stands in it, the best last.
        found: whether an answer stands in a passage.
    """

    item: Item
    prompt: RenderedPrompt
    passages: tuple[PassageInput, ...]
    found: bool


class DataSet:
    """A folder of `--data`, indexed.

    Args:
        name: of the folder.
        source: the folder.
        work: where the index and the rankings are kept from one run to the next.
    """

    def __init__(self, name: str, source: Path, work: Path) -> None:
        self.name, self.source, self.work = name, source, work
        self.template: Template = load_template(find_template(TEMPLATE, "en"))
        self.slot = next(iter(self.template.soft_slots))
        self.twin = self.template.text_twin(self.slot)

    def items(self, split: Split, limit: int | None) -> list[Item]:
        """Questions of a split, spread over the file."""
        if split == "test":
            return spread(read_items(self.source / "test.jsonl"), limit)
        train, dev = cut_dev(read_items(self.source / "train.jsonl"))
        return spread(train if split == "train" else dev, limit)

    def index(self) -> Index:
        """The passages; documents that are there already are not embedded again."""
        encoder = load_encoder("embedded")
        docs = self.work / self.name / "docs"
        docs.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.source / "docs.jsonl", docs / "docs.jsonl")
        ingest(docs, self.work / self.name / "index", encoder, max_tokens=PASSAGE_TOKENS)
        return open_index(self.work / self.name / "index", encoder)

    def questions(
        self, split: Split, evidence: Evidence, limit: int | None, passages: int | None = None
    ) -> list[Question]:
        """Questions with their evidence. Where retrieval missed the answer, training puts it in, as the engine does.

        Args:
            split, evidence, limit: which.
            passages: only the best so many of those found, one that holds the answer among them.
        """
        items = self.items(split, limit)
        chosen = self._passages(split, evidence, items)
        if passages is not None:
            chosen = [_best(item, own, passages) for item, own in zip(items, chosen, strict=True)]
        return [self._question(item, [_as_input(p) for p in own]) for item, own in zip(items, chosen, strict=True)]

    def few_shot(self, evidence: Evidence) -> Callable[[Question], RenderedPrompt]:
        """Renders a question behind example conversations from train."""
        told = [q for q in self.questions("train", evidence, 40) if q.found]
        told = [q for q in told if len(normalise(q.item.target)) <= SHOT_WORDS][:SHOTS]
        turns = [
            turn
            for q in told
            for turn in (
                Turn("user", f"{q.passages[-1].text}\n\n{q.item.question}"),
                Turn("assistant", q.item.target),
            )
        ]
        return lambda question: self._render(question.item, question.passages, turns)

    def _passages(self, split: Split, evidence: Evidence, items: Sequence[Item]) -> list[list[Passage]]:
        """The passages of each question, the best first. Rankings are kept, since every cell asks for the same."""
        path = self.work / self.name / f"{split}-{evidence}-{len(items)}.json"
        if path.is_file():
            kept = json.loads(path.read_text(encoding="utf-8"))
            return [[Passage(**passage) for passage in own] for own in kept]
        index = self.index()
        golds = [_gold(index, item) for item in items]
        if evidence == "gold":
            chosen = [[gold] for gold in golds]
        else:
            ranked = index.search_many([item.question for item in items], PASSAGES)
            chosen = [[entry.passage for entry in own] for own in ranked]
            if split == "train":
                chosen = [
                    own if any(_holds(item, p) for p in own) else [*own[: PASSAGES - 1], gold]
                    for item, own, gold in zip(items, chosen, golds, strict=True)
                ]
        kept = [[{name: getattr(p, name) for name in Passage.__dataclass_fields__} for p in own] for own in chosen]
        path.write_text(json.dumps(kept), encoding="utf-8")
        index.close()
        return chosen

    def _question(self, item: Item, passages: Sequence[PassageInput]) -> Question:
        # The best stands last, nearest to the slot and the question.
        shown = tuple(reversed(passages))
        found = any(contains_answer(p.text, item.answers) for p in shown)
        return Question(item, self._render(item, shown, ()), shown, found)

    def _render(self, item: Item, passages: Sequence[PassageInput], turns: Sequence[Turn]) -> RenderedPrompt:
        return self.template.render({"question": item.question, "history": list(turns), "context": list(passages)})


def general_texts(source: Path, count: int) -> list[str]:
    """Held-out general text: documents of squad's test questions, spread."""
    wanted = {item.doc_id for item in read_items(source / "squad" / "test.jsonl")}
    lines = (source / "squad" / "docs.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [row["text"] for row in map(json.loads, lines) if row["id"] in wanted]
    return [texts[i * len(texts) // count] for i in range(min(count, len(texts)))]


def _gold(index: Index, item: Item) -> Passage:
    """The passage of the answer's document that holds it or, where a cut runs through it, most of its words."""
    wanted, asked = set(normalise(item.target)), set(normalise(item.question))

    def fit(passage: Passage) -> tuple[float, int, int]:
        words = set(normalise(passage.text))
        return contains_answer(passage.text, item.answers), len(words & wanted), len(words & asked)

    return max(index.document_passages(sorted(item.documents)), key=fit)


def _holds(item: Item, passage: Passage) -> bool:
    return passage.doc_id in item.documents and bool(contains_answer(passage.text, item.answers))


def _best(item: Item, own: Sequence[Passage], most: int) -> list[Passage]:
    # Where none holds the answer whole, what training put in stands last.
    holder = next((passage for passage in own if _holds(item, passage)), own[-1])
    return list(own[:most]) if holder in own[:most] else [*own[: most - 1], holder]


def _as_input(passage: Passage) -> PassageInput:
    return PassageInput(passage.id, passage.title, passage.heading, passage.text)
