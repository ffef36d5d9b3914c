"""The text tasks as LangChain runnables: a text in, a label or a text out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from langchain_core.runnables import Runnable, RunnableConfig

from chains.answering.speaker import OnReply, PreparedPrompt, Speaker
from chains.errors import InputError
from chains.tasks.labels import Calibration, LabelScorer
from prompts import PassageInput, RenderedPrompt, TemplateFile
from retrieval.markup import whole_characters

Lookup = Callable[[Sequence[str]], Sequence[Sequence[PassageInput]]]


@dataclass(frozen=True)
class TaskPrompts:
    """Creates the prompts of texts.

    Attributes:
        template: has the input `text` and, with a lookup, `context`.
        lookup: returns the context of each text, the most useful passage last; None for no context.
        prepare: `Speaker.prepare`.
    """

    template: TemplateFile
    lookup: Lookup | None
    prepare: Callable[[RenderedPrompt], PreparedPrompt]

    def prompts(self, texts: Sequence[str], lookup: Lookup | None = None) -> list[PreparedPrompt]:
        """The tokenised prompt of each text. `lookup` replaces the default one."""
        if empty := [number for number, text in enumerate(texts) if not text.strip()]:
            raise InputError(
                found=f"an empty text, number {empty[0] + 1} of {len(texts)}",
                expected="texts that are not empty",
                next_step="leave it out",
            )
        template, lookup = self.template.current(), lookup or self.lookup
        has_context = "context" in template.inputs
        if lookup is not None and not has_context:
            raise InputError(
                found=f"context, but no place for it in the template {template.name!r}",
                expected="the input `context: passages`, and {context} in a message",
                next_step="add it to the template, or set `context: none` in domain.yaml",
            )
        contexts = lookup(texts) if lookup is not None else [()] * len(texts)
        return [self._fit(text, list(context), has_context) for text, context in zip(texts, contexts, strict=True)]

    def _fit(self, text: str, context: list[PassageInput], has_context: bool) -> PreparedPrompt:
        template = self.template.current()
        while True:
            prompt = self.prepare(
                template.render({"text": text, "context": context} if has_context else {"text": text})
            )
            if not context or prompt.fits:
                return prompt
            context = context[1:]


class TaskModel(Protocol):
    """Runs a task on many texts at once."""

    def run(self, texts: Sequence[str], *, on_reply: OnReply | None = None) -> list[dict[str, Any]]: ...

    def replies(self, texts: Sequence[str], *, on_reply: OnReply | None = None) -> list[str]:
        """Only the labels or replies; several times faster for labels."""


@dataclass(frozen=True)
class Classifier:
    """Classifies texts. Result: `{"text", "label", "probabilities"}`, the most likely label first."""

    prompts: TaskPrompts
    scorer: LabelScorer
    calibration: Calibration

    def run(self, texts: Sequence[str], *, on_reply: OnReply | None = None) -> list[dict[str, Any]]:
        labels = self.scorer.verbalizer.labels
        rendered = self.prompts.prompts(texts)
        rows = self.scorer.probabilities(rendered, self.calibration, on_reply=on_reply).tolist()
        results = []
        for text, row in zip(texts, rows, strict=True):
            ranked = sorted(zip(labels, row, strict=True), key=lambda pair: -pair[1])
            results.append({"text": text, "label": ranked[0][0], "probabilities": dict(ranked)})
        return results

    def replies(self, texts: Sequence[str], *, on_reply: OnReply | None = None) -> list[str]:
        labels, best = self.scorer.verbalizer.labels, self.scorer.best
        return [labels[n] for n in best(self.prompts.prompts(texts), self.calibration, on_reply=on_reply)]


@dataclass(frozen=True)
class Writer:
    """Generates a summary or a translation of each text. Result: `{"text", "reply"}`."""

    prompts: TaskPrompts
    speaker: Speaker

    def run(self, texts: Sequence[str], *, on_reply: OnReply | None = None) -> list[dict[str, Any]]:
        replies = self.replies(texts, on_reply=on_reply)
        return [{"text": text, "reply": reply} for text, reply in zip(texts, replies, strict=True)]

    def replies(self, texts: Sequence[str], *, on_reply: OnReply | None = None) -> list[str]:
        return [reply.strip() for reply in self.speaker.reply_many(self.prompts.prompts(texts), on_reply=on_reply)]


class TaskChain(Runnable[str | Mapping[str, str], dict[str, Any]]):
    """A task as a runnable. It takes a text, or `{"text": ...}`; `batch` runs many texts together.

    >>> chain.invoke("I lost my card")["label"]  # doctest: +SKIP
    'lost_or_stolen_card'
    """

    def __init__(self, model: TaskModel, name: str) -> None:
        self.model = model
        self.name = name

    def invoke(
        self, input: str | Mapping[str, str], config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        _reject_settings(kwargs)
        return self._call_with_config(lambda text: self.model.run([_text(text)])[0], input, config)

    def batch(
        self,
        inputs: list[str | Mapping[str, str]],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[dict[str, Any]]:
        _reject_settings(kwargs)
        return self._batch_with_config(self._run_batch, inputs, config, return_exceptions=return_exceptions)

    def _run_batch(self, inputs: list[str | Mapping[str, str]]) -> list[Exception | dict[str, Any]]:
        return [*self.model.run([_text(text) for text in inputs])]


def _text(value: object) -> str:
    text = value.get("text") if isinstance(value, Mapping) else value
    if not isinstance(text, str) or (isinstance(value, Mapping) and set(value) != {"text"}):
        keys = f" with {', '.join(map(str, value))}" if isinstance(value, Mapping) else ""
        raise InputError(
            found=f"a {type(value).__name__}{keys}",
            expected='a text, or {"text": ...} without other keys',
            next_step="pass the text only",
        )
    return whole_characters(text)


def _reject_settings(settings: Mapping[str, Any]) -> None:
    if settings:
        raise InputError(
            found=f"the unknown setting {', '.join(sorted(settings))}",
            expected="no settings; those of a task are in domain.yaml",
            next_step="leave it out, or edit domain.yaml",
        )
