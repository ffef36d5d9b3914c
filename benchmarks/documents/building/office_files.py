"""The files that only an office program can write: they are committed in `benchmarks/documents/files`.

    python -m benchmarks.documents.building.office_files

It needs LibreOffice with the fonts DejaVu Sans and WenQuanYi Micro Hei.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.documents.building.office_sources import SOURCES

FILES = Path(__file__).resolve().parents[1] / "files"
_MOST_BYTES = 20_000


def main() -> None:
    """Write every source in its formats."""
    program = shutil.which("soffice")
    if program is None:
        raise SystemExit("LibreOffice is not installed. Next: install it, with its program `soffice` on the path")
    FILES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, content, suffix, formats in SOURCES:
            source = Path(folder, name + suffix)
            source.write_text(content, encoding="utf-8")
            for target in formats:
                command = [program, f"-env:UserInstallation=file://{folder}/profile", "--headless"]
                command += ["--convert-to", target[1:], "--outdir", folder, str(source)]
                subprocess.run(command, check=True, capture_output=True, timeout=120)
                written = source.with_suffix(target)
                size = written.stat().st_size
                print(f"{written.name}: {size} bytes", flush=True)
                if size > _MOST_BYTES:
                    raise SystemExit(f"{written.name} has {size} bytes, expected at most {_MOST_BYTES}")
                shutil.copy(written, FILES / written.name)


def office_file(name: str) -> bytes:
    """The bytes of a committed file."""
    return (FILES / name).read_bytes()


if __name__ == "__main__":
    main()
