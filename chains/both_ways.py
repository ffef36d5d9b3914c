"""A function and its async twin as one runnable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig


class BothWays(Runnable[Any, dict[str, Any]]):
    """What LangChain's `RunnableLambda` is, but that one keeps the last 256 functions of a process alive, and with them
    whatever they refer to, such as a model (github.com/langchain-ai/langchain/issues/30667).

    Either function may take `config` as its second argument.
    """

    def __init__(self, run: Callable[..., dict[str, Any]], arun: Callable[..., Awaitable[dict[str, Any]]]) -> None:
        self._run, self._arun = run, arun

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Run the function."""
        return self._call_with_config(self._run, input, config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Run its async twin."""
        return await self._acall_with_config(self._arun, input, config, **kwargs)
