"""The Python files of a model's folder are never run, whatever its settings say and whatever standard input answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soft_prompt import Backbone
from tests.support.hostile_files import loaded_apart

# Left out of `make check`: it starts a process.
pytestmark = pytest.mark.heavy

MARK = "import os, pathlib\npathlib.Path(os.environ['MARK']).write_text('ran')\n"
CODE = f"""{MARK}
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
class OwnConfig(LlamaConfig):
    model_type = "own"
class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
class OwnTokenizer(PreTrainedTokenizerFast):
    pass
"""
OWN = {
    "AutoConfig": "own_code.OwnConfig",
    "AutoModelForCausalLM": "own_code.OwnModel",
    "AutoModel": "own_code.OwnModel",
}
# Loads each folder, and prints what came of it. Standard input answers yes to any question.
LOAD = """
import json, sys
from soft_prompt import Backbone, SoftPromptError
from soft_prompt.model.tokenizer import BackboneTokenizer
for folder in sys.argv[1:]:
    for load in (Backbone.load, BackboneTokenizer.load):
        try:
            load(folder)
            said = "loaded"
        except SoftPromptError as error:
            said = f"{error.found} | {error.expected} | {error.next_step}"
        print(json.dumps([folder, load.__qualname__, said]))
"""


def change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}))


def own_model_type(folder: Path) -> None:
    change(folder / "config.json", model_type="own", architectures=["OwnModel"], auto_map=OWN)


def known_model_type(folder: Path) -> None:
    change(folder / "config.json", auto_map=OWN)


def own_tokenizer(folder: Path) -> None:
    change(
        folder / "tokenizer_config.json",
        tokenizer_class="OwnTokenizer",
        auto_map={"AutoTokenizer": [None, "own_code.OwnTokenizer"]},
    )


def own_generation(folder: Path) -> None:
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(f"{MARK}\ndef generate(model): ...\n")


REFUSED: dict[str, Callable[[Path], None]] = {"own-model-type": own_model_type, "own-tokenizer": own_tokenizer}
# Transformers has a class of its own for these, which is used.
LOADED: dict[str, Callable[[Path], None]] = {"known-model-type": known_model_type, "own-generation": own_generation}


def test_the_code_of_a_folder_never_runs(tmp_path: Path, tiny_backbone: Backbone) -> None:
    folders = {name: tmp_path / name for name in (*REFUSED, *LOADED)}
    for name, folder in folders.items():
        tiny_backbone.model.save_pretrained(folder)
        tiny_backbone.tokenizer.save_pretrained(folder)
        (folder / "own_code.py").write_text(CODE)
        {**REFUSED, **LOADED}[name](folder)
    said = loaded_apart(LOAD, folders.values(), tmp_path / "mark", 100)
    assert len(said) == 2 * len(folders)
    for folder, loader, outcome in said:
        if Path(folder).name in LOADED:
            assert outcome == "loaded", (folder, loader, outcome)
        else:
            # A tokenizer whose class is not known is read by one of Transformers, or refused.
            assert "needs Python code of its own" in outcome, (folder, loader, outcome)
            assert "without custom code" in outcome
