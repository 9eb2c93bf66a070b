"""Meta-gradients online: a TD(λ) learner whose γ, λ and α follow their own gradient (Xu et al. 2018)."""

from collections.abc import Iterable, Iterator

import numpy as np


def chain_update(
    V: np.ndarray, slopes: np.ndarray, rewards: np.ndarray, eta: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One episode of TD(λ) along a chain, and how the new values depend on η = (α, γ, λ).

    V        [N, T + 1], values of the states 0 … T of N runs; state T is the end, worth 0
    slopes   [N, T + 1, 3], ∂V/∂η before the update: zeros forget how η acted in earlier episodes
    rewards  [N, T], of the steps from state t to t + 1
    eta      [N, 3]: each V(t) moves by α towards the λ-return with discount γ
    """
    alpha, gamma, lam = eta.T[..., None]
    new_V, new_slopes = V.copy(), slopes.copy()
    G, dG = np.zeros_like(alpha), np.zeros_like(slopes[:, 0])
    for t in reversed(range(rewards.shape[1])):
        after = V[:, t + 1, None]
        mix = (1 - lam) * after + lam * G
        dG = gamma * ((1 - lam) * slopes[:, t + 1] + lam * dG)  # through the values
        dG[:, 1:] += np.hstack([mix, gamma * (G - after)])  # through γ and λ themselves
        G = rewards[:, t, None] + gamma * mix
        miss = G - V[:, t, None]
        new_V[:, t] += (alpha * miss)[:, 0]
        new_slopes[:, t] += alpha * (dG - slopes[:, t])
        new_slopes[:, t, :1] += miss  # through α itself
    return new_V, new_slopes


def tune_chain(
    rewards: Iterable[np.ndarray],
    eta: np.ndarray | tuple[float, float, float],
    rate: float = 0.03,
    memory: float = 0.0,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """TD(λ) on a chain; α, γ and λ follow their meta-gradient. Yields (V, η) after each episode.

    rewards  rewards [N, T] of one episode after another, in N independent runs
    eta      where α, γ, λ start, each between 0 and 1, or a row for each run; `rate` 0 leaves them there
    memory   the share of ∂V/∂η that is carried to the next episode; 0 looks one update ahead (Xu et al. 2018)

    The meta-objective is the next episode's squared error, ½ mean (G − V)², with its plain return G; η moves
    in logit(η), by `rate` times the gradient over its running root mean square.
    """
    V, x, square = None, None, 0.0
    for r in rewards:
        if V is None:
            V, slopes = np.zeros((len(r), r.shape[1] + 1)), np.zeros((len(r), r.shape[1] + 1, 3))
            eta = np.broadcast_to(np.asarray(eta, float), (len(r), 3))
            x = np.log(eta / (1 - eta))
        G = r[:, ::-1].cumsum(axis=1)[:, ::-1]
        slope = -((G - V[:, :-1])[..., None] * slopes[:, :-1]).mean(axis=1) * _logistic(x) * _logistic(-x)
        square = 0.99 * square + 0.01 * slope**2
        x = np.clip(x - rate * slope / np.sqrt(square + 1e-12), -6, 6)
        V, slopes = chain_update(V, memory * slopes, r, _logistic(x))
        yield V, _logistic(x)


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def changing_chain(
    runs: int, episodes: int = 1000, period: int = 200, states: int = 10, noise: float = 3.0, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rewards and true values, [runs, states] each, of one episode after another.

    The mean rewards are standard normal, drawn anew every `period` episodes; each reward has normal noise.
    """
    rng, means = np.random.default_rng(seed), np.zeros((runs, states))
    for k in range(episodes):
        if k % period == 0:
            means = rng.normal(size=(runs, states))
        yield means + noise * rng.normal(size=means.shape), means[:, ::-1].cumsum(axis=1)[:, ::-1]


def follow(eta, rate: float = 0.03, memory: float = 0.0, runs: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """A life in `changing_chain`: mean squared errors [episodes, runs] and η [episodes, runs, 3]."""
    life = list(changing_chain(runs))
    learner = tune_chain((rewards for rewards, _ in life), eta, rate, memory)
    errors, etas = [], []
    for (V, eta_now), (_, truth) in zip(learner, life, strict=True):
        errors.append(((V[:, :-1] - truth) ** 2).mean(axis=1))
        etas.append(eta_now)
    return np.array(errors), np.array(etas)
