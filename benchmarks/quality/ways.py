"""What is trained in the quality benchmark, and the ways that were compared on dev before."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.quality.peft import ALORA, FULL, LORA, PROMPT_TUNING
from benchmarks.quality.systems import GraftSettings

KV = GraftSettings(rate=5e-2, questions=200, retrieved_questions=100)
EMBEDDING = GraftSettings(kind="embedding", rate=5e-2, questions=200, retrieved_questions=100)
ADAPTER = GraftSettings(kind="adapter", rank=16, adapter_rate=3e-3, questions=200, retrieved_questions=100)
SCALES = replace(ADAPTER, rank=0, scaling=True, adapter_rate=3e-2)
BOTH = replace(KV, rank=16, rate=1e-2, adapter_rate=3e-3)
GRAFTS = {
    "embedding": EMBEDDING,
    "kv": KV,
    "adapter": ADAPTER,
    "kv+adapter": BOTH,
    "adapter ia3": SCALES,
    "embedding-before": replace(EMBEDDING, before=True),
    "kv-before": replace(KV, before=True),
    "kv-block": replace(KV, attention="block"),
    "adapter-block": replace(ADAPTER, attention="block"),
    "spring": replace(EMBEDDING, uncached=True, random_length=True),
}
# Trained parameters from 10 thousand to 5 million; rates as of the system whose kind they are.
CURVE = {
    "embedding 8": replace(EMBEDDING, length=8),
    "embedding 128": replace(EMBEDDING, length=128),
    "kv 4": replace(KV, length=4),
    "kv 128": replace(KV, length=128),
    "adapter rank 1": replace(ADAPTER, rank=1),
    "adapter rank 4": replace(ADAPTER, rank=4),
}
# A way changes one thing or two.
WAYS = CURVE | {
    "kv rate 1e-2": replace(KV, rate=1e-2),
    "kv rate 2e-2": replace(KV, rate=2e-2),
    "kv rate 1e-1": replace(KV, rate=1e-1),
    "kv 64 rate 1e-1": replace(KV, length=64, rate=1e-1),
    "kv 64": replace(KV, length=64),
    "kv 64 rate 1e-2": replace(KV, length=64, rate=1e-2),
    "kv 400 questions": replace(KV, questions=400, retrieved_questions=400),
    "kv 400 questions batch 4": replace(KV, questions=400, retrieved_questions=400, batch_size=4),
    "kv last": replace(KV, last=True),
    "kv top 15": replace(KV, layers=15),
    "embedding rate 2e-2": replace(EMBEDDING, rate=2e-2),
    "embedding rate 1e-1": replace(EMBEDDING, rate=1e-1),
    "embedding 64": replace(EMBEDDING, length=64),
    "adapter rate 1e-3": replace(ADAPTER, adapter_rate=1e-3),
    "adapter rate 6e-3": replace(ADAPTER, adapter_rate=6e-3),
    "adapter rank 4 rate 6e-3": replace(ADAPTER, rank=4, adapter_rate=6e-3),
    "adapter rank 1 rate 1e-2": replace(ADAPTER, rank=1, adapter_rate=1e-2),
    "adapter top 15": replace(ADAPTER, layers=15),
    "adapter 400 questions": replace(ADAPTER, questions=400, retrieved_questions=400),
    "kv+adapter rate 5e-2": replace(BOTH, rate=5e-2),
    "kv+adapter 400 questions": replace(BOTH, questions=400, retrieved_questions=400),
    "kv+adapter 200 questions": replace(BOTH, retrieved_questions=200),
    "kv+adapter 2 passages": replace(BOTH, retrieved_questions=200, passages=2),
    "kv+adapter rank 4": replace(BOTH, rank=4),
    "kv+adapter rank 4 rate 1e-3": replace(BOTH, rank=4, adapter_rate=1e-3),
}
# Rates of the peers, so that they too have theirs chosen on dev.
PEER_WAYS = {
    "lora-r16 rate 1e-3": (LORA, 1e-3),
    "lora-r16 rate 3e-3": (LORA, 3e-3),
    "lora-r16 rate 6e-3": (LORA, 6e-3),
    "alora-r16 rate 3e-3": (ALORA, 3e-3),
    "peft-prompt-tuning rate 2e-2": (PROMPT_TUNING, 2e-2),
    "peft-prompt-tuning rate 1e-1": (PROMPT_TUNING, 1e-1),
    "full-fine-tuning rate 3e-5": (FULL, 3e-5),
    "full-fine-tuning rate 1e-4": (FULL, 1e-4),
}
