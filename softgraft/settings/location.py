"""Where a domain is: a user names it by its path, or by its name under domains/."""

from __future__ import annotations

import difflib
from pathlib import Path

from softgraft.errors import DomainError
from softgraft.settings.domain_file import FILE

DOMAINS = Path("domains")


def domain_folder(name: str) -> Path:
    """The folder of a domain from its path or its name under domains/.

    Raises:
        DomainError: if there is no domain.yaml in either place.
    """
    for folder in (Path(name), DOMAINS / name):
        if (folder / FILE).exists():
            return folder
    known = sorted(file.parent.name for file in DOMAINS.glob(f"*/{FILE}"))
    by_lower = {folder.lower(): folder for folder in known}
    similar = [by_lower[match] for match in difflib.get_close_matches(name.lower(), list(by_lower), n=1)]
    raise DomainError(
        found=f"no domain {name!r}" + (f"; did you mean {similar[0]!r}?" if similar else ""),
        expected=f"a folder with {FILE}, or one of {', '.join(known)} under domains/"
        if known
        else f"a folder with {FILE}; the current folder contains no domains/",
        next_step=(f"use {similar[0]!r}, or " if similar else "")
        + f"create it: softgraft new {Path(name).name} --from FOLDER",
    )


def cli_name(folder: Path) -> str:
    """The shortest name that `domain_folder` accepts for a folder: its name under domains/, or its path."""
    return folder.name if folder.parent == DOMAINS else str(folder)
