"""The tokens of a file: characters, or words separated by spaces."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import Any

from ppl_models.errors import InputError


def refuse_options(parsed: argparse.Namespace, program: Callable) -> None:
    """Refuse options of tokens that contradict each other or the program.

    Args:
        parsed: of the command ``fit``.
        program: that is fitted.

    Raises:
        InputError: data that are no tokens, ``--min-count`` without ``--unknown``, or an unknown
            token that could not be told from several.
    """
    from ppl_models.data import Tokens
    from ppl_models.program.arguments.signature import data_parameters

    options = {"--words": parsed.words, "--unknown": parsed.unknown is not None}
    options["--min-count"] = parsed.min_count != 1
    asked = [option for option, is_given in options.items() if is_given]
    if asked and not any(issubclass(k, Tokens) for k in data_parameters(program).values()):
        raise InputError(f"{asked[0]} is for sequences of tokens: leave it out")
    if parsed.min_count < 1:
        raise InputError(f"--min-count is {parsed.min_count}: give a whole number from 1 up")
    if parsed.min_count > 1 and parsed.unknown is None:
        raise InputError(
            f"--min-count is {parsed.min_count}, and rare tokens need a replacement: give --unknown"
        )
    if parsed.unknown is None:
        return
    if parsed.unknown.split() != [parsed.unknown] or not (parsed.words or len(parsed.unknown) == 1):
        wanted = "one word" if parsed.words else "one character (or --words)"
        raise InputError(f"--unknown is {parsed.unknown!r}: give {wanted}")


def vocabulary_option(options: argparse.Namespace, data: Any, taken: bool) -> dict[str, Any]:
    """The argument ``vocabulary`` for ``--unknown`` and ``--min-count``, if given.

    Args:
        options: of the command ``fit``.
        data: sequences.
        taken: whether the vocabulary is among the other arguments.
    """
    from ppl_models.data import Vocabulary

    if options.unknown is None:
        return {}
    if taken:
        raise InputError("--unknown sets the vocabulary: leave --set vocabulary=... out")
    made = Vocabulary.from_sequences(
        data, unknown=options.unknown, min_count=options.min_count, site="data"
    )
    return {"vocabulary": made}


def note_spaces(data: Any) -> None:
    """Warn that characters were read where words may have been meant."""
    if isinstance(data, list) and all(isinstance(s, str) and " " in s.strip() for s in data):
        warnings.warn(
            "the tokens are single characters, spaces included: --words splits at spaces",
            stacklevel=2,
        )
