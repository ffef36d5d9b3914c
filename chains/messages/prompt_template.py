"""A template of `prompts` as a LangChain `ChatPromptTemplate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
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
from prompts.pieces import Conditional, to_source
from prompts.template import EXAMPLES, MessageTemplate

_PROMPT_CLASSES = {
    "system": SystemMessagePromptTemplate,
    "user": HumanMessagePromptTemplate,
    "assistant": AIMessagePromptTemplate,
}


class GraftPromptTemplate(ChatPromptTemplate):
    """A compiled template. A soft slot becomes a content block; such blocks are removed from the inputs.

    `format_messages` creates one block per passage, so that each is tokenised separately and the model can reuse its
    cached keys and values.
    """

    _template: Template = PrivateAttr()

    @classmethod
    def compile(cls, template: Template) -> GraftPromptTemplate:
        prompts = [_compile(template, p) for p in template.messages]
        compiled = cast(GraftPromptTemplate, cls.from_messages(prompts))
        # LangChain takes the place of the examples for an input, even if the template has all of them itself.
        optional = {*template.optional, *compiled.optional_variables} - {EXAMPLES}
        compiled.optional_variables = sorted({*optional, *([EXAMPLES] if template.chooses_examples else [])})
        if not template.chooses_examples:
            compiled.partial_variables = {n: v for n, v in compiled.partial_variables.items() if n != EXAMPLES}
        compiled.input_variables = sorted(set(template.inputs) - optional)
        compiled._template = template
        return compiled

    def format_messages(self, **kwargs: Any) -> list[BaseMessage]:
        """Render the template to messages.

        Args:
            **kwargs: one value per declared input: strings, messages or block lists for text; a sequence of
                `PassageInput` for passages, of `Turn`, messages or (question, answer) pairs for history, and of
                `Example` or (question, answer) pairs for chosen examples. Optional inputs may be left out.

        Raises:
            PromptError: if an input is unknown or missing.
            InputError: if a value has an unsupported type.
        """
        kinds = {**self._template.inputs, **({EXAMPLES: EXAMPLES} if self._template.chooses_examples else {})}
        kwargs = self._merge_partial_and_user_variables(**kwargs)
        values = {name: _convert(kinds.get(name, "text"), value) for name, value in kwargs.items()}
        return to_messages(self._template.render(values))

    def partial(self, **kwargs: Any) -> GraftPromptTemplate:
        partial = cast(GraftPromptTemplate, super().partial(**kwargs))
        partial._template = self._template
        return partial

    async def aformat_messages(self, **kwargs: Any) -> list[BaseMessage]:
        return self.format_messages(**kwargs)


def history_turns(history: object) -> list[Turn]:
    """Convert a caller's history to `Turn`s: (question, answer) pairs, `Turn`s, or LangChain messages."""
    if isinstance(history, str) or not isinstance(history, Sequence):
        raise _bad_history(history)
    turns: list[Turn] = []
    for entry in history:
        if isinstance(entry, Turn):
            turns.append(entry)
        elif isinstance(entry, BaseMessage):
            # Chunks of a streamed answer have a type of their own.
            if not isinstance(entry, HumanMessage | AIMessage):
                raise _bad_history(entry)
            turns.append(Turn("user" if isinstance(entry, HumanMessage) else "assistant", plain_text(entry)))
        elif isinstance(entry, (list, tuple)) and len(entry) == 2:
            turns += [Turn("user", plain_text(entry[0])), Turn("assistant", plain_text(entry[1]))]
        elif isinstance(entry, dict) and entry.get("role") in ("user", "assistant"):
            turns.append(Turn(entry["role"], plain_text(entry.get("content"))))
        else:
            raise _bad_history(entry)
    return turns


def _bad_history(entry: object) -> InputError:
    return InputError(
        found=f"a history with a {type(entry).__name__}",
        expected="a list of [question, answer] pairs, or of human and ai messages",
        next_step='call the chain with {"question": "...", "history": [["...", "..."]]}',
    )


def _convert(kind: str, value: object) -> object:
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
            next_step="convert the retrieved passages with PassageInput",
        )
    return plain_text(value)


def _examples(value: object) -> list[Example]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _bad_examples(value)
    examples = []
    for entry in value:
        if isinstance(entry, Example):
            examples.append(entry)
        elif isinstance(entry, (list, tuple)) and len(entry) == 2:
            examples.append(Example(plain_text(entry[0]), plain_text(entry[1])))
        else:
            raise _bad_examples(entry)
    return examples


def _bad_examples(entry: object) -> InputError:
    return InputError(
        found=f"examples with a {type(entry).__name__}",
        expected="a list of prompts.Example, or of [question, answer] pairs",
        next_step="pass the examples as examples=[[question, answer], ...]",
    )


def _compile(template: Template, message: MessageTemplate) -> Any:
    """The LangChain prompt of a message, for display; `format_messages` uses the template's own rendering."""
    if message.role == "history":
        return MessagesPlaceholder("history", optional=True)
    if message.role == EXAMPLES:
        return MessagesPlaceholder(EXAMPLES, optional=True)
    blocks: list[Any] = []
    text = ""
    for piece in message.pieces:
        if isinstance(piece, Conditional):
            continue
        if isinstance(piece, Slot) and piece.name in template.soft_slots:
            if text:
                blocks.append({"type": "text", "text": text})
            blocks.append(soft_block(piece.name))
            text = ""
        else:
            text += to_source([piece])
    if text:
        blocks.append({"type": "text", "text": text})
    return _PROMPT_CLASSES[message.role].from_template(blocks)
