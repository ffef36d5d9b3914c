"""A chat model behind an API by its name: every setting is taken or refused, and what is missing is named."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest
from langchain_openai import AzureChatOpenAI, ChatOpenAI

from chains import RemoteModelError, remote_chat
from tests.support.small_bank import ScriptedChat

NAME = "openai:small-model"


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "AZURE_OPENAI_API_KEY", "OPENAI_API_VERSION"):
        monkeypatch.delenv(name, raising=False)


def openai(**settings: Any) -> ChatOpenAI:
    chat = remote_chat(NAME, **settings)
    assert isinstance(chat, ChatOpenAI)
    return chat


def test_every_setting_arrives() -> None:
    chat = openai(
        max_tokens=40, temperature=0.5, base_url="http://127.0.0.1:9/v1", timeout=7.0, max_retries=5,
        options={"reasoning_effort": "low", "extra_body": {"top_k": 3}},
    )  # fmt: skip
    assert (chat.model_name, chat.max_tokens, chat.temperature) == ("small-model", 40, 0.5)
    assert (chat.openai_api_base, chat.request_timeout, chat.max_retries) == ("http://127.0.0.1:9/v1", 7, 5)
    assert (chat.reasoning_effort, chat.extra_body) == ("low", {"top_k": 3})
    # Sync and async calls wait for the same time.
    assert chat.stream_chunk_timeout == 7


def test_what_is_left_out_is_the_providers_own_except_for_a_wait_of_ten_minutes() -> None:
    chat = openai()
    assert (chat.max_tokens, chat.temperature, chat.openai_api_base) == (None, None, None)
    assert (chat.request_timeout, chat.max_retries, chat.stream_chunk_timeout) == (60, 2, 60)
    # No retry at all is a choice too.
    assert openai(max_retries=0).max_retries == 0


def test_another_provider_of_a_package_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "secret")
    options = {"azure_endpoint": "https://example.org", "api_version": "2024-10-21"}
    chat = remote_chat("azure_openai:mine", max_tokens=9, temperature=0.0, timeout=4.0, max_retries=1, options=options)
    assert isinstance(chat, AzureChatOpenAI)
    assert (chat.azure_endpoint, chat.max_tokens, chat.temperature) == ("https://example.org", 9, 0.0)
    assert (chat.request_timeout, chat.max_retries) == (4, 1)


@pytest.mark.parametrize(
    ("provider", "package"),
    [("anthropic", "anthropic"), ("ollama", "ollama"), ("google_genai", "google-genai"), ("bedrock", "aws")],
)
def test_a_package_that_is_missing_is_named_with_its_command(
    provider: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"langchain_{package.replace('-', '_')}", None)
    with pytest.raises(RemoteModelError, match="is not installed here") as caught:
        remote_chat(f"{provider}:some-model")
    assert caught.value.next_step == f"pip install langchain-{package}"
    assert not [name for name in sys.modules if name.startswith(("langchain_community", "langchain_classic"))]


def test_an_unknown_provider_gets_the_names_of_the_known() -> None:
    with pytest.raises(RemoteModelError, match="unknown provider 'opanai'") as caught:
        remote_chat("opanai:gpt")
    assert "anthropic" in caught.value.expected
    assert "openai," in caught.value.expected


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"options": {"max_tokens": 3, "timeout": 1}}, "max_tokens, timeout among the options"),
        ({"options": {"reasoning_effort": [3]}}, "reasoning_effort: Input should be a valid string"),
    ],
)
def test_options_that_cannot_be_are_refused(settings: dict[str, Any], found: str) -> None:
    with pytest.raises(RemoteModelError, match=found):
        remote_chat(NAME, **settings)


def test_no_error_repeats_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "secret")
    with pytest.raises(RemoteModelError, match="OPENAI_API_VERSION") as caught:
        remote_chat("azure_openai:mine")
    assert "secret" not in str(caught.value)
    assert "remote.options" in caught.value.next_step


def test_a_key_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(RemoteModelError, match="OPENAI_API_KEY is not set"):
        remote_chat(NAME)


class ChatUpstage(ScriptedChat):
    """A provider's chat model that has another name for the length of a reply, and no timeout."""

    model: str
    temperature: float | None = None
    num_predict: int | None = None


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a model of that provider, as if its package were installed."""
    package = ModuleType("langchain_upstage")
    package.ChatUpstage = ChatUpstage  # type: ignore[attr-defined]
    package.__spec__ = ModuleSpec("langchain_upstage", None)
    monkeypatch.setitem(sys.modules, "langchain_upstage", package)
    return "upstage:its-model"


def test_the_length_of_a_reply_by_the_providers_name_for_it(foreign: str) -> None:
    chat = remote_chat(foreign, max_tokens=40, temperature=0.0)
    assert isinstance(chat, ChatUpstage)
    assert (chat.model, chat.num_predict, chat.temperature) == ("its-model", 40, 0.0)


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"timeout": 3.0}, "remote.timeout_seconds"),
        ({"base_url": "http://127.0.0.1:9"}, "base_url"),
        ({"options": {"keep_alive": 3}}, "remote.options.keep_alive"),
    ],
)
def test_a_setting_that_the_provider_would_drop_is_refused(foreign: str, settings: dict[str, Any], place: str) -> None:
    with pytest.raises(RemoteModelError, match=f"{place} for 'upstage:its-model', and ChatUpstage does not support"):
        remote_chat(foreign, max_tokens=40, temperature=0.0, **settings)
