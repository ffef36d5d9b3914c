"""The tasks that are no conversation as LangChain runnables: a text in, a label or another text out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from langchain_core.runnables import Runnable, RunnableConfig

from chains.answering.speaker import PreparedPrompt, Speaker
from chains.errors import InputError
from chains.tasks.labels import Calibration, LabelScorer
from prompts import PassageInput, RenderedPrompt, TemplateFile

Lookup = Callable[[Sequence[str]], Sequence[Sequence[PassageInput]]]
OnReply = Callable[[int], None]


@dataclass(frozen=True)
class TaskPrompts:
    """From texts to what the model reads.

    Attributes:
        template: with the inputs `text` and, where anything is looked up, `context`.
        lookup: gives each text its context, the most useful last; None looks nothing up.
        prepare: tokenises a prompt, and says whether it fits: `Speaker.prepare`.
    """

    template: TemplateFile
    lookup: Lookup | None
    prepare: Callable[[RenderedPrompt], PreparedPrompt]

    def prompts(self, texts: Sequence[str], lookup: Lookup | None = None) -> list[PreparedPrompt]:
        """What the model reads for each text. `lookup` stands in for the usual one.

        Raises:
            InputError: a text is empty, or looked-up context has no place in the template.
            PromptError: the template wants other inputs.
        """
        empty = [number for number, text in enumerate(texts) if not text.strip()]
        if empty:
            raise InputError(
                found=f"an empty text, number {empty[0] + 1} of {len(texts)}",
                expected="texts with something in them",
                next_step="leave it out",
            )
        template, lookup = self.template.current(), lookup or self.lookup
        placed = "context" in template.inputs
        if lookup is not None and not placed:
            raise InputError(
                found=f"context to look up, and no place for it in the template {template.name!r}",
                expected="the input `context: passages`, and {context} in a message",
                next_step="put it into the template, or set `context: none` in domain.yaml",
            )
        found = lookup(texts) if lookup is not None else [()] * len(texts)
        return [self._fitting(text, list(given), placed) for text, given in zip(texts, found, strict=True)]

    def _fitting(self, text: str, context: list[PassageInput], placed: bool) -> PreparedPrompt:
        """The prompt, without the context that the model has no space for."""
        template = self.template.current()
        while True:
            prompt = self.prepare(template.render({"text": text, "context": context} if placed else {"text": text}))
            if not context or prompt.fits:
                return prompt
            context = context[1:]


class Worker(Protocol):
    """Does a task for many texts at once."""

    def work(self, texts: Sequence[str], *, on_reply: OnReply | None = None) -> list[dict[str, Any]]:
        """One plain object a text, in their order."""

    def replies(self, texts: Sequence[str], *, on_reply: OnReply | None = None) -> list[str]:
        """The label or the reply alone, which for labels is several times faster."""


@dataclass(frozen=True)
class Classifier:
    """Gives each text its label: `{"text", "label", "probabilities"}`, the likeliest label first."""

    prompts: TaskPrompts
    scorer: LabelScorer
    calibration: Calibration

    def work(self, texts: Sequence[str], *, on_reply: OnReply | None = None) -> list[dict[str, Any]]:
        """See `Worker`."""
        labels = self.scorer.verbalizer.labels
        rendered = self.prompts.prompts(texts)
        rows = self.scorer.probabilities(rendered, self.calibration, on_reply=on_reply).tolist()
        found = []
        for text, row in zip(texts, rows, strict=True):
            ranked = sorted(zip(labels, row, strict=True), key=lambda pair: -pair[1])
            found.append({"text": text, "label": ranked[0][0], "probabilities": dict(ranked)})
        return found

    def replies(self, texts: Sequence[str], *, on_reply: OnReply | None = None) -> list[str]:
        """See `Worker`."""
        labels, best = self.scorer.verbalizer.labels, self.scorer.best
        return [labels[n] for n in best(self.prompts.prompts(texts), self.calibration, on_reply=on_reply)]


@dataclass(frozen=True)
class Writer:
    """Turns each text into another, a summary or a translation: `{"text", "reply"}`."""

    prompts: TaskPrompts
    speaker: Speaker

    def work(self, texts: Sequence[str], *, on_reply: OnReply | None = None) -> list[dict[str, Any]]:
        """See `Worker`."""
        replies = self.replies(texts, on_reply=on_reply)
        return [{"text": text, "reply": reply} for text, reply in zip(texts, replies, strict=True)]

    def replies(self, texts: Sequence[str], *, on_reply: OnReply | None = None) -> list[str]:
        """See `Worker`."""
        return [reply.strip() for reply in self.speaker.reply_many(self.prompts.prompts(texts), on_reply=on_reply)]


class TaskChain(Runnable[str | Mapping[str, str], dict[str, Any]]):
    """A task as a runnable. It takes a text, or `{"text": ...}`, and `batch` runs many of them together.

    >>> chain.invoke("I lost my card")["label"]  # doctest: +SKIP
    'lost_or_stolen_card'
    """

    def __init__(self, worker: Worker, name: str) -> None:
        self.worker = worker
        self.name = name

    def invoke(
        self, input: str | Mapping[str, str], config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Do the task for one text.

        Raises:
            InputError: no text, or an empty one.
        """
        _refuse(kwargs)
        return self._call_with_config(lambda given: self.worker.work([_text(given)])[0], input, config)

    def batch(
        self,
        inputs: list[str | Mapping[str, str]],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[dict[str, Any]]:
        """Do the task for many texts, which run through the backbone together."""
        _refuse(kwargs)
        return self._batch_with_config(
            self._work_on,
            inputs,
            config,
            return_exceptions=return_exceptions,
        )

    def _work_on(self, given: list[str | Mapping[str, str]]) -> list[Exception | dict[str, Any]]:
        return [*self.worker.work([_text(one) for one in given])]

    def stream(
        self, input: str | Mapping[str, str], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[dict[str, Any]]:
        """The whole result as one piece."""
        yield self.invoke(input, config, **kwargs)


def _text(given: object) -> str:
    text = given.get("text") if isinstance(given, Mapping) else given
    if not isinstance(text, str) or (isinstance(given, Mapping) and set(given) != {"text"}):
        raise InputError(
            found=f"a {type(given).__name__}"
            + (f" with {', '.join(map(str, given))}" if isinstance(given, Mapping) else ""),
            expected='a text, or {"text": ...} and nothing else',
            next_step="give the text alone",
        )
    return text


def _refuse(settings: Mapping[str, Any]) -> None:
    if settings:
        raise InputError(
            found=f"the unknown setting {', '.join(sorted(settings))}",
            expected="no settings; those of a task stand in domain.yaml",
            next_step="leave it out, or edit domain.yaml",
        )
