"""EM whose M-step has no closed form, of groups far apart: an optimum, or it says it is none."""

from __future__ import annotations

import numpy as np
import pytest

from ppl_models import diagnose, fit, log_density, predict
from ppl_models.inference.em import driver, polish

ROWS = 400
GROUP = np.arange(ROWS) % 2
COVARIATES = np.random.default_rng(0).normal(size=(ROWS, 1))
HOW = {"clusters": 2, "method": "em", "predictive": 0, "seed": 1}


def _lines(distance: float, wide: float = 1.0) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(1).normal(size=ROWS) * np.where(GROUP, wide, 1.0)
    slope = np.where(GROUP, -1.0, 1.0)
    return {
        "response": distance * GROUP + slope * COVARIATES[:, 0] + noise,
        "covariates": COVARIATES,
    }


def _curves(distance: float) -> np.ndarray:
    generator, times = np.random.default_rng(1), np.arange(4.0)
    level = distance * GROUP + 0.5 * generator.normal(size=ROWS)
    slope = np.where(GROUP, 0.3, 0.1) + 0.1 * generator.normal(size=ROWS)
    return level[:, None] + slope[:, None] * times + generator.normal(size=(ROWS, 4))


def _share_in_group(tree) -> float:
    labels = np.asarray(predict(tree)).reshape(ROWS, -1).argmax(1)
    return max(np.mean(labels == GROUP), np.mean(labels != GROUP))


def _nats(tree) -> float:
    return float(np.asarray(log_density(tree), float).mean())


@pytest.mark.parametrize(("distance", "wide"), [(3_000.0, 1.0), (500.0, 100.0)])
def test_lines_far_apart_are_found_in_single_precision(distance, wide):
    tree = fit("regression_mixture", _lines(distance, wide), starts=4, precision="float32", **HOW)
    assert _share_in_group(tree) > 0.99
    truth = -np.log(2) - 0.5 * np.log(2 * np.pi) - 0.5 - 0.5 * np.log(wide)
    # fitted lines are half a parameter nearer each; 400 rows tell a row's nats to 0.035
    assert abs(_nats(tree) - truth) < 0.12
    assert tree["starts/converged"].values[tree["starts/best"].values].all()


def test_curves_far_apart_are_found():
    tree = fit("growth_mixture", _curves(3_000.0), starts=2, precision="float64", **HOW)
    assert _share_in_group(tree) == 1.0
    noise = float(tree["posterior/noise"].values.squeeze())
    level = float(tree["posterior/spread"].values.squeeze()[0])
    assert abs(noise - 1) < 0.1  # of 800 degrees of freedom: a deviation of 0.025
    assert abs(level - 0.5) < 0.35  # and no 650, the distance of the groups
    assert _nats(tree) > -6.9 - np.log(2)


def test_a_run_on_a_plateau_does_not_say_that_it_converged(monkeypatch):
    """Without steps of Newton's method EM stays where it stopped, which is no optimum."""
    data, how = _lines(3_000.0), {**HOW, "starts": 4, "precision": "float32"}
    monkeypatch.setattr(polish, "STEPS", 0)
    monkeypatch.setattr(driver, "ROUNDS", 1)
    polish._to_the_mode.clear_cache()
    stuck = fit("regression_mixture", data, **how)
    monkeypatch.undo()
    polish._to_the_mode.clear_cache()
    assert _share_in_group(stuck) < 0.9
    assert not stuck["starts/converged"].values[stuck["starts/best"].values].any()
    assert "stands still where the objective still rises" in stuck.attrs["notes"]
    diagnosis = diagnose(stuck)
    assert any("stands still" in finding.what for finding in diagnosis.of("problem"))
    # both ways out that the note and the diagnosis name
    for way_out in ({"starts": 8}, {"precision": "float64"}):
        better = fit("regression_mixture", data, **{**how, **way_out})
        assert _share_in_group(better) > 0.99
        assert "stands still" not in better.attrs["notes"]


def test_an_m_step_that_finds_no_way_up_is_told(monkeypatch):
    """Sites of a program whose rows are summed up, held where they begin."""
    from ppl_models.inference.em import loop
    from ppl_models.inference.statistics import m_step

    monkeypatch.setattr(m_step, "NEWTON_STEPS", 0)
    loop._block.clear_cache()
    tree = fit("growth_mixture", _curves(30.0), starts=2, precision="float64", **HOW)
    monkeypatch.undo()
    loop._block.clear_cache()
    assert not tree["starts/converged"].values.any()
    assert "stands still where the objective still rises" in tree.attrs["notes"]
