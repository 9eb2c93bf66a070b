"""Monte Carlo: learn from the returns of whole episodes (Sutton & Barto 2018, ch. 5).

Prediction plays many episodes at once, since its policy does not change. Control plays one episode a round in
each of N independent runs, and improves between rounds.
"""

from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import NamedTuple

import numpy as np

from course_lib.agents.sampling import (
    Choose,
    Reward,
    Sampler,
    Step,
    anywhere,
    by_policy,
    check_ends,
    check_extent,
    check_no_circling,
    epsilon_greedy,
    one_over_n,
    step_sizes,
    walk,
    watchable,
)
from course_lib.worlds.mdp import MDP, check_policy

AT_ONCE = 10_000  # episodes played together, unless `batch` says otherwise


class Episodes(NamedTuple):
    """All steps of many episodes, one array [X] a column, in the order of t, their time within the episode.

    s, a, r, s2 as in `Step`; G the return from here on; rho the importance ratio of the actions from here to
    the end (1 on policy); run and episode say whose step it is.
    """

    s: np.ndarray
    r: np.ndarray
    s2: np.ndarray
    G: np.ndarray | None = None
    run: np.ndarray | int = 0
    episode: np.ndarray | int = 0
    a: np.ndarray | None = None
    rho: np.ndarray | float = 1.0
    t: np.ndarray | None = None

    def upto(self, episodes: int) -> "Episodes":
        """The first so many episodes of each run."""
        return Episodes(*(column[self.episode < episodes] for column in self))

    def first_visits(self) -> np.ndarray:
        """Which steps are the first in their state in their episode, [X] bool."""
        where = ((self.run * (self.episode.max() + 1)) + self.episode) * (self.s.max() + 1) + self.s
        first = np.zeros(len(self.s), bool)
        first[np.unique(where, return_index=True)[1]] = True  # the index of the earliest
        return first

    def games(self, run: int = 0) -> Iterator[tuple[list, list, list]]:
        """The episodes of one run, one after the other, as plain lists of states, actions and rewards."""
        for k in np.unique(self.episode[self.run == run]):
            own = (self.run == run) & (self.episode == k)
            yield self.s[own].tolist(), self.a[own].tolist(), self.r[own].tolist()


def play(
    mdp: MDP,
    pi: np.ndarray,
    episodes: int,
    runs: int = 1,
    *,
    rng: np.random.Generator,
    behaviour: np.ndarray | None = None,
    limit: int | None = None,
    reward: Reward | None = None,
) -> Episodes:
    """Play so many episodes in each run and keep every step, with returns and importance ratios.

    Actions come from `behaviour` [S, A], by default pi [S, A] itself; `rho` weighs them for pi (S&B §5.5).
    ValueError where behaviour never takes an action that pi takes, and for policies that may never end,
    unless `limit` cuts each episode after so many steps (what would come later is then missing from G).
    """
    check_extent(None, episodes, runs, limit, rng)
    pi = check_policy(pi, mdp)
    b = pi if behaviour is None else _covering(check_policy(behaviour, mdp), pi, mdp)
    if limit is None:
        check_ends(mdp, b)
    steps = list(
        walk(Sampler.of(mdp, reward), by_policy(b, rng), rng, runs * episodes, episodes=1, limit=limit)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(b > 0, pi / b, 0.0)
    G, rho = _backwards(steps, mdp.gamma, ratio, runs * episodes)
    n, s, a, r, s2, _, _ = (np.concatenate(column) for column in zip(*steps, strict=True))
    t = np.repeat(np.arange(len(steps)), [len(step.n) for step in steps])
    return Episodes(s, r, s2, G, n // episodes, n % episodes, a, rho, t)


def _covering(b: np.ndarray, pi: np.ndarray, mdp: MDP) -> np.ndarray:
    missing = np.argwhere((pi > 0) & (b == 0) & ~mdp.terminal[:, None])
    if len(missing):
        s, a = missing[0]
        raise ValueError(
            f"behaviour never takes action {a} in state {s}, but pi does, so no data tell what it is worth: "
            "give behaviour a positive probability wherever pi has one."
        )
    return b


def _backwards(steps: list[Step], gamma: float, ratio: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """G and rho of every step, in the order of the steps: from the end, G ← r + γ G, ρ ← ρ π/b."""
    G, rho, out = np.zeros(n), np.ones(n), []
    for step in reversed(steps):
        G[step.n] = step.r + gamma * G[step.n]
        rho[step.n] *= ratio[step.s, step.a]
        out.append((G[step.n], rho[step.n]))
    return tuple(np.concatenate(column) for column in zip(*reversed(out), strict=True))


@watchable(result=lambda V: V)
def mc_prediction(
    mdp: MDP,
    pi: np.ndarray,
    episodes: int,
    runs: int = 1,
    *,
    rng: np.random.Generator,
    first_visit: bool = True,
    behaviour: np.ndarray | None = None,
    weighted: bool = True,
    batch: int | None = None,
    **more,
) -> Iterator[np.ndarray]:
    """V [runs, S], the mean of the returns that followed each state (S&B §5.1), 0 for states never visited.

    first_visit   counts each state once an episode (unbiased); otherwise at every visit (biased, consistent)
    behaviour     off policy: the policy [S, A] that acts; returns are weighed by their importance ratio ρ
    weighted      Σ ρG / Σ ρ: biased, consistent, varies less; otherwise ordinary importance sampling,
                  Σ ρG / visits: unbiased, with a variance that may be infinite (S&B §5.5)
    batch         `.iterates` yields V after every so many episodes

    `limit` and `reward`, and errors, as in `play`. With a `limit`, V is off by what the cut-off steps would
    have brought.
    """
    check_extent(None, episodes, runs, None, rng)
    batch = max(1, AT_ONCE // runs) if batch is None else batch
    check_extent(None, batch, runs, None, rng)
    total, weight = np.zeros(runs * mdp.S), np.zeros(runs * mdp.S)
    for start in range(0, episodes, batch):
        size = min(batch, episodes - start)
        e = play(mdp, pi, size, runs, rng=rng, behaviour=behaviour, **more)
        counts = e.first_visits() if first_visit else slice(None)
        i, rho = (e.run * mdp.S + e.s)[counts], e.rho[counts]
        total += np.bincount(i, rho * e.G[counts], minlength=len(total))
        weight += np.bincount(i, rho if weighted else None, minlength=len(total))
        yield np.divide(total, weight, out=np.zeros_like(total), where=weight > 0).reshape(runs, mdp.S)


@watchable(result=lambda Q: Q)
def mc_control(
    mdp: MDP,
    episodes: int,
    epsilon: float,
    runs: int = 1,
    *,
    rng: np.random.Generator,
    alpha: float | Callable = one_over_n,
    first_visit: bool = True,
    exploring_starts: bool = False,
    limit: int | None = None,
    reward: Reward | None = None,
) -> Iterator[np.ndarray]:
    """Q [runs, S, A] of an agent that acts ε-greedily and averages the returns it sees (S&B §5.3–5.4).

    exploring_starts   each episode begins in any state with any action, so that epsilon may be 0
    alpha              the step size; 1/n, the default, averages over all policies there have been, a constant
                       forgets the early, bad ones

    `.iterates` yields the live Q after each episode. ValueError, unless there is a `limit`, where some policy
    of this kind never ends its episode.
    """
    check_extent(None, episodes, runs, limit, rng)
    check_no_circling(mdp, epsilon, limit)
    world = Sampler.of(anywhere(mdp) if exploring_starts else mdp, reward)
    Q, latest = np.zeros((runs, mdp.S, mdp.A)), np.full((runs, mdp.S, mdp.A), -1)
    rate = step_sizes(alpha, Q.size)
    for k in range(episodes):
        acts = _choices(Q, epsilon, exploring_starts, rng)
        steps = list(walk(world, acts, rng, runs, episodes=1, limit=limit))
        counts = [_is_first(step, latest, k) | (not first_visit) for step in steps]
        _learn_backwards(Q, rate, steps, counts, mdp.gamma)
        yield Q


def _choices(Q: np.ndarray, epsilon: float, exploring_start: bool, rng: np.random.Generator) -> Choose:
    """ε-greedy choices for one episode; after an exploring start the first is any action."""
    explore = chain([1.0] if exploring_start else [], repeat(epsilon))
    return lambda n, s: epsilon_greedy(Q[n, s], next(explore), rng)


def _learn_backwards(Q: np.ndarray, rate: Callable, steps: list[Step], counts: list, gamma: float) -> None:
    """Move Q towards the returns of one episode a run, from its end; `counts` says which steps count."""
    G, values = np.zeros(len(Q)), Q.reshape(-1)
    for (n, s, a, r, _, _, _), c in zip(reversed(steps), reversed(counts), strict=True):
        G[n] = r + gamma * G[n]
        i = np.ravel_multi_index((n, s, a), Q.shape)[c]
        values[i] += rate(i) * (G[n][c] - values[i])


def _is_first(step: Step, latest: np.ndarray, k: int) -> np.ndarray:
    """Which runs take this action in this state for the first time in episode k; noted in `latest`."""
    at = step.n, step.s, step.a
    first = latest[at] < k
    latest[at] = k
    return first


@watchable(result=lambda Q: Q)
def mc_off_policy_control(
    mdp: MDP,
    behaviour: np.ndarray,
    episodes: int,
    runs: int = 1,
    *,
    rng: np.random.Generator,
    weighted: bool = True,
    limit: int | None = None,
    reward: Reward | None = None,
) -> Iterator[np.ndarray]:
    """Q [runs, S, A] of the greedy policy, from the episodes of another one, behaviour [S, A] (S&B §5.7).

    From the end of each episode, with W the importance ratio of the actions that follow, 0 before the last
    one that is not greedy. Weighted, Q is the mean Σ WG / Σ W, so it learns from tails only; otherwise
    ordinary importance sampling, Σ WG / visits, in which a W of 0 counts as a return of 0. `.iterates` yields
    the live Q after each episode. ValueError where behaviour leaves out an action, and where it may never
    end, unless there is a `limit`.
    """
    check_extent(None, episodes, runs, limit, rng)
    b = _covering(check_policy(behaviour, mdp), np.ones_like(mdp.R), mdp)
    if limit is None:
        check_ends(mdp, b)
    world, choose = Sampler.of(mdp, reward), by_policy(b, rng)
    Q, weight = np.zeros((runs, mdp.S, mdp.A)), np.zeros((runs, mdp.S, mdp.A))
    for _ in range(episodes):
        G, W = np.zeros(runs), np.ones(runs)
        for n, s, a, r, _, _, _ in reversed(list(walk(world, choose, rng, runs, episodes=1, limit=limit))):
            n, s, a, r = (x[W[n] > 0] if weighted else x for x in (n, s, a, r))
            G[n] = r + mdp.gamma * G[n]
            share = W[n] if weighted else 1.0
            weight[n, s, a] += share
            Q[n, s, a] += (W[n] * G[n] - share * Q[n, s, a]) / weight[n, s, a]
            W[n] *= (a == Q[n, s].argmax(axis=1)) / b[s, a]
        yield Q
