"""A backbone's tokenizer and chat template, which need none of its weights."""

from __future__ import annotations

import copy
import re
from functools import cached_property
from itertools import pairwise
from typing import Any

from prompts import Message, RenderedPrompt
from soft_prompt.errors import BackboneError
from soft_prompt.tokens.chat_template import (
    KnownTexts,
    control_texts,
    default_chat_template,
    template_supports_tools,
)
from soft_prompt.tokens.limited_rendering import RenderLimitError, render_chat

_MARKUP = re.compile(r"<[^<>\s]+>|\[/?[A-Z_]+\]")


class ChatTokenizer:
    """Turns text into token ids, and knows the control text of the chat template.

    Attributes:
        id: name of the backbone.
        tokenizer: its fast tokenizer.
    """

    id: str
    tokenizer: Any

    @cached_property
    def control_tokens(self) -> tuple[str, ...]:
        """Text of the tokenizer's control tokens: the special ones, and added ones that look like markup.

        Some backbones add `<tool_call>` or `<think>` without marking them as special, but the model treats them as
        control tokens.
        """
        added = self.tokenizer.added_tokens_decoder.values()
        return tuple(token.content for token in added if token.special or _MARKUP.fullmatch(token.content))

    @cached_property
    def _unmarked_controls(self) -> re.Pattern[str] | None:
        """Matches the control tokens that `split_special_tokens` does not split."""
        special = {token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        unmarked = sorted(set(self.control_tokens) - special, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, unmarked))) if unmarked else None

    @cached_property
    def _data_tokenizer(self) -> Any:
        """A copy for data: `split_special_tokens` changes a tokenizer's state, so control text needs another one."""
        copied = copy.deepcopy(self.tokenizer)
        # The first call sets the state. Later calls, perhaps in several threads, do not change it.
        copied.encode("", add_special_tokens=False, split_special_tokens=True)
        return copied

    def encode_text(self, text: str) -> list[int]:
        """Token ids of data. Control tokens written out in the text stay text."""
        pattern = self._unmarked_controls
        cuts = [match.start() + 1 for match in pattern.finditer(text)] if pattern else []
        ids: list[int] = []
        for start, end in pairwise((0, *cuts, len(text))):
            ids += self._data_tokenizer.encode(text[start:end], add_special_tokens=False, split_special_tokens=True)
        return ids

    def encode_control(self, text: str) -> list[int]:
        """Token ids of the backbone's own control text."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    @cached_property
    def _known_texts(self) -> KnownTexts:
        return KnownTexts()

    @cached_property
    def supports_tools(self) -> bool:
        """Whether the backbone's own chat template writes tools, calls and results."""
        return self.tokenizer.chat_template is not None and template_supports_tools(self._apply_chat_template)

    def control_texts(self, prompt: RenderedPrompt) -> tuple[list[str], list[Message]]:
        """The control texts of a prompt, and the contents between them (see `chat_template.control_texts`).

        Raises:
            BackboneError: if the chat template does not take these messages or tools, or a declaration holds a control
                token.
        """
        has_tools = prompt.tools or any(message.calls or message.role == "tool" for message in prompt.messages)
        if has_tools and not self.supports_tools:
            raise BackboneError(
                found=f"a prompt with tools, and the chat template of the backbone {self.id!r} has no place for them",
                expected="a prompt in which they are text",
                next_step="pass the prompt through prompts.tools_as_text first",
            )
        template = str(self.tokenizer.chat_template)
        return control_texts(self._apply_chat_template, prompt, self.control_tokens, self._known_texts, template)

    def _apply_chat_template(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> str:
        if self.tokenizer.chat_template is None:
            return default_chat_template(messages)
        try:
            return render_chat(self.tokenizer, messages, tools)
        except RenderLimitError as error:
            raise BackboneError(
                found=f"the chat template of the backbone {self.id!r} {error}",
                expected="a chat template that writes the messages and ends",
                next_step="choose another backbone, or repair chat_template.jinja in its folder",
            ) from error
        except Exception as error:  # a chat template is foreign code and may raise anything
            roles = tuple(message["role"] for message in messages)
            raise BackboneError(
                found=f"the chat template of the backbone {self.id!r} refuses the roles {roles}: {error}",
                expected="a chat template that takes system messages and any order of roles",
                next_step="choose a template with the roles that this backbone knows, or another backbone",
            ) from error
