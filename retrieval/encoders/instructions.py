"""The instructions that a sentence-transformers model wants before queries and before passages.

Models name them differently: E5 has `query` and `passage`, Nomic `search_query` and `search_document`, BGE and many
others only `query`. sentence-transformers itself adds an empty `document` prompt to every model, which would hide the
others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

# The first of these that a model has counts, whatever its capitals and separators.
_QUERY_NAMES = ("query", "search_query", "retrieval_query", "s2p_query", "web_search_query", "queries", "question")
_PASSAGE_NAMES = (
    "document", "passage", "corpus", "search_document", "search_passage", "retrieval_document", "retrieval_passage",
    "documents", "passages",
)  # fmt: skip


class Instructions(NamedTuple):
    """What is put before each query and before each passage; empty for nothing."""

    query: str
    passage: str


def instructions_of(prompts: Mapping[str, str | None], default_name: str | None) -> Instructions:
    """The instructions in the prompts of a model's configuration.

    The prompt with the default name stands for one that the model does not name, unless it is the other one's.
    """
    named = {_plain(name): text or "" for name, text in prompts.items()}
    query, passage = _first(named, _QUERY_NAMES), _first(named, _PASSAGE_NAMES)
    default = (prompts.get(default_name) or "") if default_name is not None else ""
    return Instructions(
        query=query or (default if default != passage else ""),
        passage=passage or (default if default != query else ""),
    )


def _first(named: Mapping[str, str], names: Sequence[str]) -> str:
    return next((named[name] for name in names if named.get(name)), "")


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_").replace(" ", "_")
