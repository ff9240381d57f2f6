"""Data from files: tables from CSV or TSV, sequences and graphs from lines of text."""

from __future__ import annotations

import codecs
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ppl_models.data.files.binary import READERS, read_binary
from ppl_models.data.files.delimiters import (
    BY_ENDING,
    ENCODING,
    decimal_of,
    delimiter_of,
    refuse_short_rows,
    with_decimal_commas,
)
from ppl_models.data.files.graphs import graphs_from_edges, graphs_from_lines
from ppl_models.data.kinds.categories import Categories
from ppl_models.data.kinds.checks import number
from ppl_models.data.kinds.graphs import Graphs
from ppl_models.data.kinds.observed import Kind
from ppl_models.data.kinds.tokens import Tokens
from ppl_models.data.missing import MISSING_TEXTS
from ppl_models.errors import InputError

if TYPE_CHECKING:
    import networkx as nx


def read_file(
    path: str | Path,
    *,
    kind: type[Kind],
    words: bool = False,
    separator: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    index: str | None = None,
    names: Collection[str] = (),
) -> pd.DataFrame | list[str] | list[list[str]] | list[nx.Graph]:
    """Read a file for a kind of data, whose `read` takes what comes back.

    Args:
        path: CSV, or TSV by its ending, with a line of column names; Parquet, Feather or Excel
            (.xlsx) by its ending; a first column without a name or called "rownames" labels the
            rows.  For `Tokens` any file whose ending is
            not that of a table: one sequence a line.  For `Graphs` a table of edges with a
            column "graph" and two more, or any other file: one graph6 a line.
        kind: the kind that the data will be read as.
        words: for `Tokens`, whether tokens are what stands between spaces, instead of characters.
        separator: what stands between the cells of a table; found where it is not said: the tab of
            a TSV file, the comma of others, or what else cuts all rows alike: semicolon, tab or
            vertical bar.
        decimal: the decimal mark, "." or ","; a comma is found where nothing else is possible.
        encoding: of a text, as "latin-1" or "cp1252" (default: UTF-8, and nothing else is tried).
        index: the column of a table that labels the rows; it is no data then.
        names: columns of a table whose cells are names as they stand in a text file, as those of
            groups: 007 is not 7.

    Returns:
        A frame, for `Tokens` a list of strings (of lists of them, if `words`), for `Graphs` one of
        networkx graphs.

    Raises:
        InputError: no such file, a directory, no data, not text, not a table, a first line of
            data where column names should be, rows of unequal width, numbers or cells that can be
            read in two ways, or what is no simple graph.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "answers.csv"
        >>> _ = path.write_text("size;wet\\n1,5;yes\\n2,25;no\\n")
        >>> read_file(path, kind=Categories).to_dict("list")
        {'size': [1.5, 2.25], 'wet': ['yes', 'no']}
    """
    if decimal not in {None, ".", ","}:
        raise InputError(f"decimal is {decimal!r}: give '.' or ','")
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a directory: give a file")
    if not path.exists():
        raise InputError(f"{path} does not exist: check the name")
    if encoding is not None:
        try:
            codecs.lookup(encoding)
        except LookupError:
            raise InputError(
                f"encoding is {encoding!r}, which Python does not know: give utf-8, latin-1, ..."
            ) from None
    token = ENCODING.set(encoding or "utf-8-sig")
    try:
        own = {*names, index} - {None}
        read = _read(path, kind, words, separator, decimal, own)
    finally:
        ENCODING.reset(token)
    return read if index is None else _labelled(read, index, path)


def _labelled(read: Any, index: str, path: Path) -> pd.DataFrame:
    """A table whose rows one of its columns labels."""
    if not isinstance(read, pd.DataFrame):
        raise InputError(f"{path} is not a table, so that no column '{index}' can label its rows")
    if index not in read.columns:
        raise InputError(f"{path} has no column '{index}': it has {', '.join(map(str, read))}")
    labels = read[index]
    if labels.isna().any() or labels.duplicated().any():
        what = "a gap" if labels.isna().any() else f"{labels[labels.duplicated()].iloc[0]!r} twice"
        raise InputError(f"column '{index}' of {path} has {what}: row labels must be distinct")
    return read.set_index(index)


def _read(
    path: Path,
    kind: type[Kind],
    words: bool,
    separator: str | None,
    decimal: str | None,
    names: set[str | None],
) -> Any:
    is_table = path.suffix.lower() in set(BY_ENDING)
    try:
        if path.suffix.lower() in READERS:
            return read_binary(path, kind)
        if issubclass(kind, Tokens):
            texts = _column_of_text(path, separator) if is_table else _lines(path)
            return [text.split() for text in texts] if words else texts
        if issubclass(kind, Graphs):
            if not is_table:
                lines = path.read_text(encoding=ENCODING.get()).splitlines()
                return graphs_from_lines(lines, path)
            delimiter = delimiter_of(path, separator)
            _header(path, delimiter)
            # a node may be called "NA"; a blank line is no edge
            edges = _read_csv(path, delimiter, dtype=str, skipinitialspace=True)
            return graphs_from_edges(edges, path)
        return _frame(path, kind, separator, decimal, names)
    except UnicodeDecodeError:
        name = {"utf-8-sig": "UTF-8"}.get(ENCODING.get(), ENCODING.get())
        raise InputError(
            f"{path} is not text in {name}: save it in that encoding, or give its own (encoding=, "
            "--encoding), such as latin-1"
        ) from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{path} is empty: give a file with data") from None
    except pd.errors.ParserWarning:
        raise InputError(
            f"{path} has rows with more cells than its first line has names: name every column; "
            "call one of row labels 'rownames'"
        ) from None
    except pd.errors.ParserError as error:
        reason = str(error).strip().rpartition("error: ")[2]
        raise InputError(f"{path} cannot be read as a table: {reason}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def _lines(path: Path) -> list[str]:
    # Not splitlines(), which also cuts at characters that may be tokens, as a form feed.
    lines = path.read_text(encoding=ENCODING.get()).split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise InputError(f"{path} is empty: give a file with one sequence a line")
    for place, line in enumerate(lines, start=1):
        if not line.strip():
            raise InputError(f"line {place} of {path} is an empty sequence: drop it")
    return lines


def _column_of_text(path: Path, separator: str | None) -> list[str]:
    # A first name may be "Nan" and a token "NA": nothing is missing in text.
    delimiter = delimiter_of(path, separator)
    frame = _read_csv(path, delimiter, dtype=str, skip_blank_lines=False)
    if frame.shape[1] != 1:
        raise InputError(
            f"{path} has {frame.shape[1]} columns: give one column, or a text file with one "
            "sequence a line"
        )
    if len(frame) == 0:
        raise InputError(f"{path} has no rows below the line of column names")
    return frame.iloc[:, 0].tolist()


def _frame(
    path: Path,
    kind: type[Kind],
    separator: str | None,
    decimal: str | None,
    names: set[str | None],
) -> pd.DataFrame:
    delimiter = delimiter_of(path, separator)
    header = _header(path, delimiter)
    options: dict[str, Any] = {"na_values": MISSING_TEXTS, "skipinitialspace": True}
    frame = _read_csv(path, delimiter, **options)
    if len(frame) == 0:
        raise InputError(f"{path} has no rows below the line of column names")
    if frame.iloc[:, -1].isna().any():
        refuse_short_rows(path, delimiter, len(header))
    decimal = decimal or decimal_of(frame, path, delimiter)
    texts = None
    if decimal == "," or issubclass(kind, Categories):
        texts = _read_csv(path, delimiter, dtype=str, **options)
    if decimal == ",":
        assert texts is not None
        frame = with_decimal_commas(frame, texts, path)
    elif texts is not None:
        frame = _with_codes(frame, texts)
    unnamed = header[0] in {"", "rownames", "Unnamed: 0"}
    for name in {*names, frame.columns[0] if unnamed else None}.intersection(frame.columns):
        written = _read_csv(path, delimiter, dtype=str, skipinitialspace=True)[name]
        frame[name] = _labels(frame[name], written)
    if unnamed:
        frame = frame.set_index(frame.columns[0])
        frame.index.name = None
    elif texts is not None:
        _refuse_data_for_names(texts, path)
    return frame


def _labels(labels: pd.Series, written: pd.Series) -> pd.Series:
    """Row labels as they stand in the file: 007 is not 7, and NA may be Namibia; "" is a gap."""
    plain = pd.api.types.is_integer_dtype(labels) and (labels.astype(str) == written).all()
    return labels if plain else written.where(written != "", None)


def _with_codes(frame: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    """The table with text where numbers would make one level of two, as of the codes 1 and 01."""
    for name in frame.columns:
        if pd.api.types.is_numeric_dtype(frame[name]) and frame[name].dtype != bool:
            distinct = texts[name].dropna().drop_duplicates()
            if not all(text.removesuffix(".0") == number(float(text)) for text in distinct):
                integers = all(float(text) % 1 == 0 for text in distinct)
                frame[name] = texts[name] if integers else frame[name]
    return frame


def _refuse_data_for_names(texts: pd.DataFrame, path: Path) -> None:
    """Refuse a line of answers where column names should be."""
    names = [str(name) for name in texts.columns]
    if all((texts[name] == name).any() for name in texts.columns):
        raise InputError(
            f"the first line of {path} ({', '.join(names[:4])}) looks like the data below it, not "
            "like column names: add a line of names"
        )


def _read_csv(path: Path, delimiter: str, **options: Any) -> pd.DataFrame:
    """pandas' reader, in which cells without a column name are an error.

    Otherwise pandas takes the first cells for row labels, which moves all columns by one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            path,
            sep=delimiter,
            index_col=False,
            keep_default_na=False,
            encoding=ENCODING.get(),
            **options,
        )


def _header(path: Path, delimiter: str) -> list[str]:
    """The column names as they stand in the file.

    Raises:
        InputError: a name that repeats, or numbers that are data rather than names.
    """
    options: dict[str, Any] = {"header": None, "nrows": 1, "dtype": str, "skipinitialspace": True}
    first = _read_csv(path, delimiter, **options)
    names = [str(name) for name in first.iloc[0]]
    # pandas numbers columns without names; beside row labels that cannot be a row of data
    if names[0] != "" and all(map(_is_number, names)):
        raise InputError(
            f"the first line of {path} holds numbers ({', '.join(names[:4])}), not column "
            "names: add a line of names"
        )
    for position, name in enumerate(names):
        if name in names[:position]:
            raise InputError(
                f"{path} has two columns named '{name}': rename one, or add a line of names if "
                "the first line is data"
            )
    return names


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
