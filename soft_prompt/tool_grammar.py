"""The grammar of a tool call, so that a call is always one of a tool there is, with arguments that fit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from soft_prompt.bounded_schema import MAX_STRING
from soft_prompt.constraint import Constraint, json_rule, quoted


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
