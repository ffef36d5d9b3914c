"""What an index is bound to: its vectors to one encoder, its documents to one way of coming and going."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retrieval.errors import IndexMismatchError

Content = Literal["documents", "records"]


@dataclass(frozen=True, slots=True)
class Binding:
    """The encoder of the vectors, their dimension, and what they are vectors of.

    An ingest removes every document whose file it doesn't find, so records never stand among documents.
    """

    encoder_id: str
    dimension: int
    content: Content = "documents"

    def refusal(self, wanted: Binding, folder: Path) -> IndexMismatchError:
        """The error for an index in `folder`, bound in this way, that was opened for another."""
        if self.content != wanted.content:
            return _other_content(self.content, folder)
        if self.content == "documents":
            next_step = f"delete the folder {folder} and run: softgraft ingest DOMAIN"
        else:
            next_step = "use the embeddings that it was made by, or choose another folder; nothing was changed"
        return IndexMismatchError(
            found=f"the index was made by the encoder {self.encoder_id} (dimension {self.dimension})",
            expected=f"the encoder {wanted.encoder_id} (dimension {wanted.dimension})",
            next_step=next_step,
        )


def _other_content(found: Content, folder: Path) -> IndexMismatchError:
    if found == "records":
        return IndexMismatchError(
            found=f"the index in {folder} holds records that a program added",
            expected="documents of an ingest, which would remove those records",
            next_step="choose another folder for the documents; nothing was changed",
        )
    return IndexMismatchError(
        found=f"the index in {folder} holds the documents of an ingest, and changes come from their files",
        expected="an index of records, or an empty folder",
        next_step="put the text among the documents and run: softgraft ingest DOMAIN; or choose another folder",
    )
