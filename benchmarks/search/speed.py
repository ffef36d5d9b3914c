"""Speed, size and recall of retrieval.

    python -m benchmarks.search.speed --data DIR
    python -m benchmarks.search.speed --data DIR --parts query --sizes 10000,100000

Parts: `ingest` (documents per second, and of the bare encoder on the same texts), `again` (an ingest after one document
changed, and a full ingest), `query` (search at several sizes, on real text) and `million` (a million clustered
vectors). Results are written after each part; a part that the file already has is measured again only if --parts names
it.
"""

from __future__ import annotations

import json

from benchmarks import script

PACKAGES = ("faiss-cpu", "sentence-transformers", "torch", "numpy")
PARTS = ("ingest", "again", "query", "million")


def main() -> None:
    """Measure the chosen parts and print their results."""
    parser = script.make_parser(__doc__, data="squad/, covidqa/ and mtrag/", work="retrieval_speed", resumes=True)
    add = parser.add_argument
    add("--parts", type=script.names_of(PARTS), help=f"{', '.join(PARTS)} (default: those that are missing)")
    add("--sizes", type=script.positives, default=[10_000, 100_000], help="passages in `query`")
    add("--documents", type=script.positive, default=300, help="documents in `ingest` (default: %(default)s)")
    add("--again-documents", type=script.positive, default=1000, help="documents in `again` (default: %(default)s)")
    add("--sentences", type=script.positive, default=24_000, help="sentences to encode (default: %(default)s)")
    add("--vectors", type=script.positive, default=1_000_000, help="vectors in `million` (default: %(default)s)")
    options = parser.parse_args()
    import torch

    from benchmarks.search import speed_parts
    from retrieval import load_encoder

    head = script.results_head({}, PACKAGES, threads=torch.get_num_threads())
    out = script.results_path(options.out, "retrieval_speed", head["hardware"])
    results = {**(script.read_results(out) if out.is_file() and not options.fresh else {}), **head}
    encoder = load_encoder()
    for part in options.parts or [part for part in PARTS if part not in results]:
        results[part] = getattr(speed_parts, f"measure_{part}")(options, encoder)
        script.write_results(out, results)
        print(part, json.dumps(results[part], indent=1), flush=True)


if __name__ == "__main__":
    main()
