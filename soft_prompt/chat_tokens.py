"""A backbone's tokenizer and chat template, which need none of its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from soft_prompt.chat_layout import control_texts, plain_chat
from soft_prompt.context_length import context_tokens
from soft_prompt.errors import BackboneError


class ChatTokens:
    """What turns text into token ids.

    Attributes:
        id: name by which the backbone is asked for.
        tokenizer: its fast tokenizer.
    """

    id: str
    tokenizer: Any

    def encode_text(self, text: str) -> list[int]:
        """Token ids of data. Control tokens written out in the text stay text."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        return ids

    def encode_control(self, text: str) -> list[int]:
        """Token ids of the backbone's own control text."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def chat_controls(self, roles: tuple[str, ...]) -> list[str]:
        """Control texts around the contents of messages with these roles (see `chat_layout`)."""

        def apply(messages: list[dict[str, str]]) -> str:
            if self.tokenizer.chat_template is None:
                return plain_chat(messages)
            try:
                rendered: str = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            except Exception as error:  # a chat template is foreign code and raises what it likes
                raise BackboneError(
                    found=f"the chat template of the backbone {self.id!r} refuses the roles {roles}: {error}",
                    expected="a chat template that takes system messages and any order of roles",
                    next_step="choose a template with the roles that this backbone knows, or another backbone",
                ) from error
            return rendered

        return control_texts(apply, roles)


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
