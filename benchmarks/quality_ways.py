"""What is trained in the quality benchmark, and the ways that were compared on dev before."""

from __future__ import annotations

from dataclasses import replace

from quality_peft import ALORA, FULL, LORA, PROMPT_TUNING
from quality_systems import GraftSettings

KV = GraftSettings()
EMBEDDING = GraftSettings(kind="embedding", rate=2e-2)
ADAPTER = replace(KV, rank=4)
SPRING = replace(EMBEDDING, uncached=True, random_length=True)
GRAFTS = {
    "embedding": EMBEDDING,
    "kv": KV,
    "kv+adapter": ADAPTER,
    "embedding-before": replace(EMBEDDING, before=True),
    "kv-before": replace(KV, before=True),
    "kv-block": replace(KV, attention="block"),
    "kv+adapter-block": replace(ADAPTER, attention="block"),
    "spring": SPRING,
}
# A way changes one thing of a system of `GRAFTS`.
WAYS = {
    "kv 8": replace(KV, length=8),
    "kv 64": replace(KV, length=64),
    "kv 128": replace(KV, length=128),
    "kv rate 5e-3": replace(KV, rate=5e-3),
    "kv rate 2e-2": replace(KV, rate=2e-2),
    "embedding 16": replace(EMBEDDING, length=16),
    "embedding 64": replace(EMBEDDING, length=64),
    "embedding rate 5e-3": replace(EMBEDDING, rate=5e-3),
    "embedding rate 5e-2": replace(EMBEDDING, rate=5e-2),
    "kv+adapter rank 1": replace(ADAPTER, rank=1),
    "kv+adapter rank 16": replace(ADAPTER, rank=16),
    "kv+adapter rate 2e-3": replace(ADAPTER, adapter_rate=2e-3),
    "kv+adapter rate 4e-3": replace(ADAPTER, adapter_rate=4e-3),
    "kv+adapter rank 16 rate 3e-3": replace(ADAPTER, rank=16, adapter_rate=3e-3),
    "kv 200 questions": replace(KV, questions=200),
    "kv rate 2e-2, 200 questions": replace(KV, rate=2e-2, questions=200),
    "kv 64 rate 2e-2, 200 questions": replace(KV, length=64, rate=2e-2, questions=200),
    "kv random length": replace(KV, random_length=True),
}
# Rates of the peers, so that they too have theirs chosen on dev.
PEER_WAYS = {
    "lora-r16 rate 1e-3": (LORA, 1e-3),
    "lora-r16 rate 3e-3": (LORA, 3e-3),
    "lora-r16 rate 1e-2": (LORA, 1e-2),
    "alora-r16 rate 3e-3": (ALORA, 3e-3),
    "peft-prompt-tuning rate 1e-1": (PROMPT_TUNING, 1e-1),
    "peft-prompt-tuning rate 2e-2": (PROMPT_TUNING, 2e-2),
    "full-fine-tuning rate 3e-5": (FULL, 3e-5),
    "full-fine-tuning rate 1e-4": (FULL, 1e-4),
}
