"""domain.yaml: every problem is listed, and a written file reads back as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from softgraft.errors import DomainError, UsageError
from softgraft.settings.domain_file import DomainFile, TrainSettings, read_domain_file, write_domain_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    return folder


def write(folder: Path, text: str) -> Path:
    (folder / "domain.yaml").write_text(text, encoding="utf-8")
    return folder


def test_a_short_file_takes_the_defaults(folder: Path) -> None:
    file = read_domain_file(write(folder, "name: shop\ntitle: The shop\n"))
    assert file == DomainFile(name="shop", title="The shop")
    assert (file.backbone, file.template, file.train) == ("embedded", "rag-chat", TrainSettings())


def test_every_problem_is_listed(folder: Path) -> None:
    write(
        folder,
        "name: shop\ntitle: ''\nlanguage: english\nbackbon: x\nretrieval:\n  passages: 0\n  depth: 3\n"
        "answer:\n  condense: sometimes\ntrain:\n  learning_rate: -1\n",
    )
    with pytest.raises(DomainError) as caught:
        read_domain_file(folder)
    assert caught.value.found.startswith("7 problems in ")
    for place in (
        "title", "language", "backbon", "retrieval.passages", "retrieval.depth", "answer.condense",
        "train.learning_rate",
    ):  # fmt: skip
        assert f"\n  {place}: " in caught.value.found
    assert caught.value.next_step == f"edit {folder / 'domain.yaml'}"


@pytest.mark.parametrize("removed", ["hnsw", "ivf"])
def test_a_removed_index_kind_is_refused_with_the_remaining_ones(folder: Path, removed: str) -> None:
    write(folder, f"name: shop\ntitle: The shop\nretrieval:\n  index: {removed}\n")
    with pytest.raises(DomainError, match=r"retrieval\.index: Input should be 'auto', 'flat' or 'pq'"):
        read_domain_file(folder)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words\n", "name: [shop\n", "name: shop\n"])
def test_malformed_files_are_refused(folder: Path, text: str) -> None:
    with pytest.raises(DomainError, match="1 problem in"):
        read_domain_file(write(folder, text))


def test_other_encodings_are_refused(folder: Path) -> None:
    (folder / "domain.yaml").write_bytes("title: Stra\xdfe".encode("latin-1"))
    with pytest.raises(DomainError, match="1 problem"):
        read_domain_file(folder)


@pytest.mark.parametrize("name", ["", "my shop", "../shop", "shop/", "shop\n", "-shop", "sh*p"])
def test_a_name_that_is_no_folder_name_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(DomainError, match="name"):
        read_domain_file(write(folder, f"name: {json.dumps(name)}\ntitle: x\n"))
    with pytest.raises(ValueError, match="name"):
        DomainFile(name=name, title="x")


def test_the_error_for_a_folder_without_the_file_has_the_next_step(folder: Path) -> None:
    with pytest.raises(DomainError, match="softgraft new shop --from FOLDER"):
        read_domain_file(folder)
    with pytest.raises(DomainError, match="softgraft new nowhere --from FOLDER"):
        read_domain_file(folder.parent / "nowhere")


def test_a_written_file_reads_back(folder: Path) -> None:
    file = DomainFile(name="shop", title="商店", language="zh", refusal="没有。", backbone="openai:gpt-4o-mini")
    write_domain_file(folder, file, "A note\nin two lines.")
    assert read_domain_file(folder) == file
    text = (folder / "domain.yaml").read_text(encoding="utf-8")
    assert text.startswith("# A note\n# in two lines.\n")
    # People read the file, so the characters are not escaped.
    assert "商店" in text


@pytest.mark.parametrize(
    ("written", "method"),
    [
        ("", "lora"),
        ("adapter_rank: 8", "lora"),
        ("adapter: none", None),
        ("adapter: ia3", "ia3"),
        ("kind: adapter", "lora"),
        ("kind: adapter\n  adapter: ia3", "ia3"),
    ],
)
def test_which_adapter_is_trained(folder: Path, written: str, method: str | None) -> None:
    train = f"train:\n  {written}\n" if written else ""
    assert read_domain_file(write(folder, f"name: shop\ntitle: x\n{train}")).train.adapter_method == method


def test_settings_of_earlier_versions_are_ignored_if_they_were_off(folder: Path) -> None:
    path = write(folder, "name: shop\ntitle: x\ntrain:\n  reparameterise: false\n  random_length: false\n")
    assert read_domain_file(path).train == TrainSettings()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("reparameterise: true", "train: no longer supported: reparameterise"),
        ("random_length: true", "train: no longer supported: random_length"),
        ("adapter_rank: 0", "train: adapter_rank: 0 no longer exists; expected `adapter: none`"),
    ],
)
def test_settings_of_earlier_versions_are_refused_if_they_were_on(folder: Path, setting: str, words: str) -> None:
    with pytest.raises(DomainError, match=words):
        read_domain_file(write(folder, f"name: shop\ntitle: x\ntrain:\n  {setting}\n"))


def test_the_kind_adapter_needs_an_adapter(folder: Path) -> None:
    with pytest.raises(DomainError, match=r"train: the kind `adapter` trains an adapter and nothing else") as caught:
        read_domain_file(write(folder, "name: shop\ntitle: x\ntrain:\n  kind: adapter\n  adapter: none\n"))
    assert caught.value.found.startswith("1 problem in ")


@pytest.mark.parametrize("strength", ["-0.1", "1.5", "much"])
def test_a_strength_is_a_part_of_one(folder: Path, strength: str) -> None:
    with pytest.raises(DomainError, match=r"answer\.strength"):
        read_domain_file(write(folder, f"name: shop\ntitle: x\nanswer:\n  strength: {strength}\n"))


def test_options_override_settings() -> None:
    base = TrainSettings(length=8, epochs=5)
    assert base.with_options({"kind": None, "epochs": None}) == base
    changed = base.with_options({"kind": "adapter", "adapter_rank": 2, "length": None})
    assert changed == TrainSettings(kind="adapter", adapter_rank=2, length=8, epochs=5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "adapter", "adapter": "none"}, "^the kind `adapter` trains an adapter and nothing else"),
        ({"adapter_rank": 0}, "^adapter_rank: 0 no longer exists; expected `adapter: none`"),
        ({"kind": "adapter", "length": 8}, "a length of 8 for the kind `adapter`"),
    ],
)
def test_options_that_cannot_be_trained_together_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        TrainSettings().with_options(options)
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("backbone", "behind_api"),
    [
        ("embedded", False), ("Qwen/Qwen3-0.6B", False), ("/models/a:b", False), ("./a:b", False), ("C:/models", False),
        ("openai:gpt-4o-mini", True), ("ollama:llama3.2:1b", True), ("azure_openai:mine", True), ("openai:", False),
    ],
)  # fmt: skip
def test_a_backbone_behind_an_api_is_a_provider_and_a_model(backbone: str, behind_api: bool) -> None:
    assert DomainFile(name="shop", title="x", backbone=backbone).behind_api is behind_api


REMOTE = "name: shop\ntitle: x\nbackbone: openai:gpt-4o-mini\n"


def test_settings_of_a_model_behind_an_api(folder: Path) -> None:
    text = (
        f"{REMOTE}base_url: http://127.0.0.1:8000/v1\nanswer:\n  max_tokens: null\n  temperature: null\n"
        "remote:\n  timeout_seconds: 2.5\n  max_retries: 0\n  options: {reasoning_effort: low}\n"
    )
    file = read_domain_file(write(folder, text))
    assert (file.answer.max_tokens, file.answer.temperature) == (None, None)
    assert file.remote.model_dump() == {
        "timeout_seconds": 2.5,
        "max_retries": 0,
        "options": {"reasoning_effort": "low"},
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"{REMOTE}base_url: localhost:8000\n", "base_url: "),
        (f"{REMOTE}remote:\n  timeout_seconds: 0\n", "remote.timeout_seconds: "),
        (f"{REMOTE}remote:\n  max_retries: -1\n", "remote.max_retries: "),
        (f"{REMOTE}remote:\n  retries: 1\n", "remote.retries: "),
        (f"{REMOTE}remote:\n  options: {{api_key: sk-1}}\n", "remote: options hold api_key; keys are read from"),
        ("name: shop\ntitle: x\nbase_url: http://a\n", "file: base_url with the local backbone 'embedded'"),
        ("name: shop\ntitle: x\nremote: {}\n", "file: remote with the local backbone"),
        ("name: shop\ntitle: x\nanswer:\n  temperature: null\n", "file: answer.temperature: null with the local"),
    ],
)
def test_settings_that_the_backbone_does_not_take_are_refused(folder: Path, text: str, problem: str) -> None:
    with pytest.raises(DomainError) as caught:
        read_domain_file(write(folder, text))
    assert f"\n  {problem}" in caught.value.found
    assert "sk-1" not in str(caught.value)
