"""Data frames as HTML: numbers right-aligned and rounded to a few significant digits."""

from __future__ import annotations

import html
import re
from collections.abc import Hashable

import numpy as np
import pandas as pd

INTERVAL = 0.94  #: of posterior intervals in tables
NUMBER = re.compile(r"–|[−-]?[\d,]+(\.\d+)?(e[−+-]?\d+)?%?")
SEVERITIES = {"ok": "✓ ok", "warning": "! warning", "problem": "✗ problem"}


def decimals(values: np.ndarray) -> int:
    """Decimals that show three figures of a column of numbers, and its differences.

    >>> decimals(np.array([0.4321, 0.1])), decimals(np.array([-1126.3, 3.5]))
    (3, 1)
    >>> decimals(np.array([-1126.31, -1126.34]))
    3
    """
    finite = np.abs(values[np.isfinite(values) & (values != 0.0)])
    if finite.size == 0 or (finite == np.round(finite)).all():
        return 0
    scale, spread = int(np.ceil(np.log10(finite.max()))) - 1, float(np.ptp(finite))
    told_apart = 1 - int(np.floor(np.log10(spread))) if spread > 0.0 else 0
    return 0 if scale >= 5 else int(np.clip(max(2 - scale, min(told_apart, 3)), 1, 6))


def number(value: float, places: int) -> str:
    """One number: a real minus sign, thousands apart, a dash where there is none.

    >>> number(-1234.56, 1), number(float("nan"), 1), number(3e-9, 6), number(-0.001, 2)
    ('−1,234.6', '–', '3.0e-09', '0.00')
    """
    if not np.isfinite(value):
        return "–" if np.isnan(value) else ("∞" if value > 0 else "−∞")
    if places >= 6 and value != 0.0 and abs(value) < 0.05 * 10.0**-places:
        return f"{value:.1e}".replace("-", "−", 1) if value < 0 else f"{value:.1e}"
    text = f"{value:,.{places}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0.0 else text.replace("-", "−")


def column_texts(values: pd.Series, name: Hashable) -> tuple[list[str], bool]:
    """Cells of one column as text, and whether they are numbers.

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
        elif str(name).lower().endswith("share"):
            return [f"{100.0 * value:.1f}%" for value in array], True
        return [number(value, places) for value in array], True
    texts = ["–" if _absent(value) else str(value) for value in values]
    return texts, bool(texts) and all(NUMBER.fullmatch(text) for text in texts)


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
    heads = [] if plain else _row_heads(shown.index)
    names = [] if plain else ["" if name is None else str(name) for name in shown.index.names]
    cells, numeric = [], []
    for position, name in enumerate(shown.columns):
        texts, is_number = column_texts(shown.iloc[:, position], name)
        cells.append(texts)
        numeric.append(is_number)
    lines = ["<div class='table'><table>", _head(names, shown.columns, numeric), "<tbody>"]
    for row in range(len(shown)):
        head = [] if plain else [f"<th>{html.escape(part)}</th>" for part in heads[row]]
        body = [_cell(texts[row], is_number)
                for texts, is_number in zip(cells, numeric, strict=True)]  # fmt: skip
        lines.append(f"<tr>{''.join(head)}{''.join(body)}</tr>")
    lines.append("</tbody></table></div>")
    if len(table) > len(shown):
        lines.append(f"<p class='more'>The first {len(shown):,} of {len(table):,} lines.</p>")
    return "".join(lines)


def _head(names: list[str], columns: pd.Index, numeric: list[bool]) -> str:
    """The line of column heads; none where no column has a name."""
    if not any(names) and not any(str(name) for name in columns):
        return ""
    heads = [f"<th>{html.escape(name)}</th>" for name in names]
    for name, is_number in zip(columns, numeric, strict=True):
        kind = " class='number'" if is_number else ""
        heads.append(f"<th{kind}>{html.escape(_column_name(name))}</th>")
    return f"<thead><tr>{''.join(heads)}</tr></thead>"


def _row_heads(index: pd.Index) -> list[list[str]]:
    """The texts of every row's heads; four digits of fractions, where these tell them apart."""
    if pd.api.types.is_float_dtype(index.dtype):
        rounded = [f"{label:.4g}" for label in index]
        if len(set(rounded)) == len(rounded):
            return [[text] for text in rounded]
    return [[str(part) for part in _parts(label)] for label in index]


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
