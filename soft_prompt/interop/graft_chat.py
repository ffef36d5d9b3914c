"""A chat template that writes the prompts of grafts: texts around the slot, passages, soft tokens, question.

It makes the messages that a template of `prompts` renders to, and hands them to the backbone's own chat template. A
client sends each passage as a system message of its own, then the earlier turns, then the question.

Softgraft tokenises each segment alone, an engine a whole prompt at once. So a boundary stands between segments: a text
that nobody can guess, at which the tokenizer cuts and which it removes. It also cuts a control token that is written
out in a passage or a question, so that it stays text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prompts import Slot, Template
from prompts.pieces import Part
from soft_prompt.errors import ArtifactError
from soft_prompt.model.backbone import Backbone

# What a backbone without a chat template is prompted with (see `plain_chat`).
_PLAIN = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n\n' }}{% endfor %}assistant:"
# Whitespace control on both sides of every tag, so that no line break of this text reaches a prompt.
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


@dataclass(frozen=True)
class GraftText:
    """One domain as its chat template writes it: `soft` is the text of its soft tokens, for `slot` of the template."""

    template: Template
    slot: str
    soft: str


def chat_template(backbone: Backbone, grafts: Mapping[str, GraftText], boundary: str, secret: str) -> str:
    """The chat template of a checkpoint, for Jinja as Transformers runs it.

    Args:
        backbone: whose own chat template writes the messages.
        grafts: domain to its texts; the first one answers where `domain` names none.
        boundary: stands between segments and is removed by the tokenizer; an empty one for a tokenizer that cannot.
        secret: what all names of new tokens have in common.

    Raises:
        ArtifactError: a template with other inputs than passages, history and one question that comes last.
    """
    cuts = _cuts(backbone, boundary, secret) if boundary else {}
    cut = "text" + "".join(f".replace({_quoted(whole)}, {_quoted(apart)})" for whole, apart in cuts.items())
    softs = ", ".join(f"{_quoted(name)}: {_quoted(graft.soft)}" for name, graft in grafts.items())
    text = (
        _READ_REQUEST.replace("__DATA__", f"{_quoted(boundary)} ~ {cut} ~ {_quoted(boundary)}" if boundary else "text")
        .replace("__SOFTS__", f"{{{softs}}}")
        .replace("__DEFAULT__", _quoted(next(iter(grafts))))
    )
    for name, graft in grafts.items():
        text += f"{{%- if domain == {_quoted(name)} -%}}\n{_messages(name, graft, boundary, cuts)}{{%- endif -%}}\n"
    own: str | None = backbone.tokenizer.chat_template
    # No line break behind it: what follows is the backbone's own, to the letter.
    return text + "{%- set messages = written.messages %}" + (_PLAIN if own is None else own)


def cut_at(tokenizer: Any, boundary: str) -> None:
    """Let a tokenizer cut its input at a text and remove it."""
    from tokenizers.pre_tokenizers import Sequence as InTurn
    from tokenizers.pre_tokenizers import Split

    backend = tokenizer.backend_tokenizer
    cut, before = Split(boundary, "removed"), backend.pre_tokenizer
    backend.pre_tokenizer = cut if before is None else InTurn([cut, before])


def _cuts(backbone: Backbone, boundary: str, secret: str) -> dict[str, str]:
    """Each control token of the backbone, with a boundary where its text comes apart in tokenising anyway."""
    # New tokens too: whoever reads the checkpoint knows their names.
    found = {secret: secret[:16] + boundary + secret[16:]}
    for text in backbone.written_controls:
        whole = backbone.encode_text(text)
        apart = [at for at in range(1, len(text))
                 if backbone.encode_text(text[:at]) + backbone.encode_text(text[at:]) == whole]  # fmt: skip
        if len(text) > 1:
            at = apart[len(apart) // 2] if apart else 1
            found[text] = text[:at] + boundary + text[at:]
    return found


def _messages(name: str, graft: GraftText, boundary: str, cuts: Mapping[str, str]) -> str:
    """Jinja that appends the messages of one domain's template to `written.messages`."""
    template = graft.template
    if template.optional or template.examples is not None:
        raise ArtifactError(
            found=f"the template {template.name!r} of {name!r} has parts that do not always stand there, or examples",
            expected="a template that is the same for every request, since the checkpoint's own cannot choose",
            next_step="take `optional:` and `examples:` out of the template and train again: softgraft train DOMAIN",
        )
    questions = [n for n, kind in template.inputs.items() if kind == "text"]
    places = [p.name for m in template.messages for p in m.pieces if isinstance(p, Slot)]
    last = template.messages[-1] if template.messages else None
    if (
        len(questions) != 1
        or places.count(questions[0]) != 1
        or last is None
        or last.role != "user"
        or Slot(questions[0]) not in last.pieces
        or places.count(graft.slot) != 1
        or max((places.count(n) for n, kind in template.inputs.items() if kind == "passages"), default=0) > 1
    ):
        raise ArtifactError(
            found=f"the template {template.name!r} of {name!r} has the text inputs {questions} and the slots {places}",
            expected=f"the soft slot {graft.slot!r} once, passages at most once, and one text input, the question, in "
            "the last message, since a chat request has nothing else",
            next_step="change the template and train again: softgraft train DOMAIN",
        )
    lines = []
    if not any(kind == "passages" for kind in template.inputs.values()):
        lines.append(_refuse("asked.passages", f"the domain {name} reads no passages"))
    if not any(message.role == "history" for message in template.messages):
        lines.append(_refuse("history", f"the domain {name} reads no earlier turns"))
    for message in template.messages:
        if message.role == "history":
            added = "history"
        else:
            parts = [_part(piece, graft, boundary, cuts) for piece in message.pieces]
            added = f"[{{'role': {_quoted(message.role)}, 'content': {' ~ '.join(p for p in parts if p) or repr('')}}}]"
        lines.append(f"{{%- set written.messages = written.messages + {added} -%}}\n")
    return "".join(lines)


def _refuse(condition: str, why: str) -> str:
    return f"{{%- if {condition} -%}}{{{{- raise_exception({_quoted(why)}) -}}}}{{%- endif -%}}\n"


def _part(piece: Part, graft: GraftText, boundary: str, cuts: Mapping[str, str]) -> str:
    """A Jinja expression for one piece of a message; an empty text for a soft slot that nothing fills."""

    def text(value: str) -> str:
        for token, cut in cuts.items():
            value = value.replace(token, cut)
        return _quoted(f"{boundary}{value}{boundary}") if value else ""

    if isinstance(piece, str):
        return text(piece)
    assert isinstance(piece, Slot)
    if piece.name in graft.template.soft_slots:
        return "soft" if piece.name == graft.slot else ""
    if graft.template.inputs[piece.name] == "passages":
        without = text(graft.template.no_passages) or repr("")
        return f"(asked.context if asked.passages else {without})"
    return "question"


def _quoted(text: str) -> str:
    """A Jinja string literal."""
    return json.dumps(text, ensure_ascii=False)


def passage_form(template: Template) -> str:
    """How the template writes a passage, as in its file: `{title}. {text}`."""
    return "".join(
        "{" + piece.name + "}" if isinstance(piece, Slot) else piece.replace("{", "{{").replace("}", "}}")
        for piece in template.passage
    )


def hard_texts(backbone: Backbone) -> Sequence[str]:
    """Texts that tokenise otherwise when something stands beside them, and control tokens written out."""
    special = backbone.written_controls
    return (
        "\n\nTitle. Heading\n12 pounds 345\n\n",
        " leading and trailing ",
        "ends in a word",
        "'s 100% of £1,250.00\n",
        f"a{''.join(special)}b",
        *(f"x{token}\n{token}" for token in special[:4]),
    )
