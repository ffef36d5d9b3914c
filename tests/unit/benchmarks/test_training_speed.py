"""The training benchmark: its data, its systems on a tiny backbone, and continued results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytestmark = pytest.mark.bench

if TYPE_CHECKING:
    from benchmarks.speed.training.data import DataSettings
    from soft_prompt import Backbone

LENGTH = 4
FLAGS = ("--contexts=80", "--examples=4", "--batch=2", "--epochs=1", "--prompt=4", "--question=6", "--answer=4")


def settings(**changed: Any) -> DataSettings:
    from benchmarks.speed.training.data import DataSettings

    return DataSettings(**{"examples": 8, "batch": 4, "question": 6, "answer": 4, **changed})


def count(backbone: Backbone, data: str, context: int = 120, **changed: Any) -> dict[str, int | float]:
    from benchmarks.speed.training.data import count_uses, make_batches, make_examples

    chosen = settings(**changed)
    return count_uses(make_batches(make_examples(backbone, chosen, data, context), chosen))


@pytest.fixture
def measure(tiny_backbone: Backbone, tmp_path: Path) -> Any:
    """Runs the benchmark on the tiny backbone, without memory, and returns the report as it is on disk."""

    def run(*flags: str) -> dict[str, Any]:
        from benchmarks.speed.training.report import Report
        from benchmarks.speed.training.runs import Benchmark, report_head
        from benchmarks.speed.training_speed import parse

        options = parse([*FLAGS, "--no-memory", f"--out={tmp_path / 'report.json'}", *flags])
        report = Report(options.out, report_head(tiny_backbone, options), fresh=options.fresh)
        Benchmark(tiny_backbone, options, report).run()
        report_on_disk: dict[str, Any] = json.loads(options.out.read_text())
        return report_on_disk

    return run


def test_unique_contexts_are_used_once_an_epoch(tiny_backbone: Backbone) -> None:
    counts = count(tiny_backbone, "unique")
    assert counts == {"contexts": 8, "uses_of_a_context": 3, "mean_uses_of_a_context": 3.0}


def test_recurring_contexts_are_used_by_each_of_their_questions(tiny_backbone: Backbone) -> None:
    counts = count(tiny_backbone, "recurring")
    assert counts == {"contexts": 2, "uses_of_a_context": 12, "mean_uses_of_a_context": 12.0}


def test_the_minimum_use_is_that_of_the_context_with_the_fewest_questions(tiny_backbone: Backbone) -> None:
    counts = count(tiny_backbone, "recurring", examples=6)
    assert (counts["uses_of_a_context"], counts["mean_uses_of_a_context"]) == (6, 9.0)


def test_passages_recur_while_contexts_do_not(tiny_backbone: Backbone) -> None:
    for context in (200, 1000, 2000):
        counts = count(tiny_backbone, "passages", context, examples=48)
        assert (counts["contexts"], counts["uses_of_a_context"]) == (48, 3)
        assert counts["uses_of_a_passage"] >= 8
        # More uses than configured would overstate the gain of the cache.
        assert counts["mean_uses_of_a_passage"] < 10


def test_cuts_separate_the_passages(tiny_backbone: Backbone) -> None:
    from benchmarks.speed.training.data import HEAD, make_examples

    examples = make_examples(tiny_backbone, settings(), "passages", 1000)
    assert len({example.context[:HEAD] for example in examples}) == 1
    for example in examples:
        assert example.cuts[0] == HEAD
        assert example.context[:HEAD] + sum(example.passages, ()) == example.context
        assert len(set(example.passages)) == len(example.passages) == 6
        assert all(100 <= len(passage) <= 250 for passage in example.passages)


def test_contexts_have_about_the_requested_length(tiny_backbone: Backbone) -> None:
    from benchmarks.speed.training.data import DATA, make_examples

    for data in DATA:
        examples = make_examples(tiny_backbone, settings(), data, 1000)
        assert len(examples) == 8
        assert all(850 <= len(example.context) <= 1150 for example in examples)


def test_too_many_different_contexts_are_refused(tiny_backbone: Backbone) -> None:
    with pytest.raises(SystemExit, match="different orders of passages found"):
        count(tiny_backbone, "passages", 60, examples=200, passage_uses=10_000)


@pytest.mark.parametrize("name", ["softgraft-embedding", "softgraft-kv", "softgraft-kv-adapter"])
def test_softgraft_learns_and_reads_each_context_once(tiny_backbone: Backbone, name: str) -> None:
    from benchmarks.speed.training.data import make_batches, make_examples
    from benchmarks.speed.training.systems import softgraft_system
    from soft_prompt import PrefixStore

    examples = make_examples(tiny_backbone, settings(), "recurring", 60)
    system = softgraft_system(
        name, tiny_backbone, examples, LENGTH, lambda: PrefixStore(tiny_backbone, memory_bytes=2**20)
    )
    system.start()
    system.fill(examples)
    losses = [system.step(batch) for batch in make_batches(examples, settings())]
    assert system.store.computed_tokens == sum(map(len, {example.context for example in examples}))
    before = system.initial.tensors()
    assert any(not after.equal(before[name]) for name, after in system.trained.items())
    assert all(0 < loss < 100 for loss in losses)
    system.stop()


def test_block_attention_computes_each_passage_once(tiny_backbone: Backbone) -> None:
    from benchmarks.speed.training.data import make_batches, make_examples
    from benchmarks.speed.training.report import BLOCK
    from benchmarks.speed.training.systems import softgraft_system
    from soft_prompt import PrefixStore

    examples = make_examples(tiny_backbone, settings(), "passages", 200)
    system = softgraft_system(
        BLOCK, tiny_backbone, examples, LENGTH, lambda: PrefixStore(tiny_backbone, memory_bytes=2**20)
    )
    system.start()
    system.fill(examples)
    filled = system.store.computed_tokens
    assert filled < sum(map(len, {example.context for example in examples}))
    for batch in make_batches(examples, settings()):
        system.step(batch)
    assert system.store.computed_tokens == filled
    system.stop()


@pytest.mark.parametrize(
    "name",
    ["peft-prompt-tuning", "peft-answer-logits", "peft-prefix-tuning", "peft-cartridge", "peft-lora"],
)
def test_peft_sees_the_same_tokens_in_the_same_places(tiny_backbone: Backbone, name: str) -> None:
    pytest.importorskip("peft", reason="PEFT comes with the extra `bench` only")
    from benchmarks.speed.training.data import make_batches, make_examples
    from benchmarks.speed.training.peft_systems import peft_system, same_tokens_loss
    from soft_prompt import weights_checksum

    before = weights_checksum(tiny_backbone)
    batch, *others = make_batches(make_examples(tiny_backbone, settings(), "unique", 60), settings())
    expected = same_tokens_loss(name, tiny_backbone, batch, LENGTH)
    system = peft_system(name, tiny_backbone, LENGTH)
    for _ in range(2):
        system.start()
        assert system.step(batch) == pytest.approx(expected, rel=1e-4)
        changed = [weights.detach().clone() for weights in system.trained]
        system.step(others[0])
        assert any(not old.equal(new) for old, new in zip(changed, system.trained, strict=True))
        system.stop()
    assert weights_checksum(tiny_backbone) == before


def test_lora_adapts_every_linear_layer_and_is_removed_again(tiny_backbone: Backbone) -> None:
    pytest.importorskip("peft", reason="PEFT comes with the extra `bench` only")
    from benchmarks.speed.training.peft_systems import LORA_RANK, peft_system
    from soft_prompt.graft.adapter import linear_layers

    layers = linear_layers(tiny_backbone)
    system = peft_system("peft-lora", tiny_backbone, LENGTH)
    system.start()
    assert len(system.trained) == 2 * len(layers)
    assert all(LORA_RANK in weights.shape for weights in system.trained)
    system.stop()
    assert linear_layers(tiny_backbone) == layers


def test_a_second_run_measures_only_missing_rows(measure: Any) -> None:
    first = measure("--systems=softgraft-kv", "--data=unique", "--repeats=1")
    again = measure("--systems=softgraft-kv,softgraft-embedding", "--data=unique", "--repeats=2")
    assert [len(row["timings"]) for row in first["rows"]] == [1]
    old, new = sorted(again["rows"], key=lambda row: row["system"] != "softgraft-kv")
    assert old["timings"][0] == first["rows"][0]["timings"][0]
    assert [(row["system"], len(row["timings"])) for row in (old, new)] == [
        ("softgraft-kv", 2),
        ("softgraft-embedding", 2),
    ]
    assert again["started"] == first["started"]


def test_a_file_with_other_settings_is_refused_and_unchanged(measure: Any, tmp_path: Path) -> None:
    measure("--systems=softgraft-kv", "--data=unique", "--repeats=1")
    before = (tmp_path / "report.json").read_text()
    with pytest.raises(SystemExit, match=r"config\.seed 0, now 1.*--fresh"):
        measure("--systems=softgraft-kv", "--data=unique", "--repeats=1", "--seed=1")
    assert (tmp_path / "report.json").read_text() == before
    assert measure("--systems=softgraft-kv", "--data=unique", "--repeats=1", "--seed=1", "--fresh")["rows"]


def test_peft_steps_are_scaled_to_the_whole_run(measure: Any) -> None:
    pytest.importorskip("peft", reason="PEFT comes with the extra `bench` only")
    report = measure("--systems=softgraft-kv,peft-prompt-tuning", "--data=unique", "--repeats=1", "--peft-steps=1")
    own, peft = report["rows"]
    assert (own["timings"][0]["timed_steps"], peft["timings"][0]["timed_steps"]) == (2, 1)
    assert own["steps"] == peft["steps"] == 2
    assert own["ratio_to_peft"] == pytest.approx(own["examples_per_second"] / peft["examples_per_second"])
    assert peft["ratio_to_peft"] == 1


def test_mapped_files_are_separate_from_anonymous_memory(tmp_path: Path) -> None:
    import mmap

    from benchmarks.machine import MemorySampler, resident_bytes

    if not resident_bytes():
        pytest.skip("no /proc on this system")
    size = 64 * 2**20
    (tmp_path / "cache").write_bytes(bytes(size))
    before = resident_bytes()
    with (tmp_path / "cache").open("rb") as file, MemorySampler() as sampler:
        pages = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        assert pages.find(b"1") == -1
        sampler.sample()
        pages.close()
    grown = {kind: sampler.peaks[kind] - before[kind] for kind in before}
    assert grown["file"] > 0.9 * size
    assert grown["anonymous"] < 0.2 * size
