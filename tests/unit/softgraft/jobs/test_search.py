"""A search for settings: what it tries, what it keeps, and that it resumes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from house_domain import TRAIN
from torch import nn

from soft_prompt import TrainingError, TrainStep
from softgraft import Domain
from softgraft.assembly.answer_form import FORM, load_form
from softgraft.commands.train import search_domain, settings_to_show
from softgraft.errors import UsageError
from softgraft.jobs.search import FILE, SearchReport, Trial, candidates, search
from softgraft.settings.domain_file import TrainSettings
from softgraft.settings.sections import MAX_NUMBER

pytestmark = pytest.mark.heavy

MakeDomain = Callable[..., Domain]
# Enough to learn the answer, but not at half or twice the length, rate and rank alike.
QUICK = {**TRAIN, "epochs": 12, "learning_rate": 0.3, "patience": 12}


def test_the_given_settings_come_first_and_each_change_is_tried_once() -> None:
    base = TrainSettings()
    result = candidates(base)
    assert result[0] == base
    assert len(result) == len({one.model_dump_json() for one in result}) == 9
    changed = [{k for k, v in one.model_dump().items() if v != base.model_dump()[k]} for one in result[1:]]
    assert changed == [
        {"learning_rate"}, {"learning_rate"}, {"adapter", "epochs", "min_steps"}, {"adapter_rank"}, {"length"},
        {"length"}, {"kind"}, {"kind", "learning_rate"},
    ]  # fmt: skip


def test_a_search_for_an_adapter_alone_varies_its_own_settings() -> None:
    base = TrainSettings(kind="adapter", adapter_rank=8, layers=2)
    result = candidates(base)
    assert result[0] == base
    changed = [{k: v for k, v in one.model_dump().items() if v != base.model_dump()[k]} for one in result[1:]]
    assert changed == [
        {"adapter_learning_rate": 5e-4}, {"adapter_learning_rate": 2e-3}, {"adapter_rank": 16}, {"adapter_rank": 4},
        {"adapter": "ia3"}, {"kind": "kv"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "embedding", "adapter": "none"},
        {"layers": 4},
        {"length": None, "adapter_rank": 64},
        {"length": 1, "adapter_rank": 1},
        {"adapter": "ia3"},
        {"min_steps": MAX_NUMBER, "epochs": MAX_NUMBER, "length": MAX_NUMBER},
    ],
)
def test_every_candidate_can_be_trained(settings: dict[str, Any]) -> None:
    result = candidates(TrainSettings(**settings))
    assert {one.kind for one in result} == {"embedding", "kv", "adapter"}
    assert all(one.kind != "embedding" or one.layers is None for one in result)
    alone = [one for one in result if one.kind == "adapter"]
    assert all(one.adapter_method for one in alone)
    assert len({one.model_dump_json() for one in result}) == len(result)


def recorded(domain: Domain) -> list[dict[str, Any]]:
    trials: list[dict[str, Any]] = json.loads((domain.build / FILE).read_text(encoding="utf-8"))["trials"]
    return trials


@pytest.fixture
def searched(make_domain: MakeDomain) -> tuple[Domain, SearchReport]:
    domain = make_domain(ingest=True, train=QUICK)
    return domain, search(domain)


def test_a_search_keeps_the_best_and_a_second_one_trains_nothing(searched: tuple[Domain, SearchReport]) -> None:
    domain, report = searched
    assert len(report.trials) == len(recorded(domain)) == 9
    assert report.left_out == 0
    scores = [trial.dev_f1 for trial in report.trials]
    assert len(set(scores)) > 1
    assert report.best is not None
    assert report.best == next(
        trial for trial in report.trials if trial.dev_f1 == max(s for s in scores if s is not None)
    )
    assert report.kept
    manifest = domain.manifest
    assert manifest is not None
    assert manifest.vectors_sha256 == report.best.vectors_sha256
    assert manifest.scores.dev_token_f1 == report.best.dev_f1
    assert manifest.length == report.best.settings["length"]
    # All is on record.
    steps: list[TrainStep] = []
    again = search(domain, on_step=steps.append)
    assert steps == []
    assert again.trials == report.trials
    assert domain.manifest == manifest
    # What another training has put in its place is put right again, and nothing else is trained.
    domain.train(settings=TrainSettings(**{**QUICK, "seed": 5, "epochs": 45}))
    assert domain.manifest != manifest
    put_right = search(domain)
    assert put_right.best is not None
    assert domain.manifest is not None
    assert domain.manifest.vectors_sha256 == put_right.best.vectors_sha256 == manifest.vectors_sha256
    # Other questions are another search.
    other = search(domain, limit=3, minutes=1e-9)
    assert (len(other.trials), other.left_out) == (1, 8)
    assert len(recorded(domain)) == 10


def test_a_search_chooses_the_form_of_the_answers(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True, train=QUICK, answer={"max_tokens": 6})
    report = search(domain, minutes=1e-9)
    assert report.kept
    chosen = load_form(domain.build / FORM)
    assert chosen is not None
    assert domain.manifest is not None
    assert (chosen.soft_prompt, chosen.form) == (domain.manifest.vectors_sha256, report.form)
    # It is not chosen again for the same soft prompt.
    scored: list[str] = []
    again = search(domain, minutes=1e-9, on_score=lambda name, *_: scored.append(name))
    assert (again.form, [name for name in scored if name.startswith("as ")]) == (report.form, [])


def test_prefixes_are_computed_once_for_all_trials(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True, train={**QUICK, "epochs": 1})
    computed: list[int] = []
    search(domain, on_trial=lambda *_: computed.append(domain.store.computed_tokens))
    # A start of the kind `kv`, which comes last, reads its text twin after a prefix.
    assert computed[0] == computed[-2] > 0


def test_an_interrupted_search_resumes(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True, train={**QUICK, "epochs": 2})
    ended: list[Trial] = []

    def stop(number: int, total: int, trial: Trial) -> None:
        ended.append(trial)
        if number == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(domain, on_trial=stop)
    assert [trial["fingerprint"] for trial in recorded(domain)] == [trial.fingerprint for trial in ended]
    report = search(domain)
    assert report.trials[:3] == tuple(ended)
    assert len(report.trials) == 9


def test_no_trial_starts_that_exceeds_the_time_budget(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True, train={**QUICK, "epochs": 1})
    report = search(domain, minutes=1e-6)
    assert (len(report.trials), report.left_out) == (1, 8)


def test_a_diverged_trial_is_recorded_and_skipped(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True, train={**QUICK, "epochs": 1})
    # A backbone that says nothing finite makes every trial diverge.
    norm = domain.store.backbone.model.model.norm
    assert isinstance(norm.weight, nn.Parameter)
    weights = norm.weight.data.clone()
    norm.weight.data.mul_(float("nan"))
    try:
        report = search(domain)
    finally:
        # Other domains in this process may share the backbone.
        norm.weight.data.copy_(weights)
    assert report.best is None
    assert not report.kept
    assert all(trial.problem is not None and "has diverged" in trial.problem for trial in report.trials)
    assert not domain.status()["unfinished_training"]


def test_a_search_without_questions_is_refused(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True, train=QUICK)
    (domain.folder / "train.jsonl").write_text("")
    with pytest.raises(TrainingError, match="0 questions"):
        search(domain)


def test_several_processes_are_refused(make_domain: MakeDomain, monkeypatch: pytest.MonkeyPatch) -> None:
    domain = make_domain(ingest=True, train=QUICK)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="several processes"):
        search(domain)


def test_the_best_settings_are_printed_for_domain_yaml(
    make_domain: MakeDomain, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    domain = make_domain(ingest=True, train={**QUICK, "epochs": 1})
    search_domain(domain, domain.file.train, 30.0, None, json=False)
    said = capsys.readouterr().out
    written = yaml.safe_load(said[said.index("train:") : said.rindex("not kept") if "not kept" in said else None])
    again = TrainSettings(**written["train"])
    assert again in candidates(domain.file.train)
    search_domain(domain, domain.file.train, 30.0, None, json=True)
    as_json = json.loads(capsys.readouterr().out)
    assert as_json["best"]["settings"] == again.model_dump()
    assert len(as_json["trials"]) == 9


def test_the_shown_settings_are_complete() -> None:
    for settings in candidates(TrainSettings(layers=3, seed=7, batch_size=4)):
        assert TrainSettings(**settings_to_show(settings.model_dump())) == settings
