"""Teachers of distillation: a local model, or a model behind an API. They also answer questions without an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from chains import LocalSpeaker, RemoteSpeaker, SoftPromptChat
from chains.answering.speaker import OnReply, PreparedPrompt
from chains.speakers.listed_replies import ListedReply, listed_reply
from evaluation.items import Item
from soft_prompt import TrainingError, encode_prompt
from soft_prompt.model.backbone import Backbone
from soft_prompt.training.answer_loss import teach
from soft_prompt.training.example import TrainingExample
from soft_prompt.training.teacher import TeacherTargets, listed_targets
from softgraft.training.taught_file import TaughtFile

# What OpenAI's protocol lists at most.
LISTED = 20


class Teacher(Protocol):
    """Answers questions, and says how likely it finds the tokens of answers."""

    def answers(self, prompts: Sequence[PreparedPrompt], on_reply: OnReply) -> list[str]:
        """An answer to each prompt."""

    def targets(self, shown: Sequence[tuple[PreparedPrompt, Item]]) -> list[TeacherTargets | None]:
        """Its distributions at the target answers; None where it gives none."""


@dataclass(frozen=True)
class LocalTeacher:
    """A local model with what fills its slots: the start of the training, or a larger model with its text twins.

    Attributes:
        student: the backbone that learns. It must have the teacher's vocabulary.
    """

    chat: SoftPromptChat
    student: Backbone
    batch_size: int

    def answers(self, prompts: Sequence[PreparedPrompt], on_reply: OnReply) -> list[str]:
        own = [self._own(prompt) for prompt in prompts]
        return [reply.strip() for reply in LocalSpeaker(self.chat).reply_many(own, on_reply=on_reply)]

    def targets(self, shown: Sequence[tuple[PreparedPrompt, Item]]) -> list[TeacherTargets | None]:
        backbone, student = self.chat.store.backbone, self.student
        examples = [
            TrainingExample(
                encode_prompt(backbone, self._own(prompt).model_input, self.chat.fills, self.chat.attention),
                (*student.encode_text(item.target), student.end_id),
            )
            for prompt, item in shown
        ]
        vocabulary = int(student.model.get_output_embeddings().weight.shape[0])
        return [*teach(self.chat.store, examples, self.batch_size, vocabulary)]

    def _own(self, prompt: PreparedPrompt) -> PreparedPrompt:
        # The tokens are those of the student's chat template.
        return prompt if self.chat.store.backbone is self.student else replace(prompt, tokens=None)


def require_same_vocabulary(teacher: Backbone, student: Backbone) -> None:
    """Refuse a teacher whose tokens are others.

    Raises:
        TrainingError: if the two vocabularies differ.
    """
    if teacher.tokenizer.get_vocab() != student.tokenizer.get_vocab():
        raise TrainingError(
            found=f"the teacher {teacher.id!r} with another vocabulary than the backbone {student.id!r}",
            expected="a model of the same family, whose tokens have the same numbers",
            next_step="name another model under `train.teacher`, or PROVIDER:MODEL, which then answers in words alone",
        )


@dataclass(frozen=True)
class RemoteTeacher:
    """A model behind an API. It answers, and lists its most likely tokens if the API can.

    It is asked once for each prompt: `file` remembers its replies, so that a run that continues trains on the same.
    It cannot judge answers that it has not written, so only its own have distributions.

    Attributes:
        student: the backbone that learns. Distributions are only used where the API's tokens are the student's own.
    """

    name: str
    speaker: RemoteSpeaker
    student: Backbone
    file: TaughtFile

    def answers(self, prompts: Sequence[PreparedPrompt], on_reply: OnReply) -> list[str]:
        replies = []
        for number, prompt in enumerate(prompts, 1):
            key = self._key(prompt)
            reply = self.file.read().get(key)
            if reply is None:
                reply = listed_reply(self.speaker, prompt, LISTED)
                self.file.add(key, reply)
            replies.append(reply.text)
            on_reply(number)
        return replies

    def targets(self, shown: Sequence[tuple[PreparedPrompt, Item]]) -> list[TeacherTargets | None]:
        replies = [self.file.read().get(self._key(prompt)) for prompt, _ in shown]
        return [
            self._targets(reply) if reply is not None and reply.text == item.target else None
            for reply, (_, item) in zip(replies, shown, strict=True)
        ]

    def _key(self, prompt: PreparedPrompt) -> str:
        return self.file.key(self.name, [(one.type, one.content) for one in self.speaker.messages(prompt)])

    def _targets(self, reply: ListedReply) -> TeacherTargets | None:
        """None if the API lists no tokens, or others than the student's for this answer."""
        rows = [{self._ids[text]: value for text, value in row.items() if text in self._ids} for row in reply.rows]
        chosen = [self._ids.get(token) for token in reply.tokens]
        if not rows or chosen != self.student.encode_text(reply.text) or not all(rows):
            return None
        return listed_targets([*rows, {self.student.end_id: 0.0}], LISTED)

    @cached_property
    def _ids(self) -> dict[bytes, int]:
        """The student's tokens as bytes, the form in which an API names them."""
        tokenizer = self.student.grammar_tokenizer
        texts = {bytes(tokenizer.decode_bytes([token])): token for token in reversed(range(tokenizer.vocab_size))}
        return {text: token for text, token in texts.items() if text}
