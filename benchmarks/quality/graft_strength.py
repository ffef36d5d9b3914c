"""How much of a domain's gain a weakened graft keeps, and what it costs general text.

    python -m benchmarks.quality.graft_strength --data DIR
    python -m benchmarks.quality.graft_strength --data DIR --system adapter

Trains one graft of the quality benchmark on a data set with the gold passage. At several strengths (`answer.strength`
in domain.yaml), it then answers dev questions and reads general text with the graft on. The default graft has the kind,
length, rank and learning rates that domain.yaml has by default.
"""

from __future__ import annotations

import argparse
import math
import os
import re
from contextlib import closing
from dataclasses import replace
from typing import Any

from benchmarks.quality import settings
from benchmarks.script import make_parser, positive, results_head, results_path, write_results
from benchmarks.tables import estimate, interval_text, mean_text, print_table

DEFAULT = "kv+adapter rank 4 rate 1e-3"
SYSTEMS = {DEFAULT: replace(settings.BOTH, rank=4, adapter_learning_rate=1e-3), **settings.GRAFTS}
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
COLUMNS = ("", "token F1", "exact", "perplexity", "ratio to the template's")


def main() -> None:
    """Measure, print and write."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = make_parser(__doc__, data="squad/ and covidqa/", work="quality")
    add = parser.add_argument
    add("--set", default="covidqa", choices=settings.DATA_SETS, help="data set (default: %(default)s)")
    add("--system", default=DEFAULT, choices=list(SYSTEMS), metavar="NAME", help="a graft (default: %(default)s)")
    add("--seconds", type=float, default=settings.GOLD_SECONDS, help="training time (default: %(default)s)")
    add("--questions", type=positive, default=settings.TEST_QUESTIONS, help="dev questions (default: %(default)s)")
    options = parser.parse_args()
    config = {"set": options.set, "system": options.system, "seconds": options.seconds, "split": "dev", "seed": 0}
    head = results_head(config, ("torch", "transformers"))
    rows = measure(options)
    # Each graft has its own results file.
    name = "-".join(["graft_strength", *re.findall(r"[a-z0-9]+", options.system)])
    write_results(results_path(options.out, name, head["hardware"]), {**head, "rows": rows})
    table = [
        [
            row["system"],
            interval_text(estimate(row["scores"]["f1"])),
            mean_text(row["scores"]["exact"]),
            f"{row['general_perplexity']:.2f}",
            f"{row['general_perplexity'] / rows[0]['general_perplexity']:.3f}",
        ]
        for row in rows
    ]
    print_table(f"{options.set}, dev", COLUMNS, table)


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for the template without soft prompt, and one for the graft at each strength."""
    import torch

    from benchmarks.quality.cells import GENERAL_TEXTS, score_replies
    from benchmarks.quality.data import DataSet, general_texts
    from benchmarks.quality.systems import REPLY_TOKENS, GraftSystem, PromptSystem, Setup
    from evaluation.items import spread
    from soft_prompt import Backbone, PrefixStore, SoftPrompt, at_strength, encode_prompt
    from softgraft.assembly.answers import sample_prompts

    torch.set_num_threads(1)
    source = DataSet(options.set, options.data, options.work)
    setup = Setup(Backbone.load(), source.slot, source.twin, options.work / "passages", seed=0)
    dev, texts = source.questions("dev", "gold", options.questions), general_texts(options.data, GENERAL_TEXTS)

    def row(label: str, system: PromptSystem) -> dict[str, Any]:
        scores = score_replies(dev, system.reply(dev, REPLY_TOKENS[options.set]))
        perplexity = math.exp(system.text_loss(texts))
        print(f"{label}: token F1 {mean_text(scores['f1'])}, perplexity {perplexity:.3f}", flush=True)
        return {"system": label, "scores": scores, "general_perplexity": perplexity}

    rows = [row("template", PromptSystem(setup, None))]
    graft = GraftSystem(setup, SYSTEMS[options.system])
    train = source.questions("train", "gold", settings.TRAIN_QUESTIONS)
    graft.train(spread(train, settings.GRAFT_QUESTIONS["gold"]), options.seconds)
    trained = graft.fill
    assert isinstance(trained, SoftPrompt)
    prefix = encode_prompt(setup.backbone, sample_prompts(source.template)[0], {}).prefix
    for strength in STRENGTHS:
        with closing(PrefixStore(setup.backbone)) as store:
            graft.fill = at_strength(store.backbone, trained, strength, prefix)
        rows.append(row(f"strength {strength:g}", graft))
    return rows


if __name__ == "__main__":
    main()
