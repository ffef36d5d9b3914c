"""The invocation tokens that activate a LoRA at the soft slot."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from oracle import some_kv, some_soft_prompt

from prompts import Message, RenderedPrompt, SoftSegment, TextSegment
from soft_prompt import ArtifactError, Backbone, SoftPrompt, encode_prompt, from_text_twin
from soft_prompt.interop.invocation import invocation_ids, invoked_at_slot, slot_ids


def prompt(
    question: str, *after_slot: str, passage: str = "A passage.", slots: tuple[str, ...] = ("domain",)
) -> RenderedPrompt:
    """A system message with the slot at its end, then perhaps some text, and a question."""
    soft = tuple(SoftSegment(slot) for slot in slots)
    system = (TextSegment(passage), *soft, *(TextSegment(text) for text in after_slot))
    return RenderedPrompt((Message("system", system), Message("user", (TextSegment(question),))))


def prompts_with(*questions: str) -> list[RenderedPrompt]:
    """One message, in which the question follows the slot at once."""
    return [RenderedPrompt((Message("user", (SoftSegment("domain"), TextSegment(q))),)) for q in questions]


PAIR = [prompt("When?", passage="One."), prompt("How much is it?", passage="Another, longer one.")]


def test_the_control_text_after_the_slot_invokes(tiny_backbone: Backbone) -> None:
    ids = invocation_ids(tiny_backbone, PAIR, "domain")
    assert tiny_backbone.tokenizer.decode(ids) == "<|im_end|>\n<|im_start|>user\n"
    for each in PAIR:
        row = encode_prompt(tiny_backbone, each, {})
        [after_slot, *_] = row.suffix
        assert after_slot == ids
        assert invoked_at_slot(tiny_backbone, each, "domain", ids)


def test_text_of_the_template_after_the_slot_invokes(tiny_backbone: Backbone) -> None:
    pair = [prompt("When?", " Now:"), prompt("How much?", " Now:")]
    ids = invocation_ids(tiny_backbone, pair, "domain")
    assert tiny_backbone.tokenizer.decode(ids) == " Now:<|im_end|>\n<|im_start|>user\n"


def test_words_in_the_slot_come_first(tiny_backbone: Backbone) -> None:
    within = tuple(tiny_backbone.encode_text("Be brief."))
    ids = invocation_ids(tiny_backbone, PAIR, "domain", within)
    assert ids == (*within, *invocation_ids(tiny_backbone, PAIR, "domain"))


def test_a_question_right_after_the_slot_is_refused(tiny_backbone: Backbone) -> None:
    with pytest.raises(ArtifactError, match="no fixed text right after it") as caught:
        invocation_ids(tiny_backbone, prompts_with("When?", "How much?"), "domain")
    assert "write some text after {domain}" in caught.value.next_step
    within = tuple(tiny_backbone.encode_text("Be brief."))
    assert invocation_ids(tiny_backbone, prompts_with("When?", "How much?"), "domain", within) == within


def test_text_that_occurs_again_later_is_refused(tiny_backbone: Backbone) -> None:
    twice = [
        RenderedPrompt(
            (Message("user", (SoftSegment("domain"), TextSegment(" Now: "), TextSegment(q), TextSegment(" Now: "))),)
        )
        for q in ("When?", "How much?")
    ]
    with pytest.raises(ArtifactError, match="occurs again later"):
        invocation_ids(tiny_backbone, twice, "domain")


def test_a_later_turn_invokes_again_unless_the_slot_has_words(tiny_backbone: Backbone) -> None:
    turns = (Message("user", (TextSegment("Earlier?"),)), Message("assistant", (TextSegment("Yes."),)))
    first, last = prompt("And now?").messages
    later = RenderedPrompt((first, *turns, last))
    bare = invocation_ids(tiny_backbone, PAIR, "domain")
    assert not invoked_at_slot(tiny_backbone, later, "domain", bare)
    within = tuple(tiny_backbone.encode_text("Be brief."))
    ids = invocation_ids(tiny_backbone, PAIR, "domain", within)
    assert invoked_at_slot(tiny_backbone, later, "domain", ids, within)


@pytest.mark.parametrize("slots", [(), ("style",), ("domain", "style"), ("domain", "domain")])
def test_a_prompt_must_have_one_slot(tiny_backbone: Backbone, slots: tuple[str, ...]) -> None:
    with pytest.raises(ArtifactError, match="a prompt with the soft slots"):
        invocation_ids(tiny_backbone, [prompt("When?", slots=slots)] * 2, "domain")


def test_trained_vectors_are_no_token_ids(tiny_backbone: Backbone) -> None:
    words = from_text_twin(tiny_backbone, "domain", "Be brief.")
    ids = tuple(tiny_backbone.encode_text("Be brief."))
    assert slot_ids(tiny_backbone, words) == ids
    # A longer soft prompt repeats its text twin, a shorter one cuts it.
    assert slot_ids(tiny_backbone, from_text_twin(tiny_backbone, "domain", "Be brief.", len(ids) + 2)) == (
        *ids,
        *ids[:2],
    )
    assert slot_ids(tiny_backbone, from_text_twin(tiny_backbone, "domain", "Be brief.", 2)) == ids[:2]
    assert slot_ids(tiny_backbone, replace(words, vectors=words.vectors + 1e-6)) is None
    assert slot_ids(tiny_backbone, replace(words, text_twin="")) is None
    assert slot_ids(tiny_backbone, some_soft_prompt(tiny_backbone, 4, 1)) is None
    assert slot_ids(tiny_backbone, some_kv(tiny_backbone, 4, 1)) is None
    assert slot_ids(tiny_backbone, SoftPrompt("domain", torch.zeros(0, tiny_backbone.hidden_size), "twin")) == ()
