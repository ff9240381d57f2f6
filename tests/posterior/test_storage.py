"""Trees on disk: whole or not at all, and the same when they come back."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hand_made import as_fit

from ppl_models import fit, generate, load, log_density, save
from ppl_models.errors import InputError

PROGRAM = """
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist


def mine(x=None, *, width=2.0):
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(2)))
    with numpyro.plate("component", 2):
        loc = numpyro.sample("loc", dist.Normal(0.0, 10.0))
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Normal(loc[z], width), obs=x)
"""


def _assert_same(one, other):
    assert set(one.children) == set(other.children)
    assert dict(one.attrs) == dict(other.attrs)
    for name in one.children:
        here, there = one[name].to_dataset(), other[name].to_dataset()
        xr.testing.assert_identical(here, there)
        for variable in here.variables:
            kind = here[variable].dtype.kind
            assert there[variable].dtype.kind in (("U", "O", "T") if kind in "UOT" else (kind,))
        assert [v.dtype for v in here.data_vars.values() if v.dtype.kind == "f"] == [
            v.dtype for v in there.data_vars.values() if v.dtype.kind == "f"
        ]


def test_every_point_comes_back_the_same(built_in, trees, tmp_path):
    tree = trees(built_in)
    path = save(tree, tmp_path / "fit.nc")
    _assert_same(tree, load(path))
    assert [p.name for p in tmp_path.iterdir()] == ["fit.nc"]


def test_draws_come_back_the_same_and_can_be_asked(drawn, tmp_path):
    back = load(save(drawn, tmp_path / "fit.nc"))
    _assert_same(drawn, back)
    assert back["sample_stats/diverging"].dtype == bool
    x = np.array([0.0, 5.0])
    np.testing.assert_array_equal(log_density(back, x).values, log_density(drawn, x).values)
    np.testing.assert_array_equal(
        generate(back, 3, seed=0)["x"].values, generate(drawn, 3, seed=0)["x"].values
    )


def test_a_program_of_a_users_own_file_is_found_again(tmp_path):
    source = tmp_path / "programs.py"
    source.write_text(PROGRAM, encoding="utf-8")
    x = np.concatenate([np.linspace(-6, -4, 7), np.linspace(4, 6, 7)])
    tree = fit(f"{source}:mine", x, method="em", seed=0, predictive=0, starts=2, width=1.5)
    back = load(save(tree, tmp_path / "fit.nc"))
    assert back.attrs["program"].endswith("programs.py:mine")
    point = {n: v.values[0, 0] for n, v in back["posterior"].data_vars.items()}
    z = (np.array([[0.5]]) - point["loc"]) / 1.5
    density = (point["weights"] * np.exp(-0.5 * z**2)).sum() / (1.5 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(log_density(back, [0.5]).values, np.log(density), rtol=1e-9)


def test_a_file_that_exists_is_kept_unless_told(drawn, built_ins, trees, tmp_path):
    path = tmp_path / "fit.nc"
    path.write_text("precious", encoding="utf-8")
    with pytest.raises(InputError, match="exists and was kept"):
        save(drawn, path)
    assert path.read_text(encoding="utf-8") == "precious"
    save(drawn, path, overwrite=True)
    assert load(path).attrs["method"] == "nuts"
    save(trees(built_ins["markov_chain"]), path, overwrite=True)
    assert load(path).attrs["program"] == "markov_chain"


def test_paths_that_cannot_be_written(drawn, tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        save(drawn, tmp_path)
    with pytest.raises(InputError, match="there is no folder"):
        save(drawn, tmp_path / "nowhere" / "fit.nc")


def test_a_failure_leaves_the_old_file_and_no_other(drawn, tmp_path, monkeypatch):
    path = save(drawn, tmp_path / "fit.nc")
    before = path.read_bytes()

    def fail(self, place, **_):
        with open(place, "w", encoding="utf-8") as file:
            file.write("half")
        raise OSError("disk full")

    monkeypatch.setattr(xr.DataTree, "to_netcdf", fail)
    with pytest.raises(OSError, match="disk full"):
        save(drawn, path, overwrite=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["fit.nc"]


def test_files_that_hold_no_fit(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        load(tmp_path / "absent.nc")
    (tmp_path / "text.nc").write_text("no netcdf", encoding="utf-8")
    with pytest.raises(InputError, match="is no NetCDF file that can be read") as caught:
        load(tmp_path / "text.nc")
    assert "\n" not in str(caught.value)
    (tmp_path / "empty.nc").touch()
    with pytest.raises(InputError, match="is no NetCDF file"):
        load(tmp_path / "empty.nc")
    xr.DataTree.from_dict({"a": xr.Dataset({"b": 1})}).to_netcdf(
        tmp_path / "other.nc", engine="h5netcdf"
    )
    with pytest.raises(InputError, match="holds no fit of ppl_models"):
        load(tmp_path / "other.nc")


def test_what_follows_the_ends_of_sequences_takes_no_room(tmp_path):
    values = np.full((200, 2_000, 1), np.nan)
    values[0] = np.random.default_rng(0).normal(size=(2_000, 1))
    values[1:, :3] = 1.0
    data = xr.Dataset({"x": (("sequence", "position", "feature"), values)})
    posterior = xr.Dataset(coords={"chain": [0], "draw": [0]})
    groups = {"posterior": posterior, "observed_data": data}
    tree = as_fit(groups, parameters=(), states=2, kind="point", method="em")
    path = save(tree, tmp_path / "ragged.nc")
    assert path.stat().st_size < values.nbytes / 20
    xr.testing.assert_identical(load(path)["observed_data"].to_dataset(), data)
