"""Pages are self-contained, escaped, atomic and never overwrite unasked."""

from __future__ import annotations

import base64
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ppl_models.errors import InputError
from ppl_models.report import Block, Section, write_gallery, write_page
from ppl_models.report.page import text_html
from ppl_models.report.tables import column_texts, decimals, number, table_html

NASTY = "<script>alert('x')</script> & \"quotes\""
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Outline(HTMLParser):
    """Tags and attributes of a page; fails where tags do not close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(text: str) -> Outline:
    parser = Outline()
    parser.feed(text)
    assert parser.open == []
    return parser


def figure() -> plt.Figure:
    made, axes = plt.subplots(figsize=(2, 1))
    axes.plot([0, 1])
    return made


def page(tmp_path: Path, *blocks: Block, title: str = "Title") -> str:
    return write_page(title, blocks, tmp_path / "page.html").read_text(encoding="utf-8")


def test_everything_that_comes_from_data_is_escaped(tmp_path):
    table = pd.DataFrame({NASTY: [NASTY]}, index=pd.Index([NASTY], name=NASTY))
    block = Block(NASTY, f"{NASTY}\n- {NASTY}\n\n`{NASTY}`", table, (figure(),), (NASTY,), NASTY)
    text = page(tmp_path, block, Block("other"), title=NASTY)
    assert "<script" not in text
    tags = outline(text).tags
    assert not any("onerror" in attributes or tag == "script" for tag, attributes in tags)
    assert [attributes["alt"] for tag, attributes in tags if tag == "img"] == [NASTY]


def test_a_page_loads_nothing(tmp_path):
    text = page(tmp_path, Block("a", figures=(figure(),)), Block("b"))
    assert "://" not in text
    for tag, attributes in outline(text).tags:
        assert tag not in ("script", "link", "iframe")
        for value in (attributes.get("src", ""), attributes.get("href", "")):
            assert value == "" or value.startswith(("data:image/png;base64,", "#"))
    assert not re.search(r"url\(|@import", text)


def test_pictures_are_inside_the_page_and_closed(tmp_path):
    text = page(tmp_path, Block("a", figures=(figure(), figure()), captions=("one",)))
    pictures = re.findall(r"base64,([^']+)'", text)
    assert len(pictures) == 2
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pictures)
    assert text.count("<figcaption>") == 1


def test_contents_link_to_the_headings(tmp_path):
    blocks = (Block("One"), Block("Inner", level=3), Block("", "goes on"), Block("Two"))
    tags = outline(page(tmp_path, *blocks)).tags
    links = [attributes["href"] for tag, attributes in tags if tag == "a"]
    anchors = {attributes.get("id") for tag, attributes in tags if tag == "h2"}
    assert len(links) == 2 and {link[1:] for link in links} == anchors


def test_blocks_are_asked_for_one_at_a_time(tmp_path):
    def blocks():
        for _ in range(3):
            assert plt.get_fignums() == []
            yield Block("a", figures=(figure(),))

    write_page("t", blocks(), tmp_path / "page.html")


def test_what_exists_is_kept_unless_asked(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists: choose another name"):
        write_page("t", [], path)
    assert path.read_text() == "mine"
    assert write_page("t", [], path, overwrite=True) == path
    assert "<title>t</title>" in path.read_text()


def test_a_page_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("mine")

    def broken():
        yield Block("a")
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_page("t", broken(), path, overwrite=True)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_page("t", [], path, overwrite=True)
    assert [actual.name for actual in tmp_path.iterdir()] == ["page.html"]
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "message"), [("no/page.html", "does not exist"), ("", "is a folder")]
)
def test_places_where_no_page_can_be_written_are_named(tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        write_page("t", [], tmp_path / name)


def test_a_gallery_has_its_parts_in_order(tmp_path):
    parts = [
        Section("First", (Block("inner"),), text="about"), Section("Second", (Block("last"),)),
    ]  # fmt: skip
    text = write_gallery(parts, tmp_path / "g.html", "Gallery").read_text(encoding="utf-8")
    heads = re.findall(r"<h([123])[^>]*>([^<]+)", text)
    assert heads == [
        ("1", "Gallery"), ("2", "First"), ("3", "inner"), ("2", "Second"), ("3", "last"),
    ]  # fmt: skip


def test_texts_become_paragraphs_and_lists():
    assert text_html("one\ntwo\n\nthree") == "<p>one two</p><p>three</p>"
    assert text_html("- a\n- b") == "<ul><li>a</li><li>b</li></ul>"
    assert text_html("- a\n  more\n- b\nafter") == "<ul><li>a more</li><li>b</li></ul><p>after</p>"
    assert text_html("`a < b`") == "<p><code>a &lt; b</code></p>"


def test_numbers_stand_right_and_are_rounded():
    table = pd.DataFrame({"value": [1234.5678, -0.5], "name": ["a", "b"], "n": [10000, 2]})
    text = table_html(table)
    assert re.findall(r"<td class='number'>([^<]*)", text) == ["1,234.6", "10,000", "−0.5", "2"]
    assert re.findall(r"<th(?: [^>]*)?>([^<]*)", text) == ["value", "name", "n"]


def test_row_heads_are_rounded_where_they_stay_apart():
    heads = lambda labels: re.findall(  # noqa: E731
        r"<tr><th>([^<]*)", table_html(pd.DataFrame({"n": 1}, labels)).partition("<tbody>")[2]
    )
    assert heads([2.149866887825189, 0.02, 3.0]) == ["2.15", "0.02", "3"]
    assert heads([1.00001, 1.00002]) == ["1.00001", "1.00002"]


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ([0.12345, 0.9], 3), ([12.345, 1.0], 1), ([-1149.83, -1149.12], 2), ([3.0, 4.0], 0),
        ([123456.7], 0), ([np.nan], 0), ([1e-9], 6),
    ],
)  # fmt: skip
def test_a_column_is_rounded_by_its_size_and_spread(values, places):
    assert decimals(np.array(values)) == places


def test_special_columns_have_roundings_of_their_own():
    assert column_texts(pd.Series([1.00349]), "r_hat")[0] == ["1.003"]
    assert column_texts(pd.Series([1866.4]), "ess_bulk")[0] == ["1,866"]
    assert column_texts(pd.Series([0.1234]), "share") == (["12.3%"], True)
    assert column_texts(pd.Series([True, False]), "best") == (["yes", "no"], False)
    assert column_texts(pd.Series(["x", None], dtype=object), "origin")[0] == ["x", "–"]
    assert column_texts(pd.Series(["−1.5", "2"]), "value")[1]
    assert number(float("-inf"), 2) == "−∞"


def test_long_tables_are_cut_and_say_so():
    text = table_html(pd.DataFrame({"a": range(100)}), at_most=10)
    assert text.count("<tr>") == 11
    assert "The first 10 of 100 lines." in text


def test_an_index_is_the_head_of_its_row_and_severities_are_marked():
    table = pd.DataFrame({"": ["problem", "ok"]}, index=pd.Index(["a", "b"], name="what"))
    text = table_html(table)
    assert "<th>a</th><td class='problem'>✗ problem</td>" in text
    plain = table_html(pd.DataFrame({"": ["x"]}, index=["a"]))
    assert "<thead>" not in plain
