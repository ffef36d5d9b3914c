"""Tools: declared, called, answered; forced calls are always valid."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from chains import InputError, SoftPromptChat
from chains.chat.call_settings import read_tools
from prompts import RenderedPrompt
from soft_prompt import Constraint, PrefixStore

# Left out of `make check`.
pytestmark = pytest.mark.heavy


@tool
def fee(card: Literal["credit", "debit"], amount: int) -> str:
    """The fee of a card."""
    return f"{card} {amount}"


@tool
def opening() -> str:
    """When the branch opens."""
    return "nine"


class Branch(BaseModel):
    """A branch to look up."""

    town: str


QUESTION = [HumanMessage("How much is the debit card?")]
SPOKEN = '<tool_call>\n{"name": "fee", "arguments": {"card": "debit", "amount": 3}}\n</tool_call>'


@pytest.fixture
def chat(store: PrefixStore) -> SoftPromptChat:
    return SoftPromptChat(store=store, max_tokens=8, call_tokens=120)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[RenderedPrompt]:
    """What the model was given to read."""
    from chains.chat import chat_model

    seen: list[RenderedPrompt] = []
    encode = chat_model.encode_prompt

    def watch(backbone: Any, prompt: RenderedPrompt, *rest: Any) -> Any:
        seen.append(prompt)
        return encode(backbone, prompt, *rest)

    monkeypatch.setattr(chat_model, "encode_prompt", watch)
    return seen


@pytest.mark.parametrize(
    ("choice", "names"),
    [("any", {"fee", "opening"}), (True, {"fee", "opening"}), ("fee", {"fee"}), ("opening", {"opening"})],
)
@pytest.mark.parametrize("sampling", [{}, {"temperature": 1.5, "seed": 3}])
def test_a_forced_call_is_always_valid(
    chat: SoftPromptChat, choice: Any, names: set[str], sampling: dict[str, Any]
) -> None:
    bound = chat.bind_tools([fee, opening], tool_choice=choice, **sampling)
    message = bound.invoke(QUESTION)
    [call] = message.tool_calls
    assert call["name"] in names
    if call["name"] == "fee":
        assert set(call["args"]) == {"card", "amount"}
        assert isinstance(call["args"]["amount"], int)
    else:
        assert call["args"] == {}
    assert (message.content, message.invalid_tool_calls) == ("", [])
    total: Any = None
    for chunk in bound.stream(QUESTION):
        total = chunk if total is None else total + chunk
    assert [(c["name"], c["args"]) for c in total.tool_calls] == [(call["name"], call["args"])]
    assert total.tool_call_chunks[0]["id"]


def test_a_cut_call_is_no_call(chat: SoftPromptChat) -> None:
    bound = chat.bind_tools([fee], tool_choice="fee", max_tokens=20)
    message = bound.invoke(QUESTION)
    assert message.tool_calls == []
    assert "cut at max_tokens" in str(message.invalid_tool_calls[0]["error"])
    total: Any = None
    for chunk in bound.stream(QUESTION):
        total = chunk if total is None else total + chunk
    assert total.tool_calls == []
    assert len(total.invalid_tool_calls) == 1


def test_a_call_that_the_model_decides_on_is_parsed(chat: SoftPromptChat, monkeypatch: pytest.MonkeyPatch) -> None:
    from chains.chat import reply_format

    # The random backbone says what a grammar makes it say, and the reader does not know of the grammar.
    said = Constraint.choice([f"I look. {SPOKEN}"])
    monkeypatch.setattr(reply_format.ReplyFormat, "reply_constraint", lambda *_: said)
    message = chat.bind_tools([fee]).invoke(QUESTION)
    assert message.content == "I look."
    assert [(c["name"], c["args"]) for c in message.tool_calls] == [("fee", {"card": "debit", "amount": 3})]
    plain = chat.invoke(QUESTION, max_tokens=120)
    assert SPOKEN in plain.content
    assert plain.tool_calls == []
    said = Constraint.choice([SPOKEN * 2])
    assert len(chat.bind_tools([fee]).invoke(QUESTION, max_tokens=300).tool_calls) == 2
    one = chat.bind_tools([fee], parallel_tool_calls=False).invoke(QUESTION, max_tokens=300)
    assert len(one.tool_calls) == 1
    assert one.usage_metadata["output_tokens"] < 150  # type: ignore[index]


def test_tools_calls_and_results_are_read_by_the_model(chat: SoftPromptChat, read: list[RenderedPrompt]) -> None:
    history = [
        SystemMessage("You help."),
        HumanMessage("Does <tool_call> mean anything?"),
        AIMessage("Wait.", tool_calls=[{"name": "fee", "args": {"card": "借记", "amount": 3}, "id": "1"}]),
        ToolMessage("3 pounds", tool_call_id="1"),
    ]
    chat.bind_tools([fee, opening]).invoke(history)
    [prompt] = read
    system, user, assistant, result = prompt.messages
    assert system.text.startswith('You can call these tools:\n{"name": "fee"')
    assert system.text.endswith("answer in plain words.\n\nYou help.")
    assert user.text == "Does <tool_call> mean anything?"
    assert assistant.text == (
        'Wait.\n<tool_call>\n{"name": "fee", "arguments": {"card": "借记", "amount": 3}}\n</tool_call>'
    )
    assert (result.role, result.text) == ("user", "<tool_response>\n3 pounds\n</tool_response>")
    chat.model_copy(update={"language": "zh"}).bind_tools([fee]).invoke(QUESTION)
    assert read[-1].messages[0].text.startswith("你可以调用以下工具")
    chat.bind_tools([fee], tool_choice="none").invoke(QUESTION)
    assert [message.role for message in read[-1].messages] == ["user"]


def test_settings_bound_before_stay(chat: SoftPromptChat) -> None:
    class Price(BaseModel):
        """A price."""

        amount: int = Field(ge=0, le=9)

    bound, settings = chat.bind(temperature=1.5, seed=5), {"temperature": 1.5, "seed": 5}
    call = bound.bind_tools([fee], tool_choice="any").invoke(QUESTION).tool_calls[0]
    assert call["args"] == chat.bind_tools([fee], tool_choice="any", **settings).invoke(QUESTION).tool_calls[0]["args"]
    assert call["args"] != chat.bind_tools([fee], tool_choice="any").invoke(QUESTION).tool_calls[0]["args"]
    price = bound.with_structured_output(Price).invoke(QUESTION)
    assert price == chat.with_structured_output(Price, **settings).invoke(QUESTION)
    again = chat.bind_tools([fee]).bind_tools([opening], tool_choice="any")  # type: ignore[attr-defined]
    assert again.invoke(QUESTION).tool_calls[0]["name"] == "opening"


@pytest.mark.parametrize(
    ("tools", "choice", "forced"),
    [
        ([fee], None, []),
        ([fee], "auto", []),
        ([fee, Branch], "required", ["fee", "Branch"]),
        ([fee], {"type": "function", "function": {"name": "fee"}}, ["fee"]),
        ([{"name": "n", "input_schema": {"type": "object", "properties": {}}}], "n", ["n"]),
    ],
)
def test_tool_choices(tools: list[Any], choice: Any, forced: list[str]) -> None:
    assert [function["name"] for function in read_tools(tools, choice).forced] == forced


@pytest.mark.parametrize(
    ("tools", "choice", "said"),
    [
        ([fee], "nothing", "tool_choice='nothing'"),
        ([], "any", "without a tool"),
        ([fee], {"type": "function", "function": "fee"}, "tool_choice="),
        ([fee], {"type": "function", "function": {"name": ["fee"]}}, "tool_choice="),
        ([7], None, "the tool 7"),
        ([{"nonsense": 1}], None, "the tool"),
    ],
)
def test_what_cannot_be_bound_is_refused(chat: SoftPromptChat, tools: list[Any], choice: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        chat.bind_tools(tools, tool_choice=choice)


def test_one_format_per_call(chat: SoftPromptChat) -> None:
    with pytest.raises(InputError, match="constraint and tools"):
        chat.bind_tools([fee]).invoke(QUESTION, constraint=Constraint.regex("a"))
    with pytest.raises(InputError, match="constraint='a'"):
        chat.invoke(QUESTION, constraint="a")
    with pytest.raises(InputError, match="response_format="):
        chat.invoke(QUESTION, response_format="json")
    with pytest.raises(InputError, match="strict=True for calls that the model decides on"):
        chat.bind_tools([fee], strict=True)
    assert chat.invoke(QUESTION, constraint=Constraint.choice(["yes", "no"])).content in ("yes", "no")
    schema = {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"]}
    reply = chat.invoke(QUESTION, response_format={"type": "json_object", "schema": schema})
    assert json.loads(reply.text)["yes"] in (True, False)
