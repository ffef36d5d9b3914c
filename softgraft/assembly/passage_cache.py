"""The cache of a domain's keys and values: opening it, and filling it before the first question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prompts import PassageInput, Template
from retrieval import Index
from soft_prompt import Attention, PrefixStore, encode_prompt
from softgraft.assembly.shared_models import shared_backbone
from softgraft.settings.domain_file import DomainFile

FOLDER = "passages"


def open_store(file: DomainFile, build: Path) -> PrefixStore:
    """The backbone, which domains share, with this domain's cache of keys and values in build/passages."""
    backbone = shared_backbone(file)
    disk_bytes = int(file.cache.disk_gib * 1024**3)
    return PrefixStore(
        backbone,
        memory_bytes=file.cache.memory_mib * 1024**2,
        disk_bytes=disk_bytes,
        folder=build / FOLDER if disk_bytes else None,
        conversation_bytes=file.cache.conversation_mib * 1024**2,
    )


@dataclass(frozen=True, slots=True)
class WarmReport:
    """The cache after warming.

    Attributes:
        passages: number of passages that it holds, fewer than all (`of`) if it is full.
        computed_tokens: tokens computed in this call.
    """

    passages: int
    of: int
    computed_tokens: int
    disk_bytes: int


def warm_passages(
    store: PrefixStore,
    index: Index,
    template: Template,
    attention: Attention,
    on_progress: Callable[[int, int], None] | None = None,
) -> WarmReport:
    """Compute the keys and values of every passage after the template's first segment, and keep them on disk.

    With `block` attention, no passage has to be computed any more when a question arrives. With `exact` attention that
    holds for the first passage of a prompt, because the others attend to it.
    """
    total, tokens_before, done = index.counts()[1], store.computed_tokens, 0
    empty = {name: {"text": "", "history": ()}.get(kind, ()) for name, kind in template.inputs.items()}
    slots = [name for name, kind in template.inputs.items() if kind == "passages"]
    layers, heads, head_dim = store.backbone.cache_layout
    token_bytes = layers * 2 * heads * head_dim * store.backbone.dtype.itemsize
    computed_bytes = 0
    for passage in index.passages() if slots else ():
        text = PassageInput(passage.id, passage.title, passage.heading, passage.text)
        prompt = template.render({**empty, **{name: [text] for name in slots}})
        row = encode_prompt(store.backbone, prompt, {}, attention)
        store.warm(row)
        computed_bytes += token_bytes * (len(row.prefix) - len(row.segments[0]))
        # The cache is full: each further passage would evict one that was just computed.
        if computed_bytes > store.disk_used:
            break
        done += 1
        if on_progress is not None:
            on_progress(done, total)
    return WarmReport(done, total, store.computed_tokens - tokens_before, store.disk_used)
