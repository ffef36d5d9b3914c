"""A domain whose conversations have answers to rate; the answers are scripted, so no model is loaded."""

from __future__ import annotations

from pathlib import Path

from house_domain import write_domain

from chains import DomainChain
from retrieval import ingest, open_index
from softgraft.feedback.place import stored_domain
from tests.support.hashing_encoder import HashingEncoder
from tests.support.small_bank import REFUSAL, SCALE, ScriptedChat, make_answering

ASKED = "What does a replacement card cost?"
ANSWER = "A replacement card costs 12 euros."
BY = {"system": "soft", "backbone": "tiny", "soft_prompt": "ab" * 32, "template": "cd" * 32, "index": "ef" * 32}


def write_house(folder: Path) -> Path:
    """The folder of a domain; thread `anna` has four turns, the third refused, and `bert` has one."""
    folder = write_domain(folder, "embedded", refusal=REFUSAL)
    encoder = HashingEncoder(dimension=256)
    ingest(folder / "docs", folder / "build" / "index", encoder, max_tokens=32)
    domain = stored_domain(folder)
    with open_index(folder / "build" / "index", encoder) as index:
        answering = make_answering(index, ScriptedChat(answer=lambda _: ANSWER), scale=SCALE)
        object.__setattr__(answering, "answered_by", lambda: BY)
        chain = DomainChain(answering, domain.conversations.path)
        for name, question in (
            ("anna", ASKED),
            ("anna", "And a replacement abroad?"),
            ("anna", "Who was Napoleon?"),
            ("anna", "What is the fee of a replacement card?"),
            ("bert", "Is a transfer inside the country free?"),
        ):
            chain.invoke({"question": question}, config={"configurable": {"thread_id": name}})
        chain.close()
    return folder
