"""The structures of the package's own programs are read once for all numbers of rows."""

from __future__ import annotations

import numpy as np
import pytest

from ppl_models import catalogue
from ppl_models.program import known_structures
from ppl_models.program.named_as_data import with_names_of_data
from ppl_models.program.reading import read_data, read_program
from ppl_models.program.runtime.precision import scope
from ppl_models.program.structure_reading import structure_or_obstacle


@pytest.fixture
def count_readings(monkeypatch):
    """No structure is known; the list grows by every program that is read."""
    read = []

    def counted(model):
        read.append(model.function)
        return structure_or_obstacle(model)

    monkeypatch.setattr(known_structures, "structure_or_obstacle", counted)
    monkeypatch.setattr(known_structures, "_KNOWN", type(known_structures._KNOWN)())
    return read


def test_a_structure_of_other_rows_is_what_is_read_of_them(built_ins, count_readings):
    """Of every program: the known structure, of fewer rows, is that of a trace of its own."""
    known = 0
    for row in built_ins.values():
        function, rows = catalogue.program(row.name), row.raw_data
        rows = row.data if rows is None else rows
        if len(rows) < 8:
            continue
        with scope("float64"):
            models = []
            for data in (rows, rows[:-2]):
                observed = read_data(function, data, arguments=row.options)
                models.append(read_program(function, observed, row.options, {}, "float64")[0])
            count_readings.clear()
            for model in models:
                assert with_names_of_data(model)[1] == structure_or_obstacle(model)
        known += not count_readings
    assert known >= 10


def test_other_columns_levels_and_arguments_are_read_anew(count_readings):
    from ppl_models.models.gaussian_mixture import gaussian_mixture

    def read(rows, columns=2, **arguments):
        data = np.arange(rows * columns, dtype=float).reshape(rows, columns) % 7
        with scope("float64"):
            observed = read_data(gaussian_mixture, data, arguments=arguments)
            return read_program(gaussian_mixture, observed, arguments, {}, "float64")[1]

    first = read(20, clusters=2)
    assert read(30, clusters=2).rows == 30
    assert len(count_readings) == 1
    assert read(30, 3, clusters=2) != first
    assert read(30, clusters=3).clusters == 3
    assert read(30, clusters=2, covariance="spherical").sites != first.sites
    assert len(count_readings) == 4
    read(3, clusters=3)  # as many rows as clusters: a size may be either
    read(4, clusters=3)
    assert len(count_readings) == 5
