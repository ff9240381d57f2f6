"""What a method declares about itself, as data.

Every file of ``inference/methods/`` holds a constant ``METHOD``. Whoever has to know how a method
treats assignments, or whether it draws, reads it there or in the facts of a fit, and never asks for
a method by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ppl_models import catalogue
from ppl_models.inference.objective import Objective

Kind = Literal["point", "draws"]
Treatment = Literal["soft", "hard"]


@dataclass(frozen=True)
class Method:
    """A method's declaration.

    Args:
        kind: "draws" from the posterior, or a "point".
        assignments: whether assignments and state paths count with their probabilities ("soft")
            or the best of them counts wholly ("hard").
        objective: what is optimised; None where nothing is. A result says what was optimised in
            fact, where an option changes it.
    """

    kind: Kind
    assignments: Treatment = "soft"
    objective: Objective | None = None


def declaration(name: str) -> Method:
    """What the method of this name declares.

    >>> declaration("em").kind, declaration("kmeans").assignments
    ('point', 'hard')
    """
    method: Method = catalogue.method(name).METHOD
    return method
