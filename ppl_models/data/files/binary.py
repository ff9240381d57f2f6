"""Tables from Parquet, Feather and Excel files."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from ppl_models.data.kinds.graphs import Graphs
from ppl_models.data.kinds.observed import Kind
from ppl_models.data.kinds.tokens import Tokens
from ppl_models.data.missing import MISSING_TEXTS
from ppl_models.errors import InputError


def _read_excel(path: Path) -> pd.DataFrame:
    """A sheet whose cells keep their types: the text 007 is no number, and None is no gap."""
    frame = pd.read_excel(path, dtype=object, keep_default_na=False, na_values=MISSING_TEXTS)
    return frame.infer_objects()


#: ending -> pandas' reader, what it needs, how that is installed
READERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    ".parquet": (pd.read_parquet, "pip install 'ppl-models[arrow]'"),
    ".feather": (pd.read_feather, "pip install 'ppl-models[arrow]'"),
    ".xlsx": (_read_excel, "pip install 'ppl-models[excel]'"),
}


def read_binary(path: Path, kind: type[Kind]) -> pd.DataFrame:
    """A table with the types that its file states.

    Args:
        path: of the file.
        kind: the kind that the data will be read as.

    Raises:
        InputError: a reader that is not installed, a file that is none of its kind, or a kind of
            data that is not read from tables.
    """
    if issubclass(kind, Tokens | Graphs):
        raise InputError(f"{path} is a table of cells: give {kind.__name__} as text or CSV")
    reader, install = READERS[path.suffix.lower()]
    try:
        if path.suffix.lower() == ".xlsx":
            _refuse_several_sheets(path)
        frame = reader(path)
    except ImportError:
        raise InputError(f"to read a {path.suffix} file needs another package: {install}") from None
    except (OSError, InputError):
        raise
    except Exception as error:  # of whichever library reads it
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{path} cannot be read as {path.suffix}: {reason}") from None
    if len(frame) == 0:
        raise InputError(f"{path} has no rows")
    first = str(frame.columns[0])
    if first in {"", "rownames", "Unnamed: 0"}:
        frame = frame.set_index(frame.columns[0])
        frame.index.name = None
    return frame


def _refuse_several_sheets(path: Path) -> None:
    """Refuse a workbook with several sheets of data."""
    import_module("openpyxl")  # before pandas looks into the file
    sheets = pd.read_excel(path, sheet_name=None, nrows=1)
    filled = [str(name) for name, sheet in sheets.items() if not sheet.empty]
    if len(filled) > 1:
        raise InputError(
            f"{path} has data on the sheets {', '.join(filled)}: save the one that is meant as a "
            "file of its own, or read it by pandas.read_excel(path, sheet_name=...)"
        )
