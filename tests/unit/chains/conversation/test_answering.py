"""From a question to what the model reads: templates that are followed, evidence within its budget."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains import DomainRetriever, Evidence
from chains.answering.speaker import PreparedPrompt
from chains.conversation.graph import trimmed
from prompts import RenderedPrompt, TemplateError, TemplateFile, TextTwins, Turn, find_template
from retrieval import Index
from tests.support.small_bank import SCALE, ScriptedChat, make_answering


@pytest.fixture
def template(tmp_path: Path) -> TemplateFile:
    path = tmp_path / "rag-chat.en.yaml"
    shutil.copyfile(find_template("rag-chat"), path)
    return TemplateFile(path)


def edit(template: TemplateFile, old: str, new: str) -> None:
    text = template.path.read_text(encoding="utf-8")
    assert old in text
    template.path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_template_file_sees_an_edit(template: TemplateFile) -> None:
    twins = TextTwins(template)
    before = template.current()
    assert template.current() is before
    assert list(twins) == ["domain"]
    edit(template, "Answer the customer's question", "Tell the customer")
    assert template.current().content_hash != before.content_hash
    assert twins["domain"].startswith("Tell the customer")
    assert len(twins) == 1
    assert "house" not in twins


def test_an_edit_of_the_same_length_is_seen(template: TemplateFile) -> None:
    assert "helpful" in str(template.current().messages)
    stat = template.path.stat()
    edit(template, "helpful", "careful")
    os.utime(template.path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert "careful" in str(template.current().messages)


def test_a_broken_template_is_said_until_it_is_mended(template: TemplateFile) -> None:
    good = template.path.read_text(encoding="utf-8")
    template.current()
    template.path.write_text(good.replace("{question}", "{question} {customer}"), encoding="utf-8")
    for _ in range(2):
        with pytest.raises(TemplateError, match=r"unknown slot \{customer\}"):
            template.current()
    template.path.unlink()
    with pytest.raises(TemplateError):
        template.current()
    template.path.write_text(good, encoding="utf-8")
    assert template.current().name == "rag-chat"


@given(st.lists(st.text(alphabet="ab \n\t", max_size=4), max_size=8))
def test_trimmed_pieces_join_to_the_stripped_whole(pieces: list[str]) -> None:
    found = list(trimmed(pieces))
    assert "".join(found) == "".join(pieces).strip()
    assert all(found)


def test_trimming_waits_for_no_more_than_white_space() -> None:
    pieces = iter(["  a", "b ", " c", " "])
    shown = trimmed(pieces)
    assert next(shown) == "a"
    assert next(pieces) == "b "
    assert list(shown) == [" c"]


def test_evidence_keeps_within_the_budget(index: Index, chat: ScriptedChat) -> None:
    queries = ["What does a replacement card cost?", "What does a transfer overseas cost?"]
    wide, narrow, none = (
        make_answering(index, chat, passages=4, evidence_tokens=tokens).evidence_many(queries)
        for tokens in (1000, 60, 1)
    )
    for all_of_them, few, best in zip(wide, narrow, none, strict=True):
        assert len(all_of_them.passages) == 4
        assert 1 <= len(few.passages) < 4
        assert few.passages == all_of_them.passages[: len(few.passages)]
        spent = [
            index.encoder.count_tokens(f"{e.passage.title} {e.passage.heading} {e.passage.text}") for e in few.passages
        ]
        assert sum(spent) <= 60
        # The best passage always counts.
        assert best.passages == all_of_them.passages[:1]


def test_what_falls_too_far_behind_the_best_is_left_out(index: Index, chat: ScriptedChat) -> None:
    query = "What does a replacement card cost?"
    [wide] = make_answering(index, chat, passages=4).evidence_many([query])
    gaps = [wide.passages[0].score - entry.score for entry in wide.passages]
    assert gaps[1] > 0.01
    for kept, margin in ((1, gaps[1] - 0.005), (2, gaps[1] + 0.001), (4, gaps[3] + 0.001), (1, 0.0)):
        [found] = make_answering(index, chat, passages=4, margin=margin).evidence_many([query])
        assert found.passages == wide.passages[:kept]


def test_without_a_scale_nothing_is_scored_and_nothing_found_is_refused(index: Index, chat: ScriptedChat) -> None:
    found, blank = make_answering(index, chat).evidence_many(["horses", " "])
    assert (found.score, found.enough) == (None, True)
    assert (blank.score, blank.enough, blank.passages) == (None, False, ())


def test_weak_evidence_is_withheld_from_the_model(index: Index, chat: ScriptedChat) -> None:
    answering = make_answering(index, chat, scale=SCALE)
    strong, weak = answering.evidence_many(["What does a replacement card cost?", "Do you treat horses?"])
    assert strong.score is not None
    assert weak.score is not None
    assert strong.score >= SCALE.threshold > weak.score
    assert (strong.enough, weak.enough) == (True, False)
    assert weak.passages
    assert weak.passages[0].passage.text not in answering.prompt("?", [], weak).messages[0].text
    assert strong.passages[0].passage.text in answering.prompt("?", [], strong).messages[0].text


@dataclass(frozen=True)
class ShortContext:
    """A speaker whose context holds a number of words; it only prepares prompts."""

    words: int
    seen: list[str] = field(default_factory=list)

    def prepare(self, prompt: RenderedPrompt) -> PreparedPrompt:
        text = " ".join(message.text for message in prompt.messages)
        self.seen.append(text)
        return PreparedPrompt(prompt, None, len(text.split()) <= self.words)


def test_the_oldest_turns_go_first_then_the_weakest_passages(index: Index, chat: ScriptedChat) -> None:
    turns = [Turn("user" if n % 2 == 0 else "assistant", f"turn {n}") for n in range(4)]
    whole = make_answering(index, chat, passages=3, evidence_tokens=1000)
    [evidence] = whole.evidence_many(["What does a replacement card cost?"])
    assert len(evidence.passages) == 3
    lengths: dict[tuple[int, int], int] = {}
    for limit in range(1000, 0, -1):
        prepared = replace(whole, speaker=ShortContext(limit)).prepare("What?", turns, evidence)  # type: ignore[arg-type]
        assert prepared.prompt is not None
        lengths.setdefault((len(prepared.turns), len(prepared.evidence.passages)), limit)
        kept = prepared.evidence.passages
        assert kept == evidence.passages[: len(kept)]
    assert list(lengths) == [(4, 3), (2, 3), (0, 3), (0, 2), (0, 1)]
    # A passage that has to stay outlives better ones.
    last = evidence.passages[-1].passage.id
    short = replace(whole, speaker=ShortContext(1)).prepare("What?", turns, evidence, keep=last)  # type: ignore[arg-type]
    assert [entry.passage.id for entry in short.evidence.passages] == [last]
    assert short.prompt is not None
    assert not short.prompt.fits


def test_a_question_is_prepared_once_where_it_fits(index: Index, chat: ScriptedChat) -> None:
    speaker = ShortContext(10_000)
    answering = replace(make_answering(index, chat, passages=3), speaker=speaker)  # type: ignore[arg-type]
    strong, none = answering.evidence_many(["What does a replacement card cost?", " "])
    assert answering.prepare("What?", [], strong).prompt is not None
    assert answering.prepare("What?", [], none).prompt is None
    assert len(speaker.seen) == 1


def test_evidence_comes_back_whole_from_the_graphs_state(index: Index, chat: ScriptedChat) -> None:
    for evidence in make_answering(index, chat, scale=SCALE).evidence_many(["What does a card cost?", "horses"]):
        state = json.loads(json.dumps(evidence.to_state()))
        assert Evidence.from_state(state) == evidence


@pytest.mark.parametrize(("turns", "kept"), [(0, 0), (1, 2), (3, 6), (9, 8)])
def test_the_model_reads_the_last_exchanges(index: Index, chat: ScriptedChat, turns: int, kept: int) -> None:
    history = [Turn("user" if n % 2 == 0 else "assistant", f"turn {n}") for n in range(8)]
    answering = make_answering(index, chat, history_turns=turns)
    [evidence] = answering.evidence_many(["cards"])
    messages = answering.prompt("And abroad?", history, evidence).messages
    assert [message.text for message in messages[1:-1]] == [turn.text for turn in history[8 - kept :]]


def test_only_a_follow_up_is_rewritten(index: Index) -> None:
    chat = ScriptedChat(answer=lambda _: "What does a card cost abroad?\n")
    history = [Turn("user", "What does a card cost?"), Turn("assistant", "Nothing.")]
    follow_up, own = "And overseas?", "What does a transfer to an account overseas cost?"
    ways = {way: make_answering(index, chat, condense=way) for way in ("off", "join", "model")}
    assert ways["off"].query(follow_up, history) == follow_up
    assert ways["join"].query(follow_up, history) == "What does a card cost? And overseas?"
    assert [answering.query(own, history) for answering in ways.values()] == [own] * 3
    assert ways["model"].query(follow_up, []) == follow_up
    assert chat.seen == []
    assert ways["model"].query(follow_up, history) == "What does a card cost abroad?"
    [messages] = chat.seen
    assert [message.type for message in messages] == ["system", "human", "ai", "human"]


def test_a_rewriting_that_rambles_falls_back_to_joining(index: Index) -> None:
    chat = ScriptedChat(answer=lambda _: "well " * 60)
    answering = make_answering(index, chat, condense="model")
    assert answering.query("And abroad?", [Turn("user", "Card cost?")]) == "Card cost? And abroad?"


def test_the_retriever_gives_documents_with_their_spans(index: Index) -> None:
    retriever = DomainRetriever(index=index, k=2)
    found = retriever.invoke("What does a replacement card cost?")
    assert len(found) == 2
    assert len(retriever.invoke("What does a replacement card cost?", k=3)) == 3
    ranked = index.search("What does a replacement card cost?", 2)
    assert [document.id for document in found] == [entry.passage.id for entry in ranked]
    for document, entry in zip(found, ranked, strict=True):
        text = index.document(document.metadata["doc_id"]).text
        assert text[document.metadata["start"] : document.metadata["end"]] == document.page_content
        assert document.metadata["score"] == entry.score
