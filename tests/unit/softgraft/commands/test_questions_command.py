"""`softgraft questions`: drafting, reviewing line by line, counting, and wrong uses."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from house_domain import opened

from evaluation import read_items
from softgraft import Domain
from softgraft.commands import questions
from softgraft.jobs.questions.draft_file import Draft, DraftFile
from softgraft.jobs.questions.review import Edit, Review

# Left out of `make check`.
pytestmark = pytest.mark.heavy

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def domain(make_domain: Callable[..., Domain], monkeypatch: pytest.MonkeyPatch) -> Domain:
    made = make_domain("house")
    (made.folder / "train.jsonl").unlink()
    monkeypatch.setattr(questions, "open_domain", lambda _: opened(made.folder))
    monkeypatch.setattr("softgraft.jobs.questions.round_trip.LEAST_GAIN", float("-inf"))
    return made


@pytest.fixture
def drafted(domain: Domain) -> Domain:
    file = DraftFile(domain.folder, domain.build)
    for number in range(3):
        file.append(
            Draft(
                id=f"draft-{number}", question=f"What does [card] {number} cost?", answers=("£3",),
                response="It is £3.", doc_id="cards", title="Fees", heading="Cards", quote="It costs\n£3.",
                start=4, end=16,
            )
        )  # fmt: skip
    return domain


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_draft_then_list(run: Run, domain: Domain) -> None:
    domain.ingest()
    code, out, err = run("questions", "house", "draft", "--count", "2")
    assert (code, err) == (0, "")
    assert "2 new drafts, 2 in " in out
    assert out.endswith("next: softgraft questions " + opened(domain.folder).cli_name + " review\n")
    report = json.loads(run("questions", "house", "draft", "--count", "3", "--json")[1])
    assert (report["drafts"], report["new"], report["complete"]) == (3, 1, True)
    counts = json.loads(run("questions", "house", "--json")[1])
    assert (counts["drafted"], counts["left"], counts["accepted"]) == (3, 3, 0)
    assert "drafted: 3 (0 without an answer), accepted: 0" in run("questions", "house", "list")[1]


def test_a_stopped_draft_names_the_whole_command(run: Run, domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("softgraft.jobs.questions.drafting.draft_questions", stopped)
    _, _, err = run("questions", "house", "draft", "--count", "3", "--seed", "7", "--with", "openai:a b")
    assert "draft --count 3 --with 'openai:a b' --seed 7" in err


def test_nothing_drafted_yet(run: Run, domain: Domain) -> None:
    code, out, _ = run("questions", "house")
    assert (code, "draft\n" in out) == (0, True)
    code, out, err = run("questions", "house", "draft")
    assert (code, out) == (3, "")
    assert "next:     run: softgraft ingest" in err


def test_a_review_reads_line_by_line(run: Run, drafted: Domain, typed: Callable[[str], None]) -> None:
    typed("a\ns\nx\ne\nHow much?\n\n\na\n")
    code, out, err = run("questions", "house", "review")
    assert (code, err) == (0, "")
    assert "What does [card] 0 cost?" in out
    assert '"It costs £3."' in out
    assert "Fees > Cards (cards, characters 4 to 16)" in out
    assert "one of a, e, r, s, q" in out
    items = read_items(drafted.folder / "train.jsonl")
    assert [(item.id, item.question) for item in items] == [
        ("draft-0", "What does [card] 0 cost?"), ("draft-2", "How much?"),
    ]  # fmt: skip
    assert "accepted: 2, rejected: 0, left: 1" in out


def test_a_review_says_what_another_one_decided_meanwhile(
    run: Run, drafted: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Review(drafted)
    lines = iter(["e", "How much?", "", "", "a", "q"])

    def typed(_: str) -> str:
        if (line := next(lines)) == "How much?":
            # While this reviewer types, another one accepts the first draft and edits the second.
            other.accept(other.left()[0])
            other.edit(other.left()[0], Edit(question="What is the price of card 1?"))
        return line

    monkeypatch.setattr("builtins.input", typed)
    code, out, _ = run("questions", "house", "review")
    assert code == 0
    assert "draft-0 was accepted by another review meanwhile" in out
    assert "Your edit is not saved" in out
    assert '"question":"How much?"' in out
    assert "draft-1 was changed by another review meanwhile: decide about its new text" in out
    assert "What is the price of card 1?" in out
    assert [item.id for item in read_items(drafted.folder / "train.jsonl")] == ["draft-0"]
    assert "accepted: 1, rejected: 0, left: 2" in out


@pytest.mark.parametrize("text", ["r\nq\n", "r\n", "r\ne\n"])
def test_the_end_of_the_input_quits_without_loss(
    run: Run, drafted: Domain, typed: Callable[[str], None], text: str
) -> None:
    typed(text)
    code, out, _ = run("questions", "house", "review")
    assert (code, "rejected: 1, left: 2" in out) == (0, True)
    typed("r\nr\n")
    assert "rejected: 3, left: 0" in run("questions", "house", "review")[1]
    assert not (drafted.folder / "train.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("list", "--count", "3"), "--count with `list`"),
        (("review", "--with", "openai:x"), "--with with `review`"),
        (("draft", "--count", "0"), "--count"),
        (("accept",), "accept"),
        (("review", "--accept-all"), "No such option"),
    ],
)
def test_wrong_uses(run: Run, domain: Domain, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = run("questions", "house", *arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_a_review_prints_no_json(run: Run, domain: Domain) -> None:
    code, out, _ = run("questions", "house", "review", "--json")
    assert (code, json.loads(out)["error"]["found"]) == (2, "--json with `review`")


@pytest.mark.parametrize("action", ["list", "draft", "review"])
def test_a_task_without_questions(run: Run, make_domain: Callable[..., Domain], action: str) -> None:
    make_domain("labels", task="classification", template="classification")
    code, out, err = run("questions", "labels", action)
    assert (code, out) == (2, "")
    assert "the task of labels is classification" in err
