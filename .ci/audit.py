"""Fail on known vulnerabilities of what is installed; say so where they cannot be looked up."""

from __future__ import annotations

import json
import sys
from pathlib import Path

report = Path(sys.argv[1])
packages = json.loads(report.read_text(encoding="utf-8"))["dependencies"] if report.exists() else []
unknown = [one["name"] for one in packages if "skip_reason" in one]
print(f"pip-audit: {len(packages)} packages, {len(unknown)} of them could not be looked up.")  # noqa: T201
found = [
    f"{one['name']} {one['version']}: {fault['id']}"
    for one in packages
    for fault in one.get("vulns", ())
]
sys.exit("\n".join(found) or 0)
