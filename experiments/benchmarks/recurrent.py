"""A step of training a recurrent chain against PyTorch's GRU, float32.

The same sizes, batch, loss and optimiser (Adam, the gradient's norm bounded), on rows of one
length. Both sides have as many threads as there are cores; ours includes the prior's gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import random

from ppl_models.inference.gradient.batches import RUN
from ppl_models.inference.gradient.guides import Guide
from ppl_models.inference.gradient.steps import (
    TrainingOptions,
    TrainingState,
    optimiser,
    take_steps,
)
from ppl_models.inference.problem import Problem
from ppl_models.models.recurrent_chain import recurrent_chain
from ppl_models.program.model import Model

from .timing import Row, a_call, paired

#: hidden units, rows of a batch, positions of a row
SIZES = ((64, 128, 8), (128, 256, 8), (128, 128, 32), (256, 128, 32))
TOKENS, EMBEDDING = 26, 16


def rows_of(batch: int, positions: int) -> np.ndarray:
    """Rows of letters, the last position ``<end>``."""
    codes = np.random.default_rng(0).integers(0, TOKENS, (batch, positions))
    codes[:, -1] = TOKENS
    return codes.astype(np.int32)


def stepper(hidden: int, codes: np.ndarray) -> Callable[[], float]:
    """Ours: seconds a step of method "map"."""
    arguments = {"vocabulary": TOKENS, "embedding": EMBEDDING, "hidden": hidden}
    model = Model(recurrent_chain, {"tokens": jnp.asarray(codes)}, arguments, {})
    problem = Problem(model, model.structure())
    options = TrainingOptions(10_000, len(codes), 0.005, 1.0, 0.0, 1)
    guide = Guide(problem.structure)
    params = guide.initial(random.key(1), problem.structure.initial(random.key(0)))
    state = TrainingState(params, optimiser(options).init(params), jnp.zeros((), jnp.int32))
    rows = jnp.asarray(np.tile(np.arange(len(codes)), (RUN, 1)), jnp.int32)
    priors = problem.known_priors

    def run() -> None:
        nonlocal state
        state, _ = take_steps(
            model,
            priors,
            random.key(2),
            state,
            ((model.data, None),),
            (rows,),
            RUN,
            guide=guide,
            options=options,
        )
        jax.block_until_ready(state)

    return lambda: a_call(run) / RUN


def peer(hidden: int, codes: np.ndarray, *, on_gpu: bool = False) -> Callable[[], float]:
    """PyTorch: seconds a step of an embedding, a GRU and a linear layer."""
    import torch

    place = torch.device("cuda" if on_gpu else "cpu")
    start = np.full((len(codes), 1), TOKENS)
    read = np.concatenate([start, codes[:, :-1]], 1).astype(np.int64)
    read = torch.as_tensor(read, device=place)
    wanted = torch.as_tensor(codes.reshape(-1).astype(np.int64), device=place)
    embedding = torch.nn.Embedding(TOKENS + 1, EMBEDDING, device=place)
    cell = torch.nn.GRU(EMBEDDING, hidden, batch_first=True, device=place)
    output = torch.nn.Linear(hidden, TOKENS + 1, device=place)
    weights = [w for part in (embedding, cell, output) for w in part.parameters()]
    adam = torch.optim.Adam(weights, lr=0.005)

    def step() -> None:
        adam.zero_grad(set_to_none=True)
        logits = output(cell(embedding(read))[0]).reshape(-1, TOKENS + 1)
        torch.nn.functional.cross_entropy(logits, wanted).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        adam.step()

    def steps() -> None:
        for _ in range(RUN):
            step()
        if on_gpu:
            torch.cuda.synchronize()

    return lambda: a_call(steps) / RUN


def run() -> list[Row]:
    """All sizes."""
    rows = []
    for hidden, batch, positions in SIZES:
        codes = rows_of(batch, positions)
        what = f"GRU training step, {batch} × {positions} letters, {hidden} units"
        rows.append(paired(what, stepper(hidden, codes), peer(hidden, codes), "≥ 1", pairs=3))
    return rows
