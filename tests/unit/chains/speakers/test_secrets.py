"""Secrets are hidden: those that the process knows in any text, and what looks like one in messages."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.speakers import secrets
from chains.speakers.remote_failures import to_remote_error
from chains.speakers.secrets import (
    HIDDEN,
    StreamWithoutSecrets,
    data_without_secrets,
    remember_secrets,
    without_known_secrets,
    without_secrets,
)


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_remembered", frozenset())


@pytest.mark.parametrize(
    ("name", "value", "hidden"),
    [
        ("OPENAI_API_KEY", "correct-horse-battery", True),
        ("ANTHROPIC_AUTH_TOKEN", "correcthorse", True),
        ("SHOP_PASSWORD", "t0ps", True),
        ("AWS_SECRET_ACCESS_KEY", "correct/horse+battery", True),
        # Placeholders of servers without keys.
        ("OPENAI_API_KEY", "ollama", False),
        ("OPENAI_API_KEY", "EMPTY", False),
        ("OPENAI_API_KEY", "x", False),
        ("HOME_FOLDER", "correct-horse-battery", False),
        ("KEYBOARD", "correct-horse-battery", False),
    ],
)
def test_values_of_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, value: str, hidden: bool) -> None:
    monkeypatch.setenv(name, value)
    text = f"the server said: {value}!"
    assert without_known_secrets(text) == (f"the server said: {HIDDEN}!" if hidden else text)


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "https://anna:s3cret-pass@example.org/v1"},
        {"options": {"default_headers": {"X-Api-Key": "s3cret-pass"}}},
        {"options": {"default_headers": {"Authorization": "Bearer s3cret-pass"}}},
        {"options": [{"client": {"extra": {"openaiApiKey": "s3cret-pass"}}}]},
        {"options": {"http_client": {"proxy": "http://proxy:s3cret-pass@10.0.0.1:8080"}}},
        {"options": {"headers": {"Cookie": "s3cret-pass"}}},
    ],
)
def test_values_of_settings(settings: dict[str, Any]) -> None:
    assert "s3cret-pass" in without_known_secrets("it was s3cret-pass")
    remember_secrets(settings)
    assert without_known_secrets("it was s3cret-pass, said twice: s3cret-pass") == (
        f"it was {HIDDEN}, said twice: {HIDDEN}"
    )
    assert "s3cret" not in json.dumps(data_without_secrets(settings))


def test_other_forms_of_a_secret() -> None:
    remember_secrets({"base_url": "https://anna:p%40ss%22word@example.org", "key": "grüße/dich"})
    credentials = base64.b64encode(b'anna:p@ss"word').decode()
    for form in (
        "p%40ss%22word",
        'p@ss"word',
        'p@ss\\"word',
        credentials,
        "gr\\u00fc\\u00dfe/dich",
        "gr%C3%BC%C3%9Fe%2Fdich",
    ):
        assert without_known_secrets(f"<{form}>") == f"<{HIDDEN}>"


def test_a_short_secret_is_hidden_as_a_word() -> None:
    remember_secrets({"password": "pa55"})
    assert without_known_secrets("pa55, and pa55word") == f"{HIDDEN}, and pa55word"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Incorrect API key provided: sk-proj-abcdef123456.", "Incorrect API key provided: [hidden]."),
        ("Incorrect API key provided: sk-te***********7890.", "Incorrect API key provided: [hidden]."),
        ("token hf_abcdefghijklmnopqrst", "token [hidden]"),
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer [hidden]"),
        ('{"authorization": "Basic YW5uYTpwYXNz"}', '{"authorization": "Basic [hidden]"}'),
        ("{'x-api-key': 'abcdefgh'}", "{'x-api-key': '[hidden]'}"),
        ("no route to https://anna:p@ss@example.org/v1", "no route to https://[hidden]@example.org/v1"),
        ("GET https://example.org/v1?api_key=abc&x=1", "GET https://example.org/v1?api_key=[hidden]&x=1"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc is expired", "[hidden] is expired"),
        ("  password: hunter22\n          ^", "  password: [hidden]\n          ^"),
    ],
)
def test_what_looks_like_a_secret_in_a_message(text: str, expected: str) -> None:
    assert without_secrets(text) == expected
    # Documents may show an example of a key.
    assert without_known_secrets(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "the server refuses basic authentication, use a bearer token",
        "see https://example.org/@anna and anna@example.org",
        "export OPENAI_API_KEY=..., or set `backbone: embedded` in domain.yaml",
        "locked.pdf is locked with a password",
        "the risk-free rate, desk-research and ask-me-anything",
    ],
)
def test_plain_words_stay(text: str) -> None:
    assert without_secrets(text) == text


def test_an_error_of_a_server_that_repeats_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "correct-horse-battery")
    failure = to_remote_error(RuntimeError("400: {'x-shop': 'correct-horse-battery', 'a': 'Bearer unknown-123456'}"))
    assert "correct-horse" not in str(failure)
    assert "unknown-123456" not in str(failure)
    assert HIDDEN in failure.found


def test_data_keeps_its_shape() -> None:
    data = {"api_key": "x", "max_tokens": 64, "pad_token": None, "nested": [{"Authorization": "y"}], "plain": "text"}
    assert data_without_secrets(data) == {
        "api_key": HIDDEN, "max_tokens": 64, "pad_token": None, "nested": [{"Authorization": HIDDEN}], "plain": "text",
    }  # fmt: skip


# Secrets that begin with one another, that overlap, and short ones, which are whole words.
SEVERAL = ("abcdefgh", "abcdefgh1234", "gh12xyzuv", "aaaaaaaab", "pa55", "5-wo", "x5", "a55pa", 'q"uote/99')


def streamed(pieces: list[str]) -> list[str]:
    stream = StreamWithoutSecrets()
    return [*map(stream.feed, pieces), stream.finish()]


@given(
    st.lists(
        st.sampled_from(
            [secret[start:end] for secret in SEVERAL for start in range(4) for end in range(start + 1, len(secret) + 1)]
            + [" ", "-", "1", "a", "", "w", "\n", "q%22uote%2F99", 'q\\"uote']
        ),
        max_size=12,
    )
)
@settings(max_examples=600, deadline=None)
def test_a_stream_hides_what_the_whole_text_hides(pieces: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "_remembered", frozenset((*SEVERAL, "abcdefgh1")))
        whole = "".join(pieces)
        assert "".join(streamed(pieces)) == without_known_secrets(whole)
        assert "".join(streamed(list(whole))) == without_known_secrets(whole)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (
            ["It is co", "ld. ", "cor", "rect", "-horsepower", "."],
            ["It is ", "cold. ", "", "", f"{HIDDEN}power", ".", ""],
        ),
        (["c", "c", "corr", "upt"], ["", "c", "c", "corrupt", ""]),
        # A short secret is a whole word: what follows decides.
        (["a pa55", "word, pa55", " or wordpa", "55."], ["a ", "pa55word, ", f"{HIDDEN} or wordpa", "55.", ""]),
        (["pa", "55"], ["", "", HIDDEN]),
    ],
)
def test_a_stream_holds_back_no_more_than_the_start_of_a_secret(pieces: list[str], expected: list[str]) -> None:
    remember_secrets({"key": "correct-horse", "password": "pa55"})
    assert streamed(pieces) == expected


def test_without_secrets_nothing_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_environment_secrets", lambda: iter(()))
    assert streamed(["a", "b"]) == ["a", "b", ""]
