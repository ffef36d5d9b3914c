"""The benchmark of quality: what every system reads, when training ends, and that a run can be taken up again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytestmark = pytest.mark.bench

if TYPE_CHECKING:
    from benchmarks.quality.data import Question
    from benchmarks.quality.systems import Where

TWIN = "Answer in one short sentence."
PASSAGES = ("The fee for the card is 5 pounds.", "The branch opens at nine.", "A transfer costs 12 pounds.")


def asked(*passages: str, question: str = "What is the fee?", answer: str = "5 pounds") -> Question:
    from benchmarks.quality.data import Question
    from evaluation import Item
    from prompts import PassageSegment, SoftSegment
    from soft_prompt import prompt_of

    segments = [PassageSegment(f"{text} ", str(number)) for number, text in enumerate(passages or PASSAGES[:2])]
    prompt = prompt_of("Read these passages. ", *segments, SoftSegment("domain"), user=question)
    return Question(Item(id=question, question=question, answers=(answer,)), prompt, (), found=True)


@pytest.fixture
def where(make_tiny_backbone: Any, tmp_path: Path) -> Where:
    from benchmarks.quality.systems import Where

    return Where(make_tiny_backbone(), "domain", TWIN, tmp_path / "passages", seed=0)


QUESTIONS = [("What is the fee?", "5 pounds"), ("When does the branch open?", "at nine"), ("And a card?", "5")]


def questions() -> list[Question]:
    return [asked(question=question, answer=answer) for question, answer in QUESTIONS]


@pytest.mark.parametrize("name", ["lora-r16", "alora-r16", "peft-prompt-tuning", "full-fine-tuning"])
def test_a_peer_answers_as_its_start_does_before_it_is_trained(where: Where, name: str) -> None:
    pytest.importorskip("peft")
    from benchmarks.quality.peft import PROMPT_TUNING, VIRTUAL_TOKENS, PeftSystem
    from benchmarks.quality.systems import Untrained, answer_ids
    from soft_prompt import PrefixStore, Row, from_text_twin
    from soft_prompt.training.answer_loss import answer_loss
    from soft_prompt.training.example import Example

    texts = ["The branch opens at nine and closes at five.", "A transfer."]
    start = Untrained(where, TWIN)
    expected = start.reply(questions(), 8), start.text_loss(texts)
    rows = [start.row(q.prompt) for q in questions()]
    if name == PROMPT_TUNING:
        vectors = from_text_twin(where.backbone, "domain", TWIN, VIRTUAL_TOKENS)
        empty = Untrained(where, None)
        rows = [Row((), (vectors, row.prefix, *row.suffix)) for row in (empty.row(q.prompt) for q in questions())]
    examples = [Example(row, answer_ids(where.backbone, q)) for row, q in zip(rows, questions(), strict=True)]
    loss, tokens = answer_loss(PrefixStore(where.backbone), examples)
    peer = PeftSystem(name, where)
    own, own_tokens = peer._loss([(peer._ids(q), answer_ids(where.backbone, q)) for q in questions()])
    # The whole model trains with products in bf16.
    tolerance = 2e-2 if name == "full-fine-tuning" else 1e-4
    assert own_tokens == tokens
    assert float(own.detach()) == pytest.approx(float(loss.detach()), rel=tolerance)
    if name in ("lora-r16", "alora-r16"):
        assert peer.reply(questions(), 8) == expected[0]
        assert peer.text_loss(texts) == pytest.approx(expected[1], rel=1e-4)


@pytest.mark.parametrize("name", ["lora-r16", "alora-r16", "peft-prompt-tuning", "full-fine-tuning"])
def test_a_peer_learns(where: Where, name: str) -> None:
    pytest.importorskip("peft")
    from benchmarks.quality.peft import PeftSystem
    from benchmarks.quality.systems import answer_ids

    peer = PeftSystem(name, where, rate=1e-2)
    examples = [(peer._ids(q), answer_ids(where.backbone, q)) for q in questions()]
    before = float(peer._loss(examples)[0].detach())
    trained = peer.train(questions(), 0.7)
    assert trained is not None
    assert float(peer._loss(examples)[0].detach()) < 0.9 * before
    assert peer.parameters > 0


@pytest.mark.parametrize(
    "name", ["kv", "embedding", "adapter", "kv+adapter", "kv-before", "embedding-before", "spring"]
)
def test_a_graft_learns_wherever_its_slot_stands(where: Where, name: str) -> None:
    from dataclasses import replace

    from benchmarks.quality.systems import Graft
    from benchmarks.quality.ways import GRAFTS

    graft = Graft(where, replace(GRAFTS[name], length=4, rate=0.05, epochs=12))
    trained = graft.train(questions(), 60)
    assert trained is not None
    assert (trained.steps, trained.epochs) == (12, 12)
    first = Graft(where, replace(GRAFTS[name], length=4, rate=0.0, adapter_rate=0.0, epochs=1)).train(questions(), 60)
    assert first is not None
    assert trained.loss < first.loss
    assert graft.parameters * 4 < graft.bytes < graft.parameters * 4 + 20_000


def test_the_slot_before_the_passages_stands_behind_the_first_sentence(where: Where) -> None:
    from dataclasses import replace

    from benchmarks.quality.systems import Graft
    from benchmarks.quality.ways import KV

    graft = Graft(where, replace(KV, before=True, length=4, epochs=1))
    graft.train(questions(), 60)
    row = graft.row(asked().prompt)
    head = where.backbone.decode(row.prefix)
    assert head.endswith("Read these passages. ")
    assert PASSAGES[0] not in head
    assert row.front is graft.soft_prompt


def test_the_last_slot_stands_behind_the_question_which_is_read_once(where: Where) -> None:
    from dataclasses import replace

    from benchmarks.quality.systems import Graft
    from benchmarks.quality.ways import KV

    graft = Graft(where, replace(KV, last=True, length=4, epochs=1))
    graft.train(questions(), 60)
    row = graft.row(asked().prompt)
    assert where.backbone.decode(row.prefix).endswith("What is the fee?\n")
    assert row.front is graft.soft_prompt


@pytest.mark.parametrize("name", ["kv top 15", "adapter top 15"])
def test_the_last_layers_alone_are_trained_and_begin_above_the_others(
    where: Where, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from benchmarks.quality import systems as quality_systems
    from benchmarks.quality.ways import WAYS
    from soft_prompt.training.upper_layers import untrained_layers

    kept: list[int] = []
    right = quality_systems.with_below
    monkeypatch.setattr(
        quality_systems, "with_below", lambda store, new, layers: kept.append(len(new)) or right(store, new, layers)
    )
    graft = quality_systems.Graft(
        where, replace(WAYS[name], layers=1, length=4, rank=min(2, WAYS[name].rank), epochs=3)
    )
    trained = graft.train(questions(), 60)
    assert trained is not None
    assert trained.epochs == 3
    assert kept == [3]
    assert untrained_layers(graft.soft_prompt) == 2


def test_spring_keeps_nothing_of_what_stands_before_its_slot(where: Where) -> None:
    from benchmarks.quality.systems import Graft
    from benchmarks.quality.ways import GRAFTS

    graft = Graft(where, GRAFTS["spring"])
    graft.train(questions()[:1], 0.05)
    assert graft.row(asked().prompt).prefix == ()


def test_training_ends_when_its_seconds_are_spent() -> None:
    import torch

    from benchmarks.quality.training import BATCH, train_for

    weight = torch.ones(3, requires_grad=True)
    trained = train_for(0.2, [5] * 20, lambda batch, _: ((weight**2).sum(), len(batch)), [([weight], 0.1)], 0)
    assert 0.2 <= trained.seconds < 0.4
    assert trained.epochs == pytest.approx(trained.steps * BATCH / 20, rel=0.2)
    assert float((weight.detach() ** 2).sum()) < 3


def test_cells_of_another_processor_are_not_added_to(tmp_path: Path) -> None:
    from benchmarks.machine import describe_hardware
    from benchmarks.quality.quality import require_same

    here = describe_hardware("cpu", 1)
    require_same(tmp_path, {"hardware": {**here, "memory_bytes": 1}}, here)
    with pytest.raises(SystemExit, match=r"another processor \(cpu_capability VAX, here .*\)\. Next: another --out"):
        require_same(tmp_path, {"hardware": {**here, "cpu_capability": "VAX"}}, here)


def test_the_best_on_dev_is_kept() -> None:
    import torch

    from benchmarks.quality.training import train_for

    weight = torch.ones(1, requires_grad=True)
    kept: list[float] = []
    losses = iter([3.0, 1.0, 2.0, 2.5])
    train_for(60, [5] * 8, lambda b, _: (weight.sum(), 1), [([weight], 0.1)], 0, epochs=3,
              dev_loss=lambda: next(losses), keep=lambda: kept.append(float(weight.detach())))  # fmt: skip
    assert len(kept) == 2


def test_cells_come_once_and_what_matters_most_first() -> None:
    from benchmarks.quality.cells import SEEDED, all_cells

    cells = all_cells(3)
    assert len({cell.key for cell in cells}) == len(cells)
    assert all(cell.system in SEEDED for cell in cells if cell.seed)
    assert not any(cell.system.endswith("-block") for cell in cells if cell.evidence == "gold")
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)


def test_what_is_there_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.quality import quality
    from benchmarks.quality.cells import Budget

    out = tmp_path / "quality.json"
    scores = {"f1": [0.5, 0.7], "exact": [0.0, 1.0], "accuracy": [1.0, 1.0]}

    def cell_in_process(cell: Any, chosen: Any) -> dict[str, Any] | None:
        if cell.seed:
            return None
        given = {"data": cell.data, "evidence": cell.evidence, "system": cell.system, "seed": cell.seed}
        return {**given, "trained": None, "parameters": 0, "bytes": 0, "scores": scores}

    monkeypatch.setattr(quality, "_in_process", cell_in_process)
    arguments = ["quality.py", "--data", str(tmp_path), "--out", str(out), "--systems", "kv", "--sets", "squad"]
    monkeypatch.setattr(sys, "argv", arguments)
    quality.main()
    told = capsys.readouterr().out
    assert "6 cells" in told
    assert told.count("stays missing") == 4
    assert sorted(json.loads(out.read_text())["cells"]) == ["squad/gold/kv/0", "squad/retrieved/kv/0"]
    quality.main()
    assert "4 cells" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [*arguments, "--gold-seconds", str(Budget().gold_seconds + 1)])
    with pytest.raises(SystemExit, match="the same settings, or another --out"):
        quality.main()


def test_training_reads_the_best_passages_and_one_that_holds_the_answer() -> None:
    from benchmarks.quality.data import _best
    from evaluation import Item
    from retrieval import Passage

    item = Item(id="q", question="What is the fee?", answers=("5 pounds",), doc_id="card")
    texts = ("The branch opens at nine.", "A transfer.", "The fee for the card is 5 pounds.", "And more.")
    own = [Passage(text, "card", "", "", text, 0, len(text)) for text in texts]
    assert _best(item, own, 4) == own
    assert _best(item, own, 3) == own[:3]
    assert _best(item, own, 2) == [own[0], own[2]]
    # A cut may run through the answer; what training put in stands last.
    other = Item(id="q", question="When?", answers=("at noon",), doc_id="card")
    assert _best(other, own, 2) == [own[0], own[3]]


def test_fewer_questions_are_trained_on_with_retrieved_passages() -> None:
    from benchmarks.quality.systems import GraftSettings

    settings = GraftSettings(questions=200, retrieved_questions=100)
    assert settings.behind("retrieved") == GraftSettings(questions=100, retrieved_questions=100)
    assert settings.behind("gold") is settings
    assert GraftSettings(questions=200).behind("retrieved").questions == 200
