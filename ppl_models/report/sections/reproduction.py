"""How to reproduce a fit: the shell command, the Python call, and what neither can express.

The command line must read every value as the value that it was, so each is read back before it is
written; one that it would read as something else is said in words.
"""

from __future__ import annotations

import inspect
import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from ppl_models import catalogue
from ppl_models.data.by_type import dealt_parameters
from ppl_models.data.containers.vocabulary import Vocabulary
from ppl_models.data.kinds.several import own_labels
from ppl_models.data.kinds.tokens import UNKNOWN
from ppl_models.data.missing import known_tokens
from ppl_models.errors import InputError
from ppl_models.fitting import fit
from ppl_models.posterior.density.sequences import of_words
from ppl_models.posterior.result.schema import facts_of, label_names, row_labels, row_weights
from ppl_models.program.arguments.json_text import from_json
from ppl_models.program.arguments.signature import by_type, data_parameters
from ppl_models.program.arguments.text import checked, read_settings
from ppl_models.report.fitted import FittedModel
from ppl_models.report.page import Block
from ppl_models.report.section import ReportSection

LONGEST = 160  #: characters of a value that a command or a call may hold
TABLES = ("Reals", "Counts", "Categories", "Bits")  #: kinds of data whose file is a table of cells
STORED_ELSEWHERE = ("fixed", "vocabulary", "predictive", "relabel", "weights", "labels", "types")
NO_EFFECT = ("checkpoint",)  #: options that do not change the result


def calls(fit: FittedModel) -> Iterator[Block]:
    """The shell command and the Python call, and what neither can express."""
    yield from reproduce(fit.tree)


REPRODUCTION = ReportSection("reproduction", lambda fit: "How to reproduce it", calls)


def reproduce(tree: xr.DataTree) -> Iterator[Block]:
    """The block on how to reproduce a fit."""
    values = fit_arguments(tree)
    unsaid = {n: what for n, v in values.items() if (what := _in_words(tree, n, v))}
    text = ["The same program, data, seed and versions give the same fit."]
    text += [f"- `{name}` is {what}." for name, what in unsaid.items()]
    refusal = shell_refusal(tree)
    by_hand = [n for n, v in values.items() if not _is_read(tree, n, v)]
    labels = _labels_of_rows(tree)
    if labels and not refusal:
        text.append(f"- The rows are called {labels}: `--id` names the column that says so.")
    if refusal:
        text.append(f"- {refusal}")
    elif by_hand:
        names = ", ".join(f"`{name}`" for name in by_hand)
        text.append(f"- The command line cannot pass {names} as this fit had them: use Python.")
    shown = [python_call(tree)] if refusal or by_hand else [command_line(tree), python_call(tree)]
    yield Block("", "\n".join(text), code="\n\n".join(shown))


def fit_arguments(tree: xr.DataTree) -> dict[str, Any]:
    """The arguments of ``fit`` by name: those of the program, of the method, and its own.

    Arguments that were not passed are left out: they have their defaults again, or come from the
    data. A ``Vocabulary`` is one again, unless it is that of the data.
    """
    attributes = tree.attrs
    read = {n: from_json(attributes.get(n, "{}")) for n in ("arguments", "configuration", "fixed")}
    known = {**read["arguments"], **read["configuration"]}
    passed = from_json(attributes.get("fit_options", "{}"))
    values = {n: known.get(n) for n in passed.get("names", known) if n not in NO_EFFECT}
    if "vocabulary" in values:
        del values["vocabulary"]
        vocabulary = _vocabulary(tree)
        values |= {} if vocabulary is None else {"vocabulary": vocabulary}
    if types := column_types_of(tree):
        values["types"] = {**types, **(values.get("types") or {})}
    if read["fixed"]:
        values["fixed"] = read["fixed"]
    defaults = inspect.signature(fit).parameters
    of_fit = {n: passed[n] for n in ("predictive", "relabel") if n in passed}
    values |= {n: v for n, v in of_fit.items() if v != defaults[n].default}
    weights = row_weights(tree)
    if weights is not None:
        values |= {"weights": weights}
    labels = row_labels(tree)
    if labels is None:
        return values
    names = label_names(tree)
    told = [None if k < 0 else names.get(int(k), int(k)) for k in labels]
    return values | {"labels": told}


def _vocabulary(tree: xr.DataTree) -> Vocabulary | None:
    """The vocabulary given by the user; None if it was read from the data."""
    labels = from_json(tree.attrs.get("coordinate_labels", "{}"))
    tokens = tuple(map(str, labels.get("token", ())))
    if not tokens:
        return None
    unknown = labels.get(UNKNOWN, [None])[0]
    codes = tree["observed_data"].to_dataset()[tree.attrs["data_site"]].values
    seen = np.unique(codes[known_tokens(codes, len(tokens))])
    own = unknown is None and len(seen) == len(tokens) and list(tokens) == sorted(tokens)
    return None if own else Vocabulary(tokens, unknown)


def shell_refusal(tree: xr.DataTree) -> str:
    """Why the command line cannot fit this program at all; empty where it can."""
    program = str(tree.attrs.get("program", "PROGRAM"))
    if program not in catalogue.model_names() and ".py:" not in program:
        return f"The command line does not find `{program}`, which is in no file: use Python."
    groups = [tree[n].data_vars for n in ("observed_data", "constant_data") if n in tree.children]
    sites = [str(site) for group in groups for site in group]
    if catalogue.is_available(program):
        # what a program computes from its data is not given to it, as the links of a network
        parameters = data_parameters(catalogue.program(program))
        sites = [name for name in parameters if name in sites]
    if row_weights(tree) is not None:
        return (
            "The rows have weights, which the command line reads from a column of the file "
            "(`--weights COLUMN`): write them there, or use Python."
        )
    if row_labels(tree) is not None:
        return (
            "The clusters of some rows were given, which the command line reads from a column of "
            "the file (`--labels COLUMN`): write them there, or use Python."
        )
    if len(sites) > 1 and not column_types_of(tree):
        names = ", ".join(f"`{site}`" for site in sites)
        return f"The data are a dict of {names}, and the command line reads one file: use Python."
    return ""


def command_line(tree: xr.DataTree) -> str:
    """The command of the shell, with all arguments that it can read."""
    attributes, values = tree.attrs, fit_arguments(tree)
    words = ["ppl-models", "fit", str(attributes.get("program", "PROGRAM")), _file(tree)]
    if of_words(tree):
        words.append("--words")
    if "clusters" in values:
        words += ["--clusters", str(values.pop("clusters"))]
    words += ["--method", str(attributes.get("method", "METHOD"))]
    words += ["--seed", str(attributes.get("seed", 0))]
    if attributes.get("precision", "float64") != "float64":
        words += ["--precision", str(attributes["precision"])]
    if types := values.pop("types", {}):
        words += ["--types", _types_text(types)]
    if _labels_of_rows(tree):
        words += ["--id", "COLUMN"]
    for name, value in values.items():
        text = _shell_text(tree, name, value)
        words += [] if text is None else ["--set", f"{name}={text}"]
    return shlex.join([*words, "--out", "FILE.nc"])


def column_types_of(tree: xr.DataTree) -> dict[str, str]:
    """Column -> type, where a program takes the columns of one table by their types."""
    if not catalogue.is_available(tree.attrs["program"]):
        return {}
    marked = by_type(catalogue.program(tree.attrs["program"]))
    like = from_json(tree.attrs.get("coordinate_labels", "{}"))
    sites = {str(site) for site in tree["observed_data"].data_vars}
    places = {c: site for c, site in dealt_parameters(marked).items() if site in sites}
    if sites - set(places.values()):  # data that are in no table
        return {}
    return {
        str(column): called
        for called, site in places.items()
        for column in own_labels(like, site).get("feature", ())
    }


def _types_text(types: Mapping[str, str]) -> str:
    return ",".join(f"{column}={called}" for column, called in types.items())


def _is_read(tree: xr.DataTree, name: str, value: Any) -> bool:
    """Whether an option of the command line can say the value."""
    if name != "types":
        return _shell_text(tree, name, value) is not None
    # (a comma divides columns, and spaces about a name are dropped)
    return all(column and column == column.strip() and "," not in column for column in value)


def _labels_of_rows(tree: xr.DataTree) -> str:
    """The first labels of the rows, in words; empty where they are numbered from 0."""
    if facts_of(tree).emission.kind not in TABLES:
        return ""
    plate = tree.attrs.get("plate")
    data = tree["observed_data"].to_dataset()
    if plate not in data.coords:
        return ""
    labels = data.coords[plate].values
    if labels.dtype.kind in "iu" and np.array_equal(labels, np.arange(len(labels))):
        return ""
    shown = ", ".join(f"`{label}`" for label in labels[:2])
    return shown + ", ..." if len(labels) > 2 else shown


def _file(tree: xr.DataTree) -> str:
    """Name of an example file that the command line could read the data from."""
    return {"Graphs": "DATA.g6", "Tokens": "DATA.txt"}.get(facts_of(tree).emission.kind, "DATA.csv")


def _shell_text(tree: xr.DataTree, name: str, value: Any) -> str | None:
    """The value as ``--set`` reads it; None where it would read something else."""
    if isinstance(value, Vocabulary):
        return None
    listed = plain(value)
    quoted = json.dumps(listed)
    texts = [listed if isinstance(listed, str) else quoted, quoted]
    return next((t for t in texts if len(t) <= LONGEST and _reads(tree, name, t, listed)), None)


def _reads(tree: xr.DataTree, name: str, text: str, listed: Any) -> bool:
    """Whether the command line reads the text as the value."""
    attributes = tree.attrs
    if not catalogue.is_available(attributes["program"]):
        return False
    program = catalogue.program(attributes["program"])
    method = getattr(catalogue.method(attributes["method"]), attributes["method"])
    try:
        read = checked(read_settings([f"{name}={text}"], None), program, method, fit)
    except InputError:  # the reader of the command line refuses it
        return False
    return bool(plain(read[name]) == listed)


def plain(value: Any) -> Any:
    """Arrays and tuples as lists."""
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return [plain(entry) for entry in value] if isinstance(value, tuple | list) else value


def python_call(tree: xr.DataTree) -> str:
    """The call from Python; values that are too long for it stand there by name."""
    attributes = tree.attrs
    parts = [
        repr(attributes.get("program", "PROGRAM")), "data",
        f"method={attributes.get('method', 'METHOD')!r}", f"seed={attributes.get('seed', 0)}",
    ]  # fmt: skip
    if "precision" in attributes:
        parts.append(f"precision={attributes['precision']!r}")
    for name, value in fit_arguments(tree).items():
        parts.append(f"{name}={name if _in_words(tree, name, value) else _text(value)}")
    lines = ",\n    ".join(parts)
    return f"ppl_models.fit(\n    {lines},\n)"


def _text(value: Any) -> str:
    """A value as it is written in Python."""
    if isinstance(value, np.ndarray):
        return f"np.array({_plain(value)})" if value.ndim else repr(value.item())
    if isinstance(value, Vocabulary):
        return f"ppl_models.data.{value!r}"
    if isinstance(value, dict):
        entries = ", ".join(f"{name!r}: {_text(entry)}" for name, entry in value.items())
        return f"{{{entries}}}"
    return repr(value)


def _in_words(tree: xr.DataTree, name: str, value: Any) -> str:
    """Description of a value that is too long to write, or was not stored; otherwise empty."""
    stored = name in STORED_ELSEWHERE or any(
        name in from_json(tree.attrs.get(group, "{}")) for group in ("arguments", "configuration")
    )
    if not stored:
        return "an argument whose value the fit does not store"
    if name == "types":
        return ""
    if name == "weights":
        return "the weights of the rows, `row_weights` in the fit's group `constant_data`"
    if len(_text(value)) <= LONGEST:
        return ""
    if name == "labels":
        return "the clusters that were given, `row_labels` in the fit's group `constant_data`"
    if isinstance(value, Vocabulary):
        others = "" if value.unknown is None else f", of which `{value.unknown}` stands for others"
        return (
            f"`Vocabulary(tokens, unknown)` of the fit's {len(value):,} tokens{others}; they are "
            "in its attribute `coordinate_labels`"
        )
    shape = f"array of shape {value.shape}" if isinstance(value, np.ndarray) else "value"
    attributes = "`fixed`" if name == "fixed" else "`arguments` or `configuration`"
    return f"the {shape} that the fit has in its attribute {attributes}"


def _plain(value: np.ndarray) -> str:
    """Nested lists as Python reads them, NaN by its name in NumPy."""
    text = repr(value.tolist())
    return text.replace("nan", "np.nan") if value.dtype.kind == "f" else text
