"""Linear values: fixed points, Baird's counterexample, tile coding, mountain car."""

from itertools import islice

import gymnasium
import numpy as np
import pytest
from random_worlds import fixed_rng

from course_lib.agents import features, planning
from course_lib.worlds import classics, mountain_car
from course_lib.worlds.mdp import random_mdp

RNG = np.random.default_rng


def chain(seed: int, S: int = 6, F: int = 3, rng_of=RNG):
    """A random world without ends, a random policy, random features: what a fixed point needs."""
    rng = rng_of(seed)
    mdp = random_mdp(S, 2, 3, rng=rng, gamma=0.9)
    pi = rng.dirichlet(np.ones(2), size=S)
    return mdp, pi, rng.normal(size=(S, F)), mdp.under(pi)


def nth(iterates, n):
    return next(islice(iterates, n, None))


@pytest.mark.parametrize("seed", range(8))
def test_on_policy_shares_stay_put_and_agree_with_the_power_of_the_chain(seed):
    mdp, pi, _, (P, _) = chain(seed)
    mu = features.on_policy(mdp, pi)
    assert np.allclose(mu @ P, mu) and np.isclose(mu.sum(), 1)
    assert np.allclose(np.linalg.matrix_power(P, 4000)[0], mu, atol=1e-8)


def test_on_policy_shares_of_a_world_with_ends_count_visits():
    mdp = classics.random_walk(5)
    mu = features.on_policy(mdp, np.full((mdp.S, mdp.A), 0.5))
    visits = np.linalg.solve(np.eye(7) - mdp.under(np.full((7, 2), 0.5))[0].T * ~mdp.terminal, mdp.start)
    visits[mdp.terminal] = 0
    assert np.allclose(mu, visits / visits.sum())
    assert np.allclose(mu[1:6], np.array([1, 2, 3, 2, 1]) / 9)


def test_shares_that_depend_on_the_start_are_refused():
    with pytest.raises(ValueError, match="depends on the start"):
        stay = random_mdp(2, 1, 1, rng=RNG(0), gamma=0.9)
        split = type(stay)(P=np.eye(2)[:, None, :], R=np.zeros((2, 1)), gamma=0.9)
        features.on_policy(split, np.ones((2, 1)))


@pytest.mark.parametrize("seed", range(8))
def test_the_fixed_point_is_projected_bellman_and_expected_td_goes_there(seed):
    mdp, pi, X, (P, r) = chain(seed)
    mu = features.on_policy(mdp, pi)
    w = features.fixed_point(X, P, r, mdp.gamma, mu)
    look = r + mdp.gamma * P @ X @ w  # one step ahead, then projected back, by least squares of its own
    root = np.sqrt(mu)[:, None]
    projected = np.linalg.lstsq(root * X, root[:, 0] * look, rcond=None)[0]
    assert np.allclose(projected, w, atol=1e-9)
    eigenvalues = np.linalg.eigvals(features.td_system(X, P, r, mdp.gamma, mu)[0])
    alpha = (eigenvalues.real / np.abs(eigenvalues) ** 2).min()  # small enough for each direction to shrink
    settled = nth(features.expected_updates(X, P, r, mdp.gamma, mu, alpha, np.zeros(3)), 20_000)
    assert np.allclose(settled, w, atol=1e-6)


def test_one_hot_features_give_the_exact_values():
    mdp, pi, _, (P, r) = chain(3)
    w = features.fixed_point(np.eye(6), P, r, mdp.gamma, features.on_policy(mdp, pi))
    assert np.allclose(w, planning.evaluate(mdp, pi))


@pytest.mark.parametrize("seed", range(8))
def test_the_error_of_the_fixed_point_keeps_its_bound(seed):
    mdp, pi, X, (P, r) = chain(seed)
    mu = features.on_policy(mdp, pi)
    V, root = planning.evaluate(mdp, pi), np.sqrt(mu)[:, None]
    best = X @ np.linalg.lstsq(root * X, root[:, 0] * V, rcond=None)[0]
    found = X @ features.fixed_point(X, P, r, mdp.gamma, mu)
    error = [np.sqrt(mu @ (guess - V) ** 2) for guess in (best, found)]
    assert error[0] - 1e-12 <= error[1] <= error[0] / np.sqrt(1 - mdp.gamma**2) + 1e-12


@pytest.mark.stochastic
def test_sampled_td0_has_the_expected_update():
    """The mean of 40,000 first updates against α (b − A w), all components at once: a chi-square of F = 3
    degrees of freedom beyond 36 has probability 8e-8. Three mutants of the expectation are refused; in this
    world they have 330 and more."""
    mdp, pi, X, (P, r) = chain(1, rng_of=fixed_rng)
    runs, alpha = 40_000, 0.1
    steps = list(
        map(np.copy, islice(features.linear_td0.iterates(mdp, pi, X, 2, alpha, runs, rng=RNG(5)), 2))
    )
    change = steps[0] / alpha  # from w = 0: all runs begin in a state drawn from `start`

    def surprise(expected):
        gap = change.mean(axis=0) - expected
        return runs * gap @ np.linalg.solve(np.cov(change.T), gap)

    _, b = features.td_system(X, P, r, mdp.gamma, mdp.start)
    assert surprise(b) < 36
    wrong = features.td_system(X, P, r, mdp.gamma, features.on_policy(mdp, pi))[1]
    assert min(surprise(wrong), surprise(-b), surprise(b * mdp.gamma)) > 36
    # the second step starts from w ≠ 0 in the states reached: regress it on what an expected update says
    assert np.abs(steps[1] - steps[0]).max() > 0


@pytest.mark.stochastic
def test_sampled_td0_settles_at_the_fixed_point():
    """The mean of 200 runs over the second half: within 6 standard errors (false alarm 1e-8), and 4 % for the
    bias that a constant step size leaves, which is 1 to 3 %. The fixed point of other weights is refused by
    the same test: it is 20 standard errors away."""
    mdp, pi, X, (P, r) = chain(3, rng_of=fixed_rng)
    w = features.fixed_point(X, P, r, mdp.gamma, features.on_policy(mdp, pi))
    late = [
        w_t.copy()
        for w_t in islice(features.linear_td0.iterates(mdp, pi, X, 6000, 0.01, 200, rng=RNG(0)), 3000, None)
    ]
    mean = np.mean(late, axis=0)  # [runs, F]
    room = 6 * mean.std(axis=0) / np.sqrt(200) + 0.04 * np.abs(w).max()
    assert (np.abs(mean.mean(axis=0) - w) < room).all()
    other = features.fixed_point(X, P, r, mdp.gamma, np.full(6, 1 / 6))
    assert (np.abs(mean.mean(axis=0) - other) > room).any()


def test_rows_of_ends_must_be_zero():
    mdp = classics.random_walk(5)
    with pytest.raises(ValueError, match="zeros in the rows of terminal"):
        features.linear_td0(mdp, np.full((7, 2), 0.5), np.eye(7), 5, 0.1, rng=RNG(0))


# Baird


def spread(updates, n):
    return [np.abs(w).max() for w in islice(updates, 0, n, n // 10)]


def test_baird_diverges_by_semi_gradients_and_the_spectrum_says_so():
    world = features.baird()
    sizes = spread(features.expected_updates(**world, alpha=0.1, rule="td"), 2001)
    assert sizes[-1] > 100 * sizes[0]
    A, _ = features.td_system(*(world[k] for k in ("X", "P_pi", "r_pi", "gamma", "mu")))
    eigenvalues = np.linalg.eigvals(A)
    assert eigenvalues.real.min() < -1e-3
    growth = np.abs(1 - 0.1 * eigenvalues).max()  # what a step multiplies the worst direction by
    late = list(islice(features.expected_updates(**world, alpha=0.1), 9000, 9101, 100))
    assert np.isclose(np.abs(late[1]).max() / np.abs(late[0]).max(), growth**100, rtol=0.02)


def test_baird_stays_bounded_when_one_leg_of_the_triad_is_gone():
    world = features.baird()

    def value(w):
        return np.abs(world["X"] @ w).max()

    for rule, alpha in (("residual", 0.1), ("gradient", 0.005)):
        *_, w = islice(features.expected_updates(**world, alpha=alpha, rule=rule), 40_000)
        assert np.abs(w).max() < 20, rule
        A, b = features.td_system(*(world[k] for k in ("X", "P_pi", "r_pi", "gamma", "mu")))
        assert np.abs(b - A @ w).max() < 0.01, rule  # the expected TD update has vanished
    on = world | {"mu": np.eye(7)[6]}  # the states that the policy itself meets: the seventh
    w = nth(features.expected_updates(**on, alpha=0.1), 20_000)
    assert np.abs(w).max() < 20 and abs(world["X"][6] @ w) < 1e-6
    no_bootstrap = world | {"gamma": 0.0}
    assert value(nth(features.expected_updates(**no_bootstrap, alpha=0.1), 20_000)) < 1e-6
    table = world | {"X": np.eye(7), "w": world["X"] @ world["w"]}
    assert np.abs(nth(features.expected_updates(**table, alpha=0.5), 50_000)).max() < 1e-3


@pytest.mark.parametrize("seed", range(20))
def test_on_policy_td_never_diverges(seed):
    """A + Aᵀ is positive definite under on-policy shares (Tsitsiklis & Van Roy 1997)."""
    mdp, pi, X, (P, r) = chain(seed)
    A, _ = features.td_system(X, P, r, mdp.gamma, features.on_policy(mdp, pi))
    assert np.linalg.eigvalsh(A + A.T).min() > 0


def test_the_residual_rule_is_a_gradient():
    world = features.baird()
    X, P, mu, w = (world[k] for k in ("X", "P_pi", "mu", "w"))

    def loss(w):
        return 0.5 * mu @ (X @ w - 0.99 * P @ X @ w) ** 2

    step = nth(features.expected_updates(**world, alpha=1.0, rule="residual"), 1) - w
    finite = [(loss(w + h) - loss(w - h)) / 2e-6 for h in 1e-6 * np.eye(8)]
    assert np.allclose(-step, finite, atol=1e-5)


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="choose one of td, residual, gradient"):
        next(features.expected_updates(**features.baird(), alpha=0.1, rule="magic"))


# Tiles and the car


def test_mountain_car_is_gymnasiums():
    env, rng = gymnasium.make("MountainCar-v0").unwrapped, RNG(0)
    for _ in range(300):
        state = rng.uniform(mountain_car.LOW, mountain_car.HIGH)
        a = int(rng.integers(3))
        env.reset()
        env.state = state
        seen, r, terminated, _, _ = env.step(a)
        s2, ours, over = mountain_car.step(state[None], np.array([a]))
        assert np.allclose(s2[0], seen, atol=1e-6) and r == ours[0] and terminated == over[0]


@pytest.mark.stochastic
def test_tiles_hit_one_tile_a_tiling_and_neighbours_share_most():
    tiles = features.Tiles(mountain_car.LOW, mountain_car.HIGH)
    x = RNG(0).uniform(mountain_car.LOW, mountain_car.HIGH, size=(500, 2))
    hit = tiles(np.vstack([x, mountain_car.LOW, mountain_car.HIGH]))
    assert hit.shape == (502, 8) and hit.min() >= 0 and hit.max() < tiles.size
    part = hit // ((tiles.tiles + 1) ** 2)
    assert (part == np.arange(8)).all()  # each tiling has numbers of its own
    tile = (mountain_car.HIGH - mountain_car.LOW) / 8
    near = (
        tiles(x) == tiles(np.clip(x + tile / 8 * [1, 0], mountain_car.LOW, mountain_car.HIGH - 1e-9))
    ).sum(1)
    inside = x[(x > mountain_car.LOW + 2 * tile).all(1)]
    far = (tiles(inside) == tiles(inside - 2 * tile)).sum(1)
    assert near.mean() > 6.5 and far.max() == 0  # 7.0 ± .04 over 500 points: 12 standard errors
    cells = np.unique(
        tiles(np.stack(np.meshgrid(*np.linspace(mountain_car.LOW, mountain_car.HIGH, 400).T), -1)).reshape(
            -1, 8
        ),
        axis=0,
    )
    assert len(cells) > 8 * 64  # eight shifted grids together see far finer than one


@pytest.mark.stochastic
def test_tile_sarsa_learns_to_climb():
    """Twenty cars; after 40 episodes all need 80 to 245 steps on average (a coin needs thousands). Of 200
    cars the mean was 183, the deviation 9, the maximum 215: 245 is 7 deviations away. The first episode takes
    1,480 ± 90."""
    lengths, _ = features.tile_sarsa(
        features.Tiles(mountain_car.LOW, mountain_car.HIGH), 40, 0.5, 20, rng=RNG(0)
    )
    assert lengths.shape == (20, 40) and (lengths > 0).all()
    late = lengths[:, -10:].mean(axis=1)
    assert late.max() < 245 and lengths.min() >= 80
    assert lengths[:, 0].mean() > 300
