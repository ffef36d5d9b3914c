"""What a model will read for one question: a template rendered, laid out in tokens, with the soft slot marked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chains import Answering
from chains.answering.examples import chosen_examples
from chains.answering.history import newest
from prompts import PassageInput, RenderedPrompt, Template, TemplateFile, Turn
from soft_prompt import Manifest
from soft_prompt.model.tokenizer import TokenizerAlone
from soft_prompt.tokens.spans import tokenize_prompt
from softgraft.assembly.answers import answer_settings
from softgraft.domain import Domain
from softgraft.errors import UsageError
from softgraft.templates.template_files import shown
from softgraft.training.retrieval_fit import evidence_scale


@dataclass(frozen=True, slots=True)
class Shown:
    """A part of what the model reads.

    Attributes:
        kind: `control`, `text`, `passage` or `slot`.
        role: of the message it stands in.
        text: what stands there; of a slot, its text twin.
        tokens: how many; None for a model behind an API.
        ids: the token ids; none for a soft prompt's vectors, nor for a model behind an API.
        slot: name of the soft slot.
        fill: what the slot holds: `text twin`, or the kind of its soft prompt.
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
    """What the model reads for one question.

    Attributes:
        parts: in the order in which they stand.
        tokens: of all parts together.
        context: how many tokens fit, the answer among them; None for a model behind an API.
        query: what was searched for; None where nothing was.
        refused: whether the evidence is so weak that the model would not be asked.
    """

    template: Template
    path: Path
    backbone: str
    parts: tuple[Shown, ...]
    tokens: int | None
    context: int | None
    query: str | None
    refused: bool


@dataclass(frozen=True)
class Given:
    """What a template is rendered with.

    Attributes:
        question: None for a template that takes none.
        turns: the conversation before it.
        passages: in the order in which the model reads them; None searches the domain's index.
        inputs: further text inputs of the template.
    """

    question: str | None
    turns: Sequence[Turn] = ()
    passages: Sequence[PassageInput] | None = None
    inputs: Mapping[str, str] | None = None


def show_prompt(domain: Domain, template: TemplateFile, given: Given, *, search: bool) -> Rendering:
    """Render a template as the chain of a domain does. The backbone's weights are not loaded, unless it has to rewrite
    a follow-up before anything can be searched for.

    Args:
        domain: whose settings, index and soft prompt count.
        template: of the answer, or any other.
        given: what goes in.
        search: look for passages in the index where `given` has none.

    Raises:
        PromptError: the template takes other inputs.
        NotIngestedError: a search without an index.
    """
    tokens = None if domain.remote else TokenizerAlone.load(domain.file.backbone)
    current = template.current()
    query, refused = None, False
    if search and given.passages is None and given.question is not None and "context" in current.inputs:
        answering = _answering(domain, template, tokens)
        query = answering.query(given.question, given.turns)
        [found] = answering.evidence_many([query])
        evidence, refused = answering.fitting(given.question, given.turns, found), not found.enough
        prompt = answering.prompt(given.question, given.turns, evidence)
    else:
        prompt = current.render(_values(domain, current, given, _counter(domain, tokens)))
    parts = tuple(_parts(domain, current, prompt, tokens))
    counts = [part.tokens for part in parts if part.tokens is not None]
    return Rendering(
        template=current,
        path=template.path,
        backbone=domain.file.backbone,
        parts=parts,
        tokens=None if tokens is None else sum(counts),
        context=None if tokens is None else tokens.max_tokens,
        query=query,
        refused=refused,
    )


def _values(domain: Domain, template: Template, given: Given, count_tokens: Callable[[str], int]) -> dict[str, object]:
    """Only what was given, so that the template itself says what it lacks or does not take."""
    values: dict[str, object] = dict(given.inputs or {})
    turns = newest(given.turns, answer_settings(domain.file, domain.build).history, count_tokens)
    if given.question is not None:
        values["question"] = given.question
    if turns or "history" in template.inputs:
        values["history"] = turns
    if given.passages is not None or "context" in template.inputs:
        values["context"] = list(given.passages or ())
    if template.examples is not None and template.chooses_examples and given.question is not None:
        values["examples"] = chosen_examples(domain.examples.nearest, template.examples, given.question, count_tokens)
    return values


def _counter(domain: Domain, tokens: TokenizerAlone | None) -> Callable[[str], int]:
    return domain.encoder.count_tokens if tokens is None else lambda text: len(tokens.encode_text(text))


@dataclass(frozen=True)
class _Fitting:
    """Says whether a prompt fits a backbone, as the speaker of the domain would; it words nothing."""

    domain: Domain
    template: TemplateFile
    tokens: TokenizerAlone

    def fits(self, prompt: RenderedPrompt) -> bool:
        parts = _parts(self.domain, self.template.current(), prompt, self.tokens)
        length = sum(part.tokens or 0 for part in parts)
        # A local backbone always has a number of tokens for its answer.
        return length + (self.domain.file.answer.max_tokens or 0) <= self.tokens.max_tokens

    def stream(self, prompt: RenderedPrompt, config: object = None) -> Iterator[str]:
        raise self._unloaded()

    def astream(self, prompt: RenderedPrompt, config: object = None) -> AsyncGenerator[str]:
        raise self._unloaded()

    def reply_many(self, prompts: Sequence[RenderedPrompt], *, on_reply: object = None) -> list[str]:
        raise self._unloaded()

    def _unloaded(self) -> UsageError:
        return UsageError(
            found="an answer asked of a backbone whose weights are not loaded",
            expected="`softgraft prompts render`, which answers nothing",
            next_step=f"run: softgraft ask {self.domain.typed} QUESTION",
        )


def _answering(domain: Domain, template: TemplateFile, tokens: TokenizerAlone | None) -> Answering:
    """The domain's, without its weights where they are not needed."""
    settings = answer_settings(domain.file, domain.build)
    if tokens is None or settings.condense == "model":
        return domain.answering("text-twin", template)
    fitting = _Fitting(domain, template, tokens)
    return Answering(
        index=domain.index,
        template=template,
        condense_template=template,
        speaker=fitting,
        rewriter=fitting,
        count_tokens=_counter(domain, tokens),
        scale=evidence_scale(domain.file, domain.build),
        settings=settings,
        examples=domain.examples.nearest,
    )


def _parts(
    domain: Domain, template: Template, prompt: RenderedPrompt, tokens: TokenizerAlone | None
) -> Iterator[Shown]:
    if tokens is None:
        for message in prompt.fill(template.text_twin).messages:
            yield Shown("text", message.role, message.text, None, ())
        return
    # A soft prompt answers in the template that the domain answers with.
    manifest = domain.manifest if template.name == domain.file.template else None
    for part in tokenize_prompt(tokens, prompt).spans:
        if part.kind != "slot":
            yield Shown(part.kind, part.role, part.text, len(part.ids), part.ids)
        else:
            yield _slot(template, part.text, part.role, manifest, tokens)


def _slot(template: Template, slot: str, role: str, manifest: Manifest | None, tokens: TokenizerAlone) -> Shown:
    twin = template.text_twin(slot)
    if manifest is None or manifest.slot != slot:
        ids = tuple(tokens.encode_text(twin))
        return Shown("slot", role, twin, len(ids), ids, slot, "text twin")
    return Shown("slot", role, manifest.text_twin, manifest.length, (), slot, f"{manifest.kind} soft prompt")


def as_json(found: Rendering) -> dict[str, Any]:
    """Plain data, with the token ids."""
    template = found.template
    return {
        "template": {
            "name": template.name,
            "version": template.version,
            "language": template.language,
            "hash": template.content_hash,
            "path": shown(found.path),
        },
        "backbone": found.backbone,
        "query": found.query,
        "refused": found.refused,
        "tokens": found.tokens,
        "context": found.context,
        "parts": [
            {
                "kind": part.kind,
                "role": part.role,
                "text": part.text,
                "tokens": part.tokens,
                "ids": list(part.ids),
                **({"slot": part.slot, "fill": part.fill} if part.slot else {}),
            }
            for part in found.parts
        ],
    }
