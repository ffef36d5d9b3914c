"""Constrained replies match their grammar, whatever the backbone prefers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from prompts import Message, RenderedPrompt, TextSegment
from soft_prompt import (
    Backbone,
    Constraint,
    ConstraintError,
    Decoding,
    PrefixStore,
    Reply,
    Row,
    encode_prompt,
    generate,
    stream,
)
from soft_prompt.grammar.bounded_schema import MAX_ITEMS, MAX_NUMBER, MAX_STRING, bounded
from soft_prompt.grammar.constraint import tool_call_constraint

# Left out of `make check`.
pytestmark = pytest.mark.heavy

FEE = {
    "type": "object",
    "properties": {"fee": {"type": "integer", "minimum": 0, "maximum": 99}, "card": {"enum": ["debit", "credit"]}},
    "required": ["fee", "card"],
}


def row(backbone: Backbone, constraint: Constraint | None, text: str = "What does it cost?") -> Row:
    prompt = RenderedPrompt((Message("user", (TextSegment(text),)),))
    return replace(encode_prompt(backbone, prompt, {}), constraint=constraint)


def replies(store: PrefixStore, constraints: Sequence[Constraint | None], **settings: Any) -> list[Reply]:
    rows = [row(store.backbone, constraint, "x" * n) for n, constraint in enumerate(constraints, 1)]
    return generate(store, rows, Decoding(**{"max_tokens": 60, **settings}))


@pytest.mark.parametrize(
    "sampling",
    [{}, {"temperature": 1.5, "seed": 1}, {"temperature": 1.0, "top_p": 0.5}, {"temperature": 1e38, "seed": 1}],
)
def test_a_reply_matches_its_grammar_and_ends_there(store: PrefixStore, sampling: dict[str, Any]) -> None:
    grammar = 'start: "<" word ("," word){1,2} ">"\nword: /[a-c]{2}/'
    constraints = [
        Constraint.json_schema(FEE),
        Constraint.regex(r"[0-9]{2} (euros|pounds)"),
        Constraint.choice(["yes", "no", "你好", 'a "quoted" \\ one']),
        Constraint.lark(grammar),
    ]
    fee, regex, choice, lark = replies(store, constraints, **sampling)
    value = json.loads(fee.text)
    assert set(value) == {"fee", "card"}
    assert 0 <= value["fee"] <= 99
    assert value["card"] in ("debit", "credit")
    assert re.fullmatch(r"[0-9]{2} (euros|pounds)", regex.text)
    assert choice.text in ("yes", "no", "你好", 'a "quoted" \\ one')
    assert re.fullmatch(r"<[a-c]{2}(,[a-c]{2}){1,2}>", lark.text)
    assert {reply.finish for reply in (fee, regex, choice, lark)} == {"stop"}


def test_rows_with_and_without_a_grammar_share_a_batch(store: PrefixStore) -> None:
    constraints = [None, Constraint.choice(["yes", "no"]), None, Constraint.json_schema(FEE)]
    batched = replies(store, constraints, max_tokens=40)
    rows = [row(store.backbone, constraint, "x" * n) for n, constraint in enumerate(constraints, 1)]
    alone = [generate(store, [one], Decoding(max_tokens=40))[0] for one in rows]
    assert [reply.text for reply in batched] == [reply.text for reply in alone]
    assert batched[1].text in ("yes", "no")
    assert max(batched[0].tokens, batched[2].tokens) > 5


def test_the_end_is_allowed_only_where_the_grammar_accepts(tiny_backbone: Backbone) -> None:
    matcher = Constraint.regex("a{2,3}").matcher(tiny_backbone)
    width = len(tiny_backbone.tokenizer)
    [letter] = tiny_backbone.encode_text("a")
    ends = []
    for last in (False, False, True):
        ends.append(bool(matcher.allowed_tokens(width)[tiny_backbone.end_id]))
        assert matcher.accept(letter) is last
    assert ends == [False, False, True]


def test_logits_wider_than_the_vocabulary_are_masked(tiny_backbone: Backbone) -> None:
    width = len(tiny_backbone.tokenizer)
    allowed = Constraint.regex("a").matcher(tiny_backbone).allowed_tokens(width + 64)
    assert allowed.shape == (width + 64,)
    assert not allowed[width:].any()
    assert allowed.any()


def test_a_grammar_may_be_cut_by_max_tokens(store: PrefixStore) -> None:
    [cut] = replies(store, [Constraint.json_schema(FEE)], max_tokens=5)
    assert cut.finish == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut.text)


def test_streamed_pieces_follow_the_grammar(store: PrefixStore) -> None:
    constraint = Constraint.regex("(yes|no){6}")
    pieces = [delta.text for delta in stream(store, row(store.backbone, constraint), Decoding(max_tokens=40))]
    assert len(pieces) > 3
    assert re.fullmatch("(yes|no){6}", "".join(pieces))


def test_an_encoder_decoder_follows_a_grammar(encoder_backbone: Backbone) -> None:
    store = PrefixStore(encoder_backbone)
    rows = [row(encoder_backbone, Constraint.choice(["yes", "no"])), row(encoder_backbone, None)]
    held, free = generate(store, rows, Decoding(max_tokens=8))
    assert held.text in ("yes", "no")
    assert free.text != held.text


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        (Constraint.json_schema({"type": "nonsense"}), "unsupported JSON schema: Invalid type"),
        (Constraint.json_schema({"type": "string", "not": {"const": "a"}}), "not"),
        (Constraint.regex("[a"), "unsupported regular expression"),
        (Constraint.lark("start: nothing"), "unsupported lark grammar"),
    ],
)
def test_a_broken_grammar_is_refused(store: PrefixStore, constraint: Constraint, message: str) -> None:
    with pytest.raises(ConstraintError, match=message):
        replies(store, [constraint])


@pytest.mark.parametrize("options", [[], ["a", ""], "abc"])
def test_a_choice_needs_options(options: Any) -> None:
    with pytest.raises(ConstraintError, match="at least one text"):
        Constraint.choice(options)


def test_a_schema_must_be_json() -> None:
    with pytest.raises(ConstraintError, match="not JSON"):
        Constraint.json_schema({"enum": [object()]})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": "x"},
        {"type": "string", "minLength": None},
        {"type": "string", "minLength": math.inf},
        {"type": "string", "format": ["date"]},
        {"type": "integer", "maximum": "x"},
        {"type": "number", "minimum": math.nan},
        {"type": "array", "minItems": [1]},
        {"type": "object", "minProperties": "x"},
    ],
    ids=str,
)
def test_a_limit_that_is_no_number_is_refused(tiny_backbone: Backbone, schema: dict[str, Any]) -> None:
    with pytest.raises(ConstraintError, match="unsupported JSON schema"):
        Constraint.json_schema(schema).matcher(tiny_backbone)


def test_a_schema_of_a_thousand_levels_is_refused() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(1000):
        schema = {"type": "array", "items": schema}
    with pytest.raises(ConstraintError, match="nested too deeply"):
        Constraint.json_schema(schema)
    with pytest.raises(ConstraintError, match="nested too deeply"):
        tool_call_constraint([{"name": "f", "parameters": {"type": "object", "properties": {"a": schema}}}])


@pytest.mark.parametrize("constraint", [Constraint.regex, Constraint.lark, lambda text: Constraint.choice([text])])
def test_half_a_character_is_refused(tiny_backbone: Backbone, constraint: Callable[[str], Constraint]) -> None:
    with pytest.raises(ConstraintError, match="unsupported"):
        constraint("\ud800").matcher(tiny_backbone)


def test_what_a_schema_leaves_open_gets_an_end() -> None:
    actual = bounded(
        {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "code": {"type": "string", "maxLength": 900},
                "shape": {"type": "string", "pattern": "^a+$"},
                "day": {"type": "string", "format": "date"},
                "file": {"type": "string", "format": "path"},
                "kind": {"type": "string", "enum": ["a"]},
                "tags": {"type": "array", "items": {"type": ["string", "null"]}},
                "many": {"type": "array", "minItems": 20},
                "count": {"type": "integer", "minimum": 3},
                "share": {"anyOf": [{"type": "number", "exclusiveMaximum": 1}, {"type": "null"}]},
                "extra": {"type": "object", "additionalProperties": {"type": "string"}},
                "open": {"type": "object", "properties": {"a": {}}, "additionalProperties": True},
            },
            "$defs": {"Leaf": {"type": "object", "properties": {"type": {"type": "string"}}}},
        }
    )
    string = {"type": "string", "maxLength": MAX_STRING}
    assert actual == {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "name": string,
            "code": {"type": "string", "maxLength": 900},
            "shape": {"type": "string", "pattern": "^a+$"},
            "day": {"type": "string", "format": "date"},
            "file": string,
            "kind": {"type": "string", "enum": ["a"]},
            "tags": {
                "type": "array",
                "items": {"type": ["string", "null"], "maxLength": MAX_STRING},
                "maxItems": MAX_ITEMS,
            },
            "many": {"type": "array", "minItems": 20, "maxItems": 20},
            "count": {"type": "integer", "minimum": 3, "maximum": MAX_NUMBER},
            "share": {
                "anyOf": [
                    {"type": "number", "exclusiveMaximum": 1, "minimum": -MAX_NUMBER, "multipleOf": 1e-6},
                    {"type": "null"},
                ]
            },
            "extra": {"type": "object", "additionalProperties": string, "maxProperties": 16},
            "open": {"type": "object", "properties": {"a": {}}, "additionalProperties": True},
        },
        "$defs": {
            "Leaf": {"type": "object", "properties": {"type": string}, "additionalProperties": False},
        },
    }


def test_a_random_model_comes_to_the_end_of_an_open_schema(store: PrefixStore) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "number"}, "i": {"type": "integer"}}, "required": ["n"]}
    [reply] = replies(store, [Constraint.json_schema(schema)])
    assert reply.finish == "stop"
    assert set(json.loads(reply.text)) <= {"n", "i"}


def test_cancelling_ends_decoding_before_the_next_token(store: PrefixStore) -> None:
    asked = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 3

    actual = list(stream(store, row(store.backbone, None), Decoding(max_tokens=40), cancelled=cancelled))
    assert len(asked) == 4
    assert all(delta.reply is None for delta in actual)
