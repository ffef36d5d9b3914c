"""A backbone's tokenizer and chat template, which need none of its weights."""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import MutableMapping
from functools import cached_property
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

from prompts import Message, RenderedPrompt
from soft_prompt.errors import BackboneError
from soft_prompt.tokens.chat_layout import control_texts, has_place_for_tools, plain_chat, tool_layout

_MARKUP = re.compile(r"<[^<>\s]+>|\[/?[A-Z_]+\]")


class ChatTokens:
    """What turns text into token ids.

    Attributes:
        id: name by which the backbone is asked for.
        tokenizer: its fast tokenizer.
    """

    id: str
    tokenizer: Any

    @cached_property
    def written_controls(self) -> tuple[str, ...]:
        """How the tokenizer's control tokens are written: the special ones, and added ones that look like markup.

        Some backbones add `<tool_call>` or `<think>` without marking them as special; to the model they are controls
        all the same.
        """
        added = self.tokenizer.added_tokens_decoder.values()
        return tuple(token.content for token in added if token.special or _MARKUP.fullmatch(token.content))

    @cached_property
    def _unmarked(self) -> re.Pattern[str] | None:
        """Finds the controls that `split_special_tokens` does not take apart."""
        special = {token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        found = sorted(set(self.written_controls) - special, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, found))) if found else None

    def encode_text(self, text: str) -> list[int]:
        """Token ids of data. Control tokens written out in the text stay text."""
        cuts = [match.start() + 1 for match in self._unmarked.finditer(text)] if self._unmarked else []
        ids: list[int] = []
        tokenizer = data_tokenizer(self.tokenizer)
        for start, end in pairwise((0, *cuts, len(text))):
            ids += tokenizer.encode(text[start:end], add_special_tokens=False, split_special_tokens=True)
        return ids

    def encode_control(self, text: str) -> list[int]:
        """Token ids of the backbone's own control text."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def chat_controls(self, roles: tuple[str, ...]) -> list[str]:
        """Control texts around the contents of messages with these roles (see `chat_layout`)."""
        return control_texts(self._apply_chat_template, roles)

    @cached_property
    def renders_tools(self) -> bool:
        """Whether the backbone's own chat template has a place for tools, calls and results."""
        return self.tokenizer.chat_template is not None and has_place_for_tools(self._apply_chat_template)

    def tool_layout(self, prompt: RenderedPrompt) -> tuple[list[str], list[Message]]:
        """Control texts around the pieces of a prompt with tools, and those pieces (see `tool_layout`).

        Raises:
            BackboneError: the chat template has no place for tools, or a declaration holds a control token.
        """
        if not self.renders_tools:
            raise BackboneError(
                found=f"a prompt with tools, and the chat template of the backbone {self.id!r} has no place for them",
                expected="a prompt in which they are text",
                next_step="pass the prompt through prompts.tools_as_text first",
            )
        return tool_layout(self._apply_chat_template, prompt, self.written_controls)

    def _apply_chat_template(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None) -> str:
        if self.tokenizer.chat_template is None:
            return plain_chat(messages)
        try:
            rendered: str = self.tokenizer.apply_chat_template(
                messages, tools=tools, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # a chat template is foreign code and raises what it likes
            roles = tuple(message["role"] for message in messages)
            raise BackboneError(
                found=f"the chat template of the backbone {self.id!r} refuses the roles {roles}: {error}",
                expected="a chat template that takes system messages and any order of roles",
                next_step="choose a template with the roles that this backbone knows, or another backbone",
            ) from error
        return rendered


_copies: MutableMapping[Any, Any] = WeakKeyDictionary()
_making = threading.Lock()


def data_tokenizer(tokenizer: Any) -> Any:
    """The copy of a fast tokenizer that data is read with, made once. Call it with `split_special_tokens=True`."""
    with _making:
        if tokenizer not in _copies:
            made = copy.deepcopy(tokenizer)
            # The first call sets what every later one finds set.
            made.encode("", add_special_tokens=False, split_special_tokens=True)
            _copies[tokenizer] = made
        return _copies[tokenizer]
