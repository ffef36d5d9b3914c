"""Replies as objects: always whole, whatever the backbone would rather say."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from langchain_core.messages import HumanMessage
from pydantic import BaseModel, Field

from chains import CutReplyError, InputError, SoftPromptChat
from soft_prompt import PrefixStore

# Left out of `make check`.
pytestmark = pytest.mark.heavy


class Fee(BaseModel):
    """The fee of a card."""

    card: str = Field(max_length=5)
    pounds: int = Field(ge=0, le=99)


class FeeDict(TypedDict):
    """The fee of a card."""

    pounds: int


QUESTION = [HumanMessage("How much?")]


@pytest.fixture
def chat(store: PrefixStore) -> SoftPromptChat:
    return SoftPromptChat(store=store, max_tokens=4, call_tokens=120)


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_a_class_gives_its_instances(chat: SoftPromptChat, method: str) -> None:
    fees = chat.with_structured_output(Fee, method=method)
    found = fees.invoke(QUESTION)
    assert isinstance(found, Fee)
    # Nothing is given of an object before it is whole.
    assert list(fees.stream(QUESTION)) == [found]


def test_a_schema_gives_dicts_that_grow(chat: SoftPromptChat) -> None:
    found = list(chat.with_structured_output(Fee.model_json_schema()).stream(QUESTION))
    assert len(found) > 1
    assert set(found[-1]) == {"card", "pounds"}
    assert set(chat.with_structured_output(FeeDict).invoke(QUESTION)) == {"pounds"}


async def test_async_gives_the_same(chat: SoftPromptChat) -> None:
    fees = chat.with_structured_output(Fee)
    assert await fees.ainvoke(QUESTION) == fees.invoke(QUESTION)
    assert [piece async for piece in fees.astream(QUESTION)] == [fees.invoke(QUESTION)]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize("schema", [Fee, Fee.model_json_schema()])
def test_a_cut_reply_is_an_error_and_never_filled_up(chat: SoftPromptChat, method: str, schema: Any) -> None:
    cut = chat.with_structured_output(schema, method=method, max_tokens=8)
    with pytest.raises(CutReplyError, match="cut at max_tokens"):
        cut.invoke(QUESTION)
    with pytest.raises(CutReplyError, match="cut at max_tokens"):
        list(cut.stream(QUESTION))
    raw = chat.with_structured_output(schema, method=method, max_tokens=8, include_raw=True).invoke(QUESTION)
    assert isinstance(raw["parsing_error"], CutReplyError)
    assert raw["parsed"] is None
    assert raw["raw"].response_metadata["finish_reason"] == "length"


def test_a_stop_text_inside_is_an_error_too(chat: SoftPromptChat) -> None:
    with pytest.raises(CutReplyError, match="by a stop text"):
        chat.with_structured_output(Fee, stop=["pounds"]).invoke(QUESTION)


def test_the_raw_message_is_included(chat: SoftPromptChat) -> None:
    found = chat.with_structured_output(Fee, include_raw=True).invoke(QUESTION)
    assert found["parsing_error"] is None
    assert found["parsed"] == Fee.model_validate_json(found["raw"].text)


@pytest.mark.parametrize(
    ("schema", "settings", "said"),
    [
        (Fee, {"method": "xml"}, "method='xml'"),
        (7, {}, "the schema 7"),
        (7, {"method": "function_calling"}, "the schema 7"),
        (Fee, {"colour": 1}, "unknown setting colour"),
    ],
)
def test_what_cannot_be_is_refused(chat: SoftPromptChat, schema: Any, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        chat.with_structured_output(schema, **settings)
