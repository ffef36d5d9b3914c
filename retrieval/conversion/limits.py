"""Limits for the conversion of one file, and for the text of one document."""

from __future__ import annotations

from dataclasses import dataclass, fields

from retrieval.errors import ConversionError

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for one file. A file that exceeds them is reported and skipped.

    Attributes:
        file_mib: size of a file with one document, and of the text of a document.
        rows_mib: size of a file with one document per row.
        lines: lines of a document; its structure takes memory for each.
        seconds: time to convert a file.
        memory_mib: memory to convert a file, on systems that can limit it.
    """

    file_mib: int = 64
    rows_mib: int = 512
    lines: int = 1_000_000
    seconds: float = 60.0
    memory_mib: int = 2048

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a limit above 0")

    def check_text(self, text: str, name: str) -> None:
        """Raises ConversionError, with the name of the document, for a text that is too large to be split."""
        size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        lines = text.count("\n") + 1
        if size > self.file_mib * _MIB:
            found, expected, setting = f"{size / _MIB:,.1f} MiB of text", f"{self.file_mib} MiB", "file_mib"
        elif lines > self.lines:
            found, expected, setting = f"{lines:,} lines", f"{self.lines:,} lines", "lines"
        else:
            return
        raise ConversionError(
            found=f"{name} contains {found}",
            expected=f"at most {expected}",
            next_step=f"split {name}, or raise `{setting}` under `ingest:` in domain.yaml",
        )


DEFAULT_LIMITS = Limits()
