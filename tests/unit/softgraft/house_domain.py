"""A domain over the small house of the chains' tests, with four questions and a template of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from prompts import find_template
from softgraft import Domain, open_domain
from tests.support.hashing_encoder import HashingEncoder
from tests.support.small_bank import write_documents

# Short, so that a prompt has few tokens although the tiny tokenizer needs one for nearly every character.
TWIN = "Answer the question."
ANSWER = "12"
# Enough for a backbone of a few thousand weights to learn one answer by heart.
LENGTH = 24
TRAIN = {
    "kind": "embedding", "length": LENGTH, "epochs": 45, "min_steps": 1, "batch_size": 4, "learning_rate": 0.3,
    "warmup_steps": 5, "patience": 45,
}  # fmt: skip


def item(number: int, question: str, **fields: Any) -> dict[str, Any]:
    return {"id": f"q{number}", "question": question, "answers": ["12"], "response": ANSWER, **fields}


def questions(split: str) -> list[dict[str, Any]]:
    """The same in every split: what is tested is the way there, not what a random backbone understands."""
    return [
        item(number, f"What is the {word} of a replacement card?", doc_id="cards", group=f"{split}-{word}")
        for number, word in enumerate(("cost", "fee", "price", "charge"))
    ]


def write_items(path: Path, items: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in items), encoding="utf-8")
    return path


def write_domain(folder: Path, backbone: str, **settings: Any) -> Path:
    """A domain with documents, questions and a template of its own."""
    write_documents(folder / "docs")
    for split in ("train", "dev", "test"):
        write_items(folder / f"{split}.jsonl", questions(split))
    (folder / "templates").mkdir()
    template = yaml.safe_load(find_template("rag-chat").read_text(encoding="utf-8"))
    template["soft_slots"]["domain"] = TWIN
    (folder / "templates" / "rag-chat.en.yaml").write_text(yaml.safe_dump(template), encoding="utf-8")
    file = {
        "name": folder.name,
        "title": "The house",
        "backbone": backbone,
        "dtype": "float32",
        "retrieval": {"passages": 2, "evidence_tokens": 120, "passage_tokens": 32},
        # The model's own words, whatever they are worth.
        "answer": {"max_tokens": 6, "form": "generate", "unsupported": "keep"},
        "train": TRAIN,
        **settings,
    }
    (folder / "domain.yaml").write_text(yaml.safe_dump(file), encoding="utf-8")
    return folder


def opened(folder: Path) -> Domain:
    """The domain with an encoder that needs no weights."""
    domain = open_domain(folder)
    domain.encoder = HashingEncoder(dimension=256)
    return domain
