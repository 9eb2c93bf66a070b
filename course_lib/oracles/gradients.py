"""Exact gradients, against which estimates from samples are held.

The policy is the softmax of logits theta [S, A]: π(a|s) = exp θ(s,a) / Σ_b exp θ(s,b). The objective is
J(θ) = start · V_π, the expected discounted return of one episode.
Sources: Sutton et al. 2000 (the theorem); Schulman et al. 2016 (GAE); Kakade 2001 (the natural gradient);
Finn et al. 2017 (MAML).
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import softmax

from course_lib.agents.planning import evaluate
from course_lib.worlds.mdp import MDP


def policy_gradient(mdp: MDP, theta: np.ndarray) -> tuple[float, np.ndarray]:
    """J(θ) and its gradient [S, A], exactly, by the policy-gradient theorem.

    ∂J/∂θ(s,a) = d(s) π(a|s) [Q(s,a) − V(s)], where d(s) = Σ_t γ^t P(s_t = s) counts discounted visits. At γ =
    1 the policy must end from everywhere (ValueError); no gradient flows into terminal states.
    """
    pi = _softmax(mdp, theta)
    V = evaluate(mdp, pi)
    return float(mdp.start @ V), expected_gradient(mdp, theta, mdp.backup(V))


def expected_gradient(
    mdp: MDP, theta: np.ndarray, weight: np.ndarray, gamma: float | None = None
) -> np.ndarray:
    """E[Σ_t γ^t w(s_t, a_t) ∇ log π(a_t|s_t)], [S, A], for weights w [S, A], exactly.

    With w = Q_π, or Q_π minus any function of the state, this is the policy gradient. With w = what an
    estimator weighs a step by on average, it is that estimator's expectation; minus the policy gradient, its
    bias. `gamma` discounts the steps, the world's own by default: 1 for estimators that leave γ^t out.
    """
    pi = _softmax(mdp, theta)
    centred = weight - (pi * weight).sum(axis=1, keepdims=True)
    return visits(mdp, pi, gamma)[:, None] * pi * centred


def visits(mdp: MDP, pi: np.ndarray, gamma: float | None = None) -> np.ndarray:
    """d(s) = Σ_t γ^t P(s_t = s) from mdp.start, [S]; 0 in terminal states. `gamma`: the world's by default.

    ValueError at gamma = 1 for a policy that may never end.
    """
    gamma, live = mdp.gamma if gamma is None else gamma, ~mdp.terminal
    P_pi = mdp.under(pi)[0]
    P_pi = (P_pi.toarray() if mdp.sparse else P_pi)[live][:, live]
    if gamma == 1 and len(P_pi) and np.abs(np.linalg.eigvals(P_pi)).max() > 1 - 1e-12:
        raise ValueError("at gamma = 1 this policy may visit some states for ever: use gamma < 1.")
    d = np.zeros(mdp.S)
    d[live] = np.linalg.solve(np.eye(len(P_pi)) - gamma * P_pi.T, mdp.start[live])
    return d


def expected_gae(mdp: MDP, pi: np.ndarray, V: np.ndarray, lam: float) -> np.ndarray:
    """E[Σ_k (γλ)^k δ_(t+k) | s_t = s, a_t = a], [S, A]: what GAE(λ) with a critic V [S] is on average.

    δ_t = r_t + γ V(s_(t+1)) − V(s_t). Terminal states are worth 0, whatever V says. λ = 1 gives Q_π − V.
    """
    V = np.where(mdp.terminal, 0.0, V)
    td_error = (mdp.backup(V) - V[:, None]) * ~mdp.terminal[:, None]
    live, P_pi = ~mdp.terminal, mdp.under(pi)[0]
    P_pi = (P_pi.toarray() if mdp.sparse else P_pi)[live][:, live]
    later, by_state = np.zeros(mdp.S), (pi * td_error).sum(axis=1)
    later[live] = np.linalg.solve(np.eye(len(P_pi)) - mdp.gamma * lam * P_pi, by_state[live])
    return td_error + lam * (mdp.backup(later) - mdp.R)


def fisher(mdp: MDP, theta: np.ndarray) -> np.ndarray:
    """The Fisher information of the policy, [S·A, S·A]: Σ_s d(s) Σ_a π(a|s) ∇ log π(a|s) ∇ log π(a|s)ᵀ.

    d counts discounted visits, scaled to sum to 1. Rows and columns run over θ.ravel(). Adding a number to
    all logits of a state changes nothing, so F is singular: use a pseudo-inverse.
    """
    pi = _softmax(mdp, theta)
    d = visits(mdp, pi)
    F = np.zeros((mdp.S, mdp.A, mdp.S, mdp.A))
    for s in np.flatnonzero(d):
        F[s, :, s] = d[s] / d.sum() * (np.diag(pi[s]) - np.outer(pi[s], pi[s]))
    return F.reshape(mdp.S * mdp.A, mdp.S * mdp.A)


def meta_gradient(
    mdps: Sequence[MDP], theta: np.ndarray, alpha: float | np.ndarray, steps: int = 1
) -> tuple[float, np.ndarray]:
    """MAML's objective on tabular tasks and its gradient [S, A], exactly (Finn et al. 2017, without samples).

    From the shared logits theta [S, A] every task takes `steps` steps of exact ascent, θ ← θ + α ∇J(θ); the
    objective is the mean over tasks of J after that. Its gradient comes back through the steps: begin with
    u = ∇J at the end, then u ← u + α H u with the Hessian H of J at each earlier point. steps = 0 is
    multi-task training. alpha may be a table [S, A]. ValueError for tasks that differ in size.
    """
    tasks = _Tasks(mdps, theta, steps)
    *path, last = _ascents(tasks, theta, alpha, steps)
    u = last.gradient
    for point in reversed(path):
        u = u + point.hessian_times(alpha * u)
    return float(last.J.mean()), u.mean(axis=0)


def adaptation(
    mdps: Sequence[MDP], theta: np.ndarray, alpha: float | np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """What every task makes of shared logits in 0, 1, …, `steps` steps of exact ascent of size alpha.

    Returns J [steps + 1, M] and the logits [steps + 1, M, S, A].
    """
    path = list(_ascents(_Tasks(mdps, theta, steps), theta, alpha, steps))
    return np.array([point.J for point in path]), np.array([point.theta for point in path])


def _ascents(tasks: "_Tasks", theta: np.ndarray, alpha: float | np.ndarray, steps: int) -> Iterator["_Point"]:
    """Where the tasks are after 0, 1, …, `steps` steps of ascent."""
    point = _Point(tasks, np.broadcast_to(np.asarray(theta, float), tasks.R.shape))
    yield point
    for _ in range(steps):
        point = _Point(tasks, point.theta + alpha * point.gradient)
        yield point


class _Tasks:
    """Worlds side by side: P [M, S, A, S] with nothing after an end, R [M, S, A], start [M, S], gamma."""

    def __init__(self, mdps: Sequence[MDP], theta: np.ndarray, steps: int):
        if not len(mdps) or steps < 0:
            raise ValueError(f"{len(mdps)} tasks, {steps} steps: give at least one task, and steps from 0.")
        _softmax(mdps[0], theta)
        if len({mdp.R.shape for mdp in mdps}) > 1:
            raise ValueError(
                "the tasks differ in size: a shared table of logits needs the same [S, A] for all."
            )
        dense = [m.P.toarray().reshape(m.A, m.S, m.S).swapaxes(0, 1) if m.sparse else m.P for m in mdps]
        self.P = np.stack(dense)
        self.P[np.stack([mdp.terminal for mdp in mdps])] = 0.0
        self.R = np.stack([mdp.R for mdp in mdps])
        self.start = np.stack([mdp.start for mdp in mdps])
        self.gamma = np.array([mdp.gamma for mdp in mdps])[:, None, None]

    def chain(self, weights: np.ndarray) -> np.ndarray:
        """γ Σ_a w(s,a) P(s'|s,a), [M, S, S]."""
        return self.gamma * (weights[:, :, None] @ self.P)[:, :, 0]

    def ahead(self, V: np.ndarray) -> np.ndarray:
        """γ Σ_s' P(s'|s,a) V(s'), [M, S, A]."""
        M, S, A, _ = self.P.shape
        return self.gamma * (self.P.reshape(M, S * A, S) @ V[:, :, None]).reshape(M, S, A)


class _Point:
    """J [M] and its gradient [M, S, A] at each task's own logits; products with its Hessian."""

    def __init__(self, tasks: _Tasks, theta: np.ndarray):
        self.tasks, self.theta = tasks, theta
        self.pi = softmax(theta, axis=-1)
        self.visits = np.linalg.inv(np.eye(theta.shape[1]) - tasks.chain(self.pi))  # Σ_t γ^t P_π^t, [M, S, S]
        V = (self.visits @ (self.pi * tasks.R).sum(axis=-1)[:, :, None])[:, :, 0]
        self.d = (tasks.start[:, None] @ self.visits)[:, 0]
        self.J = (tasks.start * V).sum(axis=-1)
        self.adv = tasks.R + tasks.ahead(V) - V[:, :, None]
        self.gradient = self.d[:, :, None] * self.pi * self.adv

    def hessian_times(self, u: np.ndarray) -> np.ndarray:
        """H u, [M, S, A]: each line of the gradient, differentiated while the logits move along u."""
        pi_u = self.pi * (u - (self.pi * u).sum(axis=-1, keepdims=True))
        V_u = (self.visits @ (pi_u * self.adv).sum(axis=-1)[:, :, None])[:, :, 0]
        d_u = (self.d[:, None] @ self.tasks.chain(pi_u) @ self.visits)[:, 0]
        adv_u = self.tasks.ahead(V_u) - V_u[:, :, None]
        d, d_u = self.d[:, :, None], d_u[:, :, None]
        return d_u * self.pi * self.adv + d * pi_u * self.adv + d * self.pi * adv_u


def _softmax(mdp: MDP, theta: np.ndarray) -> np.ndarray:
    theta = np.asarray(theta, dtype=float)
    if theta.shape != mdp.R.shape or not np.isfinite(theta).all():
        raise ValueError(f"theta has shape {theta.shape}: give finite logits [S, A] = {mdp.R.shape}.")
    return softmax(theta, axis=1)
