"""README and documentation tell the truth: tables are the code's, examples and commands run."""

from __future__ import annotations

import re
import shlex
from functools import partial
from pathlib import Path

import pytest

import ppl_models
from ppl_models import catalogue
from ppl_models.cli import main
from ppl_models.errors import InputError
from ppl_models.tables import (
    NO_RESULTS,
    PAGES,
    RESULTS,
    benchmark_numbers,
    between_markers,
    filled,
    sections,
    unmet_need,
    variants,
)

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def as_it_is(name: str) -> str:
    """A generated section as the page has it."""
    (page,) = [page for page, names in PAGES.items() if name in names]
    text = (ROOT / page).read_text(encoding="utf-8")
    begin, end = between_markers(text, name)
    return text[begin:end]


#: reads all programs, with all their choices; what methods need of them: inference/test_refusals.py
LONG = "programs by methods"


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.long) if n == LONG else n for n in sections(ROOT)]
)
def test_generated_sections_are_up_to_date(name: str) -> None:
    assert as_it_is(name).strip() == sections(ROOT)[name]().strip(), "run: make tables"


def test_every_public_function_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference" / "functions.md").read_text(encoding="utf-8")
    listed = re.findall(r"^   (\w+)$", text, re.MULTILINE)
    assert sorted(listed) == sorted(ppl_models.__all__)


def test_filling_changes_what_is_out_of_date_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    again = {name: partial(str, as_it_is(name).strip()) for name in sections(ROOT)}
    monkeypatch.setattr("ppl_models.tables.sections", lambda _: again)
    page, names = next(iter(PAGES.items()))
    text = (ROOT / page).read_text(encoding="utf-8")
    begin, end = between_markers(text, "methods")
    assert filled(f"{text[:begin]}old\n{text[end:]}", names, ROOT) == filled(text, names, ROOT)
    with pytest.raises(InputError, match="begin methods"):
        between_markers(text.replace("<!-- begin methods -->", ""), "methods")


def test_numbers_come_from_the_recorded_run(tmp_path: Path) -> None:
    assert benchmark_numbers(tmp_path) == NO_RESULTS
    (tmp_path / RESULTS).mkdir(parents=True)
    (tmp_path / RESULTS / "01_em.md").write_text("12 times\n")
    (tmp_path / RESULTS / "02_words.md").write_text("3 seconds\n")
    assert benchmark_numbers(tmp_path) == "12 times\n\n3 seconds"
    assert benchmark_numbers(tmp_path, "words") == "3 seconds"
    assert benchmark_numbers(tmp_path, "start_up") == NO_RESULTS


def test_variants_are_the_choices_that_a_program_declares() -> None:
    covariances = [arguments["covariance"] for _, arguments in variants("gaussian_mixture")]
    assert covariances == ["spherical", "diagonal", "tied", "full"]
    assert list(variants("markov_chain")) == [("markov_chain", {})]


def test_known_refusals_are_seen() -> None:
    sphere = {"clusters": 2, "covariance": "spherical"}
    assert unmet_need("gaussian_mixture", "kmeans", sphere) is None
    full = unmet_need("gaussian_mixture", "kmeans", {"clusters": 2, "covariance": "full"})
    assert full is not None and "spherical Gaussian" in full
    assert unmet_need("markov_chain", "hard", {}) is not None
    assert unmet_need("bernoulli_mixture", "exact", {"clusters": 2}) is not None


def test_the_first_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    example = blocks("python")[0]
    assert len(example.strip().splitlines()) <= 25
    exec(compile(example, "README.md", "exec"), {"__name__": "readme"})
    assert (tmp_path / "old_faithful.html").is_file()


def test_the_program_in_a_file_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program = blocks("python")[1]
    name = re.match(r"# (\w+\.py)\n", program)
    assert name is not None
    Path(name[1]).write_text(program)
    Path("answers.csv").write_text("swims,skis\n" + "1,0\n" * 15 + "0,1\n" * 5 + "1,1\n0,0\n1,\n")
    commands = [line for block in blocks("sh") for line in block.splitlines() if name[1] in line]
    assert len(commands) == 1
    words = shlex.split(commands[0])
    assert words[0] == "ppl-models"
    assert main(words[1:]) == 0
    assert Path(words[words.index("--out") + 1]).is_file()


def test_commands_are_real() -> None:
    for block in blocks("sh"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["make"]:
                assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M), line
            elif words:
                assert words[0] == "ppl-models"
                if words[1] == "fit" and ":" not in words[2]:
                    assert words[2] in catalogue.model_names()


def test_the_map_names_every_room() -> None:
    text = (ROOT / "docs" / "background" / "rooms.md").read_text(encoding="utf-8")
    rooms = [p for p in (ROOT / "ppl_models").iterdir() if p.is_dir() and p.name[0] not in "_."]
    for room in rooms:
        assert f"  {room.name}/" in text, f"the map of the rooms lacks {room.name}/"
