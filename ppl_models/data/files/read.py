"""Data from files: tables from CSV or TSV, sequences and graphs from lines of text."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ppl_models.data.files.graphs import graphs_from_edges, graphs_from_lines
from ppl_models.data.kinds.graphs import Graphs
from ppl_models.data.kinds.observed import Kind
from ppl_models.data.kinds.tokens import Tokens
from ppl_models.errors import InputError

if TYPE_CHECKING:
    import networkx as nx

SEPARATORS = {".tsv": "\t", ".tab": "\t"}
# Not "None" and "null", which pandas would add: they can be answers in a questionnaire.
MISSING = ["", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "<NA>"]


def read_file(
    path: str | Path, *, kind: type[Kind], words: bool = False
) -> pd.DataFrame | list[str] | list[list[str]] | list[nx.Graph]:
    """Read a file for a kind of data, whose `read` takes what comes back.

    Args:
        path: CSV, or TSV by its ending, with a line of column names; a first column without a
            name or called "rownames" labels the rows.  For `Tokens` any file whose ending is
            not that of a table: one sequence a line.  For `Graphs` a table of edges with a
            column "graph" and two more, or any other file: one graph6 a line.
        kind: the kind that the data will be read as.
        words: for `Tokens`, whether tokens are what stands between spaces, instead of characters.

    Returns:
        A frame, for `Tokens` a list of strings (of lists of them, if `words`), for `Graphs` one of
        networkx graphs.

    Raises:
        InputError: no such file, a directory, no data, not text, not a table, a first line of
            numbers where column names should be, or what is no simple graph.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a directory: give a file")
    if not path.exists():
        raise InputError(f"{path} does not exist: check the name")
    is_table = path.suffix.lower() in {".csv", *SEPARATORS}
    try:
        if issubclass(kind, Tokens):
            texts = _column_of_text(path) if is_table else _lines(path)
            return [text.split() for text in texts] if words else texts
        if issubclass(kind, Graphs):
            if not is_table:
                lines = path.read_text(encoding="utf-8-sig").splitlines()
                return graphs_from_lines(lines, path)
            _header(path)
            # a node may be called "NA"; a blank line is no edge
            return graphs_from_edges(_read_csv(path, dtype=str, skipinitialspace=True), path)
        return _frame(path)
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8: save it as such") from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{path} is empty: give a file with data") from None
    except pd.errors.ParserWarning:
        raise InputError(
            f"{path} has rows with more cells than its first line has names: name every column, "
            "one of row labels 'rownames'"
        ) from None
    except pd.errors.ParserError as error:
        reason = str(error).strip().rpartition("error: ")[2]
        raise InputError(f"{path} cannot be read as a table: {reason}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def _lines(path: Path) -> list[str]:
    # Not splitlines(), which also cuts at characters that may be tokens, as a form feed.
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise InputError(f"{path} is empty: give a file with one sequence a line")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise InputError(f"line {number} of {path} is an empty sequence: drop it")
    return lines


def _column_of_text(path: Path) -> list[str]:
    # A first name may be "Nan" and a token "NA": nothing is missing in text.
    frame = _read_csv(path, dtype=str, skip_blank_lines=False)
    if frame.shape[1] != 1:
        raise InputError(
            f"{path} has {frame.shape[1]} columns: give one column, or a text file with one "
            "sequence a line"
        )
    if len(frame) == 0:
        raise InputError(f"{path} has no rows below the line of column names")
    return frame.iloc[:, 0].tolist()


def _frame(path: Path) -> pd.DataFrame:
    header = _header(path)
    frame = _read_csv(path, na_values=MISSING, skipinitialspace=True)
    if len(frame) == 0:
        raise InputError(f"{path} has no rows below the line of column names")
    if header[0] in {"", "rownames", "Unnamed: 0"}:
        frame = frame.set_index(frame.columns[0])
        frame.index.name = None
    return frame


def _read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """pandas' reader, in which cells without a column name are an error.

    Otherwise pandas takes the first cells for row labels, which moves all columns by one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            path,
            sep=SEPARATORS.get(path.suffix.lower(), ","),
            index_col=False,
            keep_default_na=False,
            encoding="utf-8-sig",
            **options,
        )


def _header(path: Path) -> list[str]:
    """The column names as they stand in the file.

    Raises:
        InputError: a name that repeats, or numbers that are data rather than names.
    """
    first = _read_csv(path, header=None, nrows=1, dtype=str, skipinitialspace=True)
    names = [str(name) for name in first.iloc[0]]
    # pandas numbers columns without names; beside row labels that cannot be a row of data
    if names[0] != "" and all(map(_is_number, names)):
        raise InputError(
            f"the first line of {path} holds numbers ({', '.join(names[:4])}), not column "
            "names: add a line of names"
        )
    for position, name in enumerate(names):
        if name in names[:position]:
            raise InputError(f"{path} has two columns named '{name}': rename one")
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
