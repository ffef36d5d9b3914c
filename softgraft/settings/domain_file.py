"""domain.yaml: what a domain is made of. Everything in it is text that a person may edit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evaluation.task_items import TEXT_TASKS, TextTask
from retrieval.conversion.limits import DEFAULT_LIMITS, Limits
from retrieval.store.faiss_record import IndexChoice
from softgraft.errors import DomainError, UsageError

FILE = "domain.yaml"
# PROVIDER:MODEL. No Hugging Face id has a colon, and a drive is one letter.
_BEHIND_API = re.compile(r"[a-z][a-z0-9_-]+:.+")
_SECRET = re.compile(r"(^|_)(key|secret|password|credentials)$")
# The conversations, in build/.
MEMORY = "memory.sqlite"

_Positive = Annotated[int, Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Auto = Literal["auto"]


class RetrievalSettings(_Strict):
    """How passages are cut and found.

    `auto` weights are those that `softgraft ingest` found best on the domain's questions, an `auto` threshold the
    one it chose there. `neighbours` on either side grow a passage before the model reads it; `reranker` is a
    cross-encoder that orders the best passages. `index` is the kind of FAISS index; without one it is what `softgraft
    ingest --index` asked for last, at first `auto`.
    """

    passages: _Positive = 3
    margin: Annotated[float, Field(ge=0)] = 0.15
    evidence_tokens: _Positive = 320
    passage_tokens: Annotated[int, Field(ge=16)] = 72
    dense_weight: Auto | Annotated[float, Field(ge=0)] = "auto"
    bm25_weight: Auto | Annotated[float, Field(ge=0)] = "auto"
    neighbours: Annotated[int, Field(ge=0, le=2)] = 0
    reranker: Annotated[str, Field(min_length=1)] | None = None
    index: IndexChoice | None = None
    evidence_threshold: Auto | Annotated[float, Field(ge=0, le=1)] = "auto"

    @model_validator(mode="after")
    def _looks_somewhere(self) -> Self:
        if self.dense_weight == 0 and self.bm25_weight == 0:
            raise ValueError("dense_weight and bm25_weight are both 0, which finds nothing; expected one above 0")
        return self


class IngestSettings(_Strict):
    """What one file may take when documents are read; one beyond that is reported and left out.

    `file_mib` is its size, `rows_mib` that of one with a document a row; `seconds` and `memory_mib` are what converting
    it may take.
    """

    file_mib: _Positive = DEFAULT_LIMITS.file_mib
    rows_mib: _Positive = DEFAULT_LIMITS.rows_mib
    seconds: Annotated[float, Field(gt=0)] = DEFAULT_LIMITS.seconds
    memory_mib: _Positive = DEFAULT_LIMITS.memory_mib

    def limits(self) -> Limits:
        """These settings as `retrieval` takes them."""
        return Limits(**self.model_dump())


class CacheSettings(_Strict):
    """How much room the keys and values of passages take, in memory and in build/passages; 0 keeps none there.

    `conversation_mib` is the room in memory for those of the last conversations, which the next turn goes on from.
    """

    memory_mib: Annotated[int, Field(ge=0)] = 256
    conversation_mib: Annotated[int, Field(ge=0)] = 128
    disk_gib: Annotated[float, Field(ge=0)] = 16


class AnswerFileSettings(_Strict):
    """How answers are worded; `strength` is how much of what training changed a soft prompt answers with.

    `max_tokens: null` and `temperature: null` are not sent to a model behind an API. `history_turns` and
    `history_tokens` are how much of the conversation the model reads; what is beyond that is dropped, the oldest
    first, or summed up (`history_overflow`).
    """

    max_tokens: _Positive | None = 64
    temperature: Annotated[float, Field(ge=0)] | None = 0.0
    history_turns: Annotated[int, Field(ge=0)] = 3
    history_tokens: Annotated[int, Field(ge=0)] = 512
    history_overflow: Literal["drop", "summarise"] = "drop"
    condense: Literal["auto", "off", "join", "model"] = "auto"
    decode_weights: Literal["auto", "own", "int8"] = "own"
    strength: Annotated[float, Field(ge=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _has_room_for_a_summary(self) -> Self:
        summary = self.max_tokens or 0
        if self.history_overflow == "summarise" and self.history_tokens < 2 * summary:
            raise ValueError(
                f"history_tokens: {self.history_tokens} has no room for a summary of up to max_tokens: "
                f"{summary} and as much again; expected at least {2 * summary}"
            )
        return self


class RemoteSettings(_Strict):
    """How a model behind an API is called; null leaves a setting to what its provider's package does.

    `timeout_seconds` is how long the server may be silent. `options` are further settings of the provider's chat model
    in LangChain, by its names.
    """

    timeout_seconds: Annotated[float, Field(gt=0)] | None = None
    max_retries: Annotated[int, Field(ge=0)] | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _holds_no_secret(self) -> Self:
        # The settings are written into reports.
        if secrets := [name for name in self.options if _SECRET.search(name.lower())]:
            raise ValueError(f"options hold {', '.join(secrets)}; keys are read from the environment alone")
        return self


class ClassificationSettings(_Strict):
    """How labels are compared: `auto` takes the calibration that is best on dev; see docs/tasks.md."""

    calibration: Literal["auto", "none", "contextual", "prior"] = "auto"
    normalise: Literal["sum", "mean"] = "sum"


class TrainSettings(_Strict):
    """How the soft prompt is trained.

    `length: null` takes as many positions as the text twin has tokens; the kind `adapter` always does, and its vectors
    are not trained. `adapter: none` trains no adapter, and neither does `lora` with `adapter_rank: 0`; `ia3` has no
    rank. `layers: null` trains all layers, `micro_batch: null` runs as many examples at once as memory has room for.
    """

    kind: Literal["embedding", "kv", "adapter"] = "kv"
    length: _Positive | None = 32
    adapter: Literal["none", "lora", "ia3"] = "lora"
    adapter_rank: Annotated[int, Field(ge=0, le=64)] = 4
    epochs: _Positive = 2
    batch_size: _Positive = 8
    learning_rate: Annotated[float, Field(gt=0)] = 1e-2
    adapter_learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    warmup_steps: Annotated[int, Field(ge=0)] = 10
    clip: Annotated[float, Field(gt=0)] = 1.0
    patience: _Positive = 2
    seed: int = 0
    layers: _Positive | None = None
    reparameterise: bool = False
    random_length: bool = False
    micro_batch: _Positive | None = None

    @property
    def adapter_form(self) -> Literal["lora", "ia3"] | None:
        """The adapter that is trained, or None."""
        return None if self.adapter == "none" or (self.adapter == "lora" and not self.adapter_rank) else self.adapter

    @model_validator(mode="after")
    def _trains_something(self) -> Self:
        if self.kind == "adapter" and self.adapter_form is None:
            raise ValueError(
                "the kind `adapter` trains an adapter and nothing else, so it needs `adapter: ia3`, or `adapter: lora` "
                f"with an adapter_rank of at least 1; found `adapter: {self.adapter}` with {self.adapter_rank}"
            )
        return self

    def with_options(self, options: dict[str, Any]) -> TrainSettings:
        """These settings with those of a command in place of some; None leaves one as it is.

        Raises:
            UsageError: together they cannot be trained.
        """
        given = {name: value for name, value in options.items() if value is not None}
        try:
            settings = TrainSettings.model_validate({**self.model_dump(), **given})
        except ValidationError as error:
            raise UsageError(
                found="; ".join(_said(problem["msg"]) for problem in error.errors()),
                expected="settings that can be trained together",
                next_step="softgraft train DOMAIN --kind adapter --adapter lora --adapter-rank 4",
            ) from error
        if settings.kind == "adapter" and "length" in given:
            raise UsageError(
                found=f"a length of {given['length']} for the kind `adapter`, which has its whole text twin",
                expected="a length for the kinds `embedding` and `kv` alone",
                next_step="leave out --length",
            )
        return settings


class DomainFile(_Strict):
    """The contents of domain.yaml."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    title: Annotated[str, Field(min_length=1)]
    language: Annotated[str, Field(pattern=r"^[a-z]{2}$")] = "en"
    backbone: str = "embedded"
    base_url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    device: str = "cpu"
    encoder: str = "embedded"
    task: Literal["chat", "extractive-qa", "classification", "summarisation", "translation"] = "chat"
    template: str = ""
    context: Literal["none", "examples", "documents"] | None = None
    classification: ClassificationSettings | None = None
    attention: Literal["exact", "block"] = "exact"
    closed_book_template: str = "closed-book"
    refusal: Annotated[str, Field(min_length=1)] = "I do not have information about that."
    retrieval: RetrievalSettings = RetrievalSettings()
    ingest: IngestSettings = IngestSettings()
    answer: AnswerFileSettings = AnswerFileSettings()
    remote: RemoteSettings = RemoteSettings()
    train: TrainSettings = TrainSettings()
    cache: CacheSettings = CacheSettings()

    @property
    def text_task(self) -> TextTask | None:
        """The task, where it is none of questions."""
        return None if self.task in ("chat", "extractive-qa") else self.task  # type: ignore[return-value]

    @model_validator(mode="before")
    @classmethod
    def _usual_template(cls, given: Any) -> Any:
        if isinstance(given, dict) and not given.get("template", ""):
            task = given.get("task", "chat")
            return {**given, "template": "rag-chat" if task == "chat" else task}
        return given

    @model_validator(mode="after")
    def _belongs_to_the_task(self) -> Self:
        if self.context is not None and self.text_task is None:
            raise ValueError(f"`context` is for {', '.join(TEXT_TASKS)}; found it with the task `{self.task}`")
        if self.classification is not None and self.task != "classification":
            raise ValueError(f"`classification` is for that task; found it with the task `{self.task}`")
        return self

    @property
    def behind_api(self) -> bool:
        """Whether the backbone is `PROVIDER:MODEL`, a model behind an API that takes no vectors."""
        return _BEHIND_API.fullmatch(self.backbone) is not None

    @model_validator(mode="after")
    def _says_what_its_backbone_takes(self) -> Self:
        if self.behind_api:
            return self
        api = [name for name in ("base_url", "remote") if name in self.model_fields_set and getattr(self, name)]
        open_ended = [f"answer.{n}: null" for n in ("max_tokens", "temperature") if getattr(self.answer, n) is None]
        if found := [*api, *open_ended]:
            raise ValueError(
                f"{', '.join(found)} with the local backbone {self.backbone!r}; expected a model behind an API, such "
                "as openai:gpt-4o-mini, or none of them"
            )
        return self


def read_domain_file(folder: Path) -> DomainFile:
    """Read domain.yaml of a domain's folder.

    Raises:
        DomainError: missing or malformed; every problem is listed.
    """
    path = folder / FILE
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DomainError(
            found=f"no {FILE} in {folder}",
            expected="a domain: a folder with domain.yaml and docs/",
            next_step=f"make one: softgraft new {folder.name} --from FOLDER",
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _problem(path, [str(error).replace("\n", " ")]) from error
    try:
        return DomainFile.model_validate(data)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'file'}: {_said(e['msg'])}" for e in error.errors()]
        raise _problem(path, problems) from error


def write_domain_file(folder: Path, file: DomainFile, note: str) -> None:
    """Write domain.yaml with the settings that a person is likely to change, and a note at the top."""
    kept = {"task", "context", "classification"} & file.model_fields_set
    data = {
        "name": file.name,
        "title": file.title,
        "language": file.language,
        "backbone": file.backbone,
        **file.model_dump(include=kept),
        "template": file.template,
        **({} if file.text_task else {"refusal": file.refusal}),
        "retrieval": file.retrieval.model_dump(),
        "answer": file.answer.model_dump(),
        "train": file.train.model_dump(),
    }
    comment = "".join(f"# {line}\n" for line in note.splitlines())
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)
    (folder / FILE).write_text(comment + text, encoding="utf-8")


def _said(message: str) -> str:
    """A problem in words, without what pydantic puts before a message of our own."""
    return message.removeprefix("Value error, ")


def _problem(path: Path, problems: list[str]) -> DomainError:
    listed = "".join(f"\n  {problem}" for problem in problems)
    return DomainError(
        found=f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in {path}:{listed}\n",
        expected="the settings that the README lists under `A domain's settings`",
        next_step=f"edit {path}",
    )
