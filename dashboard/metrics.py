"""How the server is doing, in numbers that Prometheus reads.

They cost nothing where nobody asks for them: in a notebook, or under ``panel serve``.
"""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

__all__ = [
    "ANSWERS",
    "CACHE_BYTES",
    "FAULTS",
    "JOBS",
    "OPEN_SCANS",
    "REFUSED",
    "VISITS",
    "VISITS_NOW",
    "as_text",
]

_REGISTRY = CollectorRegistry()
ProcessCollector(registry=_REGISTRY)  # memory, file handles, CPU; on Linux
PlatformCollector(registry=_REGISTRY)

ANSWERS = Histogram(
    "maxrf_answer_seconds",
    "From a gesture's reaching the server to its answer's leaving it.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30),
    registry=_REGISTRY,
)
VISITS = Counter("maxrf_visits", "Pages that were asked for.", registry=_REGISTRY)
VISITS_NOW = Gauge(
    "maxrf_visits_now",
    "Pages that the server keeps: open in a browser, or left a short while ago.",
    ["state"],
    registry=_REGISTRY,
)
REFUSED = Counter("maxrf_refused", "Requests that were refused.", ["why"], registry=_REGISTRY)
FAULTS = Counter("maxrf_faults", "Failures that a visitor was told of.", registry=_REGISTRY)
JOBS = Counter(
    "maxrf_jobs", "Conversions from the page, by how they ended.", ["end"], registry=_REGISTRY
)
OPEN_SCANS = Gauge("maxrf_open_scans", "Scans that are open.", registry=_REGISTRY)
CACHE_BYTES = Gauge("maxrf_cache_bytes", "Memory of the cached counts.", registry=_REGISTRY)


def as_text() -> bytes:
    """Return all numbers in Prometheus's text format."""
    return generate_latest(_REGISTRY)
