"""The quality benchmark: inputs of every system, end of training, and continued results."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.quality.settings import GRAFTS, KV, PEERS, SEEDED, all_cells

pytestmark = pytest.mark.bench

if TYPE_CHECKING:
    from benchmarks.quality.data import Question
    from benchmarks.quality.systems import Setup

TWIN = "Answer in one short sentence."
PASSAGES = ("The fee for the card is 5 pounds.", "The branch opens at nine.")


def make_question(question: str = "What is the fee?", answer: str = "5 pounds") -> Question:
    from benchmarks.quality.data import Question
    from evaluation import Item
    from prompts import PassageSegment, SoftSegment
    from soft_prompt import prompt_of

    segments = [PassageSegment(f"{text} ", str(number)) for number, text in enumerate(PASSAGES)]
    prompt = prompt_of("Read these passages. ", *segments, SoftSegment("domain"), user=question)
    return Question(Item(id=question, question=question, answers=(answer,)), prompt, (), answerable=True)


@pytest.fixture
def setup(make_tiny_backbone: Any, tmp_path: Path) -> Setup:
    from benchmarks.quality.systems import Setup

    return Setup(make_tiny_backbone(), "domain", TWIN, tmp_path / "passages", seed=0)


@pytest.fixture
def questions() -> list[Question]:
    pairs = [("What is the fee?", "5 pounds"), ("When does the branch open?", "at nine"), ("And a card?", "5")]
    return [make_question(question, answer) for question, answer in pairs]


@pytest.mark.parametrize("name", PEERS)
def test_an_untrained_peer_answers_like_its_initial_prompt(setup: Setup, questions: list[Question], name: str) -> None:
    pytest.importorskip("peft")
    from benchmarks.quality.peft_systems import VIRTUAL_TOKENS, PeftSystem
    from benchmarks.quality.systems import PromptSystem
    from soft_prompt import PrefixStore, Row, from_text_twin
    from soft_prompt.training.answer_loss import answer_loss
    from soft_prompt.training.example import TrainingExample

    texts = ["The branch opens at nine and closes at five.", "A transfer."]
    initial = PromptSystem(setup, TWIN)
    expected = initial.reply(questions, 8), initial.text_loss(texts)
    rows = [initial.row(q.prompt) for q in questions]
    if name == "peft-prompt-tuning":
        vectors = from_text_twin(setup.backbone, "domain", TWIN, VIRTUAL_TOKENS)
        empty = PromptSystem(setup, None)
        rows = [Row((), (vectors, row.prefix, *row.suffix)) for row in (empty.row(q.prompt) for q in questions)]
    examples = [TrainingExample(row, setup.answer_ids(q)) for row, q in zip(rows, questions, strict=True)]
    loss, tokens = answer_loss(PrefixStore(setup.backbone), examples)
    peer = PeftSystem(name, setup)
    own, own_tokens = peer.loss([(peer.prompt_ids(q.prompt), setup.answer_ids(q)) for q in questions])
    # The whole model trains with products in bf16.
    tolerance = 2e-2 if name == "full-fine-tuning" else 1e-4
    assert own_tokens == tokens
    assert float(own.detach()) == pytest.approx(float(loss.detach()), rel=tolerance)
    if name in ("lora-r16", "alora-r16"):
        assert peer.reply(questions, 8) == expected[0]
        assert peer.text_loss(texts) == pytest.approx(expected[1], rel=1e-4)


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_learns(setup: Setup, questions: list[Question], name: str) -> None:
    pytest.importorskip("peft")
    from benchmarks.quality.peft_systems import PeftSystem

    peer = PeftSystem(name, setup)
    peer.learning_rate = 1e-2
    examples = [(peer.prompt_ids(q.prompt), setup.answer_ids(q)) for q in questions]
    before = float(peer.loss(examples)[0].detach())
    assert peer.train(questions, 0.7) is not None
    assert float(peer.loss(examples)[0].detach()) < 0.9 * before
    assert peer.parameters > 0


@pytest.mark.parametrize("name", ["kv", "embedding", "adapter", "kv+adapter", "embedding-before", "spring"])
def test_a_graft_learns_at_every_position_of_its_slot(setup: Setup, questions: list[Question], name: str) -> None:
    from benchmarks.quality.systems import GraftSystem

    settings = replace(GRAFTS[name], length=4, learning_rate=0.05)
    graft = GraftSystem(setup, settings)
    summary = graft.train(questions, 0.5)
    assert summary.steps == summary.epochs
    frozen = replace(settings, learning_rate=0.0, adapter_learning_rate=0.0)
    assert summary.loss < GraftSystem(setup, frozen).train(questions, 0.05).loss
    assert graft.parameters * 4 < graft.bytes < graft.parameters * 4 + 20_000


def test_a_slot_before_the_passages_is_after_the_first_sentence(setup: Setup, questions: list[Question]) -> None:
    from benchmarks.quality.systems import GraftSystem

    graft = GraftSystem(setup, replace(KV, before_passages=True, length=4))
    graft.train(questions, 0.05)
    row = graft.row(make_question().prompt)
    prefix = setup.backbone.decode(row.prefix)
    assert prefix.endswith("Read these passages. ")
    assert PASSAGES[0] not in prefix
    assert graft.fill in row.suffix


def test_spring_caches_no_prefix(setup: Setup, questions: list[Question]) -> None:
    from benchmarks.quality.systems import GraftSystem

    graft = GraftSystem(setup, GRAFTS["spring"])
    graft.train(questions[:1], 0.05)
    assert graft.row(make_question().prompt).prefix == ()


def test_training_ends_when_its_time_is_spent() -> None:
    import torch

    from benchmarks.quality.training import BATCH, train_for

    weight = torch.ones(3, requires_grad=True)
    summary = train_for(0.2, [5] * 20, lambda batch, _: ((weight**2).sum(), len(batch)), [([weight], 0.1)], 0)
    assert 0.2 <= summary.seconds < 0.4
    assert summary.epochs == pytest.approx(summary.steps * BATCH / 20, rel=0.2)
    assert float((weight.detach() ** 2).sum()) < 3


def test_cells_are_unique_and_the_most_important_first() -> None:
    cells = all_cells(3)
    assert len({cell.key for cell in cells}) == len(cells)
    assert all(cell.system in SEEDED for cell in cells if cell.seed)
    assert not any(cell.system.endswith("-block") for cell in cells if cell.evidence == "gold")
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)


def test_only_missing_cells_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import script
    from benchmarks.quality import quality

    out = tmp_path / "quality.json"
    scores = {"f1": [0.5, 0.7], "exact": [0.0, 1.0], "accuracy": [1.0, 1.0]}

    def measure_cell(cell: Any, options: Any) -> dict[str, Any] | None:
        if cell.seed:
            return None
        names = {"data": cell.data, "evidence": cell.evidence, "system": cell.system, "seed": cell.seed}
        return {**names, "trained": None, "parameters": 0, "bytes": 0, "scores": scores}

    def run(*flags: str) -> str:
        flags = ("--data", str(tmp_path), "--out", str(out), "--systems", "kv", "--sets", "squad", *flags)
        monkeypatch.setattr(sys, "argv", ["quality.py", *flags])
        quality.main()
        return capsys.readouterr().out

    monkeypatch.setattr(quality, "measure_cell", measure_cell)
    output = run()
    assert "6 cells" in output
    assert output.count("is still missing") == 4
    results = script.read_results(out)
    assert sorted(results["cells"]) == ["squad/gold/kv/0", "squad/retrieved/kv/0"]
    assert "4 cells" in run()
    with pytest.raises(SystemExit, match=r"gold_seconds 120.*, now 121.*another file with --out"):
        run("--gold-seconds", "121")
    script.write_results(out, {**results, "hardware": {**results["hardware"], "cpu_capability": "VAX"}})
    with pytest.raises(SystemExit, match="cpu_capability 'VAX', now"):
        run()
