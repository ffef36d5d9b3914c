"""The parts that a domain is made of: its settings, files, models and index. Each loads on first use."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from chains import Answering
from chains.answering.examples import NearestExamples
from evaluation import items_hash
from evaluation.hardware import describe_machine
from evaluation.items import Item
from prompts import TemplateFile, find_template
from retrieval import Encoder, Index, load_encoder, load_reranker, open_index
from soft_prompt import Manifest, PrefixStore, read_manifest
from softgraft.assembly.answers import Graft, answer_settings, is_remote, make_speaker
from softgraft.assembly.examples import nearest_examples
from softgraft.assembly.notices import example_notices, training_notices
from softgraft.assembly.passage_cache import open_store
from softgraft.errors import UsageError
from softgraft.settings.domain_file import DomainFile
from softgraft.settings.workplace import DOMAINS
from softgraft.training.retrieval_fit import evidence_scale


class DomainParts:
    """What a domain is made of.

    Attributes:
        folder: the domain's folder.
        file: its domain.yaml.
        build: where everything generated goes: index, soft prompt, memory, reports.
    """

    def __init__(self, folder: Path, file: DomainFile, build: Path) -> None:
        self.folder = folder
        self.file = file
        self.build = build

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.file.name!r}, backbone={self.file.backbone!r})"

    @property
    def typed(self) -> str:
        """What a person types for this domain: its name under domains/, or its path."""
        return self.folder.name if self.folder.parent == DOMAINS else str(self.folder)

    @property
    def remote(self) -> bool:
        """Whether the backbone is behind an API and takes no vectors."""
        return is_remote(self.file)

    @property
    def docs(self) -> Path:
        """The folder of its documents."""
        return self.folder / "docs"

    @cached_property
    def encoder(self) -> Encoder:
        """The sentence encoder of the index."""
        return load_encoder(self.file.encoder)

    @cached_property
    def index(self) -> Index:
        """The domain's passages.

        Raises:
            NotIngestedError: nothing was ingested yet.
            RerankerError: the reranker of domain.yaml does not load.
        """
        name = self.file.retrieval.reranker
        return open_index(self.build / "index", self.encoder, load_reranker(name) if name else None)

    @cached_property
    def store(self) -> PrefixStore:
        """The backbone, with the keys and values that were computed so far.

        Raises:
            UsageError: the backbone is behind an API.
            BackboneError: it does not load.
        """
        if self.remote:
            raise UsageError(
                found=f"the backbone {self.file.backbone!r} is behind an API and takes no vectors",
                expected="a local backbone, such as `embedded` or a Hugging Face model id",
                next_step="set `backbone: embedded` in domain.yaml; answering works with the text twin as it is",
            )
        return open_store(self.file, self.build)

    @property
    def manifest(self) -> Manifest | None:
        """Of the trained soft prompt, or None where none was kept."""
        return read_manifest(self.build / "soft_prompt")

    @cached_property
    def template(self) -> TemplateFile:
        """The template of the answers, followed as its file changes."""
        return self.template_file(self.file.template)

    @cached_property
    def examples(self) -> NearestExamples:
        """Worked examples for a template that chooses some, from train.jsonl."""
        return nearest_examples(self.folder, self.build, lambda: self.encoder)

    def answering(self, graft: Graft, template: TemplateFile | None = None) -> Answering:
        """Everything an answer needs, with the soft slot filled in one way.

        Raises:
            UsageError: `soft` where no soft prompt was kept.
            UsageError: the domain's task is no conversation.
            ArtifactError: the soft prompt belongs to another backbone, or is damaged.
        """
        if self.file.text_task is not None:
            raise UsageError(
                found=f"the task of {self.typed} is {self.file.task}, which holds no conversation",
                expected="a text to work on",
                next_step=f'softgraft ask {self.typed} "..."; in Python, domain.work.chain',
            )
        template = template or self.template
        speaker = make_speaker(graft, self.file, self.build, template, lambda: self.store, self.typed)
        return Answering(
            index=self.index,
            template=template,
            condense_template=self.template_file("condense-question"),
            # Looked for where it is used alone: a domain may be in a language that has none.
            summary_template=self.template_file("summarise-history")
            if self.file.answer.history_overflow == "summarise"
            else None,
            speaker=speaker,
            rewriter=speaker,
            count_tokens=self.count_tokens,
            scale=evidence_scale(self.file, self.build),
            settings=answer_settings(self.file, self.build),
            notices=self.notices,
            examples=self.examples.nearest,
        )

    def notices(self) -> list[str]:
        """What a caller should know: a template that was edited after training, say."""
        template, manifest = self.template.current(), None if self.remote else self.manifest
        found = example_notices(template, self.folder)
        if manifest is not None:
            found += training_notices(manifest, template, self.file.attention, self.typed)
        return found

    def evaluated(self, split: str, items: Sequence[Item]) -> dict[str, Any]:
        """What an evaluation was made on, as its report records it."""
        return {
            "domain": self.file.model_dump(),
            "split": split,
            "data_sha256": items_hash(items),
            "soft_prompt": manifest.model_dump() if (manifest := self.manifest) else None,
            "machine": describe_machine(),
        }

    def template_file(self, name: str) -> TemplateFile:
        """A template by name, from the domain's own folder first. Raises TemplateError if there is none."""
        return TemplateFile(find_template(name, self.file.language, [self.folder / "templates"]))

    def count_tokens(self, text: str) -> int:
        """Tokens of a text in the backbone's own tokenizer; the encoder's where the backbone is remote."""
        return self.encoder.count_tokens(text) if self.remote else len(self.store.backbone.encode_text(text))

    def forget(self, *names: str) -> None:
        """Let go of parts by name, such as `chain`, so that they are made anew when they are next needed."""
        for name in names:
            self.__dict__.pop(name, None)
