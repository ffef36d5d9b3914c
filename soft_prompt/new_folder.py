"""A folder that appears whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soft_prompt.errors import ArtifactError


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A scratch folder beside `folder`, which takes its name once everything in it is written.

    Args:
        folder: what it will be called; it does not exist yet, or is empty.

    Raises:
        ArtifactError: something stands there already, or it cannot be written; then nothing is left behind.
    """
    scratch = None
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ArtifactError(
                found=f"{folder} exists and is not an empty folder",
                expected="a folder that does not exist yet, since nothing is ever written over",
                next_step="choose another folder with --out, or move that one away",
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        scratch.chmod(0o755)
        yield scratch
        scratch.rename(folder)
    except OSError as error:
        raise ArtifactError(
            found=f"{folder} cannot be written: {error}",
            expected="a folder you may write, on a disk with room",
            next_step="choose another folder with --out, or free some space",
        ) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
