"""The commands as a person types them, on the real backbone and encoder: the whole job, and whatever can go wrong."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

import softgraft
from prompts import find_template

ROOT = Path(softgraft.__file__).parents[1]
COMMANDS = ("new", "ingest", "train", "eval", "ask", "chat", "export", "import", "threads", "status", "demo")

DOCUMENTS = {
    "cards.md": (
        "# Card fees\n\n## Replacement\n\nA replacement card costs £12 and arrives within 5 working days.\n\n"
        "## Abroad\n\nPaying by card abroad costs 2.75% of the amount.\n"
    ),
    "disputes.md": "# Disputes\n\nYou have 120 days to dispute a card payment. Keep the receipt and every letter.\n",
    "hours.txt": "The branch on Mill Street opens at 9.30am and closes at 5pm. It is closed on Sundays.\n",
}
ASKED = [
    ("How much is a new card if I lost mine?", "£12", "A new card costs £12.", "cards"),
    ("When will my replacement card arrive?", "5 working days", "It arrives within 5 working days.", "cards"),
    ("What do I pay for using my card in Spain?", "2.75%", "Abroad you pay 2.75% of the amount.", "cards"),
    ("How long do I have to dispute a card payment?", "120 days", "You can dispute it for 120 days.", "disputes"),
    ("What should I keep for a dispute?", "the receipt", "Keep the receipt and the letters.", "disputes"),
    ("When does the Mill Street branch open?", "9.30am", "It opens at 9.30am.", "hours"),
    ("When does the Mill Street branch close?", "5pm", "It closes at 5pm.", "hours"),
    ("Is the Mill Street branch open on Sundays?", "closed", "No, it is closed on Sundays.", "hours"),
    ("Is there a charge for paying by card abroad?", "2.75%", "Yes, 2.75% of the amount.", "cards"),
]
# One thread a command: short prompts gain nothing from a second, which waits for whatever else is running.
SETTINGS = {"HF_HUB_OFFLINE": "1", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
QUESTION = "How long do I have to dispute a card payment?"


@dataclass(frozen=True)
class Workplace:
    """A folder with a `domains/` of its own, in which commands are typed."""

    folder: Path

    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
        return {**kept, **SETTINGS, "PYTHONPATH": str(ROOT)}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "softgraft", *arguments],
            cwd=self.folder,
            env=self.env(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Where tests run in the background, children are born deaf to Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(given, timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def result(self, *arguments: str) -> dict[str, Any]:
        """The one JSON object that a command prints; nothing else may stand on standard output."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def domain(self, name: str) -> Path:
        return self.folder / "domains" / name

    def set(self, name: str, key: str, value: str) -> None:
        """Change one line of a domain.yaml, as a person does."""
        path = self.domain(name) / "domain.yaml"
        text, count = re.subn(
            rf"^( *){key}: .*$", rf"\g<1>{key}: {value}", path.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
        assert count == 1
        path.write_text(text, encoding="utf-8")


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder by digest."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def write_data(folder: Path) -> Path:
    """Three documents and a dozen questions."""
    folder.mkdir()
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    items = [
        {"id": f"q{n}", "question": q, "answers": [a], "response": r, "doc_id": d, "group": f"g{n}"}
        for n, (q, a, r, d) in enumerate(ASKED)
    ]
    no = {"answers": [], "response": "Our leaflets do not say.", "answerable": False}
    horses = {"id": "n0", "question": "Do you treat horses?", "group": "n0", **no}
    splits = {"train": [*items[:7], horses], "dev": items[7:8], "test": [items[3], items[5], items[8], horses]}
    for split, chosen in splits.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in chosen), encoding="utf-8")
    return folder


def plant_soft_prompt(build: Path, backbone: str, digest: str) -> None:
    """What an earlier training has left, on a backbone of that name and digest."""
    folder = build / "soft_prompt"
    folder.mkdir(parents=True)
    vectors = save({"vectors": torch.zeros(4, 576)})
    (folder / "soft_prompt.safetensors").write_bytes(vectors)
    manifest = {
        "format_version": 1, "kind": "embedding", "slot": "domain", "length": 4, "hidden_size": 576, "shape": [4, 576],
        "text_twin": "Be brief.", "template_name": "rag-chat", "template_version": 1, "template_hash": "0" * 64,
        "backbone": backbone, "backbone_digest": digest, "tokenizer_hash": "0" * 64, "attention": "exact",
        "objective": "answer", "seed": 0, "data_hash": "0" * 64, "train": {},
        "scores": {"dev_loss": 1, "dev_loss_text_twin": 2, "dev_token_f1": 0.9, "dev_token_f1_text_twin": 0.8},
        "vectors_sha256": hashlib.sha256(vectors).hexdigest(),
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A workplace with the domain `shop`, made and ingested."""
    place = Workplace(tmp_path_factory.mktemp("workplace"))
    write_data(place.folder / "leaflets")
    made = place.result("new", "shop", "--from", "leaflets", "--title", "The shop")
    assert made["questions"] == {"train": 8, "dev": 1, "test": 4}
    assert made["documents"] == 3
    # What is said does not matter here, so it may be short.
    place.set("shop", "max_tokens", "8")
    done = place.result("ingest", "shop")
    assert done["ingest"]["added"] == 3
    assert done["ingest"]["embedded"] == done["ingest"]["passages"] >= 3
    return place


SCENARIOS: list[Callable[[Workplace], None]] = []


def scenario(story: Callable[[Workplace], None]) -> Callable[[Workplace], None]:
    """What one person types, in a domain that is theirs, and what they see."""
    SCENARIOS.append(story)
    return story


@pytest.fixture(scope="module")
def running(place: Workplace, request: pytest.FixtureRequest) -> Iterator[dict[str, Future[None]]]:
    """The scenarios that were asked for, two at a time: a command spends most of its time on one core."""
    wanted = {item.callspec.params["name"] for item in request.session.items if hasattr(item, "callspec")
              and "name" in item.callspec.params and item.path == request.path}  # fmt: skip
    with ThreadPoolExecutor(2) as pool:
        yield {story.__name__: pool.submit(story, place) for story in SCENARIOS if story.__name__ in wanted}


def copy_of(place: Workplace, name: str) -> Path:
    """A domain of its own for a test that breaks something."""
    return Path(shutil.copytree(place.domain("shop"), place.domain(name)))


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """A message in three lines, with the next step, and no traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    for word in ("error: ", "  expected: ", "  next:     ", *words):
        assert word in done.stderr, done.stderr


# The whole job


@scenario
def a_second_ingest_embeds_nothing(place: Workplace) -> None:
    done = place.run("ingest", "shop")
    assert done.returncode == 0, done.stderr
    assert "0 documents added, 0 changed, 3 unchanged, 0 removed" in done.stdout
    assert ", 0 embedded, " in done.stdout
    assert "next: softgraft train shop" in done.stdout


@scenario
def training_then_evaluation(place: Workplace) -> None:
    folder = copy_of(place, "trained")
    found = place.result("train", "trained", "--epochs", "1", "--limit", "4")
    assert (found["epochs"], found["examples"] + found["withheld"], found["resumed"]) == (1, 4, False)
    assert found["dev_loss"] <= found["dev_loss_text_twin"]
    assert (folder / "build" / "soft_prompt").exists() == found["kept"]
    report = place.result("eval", "trained", "--limit", "2")
    names = ["base", "template", "text-twin", *(["soft", "soft-gold"] if found["kept"] else [])]
    assert [row["system"] for row in report["rows"]] == names
    assert all(row["questions"] == 2 and row["seconds_per_answer"] > 0 for row in report["rows"])
    assert report["retrieval"]["recall_at_5"] == 1
    status = place.result("status", "trained")
    assert [row["system"] for row in status["evaluation"]] == names
    assert status["next"] == f"softgraft {'chat' if found['kept'] else 'train'} trained"
    assert status["index"]["documents"] == 3


@scenario
def an_answer_comes_with_quotes_and_places(place: Workplace) -> None:
    found = place.result("ask", "shop", QUESTION)
    assert set(found) == {
        "question", "query", "evidence", "evidence_score", "refused", "answer", "citations", "notices", "template",
    }  # fmt: skip
    assert found["query"] == QUESTION
    assert found["answer"]
    assert found["evidence"][0]["doc_id"] == "disputes"
    text = {name.rsplit(".", 1)[0]: text for name, text in DOCUMENTS.items()}
    for entry in found["evidence"]:
        assert entry["text"].strip()
    for citation in found["citations"]:
        assert citation["quote"] in text[citation["doc_id"]]


@scenario
def a_follow_up_is_searched_with_its_subject(place: Workplace) -> None:
    first = place.result("ask", "shop", QUESTION, "--thread", "anna")
    second = place.result("ask", "shop", "And what should I keep for it?", "--thread", "anna")
    assert first["query"] == QUESTION
    assert "dispute a card payment" in second["query"]
    assert second["evidence"][0]["doc_id"] == "disputes"


@scenario
def a_chat_reads_what_is_piped_in(place: Workplace) -> None:
    done = place.run("chat", "shop", "--thread", "bert", given=f"{QUESTION}\nAnd what should I keep for it?\n\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("The shop, conversation 'bert': 0 earlier turns")
    assert "searched for: " + QUESTION in done.stderr
    again = place.run("chat", "shop", "--thread", "bert", given="")
    assert "conversation 'bert': 2 earlier turns" in again.stdout


# What can go wrong


@scenario
def an_empty_folder_of_documents(place: Workplace) -> None:
    folder = copy_of(place, "empty")
    for path in (folder / "docs").iterdir():
        path.unlink()
    before = snapshot(folder)
    refused(place.run("ingest", "empty"), 4, "there is no document in", "ingest again; the index is as it was")
    assert snapshot(folder) == before
    assert place.result("status", "empty")["index"]["documents"] == 3


@scenario
def a_broken_pdf(place: Workplace) -> None:
    beside = copy_of(place, "beside")
    (beside / "docs" / "broken.pdf").write_bytes(b"%PDF-1.7\nthis is no PDF")
    alone = copy_of(place, "alone")
    shutil.rmtree(alone / "build")
    for path in (alone / "docs").iterdir():
        path.unlink()
    (alone / "docs" / "broken.pdf").write_bytes(b"%PDF-1.7\nthis is no PDF")
    done = place.run("ingest", "beside")
    assert done.returncode == 0, done.stderr
    assert "left out: broken.pdf: " in done.stderr
    assert "0 documents added, 0 changed, 3 unchanged, 0 removed" in done.stdout
    refused(place.run("ingest", "alone"), 4, "broken.pdf", "mend that and ingest again")


@scenario
def a_line_that_is_no_json(place: Workplace) -> None:
    rows = copy_of(place, "rows")
    (rows / "docs" / "more.jsonl").write_text('{"id": "a", "title": "T", "text": "One."}\n{"id": \n')
    asked = copy_of(place, "asked")
    with (asked / "train.jsonl").open("a") as file:
        file.write("{no json\n")
    before = snapshot(asked)
    done = place.run("ingest", "rows")
    assert done.returncode == 0, done.stderr
    assert re.search(r"left out: more\.jsonl: .*line 2", done.stderr)
    refused(
        place.run("train", "asked", "--epochs", "1"), 4, "line 9 of", "train.jsonl: Invalid JSON", "correct line 9 of"
    )
    assert snapshot(asked) == before


@scenario
def an_adapter_comes_from_elsewhere_and_goes_elsewhere(place: Workplace) -> None:
    folder, elsewhere = copy_of(place, "traded"), place.folder / "elsewhere"
    # As PEFT saves prompt tuning; one vector of it, so that nothing is likely to be gained.
    elsewhere.mkdir()
    config = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 1, "token_dim": 576}
    (elsewhere / "adapter_config.json").write_text(json.dumps(config))
    (elsewhere / "adapter_model.safetensors").write_bytes(save({"prompt_embeddings": torch.full((1, 576), 0.01)}))
    refused(place.run("export", "traded", "--format", "peft", "--out", "back"), 2, "softgraft train traded")
    found = place.result("import", "traded", "--from", "elsewhere", "--keep")
    assert (found["kept"], found["kind"], found["length"], found["dev_questions"]) == (True, "embedding", 1, 1)
    assert place.result("status", "traded")["soft_prompt"]["dev_token_f1"] == found["dev_f1"]
    written = place.result("export", "traded", "--format", "peft", "--out", "back")
    assert written["files"] == ["adapter_config.json", "adapter_model.safetensors", "softgraft.json"]
    tensors = load((place.folder / "back" / "adapter_model.safetensors").read_bytes())
    assert torch.equal(tensors["prompt_embeddings"], torch.full((1, 576), 0.01))
    before = snapshot(folder)
    (elsewhere / "adapter_model.safetensors").rename(elsewhere / "adapter_model.bin")
    refused(place.run("import", "traded", "--from", "elsewhere"), 5, "is pickled")
    assert snapshot(folder) == before


@scenario
def a_template_with_an_unknown_input(place: Workplace) -> None:
    folder = copy_of(place, "slotted")
    (folder / "templates").mkdir()
    template = find_template("rag-chat").read_text(encoding="utf-8")
    path = folder / "templates" / "rag-chat.en.yaml"
    path.write_text(template.replace("{question}", "{question} {customer}"), encoding="utf-8")
    done = place.run("ask", "slotted", QUESTION)
    refused(done, 4, "unknown slot {customer}", "next:     edit", "rag-chat.en.yaml: line ")


@scenario
def a_soft_prompt_of_another_backbone(place: Workplace) -> None:
    folder = copy_of(place, "foreign")
    plant_soft_prompt(folder / "build", "Qwen/Qwen3-0.6B", "1" * 64)
    before = snapshot(folder)
    refused(
        place.run("ask", "foreign", QUESTION),
        5,
        "was trained on 'Qwen/Qwen3-0.6B'",
        "one trained on 'embedded'",
        "softgraft train",
        "`backbone: Qwen/Qwen3-0.6B`",
    )
    assert snapshot(folder) == before


@scenario
def a_missing_key(place: Workplace) -> None:
    copy_of(place, "remote")
    place.set("remote", "backbone", "openai:gpt-4o-mini")
    refused(place.run("ask", "remote", QUESTION), 6, "OPENAI_API_KEY is not set", "export OPENAI_API_KEY=")


@scenario
def ctrl_c_while_training(place: Workplace) -> None:
    folder = copy_of(place, "stopped")
    plant_soft_prompt(folder / "build", "embedded", "1" * 64)
    before = snapshot(folder / "build" / "soft_prompt")
    options = ["--batch-size", "1", "--epochs", "3"]
    process = place.start("train", "stopped", *options)
    checkpoint = folder / "build" / "checkpoint" / "checkpoint.safetensors"
    deadline = time.monotonic() + 90
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "To go on where it stopped: softgraft train stopped --epochs 3 --batch-size 1" in err
    assert "Nothing that was there before is lost." in err
    assert "Traceback" not in err
    assert snapshot(folder / "build" / "soft_prompt") == before
    assert checkpoint.exists()
    found = place.result("train", "stopped", *options)
    assert found["resumed"]
    assert not checkpoint.exists()


@scenario
def what_is_not_there(place: Workplace) -> None:
    done = place.run("ask", "shoop", QUESTION)
    refused(done, 3, "no domain 'shoop'", "shop", "softgraft new shoop --from FOLDER")
    done = place.run("ingest", "shop", "--quickly")
    assert done.returncode == 2
    assert "No such option: --quickly" in done.stderr


@pytest.mark.parametrize("name", [story.__name__ for story in SCENARIOS])
def test_scenario(running: dict[str, Future[None]], name: str) -> None:
    running[name].result()


def without_a_heavy_import(arguments: Sequence[str]) -> str:
    return (
        "import sys, time\nbegan = time.monotonic()\n"
        f"sys.argv = ['softgraft', *{list(arguments)}]\n"
        "from softgraft.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'faiss', 'langchain_core', 'sentence_transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert time.monotonic() - began < 3, time.monotonic() - began\n"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_quick_and_has_an_example(place: Workplace, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", without_a_heavy_import([command, "--help"])],
        cwd=place.folder,
        env=place.env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"Example: softgraft {command}" in done.stdout
