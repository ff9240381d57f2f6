"""The table of calibration in ``results.md``: every row is of the last run of its case."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path
from typing import Any

from experiments.benchmarks.timing import machine
from experiments.verification.calibration_cases import jobs
from ppl_models.evaluation.calibration import calibrate

RESULTS = Path(__file__).with_name("results.md")
HEADER = (
    "| program | method | simulations | quantities | smallest p-value of uniformity | calibrated "
    "| seconds | run |\n|---|---|---:|---:|---:|---|---:|---|"
)
NOTE = (
    "`make verify`; a row is of the last run of its case, on the day that it names; the machine of "
    "the latest: {machine}. Seconds include compilation; other work may have shared the cores. A "
    "method is called calibrated if the smallest p-value is above 0.01 / quantities."
)


def line(name: str, method: str, simulations: int, **case: Any) -> str:
    """Run one case; a line of the table."""
    started = time.perf_counter()
    calibration = calibrate(method=method, simulations=simulations, seed=20, **case).attrs
    seconds = time.perf_counter() - started
    return (
        f"| {name} | {method} | {simulations} | {calibration['quantities']} "
        f"| {calibration['worst']:.2g} | {'yes' if calibration['calibrated'] else 'NO'} "
        f"| {seconds:.0f} | {date.today()} |"
    )


def keep(row: str, path: Path = RESULTS) -> None:
    """Put a line into the file, in place of the one of the same case; rows of no case go.

    Args:
        row: a line of the table.
        path: of the file, whose other tables stay.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else "\n".join(["", "", HEADER, ""])
    table, after = text.split(HEADER + "\n")[1], ""
    if "\n\n" in table:
        table, after = table.split("\n\n", 1)
    by_case = {_case(r): r for r in [*table.splitlines(), row] if r}
    order = [(name, method) for name, method, *_ in jobs()]
    rows = [by_case[case] for case in order if case in by_case]
    note = NOTE.format(machine=machine())
    path.write_text("\n".join([note, "", HEADER, *rows, "", after]), encoding="utf-8")


def _case(row: str) -> tuple[str, str]:
    """Name and method of a line."""
    _, name, method, *_ = (cell.strip() for cell in row.split("|"))
    return name, method
