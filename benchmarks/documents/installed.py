"""What a reader's packages take on disk, with everything that they require."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import metadata


def installed(requirements: Iterable[str]) -> tuple[dict[str, str], int]:
    """The versions and the bytes of the required packages. Raises PackageNotFoundError if one is not installed."""
    versions: dict[str, str] = {}
    total = 0
    todo = [*requirements]
    seen: set[str] = set()
    while todo:
        wanted = todo.pop()
        if wanted in seen:
            continue
        seen.add(wanted)
        name, extras = _parts(wanted)
        package = metadata.distribution(name)
        key = re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()
        if key not in versions:
            versions[key] = package.version
            total += sum(_size(file) for file in package.files or () if file.suffix != ".pyc")
        todo += _needed(package.requires or (), extras)
    return versions, total


def _parts(requirement: str) -> tuple[str, list[str]]:
    found = re.match(r"([\w.-]+)(?:\[([\w.,\s-]*)\])?", requirement)
    assert found is not None
    return found[1], [extra.strip() for extra in (found[2] or "").split(",") if extra.strip()]


def _needed(requirements: Iterable[str], extras: list[str]) -> Iterator[str]:
    """The requirements that hold on this system. One whose package is missing was not needed."""
    from packaging.requirements import Requirement

    for text in requirements:
        one = Requirement(text)
        if one.marker is not None and not any(one.marker.evaluate({"extra": extra}) for extra in ["", *extras]):
            continue
        if any(True for _ in metadata.Distribution.discover(name=one.name)):
            yield f"{one.name}[{','.join(sorted(one.extras))}]" if one.extras else one.name


def _size(file: metadata.PackagePath) -> int:
    path = file.locate()
    try:
        return int(path.stat().st_size)  # type: ignore[attr-defined]
    except OSError:
        return 0
