"""Transformers' `generate` with a PEFT prompt behind a queue: one question at a time, first come, first served."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from benchmarks.speed.serve.client import Reply
from benchmarks.speed.serve.texts import Question

_TWIN = "Answer the question from the passages above, in one short sentence, with the exact figures that they give."
_LENGTH = 16


class _Clock:
    """A streamer that notes when the first token comes; Transformers passes the prompt first."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, _: Any) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """Nothing is held back."""


def peft_replies(questions: Sequence[Question], callers: int, tokens: int, threads: int) -> list[Reply]:
    """Answer questions one at a time for a number of callers, each of whom asks again after an answer.

    Times count from when a question was asked, so they contain the wait for its turn.
    """
    import torch

    from benchmarks.peft_models import prompt_tuning_model
    from soft_prompt import Backbone, from_text_twin

    torch.set_num_threads(threads)
    backbone = Backbone.load()
    vectors = from_text_twin(backbone, "domain", _TWIN, _LENGTH).vectors
    prompts = [_prompt(backbone, question) for question in questions]
    model = prompt_tuning_model(backbone, vectors)
    settings: dict[str, Any] = {"do_sample": False, "max_new_tokens": tokens, "pad_token_id": backbone.end_id}

    def generate(ids: Any) -> tuple[int, float]:
        clock = _Clock()
        with torch.no_grad():
            out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), streamer=clock, **settings)
        return out.shape[1], clock.times[1]

    generate(prompts[0])
    asked, replies = [time.perf_counter()] * callers, []
    for number, ids in enumerate(prompts):
        # With equal callers, whose turn it is has waited longest.
        caller = number % callers
        length, first = generate(ids)
        now = time.perf_counter()
        count = length - ids.shape[1] if length > ids.shape[1] else length
        reply = Reply(200, asked[caller], first - asked[caller], now - asked[caller], count, ids.shape[1])
        replies.append(reply)
        reply.complete = True
        asked[caller] = now
    return replies


def _prompt(backbone: Any, question: Question) -> Any:
    import torch

    messages = plain_messages(question)
    ids = backbone.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    return torch.tensor([ids])


def plain_messages(question: Question) -> list[dict[str, str]]:
    """The prompt of systems without retrieval and soft prompt."""
    system = f"You are a helpful assistant who answers questions from these passages.\n\n{question.evidence}\n{_TWIN}"
    return [{"role": "system", "content": system}, {"role": "user", "content": question.text}]
