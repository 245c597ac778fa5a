"""Many visitors at once: ``python -m tests.load [SCAN.zipstore …]``.

Starts the real `maxrf serve` on loopback, and lets people into it who drag the energy window and
sigma on three scans side by side: some in Chromium, with the mouse, and more who speak Bokeh's
protocol over a websocket. A drag takes 1.5 s at 20 events a second; then its hand rests for 4 to
12 s, so that of 58 people nine drag at any time. Each event's time to its answer is measured: until
new data of that window, or of a later one, had come. Sigma the browser draws itself; the server's
own line follows when sigma has stood still for 150 ms, and that is part of its time here.

With --converting all of it is done twice, the second time while a larger scan is converted.
Afterwards, in a server of its own that forgets a page 1 s after its visitor left, --visits visits
come and go, and lines are fitted to its memory and its open files.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from .gestures import Pace
from .run import Load, measure, simulated_scans

DEFAULT = Pace()


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.load", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("scans", nargs="*", type=Path, metavar="SCAN", help="zipstores (three simulated ones)")
    add("--browsers", type=int, default=8, help="pages in Chromium (%(default)s)")
    add("--clients", type=int, default=50, help="visitors without a browser (%(default)s)")
    add("--minutes", type=float, default=10, help="how long they drag (%(default)s)")
    add("--num-procs", type=int, default=1, help="processes of the server (%(default)s)")
    add("--converting", action="store_true", help="once more while a scan is converted")
    add("--visits", type=int, default=500, help="visits that come and go (%(default)s)")
    add("--rate", type=float, default=DEFAULT.events_per_second, help="events/s (%(default)s)")
    add("--gesture", type=float, default=DEFAULT.gesture_s, help="seconds (%(default)s)")
    add("--pause", type=float, default=DEFAULT.pause_s, help="seconds, mean (%(default)s)")
    add("--folder", type=Path, help="where scans are simulated, and stay (a temporary folder)")
    add("--json", type=Path, help="write the figures and all gestures to this file")
    options = parser.parse_args(arguments)
    for name in ("browsers", "clients", "visits"):
        if getattr(options, name) < 0:
            parser.error(f"--{name} is {getattr(options, name)}, expected 0 or more")
    if 0 < options.visits < 10:
        parser.error(f"--visits is {options.visits}, expected 10 or more for a line, or 0")
    return options


def main(arguments: Sequence[str]) -> int:
    """Measure and print; return 1 if anything went wrong for anybody."""
    asked = parse(arguments)
    pace = Pace(asked.rate, asked.gesture, asked.pause)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (asked.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        scans = [path.resolve() for path in asked.scans] or simulated_scans(folder)
        load = Load(
            scans,
            folder,
            browsers=asked.browsers,
            clients=asked.clients,
            seconds=60 * asked.minutes,
            num_procs=asked.num_procs,
            converting=asked.converting,
            visits=asked.visits,
            pace=pace,
        )
        report = measure(load)
    sys.stdout.write(f"{report}\n")
    if asked.json is not None:
        asked.json.write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
    return 1 if report.errors else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends the server, too
    sys.exit(main(sys.argv[1:]))
