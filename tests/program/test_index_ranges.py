"""Data that look up entries past the end of an array are refused; JAX would take the last one."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.contrib.control_flow import scan

from ppl_models import fit, log_density
from ppl_models.errors import InputError
from ppl_models.program.index_ranges import refuse_out_of_range
from ppl_models.program.model import Model

GROUP = np.array([0, 1, 2] * 4)
X = np.random.default_rng(0).normal(GROUP, 1.0)
TABLE = np.array([0.0, 1.0, 2.0])


def by_group(x, group, look_up):
    with numpyro.plate("groups", 3):
        effect = numpyro.sample("effect", dist.Normal(0, 3))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.Normal(look_up(effect, group), 1.0), obs=x)


def jitted(effect, group):
    return jax.jit(lambda index: effect[index])(group)


def of_one(effect, group):
    return effect[group[-1]]


def of_table(effect, group):
    return effect[0] + jnp.asarray(TABLE)[group]


def of_two(effect, group):
    return jnp.outer(effect, effect)[group, 1]


def plain(effect, group):
    return effect[group]


def clipped(effect, group):
    return effect[jnp.clip(group, 0, 2)]


def taken(effect, group):
    return jnp.take(effect, group, mode="clip")


def chain(x, group, in_steps):
    effect = numpyro.sample("effect", dist.Normal(0, 3).expand([3]).to_event(1))
    step_logits = jnp.log(jnp.array([[0.9, 0.1], [0.2, 0.8]]))

    def step(state, of_step):
        mean = effect[of_step] if in_steps else of_step
        state = numpyro.sample("state", dist.Categorical(logits=step_logits[state]))
        numpyro.sample("x", dist.Normal(mean + 4 * state, 1.0))
        return state, None

    with numpyro.handlers.condition(data={"x": x}):
        scan(step, 0, group if in_steps else effect[group])


def check(group, look_up):
    model = Model(by_group, {"x": X, "group": group}, {"look_up": look_up}, {})
    refuse_out_of_range(model, model.structure())


@pytest.mark.parametrize("look_up", [plain, jitted, of_one, of_table, of_two])
def test_groups_numbered_from_1_are_refused(look_up):
    check(GROUP, look_up)
    with pytest.raises(InputError, match=r"entry 3 by 'group', and there are 3, .* 0 to 2"):
        check(GROUP + 1, look_up)


def test_indices_below_the_first_are_refused():
    check(GROUP - 3, plain)  # counted from the end
    with pytest.raises(InputError, match="entry -4 by 'group'"):
        check(GROUP - 4, plain)


@pytest.mark.parametrize("look_up", [clipped, taken])
def test_what_the_program_says_is_meant_is_left_alone(look_up):
    check(GROUP + 1, look_up)


@pytest.mark.parametrize("in_steps", [False, True])
def test_lookups_of_a_chain(in_steps):
    def checked(group):
        model = Model(chain, {"x": X, "group": group}, {"in_steps": in_steps}, {})
        refuse_out_of_range(model, model.structure())

    checked(GROUP)
    with pytest.raises(InputError, match="entry 3 by 'group'"):
        checked(GROUP + 1)


def test_an_index_that_the_program_encloses():
    beyond = GROUP + 1

    def closed(x):
        effect = numpyro.sample("effect", dist.Normal(0, 3).expand([3]).to_event(1))
        with numpyro.plate("row", len(x)):
            numpyro.sample("x", dist.Normal(effect[beyond], 1.0), obs=x)

    model = Model(closed, {"x": X}, {}, {})
    with pytest.raises(InputError, match="entry 3 by a constant of the program"):
        refuse_out_of_range(model, model.structure())


def plainly(x, group):
    by_group(x, group, plain)


def test_fits_and_new_rows():
    with pytest.raises(InputError, match="entry 3 by 'group'"):
        fit(plainly, {"x": X, "group": GROUP + 1}, method="map", seed=0)
    tree = fit(plainly, {"x": X, "group": GROUP}, method="map", seed=0)
    with pytest.raises(InputError, match="entry 7 by 'group'"):
        log_density(tree, {"x": [0.5], "group": [7]})
