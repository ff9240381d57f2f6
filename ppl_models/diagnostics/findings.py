"""One finding of a diagnosis."""

from __future__ import annotations

from dataclasses import dataclass

SEVERITIES = ("problem", "warning", "ok")


@dataclass(frozen=True)
class Finding:
    """One finding: its severity (see ``SEVERITIES``), what is wrong or right, and what to do."""

    severity: str
    what: str
    advice: str = ""
