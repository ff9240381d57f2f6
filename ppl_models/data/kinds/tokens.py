"""The kind whose units are whole sequences of tokens, of any length."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from ppl_models.data.containers.flat_tokens import END, flatten
from ppl_models.data.containers.vocabulary import Vocabulary
from ppl_models.data.kinds.observed import Kind, Observed

UNKNOWN = "unknown_token"  #: coordinate that names the token for all that the vocabulary lacks


def coordinates(vocabulary: Vocabulary) -> dict[str, list[str]]:
    """Coordinates that make data be read with a given vocabulary.

    >>> coordinates(Vocabulary(("a", "<unk>"), "<unk>"))
    {'token': ['a', '<unk>'], 'unknown_token': ['<unk>']}
    """
    named = {} if vocabulary.unknown is None else {UNKNOWN: [vocabulary.unknown]}
    return {"token": list(vocabulary.tokens), **named}


class Tokens(Kind):
    """Sequences as codes (sequence, position), filled up with the code V of ``<end>``."""

    @classmethod
    def read(
        cls,
        data: object,
        *,
        site: str = "x",
        like: Mapping[str, ArrayLike] | None = None,
        fresh: bool = True,
        covariate: bool = False,
    ) -> Observed:
        """Read a list of sequences, each a string of characters or a list of tokens.

        Tokens are text or whole numbers, sorted, unless ``like["token"]`` gives them; then
        ``like["unknown_token"]`` may name the one for all others.  Every sequence ends with at
        least one ``<end>``, so that data without ends cannot come to be.

        Raises:
            InputError: no sequences, an empty one, an element that is not a sequence, a token
                that `like` lacks, or "<end>" inside a sequence.

        Example:
            >>> read = Tokens.read(["ab", "b"])
            >>> read.values.tolist(), read.coords["next_token"].tolist()
            ([[0, 1, 2], [1, 2, 2]], ['a', 'b', '<end>'])
            >>> read.arguments
            {'vocabulary': 2, 'sequences': 2, 'positions': 3}
        """
        flat = flatten(data, site=site)
        if like is not None and "token" in like:
            known = [str(token) for token in np.asarray(like["token"]).ravel()]
            unknown = str(np.ravel(like[UNKNOWN])[0]) if UNKNOWN in like else None
            vocabulary = Vocabulary(tuple(token for token in known if token != END), unknown)
        else:
            vocabulary = Vocabulary(flat.distinct)
        codes = vocabulary.encode_flat(flat, site=site)
        tokens = vocabulary.tokens
        named = {} if vocabulary.unknown is None else {UNKNOWN: np.array([vocabulary.unknown])}
        return Observed(
            values=codes,
            dims=("sequence", "position"),
            coords={
                "sequence": flat.labels,
                "position": np.arange(codes.shape[1]),
                "token": np.array(tokens, dtype=str),
                "next_token": np.array([*tokens, END], dtype=str),
                **named,
            },
            arguments={
                "vocabulary": len(vocabulary),
                "sequences": codes.shape[0],
                "positions": codes.shape[1],
            },
        )
