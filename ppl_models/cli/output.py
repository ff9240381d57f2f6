"""Output files: checked before the work starts, written completely or not at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppl_models.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


def free_path(requested: str | Path, *inputs: str, overwrite: bool) -> Path:
    """The path, if a file may be written there.

    Args:
        requested: the path.
        inputs: files that are read, and never replaced.
        overwrite: whether a file that exists may be replaced.

    Raises:
        InputError: the file exists, or is an input, or its folder is missing or closed.
    """
    from ppl_models.posterior.result.storage import refuse_existing

    path = Path(requested)
    if path.exists() and any(path.samefile(name) for name in inputs):
        raise InputError(f"{path} would replace what is read: give another --out")
    if path.is_file() and not overwrite:
        raise InputError(f"{path} exists and was kept: give another --out, or --overwrite")
    refuse_existing(path, overwrite)
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path.parent} cannot be written to: choose another folder")
    return path


def write_text(text: str, path: Path | None) -> None:
    """Write to a file atomically; to standard output if there is no path."""
    if path is None:
        sys.stdout.write(text)
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(text, encoding="utf-8", newline="")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    print(path)


def data_text(dataset: xr.Dataset, tree: xr.DataTree, *, as_table: bool) -> str:
    """Generated data in the format that ``fit`` reads.

    Args:
        dataset: what ``generate`` returned.
        tree: the fit.
        as_table: token sequences as a table of one column; else one sequence a line.
    """
    import pandas as pd

    from ppl_models import catalogue
    from ppl_models.data import Tokens
    from ppl_models.program.arguments.signature import by_type, data_parameters

    program = catalogue.program(tree.attrs["program"])
    kinds = data_parameters(program)
    frames = {str(n): _frame(v, kinds[str(n)], dataset, tree) for n, v in dataset.items()}
    (first, frame), *more = frames.items()
    if issubclass(kinds[first], Tokens) and not more and not as_table:
        return "".join(f"{line}\n" for line in frame[first])
    dealt = by_type(program)  # columns of one table, which have names of their own
    named = [f if site in dealt else f.add_prefix(f"{site}_") for site, f in frames.items()]
    table = pd.concat(named, axis=1) if more else frame
    return table.to_csv(index=False)


def _frame(values: xr.DataArray, kind: Any, dataset: xr.Dataset, tree: xr.DataTree) -> pd.DataFrame:
    """One data site as a table with the cells of its file."""
    import numpy as np
    import pandas as pd

    from ppl_models.data import Bits, Categories, Counts, Tokens, decode
    from ppl_models.data.kinds.categories import known_levels
    from ppl_models.data.kinds.series import COLUMN, Series, as_sequences
    from ppl_models.data.kinds.several import own_labels
    from ppl_models.posterior.density.sequences import of_words
    from ppl_models.program.arguments.json_text import from_json

    labels = own_labels(from_json(tree.attrs["coordinate_labels"]), str(values.name))
    if issubclass(kind, Tokens):
        sequences = decode(values.values, dataset.attrs["token"])
        between = " " if of_words(tree) else ""
        return pd.DataFrame({values.name: [between.join(s) for s in sequences]})
    names = [str(n) for n in labels.get("feature", ())]
    if issubclass(kind, Series):
        pieces = as_sequences(values.values.astype(float))
        owner = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
        steps = pd.DataFrame(np.concatenate(pieces).astype(values.dtype), columns=names)
        return steps.assign(**{COLUMN: owner})
    matrix = values.values.reshape(len(values), -1)
    if len(names) != matrix.shape[1]:
        names = [f"{values.name}_{i}" for i in range(matrix.shape[1])]
    if issubclass(kind, Categories):
        levels = known_levels({n: list(v) for n, v in labels.items()}) or {}
        return pd.DataFrame(
            {n: [levels[n][int(c)] for c in matrix[:, i]] for i, n in enumerate(names)}
        )
    integers = issubclass(kind, Bits | Counts)
    return pd.DataFrame(matrix.astype(int) if integers else matrix, columns=names)


def paths_text(paths: xr.DataArray, probabilities: xr.DataArray) -> str:
    """State paths as a table with one line per step, without padding after sequence ends.

    Args:
        paths: the most probable states ``(sequence, position)``, -1 after the end.
        probabilities: the probability of each state ``(sequence, position, state)``.
    """
    import numpy as np
    import pandas as pd

    sequences, position = (str(dim) for dim in paths.dims)
    row, step = np.nonzero(paths.values >= 0)
    columns = {sequences: paths[sequences].values[row], position: paths[position].values[step]}
    columns["state"] = probabilities["state"].values[paths.values[row, step]]
    each = probabilities.values[row, step]
    columns |= {f"probability_{k}": each[:, i] for i, k in enumerate(probabilities["state"].values)}
    return pd.DataFrame(columns).to_csv(index=False)


def prediction_text(table: xr.DataArray) -> str:
    """Assignment probabilities ``(row, cluster)``: row, likeliest cluster, probabilities."""
    import pandas as pd

    rows = str(table.dims[0])
    columns = {
        rows: table[rows].values,
        "cluster": table["cluster"].values[table.argmax("cluster").values],
    }
    columns |= {f"probability_{k}": table.sel(cluster=k).values for k in table["cluster"].values}
    return pd.DataFrame(columns).to_csv(index=False)
