"""Small JSON files with a checksum: what an ingest or a training decided, and answers depend on.

The checksum is the last entry of the object, and covers every byte before it. A changed byte after it breaks the form
of the ending, so the entry stays in the object, whose schema must therefore refuse unknown keys. Files of earlier
releases have no checksum and are read as they are.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from retrieval.regular_files import open_regular

# Far above what these files hold.
MAX_BYTES = 16 * 1024 * 1024
_END = re.compile(rb',\n "checksum": "([0-9a-f]{64})"\n\}\n\Z')


class DamagedFileError(ValueError):
    """A file is not what was written."""


def with_checksum(content: bytes) -> bytes:
    """A JSON object of at least one entry, with its checksum as the last one."""
    before = content.rstrip().removesuffix(b"}").rstrip()
    return before + b',\n "checksum": "' + hashlib.sha256(before).hexdigest().encode() + b'"\n}\n'


def read_checked(path: Path) -> bytes:
    """The JSON object of a file, without its checksum.

    Raises:
        OSError: if the file cannot be read.
        DamagedFileError: if its bytes do not match its checksum, or are too many.
    """
    with open_regular(path) as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise DamagedFileError(f"it is larger than {MAX_BYTES // 2**20} MiB")
    end = _END.search(content)
    if end is None:
        return content
    before = content[: end.start()]
    if hashlib.sha256(before).hexdigest().encode() != end[1]:
        raise DamagedFileError("it does not match its checksum")
    return before + b"\n}"
