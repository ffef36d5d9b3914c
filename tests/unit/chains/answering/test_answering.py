"""From a question to what the model reads: templates that are followed, evidence within its budget."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from chains import DomainRetriever, Evidence
from prompts import Turn
from retrieval import Index, Passage, RankedPassage
from tests.support.small_bank import FOLLOW_UP_SCALE, SCALE, ScriptedChat, ShortContext, make_answering


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


def test_without_a_scale_only_an_empty_ranking_is_refused(index: Index, chat: ScriptedChat) -> None:
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


def test_the_oldest_turns_go_first_then_the_weakest_passages(index: Index, chat: ScriptedChat) -> None:
    turns = [Turn("user" if n % 2 == 0 else "assistant", f"turn {n}") for n in range(4)]
    whole = make_answering(index, chat, passages=3, evidence_tokens=1000)
    [evidence] = whole.evidence_many(["What does a replacement card cost?"])
    assert len(evidence.passages) == 3
    lengths: dict[tuple[int, int], int] = {}
    for limit in range(1000, 0, -1):
        prepared = replace(whole, speaker=ShortContext(limit)).prepare("What?", turns, evidence)  # type: ignore[arg-type]
        assert prepared.prompt is not None
        lengths.setdefault((len(prepared.history), len(prepared.evidence.passages)), limit)
        kept = prepared.evidence.passages
        assert kept == evidence.passages[: len(kept)]
    assert list(lengths) == [(4, 3), (2, 3), (0, 3), (0, 2), (0, 1)]
    # A passage that has to stay outlives better ones.
    last = evidence.passages[-1].passage.id
    short = replace(whole, speaker=ShortContext(1)).prepare("What?", turns, evidence, keep=last)  # type: ignore[arg-type]
    assert [entry.passage.id for entry in short.evidence.passages] == [last]
    assert short.prompt is not None
    assert not short.prompt.fits


def test_a_follow_up_does_not_inherit_the_evidence_of_the_question_before(index: Index, chat: ScriptedChat) -> None:
    answering = make_answering(index, chat, scale=FOLLOW_UP_SCALE)
    before, horses, arrival = (
        "What does a replacement card cost?",
        "Do you treat horses?",
        "Does it arrive within 5 days?",
    )
    queries, questions = [f"{before} {horses}", f"{before} {arrival}", before], [horses, arrival, before]
    inherited, right, alone = answering.evidence_many(queries, questions)
    assert (inherited.enough, right.enough, alone.enough) == (False, True, True)
    assert inherited.score == pytest.approx(1 / (1 + math.exp(5)), abs=1e-4)
    # A model's rewrite is judged as it stands.
    assert answering.evidence_many([before], [arrival])[0].enough


def test_a_question_is_prepared_once_where_it_fits(index: Index, chat: ScriptedChat) -> None:
    speaker = ShortContext(10_000)
    answering = replace(make_answering(index, chat, passages=3), speaker=speaker)  # type: ignore[arg-type]
    strong, none = answering.evidence_many(["What does a replacement card cost?", " "])
    assert answering.prepare("What?", [], strong).prompt is not None
    assert answering.prepare("What?", [], none).prompt is None
    assert len(speaker.seen) == 1


def test_a_document_that_left_the_index_is_still_quoted(index: Index, chat: ScriptedChat) -> None:
    text = "A card costs 12 euros. It is blue."
    gone = RankedPassage(Passage("p", "gone", "Cards", "", text, 0, len(text)), 1.0, 0.5, 1.0, 0.5)
    [best, *_] = make_answering(index, chat).quotes("What does a card cost?", Evidence((gone,), None, enough=True))
    assert best.text == "A card costs 12 euros."


def test_evidence_round_trips_through_the_state(index: Index, chat: ScriptedChat) -> None:
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
