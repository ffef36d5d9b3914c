"""What the keys and values of the conversation so far save in its next turn.

    softgraft ingest bank
    python -m benchmarks.speed.conversation_reuse

Conversations of six questions about one document, as they stand in test.jsonl, in three settings: `closed-book` (no
passages), `one document` (the same passages in every turn, those of the first question) and `retrieved` (what the
domain really does). Each is answered without and with the store of conversations. Times are those of the processor, so
that other work on the machine does not count; `first` is the time to the first token, retrieval left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_hardware, describe_versions, hardware_slug
from chains import Answering, Evidence
from prompts import RenderedPrompt, TemplateFile, Turn, find_template
from soft_prompt import Decoding, PrefixStore, encode_prompt, stream
from softgraft import open_domain

ROOT = Path(__file__).resolve().parents[2]
TURNS = 6
TOKENS = 48
ROOM = 128 * 1024**2
SETTINGS = ("closed-book", "one document", "retrieved")


@dataclass(frozen=True)
class Measured:
    """One reply."""

    first: float
    total: float
    cached: int
    positions: int
    text: str


def conversations(path: Path, wanted: int) -> list[list[str]]:
    """Questions about one document, in the order of the file, for those documents that have enough of them."""
    about = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        if item["answerable"] and not item["history"]:
            about[item["doc_id"]].append(item["question"])
    return [questions[:TURNS] for questions in about.values() if len(questions) >= TURNS][:wanted]


def reply(store: PrefixStore, prompt: RenderedPrompt, fills: Any) -> Measured:
    """Decode one prompt."""
    row = encode_prompt(store.backbone, prompt, fills)
    # What every turn shares is made before: only what stands behind the prefix is in question.
    store.warm(row)
    began, first = time.process_time(), 0.0
    for delta in stream(store, row, Decoding(max_tokens=TOKENS)):
        first = first or time.process_time() - began
        if delta.reply is not None:
            done = delta.reply
            return Measured(first, time.process_time() - began, done.cached_tokens, done.prompt_tokens, done.text)
    raise AssertionError("a stream ends with its reply")


def converse(answering: Answering, store: PrefixStore, setting: str, questions: list[str]) -> list[Measured]:
    """Answer one conversation."""
    twins = answering.template.current().soft_slots
    turns: list[Turn] = []
    found: list[Measured] = []
    evidence: Evidence | None = None
    for question in questions:
        if evidence is None or setting == "retrieved":
            [evidence] = answering.evidence_many([answering.query(question, turns)])
        prompt = answering.prompt(question, turns, Evidence(evidence.passages, None, True))
        found.append(reply(store, prompt, twins))
        turns += [Turn("user", question), Turn("assistant", found[-1].text.strip())]
    return found


def measure(domain: Any, setting: str, asked: list[list[str]], turns: int) -> dict[str, Any]:
    """One setting without and with the store of conversations; the two take turns."""
    template = TemplateFile(find_template("closed-book")) if setting == "closed-book" else None
    answering = domain.answering("text-twin", template)
    object.__setattr__(answering.settings, "history_turns", turns)
    backbone = domain.store.backbone
    stores = {"without": PrefixStore(backbone), "with": PrefixStore(backbone, conversation_bytes=ROOM)}
    replies: dict[str, list[list[Measured]]] = {name: [] for name in stores}
    for questions in asked:
        for name, store in stores.items():
            replies[name].append(converse(answering, store, setting, questions))
    same = sum(
        ours.text == theirs.text
        for one, other in zip(replies["with"], replies["without"], strict=True)
        for ours, theirs in zip(one, other, strict=True)
    )
    later = {name: [turn for talk in talks for turn in talk[1:]] for name, talks in replies.items()}
    row: dict[str, Any] = {
        "setting": setting,
        "history_turns": turns,
        "replies": len(asked) * TURNS,
        "same_words": same,
        "gone_on": statistics.mean(
            ours.cached > theirs.cached for ours, theirs in zip(later["with"], later["without"], strict=True)
        ),
    }
    for name, turns_of in later.items():
        row[name] = {
            "first_ms": 1000 * statistics.median(turn.first for turn in turns_of),
            "total_ms": 1000 * statistics.median(turn.total for turn in turns_of),
            "cached": statistics.mean(turn.cached for turn in turns_of),
            "positions": statistics.mean(turn.positions for turn in turns_of),
        }
    row["kept_bytes"] = stores["with"].conversations.used_bytes
    for store in stores.values():
        store.close()
    return row


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domain", type=Path, default=ROOT / "domains" / "bank")
    parser.add_argument("--conversations", type=int, default=6)
    parser.add_argument("--history-turns", type=int, default=TURNS, help="exchanges that the model reads")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    hardware = describe_hardware("cpu", 1)
    domain = open_domain(chosen.domain)
    asked = conversations(chosen.domain / "test.jsonl", chosen.conversations)
    rows = [measure(domain, setting, asked, chosen.history_turns) for setting in SETTINGS]
    out = chosen.out or ROOT / "benchmarks" / "results" / f"conversation_reuse-{hardware_slug(hardware)}.json"
    config = {"domain": chosen.domain.name, "conversations": len(asked), "turns": TURNS, "max_tokens": TOKENS}
    versions = describe_versions(("torch", "transformers"))
    out.write_text(json.dumps({"config": config, "hardware": hardware, "versions": versions, "rows": rows}, indent=1))
    table = Table("", "gone on", "cached of", "first without", "with", "reply without", "with", "same words")
    for row in rows:
        without, with_ = row["without"], row["with"]
        table.add_row(
            row["setting"],
            f"{row['gone_on']:.0%}",
            f"{without['cached']:.0f} / {with_['cached']:.0f} of {with_['positions']:.0f}",
            f"{without['first_ms']:.0f} ms",
            f"{with_['first_ms']:.0f} ms",
            f"{without['total_ms']:.0f} ms",
            f"{with_['total_ms']:.0f} ms",
            f"{row['same_words']} of {row['replies']}",
        )
    Console(width=120).print(table)
    domain.close()


if __name__ == "__main__":
    main()
