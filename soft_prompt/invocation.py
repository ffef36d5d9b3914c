"""The tokens that switch an activated LoRA on (aLoRA, Greenewald et al. 2025, arXiv:2504.12397).

PEFT lets its weights act from the last place on where these tokens stand in the prompt. An adapter acts from the soft
slot on, so both are the same where the tokens stand right behind the slot and nowhere later.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, takewhile

from prompts import RenderedPrompt
from soft_prompt.backbone import Backbone
from soft_prompt.encode import Row, encode_prompt
from soft_prompt.errors import ArtifactError


def invocation_ids(backbone: Backbone, prompts: Sequence[RenderedPrompt], slot: str) -> tuple[int, ...]:
    """Token ids of the text that stands right behind a soft slot in every prompt of a template.

    Args:
        backbone: whose tokenizer and chat template are used.
        prompts: at least two renderings of the template, with other values in every input.
        slot: the soft slot, the only one of the template.

    Raises:
        ArtifactError: no fixed text follows the slot, or the same text follows again later in a prompt.
    """
    rows = [_around(backbone, prompt, slot) for prompt in prompts]
    alike = takewhile(lambda parts: len(set(parts)) == 1, zip(*(row.suffix for row in rows), strict=False))
    ids = tuple(chain.from_iterable(parts[0] for parts in alike if isinstance(parts[0], tuple)))
    if not ids:
        raise ArtifactError(
            found=f"no fixed text right behind the soft slot {slot!r}: what stands there differs with each question",
            expected="at least one token that always stands there, where an activated LoRA of PEFT begins to act",
            next_step=f"write some text behind {{{slot}}} in the template, and train again: softgraft train DOMAIN",
        )
    if any(_last(ids, row) != len(row.prefix) for row in rows):
        raise ArtifactError(
            found=f"the text behind the soft slot {slot!r}, {backbone.tokenizer.decode(list(ids))!r}, stands again "
            "later in the prompt",
            expected="text that stands there alone, since an activated LoRA of PEFT begins to act at its last place",
            next_step=f"write other text behind {{{slot}}} in the template, and train again: softgraft train DOMAIN",
        )
    return ids


def invoked_at_slot(backbone: Backbone, prompt: RenderedPrompt, slot: str, ids: Sequence[int]) -> bool:
    """Whether the last place of these ids in a prompt is the one right behind the slot."""
    row = _around(backbone, prompt, slot)
    return _last(ids, row) == len(row.prefix)


def _around(backbone: Backbone, prompt: RenderedPrompt, slot: str) -> Row:
    if prompt.slots() != (slot,):
        raise ArtifactError(
            found=f"a prompt with the soft slots {', '.join(prompt.slots()) or 'none'}",
            expected=f"the slot {slot!r} once, and no other",
            next_step="leave one slot under `soft_slots:` in the template, and train again: softgraft train DOMAIN",
        )
    return encode_prompt(backbone, prompt, {})


def _last(ids: Sequence[int], row: Row) -> int:
    """Where the ids begin for the last time in a row whose slot is empty; -1 where they do not stand."""
    whole = [*row.prefix, *chain.from_iterable(part for part in row.suffix if isinstance(part, tuple))]
    wanted = list(ids)
    starts = [at for at in range(len(whole) - len(wanted) + 1) if whole[at : at + len(wanted)] == wanted]
    return starts[-1] if starts else -1
