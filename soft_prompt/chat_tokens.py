"""A backbone's tokenizer and chat template, which need none of its weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from prompts import Message, RenderedPrompt
from soft_prompt.chat_layout import control_texts, plain_chat
from soft_prompt.context_length import context_tokens
from soft_prompt.data_tokenizer import data_tokenizer
from soft_prompt.errors import BackboneError
from soft_prompt.tool_layout import has_place_for_tools, tool_layout

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


@dataclass(frozen=True, eq=False)
class TokenizerAlone(ChatTokens):
    """The tokenizer of a backbone whose weights are not loaded, and the length of its context."""

    id: str
    tokenizer: Any
    max_tokens: int

    @classmethod
    def load(cls, name: str) -> TokenizerAlone:
        """Load the tokenizer of a backbone.

        Args:
            name: `embedded`, a local folder, or a Hugging Face model id.

        Raises:
            BackboneError: not found, or it brings no tokenizer that is supported.
        """
        from transformers import AutoConfig, AutoTokenizer

        from soft_prompt.backbone import backbone_folder

        folder = backbone_folder(name)
        try:
            context = context_tokens(AutoConfig.from_pretrained(folder))
            return cls(name, AutoTokenizer.from_pretrained(folder), context)
        except (OSError, ValueError, RuntimeError) as error:
            raise BackboneError(
                found=f"the tokenizer of the backbone {name!r} does not load: {str(error).splitlines()[0]}",
                expected="a fast tokenizer that Transformers reads",
                next_step="check `backbone:` in domain.yaml",
            ) from error
