"""Makes the domains that `serving.py` serves, and finds the folder of the embedded backbone."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from benchmarks.speed.serve.texts import TOWNS, documents, domain_name

# Each domain applies another share of the starter's change, which makes it another soft prompt and adapter.
_WEAKEST = 0.6


def make_domains(work: Path, dtype: str) -> list[Path]:
    """Write and ingest the domains that are missing in `work`, and return their folders."""
    from softgraft import open_domain

    folders = []
    for number in range(len(TOWNS)):
        folder = work / domain_name(number)
        settings = _settings(number, dtype)
        files = {"domain.yaml": json.dumps(settings, indent=1)}
        files |= {f"docs/{name}": text for name, text in documents(number).items()}
        digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()
        done = folder / "made.txt"
        if not done.is_file() or done.read_text(encoding="utf-8") != digest:
            shutil.rmtree(folder, ignore_errors=True)
            for name, text in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text, encoding="utf-8")
            domain = open_domain(folder)
            domain.ingest()
            domain.close()
            done.write_text(digest, encoding="utf-8")
        folders.append(folder)
    return folders


def embedded_folder() -> str:
    """The folder with the weights of the embedded backbone, for other systems."""
    from soft_prompt import Backbone
    from soft_prompt.model.weights import EMBEDDED, backbone_folder

    # Unpacks the weights if nobody has done so.
    Backbone.load()
    return str(backbone_folder(EMBEDDED))


def _settings(number: int, dtype: str) -> dict[str, Any]:
    strength = _WEAKEST + (1 - _WEAKEST) * number / (len(TOWNS) - 1)
    return {
        "name": domain_name(number),
        "title": f"The town of {TOWNS[number]}",
        "backbone": "embedded",
        "dtype": dtype,
        "start": "starter",
        # The model's own words, as they come.
        "answer": {"form": "generate", "unsupported": "keep", "strength": round(strength, 3)},
    }
