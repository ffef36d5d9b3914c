"""How well the evidence score refuses, in domains that it was not fitted on, and the default scale of the package.

    python -m benchmarks.search.refusal --data DIR
    python -m benchmarks.search.refusal --data DIR --write
    python -m benchmarks.search.refusal --data DIR --encoder minilm

Each set in turn is held out: the scale is fitted, and its threshold chosen, on the train questions of the others. Two
example domains and three projects are never fitted on (`benchmarks.projects.documents` fetches the projects). The
baselines are thresholds on the best cosine and on the covered words, chosen in the same way. `--write` fits the default
scale on the train questions of all other sets and writes it into the package. Rankings are kept in the work folder, so
a repeated command is quick; `--fresh` makes them again.
"""

from __future__ import annotations

import os

from benchmarks import script

PACKAGES = ("torch", "sentence-transformers", "faiss-cpu", "scikit-learn")


def main() -> None:
    """Measure, print the tables, and write what was asked for."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = script.make_parser(__doc__, data="squad/, covidqa/, mtrag/, xquad_zh/ and projects/", work="refusal")
    parser.add_argument("--encoder", default="embedded", help="as in domain.yaml (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="write the default scale into the package")
    parser.add_argument("--fresh", action="store_true", help="make the rankings again, even if they were kept")
    options = parser.parse_args()
    from benchmarks.search.refusals import fit, sets
    from retrieval import load_encoder

    encoder = sets.caching(load_encoder(options.encoder))
    cases = sets.all_cases(options.data, options.work, encoder, fresh=options.fresh)
    results = fit.measure(cases)
    head = script.results_head(sets.config(encoder.id), PACKAGES)
    name = encoder.id.partition("@")[0].rpartition("/")[2]
    script.write_results(script.results_path(options.out, f"refusal-{name}", head["hardware"]), {**head, **results})
    fit.print_tables(results)
    if options.write:
        print(f"written: {fit.write_default(cases, encoder.id)}")


if __name__ == "__main__":
    main()
