"""One reader in its own process: `python -m benchmarks.documents.worker READER FOLDER OUT REPEATS`.

It reads every file of the folder, and writes a line of JSON per file: text or error, seconds, and whether the reader
asked for the network, which is refused. Files that OUT already names are left out, so that a reader that crashes can be
started again. The first line describes the packages, the last one the memory. This module imports nothing that another
environment may lack.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import socket
import sys
import time
import warnings
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from benchmarks.documents.adapters import ADAPTERS
from benchmarks.documents.installed import installed
from benchmarks.documents.reader_list import OURS, reader_named
from benchmarks.machine import peak_resident_bytes, resident_bytes

# The exit code if the reader is not installed here.
NOT_INSTALLED = 3


class RefusedNetwork:
    """Refuses connections, and remembers that one was wanted."""

    def __init__(self) -> None:
        self.wanted = False
        socket.socket.connect = self._refuse  # type: ignore[method-assign]
        socket.getaddrinfo = self._refuse

    def _refuse(self, *_: object, **__: object) -> Any:
        self.wanted = True
        raise OSError("this benchmark has no network")


def main() -> None:
    """Read the files."""
    name, folder, out, repeats = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    reader = reader_named(name)
    try:
        versions, size = installed(reader.requirements)
    except metadata.PackageNotFoundError:
        raise SystemExit(NOT_INSTALLED) from None
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    done = {json.loads(line).get("file") for line in out.read_text("utf-8").splitlines()} if out.is_file() else set()
    suffixes = _own_suffixes() if name == OURS else reader.suffixes
    todo = [path for path in sorted(folder.iterdir()) if path.suffix in suffixes]
    network = RefusedNetwork()
    read = ADAPTERS[name]
    with out.open("a", encoding="utf-8") as file:
        if not done:
            _write(file, {"versions": versions, "bytes": size, "files": [path.name for path in todo]})
            # The first document loads the library: it is read once more, and not timed.
            for suffix in sorted(suffixes):
                first = next((path for path in todo if path.suffix == suffix), None)
                if first is not None:
                    with contextlib.suppress(Exception):
                        _timed(read, first)
        for path in todo:
            if path.name not in done:
                _write(file, {"file": path.name, **_row(read, path, repeats)})
        memory = {"peak": peak_resident_bytes(), "resident": resident_bytes().get("resident")}
        _write(file, {"memory": memory, "network": network.wanted})


def _own_suffixes() -> tuple[str, ...]:
    return tuple(import_module("retrieval.conversion.convert").SUFFIXES)


def _row(read: Any, path: Path, repeats: int) -> dict[str, Any]:
    try:
        timed = [_timed(read, path) for _ in range(repeats)]
    except Exception as error:  # noqa: BLE001 -- a reader may fail in any way, and that is a result
        return {"error": f"{type(error).__name__}: {error}"[:300]}
    return {"text": timed[0][0], "seconds": min(seconds for _, seconds in timed)}


def _timed(read: Any, path: Path) -> tuple[str, float]:
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        text = read(path)
    return text, time.perf_counter() - started


def _write(file: Any, row: dict[str, Any]) -> None:
    file.write(json.dumps(row) + "\n")
    file.flush()


if __name__ == "__main__":
    main()
