"""Warming the cache, and both attention modes from training to the answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from house_domain import opened

from softgraft import Domain
from softgraft.assembly.passage_cache import FOLDER

pytestmark = pytest.mark.heavy

MakeDomain = Callable[..., Domain]
QUESTION = {"question": "What does a replacement card cost?"}


def files(domain: Domain) -> list[Path]:
    return sorted((domain.build / FOLDER).rglob("*.safetensors"))


def test_warming_computes_every_passage_once(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True, attention="block")
    steps: list[tuple[int, int]] = []
    warmed = domain.warm(on_progress=lambda done, total: steps.append((done, total)))
    passages = domain.index.counts()[1]
    assert (warmed.passages, warmed.of) == (passages, passages)
    assert steps == [(done, passages) for done in range(1, passages + 1)]
    # Every passage, and the segment before them.
    assert len(files(domain)) == passages + 1
    assert 0 < warmed.disk_bytes <= sum(path.stat().st_size for path in files(domain))
    again = opened(domain.folder).warm()
    assert (again.passages, again.computed_tokens) == (passages, 0)


def test_with_block_attention_a_warmed_domain_computes_no_passage(make_domain: MakeDomain) -> None:
    retrieval = {"passages": 2, "margin": 9, "evidence_tokens": 400, "passage_tokens": 32}
    domain = make_domain(ingest=True, attention="block", retrieval=retrieval)
    domain.warm()
    fresh = opened(domain.folder)
    result = fresh.chain.invoke(QUESTION)
    assert len(result["evidence"]) == 2
    assert fresh.store.computed_tokens == 0
    # A domain that was not warmed gives the same answer.
    cold = make_domain("cold", ingest=True, attention="block", retrieval=retrieval)
    assert cold.chain.invoke(QUESTION)["answer"] == result["answer"]
    assert cold.store.computed_tokens > 0


def test_a_full_cache_stops_and_reports_the_number_of_passages(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True, attention="block", cache={"memory_mib": 1, "disk_gib": 3e-5})
    warmed = domain.warm()
    assert 0 < warmed.passages < warmed.of
    assert warmed.disk_bytes <= 3e-5 * 1024**3
    assert make_domain("none", ingest=True, cache={"disk_gib": 0}).warm().passages == 0


def test_disk_limit_0_writes_nothing(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True, cache={"disk_gib": 0})
    assert domain.chain.invoke(QUESTION)["answer"] is not None
    assert not (domain.build / FOLDER).exists()


@pytest.mark.parametrize("attention", ["exact", "block"])
def test_a_soft_prompt_uses_the_attention_it_was_trained_with(make_domain: MakeDomain, attention: str) -> None:
    domain = make_domain(ingest=True, attention=attention)
    assert domain.train().kept
    assert domain.manifest is not None
    assert domain.manifest.attention == attention
    assert domain.notices() == []
    other = {"exact": "block", "block": "exact"}[attention]
    path = domain.folder / "domain.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "attention": other}))
    switched = opened(domain.folder)
    [notice] = switched.notices()
    assert f"trained with {attention} attention" in notice
    assert f"domain.yaml says {other}" in notice
    chat = switched.answering("soft").speaker.chat  # type: ignore[attr-defined]
    assert chat.attention == attention
    assert switched.answering("text-twin").speaker.chat.attention == other  # type: ignore[attr-defined]


def test_an_unknown_attention_is_refused(make_domain: MakeDomain) -> None:
    with pytest.raises(Exception, match="attention: Input should be 'exact' or 'block'"):
        make_domain(attention="blocks")


def test_status_creates_no_cache(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True)
    assert json.dumps(domain.status())
    assert files(domain) == []
