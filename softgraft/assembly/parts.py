"""The parts of a domain: settings, files, models and index. Each loads on first use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from chains import Answering, LocalSpeaker, SoftPromptChat, Speaker
from chains.answering.answer_writer import AnswerForm
from chains.answering.examples import NearestExamples, SolvedQuestion
from chains.answering.speaker import DeferredSpeaker
from chains.speakers.secrets import data_without_secrets
from evaluation import items_hash
from evaluation.hardware import describe_machine
from evaluation.items import Item, read_item_file
from evaluation.questions.dev_split import cut_dev
from prompts import TemplateFile, find_template
from retrieval import Encoder, Index, load_encoder, load_reranker, open_index
from retrieval.encoders.load import resolved_name
from retrieval.store.store import recorded_encoder
from soft_prompt import Manifest, PrefixStore, read_manifest
from softgraft.assembly.answered_by import answered_by
from softgraft.assembly.answers import Graft, answer_settings, make_speaker
from softgraft.assembly.notices import example_notices, training_notices
from softgraft.assembly.passage_cache import open_store
from softgraft.assembly.shared_models import shared
from softgraft.errors import UsageError
from softgraft.settings import location
from softgraft.settings.domain_file import DomainFile
from softgraft.settings.question_files import has_split, read_split
from softgraft.sources.shelf import Source
from softgraft.sources.start import domain_start
from softgraft.training.refusal_fit import refusal_check
from softgraft.training.retrieval_fit import evidence_scale

# In build/: vectors of the questions of train.jsonl.
EXAMPLES = "examples"


class DomainParts:
    """The parts of a domain: `file` is its domain.yaml, `build` the folder of everything generated."""

    def __init__(self, folder: Path, file: DomainFile, build: Path) -> None:
        self.folder = folder
        self.file = file
        self.build = build

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.file.name!r}, backbone={self.file.backbone!r})"

    @property
    def cli_name(self) -> str:
        """Name of this domain on the command line: its name under domains/, or its path."""
        return location.cli_name(self.folder)

    @property
    def remote(self) -> bool:
        """Whether the backbone is behind an API and takes no vectors."""
        return self.file.behind_api

    @property
    def docs(self) -> Path:
        """The folder of its documents."""
        return self.folder / "docs"

    @cached_property
    def encoder(self) -> Encoder:
        """The sentence encoder of the index."""
        return shared(load_encoder, resolved_name(self.file.encoder, recorded_encoder(self.build / "index")))

    @cached_property
    def index(self) -> Index:
        """The domain's passages.

        Raises:
            NotIngestedError: if nothing was ingested yet.
        """
        name = self.file.retrieval.reranker
        return open_index(self.build / "index", self.encoder, load_reranker(name) if name else None)

    @cached_property
    def store(self) -> PrefixStore:
        """The backbone with its cache of keys and values.

        Raises:
            UsageError: if the backbone is behind an API.
        """
        if self.remote:
            raise UsageError(
                found=f"the backbone {self.file.backbone!r} is behind an API and takes no vectors",
                expected="a local backbone, such as `embedded` or a Hugging Face model id",
                next_step="set `backbone: embedded` in domain.yaml",
            )
        return open_store(self.file, self.build)

    @property
    def manifest(self) -> Manifest | None:
        """Manifest of the trained soft prompt; None if no soft prompt was kept."""
        return read_manifest(self.build / "soft_prompt")

    @property
    def source(self) -> Source | None:
        """The source graft that the domain starts from; None for the text twin."""
        return domain_start(self.file, self.build, self.template.current())

    @property
    def graft(self) -> Graft:
        """The best available graft: the trained one, else the source, else the text twin."""
        if self.remote:
            return "text-twin"
        if self.manifest is not None:
            return "soft"
        return "text-twin" if self.source is None else "source"

    @cached_property
    def template(self) -> TemplateFile:
        """The template of the answers; reread whenever its file changes."""
        return self.template_file(self.file.template)

    @cached_property
    def examples(self) -> NearestExamples:
        """Selects examples from train.jsonl for templates that show the nearest ones."""
        return NearestExamples(lambda: answered_questions(self.folder), lambda: self.encoder, self.build / EXAMPLES)

    def answering(
        self,
        graft: Graft,
        template: TemplateFile | None = None,
        *,
        form: AnswerForm | None = None,
        speaker: Speaker | None = None,
        count_tokens: Callable[[str], int] | None = None,
    ) -> Answering:
        """The pipeline from question to answer.

        Args:
            graft: what fills the soft slot.
            template: in place of the domain's own.
            form: in place of the domain's own; sentences without support are then kept.
            speaker, count_tokens: in place of those of the backbone, which then is not loaded.

        Raises:
            UsageError: if graft is `soft` and no soft prompt was kept, or if the task does not answer questions.
            ArtifactError: if the soft prompt belongs to another backbone or is damaged.
        """
        if self.file.text_task is not None:
            raise UsageError(
                found=f"the task of {self.cli_name} is {self.file.task}, which does not answer questions",
                expected="a domain with `task: chat` or `extractive-qa`",
                next_step=f'softgraft ask {self.cli_name} "..."; in Python, domain.work.chain',
            )
        template = template or self.template
        settings = answer_settings(self.file, self.build, form)
        if settings.form == "quote":
            # A quote needs no model, so none is loaded unless a follow-up has to be rewritten or summarised.
            speaker = speaker or DeferredSpeaker(partial(self.speaker, graft, template))
            count_tokens = count_tokens or self.encoder.count_tokens
        speaker = speaker or self.speaker(graft, template)
        return Answering(
            index=self.index,
            template=template,
            condense_template=self.template_file("condense-question"),
            # Not every language has this template, so it is only looked up if it is needed.
            summary_template=self.template_file("summarise-history")
            if self.file.answer.history_overflow == "summarise"
            else None,
            speaker=speaker,
            rewriter=speaker,
            count_tokens=count_tokens or self.count_tokens,
            scale=evidence_scale(self.file, self.build, self.index.encoder.id),
            settings=settings,
            refuses=refusal_check(self.file.refusal, self.encoder, self.build),
            notices=self.notices,
            examples=self.examples.nearest,
            answered_by=answered_by(
                graft, self.file, self.build, self.source if graft == "source" else None, template, self.index
            ),
        )

    def speaker(self, graft: Graft, template: TemplateFile | None = None) -> Speaker:
        """The speaker with one graft; see `make_speaker`."""
        template = template or self.template
        source = self.source if graft == "source" else None
        return make_speaker(graft, self.file, self.build, template, lambda: self.store, self.cli_name, source)

    def chat(self, graft: Graft) -> SoftPromptChat:
        """The local backbone as a chat model with one graft.

        Raises:
            UsageError: if the backbone is behind an API, or graft is `soft` and no soft prompt was kept.
        """
        _ = self.store  # raises UsageError for a backbone behind an API
        speaker = self.speaker(graft)
        assert isinstance(speaker, LocalSpeaker)
        return speaker.chat

    def notices(self) -> list[str]:
        """Notices for the user, for example that the template was edited after training."""
        template, manifest = self.template.current(), None if self.remote else self.manifest
        notices = example_notices(template, self.folder)
        if manifest is not None:
            notices += training_notices(manifest, template, self.file.attention, self.cli_name)
        return notices

    def evaluation_config(self, split: str, items: Sequence[Item]) -> dict[str, Any]:
        """Settings, data, soft prompt and machine of an evaluation, for its report."""
        return {
            "domain": data_without_secrets(self.file.model_dump()),
            "split": split,
            "data_sha256": items_hash(items),
            "soft_prompt": manifest.model_dump() if (manifest := self.manifest) else None,
            "machine": describe_machine(),
        }

    def template_file(self, name: str) -> TemplateFile:
        """A template by name; the domain's own templates come first."""
        return TemplateFile(find_template(name, self.file.language, [self.folder / "templates"]))

    def count_tokens(self, text: str) -> int:
        """Number of tokens of a text: of the backbone's tokenizer if it is local, else of the encoder's."""
        return self.encoder.count_tokens(text) if self.remote else len(self.store.backbone.encode_text(text))

    def forget(self, *names: str) -> None:
        """Drop parts by name, such as `chain`; the next use makes them again."""
        for name in names:
            self.__dict__.pop(name, None)


def answered_questions(folder: Path) -> list[SolvedQuestion]:
    """The answered train questions of a domain, without follow-ups, which make no sense alone; none without a file."""
    items = read_split(folder, "train", read_item_file, cut_dev).items if has_split(folder, "train") else []
    return [
        SolvedQuestion(item.question, item.target, item.group or item.doc_id)
        for item in items
        if item.answerable and item.target and not item.history
    ]
