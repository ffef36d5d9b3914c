"""Domains that label, sum up or translate: made, trained, evaluated and used without any document."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from task_domain import TEXTS, WORDS, edit_settings, examples, make_task_domain, reopened, write_data, write_rows

from chains.answering.speaker import PreparedPrompt
from chains.errors import InputError
from chains.tasks.labels import Calibration
from evaluation import ItemsError
from prompts import RenderedPrompt
from retrieval import NotIngestedError
from softgraft import Domain
from softgraft.errors import DomainError, UsageError
from softgraft.tasks.work import TaskWork
from softgraft.training.task import TrainReport

pytestmark = pytest.mark.heavy

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def labelled(
    tmp_path_factory: pytest.TempPathFactory, backbone_folders: tuple[Path, Path]
) -> Iterator[tuple[Domain, TrainReport]]:
    """A trained classification domain; read, never changed."""
    domain = make_task_domain(tmp_path_factory.mktemp("tasks") / "intents", "classification", str(backbone_folders[0]))
    yield domain, domain.train()
    domain.close()


@pytest.fixture
def make(tmp_path: Path, backbone_folders: tuple[Path, Path]) -> Iterator[Callable[..., Domain]]:
    made: list[Domain] = []

    def make(task: Any, **settings: Any) -> Domain:
        made.append(make_task_domain(tmp_path / "tasks", task, str(backbone_folders[0]), **settings))
        return made[-1]

    yield make
    for domain in made:
        domain.close()


def test_a_soft_prompt_learns_to_label(labelled: tuple[Domain, TrainReport]) -> None:
    domain, report = labelled
    assert report.kept
    assert (report.metric, report.examples, report.dev_questions) == ("accuracy", 9, 3)
    assert report.dev_score > report.dev_score_text_twin
    assert report.dev_score == 1.0
    manifest = domain.manifest
    assert manifest is not None
    assert manifest.objective == "cross entropy of the label's words"
    assert manifest.scores.dev_token_f1 == 1.0


def test_texts_are_labelled(labelled: tuple[Domain, TrainReport]) -> None:
    domain, _ = labelled
    found = domain.classify([f"{text} 7" for text in TEXTS.values()])
    assert [one["label"] for one in found] == list(TEXTS)
    for one in found:
        assert set(one["probabilities"]) == set(WORDS)
        assert sum(one["probabilities"].values()) == pytest.approx(1.0)
        assert list(one["probabilities"].values()) == sorted(one["probabilities"].values(), reverse=True)
        assert next(iter(one["probabilities"])) == one["label"]


def test_the_runnable_does_the_same(labelled: tuple[Domain, TrainReport]) -> None:
    chain = labelled[0].work.chain
    texts = list(TEXTS.values())
    expected = labelled[0].classify(texts)
    assert [one["label"] for one in chain.batch([{"text": text} for text in texts])] == [x["label"] for x in expected]
    assert (chain | (lambda found: found["label"])).invoke(texts[0]) == expected[0]["label"]
    assert [one["label"] for one in chain.stream(texts[1])] == [expected[1]["label"]]


@pytest.mark.parametrize("given", ["  ", {"text": "a", "more": "b"}, {"question": "a"}, 7])
def test_the_runnable_refuses_what_is_no_text(labelled: tuple[Domain, TrainReport], given: Any) -> None:
    with pytest.raises(InputError):
        labelled[0].work.chain.invoke(given)


def test_the_runnable_refuses_settings(labelled: tuple[Domain, TrainReport]) -> None:
    with pytest.raises(InputError, match="temperature"):
        labelled[0].work.chain.invoke("a", temperature=1.0)


def test_an_evaluation_compares_the_grafts(labelled: tuple[Domain, TrainReport]) -> None:
    domain, _ = labelled
    report = domain.evaluate_task()
    assert [row.system for row in report.rows] == ["template", "text-twin", "soft"]
    soft = report.rows[-1]
    assert (soft.texts, soft.scores["accuracy"].mean) == (6, 1.0)
    assert set(soft.scores) == {"accuracy", "macro recall", "macro F1"}
    assert [(c.theirs, c.score) for c in report.comparisons] == [("template", "accuracy"), ("text-twin", "accuracy")]
    written = json.loads((domain.build / "reports" / "eval-test.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(report.as_json()))
    lines = (domain.build / "reports" / "eval-test-replies.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 18
    assert json.loads(lines[-1])["reference"] == "top_up"
    [only] = domain.evaluate_task(split="dev", limit=2, systems=["soft"]).rows
    assert (only.system, only.texts) == ("soft", 2)
    found = domain.status()
    assert found["evaluation"][-1] == {"system": "soft", "accuracy": 1.0}
    assert found["task"] == "classification"


@pytest.mark.parametrize("graft", ["empty", "text-twin", "soft"])
@pytest.mark.parametrize("bias", [(0.0, 0.0, 0.0), (0.0, 4.0, -3.0), (-30.0, 0.0, 30.0)])
def test_the_label_alone_is_the_likeliest_one(
    labelled: tuple[Domain, TrainReport], graft: Any, bias: tuple[float, ...]
) -> None:
    domain = labelled[0]
    classifier = domain.work.classifier(domain.chat(graft), Calibration("prior", "sum", bias))
    texts = [f"{text} {number}" for text in TEXTS.values() for number in range(3)]
    done: list[int] = []
    labels = classifier.replies(texts, on_reply=done.append)
    assert labels == [found["label"] for found in classifier.run(texts)]
    assert done[-1] == len(texts)


def test_a_calibration_is_fitted_once(labelled: tuple[Domain, TrainReport], monkeypatch: pytest.MonkeyPatch) -> None:
    domain, _ = labelled
    # Training has found those of the text twin and of the soft prompt already.
    assert sorted(path.stem for path in (domain.build / "labels").iterdir() if path.stem != "empty") == [
        "soft", "text-twin",
    ]  # fmt: skip
    monkeypatch.setattr("softgraft.tasks.work.fit_labels", lambda *_: pytest.fail("fitted again"))
    for graft in ("soft", "text-twin"):
        TaskWork(domain).worker(graft).run(["my card"])  # type: ignore[arg-type]
    # Other words are other labels, so the old calibration is of no use.
    work = TaskWork(domain)
    work.__dict__["verbalizer"] = type(work.verbalizer)({**WORDS, "top_up": "bb"})
    with pytest.raises(pytest.fail.Exception, match="fitted again"):
        work.run(["my card"])


@pytest.mark.parametrize(("task", "names"), [
    ("summarisation", {"ROUGE-1", "ROUGE-2", "ROUGE-L"}), ("translation", {"chrF", "BLEU"}),
])  # fmt: skip
def test_a_soft_prompt_learns_to_write(make: Callable[..., Domain], task: Any, names: set[str]) -> None:
    domain = make(task)
    assert domain.work.run(["the fee is 3"])[0]["reply"] != "12"
    report = domain.train()
    assert report.kept
    assert report.metric in {"ROUGE-L", "chrF of each text"}
    assert domain.work.run(["the fee is 3"]) == [{"text": "the fee is 3", "reply": "12"}]
    soft = domain.evaluate_task(systems=["soft"]).rows[0]
    assert set(soft.scores) == names
    assert soft.scores["ROUGE-L" if task == "summarisation" else "chrF"].mean in (1.0, 100.0)


# With context


def fitting(prompt: RenderedPrompt) -> PreparedPrompt:
    return PreparedPrompt(prompt, None, True)


def test_examples_as_context(make: Callable[..., Domain]) -> None:
    domain = make("classification", context="examples", retrieval={"passages": 2, "evidence_tokens": 400})
    prompts = domain.work.prompts(fitting)
    text = domain.items("train")[0].question
    shown = prompts.prompts([text])[0].prompt.messages[0].text
    # The text itself is the nearest of all, and stands last.
    assert shown.endswith(f"{text}\n{WORDS['card_fee']}\n\n")
    taught = prompts.prompts([text], domain.work.lookup(teach=True))[0].prompt.messages[0].text
    assert f"{text}\n" not in taught
    assert taught.count(f"\n{WORDS['card_fee']}\n\n") == 2
    assert len(list(domain.build.glob("examples/*.vectors"))) == 1
    before = domain.classify(["the card costs what 1"])[0]["probabilities"]
    edit_settings(domain.folder, context="none")
    without = reopened(domain.folder)
    assert without.classify(["the card costs what 1"])[0]["probabilities"] != before
    without.close()


def test_documents_as_context(make: Callable[..., Domain]) -> None:
    domain = make("summarisation", context="documents")
    with pytest.raises(NotIngestedError):
        domain.work.run(["what is a card"])
    (domain.folder / "docs").mkdir()
    (domain.folder / "docs" / "cards.md").write_text("# Cards\n\nA card is plastic.\n", encoding="utf-8")
    domain.ingest()
    shown = domain.work.prompts(fitting).prompts(["what is a card"])[0].prompt.messages[0].text
    assert "Cards\nA card is plastic.\n\n" in shown
    assert "reply" in domain.work.run(["what is a card"])[0]


def test_context_gives_way_where_there_is_no_room(make: Callable[..., Domain]) -> None:
    domain = make("classification", context="examples", retrieval={"passages": 3, "evidence_tokens": 400})
    shown = []
    for most in (3, 1, 0):
        prompts = domain.work.prompts(
            lambda prompt, most=most: PreparedPrompt(prompt, None, len(prompt.messages[0].segments) <= most + 2)
        )
        shown.append(len(prompts.prompts(["my card"])[0].prompt.messages[0].segments))
    assert shown == [5, 3, 2]


# What is refused


def test_data_that_cannot_be_a_domain(tmp_path: Path) -> None:
    from softgraft.jobs.create import create_domain

    data = tmp_path / "data"
    data.mkdir()
    with pytest.raises(UsageError, match="no examples of the task classification"):
        create_domain(str(tmp_path / "a"), data, task="classification")
    write_rows(data / "train.jsonl", [{"text": "one", "label": "x"}, {"text": "two", "label": "x"}])
    with pytest.raises(InputError, match="1 labels"):
        create_domain(str(tmp_path / "a"), data, task="classification")
    write_rows(data / "train.jsonl", [{"text": "one", "label": "x_y"}, {"text": "two", "label": "x y"}])
    with pytest.raises(InputError, match="x y, x_y with the same words"):
        create_domain(str(tmp_path / "a"), data, task="classification")
    for row, said in [({"text": " ", "label": "x"}, "text: "), ({"text": "a"}, "label: "), ({"q": 1}, "text: ")]:
        write_rows(data / "train.jsonl", [{"text": "one", "label": "y"}, row])
        with pytest.raises(ItemsError, match=f"line 2 of .*{said}"):
            create_domain(str(tmp_path / "a"), data, task="classification")
    write_rows(data / "train.jsonl", [{"id": "a", "text": "one", "label": "y"}, {"id": "a", "text": "b", "label": "x"}])
    with pytest.raises(ItemsError, match="the id 'a' in lines 1 and 2"):
        create_domain(str(tmp_path / "a"), data, task="classification")
    assert not (tmp_path / "a").exists()


def test_a_label_that_nobody_knows(make: Callable[..., Domain]) -> None:
    domain = make("classification")
    write_rows(domain.folder / "test.jsonl", [{"text": "a", "label": "weather"}])
    with pytest.raises(ItemsError, match=r"1 labels that labels\.yaml does not have: weather"):
        domain.evaluate_task()
    for text in ("[]", "card_lost: ab", "a: 1\nb: two", "a: ''\nb: c", "a: [", None):
        path = domain.folder / "labels.yaml"
        path.unlink() if text is None else path.write_text(text, encoding="utf-8")
        with pytest.raises(DomainError, match=r"labels\.yaml"):
            reopened(domain.folder).items("train")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"task": "chat"}, "`context` requires one of the tasks"),
        ({"task": "translation", "context": "none"}, "`classification` requires `task: classification`"),
        ({"task": "song"}, "task"),
        ({"context": "everything"}, "context"),
        ({"classification": {"calibration": "best"}}, "calibration"),
    ],
)
def test_settings_that_do_not_go_together(make: Callable[..., Domain], settings: dict[str, Any], said: str) -> None:
    domain = make("classification")
    edit_settings(domain.folder, **settings)
    with pytest.raises(DomainError, match=said):
        reopened(domain.folder)


def test_what_another_task_does_not_do(make: Callable[..., Domain], make_domain: Callable[..., Domain]) -> None:
    from softgraft.jobs.search import search

    domain = make("summarisation")
    for refused in (lambda: domain.chain, domain.evaluate, lambda: domain.classify(["a"]), lambda: search(domain)):
        with pytest.raises(UsageError, match="summarisation"):
            refused()
    with pytest.raises(UsageError, match="no system base"):
        domain.evaluate_task(systems=["base"])
    (domain.folder / "test.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="no questions in"):
        domain.evaluate_task()
    with pytest.raises(UsageError, match=r"the task of .* is chat"):
        _ = make_domain("bank").work


def test_a_model_behind_an_api_tells_no_likelihood(make: Callable[..., Domain]) -> None:
    domain = make("classification")
    edit_settings(domain.folder, backbone="openai:gpt-5-mini")
    remote = reopened(domain.folder)
    for refused in (lambda: remote.classify(["a"]), remote.train):
        with pytest.raises(UsageError, match="behind an API"):
            refused()


# The commands


def test_the_commands(run: Run, tmp_path: Path, backbone_folders: tuple[Path, Path]) -> None:
    write_data(tmp_path / "data", "classification")
    code, out, _ = run(
        "new", "intents", "--from", "data", "--task", "classification", "--backbone", str(backbone_folders[0])
    )
    assert code == 0
    assert out == (
        "created domains/intents for classification, examples: 9 train, 3 dev, 6 test, 3 labels (labels.yaml)\n"
        "next: softgraft train intents\n"
    )
    edit_settings(Path("domains/intents"), dtype="float32", train={**TRAIN_ONCE})
    code, out, _ = run("train", "intents", "--epochs", "1")
    assert (code, "accuracy on 3 dev texts: " in out) == (0, True)
    code, out, _ = run("eval", "intents", "--systems", "text-twin")
    assert (code, "macro F1 (95%)" in out) == (0, True)
    code, out, _ = run("ask", "intents", "my card is lost")
    assert code == 0
    assert len(out.splitlines()) == 3
    assert sorted(line.split("  ")[1] for line in out.splitlines()) == sorted(TEXTS)
    code, out, _ = run("ask", "intents", "my card is lost", "--json")
    assert (code, set(json.loads(out))) == (0, {"text", "label", "probabilities", "notices"})
    for arguments, words in [(("--thread", "a"), "--thread a"), ((), "an empty text")]:
        code, out, said = run("ask", "intents", " " if not arguments else "card", *arguments)
        assert (code, out) == (2, "")
        assert words in said
    code, _, said = run("chat", "intents")
    assert (code, "does not answer questions" in said) == (2, True)
    assert run("status", "intents")[0] == 0


TRAIN_ONCE = {"kind": "embedding", "length": 4, "adapter": "none"}


def test_examples_are_written_as_they_came(tmp_path: Path) -> None:
    from softgraft.jobs.create import create_domain

    for task in ("classification", "summarisation", "translation"):
        rows = examples(task, 3)
        write_rows(tmp_path / task / "train.jsonl", [{**row, "group": "g"} for row in rows])
        write_rows(tmp_path / task / "dev.jsonl", [{"id": f"d{n}", **row} for n, row in enumerate(rows)])
        made = create_domain(str(tmp_path / f"{task}-domain"), tmp_path / task, task=task)  # type: ignore[arg-type]
        for split in ("train", "dev"):
            assert (tmp_path / f"{task}-domain" / f"{split}.jsonl").read_text(encoding="utf-8") == (
                tmp_path / task / f"{split}.jsonl"
            ).read_text(encoding="utf-8")
        assert (made["task"], made["template"], made["documents"]) == (task, task, 0)
