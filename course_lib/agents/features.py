"""Values that are linear in features: what TD learns with them, exactly and from samples, and tile coding.

A state s is seen as a row x(s) of a matrix X [S, F], and V(s) = x(s) · w. Rows of terminal states are 0.
Source: Sutton & Barto 2018, ch. 9–11.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from course_lib.agents.sampling import Sampler, by_policy, walk, watchable
from course_lib.worlds import mountain_car
from course_lib.worlds.mdp import MDP, check_number, check_policy

RULES = ("td", "residual", "gradient")


def on_policy(mdp: MDP, pi: np.ndarray) -> np.ndarray:
    """How often each state is met in the long run, shares [S], by an agent that follows pi and begins anew
    at every end; terminal states count 0 (S&B §9.2). ValueError where that is not one set of numbers."""
    P, _ = mdp.under(check_policy(pi, mdp))
    P = np.array(P.toarray() if mdp.sparse else P)
    P[mdp.terminal] = mdp.start
    equations = np.vstack([np.eye(mdp.S) - P.T, np.ones(mdp.S)])
    mu, _, rank, _ = np.linalg.lstsq(equations, np.append(np.zeros(mdp.S), 1.0), rcond=None)
    if rank < mdp.S:
        raise ValueError("which states are met for ever depends on the start: give another policy or world.")
    mu = np.where(mdp.terminal, 0.0, np.maximum(mu, 0.0))
    return mu / mu.sum()


def td_system(
    X: np.ndarray, P_pi: np.ndarray, r_pi: np.ndarray, gamma: float, mu: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A [F, F] and b [F] such that TD(0) moves w by α (b − A w) on average, if states are met with shares mu.

    A = Xᵀ D (X − γ P X), b = Xᵀ D r, where D has mu on its diagonal (S&B eq. 9.11).
    """
    weighted = X.T * mu
    return weighted @ (X - gamma * P_pi @ X), weighted @ r_pi


def fixed_point(
    X: np.ndarray, P_pi: np.ndarray, r_pi: np.ndarray, gamma: float, mu: np.ndarray
) -> np.ndarray:
    """The weights w [F] at which TD(0) rests on average, A w = b (S&B eq. 9.12); LinAlgError if none."""
    return np.linalg.solve(*td_system(X, P_pi, r_pi, gamma, mu))


def expected_updates(
    X: np.ndarray,
    P_pi: np.ndarray,
    r_pi: np.ndarray,
    gamma: float,
    mu: np.ndarray,
    alpha: float,
    w: np.ndarray,
    rule: str = "td",
    beta: float | None = None,
) -> Iterator[np.ndarray]:
    """Yields w, then w after each expected update, for ever.

    rule       td        semi-gradient TD(0), w ← w + α (b − A w): the guess at s′ is taken as given
               residual  the true gradient of the mean squared expected TD error (Baird 1995)
               gradient  TD with gradient correction, TDC (Sutton 2009), with second weights of rate beta
    """
    if rule not in RULES:
        raise ValueError(f"rule is {rule!r}: choose one of {', '.join(RULES)}.")
    check_number("gamma", gamma, 0, 1)
    A, b = td_system(X, P_pi, r_pi, gamma, mu)
    C, change = (X.T * mu) @ X, X - gamma * P_pi @ X
    w, v, beta = np.array(w, float), np.zeros(len(w)), 10 * alpha if beta is None else beta
    while True:
        yield w.copy()
        if rule == "td":
            w = w + alpha * (b - A @ w)
        elif rule == "residual":
            w = w + alpha * (change.T * mu) @ (r_pi - change @ w)
        else:
            step = b - A @ w - (C - A.T) @ v
            w, v = w + alpha * step, v + beta * (b - A @ w - C @ v)


def record(updates: Iterator[np.ndarray], steps: int, every: int = 1) -> np.ndarray:
    """The first weights, and those after each `every` updates up to `steps`: [1 + steps // every, F]."""
    return np.array(list(islice(updates, 0, steps + 1, every)))


@watchable(result=lambda w: w)
def linear_td0(
    mdp: MDP,
    pi: np.ndarray,
    X: np.ndarray,
    steps: int,
    alpha: float,
    runs: int = 1,
    *,
    rng: np.random.Generator,
) -> Iterator[np.ndarray]:
    """w [runs, F] by semi-gradient TD(0): w ← w + α [r + γ x(s′)·w − x(s)·w] x(s) (S&B §9.3).

    X [S, F] are the features; rows of terminal states must be 0. `.iterates` yields the
    live weights after each step (copy them to keep them).
    """
    pi = check_policy(pi, mdp)
    if X.shape[0] != mdp.S or X[mdp.terminal].any():
        raise ValueError(f"X must have {mdp.S} rows, one a state, and zeros in the rows of terminal states.")
    w = np.zeros((runs, X.shape[1]))
    for step in walk(Sampler.of(mdp), by_policy(pi, rng), rng, runs, steps):
        x, x2 = X[step.s], X[step.s2]
        td_error = step.r + mdp.gamma * (x2 * w).sum(1) - (x * w).sum(1)
        w += alpha * td_error[:, None] * x
        yield w


def baird(gamma: float = 0.99) -> dict[str, np.ndarray | float]:
    """Baird's counterexample (S&B Example 11.1): keywords for `expected_updates`, and `on_policy_mu`.

    Seven states, eight weights, all rewards 0, so that V = 0 is right and can be represented. The policy
    goes to the seventh state always, but the states are met equally often (mu), as another policy would.
    """
    X = np.zeros((7, 8))
    X[:6, :6], X[:6, 7] = 2 * np.eye(6), 1
    X[6, 6:] = 1, 2
    P_pi = np.zeros((7, 7))
    P_pi[:, 6] = 1
    w = np.array([1, 1, 1, 1, 1, 1, 10, 1.0])
    return dict(X=X, P_pi=P_pi, r_pi=np.zeros(7), gamma=gamma, mu=np.full(7, 1 / 7), w=w)


@dataclass(frozen=True)
class Tiles:
    """Tile coding: several grids over a box, each shifted a little; a point is the tile it hits in each.

    low, high   the box [d];  tiles   of one grid in each direction;  tilings   how many grids
    Shifts are 1, 3, 5 … parts of a tile along the coordinates (S&B §9.5.4).
    """

    low: np.ndarray
    high: np.ndarray
    tiles: int = 8
    tilings: int = 8

    @property
    def size(self) -> int:
        """How many tiles there are: a shifted grid needs one more a direction."""
        return self.tilings * (self.tiles + 1) ** len(self.low)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The numbers of the tiles that points x [..., d] hit, one a tiling: [..., tilings]."""
        place = (np.asarray(x, float) - self.low) / (np.asarray(self.high) - self.low) * self.tiles
        place = np.clip(place, 0, self.tiles * (1 - 1e-12))
        odd = 2 * np.arange(len(self.low)) + 1
        shift = (np.arange(self.tilings)[:, None] * odd % self.tilings) / self.tilings  # [tilings, d]
        cell = np.floor(place[..., None, :] + shift).astype(np.int64)
        number = np.arange(self.tilings)
        for d in range(len(self.low)):
            number = number * (self.tiles + 1) + cell[..., d]
        return number


def tile_sarsa(
    tiles: Tiles, episodes: int, alpha: float, runs: int, *, rng: np.random.Generator, limit: int = 2000
) -> tuple[np.ndarray, np.ndarray]:
    """Semi-gradient SARSA on mountain car, greedy, γ = 1: steps [runs, episodes] and weights [runs, 3, size].

    Zero weights are an optimistic start, as every step costs 1, so no ε is needed (S&B §10.1). `alpha` is
    shared out among the tilings. An episode is cut after `limit` steps; the target then counts on s′.
    """
    w = np.zeros((runs, mountain_car.ACTIONS, tiles.size))
    lengths, played, age = np.zeros((runs, episodes)), np.zeros(runs, int), np.zeros(runs, int)
    n, s = np.arange(runs), mountain_car.start(runs, rng)
    hit = tiles(s)
    a = _greedy(w, n, hit, rng)
    while len(n):
        s2, r, terminated = mountain_car.step(s, a)
        hit2 = tiles(s2)
        a2 = _greedy(w, n, hit2, rng)
        future = w[n[:, None], a2[:, None], hit2].sum(1) * ~terminated
        at = n[:, None], a[:, None], hit
        w[at] += (alpha / tiles.tilings * (r + future - w[at].sum(1)))[:, None]
        age[n] += 1
        over = terminated | (age[n] >= limit)
        ended = n[over]
        lengths[ended, played[ended]] = age[ended]
        played[ended] += 1
        age[ended] = 0
        s2[over] = mountain_car.start(len(ended), rng)
        hit2[over] = tiles(s2[over])
        a2[over] = _greedy(w, ended, hit2[over], rng)
        going = played[n] < episodes
        n, s, hit, a = n[going], s2[going], hit2[going], a2[going]
    return lengths, w


def _greedy(w: np.ndarray, n: np.ndarray, hit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The best action of each run [N] by its own weights, ties at random."""
    q = w[n[:, None, None], np.arange(w.shape[1])[None, :, None], hit[:, None, :]].sum(2)
    ties = q >= q.max(axis=1, keepdims=True)
    return (ties * rng.random(q.shape)).argmax(axis=1)
