"""How an answer is put together from domain.yaml: its settings, and who words it with which graft."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from chains import AnswerSettings, LocalSpeaker, RemoteSpeaker, SoftPromptChat, Speaker, remote_chat
from prompts import Template, TemplateFile, TextTwins
from soft_prompt import (
    Backbone,
    Manifest,
    PrefixStore,
    SlotFill,
    SoftPrompt,
    at_strength,
    encode_prompt,
    load_soft_prompt,
)
from softgraft.assembly.sample_prompts import sample_prompts
from softgraft.errors import UsageError
from softgraft.settings.domain_file import DomainFile
from softgraft.training.retrieval_fit import search_weights

Graft = Literal["soft", "text-twin", "empty"]


def is_remote(file: DomainFile) -> bool:
    """Whether the backbone is behind an API and takes no vectors."""
    return file.behind_api


def answer_settings(file: DomainFile, build: Path) -> AnswerSettings:
    """How questions become prompts, with what was fitted to the domain's questions."""
    retrieval, answer = file.retrieval, file.answer
    way = answer.condense
    return AnswerSettings(
        passages=retrieval.passages,
        margin=retrieval.margin,
        evidence_tokens=retrieval.evidence_tokens,
        history_turns=answer.history_turns,
        history_tokens=answer.history_tokens,
        history_overflow=answer.history_overflow,
        # A small backbone rewrites worse than joining does; a model behind an API rewrites well.
        condense=("model" if is_remote(file) else "join") if way == "auto" else way,
        weights=search_weights(file, build),
        neighbours=retrieval.neighbours,
        refusal=file.refusal,
    )


def make_speaker(
    graft: Graft, file: DomainFile, build: Path, template: TemplateFile, store: Callable[[], PrefixStore], typed: str
) -> Speaker:
    """Who words the answers.

    Args:
        graft: what fills the soft slot.
        file: the domain's settings.
        build: where its soft prompt is.
        template: whose text twin a model gets that takes no vectors.
        store: gives the backbone; asked only where one is needed.
        typed: what a person types for the domain.

    Raises:
        UsageError: `soft` where no soft prompt was kept.
        ArtifactError: the soft prompt belongs to another backbone, or is damaged.
        RemoteModelError: the model behind an API needs a key, a package or a setting that is not there.
    """
    answer = file.answer
    twins = TextTwins(template)
    if is_remote(file):
        chat = remote_chat(
            file.backbone,
            max_tokens=answer.max_tokens,
            temperature=answer.temperature,
            base_url=file.base_url,
            timeout=file.remote.timeout_seconds,
            max_retries=file.remote.max_retries,
            options=file.remote.options,
        )
        return RemoteSpeaker(chat, (lambda _: "") if graft == "empty" else twins.__getitem__)
    fills: Mapping[str, SlotFill] = {}
    attention = file.attention
    if graft != "empty":
        # A slot that nothing was trained for, such as one that was renamed since, holds its text twin.
        fills = twins
    if graft == "soft":
        # What was learned from passages that see one another is of little use where they do not.
        fill, manifest = answered_prompt(build, store(), typed, template.current(), answer.strength)
        fills, attention = ChainMap({fill.slot: fill}, cast(Any, twins)), manifest.attention
    return LocalSpeaker(
        SoftPromptChat(
            store=store(),
            fills=fills,
            graft=graft,
            attention=attention,
            decode_weights=answer.decode_weights,
            # domain.yaml leaves these open only where the backbone is behind an API.
            max_tokens=cast(int, answer.max_tokens),
            temperature=cast(float, answer.temperature),
        )
    )


def answered_prompt(
    build: Path, store: PrefixStore, typed: str, template: Template, strength: float
) -> tuple[SoftPrompt, Manifest]:
    """The soft prompt that was trained and kept, at the strength that the domain answers with.

    Raises:
        UsageError: there is none.
        ArtifactError: it belongs to another backbone, or is damaged.
    """
    soft_prompt, manifest = trained_prompt(build, store.backbone, typed)
    prefix: tuple[int, ...] = ()
    if strength != 1 and soft_prompt.kind == "kv":
        prefix = encode_prompt(store.backbone, sample_prompts(template)[0], {}).prefix
    return at_strength(store.backbone, soft_prompt, strength, prefix), manifest


def trained_prompt(build: Path, backbone: Backbone, typed: str) -> tuple[SoftPrompt, Manifest]:
    """The soft prompt that was trained and kept.

    Raises:
        UsageError: there is none.
        ArtifactError: it belongs to another backbone, or is damaged.
    """
    loaded = load_soft_prompt(build / "soft_prompt", backbone)
    if loaded is None:
        raise UsageError(
            found=f"no trained soft prompt in {build}",
            expected="one that was trained and kept",
            next_step=f"run: softgraft train {typed}",
        )
    return loaded
