"""A domain that trains an adapter and leaves the text twin as it is, and the setting `answer.strength`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from house_domain import ANSWER, TRAIN, TWIN

from chains import LocalSpeaker
from soft_prompt import (
    SoftPrompt,
    encode_prompt,
    from_text_twin,
    kv_from_text_twin,
    weights_checksum,
)
from softgraft import Domain
from softgraft.assembly.answers import sample_prompts
from softgraft.domain import Graft

pytestmark = pytest.mark.heavy

MakeDomain = Callable[..., Domain]
QUESTION = {"question": "What is the fee of a replacement card?"}
ALONE = {**TRAIN, "kind": "adapter", "adapter_learning_rate": 0.03}


def fill(domain: Domain) -> SoftPrompt:
    """The soft prompt in the slot of the answers."""
    speaker = domain.answering("soft").speaker
    assert isinstance(speaker, LocalSpeaker)
    soft_prompt = speaker.chat.fills["domain"]
    assert isinstance(soft_prompt, SoftPrompt)
    return soft_prompt


@pytest.mark.parametrize(
    "settings",
    [{"adapter_rank": 2}, {"adapter": "ia3", "adapter_learning_rate": 0.3}, {"adapter_rank": 3, "layers": 1}],
    ids=["lora", "ia3", "layers"],
)
def test_an_adapter_is_trained_kept_and_used(make_domain: MakeDomain, settings: dict[str, Any]) -> None:
    domain = make_domain(ingest=True, train={**ALONE, **settings})
    before = weights_checksum(domain.store.backbone)
    report = domain.train()
    words = len(domain.store.backbone.encode_text(TWIN))
    form = settings.get("adapter", "lora")
    rank = settings.get("adapter_rank", 0)
    assert report.kept
    assert (report.kind, report.length, report.adapter, report.adapter_rank) == ("adapter", words, form, rank)
    assert report.layers == settings.get("layers")
    manifest = domain.manifest
    assert manifest is not None
    assert (manifest.kind, manifest.shape, manifest.length) == ("adapter", [words, 32], words)
    assert (manifest.adapter, manifest.adapter_rank, manifest.layers) == (form, rank or None, settings.get("layers"))
    # IA3 has too few scales on the tiny backbone to learn the answer.
    assert (domain.chain.invoke(QUESTION)["answer"] == ANSWER) == (form == "lora")
    status = domain.status()["soft_prompt"]
    assert (status["kind"], status["adapter"], status["adapter_rank"]) == ("adapter", form, rank or None)
    assert weights_checksum(domain.store.backbone) == before


def reply(domain: Domain, graft: Graft) -> str:
    answering = domain.answering(graft)
    assert isinstance(answering.speaker, LocalSpeaker)
    [evidence] = answering.evidence_many([QUESTION["question"]])
    prompt = answering.prompt(QUESTION["question"], [], evidence)
    [text] = answering.speaker.reply_many([answering.speaker.prepare(prompt)])
    return text


def test_strength_0_answers_like_the_text_twin(make_domain: MakeDomain) -> None:
    domain = make_domain(ingest=True, train={**ALONE, "adapter_rank": 2})
    assert domain.train().kept
    whole = fill(domain).adapter
    assert whole is not None
    replies = {}
    for strength in (1.0, 0.5, 0.0):
        answer = domain.file.answer.model_copy(update={"strength": strength})
        domain.file = domain.file.model_copy(update={"answer": answer})
        replies[strength] = reply(domain, "soft")
        adapter = fill(domain).adapter
        assert adapter is not None
        assert all(torch.equal(up, strength * whole.up[name]) for name, up in adapter.up.items())
    assert replies[1.0] == ANSWER
    assert replies[0.0] == reply(domain, "text-twin") != ANSWER


@pytest.mark.parametrize("kind", ["kv", "embedding"])
def test_strength_interpolates_the_vectors(make_domain: MakeDomain, kind: str) -> None:
    domain = make_domain(ingest=True, train={**TRAIN, "kind": kind, "adapter_rank": 2})
    assert domain.train().kept
    fills = {}
    for strength in (1.0, 0.5, 0.0):
        answer = domain.file.answer.model_copy(update={"strength": strength})
        domain.file = domain.file.model_copy(update={"answer": answer})
        fills[strength] = fill(domain)
    whole, half, none = fills.values()
    assert torch.equal(half.vectors, torch.lerp(none.vectors, whole.vectors, 0.5))
    # At strength 0 the vectors are the text twin after a prompt without documents.
    store, length = domain.store, whole.length
    if kind == "kv":
        sample = sample_prompts(domain.template.current())[0]
        prefix = encode_prompt(store.backbone, sample, {}).prefix
        assert torch.equal(none.vectors, kv_from_text_twin(store.backbone, "domain", TWIN, prefix, length).vectors)
    else:
        assert torch.equal(none.vectors, from_text_twin(store.backbone, "domain", TWIN, length).vectors)
    assert not torch.equal(none.vectors, whole.vectors)
    assert none.adapter is not None
    assert not any(up.any() for up in none.adapter.up.values())
