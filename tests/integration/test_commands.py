"""The command line on the real backbone and encoder: from documents to an evaluation, and what can go wrong."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

import softgraft
from prompts import find_template
from softgraft.__main__ import main

ROOT = Path(softgraft.__file__).parents[1]
COMMANDS = ("new", "ingest", "train", "eval", "ask", "chat", "export", "import", "threads", "status", "doctor", "demo")

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
SETTINGS = {"HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
QUESTION = "How long do I have to dispute a card payment?"


@dataclass(frozen=True)
class CommandResult:
    """What a command printed, and its exit code."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Workplace:
    """A folder with its own `domains/`, in which commands run."""

    folder: Path

    def run(self, *arguments: str, stdin: str = "") -> CommandResult:
        """Run a command in this process."""
        out, err = io.StringIO(), io.StringIO()
        exit_code = 0
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["softgraft", *arguments])
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            patch.delenv("OPENAI_API_KEY", raising=False)
            for name, value in SETTINGS.items():
                patch.setenv(name, value)
            try:
                main()
            except SystemExit as stopped:
                exit_code = int(stopped.code or 0)
        return CommandResult(exit_code, out.getvalue(), err.getvalue())

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command in its own process."""
        return subprocess.Popen(
            [sys.executable, "-m", "softgraft", *arguments],
            cwd=self.folder,
            env={**os.environ, **SETTINGS, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Background processes ignore Ctrl-C, and their children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def result(self, *arguments: str) -> dict[str, Any]:
        """Run a command with `--json`; standard output must be exactly one JSON object."""
        done = self.run(*arguments, "--json")
        assert done.exit_code == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def domain(self, name: str) -> Path:
        return self.folder / "domains" / name

    def set(self, name: str, key: str, value: str) -> None:
        """Change one line of a domain.yaml."""
        path = self.domain(name) / "domain.yaml"
        text, count = re.subn(
            rf"^( *){key}: .*$", rf"\g<1>{key}: {value}", path.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
        assert count == 1
        path.write_text(text, encoding="utf-8")


def snapshot(folder: Path) -> dict[str, str]:
    """The digest of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def write_data(folder: Path) -> Path:
    """Write three documents and a dozen questions."""
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


def write_soft_prompt(build: Path, backbone: str, digest: str) -> None:
    """Write the soft prompt of an earlier training on another backbone."""
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
    """A workplace with the ingested domain `shop`."""
    place = Workplace(tmp_path_factory.mktemp("workplace"))
    write_data(place.folder / "leaflets")
    made = place.result("new", "shop", "--from", "leaflets", "--title", "The shop")
    assert made["questions"] == {"train": 8, "dev": 1, "test": 4}
    assert made["documents"] == 3
    # The wording of answers does not matter here, so they may be short.
    place.set("shop", "max_tokens", "8")
    done = place.result("ingest", "shop")
    assert done["ingest"]["added"] == 3
    assert done["ingest"]["embedded"] == done["ingest"]["passages"] >= 3
    return place


def copy_of(place: Workplace, name: str) -> Path:
    """Copy the domain for a test that changes it."""
    return Path(shutil.copytree(place.domain("shop"), place.domain(name)))


def assert_refused(done: CommandResult, exit_code: int, *words: str) -> None:
    """The error message has its three lines and no traceback."""
    assert done.exit_code == exit_code, done.stderr
    assert "Traceback" not in done.stderr
    for word in ("error: ", "  expected: ", "  next:     ", *words):
        assert word in done.stderr, done.stderr


# The whole job


def test_a_second_ingest_embeds_nothing(place: Workplace) -> None:
    done = place.run("ingest", "shop")
    assert done.exit_code == 0, done.stderr
    assert "documents: 0 added, 0 changed, 3 unchanged, 0 removed" in done.stdout
    assert "; 0 different texts embedded now; " in done.stdout
    assert "next: softgraft train shop" in done.stdout


def test_training_then_evaluation(place: Workplace) -> None:
    folder = copy_of(place, "trained")
    found = place.result("train", "trained", "--epochs", "1", "--limit", "4")
    assert (found["epochs"], found["examples"] + found["withheld"], found["resumed"]) == (1, 4, False)
    assert found["dev_loss"] <= found["dev_loss_text_twin"]
    assert (folder / "build" / "soft_prompt").exists() == found["kept"]
    report = place.result("eval", "trained", "--limit", "2")
    # It starts from the starter, which has not seen these questions.
    assert found["start"] == "starter-rag-chat"
    trained = ["soft", "soft-gold"] if found["kept"] else []
    names = ["base", "template", "text-twin", "source", *trained, "quote", "auto"]
    assert [row["system"] for row in report["rows"]] == names
    assert all(row["questions"] == 2 and row["seconds_per_answer"] > 0 for row in report["rows"])
    assert report["retrieval"]["recall_at_5"] == 1
    status = place.result("status", "trained")
    assert [row["system"] for row in status["evaluation"]] == names
    assert status["next"] == f"softgraft {'chat' if found['kept'] else 'train'} trained"
    assert status["index"]["documents"] == 3


def test_an_answer_comes_with_quotes_and_places(place: Workplace) -> None:
    found = place.result("ask", "shop", QUESTION)
    assert set(found) == {
        "question", "query", "evidence", "evidence_score", "template", "answer", "form", "refused", "supported",
        "citations", "notices",
    }  # fmt: skip
    assert found["query"] == QUESTION
    assert found["answer"]
    assert found["evidence"][0]["doc_id"] == "disputes"
    text = {name.rsplit(".", 1)[0]: text for name, text in DOCUMENTS.items()}
    for entry in found["evidence"]:
        assert entry["text"].strip()
    for citation in found["citations"]:
        assert citation["quote"] in text[citation["doc_id"]]


def test_a_follow_up_is_searched_with_its_subject(place: Workplace) -> None:
    first = place.result("ask", "shop", QUESTION, "--thread", "anna")
    second = place.result("ask", "shop", "And what should I keep for it?", "--thread", "anna")
    assert first["query"] == QUESTION
    assert "dispute a card payment" in second["query"]
    assert second["evidence"][0]["doc_id"] == "disputes"


def test_a_chat_reads_what_is_piped_in(place: Workplace) -> None:
    done = place.run("chat", "shop", "--thread", "bert", stdin=f"{QUESTION}\nAnd what should I keep for it?\n\n")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("The shop, conversation 'bert': 0 earlier turns")
    assert "searched for: " + QUESTION in done.stderr
    again = place.run("chat", "shop", "--thread", "bert", stdin="")
    assert "conversation 'bert': 2 earlier turns" in again.stdout


# What can go wrong


def test_an_empty_folder_of_documents(place: Workplace) -> None:
    folder = copy_of(place, "empty")
    for path in (folder / "docs").iterdir():
        path.unlink()
    before = snapshot(folder)
    assert_refused(place.run("ingest", "empty"), 4, "there is no document in", "ingest again; the index is unchanged")
    assert snapshot(folder) == before
    assert place.result("status", "empty")["index"]["documents"] == 3


def test_a_broken_pdf(place: Workplace) -> None:
    beside = copy_of(place, "beside")
    (beside / "docs" / "broken.pdf").write_bytes(b"%PDF-1.7\nthis is no PDF")
    alone = copy_of(place, "alone")
    shutil.rmtree(alone / "build")
    for path in (alone / "docs").iterdir():
        path.unlink()
    (alone / "docs" / "broken.pdf").write_bytes(b"%PDF-1.7\nthis is no PDF")
    done = place.run("ingest", "beside")
    assert done.exit_code == 0, done.stderr
    assert "left out: broken.pdf: " in done.stderr
    assert "documents: 0 added, 0 changed, 3 unchanged, 0 removed" in done.stdout
    assert_refused(place.run("ingest", "alone"), 4, "broken.pdf", "correct that and ingest again")


def test_a_line_that_is_no_json(place: Workplace) -> None:
    rows = copy_of(place, "rows")
    (rows / "docs" / "more.jsonl").write_text('{"id": "a", "title": "T", "text": "One."}\n{"id": \n')
    asked = copy_of(place, "asked")
    with (asked / "train.jsonl").open("a") as file:
        file.write("{no json\n")
    before = snapshot(asked)
    done = place.run("ingest", "rows")
    assert done.exit_code == 0, done.stderr
    assert re.search(r"left out: more\.jsonl: .*line 2", done.stderr)
    assert_refused(
        place.run("train", "asked", "--epochs", "1"), 4, "line 9 of", "train.jsonl: Invalid JSON", "correct line 9 of"
    )
    assert snapshot(asked) == before


def test_an_adapter_comes_from_elsewhere_and_goes_elsewhere(place: Workplace) -> None:
    folder, elsewhere = copy_of(place, "traded"), place.folder / "elsewhere"
    # As PEFT saves prompt tuning; one vector of it, so that nothing is likely to be gained.
    elsewhere.mkdir()
    config = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 1, "token_dim": 576}
    (elsewhere / "adapter_config.json").write_text(json.dumps(config))
    (elsewhere / "adapter_model.safetensors").write_bytes(save({"prompt_embeddings": torch.full((1, 576), 0.01)}))
    assert_refused(place.run("export", "traded", "--format", "peft", "--out", "back"), 2, "softgraft train traded")
    found = place.result("import", "traded", "--from", "elsewhere", "--keep")
    assert (found["kept"], found["kind"], found["length"], found["dev_questions"]) == (True, "embedding", 1, 1)
    assert place.result("status", "traded")["soft_prompt"]["dev_token_f1"] == found["dev_f1"]
    written = place.result("export", "traded", "--format", "peft", "--out", "back")
    assert written["files"] == ["adapter_config.json", "adapter_model.safetensors", "softgraft.json"]
    tensors = load((place.folder / "back" / "adapter_model.safetensors").read_bytes())
    assert torch.equal(tensors["prompt_embeddings"], torch.full((1, 576), 0.01))
    before = snapshot(folder)
    (elsewhere / "adapter_model.safetensors").rename(elsewhere / "adapter_model.bin")
    assert_refused(place.run("import", "traded", "--from", "elsewhere"), 5, "is pickled")
    assert snapshot(folder) == before


def test_a_template_with_an_unknown_input(place: Workplace) -> None:
    folder = copy_of(place, "slotted")
    (folder / "templates").mkdir()
    template = find_template("rag-chat").read_text(encoding="utf-8")
    path = folder / "templates" / "rag-chat.en.yaml"
    path.write_text(template.replace("{question}", "{question} {customer}"), encoding="utf-8")
    done = place.run("ask", "slotted", QUESTION)
    assert_refused(done, 4, "unknown slot {customer}", "next:     edit", "rag-chat.en.yaml: line ")


def test_a_soft_prompt_of_another_backbone(place: Workplace) -> None:
    folder = copy_of(place, "foreign")
    write_soft_prompt(folder / "build", "Qwen/Qwen3-0.6B", "1" * 64)
    before = snapshot(folder)
    assert_refused(
        place.run("ask", "foreign", QUESTION),
        5,
        "was trained on 'Qwen/Qwen3-0.6B'",
        "one trained on 'embedded'",
        "softgraft train",
        "`backbone: Qwen/Qwen3-0.6B`",
    )
    assert snapshot(folder) == before


def test_a_missing_key(place: Workplace) -> None:
    copy_of(place, "remote")
    place.set("remote", "backbone", "openai:gpt-4o-mini")
    assert_refused(place.run("ask", "remote", QUESTION), 6, "OPENAI_API_KEY is not set", "export OPENAI_API_KEY=")


@pytest.mark.slow
def test_ctrl_c_while_training(place: Workplace) -> None:
    folder = copy_of(place, "stopped")
    write_soft_prompt(folder / "build", "embedded", "1" * 64)
    before = snapshot(folder / "build" / "soft_prompt")
    options = ["--batch-size", "1", "--epochs", "2"]
    process = place.start("train", "stopped", *options)
    checkpoint = folder / "build" / "checkpoint" / "checkpoint.safetensors"
    deadline = time.monotonic() + 90
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "To continue where it stopped: softgraft train stopped --epochs 2 --batch-size 1" in err
    assert "Everything that was saved before is kept." in err
    assert "Traceback" not in err
    assert snapshot(folder / "build" / "soft_prompt") == before
    assert checkpoint.exists()
    found = place.result("train", "stopped", *options)
    assert found["resumed"]
    assert not checkpoint.exists()


def test_what_is_not_there(place: Workplace) -> None:
    done = place.run("ask", "shoop", QUESTION)
    assert_refused(done, 3, "no domain 'shoop'", "shop", "softgraft new shoop --from FOLDER")
    done = place.run("ingest", "shop", "--quickly")
    assert done.exit_code == 2
    assert "No such option: --quickly" in done.stderr


HELP = """
import sys
from softgraft.__main__ import main
for command in {commands}:
    sys.argv = ["softgraft", command, "--help"]
    try:
        main()
    except SystemExit:
        pass
heavy = {{"torch", "transformers", "faiss", "langchain_core", "sentence_transformers"}} & set(sys.modules)
assert not heavy, heavy
"""


def test_help_is_quick_and_has_an_example(place: Workplace) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP.format(commands=COMMANDS)],
        cwd=place.folder,
        env={**os.environ, **SETTINGS, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for command in COMMANDS:
        assert f"Example: softgraft {command}" in done.stdout
