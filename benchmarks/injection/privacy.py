"""What a soft prompt reveals of the questions and responses that it was trained on.

    python -m benchmarks.injection.privacy
    python -m benchmarks.injection.privacy --domains bank,clinic --seeds 0,1,2

A soft prompt of a domain is trained on the train questions about half of its documents (`first`), another on those
about the other half (`second`). Each gets the train questions of both halves without any evidence: the whole question,
or its first words. What is closer to the trained response on the half that it has seen than on the other, compared
with the text twin on the same questions, was memorised. The likelihood of the responses is measured too: how well it
tells seen questions from others (membership inference). Trained soft prompts are those of
`benchmarks.injection.injection`, whose work folder is used.
"""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks import script
from benchmarks.injection.systems import DOMAINS, PACKAGES

# The text twin, and the soft prompts by the half that they have seen.
SYSTEMS = ("text twin", "first", "second")


def main() -> None:
    """Measure what is missing and print the tables."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = script.make_parser(__doc__, work="injection", resumes=True)
    add = parser.add_argument
    add("--domains", type=script.names_of(DOMAINS), default=["bank"], help="default: bank")
    add("--systems", type=script.names_of(SYSTEMS), default=SYSTEMS, help="separated by commas (default: all)")
    add("--seeds", default="0", help="seeds of the trainings, such as 0,1,2 (default: %(default)s)")
    add("--train", type=script.positive, default=120, help="train questions (default: %(default)s)")
    add("--dev", type=script.positive, default=40, help="dev questions (default: %(default)s)")
    add("--questions", type=script.positive, default=60, help="questions of each half (default: %(default)s)")
    options = parser.parse_args()
    config = {name: getattr(options, name) for name in ("train", "dev", "questions")}
    head = script.results_head(config, PACKAGES)
    out = script.results_path(options.out, "privacy", head["hardware"])
    results = script.earlier_or({**head, "cells": {}}, out, fresh=options.fresh)
    from benchmarks.injection.grafts import Grafts
    from benchmarks.injection.privacy_runs import measure, print_privacy

    for seed in map(int, options.seeds.split(",")):
        for name in options.domains:
            grafts = Grafts(name, Path(), options.work, config)
            for system in options.systems:
                known = results["cells"].setdefault(name, {}).setdefault(str(seed), {})
                if system not in known:
                    known[system] = measure(grafts, system, seed)
                    script.write_results(out, results)
                    print(name, seed, system, flush=True)
    print_privacy(results["cells"])


if __name__ == "__main__":
    main()
