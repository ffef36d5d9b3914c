"""Export of grafts to a plain Transformers checkpoint, which any engine can serve that accepts token ids.

The vocabulary grows by one token per soft prompt position. The embedding of the token is the soft prompt's vector, so a
prompt with these tokens in the soft slot gives what Softgraft computes with the vectors.
"""

from __future__ import annotations

import copy
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prompts import PassageInput, PassageSegment, RenderedPrompt, Template, Turn
from soft_prompt.files import new_folder
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.interop.chat_template import chat_template, difficult_texts, passage_format, split_at
from soft_prompt.interop.extended_vocabulary import ExtendedVocabulary, HfGraft, extend_vocabulary
from soft_prompt.json_text import dump_json
from soft_prompt.model.backbone import Backbone
from soft_prompt.model.weights import no_progress_bars
from soft_prompt.rows.encode import encode_prompt
from soft_prompt.rows.row import Row
from soft_prompt.tokens.limited_rendering import render_chat

RECORD = "softgraft.json"
# For a conversion of the checkpoint to GGUF: llama.cpp would read the boundaries between segments as text.
LLAMA_CPP_CHAT = "llama_cpp.jinja"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class HfExport:
    """What was written.

    Attributes:
        folder: the checkpoint.
        tokens: by domain, the token ids of its soft prompt.
        same_ids: whether the chat template gives the token ids of `encode_prompt`, also for difficult texts. If not,
            send token ids.
    """

    folder: Path
    tokens: Mapping[str, range]
    same_ids: bool


def export_hf(folder: Path, backbone: Backbone, grafts: Mapping[str, HfGraft]) -> HfExport:
    """Write grafts and their backbone to a checkpoint.

    Args:
        folder: must be empty or not exist.
        backbone: that the soft prompts were trained on.
        grafts: by domain name. A chat request selects one with the variable `domain`, by default the first.

    Raises:
        ArtifactError: if the folder is not empty or cannot be written; if a chat request cannot fill a template; or as
            `extend_vocabulary`.
        BackboneError: as `extend_vocabulary`.
    """
    vocabulary = extend_vocabulary(backbone, grafts)
    with new_folder(folder) as scratch:
        _write_model(scratch, vocabulary)
        same_ids = _write_tokenizer(scratch, vocabulary)
        (scratch / LLAMA_CPP_CHAT).write_text(chat_template(vocabulary, ""), encoding="utf-8")
        record = export_record(vocabulary) | {"same_ids": same_ids}
        (scratch / RECORD).write_text(dump_json(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return HfExport(folder, vocabulary.tokens, same_ids)


def token_ids(row: Row, tokens: range) -> list[int]:
    """Token ids of a prompt that was encoded with the exported soft prompt, whose tokens are `tokens`."""
    parts = (tokens if isinstance(part, SoftPrompt) else part for part in row.suffix)
    return [*row.prefix, *(number for part in parts for number in part)]


def export_record(vocabulary: ExtendedVocabulary) -> dict[str, Any]:
    """The contents of `softgraft.json`: what the export consists of."""
    backbone = vocabulary.backbone
    return {
        "format": "softgraft export",
        "format_version": FORMAT_VERSION,
        "softgraft_version": version("softgraft"),
        "backbone": backbone.id,
        "backbone_digest": backbone.digest,
        "tokenizer_hash": backbone.tokenizer_hash,
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "head_row_of": vocabulary.unused_id,
        "domains": {
            name: {
                "first_token": vocabulary.tokens[name].start,
                "length": graft.soft_prompt.length,
                "vectors_sha256": _sha256(graft.soft_prompt.vectors),
                "text_twin": graft.soft_prompt.text_twin,
                "template": graft.template.name,
                "template_hash": graft.template.content_hash,
                "passage": passage_format(graft.template),
                "manifest": None if graft.manifest is None else graft.manifest.model_dump(),
            }
            for name, graft in vocabulary.grafts.items()
        },
    }


def _sha256(vectors: Tensor) -> str:
    return hashlib.sha256(vectors.detach().to("cpu", torch.float32).contiguous().numpy().tobytes()).hexdigest()


def _write_model(folder: Path, vocabulary: ExtendedVocabulary) -> None:
    from transformers import AutoModelForCausalLM

    # Without memory: all weights come from the state.
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(vocabulary.config, trust_remote_code=False)
    model.load_state_dict(vocabulary.state, assign=True)
    model.generation_config = vocabulary.generation_config
    with no_progress_bars():
        model.save_pretrained(folder)
    for file in folder.glob("*.safetensors*"):
        # Transformers makes weights readable for their owner only; a server often runs as another user.
        file.chmod((folder / "config.json").stat().st_mode)


def _write_tokenizer(folder: Path, vocabulary: ExtendedVocabulary) -> bool:
    """Write a tokenizer that splits between segments, or one that does not where the ids would not be the same.

    Returns whether they are the same.
    """
    for boundary in (secrets.token_hex(16), ""):
        tokenizer = copy.deepcopy(vocabulary.tokenizer)
        if boundary:
            split_at(tokenizer, boundary)
        tokenizer.chat_template = chat_template(vocabulary, boundary)
        tokenizer.save_pretrained(folder)
        # Some tokenizer classes replace the pre-tokenizer of the file. This one does not, in every version.
        path = folder / "tokenizer_config.json"
        settings = json.loads(path.read_text(encoding="utf-8")) | {"tokenizer_class": "PreTrainedTokenizerFast"}
        path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if _gives_same_ids(folder, vocabulary):
            return True
    return False


def _gives_same_ids(folder: Path, vocabulary: ExtendedVocabulary) -> bool:
    """Whether the saved tokenizer gives the token ids of `encode_prompt`."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    texts = difficult_texts(vocabulary.backbone)
    for name, graft in vocabulary.grafts.items():
        for question in texts:
            prompt = _prompt(graft.template, texts, question)
            row = encode_prompt(vocabulary.backbone, prompt, {graft.soft_prompt.slot: graft.soft_prompt})
            text = render_chat(tokenizer, request(prompt), domain=name)
            if tokenizer.encode(text, add_special_tokens=False) != token_ids(row, vocabulary.tokens[name]):
                return False
    return True


def _prompt(template: Template, passages: Sequence[str], question: str) -> RenderedPrompt:
    """A prompt with these passages and, if the template has a history, earlier turns."""
    values: dict[str, Any] = {}
    for name, kind in template.inputs.items():
        if kind == "text":
            values[name] = question
        elif kind == "passages":
            values[name] = [PassageInput(str(n), text, "heading", text) for n, text in enumerate(passages)]
        else:
            values[name] = [Turn("user", question), Turn("assistant", passages[0])]
    return template.render(values)


def request(prompt: RenderedPrompt) -> list[dict[str, str]]:
    """The messages of a chat request for a rendered prompt: its passages, then the turns of the conversation.

    The chat template adds the fixed texts of the prompt.
    """
    passages = [s.text for m in prompt.messages for s in m.segments if isinstance(s, PassageSegment)]
    turns = [{"role": m.role, "content": m.text} for m in prompt.messages if m.role != "system"]
    return [*({"role": "system", "content": text} for text in passages), *turns]
