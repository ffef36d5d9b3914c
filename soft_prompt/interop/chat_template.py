"""A chat template in Jinja that renders the prompts of grafts: fixed texts, passages, soft tokens, question.

It makes the same messages as a template of `prompts`, and passes them to the backbone's own chat template. A client
sends each passage as a separate system message, then the earlier turns, then the question.

Softgraft tokenises each segment alone; other engines tokenise the whole prompt. The template therefore puts a boundary
between segments: an unguessable text at which the tokenizer splits and which it removes. Boundaries also split control
tokens in passages and questions, so that they stay text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from prompts import Slot, Template
from prompts.pieces import Part
from soft_prompt.errors import ArtifactError
from soft_prompt.interop.extended_vocabulary import ExtendedVocabulary, HfGraft
from soft_prompt.model.backbone import Backbone

# The chat template of a backbone without one (see `default_chat_template`).
_PLAIN = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n\n' }}{% endfor %}assistant:"
# Whitespace control on both sides of every tag keeps the line breaks of this text out of the prompt.
_READ_REQUEST = """\
{%- macro data(text) -%}{{- __DATA__ -}}{%- endmacro -%}
{%- set softs = __SOFTS__ -%}
{%- set domain = domain if domain is defined and domain else __DEFAULT__ -%}
{%- if domain not in softs -%}{{- raise_exception('no such domain: ' ~ domain) -}}{%- endif -%}
{%- if documents is defined and documents -%}
{{- raise_exception('give each passage as a system message, in place of documents') -}}
{%- endif -%}
{%- set soft = softs[domain] -%}
{%- set asked = namespace(context='', passages=0, turns=[]) -%}
{%- for message in messages -%}
{%- if message['content'] is not string -%}{{- raise_exception('each content must be one text') -}}{%- endif -%}
{%- if message['role'] in ['user', 'assistant'] -%}
{%- set asked.turns = asked.turns + [{'role': message['role'], 'content': data(message['content'])}] -%}
{%- elif message['role'] == 'system' and not asked.turns -%}
{%- set asked.context = asked.context ~ data(message['content']) -%}
{%- set asked.passages = asked.passages + 1 -%}
{%- else -%}
{{- raise_exception('passages come first, as system messages, then user and assistant in turn') -}}
{%- endif -%}
{%- endfor -%}
{%- if not asked.turns or asked.turns[-1]['role'] != 'user' -%}
{{- raise_exception('the last message must be the question of the user') -}}
{%- endif -%}
{%- set question = asked.turns[-1]['content'] -%}
{%- set history = asked.turns[:-1] -%}
{%- set written = namespace(messages=[]) -%}
"""


def chat_template(vocabulary: ExtendedVocabulary, boundary: str) -> str:
    """The chat template of a checkpoint, for Jinja as Transformers runs it.

    The backbone's own chat template renders the messages. The first graft answers if a request names no `domain`.

    Args:
        vocabulary: with the tokens of the grafts.
        boundary: between segments; removed by the tokenizer. Empty if the tokenizer cannot do so.

    Raises:
        ArtifactError: if a template has other inputs than passages, history and one question at the end.
    """
    splits = _control_splits(vocabulary.backbone, boundary, vocabulary.secret) if boundary else {}
    split = "text" + "".join(f".replace({_quoted(token)}, {_quoted(parts)})" for token, parts in splits.items())
    data = f"{_quoted(boundary)} ~ {split} ~ {_quoted(boundary)}" if boundary else "text"
    names = vocabulary.tokenizer.convert_ids_to_tokens
    softs = {name: "".join(names(list(tokens))) for name, tokens in vocabulary.tokens.items()}
    text = _READ_REQUEST.replace("__DATA__", data).replace("__SOFTS__", _quoted(softs))
    text = text.replace("__DEFAULT__", _quoted(next(iter(softs))))
    for name, graft in vocabulary.grafts.items():
        text += f"{{%- if domain == {_quoted(name)} -%}}\n{_messages(name, graft, boundary, splits)}{{%- endif -%}}\n"
    own: str | None = vocabulary.backbone.tokenizer.chat_template
    # No line break at the end: the backbone's own template follows unchanged.
    return text + "{%- set messages = written.messages %}" + (_PLAIN if own is None else own)


def split_at(tokenizer: Any, boundary: str) -> None:
    """Make a tokenizer split its input at a text and remove it."""
    from tokenizers import pre_tokenizers

    backend = tokenizer.backend_tokenizer
    split, own = pre_tokenizers.Split(boundary, "removed"), backend.pre_tokenizer
    backend.pre_tokenizer = split if own is None else pre_tokenizers.Sequence([split, own])


def _control_splits(backbone: Backbone, boundary: str, secret: str) -> dict[str, str]:
    """Each control token with a boundary inside, if possible where its text is split into tokens anyway."""
    # Also the new tokens, since anyone can read their names in the checkpoint.
    splits = {secret: secret[:16] + boundary + secret[16:]}
    encode = backbone.encode_text
    for text in backbone.control_tokens:
        token_ends = [at for at in range(1, len(text)) if encode(text[:at]) + encode(text[at:]) == encode(text)]
        if len(text) > 1:
            at = token_ends[len(token_ends) // 2] if token_ends else 1
            splits[text] = text[:at] + boundary + text[at:]
    return splits


def _messages(name: str, graft: HfGraft, boundary: str, splits: Mapping[str, str]) -> str:
    """Jinja code that appends the messages of a domain's template to `written.messages`."""
    template, slot = graft.template, graft.soft_prompt.slot
    passages = [n for n, kind in template.inputs.items() if kind == "passages"]
    if template.optional or template.examples is not None:
        raise ArtifactError(
            found=f"the template {template.name!r} of {name!r} has optional parts or examples",
            expected="a template that is the same for every request, since the checkpoint's chat template is fixed",
            next_step="take `optional:` and `examples:` out of the template and train again: softgraft train DOMAIN",
        )
    questions = [n for n, kind in template.inputs.items() if kind == "text"]
    slots = [p.name for m in template.messages for p in m.pieces if isinstance(p, Slot)]
    if (
        [slots.count(n) for n in (*questions, slot)] != [1, 1]
        or template.messages[-1].role != "user"
        or Slot(questions[0]) not in template.messages[-1].pieces
        or any(slots.count(n) > 1 for n in passages)
    ):
        raise ArtifactError(
            found=f"the template {template.name!r} of {name!r} has the text inputs {questions} and the slots {slots}",
            expected=f"the soft slot {slot!r} once, passages at most once, and one text input, the question, in "
            "the last message, since a chat request contains nothing else",
            next_step="change the template and train again: softgraft train DOMAIN",
        )
    lines = []
    if not passages:
        lines.append(_raise_if("asked.passages", f"the domain {name} reads no passages"))
    if not any(message.role == "history" for message in template.messages):
        lines.append(_raise_if("history", f"the domain {name} reads no earlier turns"))
    for message in template.messages:
        if message.role == "history":
            messages = "history"
        else:
            parts = [_part(piece, graft, boundary, splits) for piece in message.pieces]
            content = " ~ ".join(filter(None, parts)) or repr("")
            messages = f"[{{'role': {_quoted(message.role)}, 'content': {content}}}]"
        lines.append(f"{{%- set written.messages = written.messages + {messages} -%}}\n")
    return "".join(lines)


def _raise_if(condition: str, message: str) -> str:
    return f"{{%- if {condition} -%}}{{{{- raise_exception({_quoted(message)}) -}}}}{{%- endif -%}}\n"


def _part(piece: Part, graft: HfGraft, boundary: str, splits: Mapping[str, str]) -> str:
    """A Jinja expression for one part of a message; empty for a soft slot that is not filled."""

    def text(value: str) -> str:
        for token, split in splits.items():
            value = value.replace(token, split)
        return _quoted(f"{boundary}{value}{boundary}") if value else ""

    if isinstance(piece, str):
        return text(piece)
    assert isinstance(piece, Slot)
    if piece.name in graft.template.soft_slots:
        return "soft" if piece.name == graft.soft_prompt.slot else ""
    if graft.template.inputs[piece.name] == "passages":
        without = text(graft.template.no_passages) or repr("")
        return f"(asked.context if asked.passages else {without})"
    return "question"


def _quoted(value: str | Mapping[str, str]) -> str:
    """A literal in Jinja."""
    return json.dumps(value, ensure_ascii=False)


def passage_format(template: Template) -> str:
    """The format of a passage, as in the template's file: `{title}. {text}`."""
    return "".join(
        "{" + piece.name + "}" if isinstance(piece, Slot) else piece.replace("{", "{{").replace("}", "}}")
        for piece in template.passage
    )


def difficult_texts(backbone: Backbone) -> Sequence[str]:
    """Texts whose tokens depend on their neighbours, and texts with control tokens."""
    special = backbone.control_tokens
    return (
        "\n\nTitle. Heading\n12 pounds 345\n\n",
        " leading and trailing ",
        "ends in a word",
        "'s 100% of £1,250.00\n",
        f"a{''.join(special)}b",
        *(f"x{token}\n{token}" for token in special[:4]),
    )
