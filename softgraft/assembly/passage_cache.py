"""The keys and values of a domain's passages: where they are kept, and making them before anybody asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from prompts import PassageInput, Template
from retrieval import Index
from soft_prompt import Attention, Backbone, PrefixStore, encode_prompt
from soft_prompt.training.devices import own_device
from softgraft.settings.domain_file import DomainFile

FOLDER = "passages"


def open_store(file: DomainFile, build: Path) -> PrefixStore:
    """The backbone of a domain, with the keys and values that were computed so far in build/passages.

    Raises:
        BackboneError: the backbone does not load.
    """
    dtype = {"auto": None, "bfloat16": torch.bfloat16, "float32": torch.float32}[file.dtype]
    backbone = Backbone.load(file.backbone, dtype=dtype, device=own_device(file.device))
    disk = int(file.cache.disk_gib * 1024**3)
    folder = build / FOLDER if disk else None
    return PrefixStore(
        backbone,
        memory_bytes=file.cache.memory_mib * 1024**2,
        disk_bytes=disk,
        folder=folder,
        conversation_bytes=file.cache.conversation_mib * 1024**2,
    )


@dataclass(frozen=True, slots=True)
class Warmed:
    """What was made ahead of time.

    Attributes:
        passages: how many stand in the cache.
        of: how many there are; fewer stand there than that when the cache is full.
        computed_tokens: tokens that ran through the backbone just now.
        disk_bytes: what the cache takes on disk.
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
) -> Warmed:
    """Compute the keys and values of every passage behind the template's head, and keep them on disk.

    With `block` attention no passage has to run any more when a question is asked. With `exact` attention that holds
    for the passage that stands first in a prompt, since those behind it see it.
    """
    tell = on_progress or (lambda *_: None)
    total, before, done = index.stats().passages, store.computed_tokens, 0
    empty = {name: {"text": "", "history": ()}.get(kind, ()) for name, kind in template.inputs.items()}
    slots = [name for name, kind in template.inputs.items() if kind == "passages"]
    layers, heads, head_dim = store.backbone.cache_layout
    token_bytes = layers * 2 * heads * head_dim * store.backbone.dtype.itemsize
    made = 0
    for passage in index.passages() if slots else ():
        given = PassageInput(passage.id, passage.title, passage.heading, passage.text)
        prompt = template.render({**empty, **{name: [given] for name in slots}})
        row = encode_prompt(store.backbone, prompt, {}, attention)
        store.warm(row)
        made += token_bytes * (len(row.prefix) - len(row.segments[0]))
        # Beyond what fits, each further passage would push out one that was made just before.
        if made > store.disk_used:
            break
        done += 1
        tell(done, total)
    return Warmed(done, total, store.computed_tokens - before, store.disk_used)
