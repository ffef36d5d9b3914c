"""A model's own instructions precede queries and passages, and count as tokens of its window."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval import Encoder, EncoderError, load_encoder
from tests.support.small_sentence_encoder import WINDOW, write_sentence_encoder

BGE = "represent this sentence for searching : "
# Prompts, the default name, and what has to stand before a query and before a passage.
MODELS: dict[str, tuple[dict[str, str | None] | None, str | None, str, str]] = {
    "no prompts": (None, None, "", ""),
    "empty": ({}, None, "", ""),
    "null": ({"query": None, "document": None}, None, "", ""),
    "e5": ({"query": "query: ", "passage": "passage: "}, None, "query: ", "passage: "),
    "bge": ({"query": BGE}, None, BGE, ""),
    "bge with an empty passage": ({"query": BGE, "passage": ""}, None, BGE, ""),
    "nomic": (
        {"search_query": "search_query: ", "search_document": "search_document: ", "clustering": "a: "},
        None,
        "search_query: ",
        "search_document: ",
    ),
    "documented names": ({"query": "query: ", "document": "text: "}, None, "query: ", "text: "),
    "retrieval tasks": (
        {"retrieval.query": "query: ", "retrieval.passage": "passage: ", "b": "b "},
        None,
        "query: ",
        "passage: ",
    ),
    "Retrieval-tasks": ({"Retrieval-query": "query: ", "Retrieval-document": "text: "}, None, "query: ", "text: "),
    "corpus": ({"query": "query: ", "corpus": "text: "}, None, "query: ", "text: "),
    "one for all": ({"all": "represent: "}, "all", "represent: ", "represent: "),
    "default for queries": ({"query": "query: "}, "query", "query: ", ""),
    "default for passages": ({"query": "query: ", "text": "text: "}, "text", "query: ", "text: "),
    "default is the passage's": ({"query": "query: ", "passage": "passage: "}, "passage", "query: ", "passage: "),
    "other tasks": ({"clustering": "a: ", "sts": "b: "}, None, "", ""),
}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """The same weights without instructions."""
    return load_encoder(str(write_sentence_encoder(tmp_path_factory.mktemp("bare") / "model", None)))


@pytest.mark.parametrize("name", MODELS)
def test_instructions_are_applied_once_and_counted(name: str, bare: Encoder, tmp_path: Path) -> None:
    prompts, default, query, passage = MODELS[name]
    encoder = load_encoder(str(write_sentence_encoder(tmp_path / "model", prompts, default)))
    texts = ["a b", "c", "a query : b"]
    for vectors, instruction in ((encoder.encode_queries(texts), query), (encoder.encode(texts), passage)):
        expected = bare.encode([instruction + text for text in texts])
        np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert encoder.count_tokens("a b c") == 5
    assert encoder.window == WINDOW - (bare.count_tokens(passage) - 2)
    # The last word of a text of the whole window is read.
    full = " ".join(["a"] * (encoder.window - 3))
    assert encoder.count_tokens(f"{full} b") == encoder.window
    one, other = encoder.encode([f"{full} b", f"{full} c"])
    assert not np.allclose(one, other, atol=1e-6)


def identity(folder: Path, **changed: Any) -> str:
    path = folder / "config_sentence_transformers.json"
    config = json.loads(path.read_text("utf-8")) | changed
    path.write_text(json.dumps(config), encoding="utf-8")
    return load_encoder(str(folder)).id


def test_the_identity_changes_with_the_instructions(tmp_path: Path) -> None:
    folder = write_sentence_encoder(tmp_path / "model", None)
    e5 = {"query": "query: ", "passage": "passage: "}
    ids = [
        identity(folder),
        identity(folder, prompts=e5),
        identity(folder, prompts={**e5, "passage": "text: "}),
        identity(folder, prompts={**e5, "query": "search: "}),
        identity(folder, prompts={"query": "passage: ", "passage": "query: "}),
        identity(folder, prompts={"all": "a "}, default_prompt_name="all"),
    ]
    assert len(set(ids)) == len(ids)
    # A prompt that is not used changes no vector.
    assert identity(folder, prompts={**e5, "clustering": "a: "}, default_prompt_name=None) == ids[1]


def test_an_instruction_that_fills_the_window_is_refused(tmp_path: Path) -> None:
    folder = write_sentence_encoder(tmp_path / "model", {"passage": "a " * WINDOW})
    with pytest.raises(EncoderError, match=r"instruction .* has 32 tokens"):
        load_encoder(str(folder))


@pytest.mark.parametrize("prompts", [["query: "], {"query": 1}, "query: "])
def test_a_damaged_configuration_is_an_error_with_a_next_step(tmp_path: Path, prompts: object) -> None:
    folder = write_sentence_encoder(tmp_path / "model", None)
    with pytest.raises(EncoderError):
        identity(folder, prompts=prompts)


def test_code_in_a_folder_is_not_run(tmp_path: Path) -> None:
    folder = write_sentence_encoder(tmp_path / "model", None)
    (folder / "own_module.py").write_text("raise SystemExit('the code of the folder was run')", encoding="utf-8")
    modules = json.loads((folder / "modules.json").read_text("utf-8"))
    modules[0]["type"] = "own_module.Own"
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load_encoder(str(folder))
