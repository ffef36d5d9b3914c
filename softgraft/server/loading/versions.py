"""Whether a domain has changed: a comparison of the files whose change needs a new version of it."""

from __future__ import annotations

from pathlib import Path

from retrieval.store.store import DATABASE_NAME
from softgraft.assembly.answer_form import FORM
from softgraft.domain import Domain
from softgraft.settings.domain_file import EVIDENCE, FILE
from softgraft.sources.start import START
from softgraft.training.refusal_fit import REFUSALS
from softgraft.training.retrieval_fit import WEIGHTS

# Name of a file -> size, time of the last change in nanoseconds, and inode.
State = tuple[tuple[str, int, int, int], ...]

# In build/: what training and ingest choose, besides the soft prompt and the index.
_CHOICES = (EVIDENCE, FORM, REFUSALS, START, WEIGHTS)


def domain_state(domain: Domain) -> State:
    """The state of domain.yaml, the fitted settings, the soft prompt and the index, from `stat` alone.

    An open index finds new documents, and an open template is read again when its file changes. So templates are not
    among the files, and of the index only another database file is a new version.
    """
    build = domain.build
    files = [domain.folder / FILE, build / "soft_prompt" / "manifest.json", *(build / name for name in _CHOICES)]
    state = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        state.append((str(file), status.st_size, status.st_mtime_ns, status.st_ino))
    return (*state, *_database(build / "index" / DATABASE_NAME))


def _database(path: Path) -> State:
    try:
        return ((str(path), 0, 0, path.stat().st_ino),)
    except OSError:
        return ()
