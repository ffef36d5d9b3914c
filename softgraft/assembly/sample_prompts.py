"""Prompts as a template makes them, of texts that belong to no domain."""

from __future__ import annotations

from collections.abc import Sequence

from prompts import PassageInput, RenderedPrompt, Template, Turn


def sample_prompts(template: Template) -> tuple[RenderedPrompt, RenderedPrompt, RenderedPrompt]:
    """Two prompts that have nothing in common but the template, and a third of a conversation with earlier turns."""
    turns = (Turn("user", "Earlier?"), Turn("assistant", "Yes."))

    def render(text: str, passages: int, history: Sequence[Turn] = ()) -> RenderedPrompt:
        given = [PassageInput(str(n), f"{text} {n}", "", text) for n in range(passages)]
        kinds = {"text": text, "passages": given, "history": history}
        return template.render({name: kinds[kind] for name, kind in template.inputs.items()})

    return render("What does it cost?", 1), render("12 pounds, I heard", 2), render("And now?", 1, turns)
