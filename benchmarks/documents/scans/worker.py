"""One engine in its own process: `python -m benchmarks.documents.scans.worker ENGINE FOLDER OUT`.

It reads the pages of the folder, laid out as Softgraft lays out a page, and writes a line of JSON per page: its text
and seconds of processor time. The first line describes the packages, and the last one the memory and whether the engine
asked for the network, which is refused.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.documents.installed import installed
from benchmarks.documents.scans.engines import Recognise, engine_named
from benchmarks.documents.worker import NOT_INSTALLED, RefusedNetwork
from benchmarks.machine import peak_resident_bytes
from retrieval.conversion.ocr.format_image import regions_of
from retrieval.conversion.ocr.placing import words_of
from retrieval.conversion.pdf_layout import lay_out


def main() -> None:
    """Read the pages."""
    from PIL import Image

    engine, folder, out = engine_named(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    try:
        versions, size = installed(engine.requirements)
    except metadata.PackageNotFoundError:
        raise SystemExit(NOT_INSTALLED) from None
    network = RefusedNetwork()
    lines: list[dict[str, Any]] = [{"versions": versions, "bytes": size}]
    read = engine.load()
    pages = json.loads((folder / "pages.json").read_text("utf-8"))
    for number, page in enumerate(pages):
        if page["language"] != "English" and not engine.chinese:
            continue
        with Image.open(folder / f"{number}.png") as image:
            image.load()
        if len(lines) == 1:
            # The first page loads what the engine loads late.
            _text(read, image, page["dpi"])
        started = time.process_time()
        text = _text(read, image, page["dpi"])
        lines.append({"page": page["name"], "text": text, "seconds": time.process_time() - started})
    lines.append({"peak": peak_resident_bytes(), "network": network.wanted})
    out.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def _text(read: Recognise, image: Any, dpi: int) -> str:
    found = read(image, dpi)
    return lay_out([regions_of(words_of(found, 72 / dpi))]).text


if __name__ == "__main__":
    main()
