"""Measures conversations with and without reuse of the KV cache of earlier turns."""

from __future__ import annotations

import json
import statistics
import time
from collections import defaultdict
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from chains import Answering, Evidence
from prompts import RenderedPrompt, TemplateFile, Turn, find_template
from soft_prompt import Decoding, PrefixStore, encode_prompt, stream
from softgraft import Domain, open_domain

TURNS = 6
MAX_TOKENS = 48
CONVERSATION_BYTES = 128 * 1024**2
SETTINGS = ("closed-book", "one document", "retrieved")


@dataclass(frozen=True)
class TimedReply:
    """One reply: CPU seconds to the first token and in total, cached and all prompt positions, and the text."""

    first: float
    total: float
    cached: int
    positions: int
    text: str


def run(folder: Path, limit: int, history_turns: int) -> tuple[list[dict[str, Any]], int]:
    """Measure all settings on one domain; returns the rows and the number of conversations."""
    torch.set_num_threads(1)
    with closing(open_domain(folder)) as domain:
        talks = conversations(folder / "test.jsonl", limit)
        return [measure(domain, setting, talks, history_turns) for setting in SETTINGS], len(talks)


def conversations(path: Path, limit: int) -> list[list[str]]:
    """For each document that has enough of them, its first questions in the order of the file."""
    questions = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        if item["answerable"] and not item["history"]:
            questions[item["doc_id"]].append(item["question"])
    return [some[:TURNS] for some in questions.values() if len(some) >= TURNS][:limit]


def measure(domain: Domain, setting: str, talks: list[list[str]], history_turns: int) -> dict[str, Any]:
    """One setting without and with the conversation cache; the two take turns."""
    template = TemplateFile(find_template("closed-book")) if setting == "closed-book" else None
    answering = domain.answering("text-twin", template)
    answering = replace(answering, settings=replace(answering.settings, history_turns=history_turns))
    backbone = domain.store.backbone
    replies: dict[str, list[list[TimedReply]]] = {"without": [], "with": []}
    with ExitStack() as stack:
        stores = {
            "without": stack.enter_context(closing(PrefixStore(backbone))),
            "with": stack.enter_context(closing(PrefixStore(backbone, conversation_bytes=CONVERSATION_BYTES))),
        }
        for questions in talks:
            for name, store in stores.items():
                replies[name].append(converse(answering, store, setting, questions))
        cache_bytes = stores["with"].conversations.used_bytes
    pairs = [pair for both in zip(*replies.values(), strict=True) for pair in zip(*both, strict=True)]
    later = {name: [reply for talk in some for reply in talk[1:]] for name, some in replies.items()}
    reused = [ours.cached > theirs.cached for ours, theirs in zip(later["with"], later["without"], strict=True)]
    times = {
        name: {
            "first_ms": 1000 * statistics.median(reply.first for reply in some),
            "total_ms": 1000 * statistics.median(reply.total for reply in some),
            "cached": statistics.mean(reply.cached for reply in some),
            "positions": statistics.mean(reply.positions for reply in some),
        }
        for name, some in later.items()
    }
    return {
        "setting": setting,
        "history_turns": history_turns,
        "replies": len(pairs),
        "same_text": sum(without.text == with_cache.text for without, with_cache in pairs),
        "reused": statistics.mean(reused),
        **times,
        "cache_bytes": cache_bytes,
    }


def converse(answering: Answering, store: PrefixStore, setting: str, questions: list[str]) -> list[TimedReply]:
    """Answer the questions of one conversation."""
    twins = answering.template.current().soft_slots
    turns: list[Turn] = []
    replies: list[TimedReply] = []
    evidence: Evidence | None = None
    for question in questions:
        if evidence is None or setting == "retrieved":
            [evidence] = answering.evidence_many([answering.query(question, turns)])
        prompt = answering.prompt(question, turns, Evidence(evidence.passages, None, True))
        replies.append(timed_reply(store, prompt, twins))
        turns += [Turn("user", question), Turn("assistant", replies[-1].text.strip())]
    return replies


def timed_reply(store: PrefixStore, prompt: RenderedPrompt, fills: Any) -> TimedReply:
    """Decode the reply to one prompt."""
    row = encode_prompt(store.backbone, prompt, fills)
    # The shared prefix is computed before the clock starts, because only what follows it differs.
    store.warm(row)
    start, first = time.process_time(), 0.0
    for delta in stream(store, row, Decoding(max_tokens=MAX_TOKENS)):
        first = first or time.process_time() - start
        if delta.reply is not None:
            reply = delta.reply
            total = time.process_time() - start
            return TimedReply(first, total, reply.cached_tokens, reply.prompt_tokens, reply.text)
    raise AssertionError("a stream ends with its reply")
