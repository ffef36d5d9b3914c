"""Warm-up: one short answer of a domain before its first caller comes."""

from __future__ import annotations

from dataclasses import replace

from chains.speakers.requested import RequestSettings, TokenUsage, requested_speaker
from softgraft.domain import Domain

_QUESTION = "What is this about?"
_TOKENS = 2


def warm_up(domain: Domain) -> None:
    """Search, and answer with a few tokens. Nothing is stored.

    This loads or computes what all later answers use: the encoder, the engine of the backbone and its compiled
    kernels, and the keys and values of the template's beginning. A model behind an API is not called, and a domain
    that only quotes loads no backbone.
    """
    answering = domain.chain.answering
    answering.evidence_many([_QUESTION])
    if domain.remote and answering.settings.form != "quote":
        return
    few = RequestSettings(decoding={"max_tokens": _TOKENS})
    speaker = requested_speaker(answering.speaker, few, TokenUsage(), domain.file.backbone)
    # Without a scale the evidence is always enough, so the model is asked.
    chain = domain.chain.with_answering(replace(answering, speaker=speaker, scale=None))
    chain.invoke({"question": _QUESTION, "history": []})
