"""Limits for the conversion of one file."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for one file. A file that exceeds them is reported and skipped.

    Attributes:
        file_mib: size of a file with one document, and of its text.
        rows_mib: size of a file with one document per row.
        seconds: time to convert a file.
        memory_mib: memory to convert a file, on systems that can limit it.
    """

    file_mib: int = 64
    rows_mib: int = 512
    seconds: float = 60.0
    memory_mib: int = 2048

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a limit above 0")


DEFAULT_LIMITS = Limits()
