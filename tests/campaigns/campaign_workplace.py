"""A workplace with a domain in use, and every command that writes, each ready to run in a forked process."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import load_file, save_file

from prompts import find_template
from softgraft.__main__ import main
from tests.support.small_bank import write_documents
from tests.support.tiny_backbones import make_backbone

QUESTION = "How much does a replacement card cost?"
# Enough for a random backbone to learn one answer by heart, so that its soft prompt is kept.
TRAIN = {
    "kind": "embedding", "length": 24, "adapter": "none", "epochs": 30, "min_steps": 1, "batch_size": 4,
    "learning_rate": 0.3, "warmup_steps": 5, "patience": 30,
}  # fmt: skip
HOUSE = ("domains", "house")


@dataclass(frozen=True)
class Command:
    """A command that writes. `prepare` changes a copy of the workplace before it runs."""

    arguments: tuple[str, ...]
    prepare: Callable[[Path], None] = lambda _: None


def _another_document(workplace: Path) -> None:
    docs = workplace.joinpath(*HOUSE, "docs")
    (docs / "parking.md").write_text("# Parking\n\nA parking permit costs 30 euros a month.\n", encoding="utf-8")
    (docs / "savings.md").unlink()


def _another_adapter(workplace: Path) -> None:
    """Other vectors than those of the domain: a version with the same ones could not be torn."""
    file = workplace / "adapter" / "adapter_model.safetensors"
    save_file({name: tensor * 1.01 for name, tensor in load_file(file).items()}, file)
    # Its digest is that of the export.
    (workplace / "adapter" / "softgraft.json").unlink()


def make_annex(workplace: Path) -> None:
    """A second domain, with a soft prompt of its own."""
    annex = Path(shutil.copytree(workplace.joinpath(*HOUSE), workplace / "domains" / "annex"))
    file = annex / "domain.yaml"
    file.write_text(file.read_text("utf-8").replace("name: house", "name: annex"), encoding="utf-8")


COMMANDS: Mapping[str, Command] = {
    "new": Command(("new", "shop", "--from", "leaflets")),
    "ingest": Command(("ingest", "house"), _another_document),
    "train": Command(("train", "house", "--seed", "1")),
    "ask": Command(("ask", "house", QUESTION, "--thread", "second")),
    "delete": Command(("threads", "delete", "house", "first", "--yes")),
    "import": Command(("import", "house", "--from", "adapter", "--keep"), _another_adapter),
    "export": Command(("export", "house", "--format", "peft", "--out", "exported")),
    "questions": Command(("questions", "house", "draft", "--count", "4")),
    "eval": Command(("eval", "house")),
    "curve": Command(("curve", "house", "--labels", "0,2", "--limit", "2")),
    "transfer": Command(("transfer", "house,annex", "--limit", "2"), make_annex),
    "source": Command(("source", "shared", "--from", "house")),
}


def run(arguments: Sequence[str], workplace: Path, *, environment: Mapping[str, str] | None = None) -> int:
    """Run a command in this process, with its output in `out` and `err` beside the workplace; its exit code.

    Its standard input is `in` there, if there is one.
    """
    os.chdir(workplace)
    os.environ.update({"COLUMNS": "200", "HF_HUB_OFFLINE": "1", **(environment or {})})
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(output(workplace, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, number)
        os.close(file)
    if output(workplace, "in").is_file():
        os.dup2(os.open(output(workplace, "in"), os.O_RDONLY), 0)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.argv = ["softgraft", *arguments]
    try:
        main()
        return 0
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def output(workplace: Path, name: str) -> Path:
    """Where a command's standard output, error or input is."""
    return workplace.with_name(f"{workplace.name}.{name}")


def make_workplace(folder: Path) -> Path:
    """A workplace with a domain that was not used yet, and the weights of its backbone beside it."""
    backbone = make_backbone("llama", seed=0, num_hidden_layers=1, max_position_embeddings=2048)
    weights = folder.with_name("backbone")
    backbone.model.save_pretrained(weights)
    backbone.tokenizer.save_pretrained(weights)
    house = folder.joinpath(*HOUSE)
    write_documents(house / "docs")
    shutil.copytree(house / "docs", folder / "leaflets")
    for split in ("train", "dev", "test"):
        (house / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in _questions(split)))
    template = yaml.safe_load(find_template("rag-chat").read_text(encoding="utf-8"))
    template["soft_slots"]["domain"] = "Answer the question."
    (house / "templates").mkdir()
    (house / "templates" / "rag-chat.en.yaml").write_text(yaml.safe_dump(template), encoding="utf-8")
    file = {
        "name": "house", "title": "The house", "backbone": str(weights), "dtype": "float32",
        "retrieval": {"passages": 2, "evidence_tokens": 120, "passage_tokens": 32},
        "answer": {"max_tokens": 6, "form": "quote"}, "start": "text-twin", "train": TRAIN,
    }  # fmt: skip
    (house / "domain.yaml").write_text(yaml.safe_dump(file), encoding="utf-8")
    return folder


def _questions(split: str) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{split}-{number}", "question": f"What is the {word} of a replacement card?", "answers": ["12"],
            "response": "12", "doc_id": "cards", "group": f"{split}-{word}",
        }
        for number, word in enumerate(("cost", "fee", "price", "charge"))
    ]  # fmt: skip


def copy_of(workplace: Path, folder: Path) -> Path:
    """A copy of a workplace, without the output of earlier commands."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("out", "err"):
        output(folder, name).unlink(missing_ok=True)
    shutil.copytree(workplace, folder, symlinks=True)
    return folder
