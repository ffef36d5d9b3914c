"""What is kept of a finished training of a source until all is measured, so that only the measuring is repeated."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from retrieval.store.checked_file import DamagedFileError, read_checked, with_checksum
from soft_prompt import read_manifest
from soft_prompt.errors import ArtifactError
from soft_prompt.files import write_bytes
from softgraft.sources.card import SourceCard
from softgraft.sources.shelf import SOFT_PROMPT
from softgraft.training.task import TrainReport

# In the source's folder, while the unseen domains are measured.
FINISHED = "finished.json"


class FinishedTraining(BaseModel):
    """A training that has ended; `run` identifies everything that its result depends on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    card: SourceCard
    report: TrainReport


def keep_finished(finished: FinishedTraining, folder: Path) -> None:
    """Write it into the source's folder with a checksum, atomically."""
    write_bytes(folder / FINISHED, with_checksum(finished.model_dump_json(indent=1).encode()))


def read_finished(folder: Path, run: str) -> FinishedTraining | None:
    """The finished training of this run whose soft prompt is the one in the folder.

    None if there is none. A damaged file counts as none: training again gives the same result, only later.
    """
    try:
        finished = FinishedTraining.model_validate_json(read_checked(folder / FINISHED))
        manifest = read_manifest(folder / SOFT_PROMPT)
    except (OSError, DamagedFileError, ValidationError, ArtifactError):
        return None
    same = manifest is not None and manifest.vectors_sha256 == finished.card.vectors_sha256
    return finished if same and finished.run == run else None


def forget_finished(folder: Path) -> None:
    """Delete it, since all is measured."""
    (folder / FINISHED).unlink(missing_ok=True)
