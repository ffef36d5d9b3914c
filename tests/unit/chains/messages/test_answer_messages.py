"""Answers as messages: annotations point into the answer, whole, in a stream, and when a thread is read again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from functools import reduce
from operator import add
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.prompt_values import ChatPromptValue

from chains import AnswerMessages, ChainError, DomainChain, answer_message, cite, thread_messages
from chains.messages.answer_messages import annotation
from retrieval import Index, Passage
from tests.support.small_bank import REFUSAL, SCALE, ScriptedChat

ASKED = "What does a replacement card cost?"
SAID = "🙂 Well. A replacement card costs 12 euros. It arrives within 5 days."

MakeChain = Callable[..., DomainChain]


@pytest.fixture
def chain(make_chain: MakeChain) -> DomainChain:
    return make_chain(ScriptedChat(answer=lambda _: f" {SAID}\n"), scale=SCALE)


def block_of(message: AIMessage) -> dict[str, Any]:
    [block] = message.content_blocks
    return {name: value for name, value in block.items() if name != "index"}


def test_an_answer_carries_its_citations_as_annotations(chain: DomainChain, index: Index) -> None:
    message = chain.as_messages().invoke(ASKED)
    assert type(message) is AIMessage
    assert message.text == SAID
    annotations = block_of(message)["annotations"]
    assert [SAID[found["start_index"] : found["end_index"]] for found in annotations] == [
        "A replacement card costs 12 euros.", "It arrives within 5 days.",
    ]  # fmt: skip
    for found in annotations:
        source = found["extras"]
        assert (found["type"], found["title"], source["heading"]) == ("citation", "Card fees", "Replacement")
        assert index.document(source["doc_id"]).text[source["start"] : source["end"]] == found["cited_text"]
    assert message.response_metadata["query"] == ASKED
    assert message.response_metadata["refused"] is False


def test_chunks_of_a_stream_add_up_to_the_message(chain: DomainChain) -> None:
    whole, answers = chain.as_messages().invoke(ASKED), chain.as_messages()
    chunks = list(answers.stream(ASKED))
    assert len(chunks) > 5
    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
    # The words come as they are decoded, the annotations once they are known.
    assert [bool(block_of(chunk).get("annotations")) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]

    async def gathered() -> list[AIMessageChunk]:
        return [chunk async for chunk in answers.astream(ASKED)]

    for found in (chunks, asyncio.run(gathered())):
        total = reduce(add, found)
        assert block_of(total) == block_of(whole)
        assert total.response_metadata == whole.response_metadata
        assert total.chunk_position == "last"
    assert block_of(asyncio.run(answers.ainvoke(ASKED))) == block_of(whole)


def test_annotations_survive_a_conversation_that_is_read_again(make_chain: MakeChain, chain: DomainChain) -> None:
    thread: Any = {"configurable": {"thread_id": "42"}}
    said = chain.as_messages().invoke(ASKED, thread)
    chain.close()
    question, answer = make_chain(ScriptedChat()).messages("42")
    assert (question.type, question.content) == ("human", ASKED)
    assert isinstance(answer, AIMessage)
    assert block_of(answer) == block_of(said)
    assert load(dumpd(answer), allowed_objects="core") == answer


def test_a_refusal_carries_none(chain: DomainChain) -> None:
    message = chain.as_messages().invoke("Do you treat horses?")
    assert block_of(message) == {"type": "text", "text": REFUSAL}
    assert message.response_metadata["refused"] is True


def test_what_a_chat_model_takes_is_taken(make_chain: MakeChain) -> None:
    chat = ScriptedChat()
    answers = make_chain(chat).as_messages()
    before = [HumanMessage("Good day"), answer_message("Good day to you.", ())]
    for given_input in ([*before, HumanMessage(ASKED)], {"question": ASKED, "history": before}):
        answers.invoke(given_input)
        texts = [message.content for message in chat.seen[-1][1:]]
        assert texts == ["Good day", "Good day to you.", ASKED]
    thread: Any = {"configurable": {"thread_id": "1"}}
    for question in (ASKED, "And overseas?"):
        answers.invoke([HumanMessage(question)], thread)
    assert len(chat.seen[-1]) == 4  # the thread's memory counts where no messages stand before the question


@pytest.mark.parametrize(
    "given_input",
    [
        *([], [AIMessage("Hello")], [SystemMessage("Be brief"), HumanMessage(ASKED)], "", {"q": "?"}),
        *(None, 7, b"Hello", HumanMessage(ASKED), ChatPromptValue(messages=[HumanMessage(ASKED)])),
    ],
)
def test_other_input_is_refused(chain: DomainChain, given_input: Any) -> None:
    with pytest.raises(ChainError):
        chain.as_messages().invoke(given_input)


def test_a_chain_in_parts_is_all_that_is_needed(chain: DomainChain) -> None:
    assert AnswerMessages(chain).invoke(ASKED).text == SAID
    assert (AnswerMessages(chain) | (lambda message: message.text)).invoke(ASKED) == SAID


def test_an_exchange_that_was_kept_without_spans_is_still_a_message() -> None:
    old = {
        "title": "Cards", "quote": "It is free.", "doc_id": "cards", "start": 3, "end": 14, "heading": "", "page": None,
        "passage_id": "p", "support": 1.0, "sentence": "Free.",
    }  # fmt: skip
    _, answer = thread_messages([{"question": "?", "answer": "Free.", "citations": [old]}])
    [found] = answer.content_blocks[0]["annotations"]  # type: ignore[typeddict-item]
    assert "start_index" not in found
    assert found["cited_text"] == "It is free."


@given(
    st.lists(
        st.sampled_from(["年费八十元。", "境外取现另收3元！", "🙂", "𠀀𠀀", "e\u0301", "\n", " ", "Free!"]), max_size=9
    )
)
def test_annotations_count_code_points(pieces: list[str]) -> None:
    text = "信用卡的年费八十元。境外取现另收3元！"
    answer = "".join(pieces)
    found = [annotation(asdict(one)) for one in cite(answer, [Passage("p", "z", "", "", text, 5, 5 + len(text))])]
    for one in found:
        assert answer[one["start_index"] : one["end_index"]].endswith(("。", "！"))
        assert text[one["extras"]["start"] - 5 : one["extras"]["end"] - 5] == one["cited_text"]
