"""Streaming: the pieces are the reply, no piece holds half a character, none shows a bit of a stop text."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracle import some_ids, some_rows
from transformers import LlamaForCausalLM

from soft_prompt import Backbone, Decoding, Delta, PrefixStore, Reply, Row, generate, stream
from soft_prompt.engine.engine import engine_of
from soft_prompt.generation.generation import decode_batch

# Left out of `make check`.
pytestmark = pytest.mark.heavy

HALF = "\N{REPLACEMENT CHARACTER}"
ROW = Row((), (some_ids(3, 1),))


class ScriptedLlama(LlamaForCausalLM):  # type: ignore[misc]
    """A tiny Llama that returns given tokens, one per call, so that a test can choose the reply.

    The tokens are on the class, so that the optimised copy of the model has them too.
    """

    script: Sequence[int] = ()
    calls = 0

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        output.logits[:, -1, self.script[self.calls]] += 1e4
        ScriptedLlama.calls += 1
        return output


class Speaker:
    """Streams a text from a scripted backbone, a character (or a byte of one) at a time."""

    def __init__(self, backbone: Backbone) -> None:
        self.model = ScriptedLlama(backbone.model.config)
        self.backbone = Backbone("scripted", "0" * 64, self.model, backbone.tokenizer)
        self.store = PrefixStore(self.backbone)
        # Making the engine runs the model once, which is not a token of a test's script.
        ScriptedLlama.script, ScriptedLlama.calls = [0], 0
        engine_of(self.backbone)

    def tokens(self, text: str) -> list[int]:
        return [token for character in text for token in self.backbone.encode_text(character)]

    def deltas(self, tokens: Sequence[int], **decoding: Any) -> list[Delta]:
        ScriptedLlama.script, ScriptedLlama.calls = [*tokens, self.backbone.end_id], 0
        return list(stream(self.store, ROW, Decoding(**{"max_tokens": len(tokens) + 1, **decoding})))

    def say(self, text: str, **decoding: Any) -> tuple[list[str], Reply]:
        deltas = self.deltas(self.tokens(text), **decoding)
        assert [delta.reply is None for delta in deltas] == [True] * (len(deltas) - 1) + [False]
        assert deltas[-1].reply is not None
        return [delta.text for delta in deltas if delta.text], deltas[-1].reply


@pytest.fixture(scope="module")
def speaker(tiny_backbone: Backbone) -> Speaker:
    return Speaker(tiny_backbone)


def test_the_pieces_come_as_they_are_decoded(speaker: Speaker) -> None:
    pieces, reply = speaker.say("abc")
    assert pieces == ["a", "b", "c"]
    assert reply == Reply("abc", tokens=3, finish="stop", prompt_tokens=3, cached_tokens=0)


def test_an_end_token_at_once_is_an_empty_reply(speaker: Speaker) -> None:
    pieces, reply = speaker.say("")
    assert (pieces, reply.text, reply.tokens, reply.finish) == ([], "", 0, "stop")


@pytest.mark.parametrize("text", ["日本語", "a日b", "é", "👩‍👩‍👧‍👦", "naïve – “x”", "क्षत्रिय"])
def test_a_character_of_several_tokens_comes_whole(speaker: Speaker, text: str) -> None:
    pieces, reply = speaker.say(text)
    # A token is a byte here, so a streamed character per piece is all that there can be.
    assert pieces == list(text)
    assert reply.text == text
    assert reply.tokens == len(text.encode())


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_a_reply_cut_inside_a_character_leaves_it_out(speaker: Speaker, count: int) -> None:
    pieces, reply = speaker.say("日本", max_tokens=count)
    assert reply.text == "".join(pieces) == "日本"[: count // 3]
    assert (reply.tokens, reply.finish) == (count, "length")


def test_an_end_token_inside_a_character_leaves_it_out(speaker: Speaker) -> None:
    deltas = speaker.deltas(speaker.tokens("日本")[:-1])
    assert deltas[-1].reply is not None
    assert deltas[-1].reply.text == "".join(delta.text for delta in deltas) == "日"


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("one STOP two", ("STOP",), "one "),
        ("one STO two", ("STOP",), "one STO two"),
        ("one SSTOP", ("STOP",), "one S"),
        ("STOP", ("STOP",), ""),
        ("aab aaab", ("aaab",), "aab "),
        ("one\n\ntwo", ("\n\n",), "one"),
        ("one\ntwo", ("\n\n",), "one\ntwo"),
        ("x</answer>y", ("</answer>", "</"), "x"),
        ("x</b></answer>y", ("</answer>", "</a>"), "x</b>"),
        ("one two", ("two", "one"), ""),
        ("日本。東京。", ("。",), "日本"),
        ("a日本b", ("日本",), "a"),
        ("a日木b", ("日本",), "a日木b"),
        ("日曜X日", ("X日",), "日曜"),
        ("aXéb", ("Xé",), "a"),
        ("end with a beginning ST", ("STOP",), "end with a beginning ST"),
    ],
)
def test_a_stop_text_over_several_tokens_ends_the_reply(
    speaker: Speaker, text: str, stop: tuple[str, ...], expected: str
) -> None:
    pieces, reply = speaker.say(text, stop=stop)
    assert reply.text == expected
    assert reply.finish == "stop"
    # Joined pieces longer than the reply would have shown the beginning of the stop text.
    assert "".join(pieces) == expected


def test_decoding_ends_with_the_stop_text(speaker: Speaker) -> None:
    _, reply = speaker.say("one STOP two", stop=("STOP",))
    assert reply.tokens == ScriptedLlama.calls == len("one STOP")


def test_a_beginning_of_a_stop_text_is_shown_once_it_is_none(speaker: Speaker) -> None:
    pieces, _ = speaker.say("aSTx", stop=("STOP",))
    assert pieces == ["a", "STx"]


def test_at_the_last_token_a_beginning_of_a_stop_text_is_shown(speaker: Speaker) -> None:
    pieces, reply = speaker.say("aSTOP", stop=("STOP",), max_tokens=3)
    assert ("".join(pieces), reply.text, reply.finish) == ("aST", "aST", "length")


def said_token_by_token(decode: Callable[[Sequence[int]], str], tokens: list[int], stop: tuple[str, ...]) -> str:
    """The text up to the first stop text, where the first is the one that is complete first."""
    for count in range(1, len(tokens) + 1):
        text = decode(tokens[:count])
        places = [text.find(s) for s in stop if s in text]
        if places:
            return text[: min(places)]
    return decode(tokens)


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(st.sampled_from("abS日é\n "), max_size=14),
    stop=st.lists(st.text(st.sampled_from("abS日é\n "), min_size=1, max_size=4), max_size=3).map(tuple),
)
@example(text="aaé", stop=("aé",))
@example(text="ab日S", stop=("b日S", "日"))
def test_the_pieces_are_the_reply_whatever_is_said(speaker: Speaker, text: str, stop: tuple[str, ...]) -> None:
    pieces, reply = speaker.say(text, stop=stop)
    assert reply.text == said_token_by_token(speaker.backbone.decode, speaker.tokens(text), stop)
    assert "".join(pieces) == reply.text
    assert not any(s in reply.text for s in stop)
    assert not any(HALF in piece for piece in pieces)


def test_closing_the_stream_stops_decoding(speaker: Speaker) -> None:
    count = 400
    ScriptedLlama.script, ScriptedLlama.calls = speaker.tokens("a" * count), 0
    pieces = stream(speaker.store, ROW, Decoding(max_tokens=count))
    assert next(pieces).text == "a"
    assert next(pieces).text == "a"
    pieces.close()  # type: ignore[attr-defined]
    while engine_of(speaker.backbone).running:
        time.sleep(0.001)
    # Decoding goes on while nobody asks for the next piece, but not after the stream was closed.
    assert 2 <= ScriptedLlama.calls < count
    with pytest.raises(StopIteration):
        next(pieces)


def test_the_pieces_of_a_batch_are_its_replies(tiny_backbone: Backbone, store: PrefixStore) -> None:
    rows = some_rows(tiny_backbone)
    decoding = Decoding(max_tokens=20, temperature=1.0, seed=4, stop=("e", "th"))
    texts, replies = [""] * len(rows), [""] * len(rows)
    for delta in decode_batch(store, rows, decoding):
        texts[delta.row] += delta.text
        if delta.reply is not None:
            replies[delta.row] = delta.reply.text
    assert texts == replies
    assert replies == [reply.text for reply in generate(store, rows, decoding)]
    assert any(replies)


def test_a_stream_is_the_reply_of_generate(tiny_backbone: Backbone, store: PrefixStore) -> None:
    for row in some_rows(tiny_backbone):
        deltas = list(stream(store, row, Decoding(max_tokens=10)))
        assert deltas[-1].reply == generate(store, [row], Decoding(max_tokens=10))[0]
        assert deltas[-1].reply.text == "".join(delta.text for delta in deltas)
