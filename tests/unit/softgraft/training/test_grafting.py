"""Training a domain: what is trained on, what is kept, and what no longer fits."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from house_domain import ANSWER, LENGTH, TRAIN, TWIN, opened, questions, write_items
from training_checks import edit_template, stored

from evaluation import Estimate, items_hash
from prompts import load_template
from soft_prompt import ArtifactError, TrainingError, TrainStep, read_manifest, weights_checksum
from softgraft import Domain
from softgraft.errors import UsageError
from softgraft.training.task import OBJECTIVE, ChatTraining, TrainReport

pytestmark = pytest.mark.heavy

MakeDomain = Callable[..., Domain]
LITTLE = {**TRAIN, "epochs": 1, "learning_rate": 1e-8}


# What is kept


def test_a_soft_prompt_that_beats_its_text_twin_is_kept(
    trained: tuple[Path, TrainReport], backbone_folders: tuple[Path, Path]
) -> None:
    folder, report = trained
    assert report.kept
    assert (report.dev_f1, report.dev_f1_text_twin) == (1.0, 0.0)
    assert report.dev_loss < report.dev_loss_text_twin
    assert (report.kind, report.length, report.examples, report.withheld, report.dev_questions) == (
        "embedding", LENGTH, 4, 0, 4,
    )  # fmt: skip
    assert 0 < report.best_epoch <= report.epochs <= 45
    assert report.steps == report.epochs
    assert report.comparison is not None
    assert (report.comparison.questions, report.comparison.better, report.comparison.by_chance) == (4, 4, False)
    assert report.comparison.difference == Estimate(1.0, 1.0, 1.0)
    assert (report.majority, report.train_withheld, report.dev_withheld, report.without_document) == (None, {}, {}, 0)
    assert report.next_steps[0] == f"compare the systems on test: softgraft eval {folder}"
    assert not report.resumed
    assert (folder / "build" / "loss_curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_manifest_says_what_it_belongs_to(trained: tuple[Path, TrainReport], grafted: Domain) -> None:
    manifest, report = grafted.manifest, trained[1]
    assert manifest is not None
    template = load_template(grafted.folder / "templates" / "rag-chat.en.yaml")
    backbone = grafted.store.backbone
    assert (manifest.kind, manifest.slot, manifest.length, manifest.shape) == (
        "embedding",
        "domain",
        LENGTH,
        [LENGTH, 32],
    )
    assert (manifest.template_name, manifest.template_version) == ("rag-chat", 1)
    assert (manifest.template_hash, manifest.text_twin) == (template.content_hash, TWIN)
    assert (manifest.backbone, manifest.backbone_digest) == (grafted.file.backbone, backbone.digest)
    assert (manifest.tokenizer_hash, manifest.hidden_size) == (backbone.tokenizer_hash, 32)
    assert (manifest.objective, manifest.seed) == (OBJECTIVE, 0)
    assert manifest.data_hash == items_hash(grafted.items("train"))
    assert manifest.train == {
        **{name: value for name, value in TRAIN.items() if name not in ("kind", "length")},
        "adapter_learning_rate": 1e-3,
        "attention": "exact",
        "clip": 1.0,
        "seed": 0,
        "checkpoint_steps": 10,
        "layers": None,
        "method": "plain",
        # What was chosen, not what was asked for.
        "micro_batch": TRAIN["batch_size"],
        "processes": 1,
    }
    assert manifest.scores.dev_token_f1 == report.dev_f1
    assert manifest.scores.dev_loss == report.dev_loss


def test_the_kept_prompt_answers(grafted: Domain) -> None:
    found = grafted.chain.invoke({"question": "What is the fee of a replacement card?"})
    assert (found["answer"], found["notices"]) == (ANSWER, [])
    report = grafted.evaluate()
    f1 = {row.system: row.token_f1.mean for row in report.rows if row.token_f1 is not None}
    assert f1["soft"] == 1
    assert f1["text-twin"] == f1["template"] == f1["base"] == 0
    others = {"base", "template", "text-twin", "soft", "soft-gold", "quote"}
    assert {(pair.ours, pair.theirs) for pair in report.comparisons} == {("auto", other) for other in others}


def test_the_reports_are_written(grafted: Domain) -> None:
    report = grafted.evaluate(split="dev", limit=2)
    written = json.loads((grafted.build / "reports" / "eval-dev.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(report.as_json()))
    assert written["config"]["split"] == "dev"
    assert written["config"]["soft_prompt"]["slot"] == "domain"
    lines = (grafted.build / "reports" / "eval-dev-replies.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 2 * len(report.rows)
    assert {row["system"] for row in rows} == {row.system for row in report.rows}
    assert {row["item"] for row in rows} == {"q0", "q2"}


def test_one_that_does_not_beat_it_is_not_kept(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True, train=LITTLE)
    before = weights_checksum(domain.store.backbone)
    report = domain.train()
    assert not report.kept
    assert report.dev_f1 == report.dev_f1_text_twin == 0
    assert (domain.manifest, stored(domain)) == (None, {})
    assert weights_checksum(domain.store.backbone) == before
    # The text twin goes on answering, and the rows of the soft prompt are left out.
    assert domain.chain.invoke({"question": "What is the fee of a card?"})["notices"] == []
    assert [row.system for row in domain.evaluate(limit=1).rows] == ["base", "template", "text-twin", "quote", "auto"]
    with pytest.raises(UsageError, match="no trained soft prompt") as caught:
        domain.answering("soft")
    assert caught.value.next_step == f"run: softgraft train {domain.folder}"


def test_a_worse_one_does_not_replace_what_was_kept(grafted: Domain) -> None:
    before = stored(grafted)
    report = grafted.train(settings=grafted.file.train.model_copy(update={"epochs": 1, "learning_rate": 1e-8}))
    assert not report.kept
    assert stored(grafted) == before


def test_a_kv_soft_prompt(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True, train={**TRAIN, "kind": "kv", "learning_rate": 0.5})
    report = domain.train()
    assert report.kind == "kv"
    assert report.kept
    manifest = domain.manifest
    assert manifest is not None
    assert manifest.shape == [1, 2, 2, LENGTH, 8]
    assert domain.chain.invoke({"question": "What is the fee of a replacement card?"})["answer"] == ANSWER


def test_the_last_layers_alone_in_every_other_way(
    make_domain: MakeDomain, make_tiny_backbone: Callable[..., Any], tmp_path: Path
) -> None:
    made = make_tiny_backbone("llama", num_hidden_layers=2, max_position_embeddings=2048)
    made.model.save_pretrained(tmp_path / "two")
    made.tokenizer.save_pretrained(tmp_path / "two")
    ways = {"layers": 1, "adapter_rank": 2, "micro_batch": 3}
    settings = {**TRAIN, "kind": "kv", "learning_rate": 0.5, **ways}
    domain = make_domain(ingest=True, backbone=str(tmp_path / "two"), train=settings)
    report = domain.train()
    assert (report.layers, report.adapter_rank, report.micro_batch, report.processes) == (1, 2, 3, 1)
    assert report.kept
    manifest = domain.manifest
    assert manifest is not None
    assert (manifest.layers, manifest.shape) == (1, [1, 2, 2, LENGTH, 8])
    assert {name: manifest.train[name] for name in ways if name != "adapter_rank"} == {
        name: value for name, value in ways.items() if name != "adapter_rank"
    }
    assert domain.chain.invoke({"question": "What is the fee of a replacement card?"})["answer"] == ANSWER


def test_the_log_of_a_run_is_in_the_build_folder(trained: tuple[Path, TrainReport]) -> None:
    lines = (trained[0] / "build" / "train_log.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [line for line in map(json.loads, lines) if "step" in line]
    assert [line["step"] for line in steps] == list(range(1, trained[1].epochs + 1))


def test_a_part_of_the_questions(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True, train=LITTLE)
    steps: list[TrainStep] = []
    scored: list[tuple[str, int, int]] = []
    report = domain.train(
        limit=3, dev_limit=2, on_step=steps.append, on_score=lambda *told: scored.append(told)
    )  # fmt: skip
    assert (report.examples, report.dev_questions) == (3, 2)
    assert {step.phase for step in steps} == {"prefixes", "train", "dev"}
    assert scored[-1] == ("text-twin", 2, 2)


def test_a_run_that_was_stopped_goes_on(make_domain: MakeDomain, trained: tuple[Path, TrainReport]) -> None:
    domain = make_domain(ingest=True)

    def stop(step: TrainStep) -> None:
        if step.phase == "train" and step.done == 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        domain.train(on_step=stop)
    assert domain.status()["unfinished_training"]
    assert domain.manifest is None
    report = domain.train()
    assert report.resumed
    assert not domain.status()["unfinished_training"]
    # As if it had never stopped.
    ours, theirs = domain.manifest, read_manifest(trained[0] / "build" / "soft_prompt")
    assert ours is not None
    assert theirs is not None
    assert ours.vectors_sha256 == theirs.vectors_sha256


def test_a_run_that_was_stopped_while_it_was_scored_is_not_trained_again(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True)

    def stop(name: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        domain.train(on_score=stop)
    assert domain.status()["unfinished_training"]
    steps: list[TrainStep] = []
    report = domain.train(on_step=steps.append)
    assert (report.resumed, report.kept) == (True, True)
    assert [step for step in steps if step.phase == "train"] == []
    assert not domain.status()["unfinished_training"]


# What is trained on


def test_where_retrieval_missed_the_answer_teaching_puts_it_in(make_domain: MakeDomain) -> None:
    domain = make_domain(train=LITTLE)
    quote = "A transfer overseas costs 15 euros."
    asked_for = "Is a replacement card sent with a letter?"
    missed = {**questions("train")[0], "question": asked_for, "doc_id": "transfers", "quote": quote}
    write_items(domain.folder / "train.jsonl", [missed, *questions("train")[1:]])
    domain.ingest()
    task, items = ChatTraining(domain.answering("text-twin")), domain.items("train")
    taught, asked = (task.prompted(items, teach=teach)[0][0][0].prompt.messages[0].text for teach in (True, False))
    assert quote in taught
    assert quote not in asked
    # GoldSpans takes the place of the weakest passage, which stands first; the other is what answering would see.
    assert taught.split("\n\n")[-2] == asked.split("\n\n")[-2]


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda folder: write_items(folder / "train.jsonl", []), "0 questions"),
        (lambda folder: write_items(folder / "dev.jsonl", []), "0 dev examples"),
        (lambda folder: (folder / "train.jsonl").unlink(), "cannot be read"),
    ],
)
def test_nothing_to_train_on(make_domain: MakeDomain, write: Callable[[Path], Any], words: str) -> None:
    domain = make_domain(ingest=True, train=LITTLE)
    write(domain.folder)
    with pytest.raises(Exception, match=words) as caught:
        domain.train()
    assert "jsonl" in caught.value.next_step  # type: ignore[attr-defined]


def test_a_missing_dev_set_is_cut_from_train(make_domain: MakeDomain) -> None:
    domain = make_domain(train=LITTLE)
    (domain.folder / "dev.jsonl").unlink()
    ingested = domain.ingest()
    train, dev = domain.items("train"), domain.items("dev")
    assert (len(train), len(dev)) == (3, 1)
    assert not {item.group for item in train} & {item.group for item in dev}
    assert [(report.split, report.questions, report.cut) for report in ingested.questions] == [
        ("train", 3, 4), ("dev", 1, 4), ("test", 4, None),
    ]  # fmt: skip
    report = domain.train()
    assert (report.examples, report.dev_questions) == (3, 1)
    assert "write more to dev.jsonl: with 1 the decision is mostly chance" in report.next_steps


def test_lost_documents_and_quotes_are_reported(make_domain: MakeDomain) -> None:
    domain = make_domain(train=LITTLE)
    first, second, third, fourth = questions("train")
    rows = [
        {**first, "doc_id": "docs/cards.md"},
        {**second, "doc_id": "card"},
        {**third, "quote": "A replacement card costs 99 francs."},
        {**fourth, "colour": "red"},
    ]
    write_items(domain.folder / "train.jsonl", rows)
    assert domain.items("train")[0].doc_id == "docs/cards.md"
    train, *_ = domain.ingest().questions
    assert (train.file, train.questions, train.ignored_columns) == ("train.jsonl", 4, ("colour",))
    assert [(lost.item, lost.column, lost.value) for lost in train.lost] == [
        ("q1", "doc_id", "card"), ("q2", "quote", "A replacement card costs 99 francs."),
    ]  # fmt: skip
    assert train.lost[0].closest == "cards"
    assert train.lost[1].closest is not None
    assert [item.doc_id for item in domain.items("train")] == ["cards", "", "cards", "cards"]
    report = domain.train()
    assert report.questions[0] == train
    assert report.without_document == 1


def test_answers_from_a_closed_set_are_compared_with_their_majority(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True, train=LITTLE)
    rows = [
        {**row, "id": f"{row['id']}-{n}", "answers": ["no" if n == 2 else "yes"], "response": ""}
        for n in range(3)
        for row in questions("train")
    ]
    write_items(domain.folder / "train.jsonl", rows)
    write_items(domain.folder / "dev.jsonl", rows[2:6])
    report = domain.train()
    assert report.majority is not None
    assert (report.majority.answer, report.majority.questions, report.majority.majority_accuracy) == ("yes", 4, 1.0)
    assert report.next_steps[0].startswith("it does not beat the constant answer 'yes'")
    [row] = domain.evaluate(split="dev", systems=["majority"]).rows
    assert row.accuracy is not None
    assert (row.system, row.accuracy.mean) == ("majority", 1.0)
    assert next(row.system for row in domain.evaluate(split="dev", limit=1).rows) == "majority"


def test_a_template_without_a_soft_slot(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True, train=LITTLE)
    edit_template(domain, "{domain}", "")
    text = (domain.folder / "templates" / "rag-chat.en.yaml").read_text(encoding="utf-8")
    start = text.index("soft_slots:")
    end = text.index("version:")
    (domain.folder / "templates" / "rag-chat.en.yaml").write_text(text[:start] + text[end:], encoding="utf-8")
    with pytest.raises(TrainingError, match="0 soft slots") as caught:
        domain.train()
    assert "soft_slots" in caught.value.next_step


def test_a_training_that_fails_keeps_what_was_there(grafted: Domain) -> None:
    before = stored(grafted)
    with pytest.raises(TrainingError, match="learning_rate"):
        grafted.train(settings=grafted.file.train.model_copy(update={"learning_rate": 1e38}))
    assert stored(grafted) == before


def test_evaluation_needs_no_training_questions(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True)
    for split in ("train", "dev"):
        (domain.folder / f"{split}.jsonl").unlink()
    assert [row.questions for row in domain.evaluate(limit=2).rows] == [2] * 5
    write_items(domain.folder / "test.jsonl", [])
    with pytest.raises(UsageError, match="no questions in"):
        domain.evaluate()


# What no longer fits


def test_a_soft_prompt_of_another_backbone_is_refused(grafted: Domain, backbone_folders: tuple[Path, Path]) -> None:
    path = grafted.folder / "domain.yaml"
    path.write_text(path.read_text().replace(str(backbone_folders[0]), str(backbone_folders[1])))
    other = opened(grafted.folder)
    try:
        with pytest.raises(ArtifactError, match="was trained on") as caught:
            other.chain.invoke({"question": "What is the fee of a card?"})
        assert str(backbone_folders[0]) in caught.value.found
        assert str(backbone_folders[1]) in caught.value.expected
        assert "softgraft train" in caught.value.next_step
        assert f"`backbone: {backbone_folders[0]}`" in caught.value.next_step
        # Training for it is the way out, so it must not be in its own way; status neither.
        assert other.status()["soft_prompt"]["backbone"] == str(backbone_folders[0])
        other.train(settings=other.file.train.model_copy(update={"epochs": 1}))
    finally:
        other.close()


def test_an_edited_template_is_noticed(grafted: Domain) -> None:
    question = {"question": "What is the fee of a replacement card?"}
    assert grafted.chain.invoke(question)["notices"] == []
    edit_template(grafted, "helpful assistant", "patient clerk")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        found = [grafted.chain.invoke(question) for _ in range(2)]
    for result in found:
        [notice] = result["notices"]
        assert "was edited after the soft prompt was trained" in notice
        assert f"softgraft train {grafted.folder}" in notice
    assert len([entry for entry in heard if "was edited" in str(entry.message)]) == 1
    assert grafted.status()["notices"] == found[0]["notices"]
    # The description reaches no model, so it may change.
    edit_template(grafted, "patient clerk", "helpful assistant")
    edit_template(grafted, "description: ", "description: Better. ")
    assert grafted.chain.invoke(question)["notices"] == []


def test_a_slot_that_was_renamed_holds_its_text_twin(grafted: Domain) -> None:
    question = {"question": "What is the fee of a replacement card?"}
    with_soft = grafted.chain.invoke(question)["answer"]
    with_twin = grafted.answering("text-twin")
    edit_template(grafted, "{domain}", "{house}")
    edit_template(grafted, "domain:", "house:")
    with pytest.warns(UserWarning, match="no slot 'domain'"):
        found = grafted.chain.invoke(question)
    assert found["notices"] == grafted.notices()
    [evidence] = with_twin.evidence_many([question["question"]])
    prompt = with_twin.speaker.prepare(with_twin.prompt(question["question"], [], evidence))
    [reply] = with_twin.speaker.reply_many([prompt])
    assert found["answer"] == reply.strip() != with_soft


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda f: _cut(f / "soft_prompt.safetensors"),
    "bit-flipped": lambda f: _flip(f / "soft_prompt.safetensors"),
    "no vectors": lambda f: (f / "soft_prompt.safetensors").unlink(),
    "no manifest": lambda f: (f / "manifest.json").unlink(),
    "half a manifest": lambda f: (f / "manifest.json").write_text((f / "manifest.json").read_text()[:200]),
    "newer format": lambda f: _change(f, format_version=99),
    "unknown key": lambda f: _change(f, colour="red"),
    "wrong shape": lambda f: _change(f, shape=[8, 64]),
    "not a number": lambda f: _nan(f),
}  # fmt: skip


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-7] ^= 1
    path.write_bytes(data)


def _change(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _nan(folder: Path) -> None:
    """Vectors that are no numbers, with a digest that fits them."""
    import hashlib

    from safetensors.torch import load, save

    vectors = load((folder / "soft_prompt.safetensors").read_bytes())["vectors"]
    vectors[3, 3] = torch.nan
    data = save({"vectors": vectors})
    (folder / "soft_prompt.safetensors").write_bytes(data)
    _change(folder, vectors_sha256=hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_never_read_as_no_soft_prompt(grafted: Domain, damage: Callable[[Path], object]) -> None:
    damage(grafted.build / "soft_prompt")
    with pytest.raises(ArtifactError) as caught:
        grafted.chain.invoke({"question": "What is the fee of a card?"})
    assert "softgraft train" in caught.value.next_step
    with pytest.raises(ArtifactError):
        grafted.evaluate(limit=1)


def test_a_save_of_an_earlier_version_that_was_cut_off_is_read(grafted: Domain) -> None:
    before = stored(grafted)
    folder = grafted.build / "soft_prompt"
    folder.rename(folder.with_name(".soft_prompt.old"))
    # What a save leaves that was cut off between moving the old folder away and the new one in.
    shutil.copytree(folder.with_name(".soft_prompt.old"), folder.with_name(".soft_prompt.new"))
    assert grafted.status()["soft_prompt"] is not None
    # Readers write nothing.
    assert stored(grafted) == {}
    left = folder.with_name(".soft_prompt.old")
    assert {path.name: path.read_bytes() for path in left.iterdir()} == before
    assert grafted.chain.invoke({"question": "What is the fee of a replacement card?"})["answer"] == ANSWER
