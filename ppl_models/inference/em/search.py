"""EM from many starts: short runs choose those that go on, and split–merge moves improve each.

With many components most starts end at poor optima, and a few iterations show which: the best of
short runs go on (em-EM of Biernacki, Celeux and Govaert 2003, Computational Statistics & Data
Analysis 41). Each of those is improved by split–merge moves until none raises its objective,
independently of the others: that several reach the same optimum is then evidence for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ppl_models.inference.em.loop import EMRuns
from ppl_models.inference.em.split_merge import Moves
from ppl_models.program.model import Globals

GO_ON = 4  #: of so many starts one goes on
SHORT = 10  #: iterations of a short run
TRIES = 4  #: moves from every start in a round
TRIAL = 20  #: iterations after which the best of them is chosen
FAILURES = 4  #: rounds without a better optimum after which a start is left alone
GAIN = 1e-7  #: least relative gain that counts
SURE = 2  #: of these, where most starts are at the best optimum
SAME = 1e-7  #: relative difference of objectives at the same optimum
EXTRAPOLATED = 0.97  #: most that an iteration's gain is taken to be of the one before

#: global sites (start, ...), most iterations -> runs
RunFrom = Callable[[Globals, int], EMRuns]


def lanes_of(starts: int) -> int:
    """How many of so many starts go on."""
    return max(1, starts // GO_ON)


def search(
    values: Globals,
    kinds: Sequence[str],
    run_from: RunFrom,
    collapsed: Callable[[EMRuns], np.ndarray],
    moves: Moves | None,
    iterations: int,
    short: int = SHORT,
) -> tuple[EMRuns, list[str]]:
    """Runs of the starts that went on, and what kind of start each was.

    Args:
        values: of the global sites at all starts, ``(start, ...)``.
        kinds: what kind of start each is.
        run_from: runs EM from given values, for at most so many iterations.
        collapsed: which of some runs ended with a collapsed component.
        moves: split–merge moves; None: there are none.
        iterations: maximum number of iterations per run.
        short: iterations of a short run.
    """
    count = len(kinds)
    lanes = lanes_of(count)
    begun = _stacked(
        [
            run_from(chosen_starts(values, np.arange(i, i + lanes) % count), min(short, iterations))
            for i in range(0, count, lanes)
        ],
        count,
    )
    order = np.argsort(-height(begun, collapsed(begun)), kind="stable")
    runs, chosen = begun, order[:lanes]
    if iterations > short:
        for first in range(0, count, lanes):
            chosen = order[first : first + lanes]
            runs = go_on(
                _chosen(begun, chosen),
                run_from(chosen_starts(begun.values, chosen), iterations - short),
            )
            if len(chosen) == lanes and not collapsed(runs).all():
                break
    else:
        runs = _chosen(begun, chosen)
    if moves is not None:
        runs = _move_on(runs, run_from, collapsed, moves, iterations)
    return runs, [kinds[i] for i in chosen]


def _move_on(
    runs: EMRuns,
    run_from: RunFrom,
    collapsed: Callable[[EMRuns], np.ndarray],
    moves: Moves,
    iterations: int,
) -> EMRuns:
    """Every run followed by the moves that raised its objective."""
    failures = np.where(runs.converged & ~collapsed(runs), 0, FAILURES)
    while (failures < FAILURES).any() and not _settled(final_objective(runs), failures):
        drawn = moves.draw(_as_arrays(runs.values), TRIES)
        trials = [run_from(_as_arrays(each), TRIAL) for each in drawn]
        promise = np.stack([_promise(t, collapsed(t)) for t in trials])
        best = promise.argmax(0)
        going = (failures < FAILURES) & (promise.max(0) > final_objective(runs))
        if not going.any():
            failures += 1
            continue
        each = [_chosen(trials[t], np.array([i])) for i, t in enumerate(best)]
        begun = _stacked(each, len(each))
        longer = go_on(begun, run_from(_as_arrays(begun.values), iterations))
        reached = height(longer, collapsed(longer))
        now = final_objective(runs)
        better = going & longer.converged & (reached > now + GAIN * (1 + np.abs(now)))
        runs = _continued(runs, longer, better)
        failures = np.where(better, 0, failures + 1)
    return runs


def _settled(final: np.ndarray, failures: np.ndarray) -> bool:
    """Whether most runs are at the best objective, and no move of theirs has raised it."""
    best = final.max()
    there = (final >= best - SAME * (1 + abs(best))) & (failures >= SURE)
    return len(final) > 1 and 2 * there.sum() > len(final)


def final_objective(runs: EMRuns) -> np.ndarray:
    """The last finite objective of every run, ``(start,)``; ``-inf`` where there is none."""
    finite = [row[np.isfinite(row)] for row in runs.objective]
    return np.array([row[-1] if len(row) else -np.inf for row in finite])


def height(runs: EMRuns, collapsed: np.ndarray) -> np.ndarray:
    """Objectives to choose by, ``(start,)``: those that collapsed come last."""
    return np.where(collapsed, -np.inf, final_objective(runs))


def _promise(runs: EMRuns, collapsed: np.ndarray) -> np.ndarray:
    """Objectives at convergence, extrapolated from the last gains (Aitken acceleration)."""
    heights = height(runs, collapsed)
    for i, row in enumerate(runs.objective):
        seen = row[np.isfinite(row)][-3:]
        if len(seen) == 3 and np.isfinite(heights[i]):
            gains = np.diff(seen)
            ratio = gains[1] / gains[0] if gains[0] > 0 else 0.0
            ratio = float(np.clip(ratio, 0, EXTRAPOLATED))
            heights[i] += gains[1] * ratio / (1 - ratio)
    return heights


def _as_arrays(values: Mapping[str, np.ndarray]) -> Globals:
    return jax.tree.map(jnp.asarray, values)


def chosen_starts(values: Mapping[str, Any], chosen: np.ndarray) -> Globals:
    """The global sites at some of the starts, ``(start, ...)``."""
    return {n: jnp.asarray(v)[chosen] for n, v in values.items()}


def _chosen(runs: EMRuns, chosen: np.ndarray) -> EMRuns:
    """Some of the runs."""
    return EMRuns(
        {n: v[chosen] for n, v in runs.values.items()},
        runs.objective[chosen],
        runs.iterations[chosen],
        runs.converged[chosen],
        {n: v[chosen] for n, v in runs.path.items()},
    )


def _stacked(parts: Sequence[EMRuns], count: int) -> EMRuns:
    """The first ``count`` of the runs of several parts."""
    length = max(part.objective.shape[1] for part in parts)
    padded = [_padded(part, length) for part in parts]
    join = lambda *v: np.concatenate(v)[:count]  # noqa: E731
    return EMRuns(
        jax.tree.map(join, *[p.values for p in padded]),
        join(*[p.objective for p in padded]),
        join(*[p.iterations for p in padded]),
        join(*[p.converged for p in padded]),
        jax.tree.map(join, *[p.path for p in padded]),
    )


def _padded(runs: EMRuns, length: int) -> EMRuns:
    """Runs, padded to a number of iterations."""
    more = length - runs.objective.shape[1]
    if more <= 0:
        return runs
    blank = np.full((len(runs.objective), more), np.nan)
    path = {n: np.concatenate([v, np.repeat(v[:, -1:], more, 1)], 1) for n, v in runs.path.items()}
    return replace(runs, objective=np.concatenate([runs.objective, blank], 1), path=path)


def go_on(first: EMRuns, second: EMRuns) -> EMRuns:
    """Runs, each with its continuation."""
    return _continued(first, second, np.ones(len(first.objective), bool), rising=False)


def _continued(runs: EMRuns, later: EMRuns, better: np.ndarray, *, rising: bool = True) -> EMRuns:
    """Runs, those that are ``better`` gone on with; if ``rising``, from where the later is higher.

    The course of a move begins below where it left from, which is left out.
    """
    now, pieces = final_objective(runs), []
    for i, goes_on in enumerate(better):
        own = np.flatnonzero(np.isfinite(runs.objective[i]))
        new = np.flatnonzero(np.isfinite(later.objective[i])) if goes_on else np.zeros(0, int)
        if rising:
            new = new[later.objective[i][new] >= now[i]]
        pieces.append((own, new))
    length = max(len(own) + len(new) for own, new in pieces)

    def course(before: np.ndarray, after: np.ndarray, fill: float | None) -> np.ndarray:
        rows = []
        for i, (own, new) in enumerate(pieces):
            row = np.concatenate([before[i][own], after[i][new]])
            rest = length - len(row)
            last = row[-1:] if fill is None and len(row) else np.full((1, *row.shape[1:]), np.nan)
            rows.append(np.concatenate([row, np.repeat(last, rest, 0)]))
        return np.stack(rows)

    pick = lambda old, new: np.where(better.reshape(-1, *[1] * (old.ndim - 1)), new, old)  # noqa: E731
    return EMRuns(
        {n: pick(v, later.values[n]) for n, v in runs.values.items()},
        course(runs.objective, later.objective, np.nan),
        np.array([len(own) + len(new) for own, new in pieces]),
        np.where(better, later.converged, runs.converged),
        {n: course(v, later.path[n], None) for n, v in runs.path.items()},
    )
