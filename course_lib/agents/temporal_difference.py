"""Temporal differences: learn a guess from a guess, for a fixed policy (Sutton & Barto 2018, ch. 6, 7, 12).

Terminal states are worth 0 in every table and stay so. That is all it takes to bootstrap through a time
limit, where life would go on, and never through a termination.
"""

from collections.abc import Callable, Iterator
from numbers import Real
from typing import NamedTuple

import numpy as np

from course_lib.agents.monte_carlo import Episodes
from course_lib.agents.sampling import (
    Choose,
    Reward,
    Sampler,
    Update,
    by_policy,
    check_ends,
    check_extent,
    step_sizes,
    walk,
    watchable,
)
from course_lib.worlds.mdp import MDP, check_number, check_policy, check_values

PASSES = 1_000_000  # of batch TD, before it gives up


@watchable
def td0(
    mdp: MDP,
    pi: np.ndarray,
    steps: int | None,
    alpha: float | Callable,
    runs: int = 1,
    *,
    rng: np.random.Generator,
    V: np.ndarray | float = 0.0,
    episodes: int | None = None,
    limit: int | None = None,
    reward: Reward | None = None,
) -> Iterator[Update]:
    """V [runs, S] of the policy pi [S, A] by TD(0): V(s) ← V(s) + α [r + γ V(s′) − V(s)] (S&B §6.1).

    steps, episodes, limit   as in `walk`: how long each run lasts, and when an episode is cut
    alpha                    the step size, or a function of the number of visits
    V                        the first guess, one number or [S]; terminal states are worth 0

    `.iterates` yields an `Update` a step. ValueError for a policy that may never end, at γ = 1 or where only
    episodes bound the run.
    """
    pi = _check_policy_ends(mdp, pi, steps, limit)
    check_extent(steps, episodes, runs, limit, rng)
    table = _first_guess(mdp, V, runs)
    rate, v = step_sizes(alpha, table.size), table.reshape(-1)
    for step in walk(Sampler.of(mdp, reward), by_policy(pi, rng), rng, runs, steps, episodes, limit):
        i, i2 = step.n * mdp.S + step.s, step.n * mdp.S + step.s2
        td_error = step.r + mdp.gamma * v[i2] - v[i]
        v[i] += rate(i) * td_error
        yield Update(step, td_error, table)


def _check_policy_ends(mdp: MDP, pi: np.ndarray, steps: int | None, limit: int | None) -> np.ndarray:
    if mdp.gamma == 1:
        return check_ends(mdp, pi, mend="at gamma = 1 it then has no value. Use gamma < 1 or another policy")
    return check_policy(pi, mdp) if steps or limit else check_ends(mdp, pi)


def _first_guess(mdp: MDP, V: np.ndarray | float, runs: int) -> np.ndarray:
    """A fresh table [runs, S] that starts from V, one number or [S], with terminal states worth 0."""
    V = check_values(np.full(mdp.S, V) if np.ndim(V) == 0 else V, mdp)
    return np.tile(np.where(mdp.terminal, 0.0, V), (runs, 1))


class Paths(NamedTuple):
    """One episode of each run, time first: s [T + 1, N], r [T, N], length [N]; then s stays and r is 0."""

    s: np.ndarray
    r: np.ndarray
    length: np.ndarray


def paths(
    world: Sampler, choose: Choose, rng: np.random.Generator, runs: int, limit: int | None = None
) -> Paths:
    """Play one episode in each run, by `choose` as in `walk`."""
    steps = list(walk(world, choose, rng, runs, episodes=1, limit=limit))
    s, r, length = (
        np.empty((len(steps) + 1, runs), np.int64),
        np.zeros((len(steps), runs)),
        np.zeros(runs, np.int64),
    )
    s[0] = steps[0].s
    for t, step in enumerate(steps):
        s[t + 1] = s[t]
        s[t + 1, step.n], r[t, step.n], length[step.n] = step.s2, step.r, t + 1
    return Paths(s, r, length)


@watchable(result=lambda V: V)
def n_step_td(
    mdp: MDP,
    pi: np.ndarray,
    episodes: int,
    alpha: float | Callable,
    n: int | float,
    runs: int = 1,
    *,
    rng: np.random.Generator,
    limit: int | None = None,
    **more,
) -> Iterator[np.ndarray]:
    """V [runs, S] by n-step TD: n rewards, then a guess (S&B §7.1).

    V(s_t) moves towards r_t + γ r_(t+1) + … + γ^(n−1) r_(t+n−1) + γ^n V(s_(t+n)).
    n = 1 is TD(0); n = np.inf waits for the end of the episode: Monte Carlo with a constant step size.
    States are updated in the order of S&B's algorithm, each n steps late. `.iterates` yields the live V
    after each episode. V, limit, reward and errors as in `td0`; ValueError for an n that is no whole number
    from 1.
    """
    _check_n(n)
    world, choose, table, run = _prepare(mdp, pi, episodes, runs, rng, limit, **more)
    rate, v, row = step_sizes(alpha, table.size), table.reshape(-1), run * mdp.S
    for _ in range(episodes):
        s, r, length = paths(world, choose, rng, runs, limit)
        rewards = _n_step_rewards(r, mdp.gamma, n)
        for t in range(len(r)):
            k = np.flatnonzero(t < length)  # the runs that still had a state at t
            ahead = np.minimum(t + n, length[k]).astype(int)
            i, i_ahead = row[k] + s[t, k], row[k] + s[ahead, k]
            target = rewards[t, k] + mdp.gamma ** (ahead - t) * v[i_ahead]
            v[i] += rate(i) * (target - v[i])
        yield table


def _check_n(n: int | float) -> None:
    if n != np.inf and not (isinstance(n, Real) and n >= 1 and n == int(n)):
        raise ValueError(f"n is {n!r}: it must be a whole number from 1, or np.inf for Monte Carlo.")


def _prepare(mdp, pi, episodes, runs, rng, limit, V=0.0, reward=None) -> tuple:
    pi = _check_policy_ends(mdp, pi, None, limit)
    check_extent(None, episodes, runs, limit, rng)
    return Sampler.of(mdp, reward), by_policy(pi, rng), _first_guess(mdp, V, runs), np.arange(runs)


def _n_step_rewards(r: np.ndarray, gamma: float, n: int | float) -> np.ndarray:
    """r_t + γ r_(t+1) + … + γ^(n−1) r_(t+n−1) for each t, from r [T, N], 0 after the end; [T, N]."""
    out = np.zeros((len(r) + 1, r.shape[1]))
    for t in reversed(range(len(r))):
        out[t] = r[t] + gamma * out[t + 1]
        if t + n < len(r):
            out[t] -= gamma**n * r[t + n]
    return out[:-1]


@watchable(result=lambda V: V)
def td_lambda(
    mdp: MDP,
    pi: np.ndarray,
    episodes: int,
    alpha: float,
    lam: float,
    runs: int = 1,
    *,
    rng: np.random.Generator,
    trace: str = "accumulating",
    online: bool = True,
    limit: int | None = None,
    **more,
) -> Iterator[np.ndarray]:
    """V [runs, S] by TD(λ), the backward view: each TD error goes to all states by their trace e (S&B §12.2).

    At each step e ← γλ e, then the e of the present state grows by 1 or becomes 1, then V ← V + α δ e.

    trace     "accumulating" (grows by 1) or "replacing" (becomes 1)
    online    V changes at every step; otherwise at the end of each episode, which with accumulating traces is
              exactly the forward view, the λ-return (S&B §12.1)

    `.iterates` yields the live V after each episode. V, limit, reward and errors as in `td0`; ValueError
    for lam outside [0, 1], a step size that is no number, and another trace.
    """
    _check_traces(alpha, lam, trace)
    world, choose, table, run = _prepare(mdp, pi, episodes, runs, rng, limit, **more)
    for _ in range(episodes):
        s, r, length = paths(world, choose, rng, runs, limit)
        e, guess = np.zeros_like(table), table if online else table.copy()
        for t in range(len(r)):
            e *= mdp.gamma * lam
            e[run, s[t]] = 1 if trace == "replacing" else e[run, s[t]] + 1
            td_error = (r[t] + mdp.gamma * guess[run, s[t + 1]] - guess[run, s[t]]) * (t < length)
            table += alpha * td_error[:, None] * e
        yield table


def _check_traces(alpha: float, lam: float, trace: str) -> None:
    check_number("lam", lam, 0, 1)
    if trace not in ("accumulating", "replacing"):
        raise ValueError(f"trace is {trace!r}: it is 'accumulating' or 'replacing'.")
    if callable(alpha):
        raise ValueError(
            f"alpha is {alpha!r}: TD(λ) moves all states at once, so its step size is one number."
        )
    step_sizes(alpha, 0)  # raises outside (0, 1]


def batch_td(e: Episodes, S: int, gamma: float, runs: int = 1, tol: float = 1e-8) -> Iterator[np.ndarray]:
    """Batch TD(0): the same steps again and again until V [runs, S] stands still; yields V after each pass.

    In each pass the TD errors of a state are averaged over its visits and applied together. The fixed point
    is the certainty-equivalence estimate: the exact value in the world whose probabilities and rewards are
    those counted in the data (S&B §6.3). It stops when a pass changes no state by more than tol. States
    that were never left, terminal ones included, keep the value 0. e needs the columns s, r, s2, and run
    for several runs. ValueError where that takes more than a million passes: at γ = 1, a loop in the data
    that never ends.
    """
    if not tol > 0:
        raise ValueError(f"tol is {tol!r}: the tolerance must be a positive number.")
    i, i2, V = e.run * S + e.s, e.run * S + e.s2, np.zeros(runs * S)
    visits = np.maximum(np.bincount(i, minlength=len(V)), 1)
    for _ in range(PASSES):
        td_errors = e.r + gamma * V[i2] - V[i]
        step = np.bincount(i, td_errors, minlength=len(V)) / visits
        V = V + step
        yield V.reshape(runs, S)
        if np.abs(step).max() <= tol:
            return
    raise ValueError(
        f"V has not settled in {PASSES} passes: use gamma < 1, or episodes that were played to the end."
    )


def batch_mc(e: Episodes, S: int, runs: int = 1) -> np.ndarray:
    """Batch Monte Carlo: V [runs, S], the mean return over all visits: the least squared error there."""
    i = e.run * S + e.s
    total, visits = np.bincount(i, e.G, minlength=runs * S), np.bincount(i, minlength=runs * S)
    return (total / np.maximum(visits, 1)).reshape(runs, S)
