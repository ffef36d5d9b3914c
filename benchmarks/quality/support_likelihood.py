"""How much likelier the evidence makes a sentence, under the embedded backbone: a signal beside the support check."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.nn.functional import log_softmax

from benchmarks.quality.support_scores import JudgedSentence
from soft_prompt import Backbone


def gains(sentences: Iterable[JudgedSentence]) -> dict[str, float]:
    """For each sentence by its id, the mean gain in log-likelihood per token, in nats."""
    backbone = Backbone.load()
    found: dict[str, float] = {}
    for sentence in sentences:
        if sentence.id not in found:
            evidence = "\n\n".join(f"{p.title}. {p.heading}\n{p.text}" for p in sentence.passages)
            question = f"Question: {sentence.question}\nAnswer:"
            with_evidence = _log_likelihood(backbone, f"{evidence}\n\n{question}", sentence.sentence)
            found[sentence.id] = with_evidence - _log_likelihood(backbone, question, sentence.sentence)
    return found


def _log_likelihood(backbone: Backbone, prompt: str, sentence: str) -> float:
    """Mean over the sentence's tokens, in nats. Text that looks like a control token stays text."""
    before = _ids(backbone, prompt)
    after = _ids(backbone, f" {sentence}")
    ids = torch.tensor([before + after], device=backbone.device)
    with torch.no_grad():
        logits = backbone.model(input_ids=ids, logits_to_keep=len(after) + 1).logits[0, :-1].float()
    targets = torch.tensor(after, device=logits.device)
    return float(log_softmax(logits, dim=-1).gather(1, targets[:, None]).mean())


def _ids(backbone: Backbone, text: str) -> list[int]:
    ids: list[int] = backbone.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return ids
