"""Keys of callers: a file with one salted hash per line, and the domains that each key allows.

A key has 256 random bits, so a fast hash is as good as a slow one: nobody can try that many.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from filelock import FileLock
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, ValidationError

from prompts.regular_file import read_regular
from soft_prompt.files import write_bytes
from soft_prompt.private_files import private_file, private_folder
from softgraft.errors import StorageError, UsageError
from softgraft.server.callers import Caller

_PREFIX = "sg-"
_CHECK_SECONDS = 1.0
# Some ten thousand keys.
_MAX_BYTES = 4 * 1024 * 1024


class StoredKey(BaseModel):
    """One line of the file.

    Attributes:
        domains: the domains that the key allows; None for all.
        salt, hash: in the file as base64; the hash is BLAKE2b of salt and key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    domains: tuple[str, ...] | None
    salt: Annotated[Base64Bytes, Field(min_length=16, max_length=16)]
    hash: Annotated[Base64Bytes, Field(min_length=32, max_length=32)]
    created: str = ""


def new_key(path: Path, name: str, domains: Sequence[str]) -> str:
    """Make a key, append its hash to the file, and return the key, which is stored nowhere.

    The file is created with mode 0600, and an existing one is closed to other users. Without `domains` the key allows
    all.

    Raises:
        UsageError: if the name is taken or invalid.
        StorageError: if the file cannot be read or is not a file of keys; it is not touched then.
    """
    key = _PREFIX + secrets.token_urlsafe(32)
    salt = secrets.token_bytes(16)
    try:
        stored = StoredKey(
            name=name,
            domains=tuple(domains) or None,
            salt=base64.b64encode(salt),
            hash=base64.b64encode(_digest(salt, key)),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
    except ValidationError as error:
        raise UsageError(
            found=f"the name {name!r} for a key",
            expected="up to 64 letters, digits, `-`, `_` and `.`",
            next_step="choose another name",
        ) from error
    if path.is_dir():
        raise _unreadable(path, "it is a folder")
    private_folder(path.parent)
    lock = path.with_name(f".{path.name}.lock")
    with FileLock(lock, mode=0o600, timeout=10):
        before = _content(path) if os.path.lexists(path) else b""
        if any(one.name == name for one in _keys(path, before)):
            raise UsageError(
                found=f"a key with the name {name!r} in {path}",
                expected="a name that is not taken",
                next_step="choose another name, or delete that line to revoke the key",
            )
        private_file(path)
        separator = b"" if not before or before.endswith(b"\n") else b"\n"
        write_bytes(path, before + separator + stored.model_dump_json().encode() + b"\n")
    return key


def read_keys(path: Path) -> list[StoredKey]:
    """The keys of a file. Blank lines and lines that begin with `#` are skipped.

    Raises:
        StorageError: if the file cannot be read or a line is not a key.
    """
    return _keys(path, _content(path))


class KeyFile:
    """Finds the holder of a key. The file is read again when it changes, so deleting a line revokes a key.

    While the file cannot be read, no key is valid.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._checked = 0.0
        self._state: tuple[int, int, int] | None = None
        self._keys: list[tuple[Caller, bytes, bytes]] = []

    def caller(self, key: str) -> Caller | None:
        """The holder of a key; None if it is unknown. Takes the same time for every key.

        Raises:
            StorageError: if the file cannot be read.
        """
        found = None
        for caller, salt, digest in self._current():
            # Without leaving early: the time would tell how far the search got.
            if hmac.compare_digest(_digest(salt, key), digest):
                found = caller
        return found

    def _current(self) -> list[tuple[Caller, bytes, bytes]]:
        with self._guard:
            if time.monotonic() - self._checked < _CHECK_SECONDS:
                return self._keys
            try:
                status = self._path.stat()
            except OSError as error:
                self._keys, self._state = [], None
                raise _unreadable(self._path, error.strerror or str(error)) from error
            state = (status.st_mtime_ns, status.st_size, status.st_ino)
            if state != self._state:
                self._keys, self._state = [], None
                self._keys = [
                    (
                        Caller(key.name, None if key.domains is None else frozenset(key.domains)),
                        key.salt,
                        key.hash,
                    )
                    for key in read_keys(self._path)
                ]
                self._state = state
            self._checked = time.monotonic()
            return self._keys


def _content(path: Path) -> bytes:
    try:
        content = read_regular(path, _MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    if len(content) > _MAX_BYTES:
        raise _unreadable(path, f"it has more than {_MAX_BYTES:,} bytes")
    return content


def _keys(path: Path, content: bytes) -> list[StoredKey]:
    keys = []
    # A name may contain what `splitlines` takes for the end of a line.
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        try:
            keys.append(StoredKey.model_validate_json(line))
        except ValidationError as error:
            raise _unreadable(path, f"line {number} is not a key") from error
    return keys


def _digest(salt: bytes, key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), salt=salt, digest_size=32).digest()


def _unreadable(path: Path, reason: str) -> StorageError:
    return StorageError(
        found=f"the keys in {path} cannot be read: {reason}",
        expected="a file that `softgraft serve --new-key` wrote",
        next_step="correct it, or make another file: softgraft serve --new-key NAME --keys FILE",
    )
