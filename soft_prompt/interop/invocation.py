"""The tokens that switch an activated LoRA on (aLoRA, Greenewald et al. 2025, arXiv:2504.12397).

PEFT lets its weights act from the last place on where these tokens stand in the prompt. An adapter acts from the soft
slot on, so both are the same where the tokens are what stands in the slot and right behind it, and nowhere later.
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
    """Token ids whose embeddings a soft prompt's vectors are; None for vectors that are those of no tokens.

    An adapter that was trained alone has the words of its text twin in the slot, or nothing.
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
    """Token ids that stand in a soft slot and right behind it in every prompt of a template.

    Args:
        backbone: whose tokenizer and chat template are used.
        prompts: at least two renderings of the template, with other values in every input.
        slot: the soft slot, the only one of the template.
        within: token ids in the slot (`slot_ids`).

    Raises:
        ArtifactError: the slot is empty and no fixed text follows it, or the same text follows again later in a prompt.
    """
    rows = [_around(backbone, prompt, slot) for prompt in prompts]
    alike = takewhile(lambda parts: len(set(parts)) == 1, zip(*(row.suffix for row in rows), strict=False))
    ids = (*within, *chain.from_iterable(parts[0] for parts in alike if isinstance(parts[0], tuple)))
    if not ids:
        raise ArtifactError(
            found=f"nothing in the soft slot {slot!r}, and no fixed text right behind it",
            expected="at least one token that always stands there, where an activated LoRA of PEFT begins to act",
            next_step=f"write some text behind {{{slot}}} in the template, and train again: softgraft train DOMAIN",
        )
    if any(_last(ids, row, within) != len(row.prefix) for row in rows):
        raise ArtifactError(
            found=f"the text behind the soft slot {slot!r}, {backbone.tokenizer.decode(list(ids))!r}, stands again "
            "later in the prompt",
            expected="text that stands there alone, since an activated LoRA of PEFT begins to act at its last place",
            next_step=f"write other text behind {{{slot}}} in the template, and train again: softgraft train DOMAIN",
        )
    return ids


def invoked_at_slot(
    backbone: Backbone, prompt: RenderedPrompt, slot: str, ids: Sequence[int], within: Sequence[int] = ()
) -> bool:
    """Whether the last place of these ids in a prompt is the soft slot. `within` is as in `invocation_ids`."""
    row = _around(backbone, prompt, slot)
    return _last(ids, row, within) == len(row.prefix)


def _around(backbone: Backbone, prompt: RenderedPrompt, slot: str) -> Row:
    if prompt.slots() != (slot,):
        raise ArtifactError(
            found=f"a prompt with the soft slots {', '.join(prompt.slots()) or 'none'}",
            expected=f"the slot {slot!r} once, and no other",
            next_step="leave one slot under `soft_slots:` in the template, and train again: softgraft train DOMAIN",
        )
    return encode_prompt(backbone, prompt, {})


def _last(ids: Sequence[int], row: Row, within: Sequence[int]) -> int:
    """Where the ids begin for the last time in a row with those in its slot; -1 where they do not stand."""
    behind = chain.from_iterable(part for part in row.suffix if isinstance(part, tuple))
    whole, wanted = [*row.prefix, *within, *behind], list(ids)
    starts = [at for at in range(len(whole) - len(wanted) + 1) if whole[at : at + len(wanted)] == wanted]
    return starts[-1] if starts else -1
