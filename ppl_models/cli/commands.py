"""The commands that read data or a fit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppl_models import catalogue
from ppl_models.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

LARGEST_SEED = 2**32 - 1


def fit(options: argparse.Namespace) -> None:
    """Fit, save, and say whether the fit can be trusted.

    Args:
        options: options of ``ppl-models fit``.

    Raises:
        InputError: a name, a file or an option that cannot be used, or output that exists.

    >>> from ppl_models.cli import main
    >>> main("fit gaussian_mixture no_such.csv --method em --out fit.nc".split())  # no such file
    2
    """
    from ppl_models.cli.output import free_path
    from ppl_models.cli.process import set_device_count
    from ppl_models.cli.tokens import note_spaces, refuse_options, vocabulary_option
    from ppl_models.program.arguments.text import checked, column_types, read_settings

    # cheap refusals first: compiling takes seconds, sampling minutes
    settings = read_settings(options.settings, options.clusters)
    _refuse_names(options.program, options.method)
    _refuse_missing(options.data)
    seed = _seed(options.seed)
    out = free_path(options.out, options.data, overwrite=options.overwrite)

    set_device_count(options.devices, options.data)

    from ppl_models.fitting import fit as fit_program
    from ppl_models.posterior.density.sequences import WORDS
    from ppl_models.posterior.result.storage import save

    program = catalogue.program(options.program)
    refuse_options(options, program)
    method = getattr(catalogue.method(options.method), options.method)
    arguments = checked(settings, program, method, fit_program)
    data = _read_or_spread(program, options, arguments)
    arguments |= vocabulary_option(options, data, "vocabulary" in arguments)
    if options.weights is not None:
        arguments["weights"] = options.weights
    if options.types:
        arguments["types"] = column_types(options.types)
    if options.checkpoint is not None:
        arguments["checkpoint"] = options.checkpoint
    if options.labels is not None:
        arguments["labels"] = options.labels
    if options.by is not None:
        _fit_groups(options, program, data, seed, arguments, out)
        return
    if not options.quiet:
        note_spaces(data)
    with arguments.get("client") or nullcontext():
        tree = fit_program(
            program,
            data,
            method=options.method,
            seed=seed,
            precision=options.precision,
            progress=not options.quiet and sys.stderr.isatty(),
            **arguments,
        )
    if options.words:
        tree.attrs[WORDS] = 1
    save(tree, out, overwrite=options.overwrite)
    if not options.quiet:
        print(out)
        _print_summary(tree)


def _read_or_spread(
    program: Callable, options: argparse.Namespace, arguments: dict[str, Any]
) -> Any:
    """The data of the file, or with ``--scheduler`` its path and the Dask client as an argument."""
    if options.scheduler is None:
        return _read(program, options, words=options.words)
    names = ("separator", "decimal", "encoding", "index", "drop", "by")
    asked = {name: getattr(options, name) for name in names}
    for name, value in asked.items():
        if value:
            option = "id" if name == "index" else name
            raise InputError(
                f"--{option} and --scheduler do not go together: leave --{option} out, and let the "
                "file be a plain CSV or Parquet file of data columns"
            )
    from ppl_models.data.blocks.spread import connect

    arguments["client"] = connect(options.scheduler)
    return Path(options.data)


def _fit_groups(
    options: argparse.Namespace,
    program: Callable,
    data: Any,
    seed: int,
    arguments: dict[str, Any],
    out: Path,
) -> None:
    """Fit every group of rows by itself."""
    from ppl_models.many.doubts import diagnose_groups
    from ppl_models.many.fit_many import fit_many
    from ppl_models.posterior.result.storage import save

    if options.weights is not None:
        raise InputError("--by and --weights do not go together: repeat the rows instead")
    if options.checkpoint is not None:
        raise InputError("--by and --checkpoint do not go together: leave --checkpoint out")
    if options.labels is not None:
        raise InputError("--by and --labels do not go together: fit each group by itself")
    tree = fit_many(
        program,
        data,
        by=options.by,
        method=options.method,
        seed=seed,
        precision=options.precision,
        progress=not options.quiet and sys.stderr.isatty(),
        **arguments,
    )
    save(tree, out, overwrite=options.overwrite)
    if not options.quiet:
        print(out)
        print(diagnose_groups(tree))


def report(options: argparse.Namespace) -> None:
    """Write the HTML report of a fit.

    Args:
        options: options of ``ppl-models report``.

    Raises:
        InputError: no such fit, or a page that exists.

    >>> from ppl_models.cli import main
    >>> main("report no_such.nc".split())  # no such file
    2
    """
    from ppl_models.cli.output import free_path

    _refuse_missing(options.fitted)
    out = options.out or Path(options.fitted).with_suffix(".html")
    path = free_path(out, options.fitted, overwrite=options.overwrite)
    from ppl_models import load, write_report

    tree = load(options.fitted)
    print(write_report(tree, path, interactive=options.interactive, overwrite=options.overwrite))


def name(options: argparse.Namespace) -> None:
    """Give the clusters, or hidden states, of a fit names.

    Args:
        options: options of ``ppl-models name``.

    Raises:
        InputError: no such fit, no such cluster, or output that exists.

    >>> from ppl_models.cli import main
    >>> main("name no_such.nc 0=short".split())  # no such file
    2
    """
    from ppl_models.cli.output import free_path

    _refuse_missing(options.fitted)
    pairs = [word.partition("=") for word in options.names]
    for word, (which, sign, called) in zip(options.names, pairs, strict=True):
        if not (which and sign and called):
            raise InputError(f"{word!r} names no cluster: write NUMBER=NAME, as 0=short")
    # the fit itself is rewritten, whole or not at all, unless another file is asked for
    own = options.out is None
    out = Path(options.fitted) if own else free_path(
        options.out, options.fitted, overwrite=options.overwrite
    )  # fmt: skip
    from ppl_models import load, name_clusters, save
    from ppl_models.posterior.result.names import component_names
    from ppl_models.posterior.result.schema import facts_of

    tree = name_clusters(load(options.fitted), {which: called for which, _, called in pairs})
    print(save(tree, out, overwrite=own or options.overwrite))
    print(", ".join(component_names(tree, facts_of(tree).components)))


def generate(options: argparse.Namespace) -> None:
    """Write rows, sequences or graphs drawn from the posterior predictive distribution.

    Args:
        options: options of ``ppl-models generate``.

    Raises:
        InputError: no such fit, a number out of range, or output that exists.

    >>> from ppl_models.cli import main
    >>> main("generate no_such.nc --rows 3".split())  # no such file
    2
    """
    from ppl_models.cli.output import write_text

    _refuse_missing(options.fitted)
    if options.rows < 1:
        raise InputError(f"--rows is {options.rows}: ask for at least one")
    seed = _seed(options.seed)
    path = _out(options, options.fitted)
    from ppl_models import load
    from ppl_models.data import Graphs
    from ppl_models.program.arguments.signature import data_parameters

    tree = load(options.fitted)
    as_table = path is not None and path.suffix.lower() == ".csv"
    kinds = data_parameters(catalogue.program(tree.attrs["program"])).values()
    write = _graphs if any(issubclass(kind, Graphs) for kind in kinds) else _rows
    write_text(write(tree, options, seed, as_table=as_table), path)


def _rows(tree: xr.DataTree, options: argparse.Namespace, seed: int, *, as_table: bool) -> str:
    """Generated rows or sequences as text."""
    from ppl_models import generate as generate_rows
    from ppl_models.cli.output import data_text
    from ppl_models.posterior.density.sequences import of_words

    prefix = options.prefix
    if prefix is not None and of_words(tree):
        prefix = prefix.split()
    made = generate_rows(
        tree,
        options.rows,
        seed=seed,
        prefix=prefix,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        **({} if options.length is None else {"length": options.length}),
    )
    return data_text(made, tree, as_table=as_table)


def _graphs(tree: xr.DataTree, options: argparse.Namespace, seed: int, *, as_table: bool) -> str:
    """Generated graphs as text."""
    from ppl_models import generate_graphs
    from ppl_models.data import graphs_text

    for name in ("prefix", "top_k", "top_p"):
        if getattr(options, name) is not None:
            raise InputError(f"--{name.replace('_', '-')} is for sequences of tokens: leave it out")
    made = generate_graphs(
        tree, options.rows, seed=seed, nodes=options.length, temperature=options.temperature
    )
    return graphs_text(made, as_table=as_table)


def predict(options: argparse.Namespace) -> None:
    """Write the clusters of a file's rows, or the hidden states of its sequences' steps.

    Args:
        options: options of ``ppl-models predict``.

    Raises:
        InputError: no such fit or file, data that do not fit, or output that exists.

    >>> from ppl_models.cli import main
    >>> main("predict no_such.nc rows.csv".split())  # no such file
    2
    """
    from ppl_models.cli.output import paths_text, prediction_text, write_text

    _refuse_missing(options.fitted)
    _refuse_missing(options.data)
    path = _out(options, options.fitted, options.data)
    from ppl_models import best_paths, load, state_probabilities
    from ppl_models import predict as predict_rows
    from ppl_models.posterior.density.sequences import of_words
    from ppl_models.posterior.paths import hides_paths

    tree = load(options.fitted)
    data = _read(catalogue.program(tree.attrs["program"]), options, words=of_words(tree))
    if hides_paths(tree, data):
        text = paths_text(best_paths(tree, data), state_probabilities(tree, data))
    else:
        text = prediction_text(predict_rows(tree, data))
    write_text(text, path)


def _out(options: argparse.Namespace, *inputs: str) -> Path | None:
    """The output's path, None for standard output."""
    from ppl_models.cli.output import free_path

    return free_path(options.out, *inputs, overwrite=options.overwrite) if options.out else None


def _refuse_names(program: str, method: str) -> None:
    """Refuse names that do not exist, without importing anything."""
    if method not in catalogue.method_names():
        catalogue.method(method)
    if program not in catalogue.model_names() and not program.rpartition(":")[0].endswith(".py"):
        raise InputError(
            f"there is no program {program!r}: choose one of "
            f"{', '.join(catalogue.model_names())}, or give path/to/file.py:function"
        )


def _refuse_missing(file: str) -> None:
    if not Path(file).exists():
        raise InputError(f"{file} does not exist: check the name")


def _seed(seed: int) -> int:
    if not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"--seed is {seed}: give a whole number from 0 to {LARGEST_SEED}")
    return seed


def _read(program: Callable, options: argparse.Namespace, *, words: bool) -> Any:
    """A file as the kind of data that the program takes."""
    from ppl_models.data import Categories, read_file
    from ppl_models.program.arguments.signature import by_type, data_parameters

    kinds: dict[str, Any] = dict(data_parameters(program))
    if by_type(program):  # one table; text in which 01 is no 1, as of categories
        kinds = {"table": Categories}
    if len(kinds) > 1:
        raise InputError(
            f"the program takes the data {', '.join(kinds)}, and the command line reads one file: "
            "call ppl_models.fit from Python with a dict of these names"
        )
    (kind,) = kinds.values()
    data = read_file(
        options.data,
        kind=kind,
        words=words,
        separator=options.separator,
        decimal=options.decimal,
        encoding=options.encoding,
        index=options.index,
        names=[options.by] if getattr(options, "by", None) else [],
    )
    return _without(data, options.drop, options.data) if options.drop else data


def _without(data: Any, columns: list[str], path: str) -> Any:
    """A table without some of its columns."""
    import pandas as pd

    if not isinstance(data, pd.DataFrame):
        raise InputError(f"{path} is not a table, so that --drop has no columns to leave out")
    for column in columns:
        if column not in data.columns:
            names = ", ".join(map(str, data.columns))
            raise InputError(f"--drop names the column '{column}', which {path} lacks: of {names}")
    return data.drop(columns=columns)


def _print_summary(tree: xr.DataTree) -> None:
    """Print what was fitted, and whether it can be trusted."""
    from ppl_models.data.by_type import COLUMNS
    from ppl_models.diagnostics.diagnose import diagnose
    from ppl_models.program.arguments.json_text import from_json

    attributes = tree.attrs
    print(
        f"{attributes['program']} by {attributes['method']}, "
        f"{float(attributes['wall_time_seconds']):.1f} s"
    )
    for note in from_json(attributes.get("notes", "{}")).get("notes", []):
        if note.startswith(COLUMNS):
            print(note)
    diagnosis = diagnose(tree)
    print(diagnosis.verdict)
    for severity in ("problem", "warning"):
        for finding in diagnosis.of(severity):
            print(f"  {severity}: {finding.what} {finding.advice}".rstrip())
