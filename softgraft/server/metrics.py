"""Counters and gauges of a server, in Prometheus' format. They contain no text of users, documents or models."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from chains.speakers.requested import TokenUsage

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The metrics of one application; each application has a registry of its own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "softgraft_requests", "Answered requests", ["method", "route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "softgraft_request_seconds", "Time to the end of a response", ["route"], buckets=_SECONDS, registry=registry
        )
        self.first_token = Histogram(
            "softgraft_first_token_seconds",
            "Time to the first piece of an answer",
            ["domain"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.tokens = Counter("softgraft_tokens", "Tokens of answers", ["domain", "kind"], registry=registry)
        self.answers = Counter("softgraft_answers", "Finished answers", ["domain", "outcome"], registry=registry)
        self.refused = Counter("softgraft_refused_requests", "Requests beyond a limit", ["reason"], registry=registry)
        self.disconnects = Counter("softgraft_disconnects", "Callers that left before the end", registry=registry)

    def count_answer(self, domain: str, usage: TokenUsage, *, refused: bool) -> None:
        """Count a finished answer and its tokens."""
        self.answers.labels(domain, "refused" if refused else "answered").inc()
        for kind, count in (("prompt", usage.prompt), ("cached", usage.cached), ("completion", usage.completion)):
            self.tokens.labels(domain, kind).inc(count)

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a gauge whose value is read at each scrape."""
        Gauge(f"softgraft_{name}", text, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """All metrics in the format that Prometheus reads."""
        return generate_latest(self._registry)
