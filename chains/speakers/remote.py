"""A chat model behind an API, made of its name: `openai:gpt-4o-mini`, `anthropic:...`, `ollama:...`.

LangChain's `init_chat_model` knows the providers and which package each needs. Its chat models drop a setting that
they do not know without a word, so what a provider does not take is looked for and refused here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from langchain_core.language_models import BaseChatModel
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from chains.errors import RemoteModelError

# The openai client waits ten minutes for a server that has gone silent, longer than anybody does at a prompt.
OPENAI_TIMEOUT = 60.0
OPENAI_RETRIES = 2

# What other providers call the length of a reply.
_LENGTHS = ("num_predict", "max_output_tokens", "max_new_tokens", "max_completion_tokens")
# Where domain.yaml has a setting, for what an error says.
_PLACES = {
    "base_url": "base_url",
    "max_retries": "remote.max_retries",
    "max_tokens": "answer.max_tokens",
    "temperature": "answer.temperature",
    "timeout": "remote.timeout_seconds",
}


def remote_chat(
    name: str,
    *,
    max_tokens: int | None = None,
    temperature: float | None = None,
    base_url: str | None = None,
    timeout: float | None = None,
    max_retries: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> BaseChatModel:
    """A chat model behind an API. Nothing is sent yet.

    Args:
        name: `PROVIDER:MODEL` in LangChain's names; `openai` is any server that speaks OpenAI's protocol.
        max_tokens: at most so many tokens an answer; None leaves it to the provider.
        temperature: 0 for the likeliest answer; None leaves it out, for models that take none.
        base_url: another server than the provider's own.
        timeout: seconds that the server may be silent; None is 60 for `openai`, elsewhere what the provider's
            package waits.
        max_retries: how often a call is made again that failed for the moment; None is 2 for `openai`, elsewhere
            what the provider's package does.
        options: further settings of the provider's chat model, by its own names.

    Raises:
        RemoteModelError: the provider is unknown, its package is not installed, no key is set, or a setting is not
            one that it takes.
    """
    provider, _, model = name.partition(":")
    given = {"max_tokens": max_tokens, "temperature": temperature, "base_url": base_url, "timeout": timeout,
             "max_retries": max_retries}  # fmt: skip
    settings = {setting: value for setting, value in given.items() if value is not None}
    extra = dict(options or {})
    if twice := sorted(set(extra) & set(given)):
        raise RemoteModelError(
            found=f"{', '.join(twice)} among the options of {name!r}",
            expected=f"these as {', '.join(_PLACES[setting] for setting in twice)}",
            next_step="move them there in domain.yaml",
        )
    if provider == "openai":
        _check_openai_key(name)
        settings.setdefault("timeout", OPENAI_TIMEOUT)
        settings.setdefault("max_retries", OPENAI_RETRIES)
        # Its clock for chunks runs in async calls alone and has a default of its own.
        extra.setdefault("stream_chunk_timeout", settings["timeout"])
    chat = _made(name, provider, model, {**settings, **extra})
    known = _settings_of(chat)
    changed = dict(settings)
    length = "max_tokens" if "max_tokens" in known else next((other for other in _LENGTHS if other in known), None)
    if length and "max_tokens" in changed:
        changed[length] = changed.pop("max_tokens")
    if "default_headers" in known:
        # A connection that is kept belongs to the event loop it was made on, and LangChain's packages keep theirs for
        # the life of the process: the next loop, of a second `asyncio.run`, would fail on it.
        extra.setdefault("default_headers", {"Connection": "close"})
    if changed != settings or "default_headers" in extra:
        chat = _made(name, provider, model, {**changed, **extra})
    settings = changed
    if ignored := [setting for setting in (*settings, *extra) if setting not in known]:
        places = [_PLACES.get(setting, f"remote.options.{setting}") for setting in ignored]
        raise RemoteModelError(
            found=f"{', '.join(places)} for {name!r}, and {type(chat).__name__} takes no {', '.join(ignored)}",
            expected="settings that the provider's chat model has",
            next_step="set them to null in domain.yaml, or give the provider's own name under `remote.options`",
        )
    return chat


def _made(name: str, provider: str, model: str, settings: dict[str, Any]) -> BaseChatModel:
    from langchain.chat_models import init_chat_model

    # For this one LangChain falls back to a package that is being retired.
    if provider == "ollama" and find_spec("langchain_ollama") is None:
        raise _not_installed(name, "pip install langchain-ollama", "No module named 'langchain_ollama'")
    try:
        chat: BaseChatModel = init_chat_model(model, model_provider=provider, **settings)
        return chat
    except ImportError as error:
        command = re.search(r"`(pip install [^`]+)`", str(error))
        raise _not_installed(name, command.group(1) if command else "", str(error.__cause__ or error)) from error
    except Exception as error:
        message = " ".join(str(error).split())
        if isinstance(error, ValueError) and message.startswith("Unsupported provider"):
            raise RemoteModelError(
                found=f"the unknown provider {provider!r} in the backbone {name!r}",
                expected=f"one of {message.rpartition(': ')[2]}; or a local backbone, whose name has no colon",
                next_step="set `backbone:` in domain.yaml; a folder with a colon in its name is written ./NAME",
            ) from error
        if isinstance(error, ValidationError):
            # Its own message repeats the values, which may be a key out of the environment.
            problems = ((".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")) for e in error.errors())
            message = "; ".join(f"{place}: {problem}" if place else problem for place, problem in problems)
        raise RemoteModelError(
            found=f"the chat model of {name!r} cannot be made: {message}",
            expected="settings that the provider's package takes, and its key in the environment",
            next_step="give what it names, in the environment or under `remote.options` in domain.yaml",
        ) from error


def _check_openai_key(name: str) -> None:
    if not os.environ.get("OPENAI_API_KEY"):
        raise RemoteModelError(
            found=f"the backbone {name!r} needs an API key and OPENAI_API_KEY is not set",
            expected="a key in the environment variable OPENAI_API_KEY; a server that wants none takes any",
            next_step="export OPENAI_API_KEY=..., or set `backbone: embedded` in domain.yaml",
        )


def _not_installed(name: str, command: str, cause: str) -> RemoteModelError:
    return RemoteModelError(
        found=f"the provider of {name!r} is not installed here: {cause}",
        expected="LangChain's package for it",
        next_step=command or "install what the message names",
    )


def _settings_of(chat: BaseChatModel) -> set[str]:
    """Every name under which a chat model takes a setting."""
    known = {name for field, info in type(chat).model_fields.items() for name in (field, *_aliases(info))}
    # Some pass on what they do not know.
    return known | set(getattr(chat, "model_kwargs", None) or {})


def _aliases(info: FieldInfo) -> list[str]:
    alias = info.validation_alias
    choices = getattr(alias, "choices", [alias])
    return [choice for choice in (info.alias, *choices) if isinstance(choice, str)]
