"""The documentation's tables, made by asking the code: which method serves which program, numbers.

``python -m ppl_models.tables`` (``make tables``) writes them between the markers of the pages.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ppl_models import catalogue
from ppl_models.errors import InputError
from ppl_models.program.arguments.signature import arguments_of

ROOT = Path(__file__).parent.parent
#: Page -> its generated sections.
PAGES = {
    Path("docs") / "reference" / "programs.md": (
        "programs",
        "methods",
        "programs by methods",
        "default priors",
    ),
    Path("docs") / "numbers.md": ("benchmarks",),
    Path("README.md"): ("start-up",),
}
RESULTS = Path("experiments") / "benchmarks" / "results"
NO_RESULTS = "No run of `make bench` is recorded yet."

#: How programs annotate what their priors take.
PRIOR_ANNOTATIONS = ("float", "float | None", "Any")

#: Complete data, as small as every kind of data gets.
TINY: dict[str, Any] = {
    "Reals": [[0.0, 1.0], [1.0, 3.0], [5.0, 5.5], [6.0, 4.0], [7.0, 7.0], [0.5, 0.0]],
    "Bits": [[0, 1], [1, 1], [1, 0], [0, 0]],
    "Counts": [[0, 3], [5, 1], [2, 2], [1, 9]],
    "Categories": [["a", "x"], ["b", "y"], ["b", "x"], ["c", "y"]],
    "Series": [[[0.0, 1.0], [1.0, 3.0], [5.0, 5.5]], [[6.0, 4.0], [7.0, 7.0]]],
    "Tokens": ["ab", "b", "bba"],
    "Graphs": [[[0, 1, 0], [1, 0, 1], [0, 1, 0]], [[0, 1, 1], [1, 0, 1], [1, 1, 0]]],
}


def variants(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A program's label and arguments, once for every choice that its file declares.

    A choice is an argument with a text default that is one of a constant tuple of texts in the
    program's file, as ``covariance="full"`` is one of ``COVARIANCES``.

    >>> [label for label, _ in variants("bernoulli_mixture")]
    ['bernoulli_mixture']
    """
    function = catalogue.program(name)
    constants = vars(importlib.import_module(function.__module__)).values()
    choices = [
        c
        for c in constants
        if isinstance(c, tuple) and c and all(isinstance(text, str) for text in c)
    ]
    parameters = inspect.signature(function).parameters
    clusters: dict[str, Any] = {n: 2 for n in ("clusters", "states", "topics") if n in parameters}
    pairs = [
        (n, choice)
        for n, p in parameters.items()
        for choice in choices
        if isinstance(p.default, str) and p.default in choice
    ]
    if not pairs:
        yield name, clusters
    for argument, choice in pairs:
        for value in choice:
            yield f"{name}, {value}", {**clusters, argument: value}


def unmet_need(program: str | Callable, method: str, arguments: dict[str, Any]) -> str | None:
    """What a method needs and a program does not offer, None if it is served; on tiny data.

    They are those of the program's file, ``example``, or of the kind that it takes.

    >>> unmet_need("markov_chain", "exact", {}) is None
    True
    """
    return unmet_needs(program, [method], arguments)[0]


def unmet_needs(
    program: str | Callable, methods: Sequence[str], arguments: dict[str, Any]
) -> list[str | None]:
    """What :func:`unmet_need` says of every method; the program is read once."""
    from ppl_models.inference.capabilities import lacking
    from ppl_models.inference.method import declaration
    from ppl_models.inference.problem import Problem
    from ppl_models.program.arguments.signature import data_parameters
    from ppl_models.program.reading import read_data, read_program
    from ppl_models.program.runtime.precision import scope

    function = catalogue.program(program)
    kinds = data_parameters(function)
    unmet: list[str | None] = []
    with scope("float64"):
        example = getattr(inspect.getmodule(inspect.unwrap(function)), "example", None)
        of_kinds = {n: TINY[kind.__name__] for n, kind in kinds.items()}
        tiny = of_kinds if example is None else example(**arguments)
        observed = read_data(function, tiny)
        problem = Problem(*read_program(function, observed, arguments, {}, "float64"))
        for method in methods:
            capability = lacking(problem, declaration(method).needs)
            unmet.append(None if capability is None else capability.name)
    return unmet


def models_by_methods() -> str:
    """Markdown: a row a program, a column a method; a number refers to what is lacking.

    ``fit`` says which site it is that lacks it, and what to do.
    """
    methods = catalogue.method_names()
    needs: list[str] = []
    lines = [
        "| program | " + " | ".join(methods) + " |",
        "|---|" + ":-:|" * len(methods),
    ]
    for name in catalogue.model_names():
        for label, arguments in variants(name):
            cells = [_cell(need, needs) for need in unmet_needs(name, methods, arguments)]
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
    notes = [f"{number}. The method needs {need}." for number, need in enumerate(needs, start=1)]
    return "\n".join([*lines, "", *notes]).rstrip()


def _cell(need: str | None, needs: list[str]) -> str:
    if need is None:
        return "yes"
    if need not in needs:
        needs.append(need)
    return f"no ({needs.index(need) + 1})"


def names_and_lines(kind: str, names: list[str]) -> str:
    """Markdown: a row a file, with the first line of its docstring.

    >>> print(names_and_lines("models", ["bernoulli_mixture"]).splitlines()[-1])
    | `bernoulli_mixture` | Rows of bits from hidden types. |
    """
    rows = [f"| `{n}` | {catalogue.summary(kind, n).replace('``', '`')} |" for n in names]
    return "\n".join(["| name | what |", "|---|---|", *rows])


def default_priors() -> str:
    """Markdown: a row a number that a prior takes, with what it is where none is given.

    Prior arguments are those that take numbers with a fraction; the texts are their docstrings'.
    """
    lines = ["| program | argument | of what | default |", "|---|---|---|---|"]
    for name in catalogue.model_names():
        function = catalogue.program(name)
        texts = argument_texts(function)
        for argument, parameter in arguments_of(function).items():
            if str(parameter.annotation) not in PRIOR_ANNOTATIONS:
                continue
            match = re.fullmatch(r"(.*) \(default: (.*)\)\.?", texts[argument])
            if match is None and parameter.default is None:
                continue  # no number of a prior: it may be left out, as a bound may
            what, default = match.groups() if match else (texts[argument], f"{parameter.default:g}")
            lines.append(f"| `{name}` | `{argument}` | {what.rstrip('.')} | {default} |")
    return "\n".join(lines)


def argument_texts(function: Callable) -> dict[str, str]:
    """What a docstring says of each argument, on one line.

    >>> argument_texts(catalogue.program("poisson_mixture"))["clusters"]
    'K.'
    """
    section = (inspect.getdoc(function) or "").partition("Args:\n")[2].partition("\n\n")[0]
    entries = re.split(r"^    (?=\w+: )", section, flags=re.MULTILINE)[1:]
    pairs = (entry.partition(": ") for entry in entries)
    return {name: " ".join(text.split()).replace("``", "`") for name, _, text in pairs}


def benchmark_numbers(root: Path, part: str = "*") -> str:
    """What the last recorded ``make bench`` found, part by part, or of one part."""
    parts = sorted((root / RESULTS).glob(f"[0-9][0-9]_{part}.md"))
    return "\n\n".join(p.read_text(encoding="utf-8").strip() for p in parts) or NO_RESULTS


def sections(root: Path) -> dict[str, Callable[[], str]]:
    """What stands between the markers of each name."""
    return {
        "programs": lambda: names_and_lines("models", catalogue.model_names()),
        "methods": lambda: names_and_lines("inference/methods", catalogue.method_names()),
        "programs by methods": models_by_methods,
        "default priors": default_priors,
        "benchmarks": lambda: benchmark_numbers(root),
        "start-up": lambda: benchmark_numbers(root, "start_up"),
    }


def between_markers(text: str, name: str) -> tuple[int, int]:
    """Where a section begins and ends.

    Raises:
        InputError: a marker is missing.
    """
    first, last = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    begin, end = text.find(first), text.find(last)
    if begin < 0 or end < begin:
        raise InputError(f"the page lacks the markers {first.strip()} and {last}: put them in")
    return begin + len(first), end


def filled(text: str, names: Sequence[str], root: Path) -> str:
    """A page's text with the sections of these names made anew."""
    made = sections(root)
    for name in names:
        begin, end = between_markers(text, name)
        text = f"{text[:begin]}{made[name]()}\n{text[end:]}"
    return text


def main() -> int:
    """Rewrite the sections of all pages."""
    for page, names in PAGES.items():
        path = ROOT / page
        try:
            path.write_text(filled(path.read_text(encoding="utf-8"), names, ROOT), encoding="utf-8")
        except (InputError, OSError) as error:
            print(f"tables: {page}: {error}", file=sys.stderr)
            return 2
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
