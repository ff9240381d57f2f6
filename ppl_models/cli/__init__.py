"""The command line ``ppl-models``: fit, predict, generate and report files.

Nothing heavy is imported before a command has been understood, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ppl_models.cli.parser import build_parser
from ppl_models.cli.process import GRACE, KEEPING, guarded, prepare

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: words of the command line (default: those of the process).

    Returns:
        The exit status: 0 done, 1 a defect of ours, 2 wrong input, 130 stopped by Ctrl-C, 141 the
        reader of the output went away.

    >>> main(["fit", "gaussian_mixture", "no.csv", "--out", "fit.nc", "--method", "magic"])
    2
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "calls.csv").write_text("calls\\n1\\n2\\n1\\n9\\n8\\n9\\n")
    >>> fit = ["fit", "poisson_mixture", f"{folder}/calls.csv", "--method", "em", "--quiet"]
    >>> main([*fit, "--clusters", "2", "--out", f"{folder}/calls.nc"])
    0
    >>> new = ["--rows", "4", "--out", f"{folder}/new.csv"]
    >>> main(["generate", f"{folder}/calls.nc", *new])  # says where, and its status
    /...new.csv
    0
    >>> len((folder / "new.csv").read_text().splitlines())  # a line of names and four rows
    5
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    prepare()
    keeping = any(word.split("=")[0] == "--checkpoint" for word in words)
    return guarded(
        lambda: _run(words),
        debug="--debug" in words[:1],
        may_exit=arguments is None,
        grace=KEEPING if keeping else GRACE,
    )


def _run(words: list[str]) -> None:
    try:
        options = build_parser().parse_args(words)
    except SystemExit:  # argparse has printed its help
        return
    options.run(options)
