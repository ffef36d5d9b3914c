"""Render a template for one question as the chain does, and show the tokens that the model reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from chains import Answering, Speaker
from chains.answering.examples import select_examples
from chains.answering.history import newest_turns
from chains.answering.speaker import PreparedPrompt
from prompts import PassageInput, RenderedPrompt, Template, TemplateFile, Turn
from soft_prompt import Manifest
from soft_prompt.model.tokenizer import BackboneTokenizer
from soft_prompt.tokens.spans import tokenize_prompt
from softgraft.assembly.answers import answer_settings
from softgraft.domain import Domain
from softgraft.templates.template_files import version_of


@dataclass(frozen=True)
class RenderInput:
    """The inputs of a template.

    Attributes:
        question: None if the template takes none.
        turns: the earlier turns.
        passages: in the order of the prompt; None searches the domain's index.
        inputs: further text inputs of the template.
    """

    question: str | None
    turns: Sequence[Turn]
    passages: Sequence[PassageInput] | None
    inputs: Mapping[str, str]


def render_prompt(domain: Domain, template: TemplateFile, given: RenderInput, *, search: bool) -> dict[str, Any]:
    """Render a template as the chain of a domain does.

    The backbone's weights are not loaded, unless it has to rewrite a follow-up question for the search.

    Args:
        domain: provides settings, index and soft prompt.
        template: the template to render.
        given: its inputs.
        search: whether to search the index if `given` has no passages.

    Returns:
        Plain data: the template, the backbone, its context length (which includes the answer), the search query,
        whether the evidence is too weak to call the model, the number of tokens, and the parts in the order of the
        prompt. Each part has its kind (`control`, `text`, `passage` or `slot`), the role of its message, its text, and
        its token ids; a soft slot also has its name and what fills it. For a model behind an API, all numbers are None.

    Raises:
        PromptError: if the template takes other inputs.
        NotIngestedError: if a search is needed and there is no index.
    """
    tokenizer = None if domain.remote else BackboneTokenizer.load(domain.file.backbone)
    current = template.current()
    query, refused = None, False
    if search and given.passages is None and given.question is not None and "context" in current.inputs:
        answering = _answering(domain, template, tokenizer).for_a_model
        query = answering.query(given.question, given.turns)
        [evidence] = answering.evidence_many([query], [given.question])
        prepared = answering.prepare(given.question, given.turns, evidence)
        refused = not evidence.enough
        prompt = answering.prompt(given.question, prepared.history, prepared.evidence)
    else:
        prompt = current.render(_values(domain, current, given, _token_counter(domain, tokenizer)))
    parts = list(_parts(domain, current, prompt, tokenizer))
    return {
        "template": version_of(current, template.path),
        "backbone": domain.file.backbone,
        "query": query,
        "refused": refused,
        "tokens": None if tokenizer is None else _length(parts),
        "context": None if tokenizer is None else tokenizer.context_length,
        "parts": parts,
    }


def _values(
    domain: Domain, template: Template, given: RenderInput, count_tokens: Callable[[str], int]
) -> dict[str, object]:
    """The given inputs and no others, so that the template reports what is missing or unknown."""
    values: dict[str, object] = dict(given.inputs)
    turns = newest_turns(given.turns, answer_settings(domain.file, domain.build).history, count_tokens)
    if given.question is not None:
        values["question"] = given.question
    if turns or "history" in template.inputs:
        values["history"] = turns
    if given.passages is not None or "context" in template.inputs:
        values["context"] = list(given.passages or ())
    if template.examples is not None and template.chooses_examples and given.question is not None:
        values["examples"] = select_examples(domain.examples.nearest, template.examples, given.question, count_tokens)
    return values


def _token_counter(domain: Domain, tokenizer: BackboneTokenizer | None) -> Callable[[str], int]:
    return domain.encoder.count_tokens if tokenizer is None else lambda text: len(tokenizer.encode_text(text))


def _answering(domain: Domain, template: TemplateFile, tokenizer: BackboneTokenizer | None) -> Answering:
    """The domain's answering, without the backbone's weights unless they are needed."""
    if tokenizer is None or answer_settings(domain.file, domain.build).condense == "model":
        return domain.answering("text-twin", template)
    return domain.answering(
        "text-twin",
        template,
        speaker=cast(Speaker, _LengthCheck(domain, template, tokenizer)),
        count_tokens=_token_counter(domain, tokenizer),
    )


@dataclass(frozen=True)
class _LengthCheck:
    """In place of a speaker: checks without weights whether a prompt fits, and generates nothing."""

    domain: Domain
    template: TemplateFile
    tokenizer: BackboneTokenizer

    def prepare(self, prompt: RenderedPrompt) -> PreparedPrompt:
        length = _length(_parts(self.domain, self.template.current(), prompt, self.tokenizer))
        # A local backbone always has a limit on the tokens of its answer.
        fits = length + (self.domain.file.answer.max_tokens or 0) <= self.tokenizer.context_length
        return PreparedPrompt(prompt, None, fits)


Part = dict[str, Any]


def _length(parts: Iterable[Part]) -> int:
    return sum(part["tokens"] for part in parts)


def _parts(
    domain: Domain, template: Template, prompt: RenderedPrompt, tokenizer: BackboneTokenizer | None
) -> Iterator[Part]:
    if tokenizer is None:
        for message in prompt.fill(template.text_twin).messages:
            yield {"kind": "text", "role": message.role, "text": message.text, "tokens": None, "ids": []}
        return
    # The soft prompt belongs to the template that the domain answers with.
    manifest = domain.manifest if template.name == domain.file.template else None
    for span in tokenize_prompt(tokenizer, prompt).spans:
        if span.kind == "slot":
            yield {"kind": "slot", "role": span.role, **_slot(template, span.text, manifest, tokenizer)}
        else:
            ids = list(span.ids)
            yield {"kind": span.kind, "role": span.role, "text": span.text, "tokens": len(ids), "ids": ids}


def _slot(template: Template, slot: str, manifest: Manifest | None, tokenizer: BackboneTokenizer) -> Part:
    if manifest is not None and manifest.slot == slot:
        text, tokens, ids, fill = manifest.text_twin, manifest.length, [], f"{manifest.kind} soft prompt"
    else:
        text, fill = template.text_twin(slot), "text twin"
        ids = list(tokenizer.encode_text(text))
        tokens = len(ids)
    return {"text": text, "tokens": tokens, "ids": ids, "slot": slot, "fill": fill}
