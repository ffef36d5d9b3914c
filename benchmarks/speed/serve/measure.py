"""Measures the systems of `serving.py`: speed with several callers, overload, and many turns."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from benchmarks.script import in_own_process, utc_now
from benchmarks.speed.serve.building import embedded_folder, make_domains
from benchmarks.speed.serve.client import Reply, closed_loop, open_loop
from benchmarks.speed.serve.peft_queue import peft_replies, plain_messages
from benchmarks.speed.serve.processes import Process, softgraft_server, vllm_server
from benchmarks.speed.serve.texts import QUESTIONS_PER_DOMAIN, TOWNS, Question, domain_name, foreign_names, question

# Overload: places for running and for waiting requests.
_RUNNING, _QUEUE = 16, 16
_TIMES_CAPACITY = 10
_FOLLOW_UPS = 3


class Measuring:
    """Measures with one set of domains.

    Args:
        config: `answers`, `tokens`, `threads` and `dtype`; see the options of the script.
        work: folder for the domains and logs.
        vllm: Python of an environment with vLLM.
    """

    def __init__(self, config: Mapping[str, Any], work: Path, vllm: Path | None) -> None:
        self._config, self._work, self._vllm = config, work.resolve(), vllm
        self._work.mkdir(parents=True, exist_ok=True)
        self._folders = in_own_process(make_domains, self._work, config["dtype"])

    def cells(self, system: str, callers: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """The figures of a system for each number of callers."""
        if system == "peft":
            for count in callers:
                questions = _questions(self._count(count))
                replies = in_own_process(
                    peft_replies, questions, count, self._config["tokens"], self._config["threads"]
                )
                yield count, summary(replies)
            return
        with self._server(system, max(callers)) as server:
            # Every system may keep the keys and values of the documents.
            closed_loop(server.address, iter([self._body(system, one, 1) for one in _questions(_all())]), 4)
            for count in callers:
                bodies = [self._body(system, one) for one in _questions(self._count(count))]
                cell = summary(closed_loop(server.address, iter(bodies), count))
                yield count, {**cell, "ready_seconds": round(server.ready_seconds, 1)}

    def _count(self, callers: int) -> int:
        return callers * max(2, int(self._config["answers"]) // callers)

    def _server(self, system: str, callers: int) -> AbstractContextManager[Process]:
        if system == "vllm":
            assert self._vllm is not None
            model = Path(in_own_process(embedded_folder))
            return vllm_server(self._vllm, model, "bfloat16", self._work, self._config["threads"])
        running = 1 if system == "one at a time" else callers
        return self._softgraft(running=running, queue=callers, streams=callers + running)

    def _softgraft(self, **limits: int) -> Process:
        limits["first-token-seconds"] = 600
        return softgraft_server(self._folders, self._work, self._config["threads"], limits)

    def _body(self, system: str, asked: Question, tokens: int | None = None) -> dict[str, Any]:
        more = {"max_tokens": tokens or self._config["tokens"], "temperature": 0}
        if system == "vllm":
            return {"model": "plain", "messages": plain_messages(asked), **more}
        return {"model": domain_name(asked.domain), "messages": [{"role": "user", "content": asked.text}], **more}

    def overload(self, seconds: float) -> dict[str, Any]:
        """As many callers as there are places, then ten times as many requests per second as were answered."""
        with self._softgraft(running=_RUNNING, queue=_QUEUE, streams=_RUNNING + _QUEUE) as server:
            places = _RUNNING + _QUEUE
            full = closed_loop(server.address, iter(self._bodies(places * max(2, round(seconds / 8)))), places)
            rate = summary(full)["answers_per_second"]
            start, bodies = server.log_size(), self._bodies(_all())
            replies = open_loop(
                server.address, lambda number: bodies[number % len(bodies)], _TIMES_CAPACITY * rate, seconds
            )
            logged = server.logged_seconds(start)
        refused = [reply for reply in replies if reply.refused]
        served = [reply for reply in replies if not reply.refused]
        return {
            "places": places,
            "requests_per_second": round(_TIMES_CAPACITY * rate, 1),
            "seconds": seconds,
            "at_capacity": summary(full),
            "served": summary(served),
            "statuses": {str(status): count for status, count in Counter(one.status for one in replies).items()},
            "refusal_ms_client": _milliseconds([one.whole for one in refused]),
            "refusal_ms_server": _milliseconds([*logged.get(429, ()), *logged.get(503, ())]),
            "finished": utc_now(),
        }

    def _bodies(self, count: int) -> list[dict[str, Any]]:
        return [self._body("softgraft", one) for one in _questions(count)]

    def turns(self, count: int, callers: int) -> dict[str, Any]:
        """Conversations of many callers, compared with the same conversations held alone."""
        conversations = [(domain, number) for number in range(3) for domain in range(len(TOWNS))]
        # The domains keep the conversations of earlier runs.
        run = utc_now()
        with self._softgraft(running=min(callers, _RUNNING), queue=callers, streams=2 * callers) as server:
            alone = {one: self._conversation(server.address, one, f"{run} alone {one[1]}") for one in conversations}
            rounds = max(1, count // (_FOLLOW_UPS * callers))
            samples, differing, foreign, failed, done = [server.usage()], 0, 0, 0, 0
            numbers = itertools.cycle(conversations)
            for number in range(rounds):
                held = [next(numbers) for _ in range(callers)]
                for turn in range(_FOLLOW_UPS):
                    bodies = [self._turn(one, turn, f"{run} {number} {place}") for place, one in enumerate(held)]
                    for body, one, reply in _in_order(server.address, bodies, held):
                        same = alone[one][turn]
                        done += 1
                        failed += not reply.complete
                        differing += reply.text != same.text or _citations(reply) != _citations(same)
                        foreign += _has_foreign(reply, one[0], body["metadata"]["thread_id"])
                if number % max(1, rounds // 20) == 0 or number == rounds - 1:
                    samples.append({"turns": done, **server.usage()})
                    print(f"{done:,} turns: {samples[-1]}, {differing} differ, {foreign} foreign", flush=True)
        return {
            "turns": done, "callers": callers, "failed": failed, "with_something_of_another": foreign,
            "differ_from_alone": differing, "samples": samples, "finished": utc_now(),
        }  # fmt: skip

    def _turn(self, conversation: tuple[int, int], turn: int, thread: str) -> dict[str, Any]:
        domain, number = conversation
        body = self._body("softgraft", question(domain, number + turn))
        return {**body, "metadata": {"thread_id": thread}}

    def _conversation(self, address: str, conversation: tuple[int, int], thread: str) -> list[Reply]:
        bodies = [self._turn(conversation, turn, thread) for turn in range(_FOLLOW_UPS)]
        return closed_loop(address, iter(bodies), 1)


def summary(replies: Sequence[Reply]) -> dict[str, Any]:
    """Tokens per second, and the times that callers waited for the first words and for the end, in milliseconds."""
    good = [reply for reply in replies if reply.complete and reply.first is not None]
    if not good:
        raise SystemExit(f"no answer, statuses {Counter(one.status for one in replies)}. Next: read the server's log")
    begun, ended = min(one.started for one in good), max(one.started + one.whole for one in good)
    tokens = sum(one.tokens for one in good)
    return {
        "answers": len(good),
        "failed": len(replies) - len(good),
        "refused_by_evidence": sum(bool(one.last.get("softgraft", {}).get("refused")) for one in good),
        "prompt_tokens": round(statistics.mean(one.prompt_tokens for one in good)),
        "tokens": round(tokens / len(good), 1),
        "seconds": round(ended - begun, 2),
        "tokens_per_second": round(tokens / (ended - begun), 1),
        "answers_per_second": round(len(good) / (ended - begun), 3),
        "first_ms": _milliseconds([one.first for one in good if one.first is not None]),
        "whole_ms": _milliseconds([one.whole for one in good]),
    }


def _milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    if not ordered:
        return {"count": 0}
    places = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    found = {name: ordered[math.ceil(share * len(ordered)) - 1] for name, share in places.items()}
    return {"count": len(ordered), **{name: round(1000 * value, 1) for name, value in found.items()}}


def _in_order(
    address: str, bodies: Sequence[dict[str, Any]], held: Sequence[tuple[int, int]]
) -> Iterator[tuple[dict[str, Any], tuple[int, int], Reply]]:
    """All requests at the same time, and which reply is whose."""
    # Each caller sends one request, so the replies come in the order of the callers.
    replies = closed_loop(address, iter(bodies), len(bodies))
    yield from zip(bodies, held, replies, strict=True)


def _has_foreign(reply: Reply, domain: int, thread: str) -> bool:
    """Whether a reply contains the text, the thread or a citation of another caller."""
    about = reply.last.get("softgraft", {})
    own = about.get("domain") == domain_name(domain) and about.get("thread_id") == thread
    cited = all(one["doc_id"].startswith(domain_name(domain)) for one in reply.last.get("citations", ()))
    return not (own and cited) or bool(foreign_names(reply.text, domain))


def _citations(reply: Reply) -> list[tuple[Any, ...]]:
    return [(one["doc_id"], one["start"], one["end"]) for one in reply.last.get("citations", ())]


def _questions(count: int) -> list[Question]:
    """Questions to the domains by turns."""
    return [question(number % len(TOWNS), number // len(TOWNS)) for number in range(count)]


def _all() -> int:
    return len(TOWNS) * QUESTIONS_PER_DOMAIN
