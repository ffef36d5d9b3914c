"""Create a chat model behind an API by its name: `openai:gpt-4o-mini`, `anthropic:...`, `ollama:...`.

LangChain's `init_chat_model` knows the providers and their packages. LangChain's chat models silently ignore unknown
settings, so this module rejects settings that a provider does not support.
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
from chains.speakers.secrets import remember_secrets, without_secrets

# The openai client's own default is ten minutes, too long for interactive use.
OPENAI_TIMEOUT = 60.0
OPENAI_RETRIES = 2

# The providers' names of `max_tokens`.
_MAX_TOKENS_NAMES = ("max_tokens", "num_predict", "max_output_tokens", "max_new_tokens", "max_completion_tokens")
# Names of the settings in domain.yaml, for errors.
_DOMAIN_SETTINGS = {
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
    """Create a chat model behind an API, without sending a request.

    Args:
        name: `PROVIDER:MODEL` with LangChain's names; `openai` is any server with OpenAI's protocol.
        max_tokens: None uses the provider's default.
        temperature: None omits it, for models without this setting.
        base_url: address of another server than the provider's.
        timeout: in seconds; None is 60 for `openai`, else the package's default.
        max_retries: after a temporary failure; None is 2 for `openai`, else the package's default.
        options: further settings of the provider's chat model, with its own names.
    """
    provider, _, model = name.partition(":")
    common = {"max_tokens": max_tokens, "temperature": temperature, "base_url": base_url, "timeout": timeout,
             "max_retries": max_retries}  # fmt: skip
    settings = {setting: value for setting, value in common.items() if value is not None}
    extra = dict(options or {})
    remember_secrets({"base_url": base_url, **extra})
    if duplicates := sorted(set(extra) & set(common)):
        raise RemoteModelError(
            found=f"{', '.join(duplicates)} among the options of {name!r}",
            expected=f"these settings as {', '.join(_DOMAIN_SETTINGS[setting] for setting in duplicates)}",
            next_step="move them there in domain.yaml",
        )
    if provider == "openai":
        _check_openai_key(name)
        settings.setdefault("timeout", OPENAI_TIMEOUT)
        settings.setdefault("max_retries", OPENAI_RETRIES)
        # A separate timeout for chunks of async streams, with a different default.
        extra.setdefault("stream_chunk_timeout", settings["timeout"])
    chat = _create(name, provider, model, {**settings, **extra})
    supported = _supported_settings(chat)
    renamed = dict(settings)
    length = next((name for name in _MAX_TOKENS_NAMES if name in supported), None)
    if length and "max_tokens" in renamed:
        renamed[length] = renamed.pop("max_tokens")
    if "default_headers" in supported:
        # A keep-alive connection belongs to its event loop, and LangChain's packages keep connections for the life of
        # the process: they would fail in the event loop of a second `asyncio.run`.
        extra.setdefault("default_headers", {"Connection": "close"})
    if renamed != settings or "default_headers" in extra:
        chat = _create(name, provider, model, {**renamed, **extra})
    settings = renamed
    if ignored := [setting for setting in (*settings, *extra) if setting not in supported]:
        names = [_DOMAIN_SETTINGS.get(setting, f"remote.options.{setting}") for setting in ignored]
        raise RemoteModelError(
            found=f"{', '.join(names)} for {name!r}, and {type(chat).__name__} does not support {', '.join(ignored)}",
            expected="settings of the provider's chat model",
            next_step="set them to null in domain.yaml, or use the provider's own name under `remote.options`",
        )
    return chat


def _create(name: str, provider: str, model: str, settings: dict[str, Any]) -> BaseChatModel:
    from langchain.chat_models import init_chat_model

    # Without it, LangChain falls back to the deprecated langchain-community.
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
            # Pydantic's message repeats the values, which may be a key from the environment.
            problems = ((".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")) for e in error.errors())
            message = "; ".join(f"{place}: {problem}" if place else problem for place, problem in problems)
        raise RemoteModelError(
            found=without_secrets(f"the chat model of {name!r} cannot be created: {message}"),
            expected="settings that the provider's package accepts, and its key in the environment",
            next_step="set what the message names, in the environment or under `remote.options` in domain.yaml",
        ) from error


def _check_openai_key(name: str) -> None:
    if not os.environ.get("OPENAI_API_KEY"):
        raise RemoteModelError(
            found=f"the backbone {name!r} needs an API key and OPENAI_API_KEY is not set",
            expected="a key in the environment variable OPENAI_API_KEY; any value for a server without keys",
            next_step="export OPENAI_API_KEY=..., or set `backbone: embedded` in domain.yaml",
        )


def _not_installed(name: str, command: str, cause: str) -> RemoteModelError:
    return RemoteModelError(
        found=f"the provider of {name!r} is not installed here: {cause}",
        expected="LangChain's package for it",
        next_step=command or "install what the message names",
    )


def _supported_settings(chat: BaseChatModel) -> set[str]:
    known = {name for field, info in type(chat).model_fields.items() for name in (field, *_aliases(info))}
    # Some pass unknown settings on.
    return known | set(getattr(chat, "model_kwargs", None) or {})


def _aliases(info: FieldInfo) -> list[str]:
    alias = info.validation_alias
    choices = getattr(alias, "choices", [alias])
    return [choice for choice in (info.alias, *choices) if isinstance(choice, str)]
