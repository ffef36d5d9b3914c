"""The chat model over a backbone: LangChain's calls give what the engine gives."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage

from chains import InputError, SoftPromptChat
from chains.messages.content import from_messages, to_messages
from prompts import PassageInput, RenderedPrompt, Turn, find_template, load_template
from soft_prompt import Decoding, PrefixStore, Row, SoftPromptError, encode_prompt, from_text_twin, generate

# Left out of `make check`.
pytestmark = pytest.mark.heavy

TEMPLATE = load_template(find_template("rag-chat"))
TWIN = TEMPLATE.text_twin("domain")
PROMPT = TEMPLATE.render(
    {
        "question": "How much is it abroad?",
        "context": [PassageInput("p1", "Card fees", "Abroad", "It costs 3 euros.")],
        "history": [Turn("user", "Hello"), Turn("assistant", "Good day")],
    }
)
MESSAGES = to_messages(PROMPT)


@pytest.fixture
def soft(store: PrefixStore) -> SoftPromptChat:
    fills = {"domain": from_text_twin(store.backbone, "domain", TWIN, 8)}
    return SoftPromptChat(store=store, fills=fills, graft="soft", max_tokens=24)


def row(chat: SoftPromptChat, prompt: RenderedPrompt = PROMPT) -> Row:
    return encode_prompt(chat.store.backbone, prompt, chat.fills)


def summed(chunks: list[BaseMessage]) -> AIMessageChunk:
    total = chunks[0]
    for chunk in chunks[1:]:
        total = total + chunk  # type: ignore[assignment]
    assert isinstance(total, AIMessageChunk)
    return total


def test_a_reply_is_what_the_engine_decodes(soft: SoftPromptChat) -> None:
    message = soft.invoke(MESSAGES)
    [reply] = generate(soft.store, [row(soft)], Decoding(max_tokens=24))
    assert isinstance(message, AIMessage)
    assert message.content == reply.text
    assert len(reply.text) > 5


def test_usage_and_response_metadata(soft: SoftPromptChat) -> None:
    message = soft.invoke(MESSAGES, max_tokens=3)
    encoded = row(soft)
    assert message.usage_metadata == {
        "input_tokens": encoded.length,
        "output_tokens": 3,
        "total_tokens": encoded.length + 3,
        "input_token_details": {"cache_read": len(encoded.prefix)},
    }
    assert len(encoded.prefix) > 50
    assert message.response_metadata == {
        "model_name": "tiny",
        "model_provider": "softgraft",
        "graft": "soft",
        "finish_reason": "length",
    }


def test_streamed_pieces_join_to_the_reply(soft: SoftPromptChat) -> None:
    message = soft.invoke(MESSAGES)
    chunks = list(soft.stream(MESSAGES))
    assert len(chunks) > 3
    total = summed(list(chunks))
    assert total.content == message.content
    assert total.usage_metadata == message.usage_metadata
    assert total.response_metadata == message.response_metadata
    assert [chunk.usage_metadata is None for chunk in chunks].count(False) == 1


async def test_async_calls_equal_sync_ones(soft: SoftPromptChat) -> None:
    message = soft.invoke(MESSAGES)
    again = await soft.ainvoke(MESSAGES)
    assert (again.content, again.usage_metadata) == (message.content, message.usage_metadata)
    assert summed([chunk async for chunk in soft.astream(MESSAGES)]).content == message.content


def test_a_batch_equals_single_calls(soft: SoftPromptChat) -> None:
    other = to_messages(TEMPLATE.render({"question": "When?", "context": [], "history": []}))
    alone = [soft.invoke(MESSAGES).content, soft.invoke(other).content]
    assert alone[0] != alone[1]
    assert [message.content for message in soft.batch([MESSAGES, other])] == alone
    told: list[int] = []
    replies = soft.reply_many([PROMPT, from_messages(other)], on_reply=told.append)
    assert [reply.text for reply in replies] == alone
    assert told == [1, 2]


def test_a_reply_ends_at_a_stop_text(soft: SoftPromptChat) -> None:
    text = str(soft.invoke(MESSAGES).content)
    stop = text[4:6]
    wanted = text[: text.index(stop)]
    stopped = soft.invoke(MESSAGES, stop=[stop])
    assert stopped.content == wanted
    assert stopped.response_metadata["finish_reason"] == "stop"
    assert summed(list(soft.stream(MESSAGES, stop=[stop]))).content == wanted
    assert soft.bind(stop=[stop]).invoke(MESSAGES).content == wanted
    own = soft.model_copy(update={"stop": (stop,)})
    assert own.invoke(MESSAGES).content == wanted
    # One given per call does not replace the model's own.
    assert own.invoke(MESSAGES, stop=["never said"]).content == wanted


def test_settings_can_be_given_per_call(soft: SoftPromptChat) -> None:
    assert soft.invoke(MESSAGES, max_tokens=2).usage_metadata["output_tokens"] == 2  # type: ignore[index]
    sampled = {soft.invoke(MESSAGES, temperature=1.5, seed=seed).content for seed in range(4)}
    assert len(sampled) > 1
    first = soft.invoke(MESSAGES, temperature=1.5, seed=3)
    assert soft.invoke(MESSAGES, temperature=1.5, seed=3).content == first.content
    # With so little of the mass to draw from, only the likeliest token is left.
    assert soft.invoke(MESSAGES, temperature=1.5, seed=3, top_p=1e-6).content == soft.invoke(MESSAGES).content


def test_an_unknown_setting_is_refused(soft: SoftPromptChat) -> None:
    with pytest.raises(InputError, match="unknown setting presence_penalty") as caught:
        soft.invoke(MESSAGES, presence_penalty=1)
    assert "max_tokens, seed, temperature, top_p" in caught.value.expected
    with pytest.raises(InputError, match="unknown setting logprobs"):
        next(soft.bind(logprobs=True).stream(MESSAGES))


@pytest.mark.parametrize(
    "settings", [{"temperature": -1}, {"top_p": 0}, {"max_tokens": 0}, {"stop": [""]}, {"temperature": float("nan")}]
)
def test_a_setting_out_of_range_is_refused(soft: SoftPromptChat, settings: dict[str, Any]) -> None:
    with pytest.raises(SoftPromptError, match="decoding settings"):
        soft.invoke(MESSAGES, **settings)


def test_the_fills_decide_what_the_slot_holds(store: PrefixStore) -> None:
    whole = from_text_twin(store.backbone, "domain", TWIN)

    def ask(fills: dict[str, Any]) -> AIMessage:
        return SoftPromptChat(store=store, fills=fills, max_tokens=12).invoke(MESSAGES)

    empty, twin, soft = ask({"domain": None}), ask({"domain": TWIN}), ask({"domain": whole})
    # An untrained soft prompt is its text twin.
    assert (soft.content, soft.usage_metadata) == (twin.content, twin.usage_metadata)
    assert empty.content != twin.content
    tokens = [message.usage_metadata["input_tokens"] for message in (empty, twin)]  # type: ignore[index]
    assert tokens[1] - tokens[0] == whole.length
    cached = [message.usage_metadata["input_token_details"] for message in (empty, twin, soft)]  # type: ignore[index]
    assert cached[0] == cached[1] == cached[2]


def test_callbacks_hear_every_piece(soft: SoftPromptChat) -> None:
    heard: list[str] = []

    class Listener(BaseCallbackHandler):
        def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
            heard.append(token)

    said = [str(chunk.content) for chunk in soft.stream(MESSAGES, {"callbacks": [Listener()]})]
    assert [piece for piece in heard if piece] == [piece for piece in said if piece]


def test_the_weights_are_no_part_of_what_is_shown(soft: SoftPromptChat) -> None:
    assert "store" not in soft.model_dump()
    assert len(repr(soft)) < 500
    assert soft._identifying_params["model"] == "tiny"


def test_a_trace_names_model_and_provider(soft: SoftPromptChat) -> None:
    params = soft._get_ls_params(stop=["."])
    assert (params["ls_provider"], params["ls_model_name"]) == ("softgraft", "tiny")
    assert (params["ls_max_tokens"], params["ls_stop"]) == (24, ["."])
