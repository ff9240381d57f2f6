"""Small real data sets, retyped from the literature or read from installed packages."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from ppl_models.errors import InputError

# Velocities in km/s of 82 galaxies in the Corona Borealis region, sorted; Roeder (1990) after
# Postman, Huchra and Geller (1986).
GALAXIES = """
    9172 9350 9483 9558 9775 10227 10406 16084 16170 18419 18552 18600 18927 19052 19070 19330
    19343 19349 19440 19473 19529 19541 19547 19663 19846 19856 19863 19914 19918 19973 19989
    20166 20175 20179 20196 20215 20221 20415 20629 20795 20821 20846 20875 20986 21137 21492
    21701 21814 21921 21960 22185 22209 22242 22249 22314 22374 22495 22746 22747 22888 22914
    23206 23241 23263 23484 23538 23542 23666 23706 23711 24129 24285 24289 24366 24717 24990
    25633 26960 26995 32065 32789 34279
"""
# Earthquakes of magnitude 7 or more in the world, 1900 to 2006: counts of the US Geological
# Survey, as in Zucchini and MacDonald (2009), table 1.1.
EARTHQUAKES = """
    13 14 8 10 16 26 32 27 18 32 36 24 22 23 22 18 25 21 21 14 8 11 14 23 18 17 19 20 22 19 13
    26 13 14 22 24 21 22 26 21 23 24 27 41 31 27 35 26 28 36 39 21 17 22 17 19 15 34 10 15 22 18
    15 20 15 22 19 16 30 27 29 23 20 16 21 21 25 16 18 15 18 14 10 15 8 15 6 11 8 7 18 16 13 12
    13 20 15 16 12 18 15 16 13 15 16 11 11
"""


def old_faithful() -> pd.DataFrame:
    """272 eruptions of the Old Faithful geyser: how long it erupted and waited, in minutes.

    Source: Azzalini and Bowman (1990), A look at some data on the Old Faithful geyser.  Applied
    Statistics 39, 357-365.

    Example:
        >>> old_faithful().shape
        (272, 2)
    """
    # The measurements stand in a file of their own beside this one, 272 lines long.
    return pd.read_csv(Path(__file__).with_name("old_faithful.csv"))


def galaxies(*, seventy_eighth: float = 26.960) -> pd.DataFrame:
    """Velocities of 82 galaxies in 1,000 km/s.

    Source: Roeder (1990), Density estimation with confidence sets exemplified by superclusters
    and voids in the galaxies.  Journal of the American Statistical Association 85, 617-624.

    Args:
        seventy_eighth: the 78th value: 26.960 as in Richardson and Green (1997), or 26.690,
            a slip in R's MASS that much published work is based on.

    Raises:
        InputError: another 78th value.

    Example:
        >>> galaxies()["velocity"].iloc[77]
        np.float64(26.96)
    """
    if seventy_eighth not in (26.960, 26.690):
        raise InputError(f"the 78th galaxy is given as {seventy_eighth}: choose 26.960 or 26.690")
    velocity = np.array(GALAXIES.split(), dtype=float) / 1000
    velocity[77] = seventy_eighth
    return pd.DataFrame({"velocity": velocity})


def earthquakes() -> pd.DataFrame:
    """Yearly counts of earthquakes of magnitude 7 or more; the years 1900 to 2006 are labels.

    Source: US Geological Survey, in Zucchini and MacDonald (2009), Hidden Markov Models for Time
    Series, table 1.1.

    Example:
        >>> earthquakes().loc[1943, "count"]
        np.int64(41)
    """
    counts = np.array(EARTHQUAKES.split(), dtype=np.int64)
    return pd.DataFrame({"count": counts}, index=pd.RangeIndex(1900, 2007, name="year"))


def iris() -> tuple[pd.DataFrame, np.ndarray]:
    """Four measurements in cm of 150 flowers (row, feature), and their species (row,).

    Source: Fisher (1936), The use of multiple measurements in taxonomic problems, as shipped
    with scikit-learn.

    Example:
        >>> measurements, species = iris()
        >>> measurements.shape, species[0].item()
        ((150, 4), 'setosa')
    """
    from sklearn.datasets import load_iris

    bunch = load_iris()
    names = [name.removesuffix(" (cm)").replace(" ", "_") for name in bunch.feature_names]
    return pd.DataFrame(bunch.data, columns=names), bunch.target_names[bunch.target]


def digits() -> tuple[pd.DataFrame, np.ndarray]:
    """1,797 handwritten digits of 8 × 8 black or white pixels, and which digit each one is.

    A pixel is black where its grey level exceeds 7 of 16.  Features are named by row and column
    of the picture, "r0c0" to "r7c7".

    Source: Alpaydin and Kaynak (1998), Optical recognition of handwritten digits, test part, as
    shipped with scikit-learn.

    Returns:
        Bits, uint8 (row, feature) of shape (1797, 64), and labels (row,), 0 to 9.

    Example:
        >>> pixels, labels = digits()
        >>> pixels.shape, sorted(set(labels.tolist()))
        ((1797, 64), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    names = [f"r{row}c{column}" for row in range(8) for column in range(8)]
    return pd.DataFrame((bunch.data > 7).astype(np.uint8), columns=names), bunch.target


def first_names() -> list[str]:
    """5,163 distinct first names of the US census of 1990, female and male, lower case, sorted.

    Source: the frequency tables that the package `names` carries.

    Raises:
        InputError: that package is not installed.

    Example:
        >>> first_names()[:3]
        ['aaron', 'abbey', 'abbie']
    """
    return sorted({name for names in _census().values() for name in names})


def first_names_by_sex() -> tuple[list[str], np.ndarray]:
    """The names of `first_names` that only women or only men had, and whose each is.

    Returns:
        The names, sorted, and "female" or "male" for each (name,).

    Raises:
        InputError: the package `names` is not installed.

    Example:
        >>> names, sex = first_names_by_sex()
        >>> len(names), str(sex[names.index("anna")])
        (4832, 'female')
    """
    lists = _census()
    both = lists["female"] & lists["male"]
    pairs = sorted((name, sex) for sex, names in lists.items() for name in names - both)
    return [name for name, _ in pairs], np.array([sex for _, sex in pairs])


def _census() -> dict[str, set[str]]:
    """Female and male first names, lower case."""
    try:
        # By distribution rather than by import: a script may itself be called names.py.
        package = metadata.distribution("names")
    except metadata.PackageNotFoundError:
        raise InputError("the first names come with the package `names`: install it") from None
    names_by_sex = {}
    for sex in ("female", "male"):
        path = Path(str(package.locate_file(f"names/dist.{sex}.first")))
        lines = path.read_text(encoding="ascii").splitlines()
        names_by_sex[sex] = {line.split()[0].lower() for line in lines}
    return names_by_sex
