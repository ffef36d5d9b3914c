"""A template of `prompts` as a LangChain `ChatPromptTemplate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from langchain_core.messages import BaseMessage
from langchain_core.prompts import (
    AIMessagePromptTemplate,
    ChatPromptTemplate,
    HumanMessagePromptTemplate,
    MessagesPlaceholder,
    SystemMessagePromptTemplate,
)
from pydantic import PrivateAttr

from chains.errors import InputError
from chains.messages.content import plain_text, soft_block, to_messages
from prompts import Example, PassageInput, Slot, Template, Turn
from prompts.pieces import Conditional
from prompts.template import EXAMPLES, MessageTemplate

_PATTERNS = {
    "system": SystemMessagePromptTemplate,
    "user": HumanMessagePromptTemplate,
    "assistant": AIMessagePromptTemplate,
}


class GraftPromptTemplate(ChatPromptTemplate):
    """A compiled template. Its soft slot is a content block, and its inputs are cleaned of such blocks.

    `format_messages` keeps every passage in a block of its own, so that segments are tokenised alone and the model
    can reuse what it has computed for a passage.
    """

    _template: Template = PrivateAttr()

    @classmethod
    def compile(cls, template: Template) -> GraftPromptTemplate:
        """Compile a checked template."""
        patterns = [_compile(template, p) for p in template.messages]
        compiled = cast(GraftPromptTemplate, cls.from_messages(patterns))
        optional = {*template.optional, *compiled.optional_variables}
        compiled.optional_variables = sorted({*optional, *([EXAMPLES] if template.chooses_examples else [])})
        compiled.input_variables = sorted(set(template.inputs) - optional)
        compiled._template = template
        return compiled

    def format_messages(self, **kwargs: Any) -> list[BaseMessage]:
        """Messages with the values put in.

        Args:
            **kwargs: one value for each declared input: strings, messages or block lists for text, a sequence of
                `PassageInput` for passages, of turns, messages or (question, answer) pairs for history, and of
                `Example` or (question, answer) pairs for the examples of a template that chooses some. Optional inputs
                may be left out.

        Raises:
            PromptError: an unknown or a missing input.
            InputError: a value of a kind that is not taken.
        """
        kinds = {**self._template.inputs, **({EXAMPLES: EXAMPLES} if self._template.chooses_examples else {})}
        kwargs = self._merge_partial_and_user_variables(**kwargs)
        values = {name: _clean(kinds.get(name, "text"), value) for name, value in kwargs.items()}
        return to_messages(self._template.render(values))

    def partial(self, **kwargs: Any) -> GraftPromptTemplate:
        """The same template with some inputs given beforehand."""
        made = cast(GraftPromptTemplate, super().partial(**kwargs))
        made._template = self._template
        return made

    async def aformat_messages(self, **kwargs: Any) -> list[BaseMessage]:
        """As `format_messages`."""
        return self.format_messages(**kwargs)


def history_turns(history: object) -> list[Turn]:
    """Turns from a history as callers give it: (question, answer) pairs, turns, or LangChain messages.

    Raises:
        InputError: anything else.
    """
    if isinstance(history, str) or not isinstance(history, Sequence):
        raise _bad_history(history)
    turns: list[Turn] = []
    for entry in history:
        if isinstance(entry, Turn):
            turns.append(entry)
        elif isinstance(entry, BaseMessage):
            if entry.type not in ("human", "ai"):
                raise _bad_history(entry)
            turns.append(Turn("user" if entry.type == "human" else "assistant", plain_text(entry)))
        elif isinstance(entry, (list, tuple)) and len(entry) == 2:
            turns += [Turn("user", plain_text(entry[0])), Turn("assistant", plain_text(entry[1]))]
        elif isinstance(entry, dict) and entry.get("role") in ("user", "assistant"):
            turns.append(Turn(entry["role"], plain_text(entry.get("content"))))
        else:
            raise _bad_history(entry)
    return turns


def _bad_history(found: object) -> InputError:
    return InputError(
        found=f"a history with a {type(found).__name__}",
        expected="a list of [question, answer] pairs, or of human and ai messages",
        next_step='call the chain with {"question": "...", "history": [["...", "..."]]}',
    )


def _clean(kind: str, value: object) -> object:
    if kind == "history":
        return history_turns(value)
    if kind == EXAMPLES:
        return _examples(value)
    if kind == "passages":
        if isinstance(value, Sequence) and all(isinstance(entry, PassageInput) for entry in value):
            return value
        raise InputError(
            found=f"passages given as {type(value).__name__}",
            expected="a sequence of prompts.PassageInput",
            next_step="pass the passages that the retriever found",
        )
    return plain_text(value)


def _examples(value: object) -> list[Example]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _bad_examples(value)
    found = []
    for entry in value:
        if isinstance(entry, Example):
            found.append(entry)
        elif isinstance(entry, (list, tuple)) and len(entry) == 2:
            found.append(Example(plain_text(entry[0]), plain_text(entry[1])))
        else:
            raise _bad_examples(entry)
    return found


def _bad_examples(found: object) -> InputError:
    return InputError(
        found=f"examples with a {type(found).__name__}",
        expected="a list of prompts.Example, or of [question, answer] pairs",
        next_step="pass the examples as examples=[[question, answer], ...]",
    )


def _compile(template: Template, pattern: MessageTemplate) -> Any:
    """What LangChain shows of a message; the messages themselves come from the template's own rendering."""
    if pattern.role == "history":
        return MessagesPlaceholder("history", optional=True)
    if pattern.role == EXAMPLES:
        return MessagesPlaceholder(EXAMPLES, optional=True)
    blocks: list[Any] = []
    text = ""
    for piece in pattern.pieces:
        if isinstance(piece, Conditional):
            continue
        if isinstance(piece, Slot) and piece.name in template.soft_slots:
            if text:
                blocks.append({"type": "text", "text": text})
            blocks.append(soft_block(piece.name))
            text = ""
        else:
            text += "{" + piece.name + "}" if isinstance(piece, Slot) else piece.replace("{", "{{").replace("}", "}}")
    if text:
        blocks.append({"type": "text", "text": text})
    return _PATTERNS[pattern.role].from_template(blocks)
