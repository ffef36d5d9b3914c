"""A small bank: five documents, an index over them, and a chat model with scripted replies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

from chains import Answering, AnswerSettings, RemoteSpeaker, Speaker
from chains.answering.speaker import PreparedPrompt
from prompts import RenderedPrompt, TemplateFile, TextTwins, find_template
from retrieval import EvidenceScale, Index, ingest, open_index
from retrieval.ranking.evidence_score import LogisticModel
from tests.support.hashing_encoder import HashingEncoder

DOCUMENTS = {
    "cards.md": (
        "# Card fees\n\nThe debit card is free in the first year.\n\n"
        "## Abroad\n\nA cash withdrawal abroad costs 2.99 percent, at least 3 euros.\n\n"
        "## Replacement\n\nA replacement card costs 12 euros and arrives within 5 days.\n"
    ),
    "disputes.md": (
        "# Disputes\n\nYou have 120 days to dispute a card payment.\n\n"
        "## Evidence\n\nKeep the receipt and every letter from the merchant.\n"
    ),
    "transfers.md": "# Transfers\n\nA transfer inside the country is free. A transfer overseas costs 15 euros.\n",
    "branches.txt": "The branch on Mill Street opens at nine in the morning and closes at five.\n",
    "savings.md": "# Savings\n\nThe young saver pays 4.1 percent interest until the age of 18.\n",
}

# Evidence suffices if one passage holds half of the question's word weight.
SCALE = EvidenceScale(LogisticModel(("coverage",), (10.0,), -5.0, 0.5))
# A follow-up's own words count as well.
FOLLOW_UP_SCALE = replace(SCALE, follow_up=LogisticModel(("own_coverage",), (10.0,), -5.0, 0.5))
REFUSAL = "None of our leaflets says so."


def write_documents(folder: Path) -> Path:
    """Write the documents as files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def make_index(folder: Path, passage_tokens: int = 32) -> Index:
    """Build an index over the documents."""
    encoder = HashingEncoder(dimension=256)
    ingest(write_documents(folder / "docs"), folder / "index", encoder, max_tokens=passage_tokens)
    return open_index(folder / "index", encoder)


def last_text(messages: Sequence[BaseMessage]) -> str:
    """The question as a text-only model reads it."""
    assert isinstance(messages[-1].content, str)
    return messages[-1].content


class ScriptedChat(BaseChatModel):
    """A chat model that streams scripted replies, five characters at a time, and records its requests."""

    answer: Callable[[str], str] = Field(default=lambda question: f"You asked: {question}")
    pause: float = 0.0
    seen: list[list[BaseMessage]] = Field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    guard: Any = Field(default_factory=threading.Lock)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        text = "".join(str(chunk.message.content) for chunk in self._stream(messages))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=text))])

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        with self.guard:
            self.seen.append(messages)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            text = self.answer(last_text(messages))
            for start in range(0, len(text), 5):
                time.sleep(self.pause)
                yield ChatGenerationChunk(message=AIMessageChunk(content=text[start : start + 5]))
        finally:
            with self.guard:
                self.at_once -= 1


@dataclass(frozen=True)
class ShortContext:
    """A speaker whose context holds a number of words; it only prepares prompts."""

    words: int
    seen: list[str] = field(default_factory=list)

    def prepare(self, prompt: RenderedPrompt) -> PreparedPrompt:
        text = " ".join(message.text for message in prompt.messages)
        self.seen.append(text)
        return PreparedPrompt(prompt, None, len(text.split()) <= self.words)


def make_answering(
    index: Index,
    speaker: Speaker | BaseChatModel,
    *,
    template: TemplateFile | None = None,
    scale: EvidenceScale | None = None,
    notices: Callable[[], list[str]] = list,
    **settings: Any,
) -> Answering:
    """Build an `Answering` over the index; a chat model gets the text twin in place of the soft slot."""
    template = template or TemplateFile(find_template("rag-chat"))
    if isinstance(speaker, BaseChatModel):
        speaker = RemoteSpeaker(speaker, TextTwins(template).__getitem__)
    return Answering(
        index=index,
        template=template,
        condense_template=TemplateFile(find_template("condense-question")),
        speaker=speaker,
        rewriter=speaker,
        count_tokens=index.encoder.count_tokens,
        scale=scale,
        settings=AnswerSettings(refusal=REFUSAL, **settings),
        notices=notices,
    )
