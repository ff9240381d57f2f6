"""Arrow, AnnData and sparse tables, and files of them, are read as the same data frame is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from ppl_models import fit
from ppl_models.data import Categories, Counts, Reals, read_file
from ppl_models.data.containers.tables import as_table
from ppl_models.errors import InputError

COUNTS = pd.DataFrame({"a": [0, 2, 0], "b": [1, 0, 0]}, index=["x", "y", "z"])


def test_arrow_keeps_names_gaps_and_categories() -> None:
    pa = pytest.importorskip("pyarrow")
    kinds = pd.Categorical(["low", "high", None], categories=["low", "mid", "high"])
    frame = pd.DataFrame({"size": [1.5, None, 2.0], "kind": kinds})
    table, wanted = as_table(pa.Table.from_pandas(frame)), as_table(frame)
    assert table.levels_by_column == wanted.levels_by_column == {"kind": ("low", "mid", "high")}
    np.testing.assert_array_equal(table.values_by_column["size"], [1.5, np.nan, 2.0])
    assert table.values_by_column["kind"].tolist() == ["low", "high", None]


@pytest.mark.parametrize("make", [scipy.sparse.csr_matrix, scipy.sparse.coo_array])
def test_sparse_counts(make: Any) -> None:
    table = as_table(make(COUNTS.to_numpy()))
    np.testing.assert_array_equal(table.block, COUNTS.to_numpy())
    assert Counts.read(make(COUNTS.to_numpy())).values.tolist() == COUNTS.to_numpy().tolist()


def test_the_sparse_container_that_is_a_dict_is_data() -> None:
    counts = np.array([[0, 3], [1, 0], [2, 2], [0, 5]])
    options: dict[str, Any] = {"method": "em", "seed": 0, "clusters": 1, "predictive": 0}
    rates = [
        fit("poisson_mixture", data, **options)["posterior"]["rate"].values
        for data in (counts, scipy.sparse.dok_array(counts))
    ]
    np.testing.assert_array_equal(*rates)


@pytest.mark.filterwarnings("ignore")
def test_anndata_has_names_of_observations_and_variables() -> None:
    anndata = pytest.importorskip("anndata")
    frame = pd.DataFrame(index=["a", "b"])
    matrix = scipy.sparse.csr_matrix(COUNTS.to_numpy(float))
    data = anndata.AnnData(matrix, obs=pd.DataFrame(index=COUNTS.index), var=frame)
    table = as_table(data)
    assert list(table.values_by_column) == ["a", "b"]
    assert table.row_labels.tolist() == ["x", "y", "z"]
    np.testing.assert_array_equal(table.values_by_column["a"], COUNTS["a"])


@pytest.mark.parametrize("ending", ["parquet", "feather"])
def test_binary_files(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / f"data.{ending}"
    frame = COUNTS.reset_index(names="id").assign(kind=pd.Categorical(["l", "h", "l"]))
    getattr(frame, f"to_{ending}")(path)
    pd.testing.assert_frame_equal(read_file(path, kind=Reals), frame)
    assert read_file(path, kind=Categories, index="id").index.tolist() == ["x", "y", "z"]
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=f"cannot be read as .{ending}"):
        read_file(path, kind=Reals)


def test_excel_files(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    path = tmp_path / "Übersicht.xlsx"
    frame = COUNTS.reset_index(names="id").rename(columns={"a": "Größe in cm"})
    frame.loc[1, "b"] = np.nan
    frame.to_excel(path, index=False)
    pd.testing.assert_frame_equal(read_file(path, kind=Reals), frame)
    assert read_file(path, kind=Reals, index="id").index.tolist() == ["x", "y", "z"]
    with pd.ExcelWriter(path) as writer:
        frame.to_excel(writer, sheet_name="2025", index=False)
        pd.DataFrame().to_excel(writer, sheet_name="notes")
        frame.to_excel(writer, sheet_name="2026", index=False)
    with pytest.raises(InputError, match="the sheets 2025, 2026: save the one"):
        read_file(path, kind=Reals)
    path.write_bytes(b"PK")
    with pytest.raises(InputError, match="cannot be read as .xlsx"):
        read_file(path, kind=Reals)


def test_an_excel_file_without_its_reader(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "data.xlsx"
    path.write_bytes(b"PK\x03\x04")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(InputError, match=r"pip install 'ppl-models\[excel\]'"):
        read_file(path, kind=Reals)


def test_encodings_are_said_and_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes("größe;gewicht\n1,5;2\n2,5;3\n".encode("latin-1"))
    with pytest.raises(InputError, match="not text in UTF-8.*--encoding"):
        read_file(path, kind=Reals)
    table = read_file(path, kind=Reals, encoding="latin-1")
    assert table.to_dict("list") == {"größe": [1.5, 2.5], "gewicht": [2, 3]}
    with pytest.raises(InputError, match="which Python does not know"):
        read_file(path, kind=Reals, encoding="latin-111")
    with pytest.raises(InputError, match="not text in ascii"):
        read_file(path, kind=Reals, encoding="ascii")


def test_a_column_labels_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("who,size\nann,1\nbob,2\n", encoding="utf-8")
    frame = read_file(path, kind=Reals, index="who")
    assert frame.index.tolist() == ["ann", "bob"] and list(frame) == ["size"]
    with pytest.raises(InputError, match="no column 'name': it has who, size"):
        read_file(path, kind=Reals, index="name")
    path.write_text("who,size\nann,1\nann,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="has 'ann' twice"):
        read_file(path, kind=Reals, index="who")
    path.write_text("who,size\nann,1\n,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="has a gap"):
        read_file(path, kind=Reals, index="who")


@pytest.mark.parametrize(
    ("labels", "read"),
    [
        (["007", "7", "NA"], ["007", "7", "NA"]),
        (["1e3", "2", "1000"], ["1e3", "2", "1000"]),
        (["12345678901234567890123", "1", "2"], ["12345678901234567890123", "1", "2"]),
        (["10", "7", "8"], [10, 7, 8]),
    ],
)
@pytest.mark.parametrize("name", ["who", "rownames"])
def test_labels_stand_as_in_the_file(
    tmp_path: Path, name: str, labels: list[str], read: list[object]
) -> None:
    path = tmp_path / "data.csv"
    path.write_text(f"{name},size\n" + "".join(f"{label},1.5\n" for label in labels))
    index = "who" if name == "who" else None
    assert read_file(path, kind=Reals, index=index).index.tolist() == read


def test_text_in_a_workbook_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "data.xlsx"
    columns = {"id": ["007", "7"], "size": [1, None], "code": ["01", "1"], "answer": ["None", "NA"]}
    pd.DataFrame(columns).to_excel(path, index=False)
    frame = read_file(path, kind=Categories, index="id")
    assert frame.index.tolist() == ["007", "7"] and frame["code"].tolist() == ["01", "1"]
    assert frame["size"].dtype == float and frame["size"].isna().tolist() == [False, True]
    assert frame["answer"].tolist()[0] == "None" and frame["answer"].isna().tolist() == [
        False,
        True,
    ]


def test_names_of_groups_stand_as_they_are_written(tmp_path):
    path = tmp_path / "plants.csv"
    path.write_text("plot,height\n007,1.5\n7,2.5\n010,3.5\n")
    read = read_file(path, kind=Reals, names=["plot"])
    assert read["plot"].tolist() == ["007", "7", "010"]
    assert read["height"].tolist() == [1.5, 2.5, 3.5]
    path.write_text("plot,height\n7,1.5\n8,2.5\n")
    assert read_file(path, kind=Reals, names=["plot"])["plot"].tolist() == [7, 8]
