"""Programs and methods by name: a file each, found by the name of the file.

Names and one-line descriptions are read from the source, so that listing them imports nothing.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ppl_models.errors import InputError
from ppl_models.field_parameters import named_fields, with_fields

PACKAGE = Path(__file__).parent
NUMBER = "#"  #: before the number of a program whose name another had before
WRAPPED = " within a handler"  #: after the name of a program that a handler is around
_from_files: dict[tuple[str, float], Any] = {}
_registered: dict[str, Callable] = {}


def _names(folder: Path) -> list[str]:
    return sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))


def model_names() -> list[str]:
    """The programs of ``models/``.

    >>> "gaussian_mixture" in model_names()
    True
    """
    return _names(PACKAGE / "models")


def method_names() -> list[str]:
    """The methods of ``inference/methods/``.

    >>> "em" in method_names()
    True
    """
    return _names(PACKAGE / "inference" / "methods")


def summary(kind: str, name: str) -> str:
    """First line of a program's ("models") or method's ("inference/methods") docstring."""
    source = (PACKAGE / kind / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").split("\n")[0]


def method(name: str) -> Any:
    """The module of a method.

    Raises:
        InputError: no method of that name.
    """
    if name not in method_names():
        raise InputError(f"there is no method {name!r}: choose one of {', '.join(method_names())}")
    return importlib.import_module(f"ppl_models.inference.methods.{name}")


def program(named: str | Callable) -> Callable:
    """A program from its name, from ``path/to/file.py:function``, or as it is.

    Raises:
        InputError: no such program, file or function.
    """
    if callable(named):
        _registered[program_name(_decorated(named))] = named
        return named
    if named in model_names():
        return getattr(importlib.import_module(f"ppl_models.models.{named}"), named)
    if named not in _registered and named.endswith(WRAPPED):
        raise InputError(
            f"the program {named!r} was fitted within a handler, which no file holds: call the "
            "handler in a function of a file, and fit that function"
        )
    if named not in _registered and (told := named_fields(named)) is not None:
        return with_fields(program(told[0]), *told[1:])
    if named not in _registered and NUMBER in named:
        named = named.rpartition(NUMBER)[0]
    if named in _registered:
        return _registered[named]
    place, _, function = named.rpartition(":")
    if place.endswith(".py"):
        return _from_file(Path(place), function)
    if place:
        return _from_module(place, function, named)
    raise InputError(
        f"there is no program {named!r}: choose one of {', '.join(model_names())}, or give "
        "path/to/file.py:function"
    )


def is_available(name: str) -> bool:
    """Whether :func:`program` finds the program: its file or module may not be on this machine.

    >>> is_available("poisson_mixture"), is_available("no/such/file.py:coins")
    (True, False)
    """
    try:  # a module or a file of somebody else is imported
        program(name)
    except InputError:
        return False
    return True


def _decorated(handler: Any) -> Any:
    """The program; a handler that decorates it bears its name and signature.

    NumPyro gives them to ``handlers.reparam(program, config=...)``, and not to a handler that is
    written as a decorator, ``@handlers.reparam(config=...)``.
    """
    program = getattr(handler, "fn", None)
    if callable(program) and not inspect.isfunction(handler):
        if not hasattr(handler, "__wrapped__"):
            functools.update_wrapper(handler, _decorated(program), updated=())
    return handler


def is_built_in(function: Callable) -> bool:
    """Whether a program is one of this package.

    >>> is_built_in(program("poisson_mixture")), is_built_in(len)
    (True, False)
    """
    return str(getattr(function, "__module__", "")).startswith("ppl_models.models.")


def program_name(function: Callable) -> str:
    """The text by which :func:`program` finds a program again.

    Programs of one name that differ (functions that were defined anew, or within a function) are
    numbered, and what a handler makes of a program has another name than the program.
    """
    plain, number = _plain_name(function), 1
    name = plain
    while name in _registered and _registered[name] is not function:
        number += 1
        name = f"{plain}{NUMBER}{number}"
    return name


def _plain_name(function: Callable) -> str:
    module = getattr(function, "__module__", "") or ""
    name = getattr(function, "__qualname__", type(function).__name__)
    if hasattr(function, "__wrapped__") and not inspect.isfunction(function):
        # a handler bears the name of the program that it is around
        held = vars(sys.modules[module]) if module in sys.modules else {}
        own = next((n for n, v in held.items() if v is function), None)
        return f"{module}:{own or name + WRAPPED}"
    if module == f"ppl_models.models.{name}":
        return name
    path = getattr(function, "__program_file__", None)
    return f"{path}:{name}" if path else f"{module}:{name}"


def _from_module(module: str, function: str, name: str) -> Callable:
    try:
        loaded: Any = importlib.import_module(module)
        for part in function.split("."):
            loaded = getattr(loaded, part)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"the program {name!r} cannot be imported ({error}): give program=, the function"
        ) from error
    return _decorated(loaded)


def _from_file(path: Path, function: str) -> Callable:
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r} to take the program {function!r} from")
    key = (str(path.resolve()), path.stat().st_mtime)
    if key not in _from_files:
        name = f"_program_{path.stem}_{abs(hash(key))}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise InputError(
                f"{path} could not be read as Python: {type(error).__name__}: {error}"
            ) from error
        _from_files[key] = module
    loaded = getattr(_from_files[key], function, None)
    if not callable(loaded):
        raise InputError(f"{path} has no function {function!r}")
    _decorated(loaded)
    loaded.__program_file__ = str(path)
    return loaded
