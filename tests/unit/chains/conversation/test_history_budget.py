"""The history budget: which turns the model reads, which are dropped or summarised, and the notices about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.messages import SystemMessage
from langchain_core.runnables import RunnableConfig
from pydantic import Field

from chains import DomainChain, LocalSpeaker, SoftPromptChat
from chains.answering.history import (
    HistoryBudget,
    Summary,
    history_window,
    messages_to_summarise,
    newest_turns,
    split_turns,
    total_tokens,
    without_oldest_turn,
)
from prompts import TemplateFile, Turn, find_template
from retrieval import Index
from soft_prompt import Backbone, PrefixStore
from tests.support.small_bank import SCALE, ScriptedChat, make_answering

# Left out of `make check`.
pytestmark = pytest.mark.heavy

MakeChain = Callable[..., DomainChain]
THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


def words(text: str) -> int:
    return len(text.split())


def talk(*lengths: int) -> list[Turn]:
    """Turns with the given numbers of words, of which the question has one."""
    return [
        turn
        for number, length in enumerate(lengths)
        for turn in (Turn("user", f"q{number}"), Turn("assistant", " ".join(["a"] * (length - 1))))
    ]


def asked(turns: list[Turn]) -> list[str]:
    return [turn.text for turn in turns if turn.role == "user"]


# The rules


@pytest.mark.parametrize(
    ("turns", "tokens", "kept"),
    [
        (3, 100, ["q1", "q2", "q3"]),
        (9, 100, ["q0", "q1", "q2", "q3"]),
        (9, 20, ["q2", "q3"]),
        (9, 19, ["q3"]),
        (9, 9, []),
        (0, 100, []),
        (9, 0, []),
    ],
)
def test_the_newest_whole_turns_are_kept(turns: int, tokens: int, kept: list[str]) -> None:
    messages = newest_turns(talk(10, 10, 10, 10), HistoryBudget(turns, tokens), words)
    assert asked(messages) == kept
    assert total_tokens(messages, words) <= tokens
    # A history within the budget is not changed.
    assert newest_turns(messages, HistoryBudget(turns, tokens), words) == messages


def test_turns_before_one_that_exceeds_the_budget_are_dropped() -> None:
    assert asked(newest_turns(talk(5, 50, 5), HistoryBudget(9, 20), words)) == ["q2"]


def test_a_turn_starts_with_a_user_message() -> None:
    messages = [Turn("assistant", "hello"), Turn("user", "a"), Turn("user", "b"), Turn("assistant", "c")]
    assert [[message.text for message in turn] for turn in split_turns(messages)] == [["hello"], ["a"], ["b", "c"]]


def test_more_than_necessary_is_summarised_so_that_the_next_turns_fit() -> None:
    budget = HistoryBudget(4, 100)
    assert messages_to_summarise(talk(10, 10, 10, 10), None, budget, words) == []
    assert asked(messages_to_summarise(talk(10, 10, 10, 10, 10), None, budget, words)) == ["q0", "q1", "q2"]
    summary = Summary("sum up", "in short", 3)
    assert messages_to_summarise(talk(*[10] * 6), summary, budget, words) == []
    assert asked(messages_to_summarise(talk(*[10] * 7), summary, budget, words)) == ["q3", "q4"]


def test_the_turns_of_a_window_are_counted() -> None:
    window = history_window(talk(10, 10, 10), None, HistoryBudget(2, 100), words)
    assert (
        asked(window.messages), window.total, window.verbatim, window.summarised, window.tokens, window.dropped,
    ) == (
        ["q1", "q2"], 3, 2, 0, 20, 0,
    )  # fmt: skip
    window = history_window(talk(10, 10, 10), None, HistoryBudget(3, 15), words)
    assert (window.verbatim, window.tokens, window.dropped) == (1, 10, 2)
    summary = Summary("sum up", "in short", 2)
    window = history_window(talk(10, 10, 10), summary, HistoryBudget(3, 100), words)
    assert (asked(window.messages), window.verbatim, window.summarised, window.tokens) == (["sum up", "q2"], 1, 2, 14)


def test_a_shortened_window_is_counted_again() -> None:
    window = history_window(talk(10, 10, 10), Summary("sum up", "in short", 1), HistoryBudget(9, 100), words)
    assert (window.verbatim, window.summarised) == (2, 1)
    assert window.shortened(window.messages, words) is window
    shorter = window.shortened(without_oldest_turn(without_oldest_turn(window.messages)), words)
    assert asked(shorter.messages) == ["q2"]
    assert (shorter.verbatim, shorter.summarised, shorter.tokens) == (1, 0, 10)
    assert window.shortened([], words).counts == {
        "exchanges": 3, "read": 0, "summarised": 0, "tokens": 0,
    }  # fmt: skip


# In the chain


def history_read(chat: ScriptedChat) -> list[list[str]]:
    """The messages between system message and question, for each call of the model."""
    return [[str(message.content) for message in messages[1:-1]] for messages in chat.seen]


def ask(chain: DomainChain, number: int) -> dict[str, Any]:
    return chain.invoke({"question": f"What is card fee number {number} in euros?"}, THREAD)


def test_turns_beyond_the_token_budget_are_dropped_with_a_notice(make_chain: MakeChain) -> None:
    chat = ScriptedChat(answer=lambda question: "It costs 12 euros.")
    chain = make_chain(chat, history_turns=9, history_tokens=30)
    count = chain.answering.count_tokens
    found = [ask(chain, number) for number in range(4)]
    one = count("What is card fee number 0 in euros?") + count("It costs 12 euros.")
    fitting = 30 // one
    assert 1 <= fitting < 3
    for number, messages in enumerate(history_read(chat)):
        assert len(messages) == 2 * min(number, fitting)
        assert sum(map(count, messages)) <= 30
    dropped = 3 - fitting
    earlier = "1 earlier turn was" if dropped == 1 else f"{dropped} earlier turns were"
    notice = f"{earlier} left out, the oldest first: they exceed `history_tokens: 30`"
    assert found[3]["notices"] == [notice]
    assert found[0]["notices"] == []
    kept = chain.history("1")[3]
    assert kept["history"] == {"exchanges": 3, "read": fitting, "summarised": 0, "tokens": fitting * one}
    assert kept["notices"] == [notice]


def test_the_turn_limit_drops_turns_without_a_notice(make_chain: MakeChain, chat: ScriptedChat) -> None:
    chain = make_chain(chat, history_turns=1)
    assert [ask(chain, number)["notices"] for number in range(3)] == [[], [], []]
    assert [len(turns) for turns in history_read(chat)] == [0, 2, 2]
    assert chain.history("1")[2]["history"]["exchanges"] == 2


def test_an_earlier_question_beyond_the_budget_still_helps_the_search(
    make_chain: MakeChain, chat: ScriptedChat
) -> None:
    chain = make_chain(chat, history_tokens=0)
    ask(chain, 1)
    found = chain.invoke({"question": "Is it so?"}, THREAD)
    assert found["query"] == "What is card fee number 1 in euros? Is it so?"
    assert history_read(chat)[1] == []


def test_the_evidence_of_a_follow_up_is_not_searched_for_again(
    make_chain: MakeChain, chat: ScriptedChat, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = make_chain(chat)
    ask(chain, 1)
    encoded: list[list[str]] = []
    encode = index.encoder.encode_queries
    monkeypatch.setattr(index.encoder, "encode_queries", lambda texts: encoded.append(list(texts)) or encode(texts))
    found = chain.invoke({"question": "Would that be so?"}, THREAD)
    assert found["query"] == "What is card fee number 1 in euros? Would that be so?"
    assert [texts for texts in encoded if "Would that be so?" in texts] == [["Would that be so?", found["query"]]]
    assert [found["query"]] not in encoded


class SummarisingChat(ScriptedChat):
    """Writes numbered summaries."""

    sums: list[list[str]] = Field(default_factory=list)
    words: str = "Summary {number}."

    def _stream(self, messages: Any, *rest: Any, **named: Any) -> Any:
        if isinstance(messages[0], SystemMessage) and "notes of a conversation" in str(messages[0].content):
            self.sums.append([str(message.content) for message in messages[1:]])
            scripted = ScriptedChat(answer=lambda _: self.words.format(number=len(self.sums)), pause=self.pause)
            yield from scripted._stream(messages)
            return
        yield from super()._stream(messages, *rest, **named)


REQUEST = (
    "Sum up our conversation so far in at most three short sentences. Keep names, numbers and what I wanted to know."
)


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_summary_is_made_once_and_extended(make_chain: MakeChain, mode: str) -> None:
    chat = SummarisingChat()
    chain = make_chain(chat, history_turns=4, history_tokens=10_000, history_overflow="summarise")
    results = []
    for number in range(9):
        given = {"question": f"What is card fee number {number} in euros?"}
        results.append(chain.invoke(given, THREAD) if mode == "sync" else await chain.ainvoke(given, THREAD))
    questions = [f"What is card fee number {number} in euros?" for number in range(9)]
    # The fifth turn exceeds the limit of four: three are summarised, two stay.
    assert [len(turns) // 2 for turns in history_read(chat)] == [0, 1, 2, 3, 4, 3, 4, 3, 4]
    assert len(chat.sums) == 2
    assert chat.sums[0][0::2] == [*questions[:3], REQUEST]
    # The second summary is made from the first and the turns since.
    assert chat.sums[1][:2] == [REQUEST, "Summary 1."]
    assert chat.sums[1][2::2] == [*questions[3:5], REQUEST]
    assert history_read(chat)[5][:2] == [REQUEST, "Summary 1."]
    assert history_read(chat)[5][2::2] == questions[3:5]
    assert history_read(chat)[8][:2] == [REQUEST, "Summary 2."]
    assert history_read(chat)[8][2::2] == questions[5:8]
    assert [len(result["notices"]) for result in results] == [0, 0, 0, 0, 0, 1, 0, 1, 0]
    assert results[5]["notices"] == ["3 earlier turns were summarised: the history is longer than the model reads"]
    kept = chain.history("1")
    assert [turn["history"]["summarised"] for turn in kept] == [0, 0, 0, 0, 0, 3, 3, 5, 5]
    assert [turn["history"]["read"] for turn in kept] == [0, 1, 2, 3, 4, 2, 3, 2, 3]
    assert chain.conversations.transcript("1")["summary"] == "Summary 2."
    # A summary is neither an answer nor a turn.
    assert all("Summary" not in result["answer"] for result in results)
    assert len(kept) == 9


def test_a_summary_survives_reopening(make_chain: MakeChain) -> None:
    chat = SummarisingChat()
    settings: dict[str, Any] = {"history_turns": 2, "history_overflow": "summarise"}
    first = make_chain(chat, **settings)
    for number in range(4):
        ask(first, number)
    made = len(chat.sums)
    first.close()
    second = make_chain(chat, **settings)
    ask(second, 4)
    assert history_read(chat)[-1][:2] == [REQUEST, f"Summary {len(chat.sums)}."]
    assert len(chat.sums) <= made + 1


def test_the_token_limit_triggers_a_summary_whose_tokens_count(make_chain: MakeChain) -> None:
    chat = SummarisingChat()
    chain = make_chain(chat, history_turns=9, history_tokens=140, history_overflow="summarise")
    for number in range(12):
        ask(chain, number)
    assert 1 < len(chat.sums) < 6
    assert max(sum(map(chain.answering.count_tokens, turns)) for turns in history_read(chat)) <= 140
    assert all(turns[0] == REQUEST for turns in history_read(chat)[-3:])


def test_an_empty_summary_drops_the_turns_with_a_notice(make_chain: MakeChain) -> None:
    chat = SummarisingChat(words=" ")
    chain = make_chain(chat, history_turns=1, history_tokens=1000, history_overflow="summarise")
    found = [ask(chain, number) for number in range(3)]
    assert found[2]["notices"] == ["the model wrote an empty summary of the earlier turns, so they are left out"]
    assert len(history_read(chat)[2]) == 2
    assert chain.conversations.transcript("1")["summary"] is None


def test_a_summary_that_is_too_long_to_be_read_is_reported(make_chain: MakeChain) -> None:
    chat = SummarisingChat(words="Fees, " * 100)
    chain = make_chain(chat, history_turns=2, history_tokens=90, history_overflow="summarise")
    found = [ask(chain, number) for number in range(5)]
    kept = chain.history("1")
    assert len(chat.sums) > 0
    assert not any(REQUEST in turns for turns in history_read(chat))
    notice = "the summary of the earlier turns was left out: it does not fit `history_tokens: 90`"
    assert [notice in result["notices"] for result in found] == [number > 2 for number in range(5)]
    assert [turn["history"]["summarised"] for turn in kept] == [0] * 5


def test_a_history_of_the_caller_is_never_summarised(make_chain: MakeChain) -> None:
    chat = SummarisingChat()
    chain = make_chain(chat, history_turns=2, history_overflow="summarise")
    for number in range(4):
        ask(chain, number)
    made, kept = len(chat.sums), chain.conversations.transcript("1")["summary"]
    given = [(f"question {number} about cards", "yes") for number in range(6)]
    chain.invoke({"question": "What is the card fee in euros?", "history": given}, THREAD)
    assert history_read(chat)[-1] == ["question 4 about cards", "yes", "question 5 about cards", "yes"]
    assert len(chat.sums) == made
    assert chain.conversations.transcript("1")["summary"] == kept


def test_the_chinese_summary_template_is_usable(index: Index) -> None:
    template = TemplateFile(find_template("summarise-history", "zh"))
    answering = replace(make_answering(index, ScriptedChat()), summary_template=template)
    assert answering.summary_template is template
    prompt = template.current().render({"history": [Turn("user", "卡"), Turn("assistant", "费用")]})
    assert [message.role for message in prompt.messages] == ["system", "user", "assistant", "user"]


# The backbone's context


def local_chain(make_chain: MakeChain, backbone: Backbone, **settings: Any) -> DomainChain:
    chat = SoftPromptChat(store=PrefixStore(backbone), fills={"domain": "Be brief."}, max_tokens=16)
    chain = make_chain(LocalSpeaker(chat), evidence_tokens=60, **settings)
    # Tokens are counted by the backbone's tokenizer, as in a domain.
    return DomainChain(
        replace(chain.answering, count_tokens=lambda text: len(backbone.encode_text(text))),
        chain.conversations.path,
    )


@pytest.mark.parametrize("overflow", ["drop", "summarise"])
def test_a_long_history_never_exceeds_the_context(
    make_chain: MakeChain, make_tiny_backbone: Callable[..., Backbone], overflow: str
) -> None:
    backbone = make_tiny_backbone("llama", max_position_embeddings=420)
    chain = local_chain(
        make_chain, backbone, history_turns=99, history_tokens=99_999, history_overflow=overflow, condense="model"
    )
    # The question refers back, so the backbone rewrites it as well.
    long = "And what does it cost? " + "I have lost my card. " * 8
    found = [chain.invoke({"question": long}, THREAD) for _ in range(4)]
    assert all(result["answer"] is not None for result in found)
    full = "the oldest turns of the conversation were left out: the model's context is full"
    if overflow == "drop":
        assert found[-1]["notices"][0] == full
    kept = chain.history("1")[-1]
    assert kept["history"]["read"] < 3
    assert kept["notices"] == found[-1]["notices"]
    chain.close()


def test_history_is_dropped_before_evidence(make_chain: MakeChain, make_tiny_backbone: Callable[..., Backbone]) -> None:
    backbone = make_tiny_backbone("llama", max_position_embeddings=420)
    chain = local_chain(make_chain, backbone, history_turns=9, history_tokens=9999, condense="off")
    alone = chain.invoke({"question": "What does a replacement card cost?"})
    history = [("What does a replacement card cost? " * 8, "I do not know that.")]
    beside = chain.invoke({"question": "What does a replacement card cost?", "history": history})
    assert beside["evidence"] == alone["evidence"]
    assert beside["answer"] == alone["answer"]
    chain.close()


def test_history_tokens_are_counted_by_the_backbone(make_chain: MakeChain, wide_backbone: Backbone) -> None:
    chain = local_chain(make_chain, wide_backbone, history_turns=9, history_tokens=100)
    for _ in range(4):
        ask(chain, 1)
    for turn in chain.history("1"):
        assert turn["history"]["tokens"] <= 100
    last = chain.history("1")
    read = last[3]["history"]["read"]
    texts = [text for turn in last[3 - read : 3] for text in (turn["question"], turn["answer"])]
    assert last[3]["history"]["tokens"] == sum(len(wide_backbone.encode_text(text)) for text in texts)
    assert 0 < read < 3
    chain.close()


def test_a_refusal_has_no_notice_about_history(make_chain: MakeChain, chat: ScriptedChat) -> None:
    chain = make_chain(chat, scale=SCALE)
    ask(chain, 1)
    found = chain.invoke({"question": "Do you treat horses?"}, THREAD)
    assert (found["refused"], found["notices"]) == (True, [])
