"""A docs folder held against what the index has of it: which documents are new, changed, the same, and gone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from retrieval.conversion.convert import convert_bytes, converter_of, document_id, holds_rows, read_bytes, source_name
from retrieval.conversion.converted import Converted
from retrieval.conversion.limits import Limits
from retrieval.documents import Document
from retrieval.errors import ConversionError, NoDocumentsError
from retrieval.ingestion.docs_folder import FoundFiles
from retrieval.store.store import StoredDocument


class FolderReader:
    """Reads files one by one and hands on the documents that the index has not, or has otherwise.

    Args:
        docs: the folder.
        found: its files.
        stored: what the index holds.
        splitter: the splitter with its settings: passages made with others are stale.
        convert: what converts a file's bytes, suffix and name to text.
        limits: how large a file may be.
        on_file: told before each file how many are done, and its name.
    """

    def __init__(
        self,
        docs: Path,
        found: FoundFiles,
        stored: Iterable[StoredDocument],
        splitter: str,
        convert: Callable[[bytes, str, str], Converted],
        limits: Limits,
        on_file: Callable[[int, str], None],
    ) -> None:
        self.failed: list[tuple[str, str]] = list(found.failed)
        self.unchanged = 0
        self._docs = docs
        self._files = found.files
        self._stored = {document.id: document for document in stored}
        self._splitter = splitter
        self._convert = convert
        self._limits = limits
        self._on_file = on_file
        self._owners: dict[str, str] = {}

    def documents(self) -> Iterator[Document]:
        """New and changed documents. Raises NoDocumentsError at the end where no file could be read at all."""
        for number, path in enumerate(self._files):
            source = source_name(path, self._docs)
            self._on_file(number, source)
            try:
                documents = self._read_file(path, source)
            except ConversionError as error:
                self.failed.append((source, str(error)))
                continue
            yield from documents
        self._on_file(len(self._files), "")
        if not self._owners:
            raise NoDocumentsError(
                found="; ".join(message for _, message in self.failed) or f"{self._docs} holds no rows",
                expected=f"at least one document in {self._docs} that can be read",
                next_step="mend that and ingest again; the index is as it was",
            )

    def knows(self, document_id: str) -> bool:
        """Whether the index holds a document of that id, as it is or otherwise."""
        return document_id in self._stored

    def gone(self) -> list[str]:
        """Ids of documents whose file or row is gone; those of what cannot be read now are not."""
        unread = {name for name, _ in self.failed}
        return [
            document.id
            for document in self._stored.values()
            if document.id not in self._owners
            # A folder that cannot be read keeps what is below it.
            and unread.isdisjoint((document.source, *map(str, PurePosixPath(document.source).parents)))
        ]

    def _read_file(self, path: Path, source: str) -> list[Document]:
        data = read_bytes(path, self._docs, self._limits)
        if not holds_rows(path):
            name = document_id(path, self._docs)
            self._check_id(name, source)
            digest = hashlib.sha256(data).hexdigest()
            if self._is_stored(StoredDocument(name, source, digest, converter_of(path), self._splitter)):
                self._owners[name] = source
                self.unchanged += 1
                return []
        documents = convert_bytes(data, path, self._docs, self._convert)
        for document in documents:
            self._check_id(document.id, source)
        self._owners.update((document.id, source) for document in documents)
        wanted = [document for document in documents if not self._is_stored(self._as_stored(document))]
        self.unchanged += len(documents) - len(wanted)
        return wanted

    def _as_stored(self, document: Document) -> StoredDocument:
        return StoredDocument(document.id, document.source, document.source_digest, document.converter, self._splitter)

    def _is_stored(self, wanted: StoredDocument) -> bool:
        """Whether what is stored was made of the same bytes in the same way."""
        return self._stored.get(wanted.id) == wanted

    def _check_id(self, name: str, source: str) -> None:
        owner = self._owners.get(name)
        if owner is not None:
            raise ConversionError(
                found=f"{source} holds a document with the id {name!r}, which {owner} has already",
                expected="ids that stand once in a docs folder",
                next_step=f"rename one of them, or take it out of {source}",
            )
