"""Runs of a Runnable that streams: callbacks, tracers and event streams see it by its name, with inputs and outputs.

LangChain's own helpers open and end the runs; the work below them gets a config whose runs are children.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import aclosing, closing
from typing import Any, TypeVar, cast

from langchain_core.callbacks import AsyncCallbackManagerForChainRun, BaseCallbackManager, CallbackManagerForChainRun
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tracers.base import BaseTracer

Input = TypeVar("Input")
Output = TypeVar("Output")
Part = TypeVar("Part")
_RunManager = CallbackManagerForChainRun | AsyncCallbackManagerForChainRun


class TracedRunnable(Runnable[Input, Output]):
    """A Runnable whose four ways to call it open one run each, around a function that does the work."""

    def _traced_invoke(
        self,
        work: Callable[[Input, RunnableConfig], Output],
        input: Input,
        config: RunnableConfig | None,
    ) -> Output:
        def run(given: Input, run_manager: CallbackManagerForChainRun) -> Output:
            return work(given, _child_config(config, run_manager))

        return self._call_with_config(run, input, config)

    async def _traced_ainvoke(
        self,
        work: Callable[[Input, RunnableConfig], Any],
        input: Input,
        config: RunnableConfig | None,
    ) -> Output:
        async def run(given: Input, run_manager: AsyncCallbackManagerForChainRun) -> Output:
            done: Output = await work(given, _child_config(config, run_manager))
            return done

        return await self._acall_with_config(run, input, config)

    def _traced_stream(
        self,
        work: Callable[[Input, RunnableConfig], Generator[Part]],
        input: Input,
        config: RunnableConfig | None,
    ) -> Iterator[Part]:
        def run(inputs: Iterator[Input], run_manager: CallbackManagerForChainRun) -> Iterator[Part]:
            [given] = inputs
            with closing(work(given, _child_config(config, run_manager))) as parts:
                yield from parts

        yield from self._transform_stream_with_config(iter([input]), run, config)  # type: ignore[arg-type, misc]

    async def _traced_astream(
        self,
        work: Callable[[Input, RunnableConfig], AsyncGenerator[Part]],
        input: Input,
        config: RunnableConfig | None,
    ) -> AsyncIterator[Part]:
        async def inputs() -> AsyncIterator[Input]:
            yield input

        async def run(
            inputs: AsyncIterator[Input], run_manager: AsyncCallbackManagerForChainRun
        ) -> AsyncIterator[Part]:
            [given] = [one async for one in inputs]
            async with aclosing(work(given, _child_config(config, run_manager))) as parts:
                async for part in parts:
                    yield part

        stream: Any = self._atransform_stream_with_config(inputs(), run, config)  # type: ignore[arg-type]
        async with aclosing(stream) as parts:
            async for part in parts:
                yield part


def _child_config(config: RunnableConfig | None, run_manager: _RunManager) -> RunnableConfig:
    """The caller's own config, with the run as the parent of what is called.

    What surrounds the call is not part of it: the thread of a graph that calls a chain is not the chain's.
    """
    child: BaseCallbackManager = run_manager.get_child()
    # `collect_runs` does not pass its tracer on, and LangGraph does not look for it: its runs would be missing.
    for handler in run_manager.handlers:
        if isinstance(handler, BaseTracer) and handler not in child.handlers:
            child.add_handler(handler)
    own = {key: value for key, value in (config or {}).items() if key not in ("run_id", "run_name")}
    return cast(RunnableConfig, {**own, "callbacks": child})
