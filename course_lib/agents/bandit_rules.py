"""Rules for bandits: `rule(counts, sums, t, rng) -> arm [runs]` picks the next arm of many runs at once.

counts [runs, arms] says how often each arm was pulled, sums [runs, arms] what it paid in all, t how many
pulls are done. A rule is a plain function that remembers nothing; `eps_greedy(0.1)` makes one. Ties are
broken at random.
Sources: Sutton & Barto 2018, ch. 2; Auer, Cesa-Bianchi & Fischer 2002; Thompson 1933; Lai & Robbins 1985.
"""

from collections.abc import Callable
from numbers import Integral, Real

import numpy as np
from scipy.special import rel_entr, softmax

from course_lib.worlds.bandits import bernoulli, check_means, check_probabilities, gaussian

Rule = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], np.ndarray]
TIE = 1e-12  # estimates closer than this count as equal: 0.1 + 0.2 and 0.3 are the same number


def argmax_random(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The place of the largest entry of each row of x [runs, arms], ties broken at random; [runs] of ints."""
    tied = x >= x.max(axis=1, keepdims=True) - TIE
    return np.where(tied, rng.random(x.shape), -1.0).argmax(axis=1)


def estimates(counts: np.ndarray, sums: np.ndarray, initial: float = 0.0, weight: float = 0.0) -> np.ndarray:
    """Each arm's mean reward, with `weight` pretended pulls that paid `initial` each; [runs, arms].

    weight = 0 is the sample average, and `initial` for an arm never pulled. initial = 1/2 with weight = 2 is
    the mean of a Bernoulli arm's Beta posterior under the uniform prior: (successes + 1)/(pulls + 2).
    """
    n = counts + weight
    return np.where(n > 0, (sums + weight * initial) / np.where(n > 0, n, 1), initial)


def eps_greedy(epsilon: float, initial: float = 0.0, weight: float = 0.0) -> Rule:
    """ε-greedy: with probability epsilon any arm, equally often, otherwise one with the best estimate (S&B
    §2.2)."""
    _check("epsilon", epsilon, 0, 1)
    _check("weight", weight, 0, np.inf)
    _check("initial", initial, -np.inf, np.inf)

    def rule(counts, sums, t, rng):
        best = argmax_random(estimates(counts, sums, initial, weight), rng)
        explore = rng.random(len(counts)) < epsilon
        return np.where(explore, rng.integers(counts.shape[1], size=len(counts)), best)

    return rule


def greedy(initial: float = 0.5, weight: float = 2.0) -> Rule:
    """Always an arm with the best estimate; by default the posterior mean under the uniform prior."""
    return eps_greedy(0.0, initial, weight)


def optimistic(initial: float = 5.0, weight: float = 1.0) -> Rule:
    """Greedy after `weight` pretended pulls that paid too much: disappointment explores (S&B §2.6).

    The book forgets the initial value at a constant step size; here it fades as weight/(pulls + weight).
    """
    return eps_greedy(0.0, initial, weight)


def ucb1(c: float = 2**0.5) -> Rule:
    """The largest mean + c·√(ln t / pulls), each arm once first; c = √2 is UCB1 (Auer et al. 2002)."""
    _check("c", c, 0, np.inf)

    def rule(counts, sums, t, rng):
        n = np.maximum(counts, 1)
        index = sums / n + c * np.sqrt(np.log(max(t, 1)) / n)
        return argmax_random(np.where(counts > 0, index, np.inf), rng)

    return rule


def thompson(a: float = 1.0, b: float = 1.0) -> Rule:
    """Thompson sampling for Bernoulli arms: draw each mean from its Beta posterior, pull the best draw's arm.

    The prior of every arm is Beta(a, b); ValueError when the rewards cannot have been 0 or 1.
    """
    _check_prior(a, b)

    def rule(counts, sums, t, rng):
        return argmax_random(rng.beta(*beta_posterior(counts, sums, a, b)), rng)

    return rule


def beta_posterior(
    counts: np.ndarray, sums: np.ndarray, a: float = 1.0, b: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """The belief about each Bernoulli arm, Beta(a + successes, b + failures): two arrays like counts."""
    _check_prior(a, b)
    if (np.less(sums, 0) | np.greater(sums, counts)).any():
        raise ValueError(
            "some arm paid less than 0 or more than 1 a pull: Beta posteriors are for rewards 0 and 1."
        )
    return a + np.asarray(sums), b + np.subtract(counts, sums)


def play(
    rule: Rule, means: np.ndarray, steps: int, rng: np.random.Generator, pull: Callable = bernoulli
) -> tuple[np.ndarray, np.ndarray]:
    """Plays the bandits means [runs, arms] by a rule: (arms pulled [runs, steps], rewards [runs, steps]).

    `pull` is `worlds.bandits.bernoulli` or `gaussian`. ValueError for bad means, and a rule that returns
    anything but one arm a run.
    """
    means, steps = _check_play(means, steps, pull)
    runs, K = means.shape
    counts, sums = np.zeros((runs, K)), np.zeros((runs, K))
    arms, rewards, run = np.empty((runs, steps), int), np.empty((runs, steps)), np.arange(runs)
    for t in range(steps):
        arm = _check_arm(rule(counts, sums, t, rng), runs, K)
        reward = pull(means, arm, rng)
        counts[run, arm] += 1
        sums[run, arm] += reward
        arms[:, t], rewards[:, t] = arm, reward
    return arms, rewards


def play_gradient(
    means: np.ndarray,
    steps: int,
    rng: np.random.Generator,
    alpha: float = 0.1,
    baseline: bool = True,
    pull: Callable = gaussian,
) -> tuple[np.ndarray, np.ndarray]:
    """The gradient bandit: softmax preferences H, moved by α·(reward − baseline)·(1{arm} − π) (S&B §2.8).

    The baseline is the mean of the rewards before this one, or 0. It remembers more than counts and sums, so
    it is no `rule` but plays by itself; arguments and results as in `play`.
    """
    means, steps = _check_play(means, steps, pull)
    _check("alpha", alpha, 0, np.inf)
    runs, K = means.shape
    H, mean = np.zeros((runs, K)), np.zeros(runs)
    arms, rewards = np.empty((runs, steps), int), np.empty((runs, steps))
    for t in range(steps):
        pi = softmax(H, axis=1)
        below = rng.random((runs, 1)) >= pi.cumsum(axis=1)[:, :-1]
        arm = below.sum(axis=1)
        reward = pull(means, arm, rng)
        H += alpha * (reward - baseline * mean)[:, None] * (np.eye(K)[arm] - pi)
        mean += (reward - mean) / (t + 1)
        arms[:, t], rewards[:, t] = arm, reward
    return arms, rewards


def regret(means: np.ndarray, arms: np.ndarray) -> np.ndarray:
    """What not knowing the best arm has cost so far: Σ over pulls of (best mean − mean pulled); [runs,
    steps].

    means [runs, arms], arms pulled [runs, steps]. It compares means, not rewards, so luck plays no part
    (some call it pseudo-regret).
    """
    means, arms = check_means(means), np.asarray(arms)
    if arms.ndim != 2 or len(arms) != len(means):
        raise ValueError(
            f"arms has shape {arms.shape}, but there are {len(means)} bandits: give [runs, steps]."
        )
    _check_arm(arms.ravel(), arms.size, means.shape[1])
    return np.cumsum(means.max(axis=1, keepdims=True) - np.take_along_axis(means, arms, axis=1), axis=1)


def ucb1_bound(means: np.ndarray, steps: np.ndarray | int) -> np.ndarray:
    """Auer's bound on the expected regret of UCB1 after any number of steps, for rewards in [0, 1].

    8·Σ ln(steps)/Δ_i over the arms with a gap Δ_i > 0 to the best, + (1 + π²/3)·Σ Δ_j (Auer et al. 2002,
    Theorem 1). means [arms] of one bandit; shape as `steps`.
    """
    gaps = _gaps(means)
    return 8 * np.log(_check_steps(steps)) * (1 / gaps).sum() + (1 + np.pi**2 / 3) * gaps.sum()


def lai_robbins_bound(means: np.ndarray, steps: np.ndarray | int) -> np.ndarray:
    """ln(steps)·Σ Δ_i/KL(p_i, p_best): in the long run no rule that is good on all bandits has less regret.

    The limit of regret/ln(steps) is at least that sum, for rules whose regret grows more slowly than every
    power of steps on every bandit (Lai & Robbins 1985). It says nothing about any finite number of steps.
    means [arms]; shape as `steps`.
    """
    p = check_probabilities(np.atleast_2d(means))[0]
    worse = p[p < p.max()]
    return np.log(_check_steps(steps)) * (_gaps(means) / kl_bernoulli(worse, p.max())).sum()


def kl_bernoulli(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """KL(p, q) = p ln(p/q) + (1 − p) ln((1 − p)/(1 − q)): how fast flips of a p-coin tell it from a
    q-coin."""
    p, q = np.asarray(p, float), np.asarray(q, float)
    return rel_entr(p, q) + rel_entr(1 - p, 1 - q)


def _gaps(means: np.ndarray) -> np.ndarray:
    """The positive gaps of one bandit's Bernoulli arms to the best."""
    if np.ndim(means) != 1:
        raise ValueError(f"means has shape {np.shape(means)}: the bound is for one bandit, [arms].")
    means = check_probabilities(np.atleast_2d(means))[0]
    return means.max() - means[means < means.max()]


def _check(name: str, value: float, low: float, high: float) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, Real)
        or not (low <= value <= high and np.isfinite(value))
    ):
        bounds = f" from {low} to {high}" if np.isfinite(high) else f" from {low}" if np.isfinite(low) else ""
        raise ValueError(f"{name} is {value!r}: it must be a finite number{bounds}.")


def _check_prior(a: float, b: float) -> None:
    for name, value in (("a", a), ("b", b)):
        _check(name, value, 0, np.inf)
        if value == 0:
            raise ValueError(f"{name} is 0: the parameters of a Beta prior are positive.")


def _check_steps(steps: np.ndarray | int) -> np.ndarray:
    if (np.asarray(steps) < 1).any():
        raise ValueError(f"steps is {steps}: the bound is for 1 pull or more.")
    return np.asarray(steps, float)


def _check_play(means: np.ndarray, steps: int, pull: Callable) -> tuple[np.ndarray, int]:
    if isinstance(steps, bool) or not isinstance(steps, Integral) or steps < 1:
        raise ValueError(f"steps is {steps!r}: it must be a whole number from 1.")
    return (check_probabilities if pull is bernoulli else check_means)(means), int(steps)


def _check_arm(arm: np.ndarray, runs: int, arms: int) -> np.ndarray:
    arm = np.asarray(arm)
    if arm.shape != (runs,) or not np.issubdtype(arm.dtype, np.integer):
        raise ValueError(
            f"the rule returned shape {arm.shape}, type {arm.dtype}: give one arm a run, ({runs},) of ints."
        )
    if arm.min() < 0 or arm.max() >= arms:
        raise ValueError(f"an arm is {arm.min() if arm.min() < 0 else arm.max()}: arms are 0 to {arms - 1}.")
    return arm
