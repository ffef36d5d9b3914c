"""The card of a source graft: what it was trained on, and what it scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from retrieval.store.checked_file import read_checked, with_checksum
from soft_prompt.artifact.manifest import read_record
from soft_prompt.files import write_bytes

CARD = "card.json"
# 2: with a checksum.
CARD_FORMAT: Literal[2] = 2
UNKNOWN_LICENCE = "licence unknown"

_Count = Annotated[int, Field(ge=0)]
_Mean = Annotated[float, Field(ge=0, le=1)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceDomain(_Record):
    """One domain that a source was trained on.

    Attributes:
        licence: of its documents and questions; empty if unknown.
        questions, dev_questions: that reached the model; of a large domain, not every train question is in an epoch.
        token_f1, token_f1_text_twin: means on its dev questions, 0 to 1; None without dev questions.
    """

    name: str
    licence: str = ""
    questions: _Count
    dev_questions: _Count = 0
    token_f1: _Mean | None = None
    token_f1_text_twin: _Mean | None = None


class UnseenDomain(_Record):
    """What a source scores on a domain that it was not trained on; token F1 and accuracy are means, 0 to 1."""

    name: str
    split: Literal["dev", "test"]
    questions: _Count
    token_f1: _Mean
    token_f1_text_twin: _Mean
    accuracy: _Mean | None = None
    accuracy_text_twin: _Mean | None = None
    accuracy_quote: _Mean | None = None


class SourceCard(_Record):
    """A source graft.

    Attributes:
        vectors_sha256: of the soft prompt that the card describes.
        made_by: how it was made.
        unseen: its scores on domains that it was not trained on, in the order in which they were measured.
    """

    format_version: Annotated[int, Field(ge=1)] = CARD_FORMAT
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    vectors_sha256: str
    made_by: str = ""
    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    domains: tuple[SourceDomain, ...]
    unseen: tuple[UnseenDomain, ...] = ()

    @property
    def licences(self) -> str:
        """The licences of its domains in one line."""
        return ", ".join(f"{one.name} ({one.licence or UNKNOWN_LICENCE})" for one in self.domains)

    @property
    def gain(self) -> float | None:
        """Mean gain in token F1 over the text twin on unseen domains; None if none was measured."""
        gains = [one.token_f1 - one.token_f1_text_twin for one in self.unseen]
        return sum(gains) / len(gains) if gains else None


def write_card(card: SourceCard, folder: Path) -> None:
    """Write the card into the source's folder with a checksum, atomically."""
    current = card.model_copy(update={"format_version": CARD_FORMAT})
    write_bytes(folder / CARD, with_checksum(current.model_dump_json(indent=1).encode()))


def read_card(folder: Path) -> SourceCard:
    """The card of a source's folder. Cards of format 1 have no checksum.

    Raises:
        ArtifactError: if it cannot be read, or does not match its checksum.
    """
    next_step = f"make the source again, or delete {folder}"
    return read_record(folder / CARD, SourceCard, CARD_FORMAT, next_step, read_checked)
