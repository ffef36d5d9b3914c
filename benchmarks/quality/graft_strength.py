"""What a part of a graft's strength keeps of a domain's gain, and what it costs general text.

    python -m benchmarks.quality.graft_strength --data DIR
    python -m benchmarks.quality.graft_strength --data DIR --system adapter

Trains one of the quality benchmark's grafts on a data set with the gold passage, then answers its dev questions and
reads held-out general text with the graft left on, at several strengths (`answer.strength` in domain.yaml). General
text stands where a user writes it, behind the slot. The first command's graft has the default kind, length, rank and
rates of domain.yaml.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
from contextlib import closing
from pathlib import Path
from typing import Any

# Before torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_hardware, describe_versions, hardware_slug
from benchmarks.quality.cells import ALL_GRAFTS, GENERAL, Budget, scores
from benchmarks.quality.data import DataSet, general_texts
from benchmarks.quality.systems import REPLY_TOKENS, Graft, Untrained, Where
from evaluation.bootstrap import mean_interval
from soft_prompt import Backbone, PrefixStore, at_strength, encode_prompt
from softgraft.assembly.sample_prompts import sample_prompts

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = "kv+adapter rank 4 rate 1e-3"
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


def measure(source: Path, work: Path, name: str, system: str, seconds: float, questions: int) -> list[dict[str, Any]]:
    """Dev scores and the perplexity of general text: the bare template's, and the graft's at each strength."""
    data = DataSet(name, source / name, work)
    where = Where(Backbone.load(), data.slot, data.twin, work / "passages", seed=0)
    dev, texts = data.questions("dev", "gold", questions), general_texts(source, GENERAL)
    bare = Untrained(where, None)
    rows = [_row("template", bare, dev, texts, name)]
    graft = Graft(where, ALL_GRAFTS[system])
    graft.train(data.questions("train", "gold", Budget().train), seconds)
    trained = graft.soft_prompt
    prefix = encode_prompt(where.backbone, sample_prompts(data.template)[0], {}).prefix
    for strength in STRENGTHS:
        with closing(PrefixStore(where.backbone)) as store:
            graft.soft_prompt = at_strength(store.backbone, trained, strength, prefix)
        rows.append(_row(f"strength {strength:g}", graft, dev, texts, name))
    return rows


def _row(label: str, system: Graft | Untrained, dev: list[Any], texts: list[str], name: str) -> dict[str, Any]:
    found = scores(dev, system.reply(dev, REPLY_TOKENS[name]))
    perplexity = math.exp(system.text_loss(texts))
    print(f"{label}: token F1 {statistics.mean(found['f1']):.3f}, perplexity {perplexity:.3f}", flush=True)
    return {"system": label, "scores": found, "general_perplexity": perplexity}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description="A graft's strength, domain against general text.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "quality")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--set", default="covidqa")
    parser.add_argument("--system", default=DEFAULT, choices=list(ALL_GRAFTS))
    parser.add_argument("--seconds", type=float, default=Budget().gold_seconds)
    parser.add_argument("--questions", type=int, default=Budget().test)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    hardware = describe_hardware("cpu", 1)
    rows = measure(chosen.data, chosen.work, chosen.set, chosen.system, chosen.seconds, chosen.questions)
    # Each graft's results have a file of their own.
    name = "-".join(["graft_strength", *re.findall(r"[a-z0-9]+", chosen.system), hardware_slug(hardware)])
    out = chosen.out or ROOT / "benchmarks" / "results" / f"{name}.json"
    config = {"set": chosen.set, "system": chosen.system, "seconds": chosen.seconds, "split": "dev", "seed": 0}
    versions = describe_versions(("torch", "transformers"))
    out.write_text(json.dumps({"config": config, "hardware": hardware, "versions": versions, "rows": rows}, indent=1))
    table = Table("", "token F1", "exact", "perplexity", "times the template's", title=f"{chosen.set}, dev")
    for row in rows:
        f1, perplexity = mean_interval(row["scores"]["f1"]), row["general_perplexity"]
        assert f1 is not None
        table.add_row(
            row["system"],
            f"{f1.mean:.3f} ({f1.low:.3f} to {f1.high:.3f})",
            f"{statistics.mean(row['scores']['exact']):.3f}",
            f"{perplexity:.2f}",
            f"{perplexity / rows[0]['general_perplexity']:.3f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
