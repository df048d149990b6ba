"""Prometheus metrics of a server, at GET /metrics. No label has a value that a client chooses freely."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from hrm_align.serve.scheduler import Scheduler

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """Counters of one server, in a registry of their own.

    Args:
        scheduler: scheduler whose state the gauges show.
    """

    def __init__(self, scheduler: Scheduler):
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "hrm_align_requests", "Requests by endpoint and HTTP status; 499 for a client that has gone.", ["endpoint", "status"],
            registry=self._registry,
        )  # fmt: skip
        self.prompt_tokens = Counter(
            "hrm_align_prompt_tokens", "Prompt tokens, by model.", ["model"], registry=self._registry
        )
        self.completion_tokens = Counter(
            "hrm_align_completion_tokens", "Tokens drawn, by model.", ["model"], registry=self._registry
        )
        self.first_token = Histogram(
            "hrm_align_time_to_first_token_seconds", "From a request's arrival to its first token.", buckets=_SECONDS,
            registry=self._registry,
        )  # fmt: skip
        self.duration = Histogram(
            "hrm_align_request_seconds",
            "From a request's arrival to its end.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        gauges = {
            "hrm_align_running_completions": ("Completions that run.", lambda: scheduler.running),
            "hrm_align_waiting_requests": ("Requests that wait for room.", lambda: scheduler.waiting),
            "hrm_align_engine_faults": (
                "Steps of the engine that have failed one after the other.",
                lambda: scheduler.faults,
            ),
        }
        for name, (text, read) in gauges.items():
            Gauge(name, text, registry=self._registry).set_function(read)

    def page(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self._registry)
