"""Programs as people write them: every one by EM, Gibbs sampling and NUTS, and after the fit.

The programs lie beside the repository; where they do not, nothing is run. Each is checked in a
process of its own, see ``one_program``: the log joint density against NumPyro's enumeration, how
far EM's answer is below the top, the samplers' means against each other, the truth, and every
question to a fit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from experiments.benchmarks.timing import machine

FOLDER = Path(__file__).parents[3] / "shared" / "programs"
RESULTS = Path(__file__).with_name("programs.md")
HELPERS = {"try_program", "bare_numpyro"}  #: files beside the programs that are none
LIMIT = 1_800  #: seconds that a program may take
ERROR = 1e-9  #: largest relative error of a log joint density that is called equal
GAIN = 1e-4  #: nats below the top that are called none
ERRORS_APART = 5.0  #: Monte Carlo standard errors between samplers that are called none
FROM_TRUTH = 4.0  #: posterior standard deviations from the truth that are called none
HEADER = (
    "| program | fits | log joint density: largest relative error | EM below the top, nats "
    "| Gibbs from NUTS, standard errors | truth from the mean, deviations | after the fit "
    "| seconds |\n|---|---|---:|---:|---:|---:|---|---:|"
)


def names(folder: Path) -> list[str]:
    """The programs that are there."""
    return sorted(p.stem for p in folder.glob("*.py") if p.stem not in HELPERS)


def check(path: Path) -> dict[str, Any]:
    """What :mod:`experiments.verification.one_program` says of one program, in its own process."""
    command = [sys.executable, "-m", "experiments.verification.one_program", str(path)]
    started = time.perf_counter()
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        record = json.loads(run.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        record = {"failed": f"took longer than {LIMIT} seconds"}
    except (IndexError, json.JSONDecodeError):
        record = {"failed": (run.stderr.splitlines() or ["no output"])[-1][:200]}
    return {**record, "seconds": time.perf_counter() - started}


def row(name: str, record: dict[str, Any]) -> str:
    """A line of the table; what is not as it should be is set in bold."""
    if "failed" in record:
        return f"| {name} | **{record['failed']}** | | | | | | {record['seconds']:.0f} |"
    fits = ", ".join(m if w == "ok" else f"**{m}**" for m, w in record["fits"].items())
    errors = [e for e in record["density"].values() if not isinstance(e, str)]
    words = [w for w in record["density"].values() if isinstance(w, str)]
    density = _number(max(errors, default=None), ERROR) + (" **not compared**" if words else "")
    after = record.get("after", {})
    wrong = [f"**{n}**" if failed(w) else f"*{n}*" for n, w in after.items() if w != "ok"]
    done = f"{len(after) - len(wrong)} of {len(after)}" + (": " if wrong else "") + ", ".join(wrong)
    cells = (
        name,
        fits,
        density,
        _number(record.get("left_to_gain"), GAIN),
        _number(record.get("agreement"), ERRORS_APART),
        _number(record.get("truth"), FROM_TRUTH),
        done,
        f"{record['seconds']:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def failed(words: str) -> bool:
    """Whether a question to a fit ended in a crash, and no reason was told why it has no answer."""
    return not words.startswith("refused: ")


def _number(value: Any, most: float) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return "**not computed**"
    return f"{value:.2g}" if value <= most else f"**{value:.2g}**"


def notes(name: str, record: dict[str, Any]) -> list[str]:
    """The sentences behind what is in bold."""
    said = {**record.get("fits", {}), **record.get("after", {})}
    said |= {f"density, {m}": w for m, w in record.get("density", {}).items() if isinstance(w, str)}
    if isinstance(record.get("left_to_gain"), str):
        said["EM below the top"] = record["left_to_gain"]
    return [f"- {name}, {what}: {words}" for what, words in said.items() if words != "ok"]


def main(chosen: list[str]) -> None:
    """Check all programs, or those named; the file of results has every row that was measured last.

    Args:
        chosen: names, and the folder where the programs are unless they lie beside the repository.
    """
    elsewhere = [Path(word) for word in chosen if Path(word).is_dir()]
    folder = elsewhere[0] if elsewhere else FOLDER
    if not folder.is_dir():
        print(f"no {folder}: the programs are not there")
        return
    chosen = [word for word in chosen if not Path(word).is_dir()]
    every = names(folder)
    for name in (n for n in every if not chosen or n in chosen):
        record = check(folder / f"{name}.py")
        lines = [row(name, record), *notes(name, record)]
        print(*lines, sep="\n", flush=True)
        if not elsewhere:
            write(name, lines, every)


def write(name: str, lines: list[str], every: list[str]) -> None:
    """The file that is kept in the repository, with the lines of one program put in anew.

    Args:
        name: of the program.
        lines: its row, and what is to be said of it.
        every: names of all programs; lines of others are left out.
    """
    before = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.is_file() else []
    others = [line for line in before if _program_of(line) in set(every) - {name}] + lines
    rows = sorted((line for line in others if line.startswith("| ")), key=_program_of)
    remarks = sorted((line for line in others if line.startswith("- ")), key=_program_of)
    note = (
        f"`python -m experiments.verification programs`, {date.today()}; {machine()}; "
        f"{len(rows)} of {len(every)} programs. Italics: what has no answer, for the reason below "
        f"the table. Bold: a fit that is refused, a crash, or a number above {ERROR:g} (density), "
        f"{GAIN:g} (EM), {ERRORS_APART:g} (samplers, of the means of the sites whose truth is "
        f"known), {FROM_TRUTH:g} (truth). Seconds include compilation."
    )
    text = "\n".join([note, "", HEADER, *rows, "", *remarks, ""])
    RESULTS.write_text(text, encoding="utf-8")


def _program_of(line: str) -> str:
    """The program that a line of the file is of; empty for other lines.

    >>> [_program_of(line) for line in ("| radon | em | 0 |", "- radon, loo: refused", "")]
    ['radon', 'radon', '']
    """
    if line.startswith("| "):
        return line.split("|")[1].strip()
    return line[2:].partition(",")[0] if line.startswith("- ") else ""


if __name__ == "__main__":
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path.cwd() / ".cache" / "jax"))
    main(sys.argv[1:])
