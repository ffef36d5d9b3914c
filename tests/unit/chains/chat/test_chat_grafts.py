"""One chat model over one backbone serves many grafts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from chains import ChatGraft, InputError, SoftPromptChat
from chains.messages.content import from_messages, soft_block
from soft_prompt import PrefixStore, SlotFill, from_text_twin, tokenize_prompt

# Left out of `make check`.
pytestmark = pytest.mark.heavy

MESSAGES: list[BaseMessage] = [
    SystemMessage(["You help. ", soft_block("domain")]),  # type: ignore[list-item]
    HumanMessage("How much is it abroad?"),
]
BANK, CLINIC = "You speak for a bank about cards and fees.", "You speak for a clinic and its doctors."


@pytest.fixture
def grafts(store: PrefixStore) -> dict[str, ChatGraft | Mapping[str, SlotFill]]:
    return {
        "bank": {"domain": from_text_twin(store.backbone, "domain", BANK)},
        "clinic": ChatGraft({"domain": CLINIC}),
        "empty": {"domain": None},
    }


@pytest.fixture
def chat(store: PrefixStore, grafts: Any) -> SoftPromptChat:
    return SoftPromptChat(store=store, grafts=grafts, graft="bank", max_tokens=12)


def test_each_graft_answers_as_a_model_of_its_own(store: PrefixStore, chat: SoftPromptChat, grafts: Any) -> None:
    replies = {}
    for name, fills in {"bank": {"domain": BANK}, "clinic": {"domain": CLINIC}, "empty": {"domain": None}}.items():
        own = SoftPromptChat(store=store, fills=fills, graft=name, max_tokens=12).invoke(MESSAGES)
        found = chat.invoke(MESSAGES, graft=name)
        assert found.content == own.content
        assert found.response_metadata["graft"] == name
        replies[name] = found.content
    assert len(set(replies.values())) == 3
    assert chat.invoke(MESSAGES).content == replies["bank"]
    assert chat.bind(graft="clinic").invoke(MESSAGES).content == replies["clinic"]


def test_a_batch_of_different_grafts_stays_right(chat: SoftPromptChat) -> None:
    names = ["bank", "clinic", "empty", "bank", "clinic"]
    alone = {name: chat.invoke(MESSAGES, graft=name).content for name in set(names)}
    bound = {name: chat.bind(graft=name) for name in set(names)}
    together = (bound["bank"] | (lambda m: m.content)).batch([MESSAGES] * 3)
    assert together == [alone["bank"]] * 3
    from langchain_core.runnables import RunnableParallel

    many = RunnableParallel({f"{number}": bound[name] for number, name in enumerate(names)}).invoke(MESSAGES)
    assert [many[f"{number}"].content for number in range(len(names))] == [alone[name] for name in names]


def test_a_slot_without_a_fill_is_an_error_and_not_silently_empty(store: PrefixStore) -> None:
    for chat in (
        SoftPromptChat(store=store, max_tokens=4),
        SoftPromptChat(store=store, fills={"other": BANK}, max_tokens=4),
        SoftPromptChat(store=store, grafts={"bank": {}}, graft="bank", max_tokens=4),
    ):
        prompt = from_messages(MESSAGES)
        for call in (chat.invoke, chat.bind(seed=1).invoke, lambda m: list(chat.stream(m))):  # noqa: B023
            with pytest.raises(InputError, match="the soft slot domain in the prompt"):
                call(MESSAGES)
        for ready in (prompt, tokenize_prompt(store.backbone, prompt)):
            with pytest.raises(InputError, match="the soft slot domain in the prompt"):
                chat.reply_many([ready])
            with pytest.raises(InputError, match="the soft slot domain in the prompt"):
                chat.fits(ready)
        assert chat.invoke("No slot here.").text


def test_a_graft_sets_its_attention(store: PrefixStore) -> None:
    chat = SoftPromptChat(store=store, grafts={"a": ChatGraft({}, "block"), "b": {}}, graft="b", max_tokens=4)
    assert chat._graft_fills("a") == ({}, "block")
    assert chat._graft_fills("b") == ({}, "exact")


def test_an_unknown_graft_names_those_there_are(chat: SoftPromptChat) -> None:
    with pytest.raises(InputError, match="the graft 'bonk'") as caught:
        chat.invoke(MESSAGES, graft="bonk")
    assert "bank, clinic, empty" in caught.value.expected


def test_graft_names_are_unique(store: PrefixStore) -> None:
    with pytest.raises(InputError, match="both in `fills` and in `grafts`"):
        SoftPromptChat(store=store, fills={"domain": BANK}, graft="bank", grafts={"bank": {}})


def test_the_model_can_be_named_and_no_other(chat: SoftPromptChat) -> None:
    assert chat.invoke(MESSAGES, model="tiny").response_metadata["model_name"] == "tiny"
    with pytest.raises(InputError, match="model='gpt"):
        chat.invoke(MESSAGES, model="gpt-5")


def test_an_unknown_field_is_refused(store: PrefixStore) -> None:
    with pytest.raises(InputError, match="unknown field temprature"):
        SoftPromptChat(store=store, temprature=1)  # type: ignore[call-arg]
    # LangChain offers these to every chat model; one that runs here has no use for them.
    SoftPromptChat(store=store, timeout=3, max_retries=2, api_key="x", streaming=True)  # type: ignore[call-arg]


def test_tokens_are_counted_by_the_backbones_own_tokenizer(chat: SoftPromptChat) -> None:
    assert chat.get_num_tokens("How much?") == len(chat.store.backbone.encode_text("How much?"))


def test_a_cached_reply_belongs_to_what_filled_the_slots(store: PrefixStore) -> None:
    start = from_text_twin(store.backbone, "domain", BANK)
    trained = start.with_tensors({"vectors": start.vectors + 0.5 * torch.randn_like(start.vectors)})
    fills: dict[str, Mapping[str, SlotFill]] = {
        "untrained": {"domain": start}, "trained": {"domain": trained}, "words": {"domain": CLINIC},
    }  # fmt: skip

    def ask(fill: Mapping[str, SlotFill], cache: InMemoryCache | bool) -> AIMessage:
        return SoftPromptChat(store=store, fills=fill, graft="soft", max_tokens=12, cache=cache).invoke(MESSAGES)

    told = {name: ask(fill, False).content for name, fill in fills.items()}
    assert len(set(told.values())) == 3
    cache = InMemoryCache()
    assert {name: ask(fill, cache).content for name, fill in fills.items()} == told
    # From the cache a reply has cost nothing; the same soft prompt read a second time is the same.
    again = ask({"domain": replace(trained)}, cache)
    assert (again.content, again.usage_metadata["total_cost"]) == (told["trained"], 0)  # type: ignore[index,typeddict-item]
