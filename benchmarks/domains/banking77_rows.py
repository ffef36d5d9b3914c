"""Measures one row of the banking77 benchmark."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from sklearn.linear_model import LogisticRegression

from benchmarks.script import utc_now
from chains import LocalSpeaker
from chains.tasks.labels import LabelScorer
from evaluation import Item, items_hash
from evaluation.items import spread
from evaluation.task_scores import task_scores
from softgraft import Domain, open_domain
from softgraft.jobs.create import create_domain
from softgraft.settings.domain_file import TrainSettings

TRAIN: dict[str, Any] = {
    "kind": "kv", "length": 32, "adapter": "lora", "adapter_rank": 8, "epochs": 2, "batch_size": 16,
    "learning_rate": 1e-2, "adapter_learning_rate": 2e-3, "warmup_steps": 10, "patience": 9,
}  # fmt: skip
REGULARISATION = (1.0, 3.0, 10.0, 30.0, 100.0)


def measure(work: Path, data: Path, row: str, limit: int | None) -> tuple[dict[str, Any], dict[str, str]]:
    """The scores of one row on at most `limit` test texts, and the SHA-256 of the items of each split."""
    with closing(_open(work, data, row)) as domain:
        test = spread(domain.items("test"), limit)
        start = time.perf_counter()
        if row in ("logistic", "nearest"):
            scores = classify_vectors(domain, row, test)
        else:
            training = train(domain, row) if row.startswith("soft") else {}
            scores = {**classify(domain, row, test), **training}
        seconds = round(time.perf_counter() - start, 1)
        hashes = {split: items_hash(domain.items(split)) for split in ("train", "dev", "test")}
    return {"row": row, "texts": len(test), **scores, "seconds": seconds, "finished": utc_now()}, hashes


def _open(work: Path, data: Path, row: str) -> Domain:
    """The domain of a row, created if it does not exist. Each row has its own build folder."""
    folder = work / "intents"
    if not folder.exists():
        create_domain(str(folder), data, task="classification")
        path = folder / "domain.yaml"
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        settings["classification"]["calibration"] = "none"
        settings["cache"] = {"memory_mib": 2048, "disk_gib": 0}
        path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return open_domain(folder, build=folder / "build" / row)


def classify_vectors(domain: Domain, row: str, test: Sequence[Item]) -> dict[str, Any]:
    """Classification from the encoder's vectors alone."""
    splits = (domain.items("train"), domain.items("dev"), test)
    train_vectors, dev_vectors, vectors = (domain.encoder.encode_queries([i.question for i in s]) for s in splits)
    train_labels, dev_labels, labels = ([item.target for item in items] for items in splits)
    if row == "nearest":
        predicted = [train_labels[int(i)] for i in (vectors @ train_vectors.T).argmax(axis=1)]
        return {"scores": scores_of(predicted, labels)}
    models = {c: LogisticRegression(C=c, max_iter=5000).fit(train_vectors, train_labels) for c in REGULARISATION}
    dev_accuracy = {c: float(model.score(dev_vectors, dev_labels)) for c, model in models.items()}
    best = max(dev_accuracy, key=lambda c: dev_accuracy[c])
    return {
        "scores": scores_of([str(label) for label in models[best].predict(vectors)], labels),
        "dev_accuracy": {str(c): accuracy for c, accuracy in dev_accuracy.items()},
        "C": best,
    }


def train(domain: Domain, row: str) -> dict[str, Any]:
    """Train the soft prompt of a row unless it exists."""
    settings = {**TRAIN, "seed": int(row.removeprefix("soft-"))}
    path = domain.build / "train_report.json"
    if domain.manifest is None:

        def show_step(step: Any) -> None:
            if step.done % 20 == 0:
                print(f"{row} {step.phase} {step.done}/{step.total} loss {step.loss}", flush=True)

        report = domain.train(settings=TrainSettings.model_validate(settings), on_step=show_step)
        path.write_text(json.dumps(asdict(report)), encoding="utf-8")
    saved = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    saved.pop("folder", None)
    return {"train": settings, "train_report": saved}


def classify(domain: Domain, row: str, test: Sequence[Item]) -> dict[str, Any]:
    """Labels by the backbone's likelihoods."""
    work = domain.work
    graft: Any = {"template": "empty", "text-twin": "text-twin"}.get(row, "soft")
    chat = domain.chat(graft)
    dev = domain.items("dev")
    fit = work.fit(chat, domain.items("train"), dev, show_progress(f"{row}, dev"))
    prompts = work.prompts(LocalSpeaker(chat).prepare).prompts([item.question for item in test])
    start, progress = time.perf_counter(), show_progress(row)
    scorer = LabelScorer(chat, work.verbalizer)
    # Only the best label is needed.
    scores = scorer.scores(prompts, within=0.0, on_reply=lambda done: progress(done, len(test)))
    seconds = (time.perf_counter() - start) / len(test)
    predicted = [work.verbalizer.labels[i] for i in scores.argmax(axis=1)]
    return {
        "scores": scores_of(predicted, [item.target for item in test]),
        "dev_accuracy": fit.dev_accuracy,
        "dev_texts": len(dev),
        "seconds_per_text": round(seconds, 3),
    }


def scores_of(predicted: Sequence[str], gold: Sequence[str]) -> dict[str, Any]:
    """Accuracy, macro recall and macro F1, each with its interval."""
    scores = task_scores("classification", predicted, gold, "en")
    return {name: asdict(interval) for name, interval in scores.items()}


def show_progress(name: str) -> Callable[[int, int], None]:
    """A callback that prints progress now and then."""

    def show(done: int, total: int) -> None:
        if done % 80 == 0 or done == total:
            print(f"{time.strftime('%H:%M:%S')} {name} {done}/{total}", flush=True)

    return show
