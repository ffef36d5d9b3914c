"""The invocation tokens of an activated LoRA (aLoRA, Greenewald et al. 2025, arXiv:2504.12397).

PEFT activates the adapter from the last occurrence of these tokens in the prompt on. Softgraft activates it from the
soft slot on. Both agree if the tokens are those in the slot and right after it, and do not occur later.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, cycle, islice, takewhile

import torch

from prompts import RenderedPrompt
from soft_prompt.errors import ArtifactError
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.model.backbone import Backbone
from soft_prompt.rows.encode import encode_prompt
from soft_prompt.rows.row import Row


def slot_ids(backbone: Backbone, soft_prompt: SoftPrompt) -> tuple[int, ...] | None:
    """Token ids whose embeddings are a soft prompt's vectors; None if the vectors were trained.

    The kind `adapter` has its text twin in the slot, or nothing.
    """
    if soft_prompt.length == 0:
        return ()
    ids = backbone.encode_text(soft_prompt.text_twin)
    if soft_prompt.kind == "kv" or not ids:
        return None
    ids = list(islice(cycle(ids), soft_prompt.length))
    same = torch.equal(backbone.embed(ids).to("cpu", torch.float32), soft_prompt.vectors.detach().cpu())
    return tuple(ids) if same else None


def invocation_ids(
    backbone: Backbone, prompts: Sequence[RenderedPrompt], slot: str, within: Sequence[int] = ()
) -> tuple[int, ...]:
    """Token ids in the only soft slot of a template (`within`, from `slot_ids`) and right after it.

    `prompts` are at least two renderings of the template with different values for every input: what they have in
    common after the slot is fixed text.

    Raises:
        ArtifactError: if the slot is empty and no fixed text follows it, or if the tokens occur again later.
    """
    rows = [_row_with_empty_slot(backbone, prompt, slot) for prompt in prompts]
    common = takewhile(lambda parts: len(set(parts)) == 1, zip(*(row.suffix for row in rows), strict=False))
    ids = (*within, *chain.from_iterable(parts[0] for parts in common if isinstance(parts[0], tuple)))
    if not ids:
        raise ArtifactError(
            found=f"nothing in the soft slot {slot!r}, and no fixed text right after it",
            expected="at least one fixed token, from which on PEFT activates the adapter",
            next_step=f"write some text after {{{slot}}} in the template, and train again: softgraft train DOMAIN",
        )
    if any(_last_occurrence(ids, row, within) != len(row.prefix) for row in rows):
        raise ArtifactError(
            found=f"the text after the soft slot {slot!r}, {backbone.tokenizer.decode(list(ids))!r}, occurs again "
            "later in the prompt",
            expected="text that occurs there only, since PEFT activates the adapter at its last occurrence",
            next_step=f"write other text after {{{slot}}} in the template, and train again: softgraft train DOMAIN",
        )
    return ids


def invoked_at_slot(
    backbone: Backbone, prompt: RenderedPrompt, slot: str, ids: Sequence[int], within: Sequence[int] = ()
) -> bool:
    """Whether the last occurrence of these ids in a prompt is at the soft slot. `within` is as in `invocation_ids`."""
    row = _row_with_empty_slot(backbone, prompt, slot)
    return _last_occurrence(ids, row, within) == len(row.prefix)


def _row_with_empty_slot(backbone: Backbone, prompt: RenderedPrompt, slot: str) -> Row:
    if prompt.slots() != (slot,):
        raise ArtifactError(
            found=f"a prompt with the soft slots {', '.join(prompt.slots()) or 'none'}",
            expected=f"the slot {slot!r} once, and no other",
            next_step="leave one slot under `soft_slots:` in the template, and train again: softgraft train DOMAIN",
        )
    return encode_prompt(backbone, prompt, {})


def _last_occurrence(ids: Sequence[int], row: Row, within: Sequence[int]) -> int:
    """Position of the last occurrence of the ids in a row with a filled slot; -1 if there is none."""
    after_slot = chain.from_iterable(part for part in row.suffix if isinstance(part, tuple))
    prompt, wanted = [*row.prefix, *within, *after_slot], list(ids)
    starts = [at for at in range(len(prompt) - len(wanted) + 1) if prompt[at : at + len(wanted)] == wanted]
    return starts[-1] if starts else -1
