"""Compiled programs are kept between processes, unless somebody says otherwise."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ppl_models
from ppl_models import compilation_cache, memory

PACKAGE = Path(ppl_models.__file__).parent

#: a small program compiled within a call; prints where it is kept, and what was found there
CODE = """
import json, sys
import jax
import ppl_models
from ppl_models import compilation_cache
from ppl_models.program.runtime.precision import scope

before = jax.config.jax_compilation_cache_dir
found = []
jax.monitoring.register_event_listener(lambda event, **_: found.append(event.split("/")[-1]))
def double(x):
    return 2 * x

for line in sys.argv[1:]:
    exec(line)
with scope("float64"):
    jax.jit(double)(3.0)
print(json.dumps({
    "before": before,
    "place": jax.config.jax_compilation_cache_dir,
    "seconds": jax.config.jax_persistent_cache_min_compile_time_secs,
    "hits": found.count("cache_hits"),
}))
"""


def run(*lines: str, folder: Path | None = None, **environment: str) -> dict:
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("JAX_", "PPL_MODELS_"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE, *lines],
        capture_output=True,
        text=True,
        env={**clean, **environment},
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_next_process_and_another_checkout_find_what_was_compiled(tmp_path: Path) -> None:
    place = str(tmp_path / "xdg" / "ppl_models" / "jax")
    home = {"XDG_CACHE_HOME": str(tmp_path / "xdg")}
    first = run(**home)
    assert first == {"before": None, "place": place, "seconds": 0.0, "hits": 0}
    assert os.stat(place).st_mode & 0o077 == 0
    other = tmp_path / "elsewhere"
    shutil.copytree(PACKAGE, other / "ppl_models", ignore=shutil.ignore_patterns("__pycache__"))
    ours = "assert 'elsewhere' in ppl_models.__file__"
    assert run(ours, folder=other, PYTHONPATH=str(other), **home)["hits"] > 0


def test_who_says_where_is_heeded(tmp_path: Path) -> None:
    asked = {"XDG_CACHE_HOME": str(tmp_path)}
    assert run(PPL_MODELS_CACHE_DIR="off", **asked)["place"] is None
    mine = str(tmp_path / "mine")
    assert run(PPL_MODELS_CACHE_DIR=mine, **asked)["place"] == mine
    theirs = run(
        JAX_COMPILATION_CACHE_DIR="/nowhere/else", JAX_ENABLE_COMPILATION_CACHE="0", **asked
    )
    assert theirs["place"] == "/nowhere/else" and theirs["seconds"] == 1.0
    set_up = run(f"jax.config.update('jax_compilation_cache_dir', {mine!r})", **asked)
    assert set_up["place"] == mine and set_up["seconds"] == 1.0
    assert run("compilation_cache.keep_in(None)", **asked)["place"] is None
    assert run(f"compilation_cache.keep_in({mine!r})", PPL_MODELS_CACHE_DIR="off")["place"] == mine


def test_a_folder_that_cannot_be_used_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run(PPL_MODELS_CACHE_DIR=str(tmp_path / "file" / "below"))["place"] is None
    lines = ("import shutil", "shutil.disk_usage = lambda p: type('U', (), {'free': 0})")
    assert run(*lines, PPL_MODELS_CACHE_DIR=str(tmp_path / "full"))["place"] is None
    with pytest.raises(ppl_models.errors.InputError, match="cannot be kept in"):
        compilation_cache.keep_in(tmp_path / "file")


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    now = time.time()
    for age in range(8):
        file = tmp_path / f"{age}-cache"
        file.write_bytes(b"x" * 100)
        os.utime(file, (now - age, now - age))
    (tmp_path / "not-ours").write_bytes(b"x" * 1000)
    compilation_cache.cut_back(tmp_path, 800)
    assert len(list(tmp_path.iterdir())) == 9
    compilation_cache.cut_back(tmp_path, 700)
    assert {f.name for f in tmp_path.iterdir()} == {"not-ours", *(f"{a}-cache" for a in range(5))}
    assert memory.CACHE_FOLDER_BYTES > 0
