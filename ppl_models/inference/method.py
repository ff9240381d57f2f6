"""What a method declares about itself, as data, and what it needs of a program.

Every file of ``inference/methods/`` holds a constant ``METHOD``. Whoever has to know how a method
treats assignments, or whether it serves a program, reads it there or in the facts of a fit, and
never asks for a method by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ppl_models import catalogue
from ppl_models.inference.objective import Objective

Kind = Literal["point", "draws"]
Treatment = Literal["soft", "hard"]


class Lack(NamedTuple):
    """Why a program does not offer something.

    Args:
        reason: a clause that names the site.
        advice: what else to do than to use another method, an imperative; or empty.
    """

    reason: str
    advice: str = ""


@dataclass(frozen=True)
class Capability:
    """Something that a program may offer with its data, and that a method may need.

    Args:
        name: what is needed, as it stands after "needs".
        lack: ``(problem) -> Lack``, or None where the problem offers it.
    """

    name: str
    lack: Callable[[Any], Lack | None]


@dataclass(frozen=True)
class Method:
    """A method's declaration.

    Args:
        kind: "draws" from the posterior, or a "point".
        assignments: whether assignments and state paths count with their probabilities ("soft")
            or the best of them counts wholly ("hard").
        objective: what is optimised; None where nothing is. A result says what was optimised in
            fact, where an option changes it.
        needs: what a program must offer.
        keeps_priors: whether all priors are the program's: the method is then one that another
            may be replaced by.
    """

    kind: Kind
    assignments: Treatment = "soft"
    objective: Objective | None = None
    needs: tuple[Capability, ...] = ()
    keeps_priors: bool = True


def declaration(name: str) -> Method:
    """What the method of this name declares.

    >>> declaration("em").kind, declaration("kmeans").assignments
    ('point', 'hard')
    """
    method: Method = catalogue.method(name).METHOD
    return method
