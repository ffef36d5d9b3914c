"""Measures a graft at several strengths: scores on dev, and the perplexity of general text."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from benchmarks.quality.cells import GENERAL_TEXTS, score_replies
from benchmarks.quality.data import DataSet, Question, general_texts
from benchmarks.quality.settings import ALL_GRAFTS, Budget
from benchmarks.quality.systems import REPLY_TOKENS, GraftSystem, QualitySystem, Setup, UntrainedSystem
from benchmarks.tables import mean_text
from soft_prompt import Backbone, PrefixStore, at_strength, encode_prompt
from softgraft.assembly.answers import sample_prompts

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


def measure(data: Path, work: Path, name: str, system: str, seconds: float, questions: int) -> list[dict[str, Any]]:
    """A row for the template without soft prompt, and one for the graft at each strength.

    Args:
        data, work: the data folder, and the folder of indexes and caches.
        name: of the data set.
        system: a key of `ALL_GRAFTS`.
        seconds: CPU seconds of training.
        questions: number of dev questions.
    """
    torch.set_num_threads(1)
    source = DataSet(name, data, work)
    setup = Setup(Backbone.load(), source.slot, source.twin, work / "passages", seed=0)
    dev, texts = source.questions("dev", "gold", questions), general_texts(data, GENERAL_TEXTS)
    rows = [_row("template", UntrainedSystem(setup, None), dev, texts, name)]
    graft = GraftSystem(setup, ALL_GRAFTS[system])
    graft.train(source.questions("train", "gold", Budget().train), seconds)
    trained = graft.soft_prompt
    prefix = encode_prompt(setup.backbone, sample_prompts(source.template)[0], {}).prefix
    for strength in STRENGTHS:
        with closing(PrefixStore(setup.backbone)) as store:
            graft.soft_prompt = at_strength(store.backbone, trained, strength, prefix)
        rows.append(_row(f"strength {strength:g}", graft, dev, texts, name))
    return rows


def _row(label: str, system: QualitySystem, dev: list[Question], texts: list[str], name: str) -> dict[str, Any]:
    scores = score_replies(dev, system.reply(dev, REPLY_TOKENS[name]))
    perplexity = math.exp(system.text_loss(texts))
    print(f"{label}: token F1 {mean_text(scores['f1'])}, perplexity {perplexity:.3f}", flush=True)
    return {"system": label, "scores": scores, "general_perplexity": perplexity}
