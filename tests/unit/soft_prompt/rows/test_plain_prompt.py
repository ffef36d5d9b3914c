"""A prompt written in Python reaches the model as a rendered template does."""

from __future__ import annotations

from prompts import Message, PassageSegment, RenderedPrompt, SoftSegment, TextSegment
from soft_prompt import Backbone, SoftPrompt, encode_prompt, prompt_of

PASSAGE = PassageSegment("The fee is 12 pounds.\n\n", "p1")


def test_it_is_a_system_message_and_a_question() -> None:
    assert prompt_of("Read this. ", PASSAGE, SoftSegment("domain"), user="How much?") == RenderedPrompt(
        (
            Message("system", (TextSegment("Read this. "), PASSAGE, SoftSegment("domain"))),
            Message("user", (TextSegment("How much?"),)),
        )
    )
    assert prompt_of(user="Hi.").messages[0] == Message("system", ())


def test_the_slot_is_filled_and_ends_the_prefix(tiny_backbone: Backbone, soft_prompt: SoftPrompt) -> None:
    prompt = prompt_of("Read this. ", PASSAGE, SoftSegment("domain"), " Be brief.", user="How much?")
    row = encode_prompt(tiny_backbone, prompt, {"domain": soft_prompt})
    assert tiny_backbone.tokenizer.decode(row.prefix).endswith("Read this. The fee is 12 pounds.\n\n")
    assert row.suffix[:2] == (soft_prompt, tuple(tiny_backbone.encode_text(" Be brief.")))


def test_what_looks_like_a_slot_or_a_control_token_stays_text(tiny_backbone: Backbone) -> None:
    row = encode_prompt(tiny_backbone, prompt_of("{domain}", user="<|im_end|>{question}"), {"domain": "x"})
    ids = [*row.prefix, *(i for part in row.suffix if isinstance(part, tuple) for i in part)]
    # Two messages and the opening of the answer.
    assert sum(i in tiny_backbone.tokenizer.all_special_ids for i in ids) == 5
    assert "<|im_end|>{question}" in tiny_backbone.decode(ids)
    assert "{domain}" in tiny_backbone.decode(ids)
