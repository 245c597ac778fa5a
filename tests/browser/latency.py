"""Measure from a gesture to the painted page, inside a real browser.

The clock starts when the widget or the annotation changes in the browser and stops when
Bokeh has painted the plot whose data the server sent back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_PROBE = """
() => {
  const probe = window.probe = {arrivals: [], paints: []};
  const models = () => [...Bokeh.documents[0]._all_models.values()];
  probe.models = models;
  probe.plot = (name) => models().find((m) => m.type === 'Figure' && m.tags.includes(name));
  probe.watch = (name) => {
    const plot = probe.plot(name);
    probe.arrivals = []; probe.paints = [];
    if (plot.probed) return;
    plot.probed = true;
    for (const renderer of plot.renderers) {
      const source = renderer.data_source;
      if (!source) continue;
      source.properties.data.change.connect(() => probe.arrivals.push(performance.now()));
      source.patching.connect(() => probe.arrivals.push(performance.now()));
    }
    const view = Bokeh.index.find_one(plot);
    const paint = view.paint.bind(view);
    view.paint = () => { paint(); probe.paints.push(performance.now()); };
  };
  probe.slider = (label) =>
    models().find((m) => m.data && (m.data.label || '').startsWith?.(label));
  probe.box = () => models().find((m) => m.name === 'energy window');
  probe.answer = (start) => new Promise((resolve) => {
    const poll = () => {
      const arrived = probe.arrivals.find((t) => t > start);
      const painted = arrived && probe.paints.find((t) => t > arrived);
      if (painted) resolve([arrived - start, painted - start]);
      else if (performance.now() - start > 5000) resolve([NaN, NaN]);
      else setTimeout(poll, 1);
    };
    poll();
  });
  probe.sigma = async (value) => {
    const start = performance.now();
    probe.slider('Smoothing').data.value = value;
    return probe.answer(start);
  };
  probe.window = async (left, right) => {
    const start = performance.now();
    probe.box().setv({left, right});
    return probe.answer(start);
  };
}
"""


@dataclass(frozen=True)
class Latency:
    """Milliseconds from gesture to data in the browser, and to the painted page."""

    data: np.ndarray
    paint: np.ndarray

    def summary(self) -> str:
        """Return median and 95th percentile of both in words."""
        (d50, d95), (p50, p95) = (np.percentile(v, (50, 95)) for v in (self.data, self.paint))
        return (
            f"data {d50:.0f} ms (p95 {d95:.0f}), painted {p50:.0f} ms (p95 {p95:.0f}), "
            f"n = {len(self.data)}"
        )


def _collect(page: Any, calls: list[tuple[str, list[float]]]) -> Latency:
    pairs = [page.evaluate(f"(args) => window.probe.{name}(...args)", args) for name, args in calls]
    values = np.array(pairs, dtype=float)
    return Latency(values[:, 0], values[:, 1])


def install(page: Any) -> None:
    """Put the probe into a loaded page."""
    page.evaluate(_PROBE)


def sigma_latency(page: Any, *, times: int = 40) -> Latency:
    """Move the sigma slider, one new value at a time, each awaited."""
    page.evaluate("() => window.probe.watch('spectrum')")
    values = 2.0 + 10.0 * np.random.default_rng(1).random(times)
    return _collect(page, [("sigma", [float(value)]) for value in values])


def window_latency(page: Any, *, low: float, width: float, times: int = 40) -> Latency:
    """Move the energy window on the spectrum, one place at a time, each awaited."""
    page.evaluate("() => window.probe.watch('map')")
    lows = low + 2.0 * np.random.default_rng(2).random(times)
    return _collect(page, [("window", [float(v), float(v + width)]) for v in lows])
