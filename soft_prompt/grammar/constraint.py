"""Constrained decoding: replies that match a JSON schema, a regular expression, a choice or a lark grammar.

Before each token, llguidance (https://github.com/guidance-ai/llguidance) computes which tokens the grammar allows, and
all others get the probability 0.
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

# First and last character of an excerpt.
_FIRST, _LAST = r"[^\s*|#-]", r"[^\s|]"
# No free white space, which a small model could repeat without end, and the spacing of most JSON in its training data.
_JSON: Any = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a reply must match, from its first character to its last. Checked on first use.

    Attributes:
        kind: format of the source.
        source: text of the grammar; for a JSON schema, its JSON.
    """

    kind: Literal["json_schema", "regex", "lark"]
    source: str

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any] | bool, *, max_string_length: int = MAX_STRING) -> Constraint:
        """A JSON value that is valid for the schema.

        A schema without limits gets some, so that a reply ends (see `soft_prompt.grammar.bounded_schema`): a string
        without `maxLength` has at most `max_string_length` characters.

        Raises:
            ConstraintError: if the schema is not JSON, or is nested too deeply.
        """
        return cls("json_schema", _to_json(_bounded(schema, max_string_length)))

    @classmethod
    def regex(cls, pattern: str) -> Constraint:
        """A text that fully matches a regular expression (in the syntax of Rust's `regex`, without look-around)."""
        return cls("regex", pattern)

    @classmethod
    def choice(cls, options: Sequence[str]) -> Constraint:
        """One of several texts.

        Raises:
            ConstraintError: if there are none, or one is empty.
        """
        if isinstance(options, str) or not options or "" in options:
            raise ConstraintError(
                found=f"a choice of {options!r}",
                expected="a list of at least one text, none of them empty",
                next_step="correct the constraint",
            )
        return cls("lark", "start: " + " | ".join(map(_quoted, options)))

    @classmethod
    def excerpt(cls, texts: Sequence[Sequence[str]]) -> Constraint:
        """One or more consecutive chunks of one of several texts, verbatim; each text is a list of its chunks.

        An excerpt neither begins nor ends with white space, a list marker or a table border.

        Raises:
            ConstraintError: if there is no text, or one is empty.
        """
        if not texts or not all("".join(chunks) for chunks in texts):
            raise ConstraintError(
                found="a text without content to take an excerpt of" if texts else "no text to take an excerpt of",
                expected="texts of at least one character",
                next_step="leave the empty text out",
            )
        rules = ["start: " + " | ".join(f"EXCERPT{number}" for number in range(len(texts)))]
        for number, chunks in enumerate(texts):
            # Without this, an excerpt could be empty.
            rules.append(f"EXCERPT{number}: TEXT{number} & /{_FIRST}((?s:.*){_LAST})?/")
            rules.append(f"TEXT{number}: %regex {_to_json({'substring_chunks': list(chunks)})}")
        return cls("lark", "\n".join(rules))

    @classmethod
    def lark(cls, grammar: str) -> Constraint:
        """A text that matches a grammar in llguidance's dialect of lark."""
        return cls("lark", grammar)

    def matcher(self, backbone: Backbone) -> Matcher:
        """A matcher for one reply.

        Raises:
            ConstraintError: if the source is invalid, or uses what llguidance does not support.
            BackboneError: if llguidance does not support the backbone's tokenizer.
        """
        from llguidance import LLMatcher

        tokenizer = backbone.grammar_tokenizer
        try:
            if self.kind == "json_schema":
                grammar = LLMatcher.grammar_from_json_schema(self.source, overrides=_JSON)
            elif self.kind == "regex":
                grammar = LLMatcher.grammar_from_regex(self.source)
            else:
                grammar = LLMatcher.grammar_from_lark(self.source)
            matcher = LLMatcher(tokenizer, grammar, log_level=0)
        except ValueError as error:
            # A source that is not even JSON, or not Unicode.
            raise _unsupported(self, str(error)) from error
        return Matcher(matcher, self)


def _quoted(text: str) -> str:
    """A text as a literal of a lark grammar."""
    return json.dumps(text, ensure_ascii=False)


class Matcher:
    """The state of one reply in its grammar."""

    def __init__(self, matcher: Any, constraint: Constraint) -> None:
        self._matcher = matcher
        self._constraint = constraint
        self._raise_on_error()

    def allowed_tokens(self, vocabulary: int) -> Tensor:
        """Which tokens may come next, `[vocabulary]`, bool. Includes the end tokens if the reply may end."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._raise_on_error()
        allowed = np.unpackbits(bits, count=min(vocabulary, bits.size * 8), bitorder="little").astype(bool)
        return torch.from_numpy(np.pad(allowed, (0, vocabulary - allowed.size)))

    def accept(self, token: int) -> bool:
        """Advance by one token. Returns True if no token can follow it."""
        self._matcher.consume_token(token)
        self._raise_on_error()
        return bool(self._matcher.is_stopped())

    def _raise_on_error(self) -> None:
        if self._matcher.is_error():
            raise _unsupported(self._constraint, self._matcher.get_error().strip())


def _unsupported(constraint: Constraint, reason: str) -> ConstraintError:
    kind = {"json_schema": "JSON schema", "regex": "regular expression", "lark": "lark grammar"}[constraint.kind]
    return ConstraintError(
        found=f"an invalid or unsupported {kind}: {reason}",
        expected="one that llguidance supports",
        next_step="correct it, or leave out the named part",
    )


class BatchConstraints:
    """The constraints of a batch of rows."""

    def __init__(self, backbone: Backbone, constraints: Sequence[Constraint | None]) -> None:
        self._matchers = {n: constraint.matcher(backbone) for n, constraint in enumerate(constraints) if constraint}

    def mask(self, logits: Tensor, live: Sequence[int]) -> Tensor:
        """Logits with forbidden tokens at minus infinity, `[rows, vocabulary]`; `live` has each row's number."""
        if not any(number in self._matchers for number in live):
            return logits
        logits = logits.clone()
        for index, number in enumerate(live):
            if number in self._matchers:
                allowed = self._matchers[number].allowed_tokens(logits.shape[-1]).to(logits.device)
                logits[index].masked_fill_(~allowed, -torch.inf)
        return logits

    def completes(self, number: int, token: int) -> bool:
        """Advance a row by one token. Returns True if its grammar allows no other token after it."""
        return number in self._matchers and self._matchers[number].accept(token)


def _bounded(schema: Any, max_string_length: int) -> Any:
    try:
        return bounded(schema, max_string_length)
    except RecursionError as error:
        raise ConstraintError(
            found="a JSON schema that is nested too deeply",
            expected="at most a few dozen levels",
            next_step="use fewer levels",
        ) from error


def _to_json(schema: object) -> str:
    try:
        return json.dumps(schema)
    except (TypeError, ValueError) as error:
        raise ConstraintError(
            found=f"a JSON schema that is not JSON: {error}",
            expected="a mapping of strings, numbers, lists and mappings",
            next_step="for a pydantic class pass its `model_json_schema()`",
        ) from error


def tool_call_constraint(
    tools: Sequence[Mapping[str, Any]], *, tagged: bool = True, max_string_length: int = MAX_STRING
) -> Constraint:
    """Exactly one call of one of the tools, between `<tool_call>` and `</tool_call>` if it is tagged.

    Tools are function declarations with `name` and `parameters`, a JSON schema of an object, which gets limits as in
    `Constraint.json_schema`.

    Raises:
        ConstraintError: if the parameters are not JSON, or are nested too deeply.
    """
    names = [f"call_{number}" for number in range(len(tools))]
    opening, closing = (_quoted("<tool_call>\n"), _quoted("\n</tool_call>")) if tagged else ("", "")
    rules = [f"start: {opening} ({' | '.join(names)}) {closing}"]
    for name, tool in zip(names, tools, strict=True):
        head = f'{{"name": {json.dumps(tool["name"], ensure_ascii=False)}, "arguments": '
        rules.append(f"{name}: {_quoted(head)} {name}_arguments {_quoted('}')}")
        # A tool without arguments may declare no parameters at all.
        parameters = tool.get("parameters") or {"type": "object", "properties": {}}
        schema = {**_bounded(parameters, max_string_length), "x-guidance": _JSON}
        rules.append(f"{name}_arguments: %json {_to_json(schema)}")
    return Constraint.lark("\n".join(rules))
