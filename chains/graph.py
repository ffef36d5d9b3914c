"""The conversational graph: condense, retrieve, answer, cite.

The state holds plain dicts and strings only, so that it survives a checkpoint of plain data.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from chains.answering import Answering, Evidence
from chains.citations import Cited
from prompts import Turn
from retrieval import Passage, RankedPassage

# What a ranking says of a passage, besides the passage itself.
_RANKS = tuple(f.name for f in fields(RankedPassage) if f.name != "passage")


class TurnRecord(TypedDict):
    """One exchange as memory keeps it."""

    question: str
    answer: str
    citations: list[dict[str, Any]]


class ChainState(TypedDict, total=False):
    """What flows through the graph.

    `history` is a history that the caller gives for this call alone; without one, `turns`, the memory, counts.
    """

    question: str
    history: list[dict[str, str]] | None
    query: str
    evidence: list[dict[str, Any]]
    evidence_score: float | None
    refused: bool
    answer: str
    citations: list[dict[str, Any]]
    turns: Annotated[list[TurnRecord], operator.add]


def build_graph(answering: Answering, checkpointer: BaseCheckpointSaver[str] | None) -> CompiledStateGraph[Any]:
    """Compile the graph of one domain; without a checkpointer it remembers nothing."""

    def condense(state: ChainState) -> dict[str, Any]:
        return {"query": answering.query(state["question"], _turns(state))}

    def retrieve(state: ChainState) -> dict[str, Any]:
        [found] = answering.evidence_many([state["query"]])
        evidence = answering.fitting(state["question"], _turns(state), found)
        if cut := len(found.passages) - len(evidence.passages):
            notice = (
                f"{cut} of {len(found.passages)} passages were left out, the weakest first: the model's context is full"
            )
            get_stream_writer()({"notices": [notice]})
        return {
            "evidence": [evidence_record(entry) for entry in evidence.passages],
            "evidence_score": evidence.score,
            "refused": not evidence.enough,
        }

    def answer(state: ChainState, config: RunnableConfig) -> dict[str, Any]:
        write = get_stream_writer()
        pieces = []
        for piece in trimmed(_words(state, config)):
            write({"answer": piece})
            pieces.append(piece)
        return {"answer": "".join(pieces)}

    def _words(state: ChainState, config: RunnableConfig) -> Iterable[str]:
        if state["refused"]:
            return [answering.settings.refusal]
        evidence = Evidence(tuple(_ranked(record) for record in state["evidence"]), None, True)
        prompt = answering.prompt(state["question"], _turns(state), evidence)
        return answering.speaker.stream(prompt, config)

    def tie(state: ChainState) -> dict[str, Any]:
        evidence = Evidence(tuple(_ranked(record) for record in state["evidence"]), None, True)
        found = Cited([], []) if state["refused"] else answering.cited(state["question"], state["answer"], evidence)
        if found.notices:
            get_stream_writer()({"notices": found.notices})
        citations = [asdict(citation) for citation in found.citations]
        turn = TurnRecord(question=state["question"], answer=state["answer"], citations=citations)
        return {"citations": citations, "turns": [turn]}

    graph = StateGraph(ChainState)
    for name, node in (("condense", condense), ("retrieve", retrieve), ("answer", answer), ("cite", tie)):
        graph.add_node(name, node)
    for start, end in ((START, "condense"), ("condense", "retrieve"), ("retrieve", "answer"), ("answer", "cite"),
                       ("cite", END)):  # fmt: skip
        graph.add_edge(start, end)
    return graph.compile(checkpointer=checkpointer)


def evidence_record(entry: RankedPassage) -> dict[str, Any]:
    """A ranked passage as plain data."""
    return {**asdict(entry.passage), **{name: getattr(entry, name) for name in _RANKS}}


def trimmed(pieces: Iterable[str]) -> Iterator[str]:
    """The pieces without white space around the whole."""
    held = ""
    begun = False
    for piece in pieces:
        held += piece
        if not begun:
            held = held.lstrip()
        shown = held.rstrip()
        if shown:
            yield shown
            begun = True
            held = held[len(shown) :]


def _ranked(record: dict[str, Any]) -> RankedPassage:
    ranks = {name: record[name] for name in _RANKS}
    return RankedPassage(Passage(**{k: v for k, v in record.items() if k not in ranks}), **ranks)


def _turns(state: ChainState) -> list[Turn]:
    given = state.get("history")
    if given is not None:
        return [Turn("user" if entry["role"] == "user" else "assistant", entry["text"]) for entry in given]
    turns: list[Turn] = []
    for record in state.get("turns", []):
        turns += [Turn("user", record["question"]), Turn("assistant", record["answer"])]
    return turns
