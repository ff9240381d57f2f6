"""``--set name=value``: arguments of programs and methods as text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Union, get_args, get_origin

import numpy as np

from ppl_models.errors import InputError
from ppl_models.program.arguments.annotations import typed_parameters
from ppl_models.rectangular import rectangular

#: Arguments of fit that have an option of their own.
RESERVED = {
    "program": "PROGRAM",
    "data": "DATA",
    "method": "--method",
    "seed": "--seed",
    "precision": "--precision",
    "progress": "--quiet",
    "client": "--scheduler",
}
KINDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    type(None): "null",
}


def read_settings(settings: Sequence[str], clusters: int | None) -> dict[str, Any]:
    """Names and values, each read as JSON, else as text.

    Args:
        settings: texts "name=value".
        clusters: value of ``--clusters``.

    Raises:
        InputError: no name, a name that is given twice or has an option of its own.

    >>> read_settings(["covariance=full", "starts=8", "loc_mean=[0, 1]"], 3)
    {'clusters': 3, 'covariance': 'full', 'starts': 8, 'loc_mean': [0, 1]}
    """
    read: dict[str, Any] = {} if clusters is None else {"clusters": clusters}
    for setting in settings:
        name, equals, text = setting.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name.isidentifier():
            raise InputError(f"--set {setting} is not of the form name=value")
        if name in RESERVED:
            raise InputError(f"--set {setting} is not possible: use {RESERVED[name]}")
        if name in read:
            raise InputError(f"'{name}' is given twice: give it once")
        read[name] = _value(text)
    return read


def column_types(texts: Sequence[str]) -> dict[str, str]:
    """Types by column, of ``--types``.

    Args:
        texts: texts "column=type", several of them with commas between.

    Raises:
        InputError: a text without a column or a type, or a column that is named twice.

    >>> column_types(["age=normal,class=categorical", "name=skip"])
    {'age': 'normal', 'class': 'categorical', 'name': 'skip'}
    """
    types: dict[str, str] = {}
    for text in ",".join(texts).split(","):
        column, equals, called = text.rpartition("=")
        column, called = column.strip(), called.strip()
        if not (equals and column and called):
            raise InputError(f"--types {text!r} is not of the form COLUMN=TYPE, as age=normal")
        if column in types:
            raise InputError(f"--types names the column '{column}' twice: name it once")
        types[column] = called
    return types


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(constant: str) -> Any:
    raise ValueError(constant)  # NaN and Infinity are no JSON


def checked(
    settings: Mapping[str, Any], program: Callable, method: Callable, fit: Callable
) -> dict[str, Any]:
    """Values in the annotated types of their parameters; lists of numbers become arrays.

    Names that nobody takes are left to ``fit``, which knows what there is.

    Raises:
        InputError: a value of another type than its parameter's.
    """
    annotations: dict[str, Any] = {}
    for function in (fit, method, program):
        annotations |= _annotations(function)
    values = {n: _as(n, v, annotations.get(n, Any)) for n, v in settings.items()}
    if "fixed" in settings:
        values["fixed"] = _fixed(settings["fixed"])
    return values


def _annotations(function: Callable) -> dict[str, Any]:
    parameters = typed_parameters(function)
    return {n: Any if p.annotation is p.empty else p.annotation for n, p in parameters.items()}


def _as(name: str, value: Any, annotation: Any) -> Any:
    if isinstance(value, list) and any(
        get_origin(part) is tuple for part in (annotation, *get_args(annotation))
    ):
        return tuple(value)
    kinds = _kinds(annotation)
    if kinds is None or type(value) in kinds:
        return _array(value)
    if float in kinds and type(value) is int:
        return float(value)
    if int in kinds and type(value) is float and value.is_integer():
        return int(value)
    if float in kinds and _is_numeric(value):  # one number for each cluster or feature
        return _array(value)
    wanted = " or ".join(KINDS[kind] for kind in kinds)
    raise InputError(f"{name} is {json.dumps(value)}: it takes {wanted}")


def _kinds(annotation: Any) -> tuple[Any, ...] | None:
    """The plain types that are taken, None for anything."""
    union = get_origin(annotation) is Union or isinstance(annotation, type(int | str))
    kinds = get_args(annotation) if union else (annotation,)
    kinds = tuple(type(None) if kind is None else kind for kind in kinds)
    return kinds if all(kind in KINDS for kind in kinds) else None


def _is_numeric(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    array = rectangular(value)
    return array is not None and array.dtype.kind in "iuf"


def _array(value: Any) -> Any:
    return np.asarray(value, float) if _is_numeric(value) else value


def _fixed(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError("fixed takes site names and values, as in --set fixed='{\"scale\": 1}'")
    for name, entry in value.items():
        known = _with_nan(entry)
        if type(known) not in (int, float) and not _is_numeric(known):
            raise InputError(
                f"fixed holds {json.dumps(entry)} for '{name}': it takes numbers, and null for "
                "entries that are not fixed"
            )
    return {name: np.asarray(_with_nan(entry), float) for name, entry in value.items()}


def _with_nan(entry: Any) -> Any:
    """NaN in place of null, also of whole rows."""
    if not isinstance(entry, list):
        return np.nan if entry is None else entry
    inner = [_with_nan(each) for each in entry]
    shapes = [np.shape(np.asarray(each)) for each in inner if isinstance(each, list)]
    if not shapes:
        return inner
    return [each if isinstance(each, list) else np.full(shapes[0], each).tolist() for each in inner]
