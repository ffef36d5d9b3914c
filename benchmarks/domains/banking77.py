"""Labelling bank customers' messages with 77 labels: template, text twin and soft prompt, beside plain peers.

    python -m benchmarks.domains.banking77 --data ../shared/data/banking77 --work DIR
    python -m benchmarks.domains.banking77 --data ../shared/data/banking77 --work DIR --rows text-twin,soft-0

A domain is made from the data as `softgraft new intents --task classification` makes it: dev is cut from train, label
by label, and everything is chosen there: the calibration, the epoch, the logistic regression's C. Test is answered
once. Rows:

- `logistic`: logistic regression on the encoder's vectors; `nearest`: the label of the nearest training example;
- `template`: an empty slot; `text-twin`: the slot's text; `soft-SEED`: the trained soft prompt;
- the same with `+examples`: behind the four nearest training examples (`context: examples`).

Each row that a backbone scores gives the accuracy without calibration and with each way of it. A row is written as it
ends, and a run that is started again does only what is missing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_hardware, describe_versions, hardware_slug
from chains import LocalSpeaker
from chains.tasks.labels import LabelScorer
from evaluation import Item, items_hash
from evaluation.items import spread
from evaluation.task_scores import task_scores
from softgraft import Domain, open_domain
from softgraft.jobs.create import create_domain
from softgraft.settings.domain_file import TrainSettings

RESULTS = Path(__file__).resolve().parents[1] / "results"
ROWS = ("logistic", "nearest", "template", "text-twin", "soft-0", "soft-1", "soft-2",
        "text-twin+examples", "soft-0+examples")  # fmt: skip
TRAIN: dict[str, Any] = {
    "kind": "kv", "length": 32, "adapter": "lora", "adapter_rank": 8, "epochs": 2, "batch_size": 16,
    "learning_rate": 1e-2, "adapter_learning_rate": 2e-3, "warmup_steps": 10, "patience": 9,
}  # fmt: skip
EXAMPLES = 4
# With examples before every text there are no two prefixes alike, so fewer texts are trained on.
TRAINED_WITH_EXAMPLES = 600
console = Console(width=140)


def domain_of(work: Path, data: Path, row: str, calibration: str) -> Domain:
    """The domain of a row, made where it is not there yet; rows that train have a build folder each."""
    folder = work / ("intents-examples" if row.endswith("+examples") else "intents")
    if not folder.exists():
        create_domain(str(folder), data, task="classification")
        path = folder / "domain.yaml"
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        settings["classification"]["calibration"] = calibration
        settings["cache"] = {"memory_mib": 2048, "disk_gib": 0}
        if row.endswith("+examples"):
            settings.update(context="examples", retrieval={"passages": EXAMPLES, "evidence_tokens": 200})
        path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return open_domain(folder, build=folder / "build" / row.removesuffix("+examples"))


def measure(work: Path, data: Path, row: str, calibration: str, limit: int | None) -> dict[str, Any]:
    """One row: its scores on test, and how it came about."""
    domain = domain_of(work, data, row, calibration)
    test = spread(domain.items("test"), limit)
    began = time.perf_counter()
    if row in ("logistic", "nearest"):
        found = peer(domain, row, test)
    else:
        trained = train(domain, row) if row.startswith("soft") else {}
        found = {**backbone_row(domain, row, test), **trained}
    domain.close()
    seconds = round(time.perf_counter() - began, 1)
    return {"row": row, "texts": len(test), **found, "seconds": seconds, "finished": datetime.now(UTC).isoformat()}


def peer(domain: Domain, row: str, test: Sequence[Item]) -> dict[str, Any]:
    """What the encoder's vectors alone can do."""
    train, dev = domain.items("train"), domain.items("dev")
    vectors = [domain.encoder.encode([item.question for item in items]) for items in (train, dev, test)]
    gold = [[item.target for item in items] for items in (train, dev, test)]
    if row == "nearest":
        said = [gold[0][int(i)] for i in (vectors[2] @ vectors[0].T).argmax(axis=1)]
        return {"ways": {"none": scores_of(said, gold[2])}}
    from sklearn.linear_model import LogisticRegression

    fitted = {c: LogisticRegression(C=c, max_iter=5000).fit(vectors[0], gold[0]) for c in (1.0, 3.0, 10.0, 30.0, 100.0)}
    on_dev = {c: float(model.score(vectors[1], gold[1])) for c, model in fitted.items()}
    best = max(on_dev, key=lambda c: on_dev[c])
    said = [str(label) for label in fitted[best].predict(vectors[2])]
    return {
        "ways": {"none": scores_of(said, gold[2])},
        "dev_accuracy": {str(c): a for c, a in on_dev.items()},
        "C": best,
    }


def train(domain: Domain, row: str) -> dict[str, Any]:
    """Train the soft prompt of a row, unless that was done."""
    with_examples = row.endswith("+examples")
    seed = int(row.removesuffix("+examples").removeprefix("soft-"))
    if domain.manifest is None:
        settings = TrainSettings.model_validate({**TRAIN, "seed": seed})

        def tell(step: Any) -> None:
            if step.done % 20 == 0:
                console.print(f"{row} {step.phase} {step.done}/{step.total} loss {step.loss}")

        report = domain.train(limit=TRAINED_WITH_EXAMPLES if with_examples else None, settings=settings, on_step=tell)
        (domain.build / "train_report.json").write_text(json.dumps(asdict(report)), encoding="utf-8")
    told = domain.build / "train_report.json"
    report_json = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else {}
    report_json.pop("folder", None)
    return {"train": {**TRAIN, "seed": seed}, "train_report": report_json}


def backbone_row(domain: Domain, row: str, test: Sequence[Item]) -> dict[str, Any]:
    """Labels by the backbone's likelihoods, for every calibration from one pass."""
    work = domain.work
    kind = row.removesuffix("+examples")
    graft: Any = {"template": "empty", "text-twin": "text-twin"}.get(kind, "soft")
    speaker = work.speaker(graft)
    assert isinstance(speaker, LocalSpeaker)
    chat = speaker.chat
    dev = domain.items("dev")
    fit = work.fit(chat, domain.items("train"), dev, tell(f"{row}, fitting"))
    scorer = LabelScorer(chat, work.verbalizer)
    prompts = work.prompts(chat.fits).prompts([item.question for item in test])
    began = time.perf_counter()
    # The best label under each bias is all that is compared.
    biases = list(fit.biases.values())
    scores = scorer.scores(prompts, biases=biases, within=0.0, on_reply=lambda n: tell(row)(n, len(test)))
    seconds = (time.perf_counter() - began) / len(test)
    gold, labels = [item.target for item in test], work.verbalizer.labels
    ways = {
        way: scores_of([labels[i] for i in (scores + np.array(bias)).argmax(axis=1)], gold)
        for way, bias in fit.biases.items()
    }
    return {
        "ways": ways,
        "chosen_on_dev": fit.calibration.way,
        "dev_accuracy": fit.dev_accuracy,
        "dev_texts": len(dev),
        "seconds_a_text": round(seconds, 3),
    }


def scores_of(said: Sequence[str], gold: Sequence[str]) -> dict[str, Any]:
    """Accuracy, macro recall and macro F1, each with its interval."""
    return {name: asdict(found) for name, found in task_scores("classification", said, gold, "en").items()}


def tell(name: str) -> Any:
    """Prints progress now and then."""

    def show(done: int, total: int) -> None:
        if done % 80 == 0 or done == total:
            console.print(f"{time.strftime('%H:%M:%S')} {name} {done}/{total}")

    return show


def show(rows: Sequence[dict[str, Any]]) -> None:
    """The table; for a backbone's rows without calibration, and with the one chosen on dev."""
    table = Table(title="banking77, test")
    for name in ("row", "texts", "calibration", "accuracy (95%)", "macro recall", "macro F1"):
        table.add_column(name, justify="left" if name in ("row", "calibration") else "right")
    for row in rows:
        chosen = row.get("chosen_on_dev", "none")
        for way in dict.fromkeys(("none", chosen)):
            if way not in row["ways"]:
                continue
            s = row["ways"][way]
            a = s["accuracy"]
            table.add_row(
                row["row"], str(row["texts"]), way, f"{a['mean']:.3f} ({a['low']:.3f} to {a['high']:.3f})",
                f"{s['macro recall']['mean']:.3f}", f"{s['macro F1']['mean']:.3f}",
            )  # fmt: skip
    console.print(table)


def main() -> None:
    """Run the rows that are missing and print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.jsonl and test.jsonl")
    parser.add_argument("--work", type=Path, required=True, help="where domains and soft prompts are kept")
    parser.add_argument("--rows", help="only these, such as text-twin,soft-0")
    parser.add_argument("--calibration", choices=("auto", "none"), default="auto", help="none is much faster")
    parser.add_argument("--limit", type=int, help="so many test texts, spread over the file")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, help="the results file")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    hardware = describe_hardware("cpu", given.threads)
    out = given.out or RESULTS / f"banking77-{hardware_slug(hardware)}.json"
    given.work.mkdir(parents=True, exist_ok=True)
    for name in given.rows.split(",") if given.rows else ROWS:
        found = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {"rows": []}
        if any(row["row"] == name for row in found["rows"]):
            continue
        row = measure(given.work, given.data, name, given.calibration, given.limit)
        # Read again, since another process may have written a row meanwhile.
        found = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {"rows": []}
        domain = domain_of(given.work, given.data, name, given.calibration)
        found.update(
            hardware=hardware,
            versions=describe_versions(("torch", "transformers", "sentence-transformers", "scikit-learn")),
            data_sha256={split: items_hash(domain.items(split)) for split in ("train", "dev", "test")},
        )
        if unfinished := [r for r in found.pop("unfinished", []) if r["row"] != name]:
            found["unfinished"] = unfinished
        found["rows"] = sorted([*found["rows"], row], key=lambda r: ROWS.index(r["row"]))
        out.write_text(json.dumps(found, indent=1), encoding="utf-8")
        show(found["rows"])


if __name__ == "__main__":
    main()
