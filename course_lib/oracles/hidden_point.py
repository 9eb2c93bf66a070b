"""Exact answers for 2-D navigation with sparse reward: the belief, who is told the goal, posterior sampling.

The world is that of `worlds.tasks.point_tasks(sparse=True)` for an agent whose steps are −.1, 0 or .1 in each
coordinate: it stays on places that are multiples of .1 from the origin. Goals are uniform in the square ±.5;
a step that ends within .2 of the goal pays 1 minus the distance, any other 0.

Nothing is left to chance, so Bayes' rule strikes out goals: no reward rules out a disc, a reward leaves a
circle. Goals are kept on a lattice with spacing `FINE`; a reward is compared up to that.
Source: Zintgraf et al. 2020 (the idea of the task); the world is our own.
"""

from collections.abc import Sequence

import numpy as np

STEP, RADIUS, COVERS = 0.1, 0.2, 0.5
FINE = 0.02
ALONG = np.arange(-COVERS + FINE / 2, COVERS, FINE)  # [50]
LATTICE = np.stack(np.meshgrid(ALONG, ALONG, indexing="ij"), -1).reshape(-1, 2)  # [2500, 2]


def reward(place: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """What a step that ends in `place` [..., 2] pays if the goal [..., 2] is there."""
    distance = np.linalg.norm(place - goal, axis=-1)
    return np.where(distance <= RADIUS, 1 - distance, 0.0)


def log_likelihood(place: np.ndarray, paid: np.ndarray) -> np.ndarray:
    """log p(paid | place, goal) for each goal of the lattice, [..., 2500], up to a constant."""
    expected = reward(place[..., None, :], LATTICE)
    return -0.5 * ((paid[..., None] - expected) / FINE) ** 2


def belief_filter(places: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """The belief over the lattice before and after each step, [..., T + 1, 2500].

    places [..., T, 2] are those where the steps ended, rewards [..., T] what they paid.
    """
    if places.shape != (*rewards.shape, 2):
        raise ValueError(f"places {places.shape} and rewards {rewards.shape}: give [..., T, 2] and [..., T].")
    seen = np.cumsum(log_likelihood(places, rewards), axis=-2)
    log_b = np.concatenate([np.zeros_like(seen[..., :1, :]), seen], axis=-2)
    b = np.exp(log_b - log_b.max(axis=-1, keepdims=True))
    return b / b.sum(axis=-1, keepdims=True)


def near_goal(places: np.ndarray, goals: np.ndarray, times: Sequence[int]) -> np.ndarray:
    """The belief within RADIUS of the true goal before the steps `times`, on average over M walks: [times].

    places [M, T, 2] are those where the steps ended; goals [M, 2].
    """
    b = belief_filter(places, reward(places, goals[:, None]))[:, list(times)]
    inside = np.linalg.norm(LATTICE - goals[:, None], axis=-1) <= RADIUS  # [M, 2500]
    return (b * inside[:, None]).sum(axis=-1).mean(axis=0)


def toward(place: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """The step [..., 2] that goes nearest to the goal: each coordinate −.1, 0 or .1."""
    return STEP * np.clip(np.round((goal - place) / STEP), -1, 1)


def known_goal_rewards(goals: np.ndarray, horizon: int) -> np.ndarray:
    """What an agent that is told its goal earns in an episode, for each of the goals [M, 2]: [M]."""
    place, earned = np.zeros_like(goals), np.zeros(len(goals))
    for _ in range(horizon):
        place = place + toward(place, goals)
        earned += reward(place, goals)
    return earned


def posterior_sampling(
    goals: np.ndarray, horizon: int, episodes: int, rng: np.random.Generator, hold: bool = True
) -> np.ndarray:
    """What one life in each of the goals [M, 2] earns by guessing, with the exact belief, [episodes, M].

    A guess is drawn from the belief at the start of an episode and gone to; with hold=False, a new one as
    soon as the old one is all but ruled out.
    """
    log_b, earned = np.zeros((len(goals), len(LATTICE))), np.zeros((episodes, len(goals)))
    for e in range(episodes):
        place, guess = np.zeros_like(goals), _drawn(log_b, rng)
        for _ in range(horizon):
            place = place + toward(place, LATTICE[guess])
            paid = reward(place, goals)
            earned[e] += paid
            log_b = log_b + log_likelihood(place, paid)
            log_b -= log_b.max(axis=1, keepdims=True)
            out = (log_b[np.arange(len(goals)), guess] < np.log(0.1)) & (not hold)
            guess = np.where(out, _drawn(log_b, rng), guess)
    return earned


def _drawn(log_b: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (log_b + rng.gumbel(size=log_b.shape)).argmax(axis=1)
