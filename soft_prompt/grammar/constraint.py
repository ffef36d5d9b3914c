"""Replies that follow a grammar: a JSON schema, a regular expression, a choice or a lark grammar.

Before each token the grammar says which ones may follow, and all others get no probability. llguidance walks the
grammar (Moskal et al., https://github.com/guidance-ai/llguidance).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from soft_prompt.errors import ConstraintError
from soft_prompt.grammar.bounded_schema import MAX_STRING, bounded
from soft_prompt.model.backbone import Backbone

# Compact, so that a small model cannot go on with white space for ever; and spaced as most JSON is that it has read.
_JSON: Any = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a reply must match, from its first character to its last. Checked when it is first used.

    Attributes:
        kind: what the source is.
        source: the grammar's text; of a JSON schema its JSON.
    """

    kind: Literal["json_schema", "regex", "lark"]
    source: str

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any] | bool, *, longest: int = MAX_STRING) -> Constraint:
        """A JSON value that is valid for the schema.

        A schema without limits gets some, so that a reply ends (see `soft_prompt.grammar.bounded_schema`): a string
        without `maxLength` has at most `longest` characters.

        Raises:
            ConstraintError: the schema is no JSON.
        """
        return cls("json_schema", _dumped(bounded(schema, longest)))

    @classmethod
    def regex(cls, pattern: str) -> Constraint:
        """A text that matches the whole of a regular expression (of Rust's `regex`, without look-around)."""
        return cls("regex", pattern)

    @classmethod
    def choice(cls, options: Sequence[str]) -> Constraint:
        """One of some texts.

        Raises:
            ConstraintError: there is none, or one is empty.
        """
        if isinstance(options, str) or not options or "" in options:
            raise ConstraintError(
                found=f"a choice of {options!r}",
                expected="a list of at least one text, none of them empty",
                next_step="correct the constraint",
            )
        return cls("lark", "start: " + " | ".join(map(quoted, options)))

    @classmethod
    def lark(cls, grammar: str) -> Constraint:
        """A text of a grammar in llguidance's dialect of lark."""
        return cls("lark", grammar)

    def matcher(self, backbone: Backbone) -> Matcher:
        """The state of one reply.

        Raises:
            ConstraintError: the source is broken, or asks for what llguidance does not know.
            BackboneError: the backbone's tokenizer is none that llguidance reads.
        """
        from llguidance import LLMatcher

        if self.kind == "json_schema":
            grammar = LLMatcher.grammar_from_json_schema(self.source, overrides=_JSON)
        elif self.kind == "regex":
            grammar = LLMatcher.grammar_from_regex(self.source)
        else:
            grammar = LLMatcher.grammar_from_lark(self.source)
        return Matcher(LLMatcher(backbone.grammar_tokenizer, grammar, log_level=0), self)


def json_rule(schema: Mapping[str, Any], longest: int = MAX_STRING) -> str:
    """The right side of a lark rule for a JSON value, bounded as `Constraint.json_schema` bounds it."""
    return "%json " + _dumped({**bounded(schema, longest), "x-guidance": _JSON})


def quoted(text: str) -> str:
    """A text as a lark grammar writes it."""
    return json.dumps(text, ensure_ascii=False)


class Matcher:
    """Where one reply stands in its grammar."""

    def __init__(self, matcher: Any, constraint: Constraint) -> None:
        self._matcher = matcher
        self._constraint = constraint
        self._require_sound()

    def allowed(self, width: int) -> Tensor:
        """Which tokens may come next, `[width]`, bool. End tokens are among them where the reply may end."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._require_sound()
        found = np.unpackbits(bits, count=min(width, bits.size * 8), bitorder="little").astype(bool)
        return torch.from_numpy(np.pad(found, (0, width - found.size)))

    def accept(self, token: int) -> bool:
        """Take in the next token; true where nothing can follow it."""
        self._matcher.consume_token(token)
        self._require_sound()
        return bool(self._matcher.is_stopped())

    def _require_sound(self) -> None:
        if self._matcher.is_error():
            kind = {"json_schema": "JSON schema", "regex": "regular expression", "lark": "lark grammar"}
            raise ConstraintError(
                found=f"a {kind[self._constraint.kind]} that cannot be followed: {self._matcher.get_error().strip()}",
                expected="one that llguidance reads",
                next_step="correct it, or leave out the part that is named",
            )


class Constraints:
    """The grammars of a batch of rows."""

    def __init__(self, backbone: Backbone, constraints: Sequence[Constraint | None]) -> None:
        self._matchers = {
            number: constraint.matcher(backbone)
            for number, constraint in enumerate(constraints)
            if constraint is not None
        }

    def mask(self, logits: Tensor, live: Sequence[int]) -> Tensor:
        """Logits `[rows, vocabulary]` in which no row can leave its grammar; `live` are the rows' numbers."""
        if not any(number in self._matchers for number in live):
            return logits
        logits = logits.clone()
        for place, number in enumerate(live):
            if number in self._matchers:
                allowed = self._matchers[number].allowed(logits.shape[-1]).to(logits.device)
                logits[place].masked_fill_(~allowed, -torch.inf)
        return logits

    def completes(self, number: int, token: int) -> bool:
        """Take in a row's next token; true where it is the last one of its grammar."""
        return number in self._matchers and self._matchers[number].accept(token)


def _dumped(schema: object) -> str:
    try:
        return json.dumps(schema)
    except (TypeError, ValueError) as error:
        raise ConstraintError(
            found=f"a JSON schema that is no JSON: {error}",
            expected="a mapping of strings, numbers, lists and mappings",
            next_step="for a pydantic class pass its `model_json_schema()`",
        ) from error


def one_call(tools: Sequence[Mapping[str, Any]], *, tagged: bool = True, longest: int = MAX_STRING) -> Constraint:
    """One call of one of the tools and nothing else.

    Args:
        tools: declarations of functions, with `name` and `parameters`, a JSON schema of an object.
        tagged: whether it stands between `<tool_call>` and `</tool_call>`.
        longest: characters of a string whose schema sets no `maxLength`.
    """
    names = [f"call_{number}" for number in range(len(tools))]
    opening, closing = (quoted("<tool_call>\n"), quoted("\n</tool_call>")) if tagged else ("", "")
    rules = [f"start: {opening} ({' | '.join(names)}) {closing}"]
    for name, tool in zip(names, tools, strict=True):
        head = f'{{"name": {json.dumps(tool["name"], ensure_ascii=False)}, "arguments": '
        rules.append(f"{name}: {quoted(head)} {name}_arguments {quoted('}')}")
        rules.append(f"{name}_arguments: {json_rule(_object(tool.get('parameters')), longest)}")
    return Constraint.lark("\n".join(rules))


def _object(parameters: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """A tool without arguments may declare none, or an object of nothing."""
    return parameters or {"type": "object", "properties": {}}
