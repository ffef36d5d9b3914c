"""A task as a runnable: what its model is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chains.tasks.task_chain import TaskChain


class Echo:
    """A task that gives its texts back."""

    def run(self, texts: Sequence[str], *, on_reply: Any = None) -> list[dict[str, Any]]:
        return [{"text": text} for text in texts]

    def replies(self, texts: Sequence[str], *, on_reply: Any = None) -> list[str]:
        return list(texts)


def test_half_a_character_is_replaced() -> None:
    chain = TaskChain(Echo(), "echo")
    assert chain.invoke("a\ud800") == {"text": "a\ufffd"}
    assert chain.batch([{"text": "a\ud800"}, "b"]) == [{"text": "a\ufffd"}, {"text": "b"}]
