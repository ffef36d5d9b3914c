"""A chat model with settings bound to it, which keeps them when tools or a schema are bound as well."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableBinding


class ChatBinding(RunnableBinding[LanguageModelInput, AIMessage]):
    """What `SoftPromptChat.bind` gives.

    LangChain's own hands these calls to the bare model, and what was bound before is lost.
    """

    @classmethod
    def lc_id(cls) -> list[str]:
        """Behaves as a plain binding, and is shown as one."""
        return [*RunnableBinding.get_lc_namespace(), "RunnableBinding"]

    def bind_tools(self, tools: Any, **settings: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """As `SoftPromptChat.bind_tools`."""
        bound: Any = self.bound
        before = {name: value for name, value in self.kwargs.items() if name not in ("tools", "tool_choice")}
        return self._kept(bound.bind_tools(tools, **{**before, **settings}))

    def with_structured_output(self, schema: Any, **settings: Any) -> Runnable[LanguageModelInput, Any]:
        """As `SoftPromptChat.with_structured_output`."""
        bound: Any = self.bound
        return self._kept(bound.with_structured_output(schema, **{**self.kwargs, **settings}))

    def _kept(self, runnable: Runnable[Any, Any]) -> Runnable[Any, Any]:
        return runnable.with_config(self.config) if self.config else runnable
