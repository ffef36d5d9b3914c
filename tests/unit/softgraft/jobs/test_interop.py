"""Export of a domain's graft to other programs, and import of PEFT adapters."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from house_domain import ANSWER, LENGTH, TRAIN, TWIN, opened, write_domain, write_items
from safetensors.torch import load
from training_checks import edit_template, stored

from soft_prompt import (
    ArtifactError,
    SoftPrompt,
    TrainingError,
    adapter_prompt,
    from_text_twin,
    initial_adapter,
    save_soft_prompt,
)
from soft_prompt.interop.invocation import invocation_ids
from soft_prompt.interop.peft_export import export_peft
from softgraft import Domain
from softgraft.assembly.answers import sample_prompts
from softgraft.errors import UsageError
from softgraft.jobs.interop import export_grafts, import_graft

pytestmark = pytest.mark.heavy

MakeDomain = Callable[..., Domain]
QUESTION = {"question": "What is the fee of a replacement card?"}
FILES = ["adapter_config.json", "adapter_model.safetensors", "softgraft.json"]


@pytest.fixture(scope="module")
def vectors_alone(tmp_path_factory: pytest.TempPathFactory, backbone_folders: tuple[Path, Path]) -> Path:
    """A domain whose soft prompt was trained without an adapter and kept; copied, never changed."""
    settings = {**TRAIN, "adapter": "none"}
    folder = write_domain(tmp_path_factory.mktemp("alone") / "house", str(backbone_folders[0]), train=settings)
    domain = opened(folder)
    domain.ingest()
    assert domain.train().kept
    domain.close()
    return folder


@pytest.fixture
def grafted(vectors_alone: Path, tmp_path: Path) -> Iterator[Domain]:
    """A copy of it."""
    domain = opened(Path(shutil.copytree(vectors_alone, tmp_path / "house")))
    yield domain
    domain.close()


def config_of(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    return config


def put(domain: Domain, soft_prompt: SoftPrompt) -> None:
    """Keep another soft prompt in place of the one that was trained."""
    manifest = domain.manifest
    assert manifest is not None
    changes = {
        "kind": soft_prompt.kind,
        "length": soft_prompt.length,
        "shape": list(soft_prompt.vectors.shape),
        "adapter": soft_prompt.adapter.method if soft_prompt.adapter else None,
        "adapter_rank": soft_prompt.adapter.rank if soft_prompt.adapter else None,
    }
    save_soft_prompt(domain.build / "soft_prompt", soft_prompt, manifest.model_copy(update=changes))


def words_with_adapter(domain: Domain) -> SoftPrompt:
    backbone = domain.store.backbone
    return adapter_prompt(backbone, "domain", TWIN, initial_adapter(backbone, 2, 0))


# Export


def test_a_soft_prompt_is_exported(grafted: Domain, tmp_path: Path) -> None:
    report = export_grafts([grafted], "peft", tmp_path / "out" / "peft")
    assert (report.domains, report.format, report.method) == (["house"], "peft", "PROMPT_TUNING")
    assert (report.folder, report.files) == (str(tmp_path / "out" / "peft"), FILES)
    assert report.size == sum((tmp_path / "out" / "peft" / name).stat().st_size for name in FILES)
    [note] = report.notes
    assert "PEFT puts the soft prompt at the start of the prompt" in note
    assert config_of(tmp_path / "out" / "peft")["num_virtual_tokens"] == LENGTH


def test_the_provenance_describes_the_graft(grafted: Domain, tmp_path: Path) -> None:
    export_grafts([grafted], "peft", tmp_path / "out")
    own = json.loads((tmp_path / "out" / "softgraft.json").read_text(encoding="utf-8"))
    manifest, backbone = grafted.manifest, grafted.store.backbone
    assert manifest is not None
    assert own["manifest"] == manifest.model_dump()
    assert (own["slot"], own["text_twin"], own["backbone_digest"]) == ("domain", TWIN, backbone.digest)
    assert own["placement"].startswith("before every token of the prompt")


def test_an_adapter_alone_is_invoked_by_the_text_in_the_slot(grafted: Domain, tmp_path: Path) -> None:
    put(grafted, words_with_adapter(grafted))
    report = export_grafts([grafted], "peft", tmp_path / "out")
    assert (report.method, report.notes) == ("LORA", [])
    backbone = grafted.store.backbone
    after_slot = backbone.encode_control("<|im_end|>\n<|im_start|>user\n")
    assert config_of(tmp_path / "out")["alora_invocation_tokens"] == [*backbone.encode_text(TWIN), *after_slot]


def test_an_empty_slot_is_invoked_by_the_text_after_it_with_a_note(grafted: Domain, tmp_path: Path) -> None:
    backbone = grafted.store.backbone
    empty = replace(words_with_adapter(grafted), vectors=torch.zeros(0, backbone.hidden_size))
    put(grafted, empty)
    report = export_grafts([grafted], "peft", tmp_path / "out")
    [note] = report.notes
    assert "earlier turns" in note
    assert config_of(tmp_path / "out")["alora_invocation_tokens"] == backbone.encode_control(
        "<|im_end|>\n<|im_start|>user\n"
    )


def test_the_export_has_the_strength_of_the_answers(grafted: Domain, tmp_path: Path) -> None:
    untouched = words_with_adapter(grafted)
    assert untouched.adapter is not None
    ones = {name: torch.ones_like(up) for name, up in untouched.adapter.up.items()}
    put(grafted, replace(untouched, adapter=replace(untouched.adapter, up=ones)))
    answer = grafted.file.answer.model_copy(update={"strength": 0.5})
    grafted.file = grafted.file.model_copy(update={"answer": answer})
    [note] = export_grafts([grafted], "peft", tmp_path / "half").notes
    assert "at a strength of 0.5, as it answers here" in note
    written = load((tmp_path / "half" / "adapter_model.safetensors").read_bytes())
    ups = {name: tensor for name, tensor in written.items() if "lora_B" in name}
    assert ups
    assert all((tensor == 0.5).all() for tensor in ups.values())


def test_a_note_names_the_strength_of_a_checkpoint(grafted: Domain, tmp_path: Path) -> None:
    answer = grafted.file.answer.model_copy(update={"strength": 0.25})
    grafted.file = grafted.file.model_copy(update={"answer": answer})
    notes = export_grafts([grafted], "hf", tmp_path / "out").notes
    assert f"{grafted.file.name} is exported at a strength of 0.25, as it answers here" in notes


def test_an_edited_template_is_noticed(grafted: Domain, tmp_path: Path) -> None:
    edit_template(grafted, "helpful assistant", "patient clerk")
    notes = export_grafts([grafted], "peft", tmp_path / "out").notes
    assert "was edited after the soft prompt was trained" in notes[0]


def test_vectors_beside_an_adapter_are_refused(grafted: Domain, tmp_path: Path) -> None:
    words = words_with_adapter(grafted)
    put(grafted, replace(words, vectors=words.vectors + 1, kind="embedding"))
    with pytest.raises(ArtifactError, match="and an adapter of the method 'lora'"):
        export_grafts([grafted], "peft", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_domains_in_one_adapter_are_refused(grafted: Domain, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2 domains for one PEFT adapter") as caught:
        export_grafts([grafted, grafted], "peft", tmp_path / "out")
    assert caught.value.next_step == f"softgraft export {grafted.cli_name} --format peft --out {tmp_path / 'out'}"


def test_a_domain_without_a_graft_is_refused(make_domain: MakeDomain, tmp_path: Path) -> None:
    domain = make_domain()
    with pytest.raises(UsageError, match="no trained soft prompt") as caught:
        export_grafts([domain], "peft", tmp_path / "out")
    assert caught.value.next_step == f"run: softgraft train {domain.cli_name}"


def test_sample_prompts_have_the_template_alone_in_common(grafted: Domain) -> None:
    first, other, later = sample_prompts(grafted.template.current())
    assert [message.role for message in later.messages] == ["system", "user", "assistant", "user"]
    texts = [
        {part.text for m in each.messages for part in m.segments if hasattr(part, "text")} for each in (first, other)
    ]
    assert texts[0] & texts[1] == {"You are a helpful assistant who answers questions from these passages.\n\n"}
    assert invocation_ids(grafted.store.backbone, [first, other], "domain")


# Import


def test_an_exported_graft_answers_in_another_domain(grafted: Domain, make_domain: MakeDomain, tmp_path: Path) -> None:
    export_grafts([grafted], "peft", tmp_path / "out")
    domain = make_domain("other", ingest=True)
    scored: list[tuple[str, int, int]] = []
    report = import_graft(domain, tmp_path / "out", on_score=lambda *progress: scored.append(progress))
    assert (report.domain, report.kept, report.method) == ("other", True, "PROMPT_TUNING")
    assert (report.kind, report.length, report.adapter_rank, report.dev_questions) == ("embedding", LENGTH, 0, 4)
    assert (report.dev_f1, report.dev_f1_text_twin, report.notes) == (1.0, 0.0, [])
    assert {name for name, *_ in scored} == {"imported", "text-twin"}
    assert domain.chain.invoke(QUESTION)["answer"] == ANSWER
    ours, theirs = domain.manifest, grafted.manifest
    assert ours is not None
    assert theirs is not None
    kept = {"kind", "shape", "length", "seed", "objective", "data_hash", "train", "backbone_digest", "vectors_sha256"}
    assert ours.model_dump(include=kept) == theirs.model_dump(include=kept)
    # The same vectors and questions as when they were trained, so the same loss.
    assert ours.scores.dev_loss == pytest.approx(theirs.scores.dev_loss, rel=1e-4)
    assert ours.scores.dev_loss < ours.scores.dev_loss_text_twin
    assert domain.status()["soft_prompt"]["dev_token_f1"] == 1.0


def test_an_adapter_that_does_not_beat_the_text_twin_is_kept_only_on_demand(grafted: Domain, tmp_path: Path) -> None:
    backbone = grafted.store.backbone
    export_peft(tmp_path / "out", from_text_twin(backbone, "domain", "Anything else."), backbone)
    before = stored(grafted)
    report = import_graft(grafted, tmp_path / "out")
    assert (report.kept, report.dev_f1) == (False, report.dev_f1_text_twin)
    assert stored(grafted) == before
    assert grafted.chain.invoke(QUESTION)["answer"] == ANSWER
    report = import_graft(grafted, tmp_path / "out", keep=True)
    assert report.kept
    manifest = grafted.manifest
    assert manifest is not None
    # A graft that was never saved brings no record of its training.
    assert (manifest.objective, manifest.data_hash) == ("unknown, imported from PEFT (PROMPT_TUNING)", "")
    assert manifest.text_twin == TWIN
    assert manifest.scores.dev_token_f1 == report.dev_f1
    # The chain that was open answers with it from now on.
    assert grafted.chain.invoke(QUESTION)["answer"] != ANSWER


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"alora_invocation_tokens": [5]}, "from its invocation tokens on"), ({}, "to act on every token")],
)
def test_an_adapter_of_peft_comes_with_a_note(
    grafted: Domain, tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    put(grafted, words_with_adapter(grafted))
    export_grafts([grafted], "peft", tmp_path / "out")
    (tmp_path / "out" / "softgraft.json").unlink()
    config = {name: value for name, value in config_of(tmp_path / "out").items() if "alora" not in name} | settings
    (tmp_path / "out" / "adapter_config.json").write_text(json.dumps(config))
    report = import_graft(grafted, tmp_path / "out", keep=True)
    [note] = report.notes
    assert words in note
    assert (report.method, report.kind, report.adapter_rank) == ("LORA", "adapter", 2)
    # Nothing that was trained yet, so it answers as its text twin does.
    assert report.dev_loss == pytest.approx(report.dev_loss_text_twin)


def test_soft_prompts_of_peft_come_with_a_note(grafted: Domain, tmp_path: Path) -> None:
    export_grafts([grafted], "peft", tmp_path / "out")
    (tmp_path / "out" / "softgraft.json").unlink()
    [note] = import_graft(grafted, tmp_path / "out").notes
    assert "PEFT trained it at the start of the prompt" in note


@pytest.mark.parametrize("change", [{"lora_alpha": 1e308}, {"lora_alpha": 1e30}], ids=str)
def test_an_adapter_that_gives_no_finite_numbers_replaces_nothing(
    grafted: Domain, tmp_path: Path, change: dict[str, float]
) -> None:
    untouched = words_with_adapter(grafted)
    assert untouched.adapter is not None
    ones = {name: torch.ones_like(up) for name, up in untouched.adapter.up.items()}
    soft_prompt = replace(untouched, adapter=replace(untouched.adapter, up=ones))
    export_peft(tmp_path / "out", soft_prompt, grafted.store.backbone, invocation_ids=[5])
    (tmp_path / "out" / "softgraft.json").unlink()
    config = config_of(tmp_path / "out") | change
    (tmp_path / "out" / "adapter_config.json").write_text(json.dumps(config))
    before = stored(grafted)
    with pytest.raises(ArtifactError, match=r"infinite|the loss on dev") as caught:
        import_graft(grafted, tmp_path / "out", keep=True)
    assert "ANOTHER_FOLDER" in caught.value.next_step
    assert stored(grafted) == before


def test_an_import_without_dev_questions_is_refused(grafted: Domain, tmp_path: Path) -> None:
    export_grafts([grafted], "peft", tmp_path / "out")
    write_items(grafted.folder / "dev.jsonl", [])
    with pytest.raises(TrainingError, match=r"no question to measure on in .*dev\.jsonl"):
        import_graft(grafted, tmp_path / "out")


def test_an_import_without_a_slot_is_refused(grafted: Domain, tmp_path: Path) -> None:
    export_grafts([grafted], "peft", tmp_path / "out")
    edit_template(grafted, "{domain}", "")
    path = grafted.folder / "templates" / "rag-chat.en.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: text.index("soft_slots:")] + text[text.index("version:") :], encoding="utf-8")
    with pytest.raises(TrainingError, match="0 soft slots"):
        import_graft(grafted, tmp_path / "out")


# The commands


def test_the_export_command(run: Callable[..., tuple[int, str, str]], grafted: Domain, tmp_path: Path) -> None:
    cli_name, out = str(grafted.folder), str(tmp_path / "out")
    code, said, notes = run("export", cli_name, "--format", "peft", "--out", out)
    assert code == 0
    assert said.startswith("PROMPT_TUNING, ")
    assert said.endswith(f'next: peft.PeftModel.from_pretrained(model, "{out}")\n')
    assert notes.startswith("note: PEFT puts")
    before = {path.name: path.read_bytes() for path in Path(out).iterdir()}
    code, said, problem = run("export", cli_name, "--format", "peft", "--out", out)
    assert (code, said) == (5, "")
    assert "exists and is not an empty folder" in problem
    assert {path.name: path.read_bytes() for path in Path(out).iterdir()} == before
    code, said, _ = run("export", cli_name, "--format", "peft", "--out", out + "2", "--json")
    assert code == 0
    assert json.loads(said)["files"] == FILES


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("export", "bank", "--format", "onnx", "--out", "x"), "--format"),
        (("export", "bank", "--format", "peft"), "--out"),
        (("export", "--format", "peft", "--out", "x"), "DOMAIN"),
        (("import", "bank"), "--from"),
    ],
)
def test_incomplete_commands_are_refused(
    run: Callable[..., tuple[int, str, str]], arguments: tuple[str, ...], words: str
) -> None:
    code, said, problem = run(*arguments)
    assert (code, said) == (2, "")
    assert words in problem


def test_two_domains_in_one_checkpoint(
    run: Callable[..., tuple[int, str, str]], grafted: Domain, tmp_path: Path
) -> None:
    put(grafted, from_text_twin(grafted.store.backbone, "domain", TWIN, LENGTH))
    cli_name, out = str(grafted.folder), str(tmp_path / "served")
    other = Path(shutil.copytree(grafted.folder, tmp_path / "second"))
    settings = other / "domain.yaml"
    settings.write_text(settings.read_text(encoding="utf-8").replace("name: house", "name: second"), encoding="utf-8")
    code, said, notes = run("export", cli_name, str(other), "--format", "hf", "--out", out)
    assert (code, notes) == (0, "")
    assert said.startswith(f"checkpoint with {2 * LENGTH} new tokens; the chat template's variable `domain` selects ")
    assert "house or second" in said
    assert said.endswith(f"next: vllm serve {out}\n")
    about = json.loads((Path(out) / "softgraft.json").read_text(encoding="utf-8"))
    assert sorted(about["domains"]) == ["house", "second"]
    code, _, problem = run("export", cli_name, cli_name, "--format", "hf", "--out", out + "2")
    assert code == 2
    assert "two domains with the name 'house'" in problem
    assert not Path(out + "2").exists()


def test_a_backbone_that_was_not_tested_in_llama_cpp_is_refused(
    run: Callable[..., tuple[int, str, str]], grafted: Domain, tmp_path: Path
) -> None:
    put(grafted, from_text_twin(grafted.store.backbone, "domain", TWIN, LENGTH))
    file = tmp_path / "house.gguf"
    code, said, problem = run("export", str(grafted.folder), "--format", "gguf", "--out", str(file))
    assert (code, said) == (6, "")
    assert "with the tokenizer of SmolLM2" in problem
    assert not file.exists()
