"""Vocabularies: tokens and ``<end>``, which makes distributions of sequences proper."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ppl_models import memory
from ppl_models.data.containers.flat_tokens import END, Flat, flatten
from ppl_models.data.missing import MISSING_CODE
from ppl_models.errors import InputError


@dataclass(frozen=True)
class Vocabulary:
    """Distinct tokens; a token's code is its place, and ``<end>`` has the code after the last.

    ``encode`` puts at least one ``<end>`` after every sequence, so that data without ends cannot
    come to be: a program never sees a corpus from which it could not learn when to stop. Tokens
    outside the vocabulary are refused, unless a token for them was asked for.

    Args:
        tokens: in the order of their codes.
        unknown: the one of them that stands for every token that is none of them (default: none).

    Raises:
        InputError: no tokens, a repeated or empty one, "<end>" among them, or `unknown` not.

    Example:
        >>> vocabulary = Vocabulary.from_sequences(["ab", "b"])
        >>> vocabulary.encode(["ba", "b"])
        array([[1, 0, 2],
               [1, 2, 2]], dtype=int16)
        >>> vocabulary.decode([[1, 0, 2], [1, 2, 2]])
        ['ba', 'b']
    """

    tokens: tuple[str, ...]
    unknown: str | None = None

    def __post_init__(self) -> None:
        """Refuse tokens that could not be told apart."""
        if not self.tokens:
            raise InputError("a vocabulary has no tokens: give at least one")
        seen: set[str] = set()
        for token in self.tokens:
            if not isinstance(token, str) or token in {"", END} or token in seen:
                raise InputError(
                    f"a vocabulary holds {token!r}: give distinct, non-empty strings without {END}"
                )
            seen.add(token)
        if self.unknown is not None and self.unknown not in seen:
            raise InputError(
                f"unknown= is {self.unknown!r}, which the vocabulary lacks: add it to the tokens"
            )

    def __len__(self) -> int:
        """The number of tokens V, without ``<end>``; also the code of ``<end>``."""
        return len(self.tokens)

    @classmethod
    def from_sequences(
        cls, sequences: Any, *, unknown: str | None = None, min_count: int = 1, site: str = "x"
    ) -> Vocabulary:
        """The distinct tokens of sequences, sorted; see `flatten` for what sequences may be.

        Args:
            sequences: to take the tokens from.
            unknown: add this token, for all that the vocabulary lacks.
            min_count: leave tokens out that are seen less often than this; needs `unknown`.
            site: name of the data, for messages.

        Raises:
            InputError: what `flatten` refuses, `min_count` without `unknown`, or an `unknown`
                that is a token of the sequences.

        Example:
            >>> some = Vocabulary.from_sequences(["abba", "ac"], unknown="<unk>", min_count=2)
            >>> some.tokens, some.decode(some.encode(["acdc"]))
            (('a', 'b', '<unk>'), [['a', '<unk>', '<unk>', '<unk>']])
        """
        flat = flatten(sequences, site=site)
        if unknown is None:
            if min_count != 1:
                raise InputError(
                    f"min_count is {min_count}, and the tokens left out need a replacement: give "
                    'unknown="<unk>"'
                )
            return cls(flat.distinct)
        if unknown in flat.distinct:
            raise InputError(
                f"{site} holds the token {unknown!r} that unknown= reserves for unknown tokens: "
                "choose another unknown="
            )
        counts = np.bincount(flat.positions[flat.positions >= 0], minlength=len(flat.distinct))
        frequent = [t for t, n in zip(flat.distinct, counts, strict=True) if n >= min_count]
        return cls((*frequent, unknown), unknown)

    def encode(self, sequences: Any, *, site: str = "x") -> np.ndarray:
        """Codes (sequence, position), each row filled up with the code of ``<end>``.

        There is one more position than the longest sequence has tokens, so that every row ends
        with at least one ``<end>``.

        Raises:
            InputError: an unknown token (with its sequence) where there is no token for such, or
                what `flatten` refuses: no sequences, an empty one, ...
        """
        return self.encode_flat(flatten(sequences, site=site), site=site)

    def encode_flat(self, flat: Flat, *, site: str = "x") -> np.ndarray:
        """Codes (sequence, position) of sequences that are already laid end to end."""
        code_of = {token: code for code, token in enumerate(self.tokens)}
        other = -1 if self.unknown is None else code_of[self.unknown]
        codes = np.array([code_of.get(token, other) for token in flat.distinct])
        if (codes < 0).any():
            self._refuse_unknown(flat, codes, site)
        shape = (len(flat.lengths), int(flat.lengths.max()) + 1)
        if shape[0] * shape[1] > memory.DATA_NUMBERS:
            longest = flat.labels[int(np.argmax(flat.lengths))]
            raise InputError(
                f"{site} would need {shape[0]:,} × {shape[1]:,} cells: split the longest "
                f"sequence, {longest}, into several"
            )
        dtype = np.int16 if len(self) < np.iinfo(np.int16).max else np.int32
        padded = np.full(shape, len(self), dtype=dtype)
        inside = np.arange(shape[1]) < flat.lengths[:, None]
        padded[inside] = np.where(
            flat.positions == MISSING_CODE, MISSING_CODE, codes[flat.positions]
        )
        return padded

    def _refuse_unknown(self, flat: Flat, codes: np.ndarray, site: str) -> None:
        unknown = (codes[flat.positions] < 0) & (flat.positions != MISSING_CODE)
        position = int(np.argmax(unknown))
        token = flat.distinct[flat.positions[position]]
        known = ", ".join(f"'{token}'" for token in self.tokens[:10])
        more = "" if len(self) <= 10 else f", ... ({len(self)} in all)"
        raise InputError(
            f"sequence {flat.label_of(position)} of {site} holds the unknown token '{token}': "
            f"the known ones are {known}{more}"
        )

    def decode(self, codes: Any) -> list[str] | list[list[str]]:
        """Sequences from codes; see `decode`."""
        return decode(codes, self.tokens)

    def save(self, path: str | Path) -> None:
        """Write the tokens as JSON."""
        content: dict[str, Any] = {"tokens": list(self.tokens), "end": END}
        if self.unknown is not None:
            content["unknown"] = self.unknown
        text = json.dumps(content, ensure_ascii=False)
        Path(path).write_text(text, encoding="utf-8", errors="surrogatepass")

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read what `save` wrote.

        Raises:
            InputError: no such file, or a file of another kind.
        """
        try:
            read = json.loads(Path(path).read_text(encoding="utf-8", errors="surrogatepass"))
            tokens, unknown = tuple(read["tokens"]), read.get("unknown")
        except OSError as error:
            reason = error.strerror or "not readable"
            raise InputError(f"the vocabulary {path} cannot be read: {reason}") from None
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path} is not a vocabulary that `save` wrote") from None
        return cls(tokens, unknown)


def decode(codes: Any, tokens: Sequence[str] | np.ndarray) -> list[str] | list[list[str]]:
    """Sequences from padded codes: strings if every token is one character, else lists.

    Args:
        codes: whole numbers (..., position); leading axes are run through in order.  A sequence
            ends before its first ``<end>``, or at the last position where there is none.
        tokens: the tokens in the order of their codes, with or without "<end>" at the end.

    Raises:
        InputError: a code that is fractional or belongs to no token.

    Example:
        >>> decode([[0, 1, 2], [2, 2, 2]], ["no", "yes"])
        [['no', 'yes'], []]
    """
    names = [str(token) for token in tokens]
    names = names[:-1] if names and names[-1] == END else names
    array = np.atleast_2d(np.asarray(codes))
    rows = array.reshape(-1, array.shape[-1])
    valid = (rows >= 0) & (rows <= len(names)) & (rows == np.floor(rows))
    if not valid.all():
        wrong = rows[~valid][0]
        raise InputError(f"the code {wrong} belongs to no token: codes are 0 to {len(names)}")
    rows = rows.astype(np.int64)
    inside = np.logical_and.accumulate(rows < len(names), axis=1)
    ends = np.cumsum(inside.sum(axis=1))
    starts = np.concatenate([[0], ends])
    pieces = zip(starts.tolist(), ends.tolist(), strict=False)
    flat = rows[inside]
    if all(len(name) == 1 for name in names):
        points = np.array([ord(name) for name in names], dtype="<u4")[flat]
        text = points.tobytes().decode("utf-32-le", "surrogatepass")
        return [text[start:end] for start, end in pieces]
    words = np.array(names, dtype=object)[flat].tolist()
    return [words[start:end] for start, end in pieces]


def characters(text: str) -> list[str]:
    """The characters of a text as tokens.

    Example:
        >>> characters("a b")
        ['a', ' ', 'b']
    """
    return list(text)


def words(text: str) -> list[str]:
    """The words and punctuation marks of a text as tokens; apostrophes stay inside words.

    Example:
        >>> words("It's late, go!")
        ["It's", 'late', ',', 'go', '!']
    """
    return re.findall(r"\w+(?:['’]\w+)*|[^\w\s]", text)
