"""Compares a docs folder with the index: which documents are new, changed, unchanged and removed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from retrieval.conversion.convert import (
    Convert,
    convert_bytes,
    convert_rows,
    converter_of,
    document_id,
    has_rows,
    read_bytes,
    source_name,
)
from retrieval.conversion.converted import Converted
from retrieval.conversion.limits import Limits
from retrieval.conversion.ocr.recognition import Recognition, variant
from retrieval.documents import Document
from retrieval.errors import ConversionError, NoDocumentsError
from retrieval.ingestion.docs_folder import FolderFiles
from retrieval.store.store import StoredDocument

_ROWS_SHOWN = 5


@dataclass
class FolderReader:
    """Reads files one by one and yields the documents that the index lacks or has in another version.

    `splitter` is the splitter with its settings; documents that were split otherwise count as changed. `on_file` is
    called before each file with the number of files read, their total, and the file's name. `stored_unread` are the
    parts that earlier ingests could not read, by file: an unchanged file is not converted again, unless pages that are
    pictures can now be read with `recognition`.
    """

    docs: Path
    files: FolderFiles
    stored: Mapping[str, StoredDocument]
    splitter: str
    convert: Convert
    limits: Limits
    on_file: Callable[[int, int, str], None]
    stored_unread: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    recognition: Recognition | None = None
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    notes: list[tuple[str, str]] = field(default_factory=list)
    unread: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _source_of: dict[str, str] = field(default_factory=dict)

    def documents(self) -> Iterator[Document]:
        """New and changed documents. Raises NoDocumentsError at the end if no file could be read."""
        total = len(self.files.files)
        for number, path in enumerate(self.files.files):
            source = source_name(path, self.docs)
            self.on_file(number, total, source)
            try:
                documents = self._read_file(path, source)
            except ConversionError as error:
                self.files.failed.append((source, str(error)))
                continue
            for document in documents:
                yield document
                if document.id in self.stored:
                    self.changed += 1
                else:
                    self.added += 1
        self.on_file(total, total, "")
        if not self._source_of:
            raise NoDocumentsError(
                found="; ".join(message for _, message in self.files.failed) or f"{self.docs} contains no rows",
                expected=f"at least one readable document in {self.docs}",
                next_step="correct that and ingest again; the index is unchanged",
            )

    def removed(self) -> list[str]:
        """Ids of documents whose file or row no longer exists. Unreadable files and folders keep their documents."""
        unread = {name for name, _ in self.files.failed}
        return [
            document.id
            for document in self.stored.values()
            if document.id not in self._source_of
            and unread.isdisjoint((document.source, *map(str, PurePosixPath(document.source).parents)))
        ]

    def _read_file(self, path: Path, source: str) -> list[Document]:
        data = read_bytes(path, self.docs, self.limits)
        if not has_rows(path):
            # An unchanged file need not be converted.
            id_ = document_id(path, self.docs)
            self._check_id(id_, source)
            digest = hashlib.sha256(data).hexdigest()
            versions = self._current_versions(path, source)
            if any(self._is_stored(StoredDocument(id_, source, digest, one, self.splitter)) for one in versions):
                self._source_of[id_] = source
                self.unchanged += 1
                self._note_unread(source, self.stored_unread.get(source, ()))
                return []
        if has_rows(path):
            documents, notes = convert_rows(data, path, self.docs)
            self.notes += [(source, note) for note in notes]
        else:
            documents = convert_bytes(data, path, self.docs, self._convert)
        if has_rows(path):
            documents = self._within_limits(documents, source)
        for document in documents:
            self._check_id(document.id, source)
            if not has_rows(path):
                self.limits.check_text(document.text, source)
        self._source_of.update((document.id, source) for document in documents)
        changed = [
            one
            for one in documents
            if not self._is_stored(StoredDocument(one.id, source, one.source_digest, one.converter, self.splitter))
        ]
        self.unchanged += len(documents) - len(changed)
        return changed

    def _within_limits(self, documents: list[Document], source: str) -> list[Document]:
        """The rows of a file without those with too much text, which are noted as unread.

        What the index already has of such a row is kept. Raises ConversionError if nothing is left.
        """
        kept: list[Document] = []
        problems: list[ConversionError] = []
        for document in documents:
            try:
                self.limits.check_text(document.text, f"{source}, document {document.id!r}")
            except ConversionError as error:
                problems.append(error)
                if document.id in self.stored:
                    self._source_of[document.id] = source
            else:
                kept.append(document)
        if problems and not kept:
            raise problems[0]
        more = len(problems) - _ROWS_SHOWN
        unread = [*map(str, problems[:_ROWS_SHOWN])] + ([f"and {more} more such rows"] if more > 0 else [])
        self._note_unread(source, tuple(unread))
        return kept

    def _convert(self, data: bytes, suffix: str, source: str) -> Converted:
        converted = self.convert(data, suffix, source)
        self.notes += [(source, note) for note in converted.notes]
        self._note_unread(source, converted.unread)
        return converted

    def _note_unread(self, source: str, parts: tuple[str, ...]) -> None:
        """Note the parts of a file that could not be read."""
        if parts:
            self.unread[source] = parts
            self.notes += [(source, part) for part in parts]

    def _current_versions(self, path: Path, source: str) -> list[str]:
        """The versions of a converter whose documents are up to date."""
        version = converter_of(path)
        if self.recognition is None:
            return [version]
        recognised = [version + variant(), version + variant(self.recognition.pages)]
        return recognised if source in self.stored_unread else [version, version + variant()]

    def _is_stored(self, wanted: StoredDocument) -> bool:
        return self.stored.get(wanted.id) == wanted

    def _check_id(self, doc_id: str, source: str) -> None:
        owner = self._source_of.get(doc_id)
        if owner is not None:
            raise ConversionError(
                found=f"{source} contains a document with the id {doc_id!r}, which {owner} already uses",
                expected="unique ids in a docs folder",
                next_step=f"rename one of them, or remove it from {source}",
            )
