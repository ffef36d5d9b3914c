"""Reading files that a user names: a pipe would block its reader, and a device may never end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_regular(path: Path, limit: int) -> bytes:
    """At most the first `limit` bytes of a file.

    Raises:
        OSError: if it cannot be read, or is a pipe, a device, a socket or a folder.
    """
    # Without waiting for the other end of a pipe.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return file.read(limit)
