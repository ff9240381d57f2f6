"""Parsing the text of a table: delimiter, rows of unequal width, decimal mark.

What the text leaves open is not guessed but refused, with the option that settles it.
"""

from __future__ import annotations

import csv
import re
from contextvars import ContextVar
from pathlib import Path

import pandas as pd

from ppl_models.errors import InputError

#: of the text that is being read
ENCODING: ContextVar[str] = ContextVar("ENCODING", default="utf-8-sig")
BY_ENDING = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
#: whole numbers with groups of three digits behind commas: 1,234 or 1,234,567
GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+$")
#: whole numbers, and numbers with a decimal comma, maybe with groups behind points: 1.234,5
NUMBER_WITH_COMMA = re.compile(
    r"[+-]?(\d+|[1-9]\d{0,2}(\.\d{3})+)(,\d+)?([eE][+-]?\d+)?$|" + GROUPED.pattern
)


def lines_of(path: Path, rows: int | None = None) -> list[str]:
    """The first lines of a file that are not empty, decompressed where its ending says so."""
    frame = pd.read_csv(
        path,
        sep="\x01",
        header=None,
        nrows=rows,
        dtype=str,
        keep_default_na=False,
        quoting=csv.QUOTE_NONE,
        encoding=ENCODING.get(),
    )
    return frame.iloc[:, 0].tolist()


def delimiter_of(path: Path, separator: str | None = None) -> str:
    """The character between the cells of a table.

    It is that of the file's ending, unless another one alone cuts all rows into equally many cells.

    Args:
        path: of the table.
        separator: the character, where somebody has said it.

    Raises:
        InputError: two characters cut the file into equally regular cells.
    """
    if separator is not None:
        if len(separator) != 1 or separator in '"\r\n':
            raise InputError(f"separator is {separator!r}: give one character, as ';'")
        return separator
    usual = BY_ENDING.get(path.suffix.lower(), ",")
    heading = next(csv.reader(lines_of(path, 1), delimiter=usual, skipinitialspace=True))
    # a name may hold any of these in quotation marks, which is no cut
    candidates = [d for d in NAMES if d != usual and any(d in name for name in heading)]
    if not candidates or (usual == "\t" and _is_regular(path, usual)):
        return usual  # nobody writes a tab within a cell
    regular = [d for d in (usual, *candidates) if _is_regular(path, d)]
    if len(regular) > 1:
        raise InputError(
            f"{path} can be split at every {' and at every '.join(NAMES[d] for d in regular)}: "
            f"choose one with separator={regular[0]!r} or separator={regular[1]!r} (--separator)"
        )
    return regular[0] if regular else usual


def _is_regular(path: Path, delimiter: str) -> bool:
    """Whether all rows have the same number of cells, more than one."""
    reader = csv.reader(lines_of(path), delimiter=delimiter, skipinitialspace=True)
    widths = {len(row) for row in reader}
    return len(widths) == 1 and widths != {1}


def refuse_short_rows(path: Path, delimiter: str, names: int) -> None:
    """Refuse a row with fewer cells than column names.

    Raises:
        InputError: the first such row.
    """
    reader = csv.reader(lines_of(path), delimiter=delimiter, skipinitialspace=True)
    for row in reader:
        if len(row) < names:
            raise InputError(
                f"the row {delimiter.join(row)[:40]!r} of {path} has {len(row)} "
                f"cell{'s' * (len(row) > 1)} where the first line has {names} names: leave cells "
                "that are missing empty, or give the separator (separator=, --separator)"
            )


def decimal_of(frame: pd.DataFrame, path: Path, delimiter: str) -> str:
    """The decimal mark of a table: a comma where only that explains the cells.

    Args:
        frame: of the table as read with decimal points.
        path: of the table, for messages.
        delimiter: of the table; beside a comma no decimal comma is expected.

    Raises:
        InputError: numbers with commas that may be decimal marks or may part thousands.
    """
    decimal, doubtful = ".", None
    for name in frame.columns:
        texts = [str(cell) for cell in frame[name].dropna()] if _has_text(frame[name]) else []
        commas = [text for text in texts if "," in text]
        if not commas or not all(map(NUMBER_WITH_COMMA.match, texts)):
            continue  # text, which is refused where numbers are wanted
        if delimiter == "," or all(map(GROUPED.match, commas)):
            doubtful = doubtful or (name, commas[0])
        else:
            decimal = ","
    if doubtful is not None and decimal == ".":
        name, example = doubtful
        raise InputError(
            f"column '{name}' of {path} holds {example!r}, whose comma may be a decimal mark or a "
            "thousands separator: give decimal=',' (--decimal ,) for the first; for the second "
            "remove the commas; decimal='.' (--decimal .) keeps such cells as text"
        )
    return decimal


def with_decimal_commas(frame: pd.DataFrame, texts: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table with numbers where cells are numbers with a decimal comma.

    Args:
        frame: of the table as read with decimal points.
        texts: the same table, its cells as they stand in the file.
        path: of the table, for messages.

    Raises:
        InputError: a column of numbers with points, whose meaning beside commas is not clear.
    """
    columns = {}
    for name in frame.columns:
        cells = texts[name].dropna()
        columns[name] = frame[name]
        if cells.str.contains(",", regex=False).any():
            if cells.str.match(NUMBER_WITH_COMMA).all():
                plain = texts[name].str.replace(".", "", regex=False).str.replace(",", ".")
                columns[name] = plain.astype(float)
        elif pd.api.types.is_numeric_dtype(frame[name]):
            pointed = cells[cells.str.contains(".", regex=False)]
            if len(pointed):
                raise InputError(
                    f"column '{name}' of {path} holds {pointed.iloc[0]!r} where the file's decimal "
                    "mark is the comma: write all numbers with one decimal mark"
                )
    return pd.DataFrame(columns)


def _has_text(column: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
