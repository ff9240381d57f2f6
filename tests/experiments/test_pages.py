"""Pages in a browser: what counts as a fault; the browser itself is asked by the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.pages.__main__ import Page, faults, lost, table

HOME = "http://127.0.0.1:1/"
SOUND: dict[str, Any] = {
    "loaded": [[HOME + "index.html", 2048]],
    "width": 390,
    "screen": 390,
    "wide": [],
    "absent": [],
    "unsaid": 0,
    "unshown": 0,
    "title": "Guide",
}


def test_a_sound_page_has_no_fault() -> None:
    assert faults("desktop", SOUND, [], HOME) == []


@pytest.mark.parametrize(
    ("change", "messages", "word"),
    [
        ({}, ["x is not defined"], "not defined"),
        ({"width": 420, "wide": ["table"]}, [], "420 wide on 390"),
        ({"width": 1981, "screen": 1981}, [], "no viewport"),
        ({"absent": [HOME + "a.png"]}, [], "no picture"),
        ({"unsaid": 2}, [], "2 pictures without words"),
        ({"unshown": 1}, [], "1 cells that plot"),
        ({"title": " "}, [], "no title"),
        ({"loaded": [["https://cdn.example/a.js", 9]]}, [], "from elsewhere"),
    ],
)
def test_each_fault_is_named(change: dict[str, Any], messages: list[str], word: str) -> None:
    (fault,) = faults("desktop", {**SOUND, **change}, messages, HOME)
    assert word in fault


def test_a_link_leads_to_a_page_and_a_place(tmp_path: Path) -> None:
    (tmp_path / "picture.png").touch()
    pages = {"index.html": Page(ids={"first"}), "guide/index.html": Page()}
    actual = ["", "index.html#first", "guide/index.html", "picture.png"]
    assert not any(lost(link, pages, tmp_path) for link in actual)
    assert lost("index.html#second", pages, tmp_path) and lost("other.html", pages, tmp_path)


def test_the_table_counts_pages_without_fault() -> None:
    pages = {
        "index.html": Page(1024, 1),
        "guide/b.html": Page(2048, 3, faults=["no title"]),
        "guide/more/c.html": Page(1024, 3),
    }
    text = table(pages)
    assert "3 pages" in text and "2 have no fault" in text
    assert "The heaviest, guide/b.html, has 2 KiB" in text
    assert "| (top) | 1 | 0 | 1 | 1 |" in text and "| guide | 2 | 1 | 2 | 2 |" in text
    assert "- guide/b.html: no title" in text and "c.html" not in text
