"""Sparse counts of which token follows which context, up to a length, as a tree of arrays.

A context is the tokens just before a token, the nearest first; its parent is the context without
its token furthest back. All contexts of one length stand together, children of one parent side by
side with their tokens in order, so that a look-up is a binary search. Nothing is of the size of
the vocabulary squared: memory grows with what was seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ppl_models.data.missing import missing_cells
from ppl_models.errors import InputError


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Ngrams:
    """What was seen: contexts, and in each an entry for every token that followed it.

    Before its first token a sequence has the mark ``<start>`` (code V), once; contexts stop there,
    so that the first tokens have shorter ones. Entries are sorted by context, then token. Context
    0 is the empty one.

    Args:
        children: ``(context + 1,)``: children of context i are children[i] … children[i+1] - 1.
        back: ``(context,)``, the token furthest back.
        length: ``(context,)``, tokens of the context.
        entries: ``(context + 1,)``: entries of context i are entries[i] … entries[i+1] - 1.
        token: ``(entry,)``, code of what followed, V for ``<end>``.
        within: ``(entry,)``, the context that it followed.
        shorter: ``(entry,)``, the entry of the same token in the parent context; itself where the
            context is empty.
        direct: ``(entry,)``, occurrences that have no longer context.
        repeated: ``(repeated,)``, the entries that occurred more than once.
        vocabulary: V.
        order: longest context and the token after it: 2 for bigrams.
        alone: entries of the empty context.
    """

    children: Any
    back: Any
    length: Any
    entries: Any
    token: Any
    within: Any
    shorter: Any
    direct: Any
    repeated: Any
    vocabulary: int = field(metadata={"static": True})
    order: int = field(metadata={"static": True})
    alone: int = field(metadata={"static": True})

    def contexts(self, recent: Array) -> list[Array]:
        """The context at every length up to order - 1; -1 where none was seen.

        Args:
            recent: the tokens before ``(..., order - 1)``, the nearest first; -1 before the start.
        """
        by_length = [jnp.zeros(recent.shape[:-1], jnp.int32)]
        for back in range(self.order - 1):
            by_length.append(self.child(by_length[-1], recent[..., back]))
        return by_length

    def child(self, context: Array, token: Array) -> Array:
        """The context extended by one earlier token, -1 if it was never seen."""
        known = jnp.clip(context, 0)
        longer = _search(self.back, self.children[known], self.children[known + 1], token)
        return jnp.where(context < 0, -1, longer)

    def entry(self, context: Array, token: Array) -> Array:
        """The entry of a token in a context, -1 if it never followed it."""
        known = jnp.clip(context, 0)
        position = _search(self.token, self.entries[known], self.entries[known + 1], token)
        return jnp.where(context < 0, -1, position)

    def customers(self, tables: Array) -> Array:
        """Customers of every entry: its occurrences, and the tables of longer contexts.

        Args:
            tables: ``(entry,)``.
        """
        longer = jnp.where(self.length[self.within] > 0, tables, 0)
        return jnp.asarray(self.direct).astype(tables.dtype).at[self.shorter].add(longer)

    def all_tables(self, repeated: Array) -> Array:
        """Tables of every entry ``(entry,)``: what was seen once sits at one table.

        Args:
            repeated: tables of the entries that occurred more than once.
        """
        one = jnp.ones(self.token.shape, jnp.result_type(float))
        return one.at[self.repeated].set(jnp.asarray(repeated).astype(one.dtype))


def _search(labels: Array, start: Array, stop: Array, wanted: Array) -> Array:
    """Where in labels[start … stop - 1], which are sorted, each wanted one is; -1 if nowhere."""
    steps = max(int(labels.shape[0]), 1).bit_length()
    last = labels.shape[0] - 1

    def halve(_: int, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = pair
        middle = (low + high) // 2
        right = (labels[jnp.clip(middle, 0, last)] < wanted) & (low < high)
        return jnp.where(right, middle + 1, low), jnp.where(right, high, middle)

    low, _ = lax.fori_loop(0, steps, halve, (start, stop))
    there = (low < stop) & (labels[jnp.clip(low, 0, last)] == wanted)
    return jnp.where(there, low, -1)


def count_ngrams(tokens: Any, *, vocabulary: int, order: int) -> Ngrams:
    """Count every token after its contexts of up to ``order - 1`` tokens.

    Args:
        tokens: codes ``(sequence, position)``: 0 … V-1, then V to the end of the row.
        vocabulary: V.
        order: 1 for single tokens, 2 for bigrams, …

    Raises:
        InputError: an order below one, or a token that is not known.

    >>> seen = count_ngrams(np.array([[0, 1, 2], [0, 2, 2]]), vocabulary=2, order=2)
    >>> seen.token.tolist(), seen.length.tolist()  # after nothing; after 0, 1 and <start>
    ([0, 1, 2, 1, 2, 2, 0], [0, 1, 1, 1])
    >>> seen.direct.tolist()
    [0, 0, 0, 1, 1, 1, 2]
    """
    if isinstance(order, bool) or not isinstance(order, int | np.integer) or order < 1:
        raise InputError(f"order is {order!r}: give a whole number from 1 up (2 for bigrams)")
    codes = np.asarray(tokens)
    inside, before = _inside(codes, vocabulary)
    gaps = missing_cells(codes) & inside
    if gaps.any():
        row = int(np.argwhere(gaps)[0][0])
        raise InputError(
            f"sequence {row} of the tokens has a token that is not known, after which nothing can "
            "be counted: leave the sequence out, or cut it there"
        )
    place = np.broadcast_to(np.arange(codes.shape[1]), codes.shape)[inside]
    following = codes[inside].astype(np.int64)
    flat = np.flatnonzero(inside.ravel())
    line = before.ravel()
    context = np.zeros(len(flat), np.int64)
    parents, backs, lengths = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)], [1]
    for back in range(1, order):
        longer = place >= back - 1
        key = context[longer] * (vocabulary + 1) + line[flat[longer] - (back - 1)]
        distinct, which = np.unique(key, return_inverse=True)
        context[longer] = which + sum(lengths)
        parents.append(distinct // (vocabulary + 1))
        backs.append(distinct % (vocabulary + 1))
        lengths.append(len(distinct))
    parent, length = np.concatenate(parents), np.repeat(np.arange(order), lengths)
    if max(len(parent), len(flat)) * order >= np.iinfo(np.int32).max:
        raise InputError(f"{len(flat):,} tokens are too many for order {order}: lower it")
    ngrams = _entries(context, following, parent, length, vocabulary)
    sizes = np.bincount(ngrams["within"], minlength=len(parent))
    children = np.bincount(parent[1:], minlength=len(parent))
    return Ngrams(
        children=_int(1 + np.concatenate([[0], np.cumsum(children)])),
        back=_int(np.concatenate(backs)),
        length=length.astype(np.int8),
        entries=_int(np.concatenate([[0], np.cumsum(sizes)])),
        **{name: _int(values) for name, values in ngrams.items()},
        vocabulary=int(vocabulary),
        order=int(order),
        alone=int(sizes[0]),
    )


def _inside(codes: np.ndarray, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    """Which cells are tokens or the first ``<end>``, and what stands before each cell."""
    before = np.full(codes.shape, vocabulary, np.int64)
    before[:, 1:] = codes[:, :-1]
    inside = before != vocabulary
    inside[:, 0] = True
    return inside, before


def _entries(
    context: np.ndarray,
    following: np.ndarray,
    parent: np.ndarray,
    length: np.ndarray,
    vocabulary: int,
) -> dict[str, np.ndarray]:
    """The entries of all contexts, from the longest contexts to the empty one."""
    size = vocabulary + 1
    keys, how_often = np.unique(context * size + following, return_counts=True)
    of_length = length[keys // size]
    tokens, within, direct, occurred, shorter = [], [], [], [], []
    longer_key, longer_count = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for at in range(length.max(), -1, -1):
        own = of_length == at
        merged, place = np.unique(np.concatenate([keys[own], longer_key]), return_inverse=True)
        count = np.bincount(place[: own.sum()], how_often[own], len(merged)).astype(np.int64)
        from_longer = np.bincount(place[own.sum() :], longer_count, len(merged)).astype(np.int64)
        shorter.append(place[own.sum() :])  # of the entries one token longer
        tokens.append(merged % size)
        within.append(merged // size)
        direct.append(count)
        occurred.append(count + from_longer)
        longer_key, longer_count = parent[merged // size] * size + merged % size, occurred[-1]
    shorter.append(np.arange(len(tokens[-1])))  # the empty context's: themselves
    starts = np.concatenate([[0], np.cumsum([len(t) for t in tokens[::-1]])])[:-1][::-1]
    offsets = [starts[i + 1] if i + 1 < len(tokens) else 0 for i in range(len(tokens))]
    up = [s + offset for s, offset in zip(shorter[1:], offsets, strict=True)]
    join = lambda parts: np.concatenate(parts[::-1])  # noqa: E731
    return {
        "token": join(tokens),
        "within": join(within),
        "shorter": join(up),
        "direct": join(direct),
        "repeated": np.flatnonzero(join(occurred) > 1),
    }


def _int(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int32)
