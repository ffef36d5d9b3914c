"""Adding questions to train.jsonl: one writer at a time, and never a half line, which would stop every command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from soft_prompt.files import write_bytes
from soft_prompt.private_files import private_folder

_LOCK = "train-questions.lock"


@contextmanager
def adding_rows(build: Path) -> Iterator[None]:
    """Within this context no other process adds rows to the domain's train.jsonl.

    Args:
        build: the domain's folder of generated files; created if it is missing.
    """
    private_folder(build)
    with FileLock(build / _LOCK, mode=0o600):
        yield


def append_rows(path: Path, lines: Sequence[str]) -> None:
    """Add lines to a JSONL file in one step: a kill leaves the old file or the new one. Call it in `adding_rows`.

    Raises:
        OSError: if the file cannot be written; it is as before then.
    """
    content = path.read_bytes() if path.is_file() else b""
    separator = b"\n" if content and not content.endswith(b"\n") else b""
    write_bytes(path, content + separator + "".join(f"{line}\n" for line in lines).encode())
