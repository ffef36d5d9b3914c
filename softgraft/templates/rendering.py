"""Render a template for one question as the chain does, and show the tokens that the model reads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chains import Answering
from chains.answering.examples import select_examples
from chains.answering.history import newest_turns
from chains.answering.speaker import PreparedPrompt
from prompts import PassageInput, RenderedPrompt, Template, TemplateFile, Turn
from soft_prompt import Manifest
from soft_prompt.model.tokenizer import BackboneTokenizer
from soft_prompt.tokens.spans import tokenize_prompt
from softgraft.assembly.answers import answer_settings
from softgraft.domain import Domain
from softgraft.errors import UsageError
from softgraft.templates.template_files import short_path


@dataclass(frozen=True, slots=True)
class PromptPart:
    """A part of the prompt.

    Attributes:
        kind: `control`, `text`, `passage` or `slot`.
        role: of the message that contains it.
        text: its text; of a slot, its text twin.
        tokens: number of tokens; None for a model behind an API.
        ids: the token ids; empty for vectors and for a model behind an API.
        slot: name of the soft slot.
        fill: what fills the slot: `text twin`, or the kind of the soft prompt.
    """

    kind: str
    role: str
    text: str
    tokens: int | None
    ids: tuple[int, ...]
    slot: str = ""
    fill: str = ""


@dataclass(frozen=True, slots=True)
class Rendering:
    """The prompt for one question.

    Attributes:
        parts: in the order of the prompt.
        tokens: number of tokens of all parts; None for a model behind an API.
        context: context length of the model, which includes the answer; None for a model behind an API.
        query: the search query; None if nothing was searched for.
        refused: whether the evidence is too weak, so that the model would not be called.
    """

    template: Template
    path: Path
    backbone: str
    parts: tuple[PromptPart, ...]
    tokens: int | None
    context: int | None
    query: str | None
    refused: bool


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
    turns: Sequence[Turn] = ()
    passages: Sequence[PassageInput] | None = None
    inputs: Mapping[str, str] | None = None


def render_prompt(domain: Domain, template: TemplateFile, given: RenderInput, *, search: bool) -> Rendering:
    """Render a template as the chain of a domain does.

    The backbone's weights are not loaded, unless it has to rewrite a follow-up question for the search.

    Args:
        domain: provides settings, index and soft prompt.
        template: the template to render.
        given: its inputs.
        search: whether to search the index if `given` has no passages.

    Raises:
        PromptError: if the template takes other inputs.
        NotIngestedError: if a search is needed and there is no index.
    """
    tokenizer = None if domain.remote else BackboneTokenizer.load(domain.file.backbone)
    current = template.current()
    query, refused = None, False
    if search and given.passages is None and given.question is not None and "context" in current.inputs:
        answering = _answering(domain, template, tokenizer)
        query = answering.query(given.question, given.turns)
        [evidence] = answering.evidence_many([query])
        prepared = answering.prepare(given.question, given.turns, evidence)
        refused = not evidence.enough
        prompt = answering.prompt(given.question, prepared.history, prepared.evidence)
    else:
        prompt = current.render(_values(domain, current, given, _token_counter(domain, tokenizer)))
    parts = tuple(_parts(domain, current, prompt, tokenizer))
    return Rendering(
        template=current,
        path=template.path,
        backbone=domain.file.backbone,
        parts=parts,
        tokens=None if tokenizer is None else sum(part.tokens or 0 for part in parts),
        context=None if tokenizer is None else tokenizer.context_length,
        query=query,
        refused=refused,
    )


def as_json(rendering: Rendering) -> dict[str, Any]:
    """Plain data, with the token ids."""
    template = rendering.template
    parts = []
    for part in rendering.parts:
        fields = asdict(part)
        parts.append({name: fields[name] for name in fields if part.slot or name not in ("slot", "fill")})
    return {
        "template": {
            "name": template.name,
            "version": template.version,
            "language": template.language,
            "hash": template.content_hash,
            "path": short_path(rendering.path),
        },
        "backbone": rendering.backbone,
        "query": rendering.query,
        "refused": rendering.refused,
        "tokens": rendering.tokens,
        "context": rendering.context,
        "parts": parts,
    }


def _values(
    domain: Domain, template: Template, given: RenderInput, count_tokens: Callable[[str], int]
) -> dict[str, object]:
    """The given inputs and no others, so that the template reports what is missing or unknown."""
    values: dict[str, object] = dict(given.inputs or {})
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
        speaker=_LengthCheck(domain, template, tokenizer),
        count_tokens=_token_counter(domain, tokenizer),
    )


@dataclass(frozen=True)
class _LengthCheck:
    """A speaker without weights: checks as the domain's speaker does whether a prompt fits, and generates nothing."""

    domain: Domain
    template: TemplateFile
    tokenizer: BackboneTokenizer

    def prepare(self, prompt: RenderedPrompt) -> PreparedPrompt:
        parts = _parts(self.domain, self.template.current(), prompt, self.tokenizer)
        length = sum(part.tokens or 0 for part in parts)
        # A local backbone always has a limit on the tokens of its answer.
        fits = length + (self.domain.file.answer.max_tokens or 0) <= self.tokenizer.context_length
        return PreparedPrompt(prompt, None, fits)

    def stream(self, prompt: PreparedPrompt, config: object = None) -> Iterator[str]:
        raise self._no_weights()

    def astream(self, prompt: PreparedPrompt, config: object = None) -> AsyncGenerator[str]:
        raise self._no_weights()

    def reply_many(self, prompts: Sequence[PreparedPrompt], *, on_reply: object = None) -> list[str]:
        raise self._no_weights()

    def _no_weights(self) -> UsageError:
        return UsageError(
            found="an answer requested from a backbone without weights",
            expected="`softgraft prompts render`, which generates no answers",
            next_step=f"run: softgraft ask {self.domain.cli_name} QUESTION",
        )


def _parts(
    domain: Domain, template: Template, prompt: RenderedPrompt, tokenizer: BackboneTokenizer | None
) -> Iterator[PromptPart]:
    if tokenizer is None:
        for message in prompt.fill(template.text_twin).messages:
            yield PromptPart("text", message.role, message.text, None, ())
        return
    # The soft prompt belongs to the template that the domain answers with.
    manifest = domain.manifest if template.name == domain.file.template else None
    for span in tokenize_prompt(tokenizer, prompt).spans:
        if span.kind == "slot":
            yield _slot(template, span.text, span.role, manifest, tokenizer)
        else:
            yield PromptPart(span.kind, span.role, span.text, len(span.ids), span.ids)


def _slot(
    template: Template, slot: str, role: str, manifest: Manifest | None, tokenizer: BackboneTokenizer
) -> PromptPart:
    if manifest is not None and manifest.slot == slot:
        fill = f"{manifest.kind} soft prompt"
        return PromptPart("slot", role, manifest.text_twin, manifest.length, (), slot, fill)
    twin = template.text_twin(slot)
    ids = tuple(tokenizer.encode_text(twin))
    return PromptPart("slot", role, twin, len(ids), ids, slot, "text twin")
