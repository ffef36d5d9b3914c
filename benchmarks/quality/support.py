"""Error rates of the support check on sentences judged by hand.

    python -m benchmarks.quality.support
    python -m benchmarks.quality.support --split dev --errors

Each line of `support_sentences.jsonl` is a sentence with its question and evidence, and whether a person found it
supported. The limits of the check and the thresholds of the baselines were chosen on `dev`. `inspected` was measured
once, and its errors were then read and partly mended. `test` has other passages and was measured once, afterwards.
Baselines: the share of words that are in the evidence; all numbers in the
evidence; both; a citation by `chains.cite`. Intervals are Wilson's, 95%. `--likelihood` adds the gain in likelihood
that the evidence gives the sentence under the embedded backbone. Needs no data folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.script import make_parser, results_head, results_path, write_results
from benchmarks.tables import print_table

SENTENCES = Path(__file__).with_name("support_sentences.jsonl")
SPLITS = ("dev", "inspected", "test")
COLUMNS = ("", "unsupported passed", "95%", "supported rejected", "95%")


def main() -> None:
    """Measure, print and write."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = make_parser(__doc__)
    parser.add_argument("--split", choices=SPLITS, help="measure one half only, and write no results")
    parser.add_argument("--errors", action="store_true", help="print the sentences that are judged wrongly")
    parser.add_argument("--likelihood", action="store_true", help="measure the likelihood gain too; takes minutes")
    options = parser.parse_args()
    from benchmarks.quality.support_scores import measure, read_sentences

    sentences = read_sentences(SENTENCES)
    splits = [options.split] if options.split else list(SPLITS)
    gain = None
    if options.likelihood:
        from benchmarks.quality.support_likelihood import gains

        gain = gains(sentences)
    results = {split: measure(sentences, split, gain) for split in splits}
    for split, scores in results.items():
        print_tables(split, scores, errors=options.errors)
    if not options.split:
        config = {"sentences": SENTENCES.name, "count": len(sentences), "chosen_on": "dev"}
        head = results_head(config, ("torch", "transformers") if options.likelihood else ())
        write_results(results_path(options.out, "support", head["hardware"]), {**head, **results})


def print_tables(split: str, scores: Mapping[str, Any], *, errors: bool) -> None:
    """The error rates of each method, then of the check by language, source and kind of sentence."""
    counts = scores["counts"]
    title = f"{split}: {counts['unsupported']} unsupported and {counts['supported']} supported sentences"
    print_table(title, COLUMNS, [[name, *_rates(found)] for name, found in scores["methods"].items()])
    for group in ("language", "source", "kind"):
        rows = [[name, *_rates(found)] for name, found in scores["check_by"][group].items()]
        print_table(f"{split}: the check by {group}", COLUMNS, rows)
    print(f"{split}: {scores['milliseconds']['mean']:.2f} ms of CPU time per sentence, evidence read once per answer")
    if errors:
        for error in scores["errors"]:
            verdict = "passed" if error["passed"] else "rejected"
            print(f"{verdict}: {error['id']} ({error['kind']}) {error['sentence']} {'; '.join(error['reasons'])}")


def _rates(found: Mapping[str, Any]) -> list[str]:
    cells = []
    for name in ("unsupported_passed", "supported_rejected"):
        rate = found[name]
        missing = rate["total"] == 0
        cells += ["-" if missing else f"{rate['rate']:.3f} ({rate['count']}/{rate['total']})"]
        cells += ["" if missing else f"{rate['low']:.3f} to {rate['high']:.3f}"]
    return cells


if __name__ == "__main__":
    main()
