"""Worked examples: the nearest solved questions, never the question itself, within the template's budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from chains import Answering, Evidence
from chains.answering.examples import NearestExamples, SolvedQuestion, select_examples
from prompts import Example, FewShot, TemplateFile, find_template
from retrieval import Index
from tests.support.hashing_encoder import HashingEncoder
from tests.support.small_bank import ScriptedChat, make_answering

SOLVED = [
    SolvedQuestion("What is the fee of a card?", "12 euros.", "cards"),
    SolvedQuestion("When does the branch open?", "At nine.", "branches"),
    SolvedQuestion("What is the fee of a transfer overseas?", "15 euros.", "transfers"),
    SolvedQuestion("What is the fee of a new card?", "12 euros too.", "cards"),
]


class CountingEncoder:
    """The house's encoder, which counts the texts that it was given."""

    def __init__(self) -> None:
        self.inner: Any = HashingEncoder(dimension=256)
        self.texts = 0
        self.id, self.dimension, self.window = self.inner.id, self.inner.dimension, self.inner.window

    def count_tokens(self, text: str) -> int:
        return int(self.inner.count_tokens(text))

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> Any:
        self.texts += len(texts)
        return self.inner.encode(texts)

    def encode_queries(self, texts: Sequence[str]) -> Any:
        return self.encode(texts)


@pytest.fixture
def encoder() -> CountingEncoder:
    return CountingEncoder()


def over(folder: Path, encoder: CountingEncoder, solved: Sequence[SolvedQuestion] = SOLVED) -> NearestExamples:
    return NearestExamples(lambda: solved, lambda: encoder, folder / "examples")


def test_the_most_similar_example_is_first(tmp_path: Path, encoder: CountingEncoder) -> None:
    found = over(tmp_path, encoder).nearest("What is the fee of a transfer abroad?", 2)
    assert found[0] == Example("What is the fee of a transfer overseas?", "15 euros.")
    assert len(found) == 2
    assert len(over(tmp_path, encoder).nearest("What is the fee?", 9)) == 4
    assert over(tmp_path, encoder, []).nearest("What is the fee?", 2) == []


@pytest.mark.parametrize("question", ["What is the fee of a card?", " what is THE fee  of a card? "])
def test_a_question_and_its_group_are_not_among_its_examples(
    tmp_path: Path, encoder: CountingEncoder, question: str
) -> None:
    found = over(tmp_path, encoder).nearest(question, 4)
    assert sorted(example.answer for example in found) == ["15 euros.", "At nine."]


def test_vectors_are_computed_once_and_kept(tmp_path: Path, encoder: CountingEncoder) -> None:
    nearest = over(tmp_path, encoder)
    assert encoder.texts == 0
    first = [nearest.nearest("When do you open?", 2) for _ in range(3)]
    assert encoder.texts == len(SOLVED) + 1
    assert over(tmp_path, encoder).nearest("When do you open?", 2) == first[0]
    assert encoder.texts == len(SOLVED) + 2
    [file] = (tmp_path / "examples").iterdir()
    file.write_bytes(file.read_bytes()[:-4] + b"\x00\x00\x80\x7f")
    assert over(tmp_path, encoder).nearest("When do you open?", 2) == first[0]
    assert encoder.texts == 2 * len(SOLVED) + 3
    # Other questions have vectors of their own, in place of these.
    over(tmp_path, encoder, SOLVED[:2]).nearest("When do you open?", 2)
    [other] = (tmp_path / "examples").iterdir()
    assert other.name != file.name


def test_the_budget_keeps_the_nearest_and_puts_it_last() -> None:
    examples = [Example("a b", "c"), Example("d e", "f"), Example("g", "h")]

    def count(text: str) -> int:
        return len(text.split())

    def chosen(tokens: int, similar: int = 3) -> list[Example]:
        return select_examples(lambda _, n: examples[:n], FewShot(similar=similar, tokens=tokens), "?", count)

    assert chosen(8) == examples[::-1]
    assert chosen(7) == chosen(6) == [examples[1], examples[0]]
    assert chosen(2) == []
    assert chosen(8, similar=1) == [examples[0]]


def answering_with(path: Path, index: Index, examples: Any, **few: Any) -> Answering:
    template = yaml.safe_load(find_template("rag-chat").read_text(encoding="utf-8"))
    template["examples"] = few
    template["messages"].insert(2, {"role": "examples"})
    path.write_text(yaml.safe_dump(template), encoding="utf-8")
    made = make_answering(index, ScriptedChat(), template=TemplateFile(path))
    object.__setattr__(made, "examples", examples)
    return made


def test_a_prompt_shows_the_examples_that_its_template_chooses(tmp_path: Path, index: Index, encoder: Any) -> None:
    path = tmp_path / "rag-chat.en.yaml"
    answering = answering_with(path, index, over(tmp_path, encoder).nearest, similar=2, tokens=100)
    nothing = Evidence((), None, True)
    said = [(m.role, m.text) for m in answering.prompt("What does the transfer overseas cost?", [], nothing).messages]
    assert said[-3:-1] == [("user", "What is the fee of a transfer overseas?"), ("assistant", "15 euros.")]
    assert len(said) == 6


def test_a_template_that_chooses_none_asks_for_none(tmp_path: Path, index: Index) -> None:
    def refuse(question: str, count: int) -> list[Example]:
        raise AssertionError("examples were asked for")

    fixed = [{"question": "How much?", "answer": "{question}"}]
    answering = answering_with(tmp_path / "rag-chat.en.yaml", index, refuse, fixed=fixed)
    said = [m.text for m in answering.prompt("Why?", [], Evidence((), None, True)).messages]
    assert said[-3:] == ["How much?", "{question}", "Why?"]


def test_an_edit_of_a_block_changes_the_next_prompt(tmp_path: Path) -> None:
    text = find_template("closed-book").read_text(encoding="utf-8")
    path, block = tmp_path / "closed-book.en.yaml", tmp_path / "blocks" / "rules.en.txt"
    path.write_text(text.replace("assistant. {", "{rules} {") + "include:\n  rules: rules\n", encoding="utf-8")
    block.parent.mkdir()
    block.write_text("clerk.", encoding="utf-8")
    followed = TemplateFile(path)
    first = followed.current()
    assert followed.current() is first
    block.write_text("patient clerk.", encoding="utf-8")
    assert "patient clerk." in followed.current().text
    assert followed.current().content_hash != first.content_hash
