"""Build wheel and sdist, install each into an empty environment, and use what was installed.

    python .ci/package.py

Everything is written to build/package. The environments get the runtime dependencies alone, in the
versions of constraints.txt.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "package"

USE = """
import importlib.metadata as metadata, importlib.util as util, pathlib, sys
import ppl_models
place = pathlib.Path(ppl_models.__file__)
assert pathlib.Path(sys.prefix) in place.parents, place
assert not any(util.find_spec(name) for name in ("pytest", "polars", "funsor", "anndata"))
assert (place.parent / "py.typed").exists()
from ppl_models import assignments, fit, write_report
from ppl_models.data import old_faithful
from ppl_models.sklearn import GaussianMixture
rows = old_faithful()
tree = fit("gaussian_mixture", rows, method="em", seed=0, clusters=2, starts=2)
assert len(rows.join(assignments(tree))) == 272
write_report(tree, "page.html")
model = GaussianMixture(2, random_state=0).fit(rows)
assert sorted(model.means_[:, 1].round().tolist()) == [54.0, 80.0]
rows.to_csv("rows.csv", index=False)
print("ppl-models", metadata.version("ppl-models"), "works from", place.parent)
"""


def run(*words: object, **options: object) -> None:
    """Run a command, or stop."""
    print("+", *words, flush=True)
    subprocess.run([str(word) for word in words], check=True, **options)  # type: ignore[call-overload]


def main() -> None:
    """Build, install, use."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    dist = FOLDER / "dist"
    run(sys.executable, "-m", "build", "--outdir", dist, ROOT)
    # what is installed must not find this checkout
    clean = {n: v for n, v in os.environ.items() if n not in ("PYTHONPATH", "VIRTUAL_ENV")}
    for pattern in ("*.whl", "*.tar.gz"):
        (package,) = dist.glob(pattern)
        place = FOLDER / ("wheel" if pattern == "*.whl" else "sdist")
        venv.create(place, with_pip=True)
        python = place / "bin" / "python"
        constraints = ("--constraint", ROOT / "constraints.txt")
        run(python, "-m", "pip", "install", "--quiet", *constraints, package, env=clean)
        work = place / "work"
        work.mkdir()
        run(python, "-c", USE, cwd=work, env=clean)
        command = place / "bin" / "ppl-models"
        run(command, "list", cwd=work, env=clean, stdout=subprocess.DEVNULL)
        words = "fit gaussian_mixture rows.csv --clusters 2 --method em --out fit.nc --quiet"
        run(command, *words.split(), cwd=work, env=clean)
        run(command, "report", "fit.nc", cwd=work, env=clean)


if __name__ == "__main__":
    main()
