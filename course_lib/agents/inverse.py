"""Inverse reinforcement learning: from what an expert does to a reward that explains it.

The world is an `MDP` whose own R is ignored, except by `soft_policy` and `expected_value_difference`. A
reward to be found is linear, R_w(s, a) = F(s, a)·w, where `features` is one of

- None: one weight a state, paid by a step that *arrives* there (as a grid's cells pay), F(s, a) = P(·|s, a);
- [S, K]: features of the state in which a step arrives, F(s, a) = Σ_s' P(s'|s, a) features[s'];
- [S, A, K]: features of the state and the action themselves.

A terminal state pays nothing, so F is 0 there: what a goal is worth is paid on the way in.
Sources: Ng & Russell 2000; Ng, Harada & Russell 1999; Ziebart, Bagnell & Dey 2010 (causal entropy).
"""

from dataclasses import dataclass, replace
from numbers import Integral, Real

import numpy as np
from scipy.optimize import linprog, minimize
from scipy.special import entr

from course_lib.agents.planning import evaluate, solve
from course_lib.worlds.mdp import MDP, check_policy, check_values, ends

LARGEST = 1e6  # weights beyond this, in units of the temperature, are on their way to infinity


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """Trajectories of one length: states [E, T + 1], actions [E, T]; an ended one stays in its last state."""

    states: np.ndarray
    actions: np.ndarray


@dataclass(frozen=True, eq=False)
class MaxEntFit:
    """What `maxent_irl` found.

    w [K] the weights; R [S, A] the reward; pi [T, S, A] or [S, A] the soft policy; gap the largest difference
    between the expert's and the policy's feature expectations (with reg > 0, reg·w of it is wanted).
    """

    w: np.ndarray
    R: np.ndarray
    pi: np.ndarray
    gap: float


def linear_reward(mdp: MDP, w: np.ndarray, features: np.ndarray | None = None) -> np.ndarray:
    """R [S, A] of the weights w [K] on `features`; by default w [S] pays on arrival in each state."""
    F, w = feature_table(mdp, features), np.asarray(w, float)
    if w.shape != F.shape[2:] or not np.isfinite(w).all():
        raise ValueError(
            f"the weights have shape {w.shape}: give {F.shape[2]} finite numbers, one a feature."
        )
    return F @ w


def feature_table(mdp: MDP, features: np.ndarray | None = None) -> np.ndarray:
    """F [S, A, K] of `features` in any of its three forms (see the module); 0 in terminal states."""
    P = _dense(mdp)
    features = np.eye(mdp.S) if features is None else np.asarray(features, float)
    if features.ndim not in (2, 3) or features.shape[:-1] not in ((mdp.S,), (mdp.S, mdp.A)):
        raise ValueError(
            f"features has shape {features.shape}: give [S, K] or [S, A, K], S = {mdp.S}, A = {mdp.A}."
        )
    if not np.isfinite(features).all():
        raise ValueError("features holds NaN or inf: every feature must be a finite number.")
    F = P @ features if features.ndim == 2 else features
    return F * ~mdp.terminal[:, None, None]


def potential_shaping(mdp: MDP, phi: np.ndarray) -> MDP:
    """The world with reward R + γ·Σ_s' P(s'|s, a) phi[s'] − phi[s]: every V falls by phi.

    So no two policies change rank. phi [S] must be 0 in terminal states, whose value stays 0 (Ng, Harada &
    Russell 1999, Theorem 1).
    """
    phi = check_values(phi, mdp)
    bad = np.flatnonzero(mdp.terminal & (phi != 0))
    if len(bad):
        raise ValueError(
            f"phi[{bad[0]}] is {phi[bad[0]]:.6g}, but state {bad[0]} is terminal: its potential must be 0."
        )
    return replace(mdp, R=mdp.backup(phi) - phi[:, None])


# Demonstrations and where policies go


def sample_demonstrations(
    mdp: MDP, pi: np.ndarray, episodes: int, steps: int, rng: np.random.Generator
) -> Demonstrations:
    """`episodes` trajectories of `steps` steps from mdp.start, by pi [S, A] or one a step [T, S, A]."""
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng is {rng!r}: give a NumPy generator, such as np.random.default_rng(0).")
    steps, episodes = _count("steps", steps), _count("episodes", episodes)
    pi, P = _by_step(mdp, pi, steps), _dense(mdp)
    states, actions = np.empty((episodes, steps + 1), int), np.empty((episodes, steps), int)
    states[:, 0] = _draw(np.tile(mdp.start, (episodes, 1)), rng)
    for t in range(steps):
        actions[:, t] = _draw(pi[t, states[:, t]], rng)
        states[:, t + 1] = _draw(P[states[:, t], actions[:, t]], rng)
    return Demonstrations(states, actions)


def demonstrated_features(mdp: MDP, demos: Demonstrations, features: np.ndarray | None = None) -> np.ndarray:
    """The mean over demonstrations of Σ_t γ^t F(s_t, a_t), [K]: an estimate of the feature expectations."""
    F = feature_table(mdp, features)
    states, actions = np.asarray(demos.states), np.asarray(demos.actions)
    if states.ndim != 2 or actions.shape != (len(states), states.shape[1] - 1) or not actions.size:
        raise ValueError(f"states {states.shape} and actions {actions.shape}: give [E, T + 1] and [E, T].")
    for name, x, n in (("state", states, mdp.S), ("action", actions, mdp.A)):
        if x.min() < 0 or x.max() >= n:
            raise ValueError(
                f"a demonstrated {name} is {x.min() if x.min() < 0 else x.max()}: they are 0 to {n - 1}."
            )
    weights = np.full(actions.shape, 1 / len(actions)) * mdp.gamma ** np.arange(actions.shape[1])
    taken = np.zeros((mdp.S, mdp.A))
    np.add.at(taken, (states[:, :-1], actions), weights)
    return np.tensordot(taken, F, 2)


def visitation(mdp: MDP, pi: np.ndarray, horizon: int) -> np.ndarray:
    """The chance of being in each state after t = 0, …, horizon steps, [horizon + 1, S]; every row sums to 1.

    From mdp.start by pi [S, A] or [T, S, A]. What has ended stays, and counts, in its terminal state.
    """
    horizon = _count("horizon", horizon)
    pi = _by_step(mdp, pi, horizon)
    mu = np.empty((horizon + 1, mdp.S))
    mu[0] = mdp.start
    for t in range(horizon):
        mu[t + 1] = _arrive(mdp, mu[t][:, None] * pi[t])
    return mu


def occupancy(mdp: MDP, pi: np.ndarray) -> np.ndarray:
    """Σ_t γ^t P(s_t = s) without end, [S], for γ < 1: it solves d = start + γ P_π' d, and sums to 1/(1 −
    γ)."""
    if mdp.gamma == 1:
        raise ValueError(
            "gamma is 1: visits without end have no finite sum. Give a horizon, or use gamma < 1."
        )
    P_pi = mdp.under(pi)[0]
    P_pi = P_pi.toarray() if mdp.sparse else P_pi
    return np.linalg.solve(np.eye(mdp.S) - mdp.gamma * P_pi.T, mdp.start)


def feature_expectations(
    mdp: MDP, pi: np.ndarray, features: np.ndarray | None = None, horizon: int | None = None
) -> np.ndarray:
    """E[Σ_t γ^t F(s_t, a_t)] of a policy from mdp.start, [K], exactly: over `horizon` steps, or without end
    (γ < 1)."""
    return np.tensordot(_visits(mdp, pi, horizon), feature_table(mdp, features), 2)


# Maximum causal entropy


def soft_policy(
    mdp: MDP, horizon: int | None = None, temperature: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """(pi, V): the policy that maximises reward plus temperature × entropy of its actions, and its value.

    V = temperature·ln Σ_a exp(Q/temperature), pi = exp((Q − V)/temperature), Q = mdp.backup(V). With a
    horizon, one policy for each step: pi [T, S, A], V [T + 1, S], V[T] = 0. Without (γ < 1), the fixed point
    by soft policy iteration, which is Newton's method: pi [S, A], V [S]. Terminal states are worth 0.
    """
    _check_number("temperature", temperature)
    if horizon is None:
        return _soft_fixed_point(mdp, temperature)
    V = np.zeros((_count("horizon", horizon) + 1, mdp.S))
    pi = np.empty((horizon, mdp.S, mdp.A))
    for t in range(horizon - 1, -1, -1):
        pi[t], V[t] = _soften(mdp, V[t + 1], temperature)
    return pi, V


def _soften(mdp: MDP, V: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """One soft backup: the softmax policy of Q [S, A], and its soft maximum [S]."""
    Q = mdp.backup(V) / temperature
    top = Q.max(axis=1, keepdims=True)  # taken out, so that exp cannot overflow
    weight = np.exp(Q - top)
    total = weight.sum(axis=1, keepdims=True)
    return weight / total, np.where(mdp.terminal, 0.0, temperature * (top + np.log(total))[:, 0])


def _soft_fixed_point(mdp: MDP, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    if mdp.gamma == 1:
        raise ValueError(
            "gamma is 1: entropy without end has no finite sum. Give a horizon, or use gamma < 1."
        )
    enough = 1e-11 * (np.abs(mdp.R).max() + temperature * np.log(mdp.A)) / (1 - mdp.gamma)
    V = np.zeros(mdp.S)
    for _ in range(1_000):
        pi, V_new = _soften(mdp, V, temperature)
        bonus = temperature * entr(pi).sum(axis=1, keepdims=True) * ~mdp.terminal[:, None]
        change, V = np.abs(V_new - V).max(), evaluate(replace(mdp, R=mdp.R + bonus), pi)
        if change <= enough:
            return pi, V
    raise ValueError(
        f"temperature is {temperature}: so low that rounding decides. Use a higher one, or `solve`."
    )


def maxent_objective(
    w: np.ndarray,
    mdp: MDP,
    target: np.ndarray,
    features: np.ndarray | None = None,
    horizon: int | None = None,
    temperature: float = 1.0,
    reg: float = 0.0,
) -> tuple[float, np.ndarray]:
    """The convex loss that maximum-causal-entropy IRL minimises, and its gradient: (loss, grad [K]).

    loss = start·V_w − w·target + reg/2·|w|², with V_w the soft value of the reward F·w. Its gradient is the
    soft policy's feature expectations minus the target, + reg·w: at the minimum they agree (Ziebart
    et al. 2010).
    """
    _check_number("reg", reg, positive=False)
    w, target = np.asarray(w, float), np.asarray(target, float)
    model = replace(mdp, R=linear_reward(mdp, w, features))
    pi, V = soft_policy(model, horizon, temperature)
    V0 = V if horizon is None else V[0]
    grad = feature_expectations(model, pi, features, horizon) - target + reg * w
    return float(mdp.start @ V0 - w @ target + reg / 2 * w @ w), grad


def maxent_irl(
    mdp: MDP,
    target: np.ndarray,
    features: np.ndarray | None = None,
    horizon: int | None = None,
    temperature: float = 1.0,
    reg: float = 0.0,
    tol: float = 1e-5,
) -> MaxEntFit:
    """The reward F·w whose soft policy has the expert's feature expectations `target` [K], by BFGS from 0.

    `target` comes from `demonstrated_features`, or exactly from `feature_expectations`; horizon and features
    must be the same there, and so must the first states: if they are random, give the world the `start` that
    the demonstrations had. Without reg only w/temperature matters. ValueError where no weights match within
    tol, as for noisy demonstrations: reg > 0 then minimises `maxent_objective`, which leaves a
    difference of reg·w.
    """
    F, target = feature_table(mdp, features), np.asarray(target, float)
    if target.shape != F.shape[2:] or not np.isfinite(target).all():
        raise ValueError(f"target has shape {target.shape}: give {F.shape[2]} finite numbers, one a feature.")
    _check_number("tol", tol)
    args = (mdp, target, F, horizon, temperature, reg)
    w = _minimise(args, tol / 10)
    left = np.abs(maxent_objective(w, *args)[1]).max()
    if left > tol:
        raise ValueError(
            f"the feature expectations still differ by {left:.1e}: no policy has exactly these, as happens "
            "with few demonstrations, or with other features or another horizon. Use reg > 0."
        )
    R = linear_reward(mdp, w, F)
    pi, _ = soft_policy(replace(mdp, R=R), horizon, temperature)
    gap = np.abs(feature_expectations(mdp, pi, F, horizon) - target).max()
    return MaxEntFit(w, R, pi, float(gap))


def _minimise(args: tuple, gtol: float) -> np.ndarray:
    """The weights that minimise `maxent_objective`, or those reached when they run off to infinity."""
    _, target, *_, temperature, _ = args

    def check(w: np.ndarray) -> None:
        if np.abs(w).max() > LARGEST * temperature:
            raise StopIteration

    start = np.zeros(len(target))
    return minimize(maxent_objective, start, args, "BFGS", jac=True, callback=check, options={"gtol": gtol}).x


# The linear programme, and how good a reward is


def lp_irl(mdp: MDP, pi: np.ndarray, l1: float = 0.0, r_max: float = 1.0) -> np.ndarray:
    """A reward w [S], paid on arrival, that makes the expert's policy pi [S, A] optimal by wide margins.

    Among all w with |w| ≤ r_max that make every action with pi > 0 optimal, it maximises
    Σ_s min_{a: pi = 0} [Q(s, pi) − Q(s, a)] − l1·Σ|w| (Ng & Russell 2000, §3.2). It is the *sum* that is
    maximised: some states may be left with a margin of 0. And w = 0 always fits: a large l1 brings it back.
    ValueError at γ = 1 for a policy that may never end.
    """
    _check_number("l1", l1, positive=False)
    _check_number("r_max", r_max)
    lead = _lead(mdp, check_policy(pi, mdp))
    S, A, _ = lead.shape
    s, a = np.nonzero((np.asarray(pi) == 0) & ~mdp.terminal[:, None])
    zero, one = np.zeros((S, S)), np.eye(S)
    at_most_zero = np.block(  # times the unknowns (w, size, margin), [S] each
        [
            [-lead.reshape(S * A, S), np.zeros((S * A, 2 * S))],  # the expert's actions are optimal
            [-lead[s, a], zero[s], one[s]],  # margin[s] ≤ each lead over another action
            [one, -one, zero],  # |w| ≤ size
            [-one, -one, zero],
        ]
    )
    most = np.where(np.isin(np.arange(S), s), np.inf, 0.0)
    bounds = [(-r_max, r_max)] * S + [(0, r_max)] * S + [(0, m) for m in most]
    cost = np.repeat([0.0, l1, -1.0], S)
    return linprog(cost, at_most_zero, np.zeros(len(at_most_zero)), bounds=bounds).x[:S]


def _lead(mdp: MDP, pi: np.ndarray) -> np.ndarray:
    """[S, A, S]: times a reward w on arrival, it is Q_pi(s, pi) − Q_pi(s, a).

    For Q_pi(s, a) = P(·|s, a)·U, where U = (I − γ P_pi)⁻¹ w counts a state's value from the arrival in it.
    """
    if mdp.gamma == 1 and not ends(mdp, pi).all():
        raise ValueError("gamma is 1 and this policy may never end: its value is not defined. Use gamma < 1.")
    P = _dense(mdp)
    P_pi = np.einsum("sa,sat->st", pi, P)
    U = np.linalg.inv(np.eye(mdp.S) - mdp.gamma * P_pi * ~mdp.terminal[:, None])
    return (P_pi[:, None] - P) @ U


def margins(mdp: MDP, pi: np.ndarray, R: np.ndarray) -> np.ndarray:
    """By how much the expert's worst action beats the best other one in each state under R [S, A]; [S].

    Q_pi(s, worst a with pi > 0) − Q_pi(s, best a with pi = 0): nowhere negative exactly if R makes all the
    expert's actions optimal; 0 everywhere for R = 0; inf in terminal states, and where all
    actions are the expert's.
    """
    pi = check_policy(pi, mdp)
    model = replace(mdp, R=R)
    Q = model.backup(evaluate(model, pi))
    worst, best = np.where(pi > 0, Q, np.inf).min(axis=1), np.where(pi > 0, -np.inf, Q).max(axis=1)
    return np.where(mdp.terminal, np.inf, worst - best)


def expected_value_difference(mdp: MDP, R: np.ndarray, temperature: float = 0.0) -> float:
    """What is lost, from mdp.start and in mdp's own reward, by taking the found R [S, A] for the true one.

    Both policies are optimal for their reward, or, with a temperature, both are its `soft_policy`. At 0 the
    difference jumps: a small error of R can change which way is best.
    """

    def value(model: MDP) -> float:
        pi = soft_policy(model, None, temperature)[0] if temperature else solve(model)[1]
        return float(mdp.start @ evaluate(mdp, pi))

    return value(mdp) - value(replace(mdp, R=R))


def _dense(mdp: MDP) -> np.ndarray:
    """P as an array [S, A, S]."""
    return mdp.P.toarray().reshape(mdp.A, mdp.S, mdp.S).swapaxes(0, 1) if mdp.sparse else mdp.P


def _arrive(mdp: MDP, taken: np.ndarray) -> np.ndarray:
    """Σ_{s, a} taken[s, a]·P(s'|s, a): where the mass [S, A] of these steps arrives, [S]."""
    return taken.T.ravel() @ mdp.P if mdp.sparse else taken.ravel() @ mdp.P.reshape(-1, mdp.S)


def _visits(mdp: MDP, pi: np.ndarray, horizon: int | None) -> np.ndarray:
    """Σ_t γ^t P(s_t = s, a_t = a), [S, A]: over `horizon` steps, or without end."""
    if horizon is None:
        return occupancy(mdp, pi)[:, None] * pi
    mu = visitation(mdp, pi, horizon)[:-1] * mdp.gamma ** np.arange(horizon)[:, None]
    return np.einsum("ts,tsa->sa", mu, _by_step(mdp, pi, horizon))


def _draw(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One index for each row of probabilities p [E, n]; [E]."""
    below = rng.random((len(p), 1)) >= p.cumsum(axis=1)
    return np.minimum(below.sum(axis=1), p.shape[1] - 1)


def _by_step(mdp: MDP, pi: np.ndarray, steps: int) -> np.ndarray:
    """A policy for each step, [steps, S, A], from one for all [S, A] or one each."""
    pi = np.asarray(pi, float)
    if pi.ndim == 2:
        return np.broadcast_to(check_policy(pi, mdp), (steps, mdp.S, mdp.A))
    if pi.ndim != 3 or len(pi) < steps:
        raise ValueError(
            f"pi has shape {pi.shape}: give [S, A], or [T, S, A] with a policy for each of {steps} steps."
        )
    return np.stack([check_policy(p, mdp) for p in pi[:steps]])


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} is {value!r}: it must be a whole number from 1.")
    return int(value)


def _check_number(name: str, value: float, positive: bool = True) -> None:
    if isinstance(value, bool) or not (isinstance(value, Real) and 0 <= value < np.inf):
        raise ValueError(f"{name} is {value!r}: it must be a finite number from 0.")
    if positive and value == 0:
        raise ValueError(f"{name} is 0: it must be positive.")
