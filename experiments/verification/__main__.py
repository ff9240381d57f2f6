"""``python -m experiments.verification``: simulation-based calibration of programs and samplers.

Every program with every method that draws; what is found is printed and kept in ``results.md``.
Broken fits, which assume a wrong prior, must be found out. Words choose the cases whose name and
method contain one of them: ``"mixture gibbs"`` those of mixtures by Gibbs sampling. With the word
``references`` alone: the posteriors that others have drawn too, see ``references.py``; with the
word ``programs``, and names of some if not all: programs as people write them, see ``programs.py``;
with the word ``kills``: fits that are killed and go on, see ``kills.py``; with the word
``upstream``: scikit-learn's and hmmlearn's own tests against our estimators, see
``experiments/upstream``.
"""

from __future__ import annotations

import subprocess
import sys

from experiments.verification import calibration_table, kills, programs, references
from experiments.verification.calibration_cases import jobs


def main(chosen: list[str]) -> None:
    """Run all cases, or those whose name contains a word that was given."""
    if chosen == ["kills"]:
        kills.main()
        return
    if chosen and chosen[0] == "programs":  # whose names are those of calibrated programs too
        programs.main(chosen[1:])
        return
    for name, method, simulations, case in jobs():
        if chosen and not any(word in f"{name} {method}" for word in chosen):
            continue
        row = calibration_table.line(name, method, simulations, **case)
        print(row, flush=True)
        calibration_table.keep(row)  # as it goes: the whole takes long
    if not chosen:
        programs.main([])
    if not chosen or "upstream" in chosen:
        # other libraries' classes are replaced, and SciPy is set up anew: a process of its own
        subprocess.run([sys.executable, "-m", "experiments.upstream"], check=True)
    if not chosen or "references" in chosen:
        if references.FOLDER.is_dir():
            compared = references.table()
            if not chosen:
                keep_references(compared)
        else:
            print(f"no {references.FOLDER}: posteriordb's data are not there")
    if not chosen:
        kills.main()


def keep_references(lines: list[str]) -> None:
    """Put the table of references in place of that of the file."""
    path = calibration_table.RESULTS
    calibrated = path.read_text(encoding="utf-8").split(references.HEADER)[0].rstrip()
    path.write_text("\n".join([calibrated, "", references.HEADER, *lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
