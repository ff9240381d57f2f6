"""Height and width of images whose pixels are stored as rows."""

from __future__ import annotations

import math

from ppl_models.errors import InputError

FEWEST = 49  #: pixels from which on a square of bits is taken to be an image


def square_shape(pixels: int) -> tuple[int, int] | None:
    """Height and width of a square image of so many pixels; None if there is none.

    >>> square_shape(64), square_shape(60)
    ((8, 8), None)
    """
    side = math.isqrt(pixels)
    return (side, side) if side * side == pixels else None


def is_square_image(pixels: int) -> bool:
    """Whether so many bits fill a square that is large enough to be shown as an image.

    >>> is_square_image(64), is_square_image(4)
    (True, False)
    """
    return pixels >= FEWEST and square_shape(pixels) is not None


def image_shape(shape: tuple[int, int] | None, pixels: int) -> tuple[int, int]:
    """The given height and width, or those of a square.

    Raises:
        InputError: so many pixels do not fill it.
    """
    shape = shape or square_shape(pixels)
    if shape is None or shape[0] * shape[1] != pixels:
        raise InputError(
            f"{pixels} pixels do not fill a shape of {shape or 'equal sides'}: give "
            "shape=(height, width)."
        )
    return shape
