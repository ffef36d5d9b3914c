"""How much one file may take."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for a single file; one beyond them is reported and passed over.

    `file_mib` is the size of a file that is one document, and of the text in it; `rows_mib` that of one with a document
    a row. Converting a file may take `seconds` and, on systems that can hold a process to it, `memory_mib`.
    """

    file_mib: int = 64
    rows_mib: int = 512
    seconds: float = 60.0
    memory_mib: int = 2048

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; a limit is above 0")


DEFAULT_LIMITS = Limits()
