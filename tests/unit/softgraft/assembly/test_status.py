"""Status: what a domain has and lacks, as plain data, without a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from house_domain import LENGTH

from softgraft import Domain, open_domain
from softgraft.settings.location import domain_folder

# Left out of `make check`.
pytestmark = pytest.mark.heavy

MakeDomain = Callable[..., Domain]


def test_a_new_domain_has_nothing_yet(make_domain: MakeDomain) -> None:
    domain = make_domain()
    status = domain.status()
    assert json.loads(json.dumps(status)) == status
    assert status["questions"] == {"train": 4, "dev": 4, "test": 4}
    assert (status["index"], status["soft_prompt"], status["evaluation"]) == (None, None, None)
    assert (status["evidence_score"], status["unfinished_training"], status["notices"]) == (
        {"scale": "default", "questions": 0}, False, [],
    )  # fmt: skip
    assert status["next"] == f"softgraft ingest {domain.folder}"
    # Reading the status writes nothing.
    assert not domain.build.exists()


def test_status_follows_ingest_and_questions(make_domain: MakeDomain) -> None:
    domain = make_domain(train={"epochs": 1, "learning_rate": 1e-8})
    domain.ingest()
    assert domain.status()["nothing_kept"] is False
    assert not domain.train().kept
    status = domain.status()
    assert status["nothing_kept"] is True
    assert status["index"]["documents"] == 5
    assert status["index"]["passages"] >= 5
    assert status["next"] == f"softgraft train {domain.folder}"
    assert status["better"] is None
    (domain.folder / "train.jsonl").unlink()
    status = domain.status()
    assert status["next"] == f"softgraft chat {domain.folder}"
    assert status["better"].endswith(f": softgraft questions {domain.folder} draft")


def test_a_trained_domain(grafted: Domain) -> None:
    status = grafted.status()
    assert status["start"] == {"name": "text-twin", "trained_on": [], "licences": "", "gain": None, "unseen": 0}
    assert status["soft_prompt"] == {
        "trained_on": ["house"],
        "of_another_domain": False,
        "start": "",
        "kind": "embedding",
        "length": LENGTH,
        "adapter": "lora",
        "adapter_rank": 4,
        "layers": None,
        "attention": "exact",
        "backbone": grafted.file.backbone,
        "dev_token_f1": 1.0,
        "dev_token_f1_text_twin": 0.0,
    }
    assert status["next"] == f"softgraft eval {grafted.folder}"
    grafted.evaluate(limit=2)
    status = grafted.status()
    systems = ["base", "template", "text-twin", "soft", "soft-gold", "quote", "auto"]
    assert [row["system"] for row in status["evaluation"]] == systems
    assert status["next"] == f"softgraft chat {grafted.folder}"
    # A damaged report counts as none.
    (grafted.build / "reports" / "eval-test.json").write_text("{damaged")
    assert grafted.status()["evaluation"] is None


def test_a_domain_under_domains_is_called_by_its_name(
    make_domain: MakeDomain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "domains").mkdir()
    make_domain("domains/house")
    monkeypatch.chdir(tmp_path)
    assert open_domain(domain_folder("house")).status()["next"] == "softgraft ingest house"
