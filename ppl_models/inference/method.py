"""What a method declares about itself, as data, and what it needs of a program.

Every file of ``inference/methods/`` holds a constant ``METHOD``. Whoever has to know how a method
treats assignments, or whether it serves a program, reads it there or in the facts of a fit, and
never asks for a method by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

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
class Calibration:
    """How simulation-based calibration runs a method: see ``inference/simulated_data.py``.

    A method states either ``draw``, which is compiled once for all simulations, or ``ranks``.

    Args:
        draw: ``(key, program with simulated data, plan) -> draws, further quantities of them``.
        simulate: ``(program, plan, key) -> every site, the further quantities' true values``, where
            truths are not drawn from the program as it stands.
        fixed_number: whether all components of a draw are in use, so that they can be put into an
            order; otherwise only the density and the further quantities are ranked.
        ranks: the ranks of the true values by quantity, ``(simulation, ...)``, of a method whose
            data are not simulated by the program; takes the arguments of ``calibrate`` by keyword.
        draws_locals: whether it draws the rows' own continuous sites too, on ``with_locals()``.
    """

    draw: Callable[..., Any] | None = None
    simulate: Callable[..., Any] | None = None
    fixed_number: bool = True
    ranks: Callable[..., dict[str, np.ndarray]] | None = None
    draws_locals: bool = False


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
        maximises_likelihood: whether ``choose_clusters`` compares its maxima of the likelihood by
            information criteria; methods that draw are compared by leave-one-out.
        calibration: how simulation-based calibration runs it; None where it does not.
        pads_rows: whether rows may be padded, those of weight 0 adding nothing; see
            ``program.padding``.
        row_weights: which weights of rows it counts by: "none", "integer" numbers, or "any".
        passes_over_blocks: whether it serves rows that are read in blocks, by passes over all.
        keeps_states: whether its runs keep their states where ``fit(checkpoint=)`` says.
        integrates_locals: whether it integrates the rows' own continuous sites out, so that its
            point is none of their joint mode.
        many: whether ``fit_many`` runs it on many groups side by side.
        updates: whether `update` goes on from its fits with more rows.
        suggested: whether refusals of other methods name it as a way out: not a method that
            comes to the answers of another in another way.
    """

    kind: Kind
    assignments: Treatment = "soft"
    objective: Objective | None = None
    needs: tuple[Capability, ...] = ()
    keeps_priors: bool = True
    maximises_likelihood: bool = False
    calibration: Calibration | None = None
    pads_rows: bool = False
    row_weights: Literal["none", "integer", "any"] = "none"
    passes_over_blocks: bool = False
    keeps_states: bool = False
    integrates_locals: bool = False
    many: bool = False
    updates: bool = False
    suggested: bool = True


def declaration(name: str) -> Method:
    """What the method of this name declares.

    >>> declaration("em").kind, declaration("kmeans").assignments
    ('point', 'hard')
    """
    method: Method = catalogue.method(name).METHOD
    return method


def methods_that(offer: Callable[[Method], bool]) -> list[str]:
    """Names of the methods whose declarations satisfy a condition.

    >>> methods_that(lambda method: method.maximises_likelihood)
    ['em']
    """
    return [name for name in catalogue.method_names() if offer(declaration(name))]
