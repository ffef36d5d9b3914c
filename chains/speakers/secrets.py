"""Keeps keys and passwords out of what is shown and written: errors, logs, reports and traces.

Two things are replaced: the values that this process knows to be secret, from its environment and from the settings of
models behind an API, and what looks like a key, such as `sk-...` or the password in a URL.
"""

from __future__ import annotations

import base64
import json
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

HIDDEN = "[hidden]"

# Last word of the name of an environment variable, header or setting that holds a secret.
_SECRET_NAME = re.compile(
    r"(^|_)(key|apikey|token|secret|password|passwd|pass|credentials?|authorization|auth|cookie|signature)$"
)
_PATTERNS = (
    # Keys of well-known services, also where a server has masked their middle.
    re.compile(r"(?<![\w-])(?:sk|pk|rk)-[\w*-]{12,}"),
    re.compile(r"(?<!\w)(?:hf_|gh[pousr]_|github_pat_|xox[a-z]-|lsv2_|AKIA|AIza|gsk_)[\w-]{14,}"),
    re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"),
    # Not "basic authentication": a token is long, or has more than letters.
    re.compile(r"(?i)(?<=\bbearer )(?=\S*[\d._+/=-]|\S{16,})[\w.~+/=*-]{6,}"),
    re.compile(r"(?i)(?<=\bbasic )(?=\S*[\d._+/=-]|\S{16,})[\w.~+/=*-]{6,}"),
    re.compile(r"(?<=://)[^\s/?#'\"]+(?=@)"),
    re.compile(r"(?i)(?<=[?&])((?:api[-_]?key|key|token|access_token|sig|signature|secret|password)=)[^&\s#'\"]+"),
    re.compile(
        r"(?i)(\b(?:authorization|cookie|password|secret|[\w-]{0,40}api[-_]?key)[\"']?\s*[:=]\s*[\"']?"
        r"(?:(?:bearer|basic) )?)"
        r"(?!\[hidden\]|(?:bearer|basic) )[^\s\"',;}]{6,}"
    ),
)

_WORD = re.compile(r"\w")

_lock = threading.Lock()
_remembered: frozenset[str] = frozenset()


def remember_secrets(settings: Any) -> None:
    """Remember the secrets in settings of a model: values of keys and headers, and passwords in URLs."""
    global _remembered
    found = frozenset(value for value in _secrets_in(settings) if _is_distinct(value))
    with _lock:
        _remembered |= found


def without_secrets(text: str) -> str:
    """The text without known secrets, and without what looks like one; for messages, not for texts of documents."""
    text = without_known_secrets(text)
    for pattern in _PATTERNS:
        text = pattern.sub(lambda match: (match[1] if match.re.groups else "") + HIDDEN, text)
    return text


def without_known_secrets(text: str) -> str:
    """The text without the secrets that this process knows."""
    known = _known()
    return _any_of(known).sub(HIDDEN, text) if known else text


class StreamWithoutSecrets:
    """Hides the secrets that this process knows in a text that arrives in pieces.

    The pieces that it returns are together `without_known_secrets` of the whole text. Only the longest end that a
    secret may begin with is held back, so that a stream stays live.
    """

    def __init__(self) -> None:
        self._held = ""
        # The last character before what is held back: a short secret is hidden as a whole word only.
        self._before = ""

    def feed(self, piece: str) -> str:
        """What can be shown after this piece; it may be empty."""
        return self._shown(self._held + piece, is_end=False)

    def finish(self) -> str:
        """What was held back, at the end of the text."""
        return self._shown(self._held, is_end=True)

    def _shown(self, text: str, *, is_end: bool) -> str:
        known = _known()
        offset, text = len(self._before), self._before + text
        # From `offset` on, but a match sees the character before.
        found = [match.span() for match in _any_of(known).finditer(text, offset)] if known else []
        end = len(text) if is_end else _open_end(text, offset, found, _forms(known))
        parts, at = [], offset
        for start, stop in found:
            if stop <= end:
                parts += [text[at:start], HIDDEN]
                at = stop
        parts.append(text[at:end])
        self._held, self._before = text[end:], text[:end][-1:]
        return "".join(parts)


def _open_end(text: str, offset: int, found: Sequence[tuple[int, int]], forms: Mapping[str, bool]) -> int:
    """Where the longest end begins that may become a secret, or a longer one, with what follows it."""
    longest = max(map(len, forms), default=0)
    for start in range(max(offset, len(text) - longest), len(text)):
        end, is_word_start = text[start:], not (start and _WORD.match(text[start - 1]))
        # A short secret that is complete may be the start of a longer word.
        may_grow = any(
            form.startswith(end) and (is_word_start if is_short else form != end) for form, is_short in forms.items()
        )
        if may_grow and not any(first < start < last for first, last in found):
            return start
    return len(text)


def _known() -> frozenset[str]:
    return _remembered | frozenset(_environment_secrets())


def data_without_secrets(data: Any) -> Any:
    """Plain data without secrets, also in values of keys and headers whose names say so."""
    if isinstance(data, str):
        return without_secrets(data)
    if isinstance(data, Mapping):
        return {
            name: HIDDEN if isinstance(value, str) and value and _names_secret(name) else data_without_secrets(value)
            for name, value in data.items()
        }
    return [data_without_secrets(value) for value in data] if isinstance(data, list | tuple) else data


def data_without_known_secrets(data: Any) -> Any:
    """Plain data without the secrets that this process knows in its texts."""
    if isinstance(data, str):
        return without_known_secrets(data)
    if isinstance(data, Mapping):
        return {name: data_without_known_secrets(value) for name, value in data.items()}
    return [data_without_known_secrets(value) for value in data] if isinstance(data, list | tuple) else data


def _environment_secrets() -> Iterator[str]:
    for name, value in os.environ.items():
        if _names_secret(name) and _is_distinct(value):
            yield value


def _is_distinct(value: str) -> bool:
    """Whether a value is a secret, and no placeholder: a short word, such as `ollama` or `none`, stands in any text."""
    return len(value) >= 8 or (len(value) >= 4 and not value.isalpha())


def _names_secret(name: object) -> bool:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", str(name))
    return _SECRET_NAME.search(words.lower()) is not None


def _secrets_in(data: Any, name: object = "") -> Iterator[str]:
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _secrets_in(value, key)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _secrets_in(value, name)
    elif hasattr(data, "get_secret_value"):
        yield str(data.get_secret_value())
    elif isinstance(data, str):
        if _names_secret(name):
            yield data
            # `Bearer KEY`.
            yield data.partition(" ")[2]
        yield from _secrets_of_url(data)


def _secrets_of_url(text: str) -> Iterator[str]:
    """User name and password in a URL, as they are and as a header has them."""
    try:
        url = urlsplit(text)
        user, password = url.username or "", url.password
    except ValueError:
        return
    if password is None:
        yield user
        return
    yield from (password, unquote(password))
    yield base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()


@lru_cache(maxsize=8)
def _forms(secrets: frozenset[str]) -> dict[str, bool]:
    """Each secret as it is, as JSON and in a URL, and whether it is short; the longest first."""
    forms = {
        form: len(secret) < 8
        for secret in sorted(secrets)
        for form in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], quote(secret, ""))
    }
    return dict(sorted(forms.items(), key=lambda item: -len(item[0])))


@lru_cache(maxsize=8)
def _any_of(secrets: frozenset[str]) -> re.Pattern[str]:
    """Matches each form of each secret, and short ones as whole words."""
    return re.compile(
        "|".join(
            rf"(?<!\w){re.escape(form)}(?!\w)" if short else re.escape(form) for form, short in _forms(secrets).items()
        )
    )
