"""Fitting: a program and data in, one DataTree out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

from ppl_models import catalogue
from ppl_models.data.blocks.source import in_blocks, open_blocks
from ppl_models.data.blocks.spread import spread
from ppl_models.data.kinds import Observed
from ppl_models.errors import InputError, whole_number
from ppl_models.inference.capabilities import require
from ppl_models.inference.keeping import keeping_states, refuse_checkpoint, settings_of
from ppl_models.inference.last_states import LastStates
from ppl_models.inference.modes.joint_modes import JOINT_MODE_SCALES, joint_mode_scales
from ppl_models.inference.padded_rows import for_method, without_padding
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.inference.row_weights import refuse_weights
from ppl_models.inference.suitability import refuse_priors, refuse_unresolved, refuse_unsuitable
from ppl_models.posterior.build.from_blocks import fit_blocks, refuse_blocks
from ppl_models.posterior.build.last_states import with_last_states
from ppl_models.posterior.build.notes import notes_of_fit
from ppl_models.posterior.build.tree import build_tree
from ppl_models.posterior.labels.methods import METHODS
from ppl_models.posterior.labels.names import with_own_names
from ppl_models.posterior.labels.relabel import without_switching
from ppl_models.posterior.result.schema import LABEL_NAMES
from ppl_models.posterior.result.stored_data import along_axes
from ppl_models.program.arguments.dicts import without_dict
from ppl_models.program.arguments.json_text import to_json
from ppl_models.program.arguments.signature import arguments_of, defaults, split
from ppl_models.program.arguments.sizes import whole_arguments
from ppl_models.program.model import Model
from ppl_models.program.reading import given_arguments, read_data, read_program, take_vocabulary
from ppl_models.program.rows.known_clusters import take_labels, with_labels
from ppl_models.program.rows.weights import take_weights, weights_of_lines
from ppl_models.program.runtime.compiling import make_room
from ppl_models.program.runtime.keys import fold_in, make_key
from ppl_models.program.runtime.precision import scope


def fit(
    program: str | Callable,
    data: Any,
    *,
    method: str = "nuts",
    seed: int,
    precision: str = "float64",
    fixed: Mapping[str, Any] | None = None,
    progress: bool = False,
    predictive: int = 100,
    relabel: str | None = "ecr",
    weights: Any = None,
    labels: Any = None,
    checkpoint: str | Path | None = None,
    client: Any = None,
    **arguments: Any,
) -> xr.DataTree:
    """Fit a program to data.

    Args:
        program: a built-in program's name, ``path/to/file.py:function``, or the function.
        data: an array, a pandas, polars or xarray object, a list of token sequences, or a dict by
            the names of the program's data parameters; or rows that are read in blocks, since
            they are too many for memory: ``open_blocks(...)``, or the path of a file that it takes
            or a ``pyarrow.dataset.Dataset``. EM, stochastic EM, hard EM, k-means, Gibbs sampling
            and variational Bayes pass over them; the answer is that of the same rows in memory, but
            for split–merge moves, which look at a sample. `update` goes on with more rows.
        method: a file of ``inference/methods/``: "em", "exact", "hard", "kmeans", "nuts", ...
        seed: of all random numbers.
        precision: "float64" or "float32", for this call only.
        fixed: global site -> value that it is held at. Entries that are NaN are not held, so that
            some clusters are known and the others are found: ``{"loc": [[0.0, 0.0], [nan, nan]]}``;
            what is found of it is the site ``loc_unknown``.
        progress: show progress bars on long work.
        predictive: draws of prior and posterior predictive data that are kept.
        relabel: how label switching is undone ("ecr", "ecr-iterative", "stephens"), so that each
            cluster means the same in every draw; None leaves the draws as they are.
        weights: how often each row counts: numbers ``(row,)`` from 0 up, or the name of a column of
            a data frame. A row of weight 3 is three equal rows, each with a cluster of its own; a
            line of ``dawid_skene`` of weight 3 is three equal labels of one item.
            Weights that are no whole numbers raise the likelihood to their power.
        labels: the clusters of rows that are known: labels ``(row,)`` of any type, or the name of a
            column of a data frame; None, NaN, -1 and masked entries are not known. Whole numbers
            below the number of clusters are the clusters' own, other labels are numbered in order.
            A labelled row's density is that of the row and its cluster together, as with
            ``numpyro.sample(..., obs=labels, obs_mask=known)``, in `predict` and `loo` too.
        checkpoint: a folder in which the method keeps its states, and samplers their draws, at most
            every half a minute; of MAP and SVI a file that is written after every round. The same
            call goes on from there after it was ended, to the bitwise same result; another call is
            refused, but that samplers may be asked for more draws: see also ``draws_so_far``.
        client: a client of ``dask.distributed``, on whose workers the rows live: data are then a
            Dask array or data frame, or the path of a file that every worker can read. Parameters
            go out and statistics come back; a lost worker's rows are read again, by others. The
            answer is that of the same blocks here.
        **arguments: the program's and the method's own, each by its name. ``vocabulary`` may be a
            ``Vocabulary``, which the sequences are read in; without it their own tokens are.

    Returns:
        A tree of groups that ArviZ reads, whatever the method: see
        ``ppl_models.posterior.build.tree``, and ``posterior.result.schema`` for what it says of
        itself. The conventions are those of InferenceData; Kumar, Carroll, Hartikainen and Martin
        (2019), ArviZ, Journal of Open Source Software 4.

    Raises:
        InputError: what was wrong with the input, where, and what to do.

    Of the clusters that EM finds the one with most rows comes first:

    >>> import numpy as np
    >>> x = np.concatenate([np.linspace(0, 2, 24), np.linspace(9, 11, 16)])
    >>> tree = fit("gaussian_mixture", x, method="em", seed=0, clusters=2)
    >>> tree["posterior"]["loc"].values.round(1).ravel().tolist()
    [1.0, 10.0]
    """
    function, data, arguments = without_dict(catalogue.program(program), data, arguments)
    run = getattr(catalogue.method(method), method)
    program_arguments, options = split(function, run, arguments, method)
    options = whole_arguments(run, options)
    whole_number("seed", seed, minimum=0)
    whole_number("predictive", predictive, minimum=0)
    if relabel is not None and relabel not in METHODS:
        raise InputError(
            f"relabel is {relabel!r}: choose one of {', '.join(METHODS)}, or None to leave labels"
        )
    for name, option, says in (
        ("weights", weights, "how often each row counts"),
        ("labels", labels, "which rows' clusters are known"),
    ):
        if option is not None and name in arguments_of(function):
            raise InputError(
                f"{catalogue.program_name(function)} has an argument '{name}' of its own, and "
                f"fit's says {says}: give the program's another name"
            )
    program_arguments, like = take_vocabulary(program_arguments)
    if client is not None:
        refuse_blocks(method)  # before rows are sent anywhere
        data = spread(data, client)
    if in_blocks(data) and weights is not None:
        raise InputError("rows in blocks take no weights=: read them into memory, or repeat rows")
    if in_blocks(data) and labels is not None:
        raise InputError("rows in blocks take no labels=: read them into memory")
    data, counted = (data, None) if in_blocks(data) else take_weights(data, weights)
    data, counted = weights_of_lines(function, data, counted)
    data, told = take_labels(data, labels)
    if checkpoint is not None:
        refuse_checkpoint(method)
    if checkpoint is not None and "checkpoint" in defaults(run):  # which writes a file of its own
        options["checkpoint"], checkpoint = checkpoint, None
    started = time.perf_counter()
    names: dict[int, str] = {}  # of labels, by cluster
    make_room()

    def attributes_of(model: Model, result: Result) -> dict[str, Any]:
        return {
            "program": catalogue.program_name(function),
            "method": method,
            "seed": seed,
            "precision": precision,
            "kind": result.kind,
            "arguments": to_json(given_arguments(function, model.arguments)),
            "fixed": to_json(model.held_values),
            "configuration": to_json(defaults(run) | options),
            "fit_options": to_json(
                {"names": list(arguments), "predictive": predictive, "relabel": relabel}
            ),
            "wall_time_seconds": time.perf_counter() - started,
            **({LABEL_NAMES: to_json({str(k): n for k, n in names.items()})} if names else {}),
            **result.attributes,
        }

    def checkpointed(problem: Problem) -> Problem:
        """The problem with its checkpoint, if a folder is given; another fit's is refused."""
        if checkpoint is None:
            return problem
        return keeping_states(
            problem,
            checkpoint,
            program=catalogue.program_name(function),
            method=method,
            seed=seed,
            precision=precision,
            options=to_json(settings_of(method, defaults(run) | options)),
        )

    def undone(
        tree: xr.DataTree, problem: Problem, result: Result, observed: Mapping[str, Observed]
    ) -> xr.DataTree:
        return without_switching(tree, problem, result, observed, relabel, seed)

    with scope(precision):
        if in_blocks(data):
            return fit_blocks(
                function,
                open_blocks(data),
                run,
                method,
                seed=seed,
                precision=precision,
                fixed=fixed or {},
                progress=progress,
                predictive=predictive,
                arguments=program_arguments,
                options=options,
                attributes=attributes_of,
                checkpointed=checkpointed,
                relabelled=undone,
            )
        observed = read_data(function, data, like, arguments=program_arguments)
        model, structure = read_program(
            function, observed, program_arguments, fixed or {}, precision, weights=counted
        )
        observed = along_axes(observed, model, structure)
        if told is not None:
            model, label_names = with_labels(model, structure, told)
            names.update(label_names)
        problem = Problem(model, structure, progress)
        refuse_unsuitable(problem)
        refuse_priors(problem)
        refuse_weights(method, problem)
        asked = for_method(method, problem)
        require(method, asked)
        key = make_key(seed)
        states = LastStates()
        # what is read off the program is read once, for the method and for the tree
        read = asked if asked.blocks is None else None
        asked = replace(checkpointed(asked), last_states=states, same_program=read)
        result = run(asked, fold_in(key, 0), **options)
        result = without_padding(result, structure.rows)
        refuse_unresolved(problem, result, observed)
        if result.kind == "point" and (scales := joint_mode_scales(asked, result.values)):
            result.attributes = {**result.attributes, JOINT_MODE_SCALES: to_json(scales)}
        result.notes += notes_of_fit(function, problem, observed, names)
        tree = build_tree(
            problem,
            result,
            observed,
            fold_in(key, 1),
            attributes_of(model, result),
            predictive,
        )
        tree = with_last_states(undone(tree, problem, result, observed), states)
        return with_own_names(tree, function, model.arguments, names)
