"""Every parameter of a request is honoured, or refused by its name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_server import QUESTION, QUOTE, LiveServer, ask, running, two_domains
from openai import BadRequestError

pytestmark = [pytest.mark.enable_socket, pytest.mark.allow_hosts(["127.0.0.1"])]

TOOL = {
    "type": "function",
    "function": {
        "name": "lock_card",
        "description": "Lock a card.",
        "parameters": {
            "type": "object",
            "properties": {"kind": {"type": "string", "enum": ["debit", "credit"]}},
            "required": ["kind"],
            "additionalProperties": False,
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"fee": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["fee"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, backbone_folders: tuple[Path, Path]) -> Iterator[LiveServer]:
    with running(two_domains(tmp_path_factory.mktemp("parameters"), backbone_folders[0]), answer_tokens=100) as server:
        yield server


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"logprobs": True}, "logprobs", "invalid_value"),
        ({"top_logprobs": 2}, "top_logprobs", "unsupported_parameter"),
        ({"n": 2}, "n", "invalid_value"),
        ({"frequency_penalty": 0.5}, "frequency_penalty", "invalid_value"),
        ({"presence_penalty": -1}, "presence_penalty", "invalid_value"),
        ({"logit_bias": {"50256": -100}}, "logit_bias", "invalid_value"),
        ({"store": True}, "store", "invalid_value"),
        ({"reasoning_effort": "high"}, "reasoning_effort", "unsupported_parameter"),
        ({"extra_body": {"top_k": 5}}, "top_k", "unsupported_parameter"),
        ({"modalities": ["audio"]}, "modalities[0]", "invalid_value"),
        ({"service_tier": "flex"}, "service_tier", "invalid_value"),
        ({"temperature": -1}, "temperature", "invalid_value"),
        ({"top_p": 0}, "top_p", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": 101}, "max_tokens", None),
        ({"max_completion_tokens": 101}, "max_completion_tokens", None),
        ({"stop": ["a", "b", "c", "d", "e"]}, None, "invalid_value"),
        ({"metadata": {"thread_id": ""}}, "metadata.thread_id", None),
        ({"metadata": {"thread_id": "1"}, "tools": [TOOL]}, "metadata.thread_id", None),
        ({"tool_choice": "required"}, None, "invalid_value"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "invalid_value"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        ({"extra_body": {"stream_options": {"include_usage": True}}}, None, "invalid_value"),
    ],
)
def test_a_parameter_that_is_not_supported_is_refused_by_name(
    live: LiveServer, given: dict[str, Any], param: str | None, code: str | None
) -> None:
    with pytest.raises(BadRequestError) as raised:
        ask(live.client(), **given)
    error = raised.value
    assert isinstance(error.body, dict)
    assert set(error.body) == {"message", "type", "param", "code"}
    if param is None:
        [name] = given.get("extra_body", given)
        assert name in error.body["message"] or name in (error.param or "")
    else:
        assert error.param == param
    assert error.type == "invalid_request_error"
    assert error.code == (code or "invalid_request")


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ([{"role": "assistant", "content": "Hello"}], "messages"),
        ([{"role": "user", "content": "  "}], "messages"),
        ([{"role": "critic", "content": "Hello"}], "messages[0]"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}], "messages[0].content"),
        ([{"role": "user", "content": "Hi", "weight": 1}], "messages[0].weight"),
        (
            [{"role": "tool", "content": "1", "tool_call_id": "a"}, {"role": "user", "content": QUESTION}],
            "messages[0]",
        ),
    ],
)
def test_messages_that_cannot_be_read_are_refused(live: LiveServer, messages: list[Any], param: str) -> None:
    with pytest.raises(BadRequestError) as raised:
        live.client().chat.completions.create(model="words", messages=messages)
    assert raised.value.param == param


def test_parameters_that_ask_for_nothing_are_accepted(live: LiveServer) -> None:
    given = {
        "n": 1, "logprobs": False, "frequency_penalty": 0, "presence_penalty": 0, "store": False, "user": "anna",
        "service_tier": "auto", "modalities": ["text"], "metadata": {"app": "test"}, "logit_bias": {},
        "response_format": {"type": "text"}, "temperature": None, "stream_options": None, "tools": [],
    }  # fmt: skip
    assert QUOTE in ask(live.client(), **given).choices[0].message.content


def test_decoding_settings_reach_the_model(live: LiveServer) -> None:
    client = live.client()

    def text(**options: Any) -> str:
        content: str = ask(client, "words", **options).choices[0].message.content
        return content

    short = ask(client, "words", max_tokens=3)
    assert (short.usage.completion_tokens, short.choices[0].finish_reason) == (3, "length")
    assert ask(client, "words", max_completion_tokens=20).usage.completion_tokens <= 20
    greedy = text(temperature=0)
    assert greedy == text()
    sampled = {seed: text(temperature=2, seed=seed) for seed in (1, 2)}
    assert sampled[1] == text(temperature=2, seed=1)
    assert sampled[1] != sampled[2]
    # With so small a nucleus, sampling takes the likeliest token.
    assert text(temperature=2, top_p=1e-6) == greedy
    middle = greedy[len(greedy) // 2]
    stopped = ask(client, "words", stop=[middle])
    assert stopped.choices[0].message.content == greedy[: greedy.index(middle)].rstrip()
    assert stopped.choices[0].finish_reason == "stop"


def test_a_system_message_precedes_the_template(live: LiveServer) -> None:
    plain = ask(live.client(), "words")
    longer = live.client().chat.completions.create(
        model="words",
        messages=[{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": QUESTION}],
    )
    assert longer.usage is not None
    assert longer.usage.prompt_tokens > plain.usage.prompt_tokens


def test_json_follows_its_schema(live: LiveServer) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "fee", "schema": SCHEMA, "strict": True}}
    for model in ("words", "quotes"):
        reply = ask(live.client(), model, response_format=form, max_tokens=40)
        assert set(json.loads(reply.choices[0].message.content)) == {"fee"}


def test_a_forced_tool_is_called(live: LiveServer) -> None:
    client = live.client()
    choice = {"type": "function", "function": {"name": "lock_card"}}
    reply = ask(client, "words", tools=[TOOL], tool_choice=choice)
    assert reply.choices[0].finish_reason == "tool_calls"
    [call] = reply.choices[0].message.tool_calls
    assert call.function.name == "lock_card"
    assert json.loads(call.function.arguments)["kind"] in ("debit", "credit")
    assert reply.usage.completion_tokens > 0
    *_, last = ask(client, "words", tools=[TOOL], tool_choice="required", stream=True)
    assert last.choices[0].delta.tool_calls[0].function.name == "lock_card"
    # The client's next request has the call and its result.
    messages = [
        {"role": "user", "content": QUESTION},
        reply.choices[0].message.model_dump(),
        {"role": "tool", "tool_call_id": call.id, "content": "It is locked."},
    ]
    answered = client.chat.completions.create(model="words", messages=messages, tools=[TOOL], max_tokens=5)  # type: ignore[call-overload]
    assert answered.usage.completion_tokens == 5


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"input": []}, "input"),
        ({"input": " "}, "input"),
        ({"input": [[1, 2, 3]]}, "input"),
        ({"input": "word " * 400}, "input"),
        ({"input": "card", "dimensions": 3}, "dimensions"),
        ({"input": "card", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "card", "priority": 1}, "priority"),
    ],
)
def test_embeddings_refuse_what_they_do_not_do(live: LiveServer, given: dict[str, Any], param: str) -> None:
    with live.http() as http:
        response = http.post("/v1/embeddings", json={"model": "quotes", **given})
    assert response.status_code == 400
    assert response.json()["error"]["param"].split(".")[0].split("[")[0] == param


def test_a_body_that_is_no_request_is_refused(live: LiveServer) -> None:
    with live.http() as http:
        headers = {"Content-Type": "application/json"}
        for body in (b"", b"{", b"[]", b"null", b'{"model": NaN}', b"[" * 100_000, b'{"model": "\\ud800"}', b"\xff"):
            response = http.post("/v1/chat/completions", content=body, headers=headers)
            assert (response.status_code, body) == (400, body)
            assert response.json()["error"]["type"] == "invalid_request_error"
        assert http.get("/v1/chat/completions").status_code == 405
        assert http.get("/v1/nothing").json()["error"]["code"] == "not_found"
