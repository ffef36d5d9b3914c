"""The runs of `adversarial.py`."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from sklearn.linear_model import LogisticRegression

from benchmarks.domains.banking77_rows import REGULARISATION, scores_of
from benchmarks.script import utc_now
from chains import LocalSpeaker
from chains.tasks.labels import LabelScorer
from evaluation import Item, items_hash
from evaluation.task_items import read_task_items, task_line
from soft_prompt import TrainStep
from softgraft import Domain, open_domain
from softgraft.jobs.create import create_domain
from softgraft.settings.domain_file import TrainSettings

TRAIN: dict[str, Any] = {
    "kind": "kv", "length": 32, "adapter": "lora", "adapter_rank": 8, "layers": 10, "batch_size": 8, "min_steps": 1,
    "learning_rate": 1e-2, "adapter_learning_rate": 2e-3, "warmup_steps": 10, "patience": 9,
}  # fmt: skip
# Fewer texts of an intent in either phrasing say nothing.
MIN_TEXTS = 8


@dataclass(frozen=True)
class Shift:
    """Questions and statements of some intents; `epochs` are those of adversarial training."""

    data: Path
    work: Path
    intents: int
    epochs: int

    @cached_property
    def splits(self) -> dict[str, list[Item]]:
        """`train`: questions; `unlabelled`, `test`: statements."""
        train, test = (read_task_items(self.data / f"{name}.jsonl", "classification") for name in ("train", "test"))
        counts = [Counter(item.target for item in train if is_question(item) is asked) for asked in (True, False)]
        enough = [label for label in sorted(counts[0]) if min(one[label] for one in counts) >= MIN_TEXTS]
        chosen = sorted(enough, key=lambda label: -counts[1][label])[: self.intents]
        asked = [item for item in train if item.target in chosen and is_question(item)]
        stated = [item for item in train if item.target in chosen and not is_question(item)]
        # By intent, so that each is in both halves.
        stated.sort(key=lambda item: item.target)
        rest = [item for item in test if item.target in chosen and not is_question(item)]
        renamed = [item.model_copy(update={"id": f"test-{item.id}"}) for item in rest]
        return {"train": asked, "unlabelled": stated[::2], "test": [*stated[1::2], *renamed]}

    def described(self) -> dict[str, Any]:
        """The intents, sizes and hashes of the data, for the results."""
        return {
            "labels": sorted({item.target for item in self.splits["train"]}),
            "texts": {name: len(items) for name, items in self.splits.items()},
            "data_sha256": {name: items_hash(items) for name, items in self.splits.items()},
        }

    def measure(self, row: str) -> dict[str, Any]:
        """One row."""
        kind, *rest = row.split("-")
        with closing(self._open(row)) as domain:
            if kind == "logistic":
                found = self._logistic(domain)
            else:
                weight = {"method": "adversarial", "adversarial_weight": float(rest[0])} if len(rest) == 2 else {}
                epochs = self.epochs if weight else 2 * self.epochs
                found = self._trained(domain, {**TRAIN, "epochs": epochs, "seed": int(rest[-1]), **weight})
        return {"row": row, "texts": len(self.splits["test"]), **found, "finished": utc_now()}

    def _open(self, row: str) -> Domain:
        folder = self.work / "phrasing"
        if not folder.exists():
            source = self.work / "phrasing-data"
            source.mkdir(parents=True, exist_ok=True)
            for name in ("train", "test"):
                lines = [task_line(item, "classification") for item in self.splits[name]]
                (source / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
            create_domain(str(folder), source, task="classification")
            texts = [json.dumps({"text": item.question}, ensure_ascii=False) for item in self.splits["unlabelled"]]
            (folder / "unlabelled.jsonl").write_text("\n".join(texts) + "\n", encoding="utf-8")
            path = folder / "domain.yaml"
            settings = yaml.safe_load(path.read_text(encoding="utf-8"))
            settings["classification"]["calibration"] = "none"
            settings["cache"] = {"memory_mib": 512, "disk_gib": 0}
            path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        return open_domain(folder, build=folder / "build" / row)

    def _logistic(self, domain: Domain) -> dict[str, Any]:
        splits = (domain.items("train"), domain.items("dev"), domain.items("test"))
        train, dev, test = (domain.encoder.encode_queries([item.question for item in items]) for items in splits)
        labels, dev_labels, gold = ([item.target for item in items] for items in splits)
        began = time.process_time()
        models = {c: LogisticRegression(C=c, max_iter=5000).fit(train, labels) for c in REGULARISATION}
        accuracy = {c: float(model.score(dev, dev_labels)) for c, model in models.items()}
        best = max(accuracy, key=lambda c: accuracy[c])
        seconds = time.process_time() - began
        predicted = [str(label) for label in models[best].predict(test)]
        scores = {"scores": scores_of(predicted, gold), "dev_accuracy": accuracy[best], "C": best}
        return {**scores, "encoder": domain.encoder.id, "cpu_seconds": round(seconds, 1)}

    def _trained(self, domain: Domain, train: dict[str, Any]) -> dict[str, Any]:
        seconds, last = 0.0, time.process_time()

        def on_step(step: TrainStep) -> None:
            nonlocal seconds, last
            now = time.process_time()
            if step.phase == "train":
                seconds += now - last
                if step.done % 10 == 0:
                    print(f"{utc_now()} step {step.done}/{step.total} loss {step.loss}", flush=True)
            last = now

        report = domain.train(settings=TrainSettings.model_validate(train), on_step=on_step)
        return {
            "scores": scores_of(_labels(domain), [item.target for item in domain.items("test")]),
            "dev_accuracy": report.dev_score,
            "dev_accuracy_text_twin": report.dev_score_text_twin,
            "dev_loss": report.dev_loss,
            "domain_accuracy": report.domain_accuracy,
            "unlabelled": report.unlabelled,
            "examples": report.examples,
            "kept": report.kept,
            "steps": report.steps,
            "best_epoch": report.best_epoch,
            "cpu_seconds": round(seconds, 1),
            "train": train,
        }


def is_question(item: Item) -> bool:
    """Whether a text ends with a question mark."""
    return item.question.rstrip().endswith("?")


def _labels(domain: Domain) -> Sequence[str]:
    """The labels of the test texts by the kept soft prompt, or by the text twin if none was kept."""
    work, chat = domain.work, domain.chat(domain.graft)
    prompts = work.prompts(LocalSpeaker(chat).prepare).prompts([item.question for item in domain.items("test")])
    scores = LabelScorer(chat, work.verbalizer).scores(prompts, within=0.0)
    return [work.verbalizer.labels[i] for i in scores.argmax(axis=1)]
