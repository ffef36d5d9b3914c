"""One round of work in one checkout of the project, timed. `checkouts.py` runs this file in two of them by turns.

It uses public names alone, so that it runs in older checkouts too. It prints one JSON object.
"""

from __future__ import annotations

import inspect
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

QUESTIONS = 6
EXAMPLES = {200: 32, 1000: 16, 2000: 8}
ANSWER = "You have 120 days to dispute a card payment."


def training(domain: Any, context: int) -> float:
    """Median seconds of a `kv` training step of four examples behind `context` tokens."""
    from prompts import SoftSegment
    from soft_prompt import TrainConfig, kv_from_text_twin, prompt_of, train

    store = domain.store
    backbone = store.backbone
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted((domain.folder / "docs").glob("*.md")))
    ids = backbone.encode_text(text)
    examples = []
    for number in range(EXAMPLES[context]):
        passage = backbone.decode(ids[number * context : (number + 1) * context])
        prompt = prompt_of("Answer from this text. ", passage, SoftSegment("domain"), user="How long do I have?")
        examples.append((prompt, ANSWER))
    # Older checkouts take the store, newer ones the backbone.
    first = next(iter(inspect.signature(kv_from_text_twin).parameters))
    start = kv_from_text_twin(
        store if first == "store" else backbone, "domain", "Answer in one sentence.", ids[:20], 32
    )
    times: list[float] = []
    last = time.perf_counter()

    def on_step(step: Any) -> None:
        nonlocal last
        now = time.perf_counter()
        if step.phase == "train":
            times.append(now - last)
        last = now

    config = TrainConfig(epochs=2, patience=2, batch_size=4, warmup_steps=1)
    train(store, start, examples, examples[:2], config, on_step=on_step)
    return statistics.median(times[1:])


def answering(domain: Any) -> dict[str, float]:
    """Median milliseconds to the first words of an answer, and CPU milliseconds of a follow-up."""
    lines = (domain.folder / "test.jsonl").read_text(encoding="utf-8").splitlines()
    items = [item for item in map(json.loads, lines) if not item.get("history") and item.get("answerable", True)]
    questions = [item["question"] for item in items[:QUESTIONS]]
    domain.chain.invoke({"question": questions[0]})
    first, follow_up = [], []
    for number, question in enumerate(questions):
        domain.chain.invoke({"question": question})  # so that the passages' keys and values are stored
        began = time.perf_counter()
        for part in domain.chain.stream({"question": question}):
            if part.get("answer"):
                first.append(1000 * (time.perf_counter() - began))
                break
        thread = {"configurable": {"thread_id": f"checkouts-{number}"}}
        domain.chain.invoke({"question": question}, config=thread)
        began = time.process_time()
        domain.chain.invoke({"question": "And what do I need for it?"}, config=thread)
        follow_up.append(1000 * (time.process_time() - began))
        domain.chain.delete(f"checkouts-{number}")
    return {"first_token_ms": statistics.median(first), "follow_up_cpu_ms": statistics.median(follow_up)}


def main() -> None:
    """Run one round for the domain whose folder is given."""
    began = time.perf_counter()
    from softgraft import open_domain

    domain = open_domain(Path(sys.argv[1]))
    _ = domain.store
    result = {"load_seconds": time.perf_counter() - began}
    result |= answering(domain)
    result |= {f"training_step_{context}_seconds": training(domain, context) for context in EXAMPLES}
    domain.close()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
