"""From what a person types to a domain: a path, or a name under domains/."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from softgraft.errors import DomainError
from softgraft.settings.domain_file import FILE

if TYPE_CHECKING:
    pass

DOMAINS = Path("domains")


def domain_folder(name: str) -> Path:
    """The folder of a domain.

    Raises:
        DomainError: neither a path nor a name under domains/ has a domain.yaml.
    """
    for folder in (Path(name), DOMAINS / name):
        if (folder / FILE).is_file():
            return folder
    known = sorted(file.parent.name for file in DOMAINS.glob(f"*/{FILE}"))
    raise DomainError(
        found=f"no domain {name!r}",
        expected=f"a folder with {FILE}, or one of {', '.join(known)} under domains/"
        if known
        else f"a folder with {FILE}; there is no domains/ folder here, so run this where it is, or give a path",
        next_step=f"make one: softgraft new {Path(name).name} --from FOLDER",
    )
