"""Resident memory of a process with several domains, with shared and with separate models.

    python -m benchmarks.speed.domain_memory --domains 1,2,5

Every domain loads its backbone and its encoder, encodes a question with both, and stays open. `separate` loads a
backbone and an encoder for each domain, as before they were shared. Each figure is from a process of its own.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import script

PACKAGES = ("torch", "transformers", "sentence-transformers", "softgraft")
SYSTEMS = ("separate", "shared")
QUESTION = "How long do I have to dispute a card payment?"


def main() -> None:
    """Measure all numbers of domains and print a table."""
    parser = script.make_parser(__doc__)
    parser.add_argument("--domains", type=script.positives, default=[1, 2, 5], help="numbers of domains, such as 2,5")
    options = parser.parse_args()
    head = script.results_head({"domains": options.domains}, PACKAGES)
    out = script.results_path(options.out, "domain_memory", head["hardware"])
    rows = []
    for count in options.domains:
        for system in SYSTEMS:
            measured = script.in_own_process(measure, count, system)
            rows.append({"system": system, "domains": count, **measured})
            mib = {name: measured[name] / 2**20 for name in ("resident", "anonymous")}
            print(f"{system:<10} {count}: {mib['resident']:,.0f} MiB, anonymous {mib['anonymous']:,.0f}", flush=True)
            script.write_results(
                out, {"benchmark": "domain_memory", "finished": script.utc_now(), **head, "rows": rows}
            )


def measure(count: int, system: str) -> dict[str, Any]:
    """Memory in bytes with the models of all domains loaded, and in `before` that of the imports alone."""
    import sentence_transformers  # noqa: F401
    import transformers  # noqa: F401

    from benchmarks.machine import resident_bytes
    from retrieval import load_encoder
    from soft_prompt import Backbone, PrefixStore
    from softgraft import open_domain

    with tempfile.TemporaryDirectory() as folder:
        domains = []
        for number in range(count):
            target = Path(folder) / f"domain{number}"
            target.mkdir()
            (target / "domain.yaml").write_text(f"name: domain{number}\ntitle: Domain {number}\n", encoding="utf-8")
            domains.append(open_domain(target))
        before, started = resident_bytes(), time.perf_counter()
        for domain in domains:
            if system == "separate":
                domain.encoder = load_encoder(domain.file.encoder)
                domain.store = PrefixStore(Backbone.load(domain.file.backbone))
            domain.encoder.encode([QUESTION])
            domain.store.get(domain.store.backbone.encode_text(QUESTION))
        seconds, after = time.perf_counter() - started, resident_bytes()
        models = {id(domain.store.backbone.model) for domain in domains}
    return {**after, "before": before, "seconds": seconds, "backbones": len(models)}


if __name__ == "__main__":
    main()
