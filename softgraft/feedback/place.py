"""What reading and accepting feedback needs of a domain. None of it loads a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from chains import Conversations
from softgraft.settings.domain_file import MEMORY, DomainFile, read_domain_file


class FeedbackDomain(Protocol):
    """A domain with its folder, settings and conversations; a `Domain` is one."""

    @property
    def folder(self) -> Path: ...
    @property
    def build(self) -> Path: ...
    @property
    def file(self) -> DomainFile: ...
    @property
    def conversations(self) -> Conversations: ...


@dataclass(frozen=True)
class StoredDomain:
    """A domain as its files: what a `Domain` would be without its models."""

    folder: Path
    build: Path
    file: DomainFile
    conversations: Conversations


def stored_domain(folder: Path) -> StoredDomain:
    """The domain in a folder.

    Raises:
        DomainError: if there is no such domain, or its domain.yaml has problems.
    """
    build = folder / "build"
    return StoredDomain(folder, build, read_domain_file(folder), Conversations(build / MEMORY))
