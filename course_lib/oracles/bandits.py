"""Exact answers for Bernoulli bandits: the best possible play, Gittins indices, and what simple rules earn.

A belief is, for each arm, its pulls n and successes s; with a Beta(a, b) prior the arm pays with probability
(a + s)/(a + b + n). Beliefs with the same pulls n = (n_1, …, n_K) form one array [n_1 + 1, …, n_K + 1] over
the successes, so a sweep through the tree of beliefs is a few array operations for each n.

A *choice* is a function `choice(counts, sums) -> probabilities`, all [..., K]: how a rule picks at these
beliefs.
Sources: Bellman 1956; Gittins, Glazebrook & Weber 2011; Auer et al. 2002; Thompson 1933.
"""

from collections.abc import Callable, Iterator
from math import comb, factorial
from numbers import Integral, Real

import numpy as np
from scipy.integrate import quad
from scipy.special import betainc, xlog1py, xlogy
from scipy.special import betaln as log_beta

Prior = tuple[float, float]  # the Beta parameters (a, b) of every arm
Choice = Callable[[np.ndarray, np.ndarray], np.ndarray]
TIE = 1e-9  # arms whose values are closer than this count as equally good
MOST = 300_000_000  # beliefs × arms in the largest tree that is worked through: seconds to a minute
UNIFORM = (1.0, 1.0)


def bayes_optimal_value(n_arms: int, horizon: int, prior: Prior = UNIFORM, gamma: float = 1.0) -> float:
    """The largest expected total reward of any rule in `horizon` pulls of n_arms independent Bernoulli arms.

    Each arm's mean has the prior Beta(*prior), by default uniform; the reward of pull t is discounted by
    gamma^t. Dynamic programming over all beliefs, with interchangeable arms sorted: exact up to rounding.
    ValueError for trees too large to work through.
    """
    *_, (_, Q) = _plan(_same_prior(n_arms, prior), _count("horizon", horizon), gamma)
    return float(Q.max())


def known_best_value(n_arms: int, horizon: int, prior: Prior = UNIFORM) -> float:
    """What a player earns in `horizon` pulls who is told the best of n_arms independent Bernoulli arms.

    horizon · E[largest mean], with E[max] = ∫ (1 − F(x)^K) dx over 0 to 1 for means with the prior's
    distribution F; K/(K + 1) for the uniform prior. Above `bayes_optimal_value` by the price of not knowing.
    """
    (a, b), horizon = _same_prior(n_arms, prior)[0], _count("horizon", horizon)
    largest = quad(lambda x: 1 - betainc(a, b, x) ** n_arms, 0, 1, epsabs=1e-12, limit=200)[0]
    return float(horizon * largest)


def bayes_optimal_q(
    successes: np.ndarray, failures: np.ndarray, steps: int, prior: Prior = UNIFORM
) -> np.ndarray:
    """What pulling each arm now and playing on optimally earns in the `steps` pulls that are left, Q [K].

    The belief is given by successes [K] and failures [K]; each arm with the largest Q is optimal.
    """
    successes, failures = np.asarray(successes), np.asarray(failures)
    if successes.ndim != 1 or successes.shape != failures.shape or not len(successes):
        raise ValueError(
            f"successes {successes.shape} and failures {failures.shape}: give one number an arm to both."
        )
    if (successes < 0).any() or (failures < 0).any():
        raise ValueError(f"successes {successes}, failures {failures}: counts cannot be negative.")
    belief = _same_prior(len(successes), prior) + np.column_stack([successes, failures])
    *_, (_, Q) = _plan(belief, _count("steps", steps), 1.0)
    return Q.ravel()


def bayes_optimal_choice(n_arms: int, horizon: int, prior: Prior = UNIFORM) -> Choice:
    """How the Bayes-optimal rule for this horizon picks; ties equally often."""
    tree = _plan(_same_prior(n_arms, prior), _count("horizon", horizon), 1.0)
    best = {n: np.moveaxis(Q >= Q.max(axis=0) - TIE, 0, -1) for n, Q in tree}

    def choice(counts, sums):
        order = np.argsort(-counts, axis=-1, kind="stable")
        n, s = (np.take_along_axis(np.asarray(x, int), order, -1).reshape(-1, n_arms) for x in (counts, sums))
        kinds, which = _kinds(n)
        picked = np.empty(n.shape, bool)
        for i, kind in enumerate(map(tuple, kinds.tolist())):
            if kind not in best:
                raise ValueError(
                    f"{sum(kind)} pulls are done: this choice was made for a horizon of {horizon}."
                )
            rows = which.ravel() == i
            picked[rows] = best[kind][tuple(s[rows].T)]
        back = np.take_along_axis(picked.reshape(order.shape), np.argsort(order, axis=-1), -1)
        return back / back.sum(axis=-1, keepdims=True)

    return choice


def greedy_choice(epsilon: float = 0.0, initial: float = 0.5, weight: float = 2.0) -> Choice:
    """ε-greedy on (sums + weight·initial)/(counts + weight), by default the mean under the uniform prior."""
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon is {epsilon}: it is a probability, from 0 to 1.")

    def choice(counts, sums):
        n = np.maximum(counts + weight, 1e-300)
        mean = np.where(counts + weight > 0, (sums + weight * initial) / n, initial)
        return epsilon / counts.shape[-1] + (1 - epsilon) * _ties(mean)

    return choice


def ucb1_choice(c: float = 2**0.5) -> Choice:
    """UCB1: the largest sums/counts + c·√(ln(pulls done)/counts), fresh arms first (Auer et al. 2002)."""

    def choice(counts, sums):
        log_t = np.log(np.maximum(counts.sum(axis=-1, keepdims=True), 1))
        fresh = counts == 0
        index = np.where(fresh, np.inf, 0.0)
        np.divide(sums + c * np.sqrt(log_t * counts), counts, out=index, where=~fresh)
        return _ties(index)

    return choice


def thompson_choice(horizon: int, n_arms: int = 2, prior: tuple[int, int] = (1, 1)) -> Choice:
    """Thompson sampling: the exact chance that each arm's draw from its Beta posterior is the largest.

    P(draw k is largest) = ∫ f_k(x) Π_{j≠k} F_j(x) dx. With a prior in whole numbers that is the integral of a
    polynomial, for which Gauss–Legendre quadrature is exact. Good for at most `horizon` pulls in all.
    """
    horizon, (a, b) = _count("horizon", horizon), (_count("the prior's parameter", x) for x in prior)
    x, w = np.polynomial.legendre.leggauss((horizon + n_arms * (a + b - 1)) // 2 + 1)
    x, w = (1 + x) / 2, w / 2
    s, f = np.indices((horizon + 1, horizon + 1, 1))[:2]
    log_pdf = xlogy(s + a - 1, x) + xlog1py(f + b - 1, -x) - log_beta(s + a, f + b)
    pdf = np.exp(log_pdf) * w  # [successes, failures, x], as is cdf
    cdf = betainc(s + a, f + b, x)

    def choice(counts, sums):
        if counts.shape[-1] != n_arms or counts.sum(axis=-1).max() > horizon:
            raise ValueError(f"this choice was made for {n_arms} arms and at most {horizon} pulls.")
        s, f = np.asarray(sums, int), np.subtract(counts, sums).astype(int)
        below = cdf[s, f]  # [..., K, x]
        others = [np.delete(below, k, axis=-2).prod(axis=-2) for k in range(n_arms)]
        return (pdf[s, f] * np.stack(others, axis=-2)).sum(axis=-1)

    return choice


def gittins_choice(horizon: int, gamma: float = 0.9, prior: Prior = UNIFORM) -> Choice:
    """Always an arm with the largest Gittins index; for at most `horizon` pulls of an arm."""
    table = gittins_table(horizon, gamma, prior)

    def choice(counts, sums):
        n, s = np.asarray(counts, int), np.asarray(sums, int)
        if n.max() > horizon:
            raise ValueError(
                f"an arm was pulled {n.max()} times: this choice was made for at most {horizon}."
            )
        return _ties(table[s, n - s])

    return choice


def expected_rewards(
    choice: Choice, horizon: int, means: np.ndarray | None = None, n_arms: int = 2, prior: Prior = UNIFORM
) -> np.ndarray:
    """The exact expected reward of each pull, [horizon], of a rule given by its choice.

    For Bernoulli arms with fixed means [K], or, if means is None, averaged over bandits drawn from the prior.
    The chance of each belief is pushed forward through the tree; nothing is sampled. ValueError for a choice
    that is not probabilities over the arms, and for trees too large to work through.
    """
    horizon = _count("horizon", horizon)
    p = None if means is None else _fixed(means)
    K = _count("n_arms", n_arms) if p is None else len(p)
    prior = _same_prior(K, prior)
    _check_size(K, horizon, same=False)
    reach, rewards = {(0,) * K: np.ones((1,) * K)}, np.zeros(horizon)
    for t in range(horizon):
        after = {n: np.zeros([m + 1 for m in n]) for n in _splits(t + 1, K, same=False)}
        for n, chance in reach.items():
            picks = _picks(choice, n)
            for k in range(K):
                pulled = chance * picks[..., k]
                wins = pulled * (_paying(prior, n, k) if p is None else p[k])
                rewards[t] += wins.sum()
                more = after[_one_more(n, k)]
                more[_along(k, 1, None)] += wins
                more[_along(k, 0, -1)] += pulled - wins
        reach = after
    return rewards


def _picks(choice: Choice, n: tuple[int, ...]) -> np.ndarray:
    """The choice's probabilities at all beliefs with pulls n, [*(n + 1), K]; ValueError if they are none."""
    sums = np.stack(np.indices([m + 1 for m in n]), axis=-1)
    picks = np.asarray(choice(np.broadcast_to(n, sums.shape), sums))
    if picks.shape != sums.shape or not (np.abs(picks.sum(axis=-1) - 1) <= 1e-9).all():
        raise ValueError(
            f"after {n} pulls the choice has shape {picks.shape}, or does not sum to 1 over the arms."
        )
    return picks


def as_rule(choice: Choice) -> Callable:
    """A choice as a rule to play: (counts [runs, K], sums, t, rng) -> arm [runs], drawn as it says."""

    def rule(counts, sums, t, rng):
        below = rng.random((len(counts), 1)) >= choice(counts, sums).cumsum(axis=-1)[:, :-1]
        return below.sum(axis=-1)

    return rule


def play_on_tape(
    choice: Choice, p: np.ndarray, tape: np.ndarray, rng: np.random.Generator | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Play N Bernoulli bandits p [N, K] with given luck: arms and rewards, [N, T] each.

    Pull t of bandit n pays 1 if tape[n, t] < p[n, arm], so players on the same p and tape (numbers uniform in
    [0, 1)) can be compared in pairs. Without rng, the first of the most probable arms is pulled: right for
    choices that draw lots only between equals. With rng, arms are drawn as the choice says.
    """
    p, tape = np.asarray(p, dtype=float), np.asarray(tape)
    if p.ndim != 2 or tape.ndim != 2 or len(p) != len(tape) or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(
            f"p {p.shape} and tape {tape.shape}: give probabilities [N, K] and a tape [N, T] of the same N."
        )
    runs = np.arange(len(p))
    counts, sums = np.zeros(p.shape, int), np.zeros(p.shape, int)
    arms, rewards = np.empty(tape.shape, int), np.empty(tape.shape)
    for t in range(tape.shape[1]):
        picks = choice(counts, sums)
        if rng is None:
            arm = (picks >= picks.max(axis=1, keepdims=True) - TIE).argmax(axis=1)
        else:
            arm = (rng.random((len(p), 1)) >= picks.cumsum(axis=1)[:, :-1]).sum(axis=1)
        arms[:, t], rewards[:, t] = arm, tape[:, t] < p[runs, arm]
        counts[runs, arm] += 1
        sums[runs, arm] += rewards[:, t].astype(int)
    return arms, rewards


def bayes_optimal_play(
    p: np.ndarray, tape: np.ndarray, prior: Prior = UNIFORM
) -> tuple[np.ndarray, np.ndarray]:
    """The Bayes-optimal player for horizon T, on bandits p [N, K] and a tape [N, T]: arms and rewards [N, T].

    For a fair comparison with another player, score both by the p of the arms they pull: the luck averages
    out.
    """
    choice = bayes_optimal_choice(np.shape(p)[1], np.shape(tape)[1], prior)
    return play_on_tape(choice, p, tape)


def gittins_index(a: float, b: float, gamma: float) -> float:
    """The Gittins index of a Bernoulli arm with belief Beta(a, b); a = successes + 1, b = failures + 1.

    It is the best ratio of discounted reward to discounted time, sup_τ E[Σ_{t<τ} γ^t r_t] / E[Σ_{t<τ} γ^t],
    over the rules τ that say when to stop pulling this arm. Pulling the arm with the largest index maximises
    the expected discounted reward of any number of arms, for ever (Gittins 1979). Within 1e-9, for 0 < gamma
    ≤ 0.999; the work grows with 1/(1 − gamma)²: about .3 s at .99, 12 s at .999.
    """
    a, b, gamma = _belief(a, b), _belief(b, a), _discount(gamma)
    return float(_indices(np.array([a]), np.array([b]), gamma, tol=1e-7)[0])


def gittins_table(pulls: int, gamma: float, prior: Prior = UNIFORM) -> np.ndarray:
    """Indices of all beliefs after at most `pulls` pulls, [successes, failures]; NaN beyond.

    Within 1e-5. The work grows with (pulls/(1 − gamma))²: a second for 50 pulls at .9, 9 s for 20 at .99.
    """
    (a, b), gamma = _same_prior(1, prior)[0], _discount(gamma)
    table = np.full((_count("pulls", pulls) + 1,) * 2, np.nan)
    for n in range(pulls + 1):
        s = np.arange(n + 1)
        table[s, n - s] = _indices(s + a, n - s + b, gamma, tol=1e-3)
    return table


def _indices(a: np.ndarray, b: np.ndarray, gamma: float, tol: float) -> np.ndarray:
    """The indices of L beliefs Beta(a, b), [L] each, by Newton's method on the sure reward to stop for.

    With the best stopping rule for one sure reward, the ratio of reward to time is larger, until both agree.
    """
    index, step, depth = a / (a + b), 1.0, _depth(gamma, tol)
    while step > 1e-11:
        reward, time = _until_stopped(a, b, gamma, index, depth)
        index, step = reward / time, np.max(reward / time - index)
    return index


def _until_stopped(
    a: np.ndarray, b: np.ndarray, gamma: float, sure: np.ndarray, depth: int
) -> tuple[np.ndarray, np.ndarray]:
    """Discounted reward and time, [L] each, of pulling once, and on while that beats `sure` [L] per pull.

    From `depth` pulls on nothing more is learned: a mean above `sure` is kept for ever.
    """
    s = np.arange(depth + 1.0)[:, None]
    p = (a + s) / (a + b + depth)
    time = (p > sure) / (1 - gamma)
    reward = p * time
    for n in range(depth - 1, -1, -1):
        p = (a + s[: n + 1]) / (a + b + n)
        reward = p + gamma * (reward[:-1] + p * np.diff(reward, axis=0))
        time = 1 + gamma * (time[:-1] + p * np.diff(time, axis=0))
        if n:
            pull = reward > sure * time
            reward *= pull
            time *= pull
    return reward[0], time[0]


def _plan(prior: np.ndarray, horizon: int, gamma: float) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Backward through the tree of beliefs: yields (n, Q [K, *(n + 1)]) for every n, most pulls first.

    Q[k, s] is what pulling arm k at belief (n, s) and then playing optimally earns. Interchangeable arms
    (same prior) come with their pulls n sorted, largest first.
    """
    K, same = len(prior), bool((prior == prior[0]).all())
    _check_size(K, horizon, same)
    if isinstance(gamma, bool) or not isinstance(gamma, Real) or not 0 <= gamma <= 1:
        raise ValueError(f"gamma is {gamma!r}: the discount must be one number from 0 to 1.")
    ahead = {n: np.zeros([m + 1 for m in n]) for n in _splits(horizon, K, same)}
    for t in range(horizon - 1, -1, -1):
        V = {}
        for n in _splits(t, K, same):
            Q = np.stack([_pull_value(ahead, prior, n, k, gamma, same) for k in range(K)])
            yield n, Q
            V[n] = Q.max(axis=0)
        ahead = V


def _pull_value(ahead: dict, prior: np.ndarray, n: tuple, k: int, gamma: float, same: bool) -> np.ndarray:
    """p·(1 + γ V(success)) + (1 − p)·γ V(failure) for arm k, at all successes; V [*(n + 1)] is in `ahead`."""
    more = _one_more(n, k)
    order = np.argsort(-np.array(more), kind="stable") if same else np.arange(len(n))
    V = ahead[tuple(more[i] for i in order)].transpose(np.argsort(order))
    p = _paying(prior, n, k)
    return p + gamma * (p * V[_along(k, 1, None)] + (1 - p) * V[_along(k, 0, -1)])


def _paying(prior: np.ndarray, n: tuple, k: int) -> np.ndarray:
    """The chance that arm k pays after 0, …, n[k] successes, along axis k of an array over all successes."""
    s = np.arange(n[k] + 1).reshape([-1 if i == k else 1 for i in range(len(n))])
    return (prior[k, 0] + s) / (prior[k].sum() + n[k])


def _along(k: int, start: int, stop: int | None) -> tuple:
    return (slice(None),) * k + (slice(start, stop),)


def _one_more(n: tuple[int, ...], k: int) -> tuple[int, ...]:
    return (*n[:k], n[k] + 1, *n[k + 1 :])


def _splits(total: int, arms: int, same: bool, most: int | None = None) -> Iterator[tuple[int, ...]]:
    """All ways to split `total` pulls over the arms; only the sorted ones, largest first, if `same`."""
    most = total if most is None else min(most, total)
    if arms == 1:
        yield from [(total,)] if total <= most else []
        return
    for first in range(most, -1, -1):
        yield from (
            (first, *rest) for rest in _splits(total - first, arms - 1, same, first if same else None)
        )


def _kinds(n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows of n [N, K], and which of them each row is; by a number for each row if one fits."""
    base = int(n.max(initial=0)) + 1
    if base ** n.shape[1] > 2**62:
        return np.unique(n, axis=0, return_inverse=True)
    code = n @ base ** np.arange(n.shape[1])
    _, first, which = np.unique(code, return_index=True, return_inverse=True)
    return n[first], which


def _ties(x: np.ndarray) -> np.ndarray:
    """Equal probability on the largest entries of the last axis."""
    best = x >= x.max(axis=-1, keepdims=True) - TIE
    return best / best.sum(axis=-1, keepdims=True)


def _depth(gamma: float, tol: float) -> int:
    """How many pulls ahead leave an index within tol.

    Ignoring what is learned after n pulls costs at most sd/2 ≤ 1/(4√n) per pull from then on.
    """
    n = np.arange(1, 200_000)
    return int(n[np.argmax(gamma**n / (4 * np.sqrt(n) * (1 - gamma)) <= tol)])


# What follows checks the arguments.


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} is {value!r}: it must be a whole number from 1.")
    return int(value)


def _same_prior(n_arms: int, prior: Prior) -> np.ndarray:
    """The Beta parameters of every arm, [K, 2]."""
    if _count("n_arms", n_arms) > 30:
        raise ValueError(f"n_arms is {n_arms}: the trees of beliefs are worked through for at most 30 arms.")
    prior = np.array(prior, dtype=float)
    if prior.shape != (2,) or not ((prior > 0) & np.isfinite(prior)).all():
        raise ValueError(f"prior is {prior}: give the two positive parameters (a, b) of a Beta distribution.")
    return np.tile(prior, (n_arms, 1))


def _fixed(means: np.ndarray) -> np.ndarray:
    means = np.array(means, dtype=float)
    if means.ndim != 1 or not len(means) or not ((means >= 0) & (means <= 1)).all():
        raise ValueError(f"means is {means}: give one probability an arm, [K].")
    return means


def _belief(own: float, other: float) -> float:
    if not (isinstance(own, Real) and 0 < own < np.inf):
        raise ValueError(
            f"the belief is Beta({own}, {other}) in some order: both parameters must be positive."
        )
    return float(own)


def _discount(gamma: float) -> float:
    if not (isinstance(gamma, Real) and 0 < gamma <= 0.999):
        raise ValueError(f"gamma is {gamma!r}: indices are computed for discounts above 0 and up to 0.999.")
    return float(gamma)


def _check_size(K: int, horizon: int, same: bool) -> None:
    """ValueError for a tree of more than MOST beliefs × arms, counted before it is grown."""
    size = K * comb(horizon + 2 * K, 2 * K)
    if same and size <= MOST * factorial(K):
        beliefs = np.zeros((K + 1, horizon + 1))  # [arms pulled at all, pulls in all]
        beliefs[0, 0] = 1
        for m in range(1, horizon + 1):
            for k in range(1, K + 1):
                beliefs[k, m:] += (m + 1) * beliefs[k - 1, :-m]
        size = int(K * beliefs.sum())
    if size > MOST:
        raise ValueError(
            f"{K} arms and {horizon} pulls make a tree too large to work through ({size:.1e} beliefs × "
            "arms): take a shorter horizon or fewer arms."
        )
