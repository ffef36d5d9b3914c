"""The Python files of an encoder's or a reranker's folder never run, and no file in it blocks or fills the memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retrieval import load_encoder
from retrieval.encoders.cross_encoder import load_reranker
from retrieval.encoders.model_folder import without_questions
from retrieval.errors import EncoderError, RerankerError
from tests.support.hostile_files import endless, loaded_apart, pipe, sparse
from tests.support.small_sentence_encoder import write_sentence_encoder

# Left out of `make check`: it starts a process.
pytestmark = pytest.mark.heavy

CODE = """
import os, pathlib
pathlib.Path(os.environ["MARK"]).write_text("ran")
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast
from sentence_transformers.sentence_transformer.modules import Transformer
class OwnConfig(BertConfig):
    model_type = "own"
class OwnModel(BertModel):
    config_class = OwnConfig
class OwnRanker(BertForSequenceClassification):
    config_class = OwnConfig
class OwnTokenizer(BertTokenizerFast):
    pass
class OwnTransformer(Transformer):
    pass
"""
OWN = {
    "AutoConfig": "own_code.OwnConfig",
    "AutoModel": "own_code.OwnModel",
    "AutoModelForSequenceClassification": "own_code.OwnRanker",
}
LOAD = """
import json, sys
from retrieval import load_encoder
from retrieval.encoders.cross_encoder import load_reranker
from retrieval.errors import RetrievalError
for folder in sys.argv[1:]:
    for load in (load_encoder, load_reranker):
        try:
            load(folder)
            said = "loaded"
        except RetrievalError as error:
            said = error.found
        print(json.dumps([folder, load.__name__, said]))
"""


def change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}))


def own_model_type(folder: Path) -> None:
    change(folder / "config.json", model_type="own", auto_map=OWN)


def own_module(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text("utf-8"))
    modules[0]["type"] = "own_code.OwnTransformer"
    (folder / "modules.json").write_text(json.dumps(modules))


def installed_module(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text("utf-8"))
    modules[1]["type"] = "subprocess.Popen"
    (folder / "modules.json").write_text(json.dumps(modules))


def own_route(folder: Path) -> None:
    (folder / "router_config.json").write_text('{"types": {"query_0": "own_code.OwnTransformer"}, "structure": {}}')


def own_base_model(folder: Path) -> None:
    """An adapter's base model, whose settings sentence-transformers reads without passing on its refusal."""
    base = folder.with_name(f"{folder.name}-base")
    base.mkdir()
    (base / "own_code.py").write_text(CODE)
    (base / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": OWN}))
    (folder / "config.json").unlink()
    adapter = {"peft_type": "LORA", "base_model_name_or_path": str(base), "auto_mapping": None}
    (folder / "adapter_config.json").write_text(json.dumps(adapter))
    change(folder / "sentence_bert_config.json", transformer_task="retrieval")


REFUSED: dict[str, Callable[[Path], None]] = {
    "own-model-type": own_model_type,
    "own-module": own_module,
    "installed-module": installed_module,
    "own-route": own_route,
    "own-base-model": own_base_model,
}


def test_the_code_of_a_folder_never_runs(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in REFUSED}
    for name, folder in folders.items():
        write_sentence_encoder(folder, None)
        (folder / "own_code.py").write_text(CODE)
        REFUSED[name](folder)
    said = loaded_apart(LOAD, folders.values(), tmp_path / "mark", 150)
    assert len(said) == 2 * len(folders)
    for folder, loader, outcome in said:
        assert outcome != "loaded", (folder, loader)
        if Path(folder).name != "own-base-model":
            assert "needs Python code of its own" in outcome, (folder, loader, outcome)


def test_the_activation_of_a_reranker_is_not_looked_up(tmp_path: Path) -> None:
    """Its settings could name any callable of PyTorch."""
    folder = write_sentence_encoder(tmp_path / "model", None)
    (folder / "modules.json").unlink()
    change(
        folder / "config.json",
        architectures=["BertForSequenceClassification"],
        num_labels=1,
        id2label={"0": "A"},
        label2id={"A": 0},
        sentence_transformers={"activation_fn": "torch.absent.Function"},
    )
    scores = load_reranker(str(folder))([("a b", "c")])
    assert 0 <= float(scores[0]) <= 1


def test_transformers_asks_nothing_where_the_library_forgets_to_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoConfig

    folder = write_sentence_encoder(tmp_path / "model", None)
    (folder / "own_code.py").write_text(CODE)
    own_model_type(folder)
    asked: list[str] = []
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "n")
    with pytest.raises(ValueError, match="trust_remote_code"):
        AutoConfig.from_pretrained(folder)
    assert len(asked) == 1
    with without_questions(), pytest.raises(ValueError, match="trust_remote_code"):
        AutoConfig.from_pretrained(folder)
    assert len(asked) == 1


@pytest.mark.parametrize("name", ["config.json", "modules.json", "tokenizer.json", "1_Pooling/config.json"])
@pytest.mark.parametrize("damage", [pipe, endless, sparse], ids=["pipe", "device", "sparse"])
def test_only_regular_files_of_a_plausible_size_are_read(
    tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    folder = write_sentence_encoder(tmp_path / "model", None)
    damage(folder / name)
    with pytest.raises(EncoderError, match=name):
        load_encoder(str(folder))
    with pytest.raises(RerankerError, match=name):
        load_reranker(str(folder))


@pytest.mark.parametrize(
    "changes", [{"vocab_size": 10**9}, {"num_hidden_layers": 10**9}, {"intermediate_size": 10**12}], ids=str
)
def test_sizes_that_the_weights_do_not_have_are_refused(tmp_path: Path, changes: dict[str, int]) -> None:
    folder = write_sentence_encoder(tmp_path / "model", None)
    change(folder / "config.json", **changes)
    with pytest.raises(EncoderError, match=r"config\.json says"):
        load_encoder(str(folder))
