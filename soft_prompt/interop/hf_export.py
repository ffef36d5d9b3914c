"""A graft as a plain Transformers checkpoint, which any engine serves that takes token ids.

The vocabulary grows by one token a soft position. The token's row of the input embedding is the soft vector, so a
prompt with these tokens in the soft slot is what Softgraft computes with vectors in it.
"""

from __future__ import annotations

import copy
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from prompts import PassageInput, PassageSegment, RenderedPrompt, Template, Turn
from soft_prompt.artifact.manifest import Manifest
from soft_prompt.errors import ArtifactError
from soft_prompt.files import new_folder
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.interop.graft_chat import GraftText, chat_template, cut_at, hard_texts, passage_form
from soft_prompt.interop.grown_vocabulary import GrownVocabulary, grow_vocabulary
from soft_prompt.model.backbone import Backbone
from soft_prompt.rows.encode import encode_prompt
from soft_prompt.rows.row import Row

ABOUT = "softgraft.json"
# For whoever converts the checkpoint to GGUF: llama.cpp would read a boundary between segments as text.
LLAMA_CPP_CHAT = "llama_cpp.jinja"
FORMAT_VERSION = 1
_RETRAIN = "softgraft train DOMAIN --kind embedding --adapter none"


@dataclass(frozen=True)
class HfGraft:
    """One domain of a checkpoint.

    Attributes:
        soft_prompt: of the kind `embedding`, without an adapter.
        template: which the soft prompt was trained with; it gives the texts around the soft slot and its place.
        manifest: of the saved soft prompt, written to `softgraft.json`; None for one that was never saved.
    """

    soft_prompt: SoftPrompt
    template: Template
    manifest: Manifest | None = None


@dataclass(frozen=True)
class HfExport:
    """What was written.

    Attributes:
        folder: the checkpoint.
        tokens: domain to the token ids of its soft positions, in order.
        same_ids: whether the chat template gives the token ids of `encode_prompt`, as tried with texts that are hard to
            tokenise; where it does not, send token ids.
        bytes: size of all files.
    """

    folder: Path
    tokens: Mapping[str, range]
    same_ids: bool
    bytes: int


def export_hf(folder: Path, backbone: Backbone, grafts: Mapping[str, HfGraft]) -> HfExport:
    """Write a checkpoint that answers with grafts.

    Args:
        folder: where to; made if it is not there, and refused if it holds anything.
        backbone: which the soft prompts were trained on.
        grafts: domain name to its graft. The chat template takes the name as the variable `domain`; without it the
            first one answers.

    Raises:
        ArtifactError: the folder is not empty or cannot be written; a soft prompt of the kind `kv` or with an adapter,
            or one that was trained with `block` attention; a template that a chat request cannot fill.
        BackboneError: an encoder-decoder, a backbone that scales its embeddings, or one whose every special token is
            used.
    """
    grown, tokens = grown_by(backbone, grafts)
    with new_folder(folder) as fresh:
        _write_model(fresh, grown)
        same_ids = _write_tokenizer(fresh, backbone, grown, grafts, tokens)
        (fresh / LLAMA_CPP_CHAT).write_text(written_chat(backbone, grown, grafts, ""), encoding="utf-8")
        about = provenance(backbone, grown, grafts, tokens) | {"same_ids": same_ids}
        (fresh / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        size = sum(file.stat().st_size for file in fresh.iterdir())
    return HfExport(folder, tokens, same_ids, size)


def token_ids(row: Row, tokens: range) -> list[int]:
    """Token ids of an encoded prompt for an engine that serves the checkpoint.

    Args:
        row: encoded with one soft prompt of the kind `embedding`.
        tokens: of that soft prompt, as `export_hf` returns them.

    Raises:
        ArtifactError: the row has other vectors than one soft prompt of that length.
    """
    lengths = [part.length for part in row.suffix if isinstance(part, SoftPrompt) and part.kind == "embedding"]
    if lengths != [len(tokens)] or row.attention != "exact":
        raise ArtifactError(
            found=f"a prompt with soft prompts of the lengths {lengths}, in {row.attention!r} attention",
            expected=f"one of the kind `embedding` and the length {len(tokens)}, in `exact` attention",
            next_step="encode the prompt with the soft prompt that was exported",
        )
    parts = (tokens if isinstance(part, SoftPrompt) else part for part in row.suffix)
    return [*row.prefix, *(number for part in parts for number in part)]


def grown_by(backbone: Backbone, grafts: Mapping[str, HfGraft]) -> tuple[GrownVocabulary, dict[str, range]]:
    """The backbone's vocabulary with the tokens of all grafts, and which are whose.

    Raises:
        ArtifactError, BackboneError: as `export_hf`.
    """
    if not grafts:
        raise ArtifactError(
            found="no domain to export", expected="at least one", next_step="name one: softgraft export"
        )
    for name, graft in grafts.items():
        _check(name, graft, backbone)
    grown = grow_vocabulary(backbone, torch.cat([graft.soft_prompt.vectors for graft in grafts.values()]))
    tokens, first = {}, grown.first_id
    for name, graft in grafts.items():
        tokens[name] = range(first, first + graft.soft_prompt.length)
        first += graft.soft_prompt.length
    return grown, tokens


def _check(name: str, graft: HfGraft, backbone: Backbone) -> None:
    """Refuse a graft that is more than vectors among the embeddings."""
    soft, manifest = graft.soft_prompt, graft.manifest
    block = manifest is not None and manifest.attention == "block"
    if soft.kind != "embedding" or soft.adapter is not None or block:
        raise ArtifactError(
            found=f"the soft prompt of {name!r} is of the kind {soft.kind!r}"
            + (" with an adapter" if soft.adapter is not None else "")
            + (", trained with `block` attention" if block else ""),
            expected="one of the kind `embedding`, without an adapter, trained with `exact` attention: another engine "
            "knows tokens alone",
            next_step=_RETRAIN + (", with `attention: exact` in domain.yaml" if block else ""),
        )
    if soft.vectors.shape[1] != backbone.hidden_size or not torch.isfinite(soft.vectors).all():
        raise ArtifactError(
            found=f"the soft prompt of {name!r} has vectors {tuple(soft.vectors.shape)}, perhaps not finite",
            expected=f"finite vectors of the width {backbone.hidden_size}",
            next_step=f"train for this backbone: {_RETRAIN}",
        )


def written_chat(backbone: Backbone, grown: GrownVocabulary, grafts: Mapping[str, HfGraft], boundary: str) -> str:
    """The chat template of a checkpoint (see `graft_chat`)."""
    names, texts = iter(grown.names), {}
    for name, graft in grafts.items():
        soft = "".join(islice(names, graft.soft_prompt.length))
        texts[name] = GraftText(graft.template, graft.soft_prompt.slot, soft)
    return chat_template(backbone, texts, boundary, grown.secret)


def provenance(
    backbone: Backbone, grown: GrownVocabulary, grafts: Mapping[str, HfGraft], tokens: Mapping[str, range]
) -> dict[str, Any]:
    """What an export is made of, for `softgraft.json`."""
    return {
        "format": "softgraft export",
        "format_version": FORMAT_VERSION,
        "softgraft_version": version("softgraft"),
        "backbone": backbone.id,
        "backbone_digest": backbone.digest,
        "tokenizer_hash": backbone.tokenizer_hash,
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "head_row_of": grown.twin_id,
        "domains": {
            name: {
                "first_token": tokens[name].start,
                "length": graft.soft_prompt.length,
                "vectors_sha256": _digest(graft.soft_prompt),
                "text_twin": graft.soft_prompt.text_twin,
                "template": graft.template.name,
                "template_hash": graft.template.content_hash,
                "passage": passage_form(graft.template),
                "manifest": None if graft.manifest is None else graft.manifest.model_dump(),
            }
            for name, graft in grafts.items()
        },
    }


def _digest(soft_prompt: SoftPrompt) -> str:
    """SHA-256 of the vectors as fp32."""
    whole = soft_prompt.vectors.detach().to("cpu", torch.float32).contiguous()
    return hashlib.sha256(whole.numpy().tobytes()).hexdigest()


def _write_model(folder: Path, grown: GrownVocabulary) -> None:
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    # On the device that holds nothing: all weights come from the state.
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(grown.config)
    model.load_state_dict(grown.state, assign=True)
    model.generation_config = grown.generation_config
    logging.disable_progress_bar()
    try:
        model.save_pretrained(folder)
    finally:
        logging.enable_progress_bar()
    for file in folder.glob("*.safetensors*"):
        # Transformers lets the owner alone read weights; a server is often another user.
        file.chmod((folder / "config.json").stat().st_mode)


def _write_tokenizer(
    folder: Path,
    backbone: Backbone,
    grown: GrownVocabulary,
    grafts: Mapping[str, HfGraft],
    tokens: Mapping[str, range],
) -> bool:
    """Write a tokenizer that cuts between segments and, where that does not give the same ids, one that does not."""
    for boundary in (secrets.token_hex(16), ""):
        tokenizer = copy.deepcopy(grown.tokenizer)
        if boundary:
            cut_at(tokenizer, boundary)
        tokenizer.chat_template = written_chat(backbone, grown, grafts, boundary)
        tokenizer.save_pretrained(folder)
        # Read as its file says: some classes put together their own rules for cutting text. Every version has this one.
        path = folder / "tokenizer_config.json"
        settings = json.loads(path.read_text(encoding="utf-8")) | {"tokenizer_class": "PreTrainedTokenizerFast"}
        path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if _gives_same_ids(folder, backbone, grafts, tokens):
            return True
    return False


def _gives_same_ids(
    folder: Path, backbone: Backbone, grafts: Mapping[str, HfGraft], tokens: Mapping[str, range]
) -> bool:
    """Whether the tokenizer, as another process reads it, gives the token ids of `encode_prompt`."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    hard = hard_texts(backbone)
    for name, graft in grafts.items():
        for question in hard:
            prompt = _prompt(graft.template, hard, question)
            row = encode_prompt(backbone, prompt, {graft.soft_prompt.slot: graft.soft_prompt})
            text = tokenizer.apply_chat_template(
                request(prompt), domain=name, tokenize=False, add_generation_prompt=True
            )
            if tokenizer.encode(text, add_special_tokens=False) != token_ids(row, tokens[name]):
                return False
    return True


def _prompt(template: Template, passages: Sequence[str], question: str) -> RenderedPrompt:
    """A prompt with these passages and, where the template has a place for them, earlier turns."""
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
    """The messages that a client sends for a rendered prompt: its passages, then the turns of the conversation.

    What the chat template writes by itself, the fixed texts of the prompt, is left out; so each message of a role other
    than system counts as a turn.
    """
    passages = [s.text for m in prompt.messages for s in m.segments if isinstance(s, PassageSegment)]
    turns = [{"role": m.role, "content": m.text} for m in prompt.messages if m.role != "system"]
    return [*({"role": "system", "content": text} for text in passages), *turns]
