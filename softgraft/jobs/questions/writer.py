"""Questions worded by a model: the domain's backbone, or a chat model behind an API."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from chains import LocalSpeaker, RemoteSpeaker, Speaker, remote_chat
from prompts import TemplateFile
from softgraft.domain import Domain
from softgraft.errors import UsageError
from softgraft.jobs.questions.sources import Source

TEMPLATE = "draft-question"
# A question is one line; the backbone's samples differ at this temperature and mostly stay on the subject.
_MOST_TOKENS, _TEMPERATURE, _TOP_P, _SAMPLES = 40, 0.8, 0.9, 2
_MARKUP = re.compile(r"^(?:question|q|问题|问)\s*[:：]\s*|^[\"“'`*#\s-]+|[\"”'`*\s]+$", re.IGNORECASE)


@dataclass(frozen=True)
class QuestionWriter:
    """Writes candidate questions for sources.

    Attributes:
        name: of the model, as drafts record it.
        speakers: called with a seed, returns the speakers that each write one candidate.
    """

    name: str
    template: TemplateFile
    speakers: Callable[[int], Sequence[Speaker]]

    def write(self, source: Source, seed: int) -> list[str]:
        """Candidate questions for one source, without repetitions; they depend on the source and the seed alone."""
        prompt = self.template.current().render(
            {
                "answer": source.answers[0],
                "heading": " > ".join(part for part in (source.title, source.heading) if part) or source.doc_id,
                "passage": source.context,
            }
        )
        replies = []
        for speaker in self.speakers((int(source.key[:8], 16) + seed) % 2**31):
            replies += speaker.reply_many([speaker.prepare(prompt)])
        return list(dict.fromkeys(question for reply in replies if (question := cleaned(reply))))


def cleaned(reply: str) -> str:
    """The first line of a reply, without a label and quotation marks."""
    line = next((line for line in reply.strip().splitlines() if line.strip()), "").strip()
    while (shorter := _MARKUP.sub("", line)) != line:
        line = shorter
    return line


def question_writer(domain: Domain, model: str | None) -> QuestionWriter:
    """The writer of a domain.

    Args:
        model: `PROVIDER:MODEL` of a chat model behind an API; None is the domain's backbone.

    Raises:
        UsageError: if the model is not `PROVIDER:MODEL`.
        RemoteModelError: if it lacks a key or a package.
    """
    template = domain.template_file(TEMPLATE)
    if model is not None and not re.fullmatch(r"[a-z][a-z0-9_-]+:.+", model):
        raise UsageError(
            found=f"--with {model}",
            expected="PROVIDER:MODEL with the names of LangChain's init_chat_model",
            next_step=f"softgraft questions {domain.cli_name} draft --with openai:gpt-4o-mini",
        )
    if model is not None or domain.remote:
        name = model or domain.file.backbone
        remote = domain.file.remote if domain.remote else None
        chat = remote_chat(
            name,
            base_url=domain.file.base_url if model is None else None,
            timeout=remote.timeout_seconds if remote else None,
            max_retries=remote.max_retries if remote else None,
            options=remote.options if remote and model is None else None,
        )
        return QuestionWriter(name, template, lambda _: [RemoteSpeaker(chat, lambda _: "")])
    local = domain.chat("empty")

    def speakers(seed: int) -> list[Speaker]:
        """Greedy, and sampled."""
        settings = {"max_tokens": _MOST_TOKENS, "stop": ("\n",), "temperature": 0.0}
        greedy = LocalSpeaker(local.model_copy(update=settings))
        sampled = {**settings, "temperature": _TEMPERATURE, "top_p": _TOP_P}
        return [
            greedy,
            *(
                replace(greedy, chat=local.model_copy(update={**sampled, "seed": seed + number}))
                for number in range(_SAMPLES)
            ),
        ]

    return QuestionWriter(domain.file.backbone, template, speakers)
