"""Resident memory of a process that answers with several domains, with shared and with separate models.

    python -m benchmarks.speed.domain_memory --domains 1,2,5

Every domain has a few documents of the example domain `bank`, is asked one question, and stays open. `separate` loads a
backbone and an encoder for each domain, as before they were shared. Each figure is from a process of its own.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import script

PACKAGES = ("torch", "transformers", "sentence-transformers", "softgraft")
SYSTEMS = ("separate", "shared")
QUESTION = {"question": "How long do I have to dispute a card payment?"}
DOCUMENTS = 3


def main() -> None:
    """Measure all numbers of domains and print a table."""
    parser = script.make_parser(__doc__)
    parser.add_argument("--domains", type=script.positives, default=[1, 2, 5], help="numbers of domains, such as 2,5")
    options = parser.parse_args()
    head = script.results_head({"domains": options.domains, "documents": DOCUMENTS}, PACKAGES)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        domains = [make_domain(Path(folder), number) for number in range(max(options.domains))]
        for count in options.domains:
            for system in SYSTEMS:
                measured = script.in_own_process(measure, domains[:count], system)
                rows.append({"system": system, "domains": count, **measured})
                mib = measured["anonymous"] / 2**20
                print(f"{system:<10} {count} domains: {mib:8,.0f} MiB, {measured['seconds']:.1f} s", flush=True)
    out = script.results_path(options.out, "domain_memory", head["hardware"])
    script.write_results(out, {"benchmark": "domain_memory", "finished": script.utc_now(), **head, "rows": rows})


def make_domain(folder: Path, number: int) -> Path:
    """A small domain with an index; it is made in a process of its own, which leaves no memory behind."""
    target = folder / f"domain{number}"
    source = script.ROOT / "domains" / "bank"
    (target / "docs").mkdir(parents=True)
    for document in sorted((source / "docs").iterdir())[:DOCUMENTS]:
        shutil.copy(document, target / "docs")
    (target / "domain.yaml").write_text(f"name: domain{number}\ntitle: Domain {number}\n", encoding="utf-8")
    script.in_own_process(ingest, target)
    return target


def ingest(folder: Path) -> None:
    """Index a domain."""
    from softgraft import open_domain

    domain = open_domain(folder)
    domain.ingest()
    domain.close()


def measure(folders: list[Path], system: str) -> dict[str, Any]:
    """Memory in bytes after every domain has answered once, and the seconds until then; imports are not counted."""
    from benchmarks.machine import resident_bytes
    from retrieval import load_encoder
    from soft_prompt import Backbone, PrefixStore
    from softgraft import open_domain

    before = resident_bytes()
    started = time.perf_counter()
    domains = [open_domain(folder) for folder in folders]
    for domain in domains:
        if system == "separate":
            domain.encoder = load_encoder(domain.file.encoder)
            domain.store = PrefixStore(
                Backbone.load(domain.file.backbone),
                memory_bytes=domain.file.cache.memory_mib * 2**20,
                conversation_bytes=domain.file.cache.conversation_mib * 2**20,
            )
        domain.chain.invoke(QUESTION)
    seconds = time.perf_counter() - started
    models = {id(domain.store.backbone.model) for domain in domains}
    after = resident_bytes()
    return {**after, "seconds": seconds, "backbones": len(models), "at_start": before["resident"]}


if __name__ == "__main__":
    main()
