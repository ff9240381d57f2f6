"""Data frames as HTML: numbers right-aligned and rounded to what a reader can use."""

from __future__ import annotations

import html
from collections.abc import Hashable

import numpy as np
import pandas as pd

SEVERITIES = {"ok": "✓ ok", "warning": "! warning", "problem": "✗ problem"}


def decimals(values: np.ndarray) -> int:
    """How many decimals show a column of numbers with about three figures.

    >>> decimals(np.array([0.4321, 0.1])), decimals(np.array([-1126.3, 3.0]))
    (3, 1)
    """
    finite = np.abs(values[np.isfinite(values) & (values != 0.0)])
    if finite.size == 0 or (finite == np.round(finite)).all():
        return 0
    scale = int(np.floor(np.log10(finite.max())))
    return 0 if scale >= 5 else int(np.clip(2 - scale, 1, 6))


def number(value: float, places: int) -> str:
    """One number: a real minus sign, thousands apart, a dash where there is none.

    >>> number(-1234.56, 1), number(float("nan"), 1), number(3e-9, 3)
    ('−1,234.6', '–', '3.0e-09')
    """
    if not np.isfinite(value):
        return "–" if np.isnan(value) else ("∞" if value > 0 else "−∞")
    if value != 0.0 and abs(value) < 0.05 * 10.0**-places:
        return f"{value:.1e}".replace("-", "−", 1) if value < 0 else f"{value:.1e}"
    return f"{value:,.{places}f}".replace("-", "−")


def column_texts(values: pd.Series, name: Hashable) -> tuple[list[str], bool]:
    """The cells of one column as plain text, and whether they are numbers.

    Args:
        values: the column.
        name: its name; columns of R-hat and effective sample sizes have roundings of their own.
    """
    if pd.api.types.is_bool_dtype(values):
        return ["yes" if value else "no" for value in values], False
    if pd.api.types.is_numeric_dtype(values):
        array = values.to_numpy(dtype=float, na_value=np.nan)
        places = decimals(array)
        if "r_hat" in str(name).lower() or str(name).lower() == "r-hat":
            places = 3
        elif str(name).lower().startswith("ess"):
            places = 0
        return [number(value, places) for value in array], True
    return ["–" if _absent(value) else str(value) for value in values], False


def _absent(value: object) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def table_html(table: pd.DataFrame, *, at_most: int = 60) -> str:
    """A table with its index as row heads; every cell is escaped.

    Args:
        table: at most `at_most` of its rows are shown, and a line says how many there are.
        at_most: see above.

    >>> "&lt;b&gt;" in table_html(pd.DataFrame({"a": ["<b>"]}))
    True
    """
    shown = table.head(at_most)
    plain = isinstance(shown.index, pd.RangeIndex) and shown.index.name is None
    heads = [] if plain else [[str(part) for part in _parts(label)] for label in shown.index]
    names = [] if plain else ["" if name is None else str(name) for name in shown.index.names]
    cells, numeric = [], []
    for position, name in enumerate(shown.columns):
        texts, is_number = column_texts(shown.iloc[:, position], name)
        cells.append(texts)
        numeric.append(is_number)
    lines = ["<div class='table'><table><thead><tr>"]
    lines += [f"<th>{html.escape(name)}</th>" for name in names]
    for name, is_number in zip(shown.columns, numeric, strict=True):
        kind = " class='number'" if is_number else ""
        lines.append(f"<th{kind}>{html.escape(_column_name(name))}</th>")
    lines.append("</tr></thead><tbody>")
    for row in range(len(shown)):
        head = [] if plain else [f"<th>{html.escape(part)}</th>" for part in heads[row]]
        body = [_cell(texts[row], is_number)
                for texts, is_number in zip(cells, numeric, strict=True)]  # fmt: skip
        lines.append(f"<tr>{''.join(head)}{''.join(body)}</tr>")
    lines.append("</tbody></table></div>")
    if len(table) > len(shown):
        lines.append(f"<p class='more'>The first {len(shown):,} of {len(table):,} lines.</p>")
    return "".join(lines)


def _parts(label: object) -> tuple[object, ...]:
    return label if isinstance(label, tuple) else (label,)


def _column_name(name: object) -> str:
    return ", ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _cell(text: str, is_number: bool) -> str:
    if is_number:
        return f"<td class='number'>{html.escape(text)}</td>"
    if text in SEVERITIES:
        return f"<td class='{text}'>{SEVERITIES[text]}</td>"
    return f"<td>{html.escape(text)}</td>"
