"""The teacher that `train.teacher` names."""

from __future__ import annotations

from pathlib import Path

from chains import RemoteSpeaker, SoftPromptChat
from prompts import TemplateFile, TextTwins
from soft_prompt import PrefixStore
from soft_prompt.model.backbone import Backbone
from softgraft.assembly.answers import api_chat
from softgraft.assembly.shared_models import shared_backbone
from softgraft.settings.domain_file import DomainFile, TrainSettings
from softgraft.training.taught_file import TaughtFile
from softgraft.training.teachers import LocalTeacher, RemoteTeacher, Teacher, require_same_vocabulary

# In build/: the replies of a teacher behind an API.
TAUGHT = "teacher.jsonl"


def named_teacher(
    file: DomainFile, settings: TrainSettings, template: TemplateFile, build: Path, student: Backbone
) -> Teacher | None:
    """The teacher of a run; None for the start. Its soft slots hold their text twins.

    Raises:
        BackboneError: if a local teacher does not load.
        TrainingError: if it has another vocabulary.
        RemoteModelError: if the model behind an API lacks a key, a package or a setting.
    """
    if settings.teacher is None:
        return None
    twins = TextTwins(template)
    if settings.teacher_behind_api:
        speaker = RemoteSpeaker(api_chat(settings.teacher, file), twins.__getitem__)
        return RemoteTeacher(settings.teacher, speaker, student, TaughtFile(build / TAUGHT))
    backbone = shared_backbone(file.model_copy(update={"backbone": settings.teacher}))
    require_same_vocabulary(backbone, student)
    chat = SoftPromptChat(
        store=PrefixStore(backbone),
        fills=twins,
        graft="text-twin",
        attention=file.attention,
        decode_weights=file.answer.decode_weights,
        max_tokens=file.answer.max_tokens or SoftPromptChat.model_fields["max_tokens"].default,
    )
    return LocalTeacher(chat, student, settings.batch_size)
