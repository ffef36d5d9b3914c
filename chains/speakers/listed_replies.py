"""Replies of a model behind an API with its most likely tokens, where the API lists them (OpenAI's `logprobs`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chains.answering.speaker import PreparedPrompt
from chains.messages.content import plain_text
from chains.speakers.remote_failures import ReplyEndCheck, to_remote_error
from chains.speakers.speakers import RemoteSpeaker


@dataclass(frozen=True)
class ListedReply:
    """A reply. `tokens` are its tokens as bytes, `rows` the most likely ones at each; empty if the API lists none."""

    text: str
    tokens: tuple[bytes, ...] = ()
    rows: tuple[Mapping[bytes, float], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For a file; bytes are hexadecimal."""
        rows = [{token.hex(): value for token, value in row.items()} for row in self.rows]
        return {"text": self.text, "tokens": [token.hex() for token in self.tokens], "rows": rows}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> ListedReply:
        """The inverse of `as_json`."""
        rows = tuple({bytes.fromhex(token): float(value) for token, value in one.items()} for one in row["rows"])
        return cls(str(row["text"]), tuple(bytes.fromhex(token) for token in row["tokens"]), rows)


def listed_reply(speaker: RemoteSpeaker, prompt: PreparedPrompt, top: int) -> ListedReply:
    """Ask for one reply and, at each token, the `top` most likely ones.

    An API that does not know these settings is asked again without them.

    Raises:
        RemoteModelError: if the request fails.
    """
    messages = speaker.messages(prompt)
    end = ReplyEndCheck()
    try:
        try:
            message = speaker.chat.bind(logprobs=True, top_logprobs=top).invoke(messages)
        except Exception as error:
            if getattr(error, "status_code", None) not in (400, 422) and not isinstance(error, TypeError):
                raise
            message = speaker.chat.invoke(messages)
    except Exception as error:
        raise to_remote_error(error) from error
    text = plain_text(message.content).strip()
    end.add(message, text)
    end.check()
    listed = (message.response_metadata.get("logprobs") or {}).get("content") or []
    return _without_space(ListedReply(text, *_tokens(listed)))


def _tokens(listed: Sequence[Mapping[str, Any]]) -> tuple[tuple[bytes, ...], tuple[dict[bytes, float], ...]]:
    tokens = tuple(_bytes(entry) for entry in listed)
    rows = tuple({_bytes(one): float(one["logprob"]) for one in entry.get("top_logprobs") or ()} for entry in listed)
    return tokens, rows


def _bytes(entry: Mapping[str, Any]) -> bytes:
    known = entry.get("bytes")
    return bytes(known) if known else str(entry["token"]).encode()


def _without_space(reply: ListedReply) -> ListedReply:
    """Without the tokens of space around the text; no tokens at all if they are not the text's."""
    first, last = 0, len(reply.tokens)
    while first < last and not reply.tokens[first].strip():
        first += 1
    while first < last and not reply.tokens[last - 1].strip():
        last -= 1
    tokens, rows = reply.tokens[first:last], reply.rows[first:last]
    same = b"".join(tokens) == reply.text.encode()
    return ListedReply(reply.text, tokens, rows) if same else ListedReply(reply.text)
