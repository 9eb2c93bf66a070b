"""Planning in a known world: every planner is a generator of its iterates, so that a slider can replay it.

`*_, V = value_iteration(mdp)` is the answer, `list(value_iteration(mdp))` is what the slider shows. All of
them see the world through `mdp.backup` alone, so dense and sparse worlds run the same lines.
Sources: Sutton & Barto 2018, ch. 4; Puterman 1994, ch. 6.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from numbers import Integral, Real

import numpy as np
from scipy.sparse import eye_array, issparse
from scipy.sparse.linalg import spsolve

from course_lib.worlds.mdp import MDP, check_policy, check_values, ends

TIE = 1e-11  # policy iteration: an action is better only if it gains more than this share of the largest |V|
ALL_TIE = 1e-12  # modified policy iteration: all actions of a state tie that differ by less than this share
EPS = np.finfo(float).eps  # one rounding, relative to the number that is rounded


def evaluate(mdp: MDP, pi: np.ndarray) -> np.ndarray:
    """The exact value V_π [S] of a policy pi [S, A], by solving the linear system (I − γ P_π) V = r_π.

    Terminal states are worth 0 and leave the system. ValueError at γ = 1 for a policy that may never end.
    """
    pi = check_policy(pi, mdp)
    stuck = np.flatnonzero(~ends(mdp, pi)) if mdp.gamma == 1 else ()
    if len(stuck):
        raise ValueError(
            f"gamma is 1 and from {mdp._names(stuck)} this policy may never end: its value is not defined. "
            "Use gamma < 1 or another policy."
        )
    return _solve_chain(mdp, *mdp.under(pi))


def _solve_chain(mdp: MDP, P_pi, r_pi: np.ndarray) -> np.ndarray:
    V, live = np.zeros(mdp.S), np.flatnonzero(~mdp.terminal)
    if not len(live):
        return V
    P_live, r_live = P_pi[live][:, live], r_pi[live]
    if issparse(P_live):
        V[live] = spsolve((eye_array(len(live)) - mdp.gamma * P_live).tocsc(), r_live)
    else:
        V[live] = np.linalg.solve(np.eye(len(live)) - mdp.gamma * P_live, r_live)
    return V


def policy_evaluation(mdp: MDP, pi: np.ndarray, tol: float = 1e-8) -> Iterator[np.ndarray]:
    """Yields V_0 = 0, V_1, … with V_{k+1} = r_π + γ P_π V_k, until V_k is within tol of V_π (S&B §4.1).

    At γ = 1 that bound does not exist: there the last sweep changed no state by more than tol. A tol that is
    finer than float64 ends where rounding does.
    """
    stop = _stopping_rule(mdp, tol)
    P_pi, r_pi = mdp.under(pi)
    if mdp.gamma == 1:
        evaluate(mdp, pi)  # raises for a policy that may never end
    V = np.zeros(mdp.S)
    yield V
    while True:
        V_new = r_pi + mdp.gamma * (P_pi @ V)
        yield V_new
        if stop(V, V_new):
            return
        V = V_new


def value_iteration(mdp: MDP, tol: float = 1e-8) -> Iterator[np.ndarray]:
    """Yields V_0 = 0, V_1, … with V_{k+1}(s) = max_a Q_k(s, a), until V_k is within tol of V* (S&B §4.4).

    At γ = 1 that bound does not exist: there the last sweep changed no state by more than tol, and staying
    for ever in a loop that pays nothing counts as a policy. ValueError where a loop collects reward for ever.
    A tol that is finer than float64 ends where rounding does.
    """
    stop = _stopping_rule(mdp, tol)
    V = np.zeros(mdp.S)
    yield V
    for k in count(1):
        V_new = mdp.backup(V).max(axis=1)
        yield V_new
        if stop(V, V_new):
            return
        _check_settles(mdp, k)
        V = V_new


def in_place_value_iteration(mdp: MDP, tol: float = 1e-8) -> Iterator[np.ndarray]:
    """Value iteration that overwrites V state by state, so that news travels within a sweep (S&B §4.5).

    Yields V after each sweep, V_0 = 0 first; ends and raises as `value_iteration` does.
    """
    stop = _stopping_rule(mdp, tol)
    V = np.zeros(mdp.S)
    yield V.copy()
    for k in count(1):
        V_old = V.copy()
        for s in range(mdp.S):
            V[s] = mdp.backup_state(V, s).max()
        yield V.copy()
        if stop(V_old, V):
            return
        _check_settles(mdp, k)


def prioritized_sweeping(mdp: MDP, tol: float = 1e-8) -> Iterator[tuple[int | None, np.ndarray]]:
    """Backs up one state at a time, the one with the largest error first; yields (state, V).

    The first pair is (None, V_0), then one pair a backup. The error of a state is |max_a Q(s, a) − V(s)|;
    a backup can only change the errors of its predecessors (Moore & Atkeson 1993). Ends when every error is
    at most (1 − γ)·tol, so that V is within tol of V*, or as close as float64 comes. Needs γ < 1.
    """
    _check_tol(tol)
    if mdp.gamma == 1:
        raise ValueError("gamma is 1: prioritised sweeping has no stopping rule there. Use value_iteration.")
    V, enough = np.zeros(mdp.S), max((1 - mdp.gamma) * tol, _rounding(mdp))
    before = mdp._any_action().T.tocsr()  # row s: the states that can step to s
    error = np.abs(mdp.backup(V).max(axis=1))
    queue = [(-error[s], s) for s in np.flatnonzero(error > enough)]
    heapq.heapify(queue)
    yield None, V.copy()
    while queue:
        e, s = heapq.heappop(queue)
        if -e != error[s]:  # an entry that a later one has replaced
            continue
        V[s] = mdp.backup_state(V, s).max()
        yield int(s), V.copy()
        for p in {s, *before.indices[before.indptr[s] : before.indptr[s + 1]]}:
            error[p] = abs(mdp.backup_state(V, p).max() - V[p])
            if error[p] > enough:
                heapq.heappush(queue, (-error[p], p))


def policy_iteration(mdp: MDP, pi: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (π_0, V_π0), (π_1, V_π1), …: evaluate exactly, improve, until nothing improves (S&B §4.3).

    Starts from pi, by default the policy that picks every action equally often. A state changes its action
    only for one that is better by more than rounding, so ties cannot make it run in circles. The last pair is
    optimal; at γ = 1, optimal among the policies that end. ValueError where a loop collects reward for ever.
    """
    pi = np.full((mdp.S, mdp.A), 1 / mdp.A) if pi is None else check_policy(pi, mdp)
    while True:
        V = evaluate(mdp, pi)
        yield pi, V
        Q = mdp.backup(V)
        better = Q.max(axis=1) > V + TIE * np.abs(V).max()
        if not better.any():
            return
        pi = np.where(better[:, None], np.eye(mdp.A)[Q.argmax(axis=1)], pi)
        if mdp.gamma == 1 and not ends(mdp, pi).all():  # an improvement never ends only where staying pays
            stuck = mdp._names(np.flatnonzero(~ends(mdp, pi)))
            raise ValueError(f"gamma is 1 and from {stuck} a loop collects reward for ever: use gamma < 1.")


def modified_policy_iteration(mdp: MDP, tol: float = 1e-8, sweeps: int = 20) -> Iterator[np.ndarray]:
    """Policy iteration that evaluates by a few sweeps instead of exactly (Puterman 1994, §6.5); yields V_k.

    Each round looks ahead once over all actions, then at most `sweeps` times along the greedy policy only,
    which costs a share 1/A each. A state whose actions all tie, because no news has reached it yet, takes
    them all equally often meanwhile: any single one might lead nowhere, and news would travel one step a
    round. It ends when the certified interval around V* (see `bounds`) is narrower than 2·tol, and the last
    iterate is its midpoint: within tol of V*, or as close as float64 comes. Needs γ < 1.
    """
    _check_tol(tol)
    if not isinstance(sweeps, Integral) or sweeps < 0:
        raise ValueError(f"sweeps is {sweeps!r}: it must be a whole number from 0.")
    if mdp.gamma == 1:
        raise ValueError(
            "gamma is 1: the certified interval does not exist. Use policy_iteration or value_iteration."
        )
    V, act, chain = np.zeros(mdp.S), np.full(mdp.S, mdp.A), None
    stalled, rounding = _stall_detector(mdp.gamma), _rounding(mdp)
    yield V
    while True:
        Q = mdp.backup(V)
        V_new = Q.max(axis=1)
        change = V_new - V
        low, high = change.min(), change.max()
        yield V_new
        if _scaled(mdp.gamma, high - low) <= 2 * tol or (stalled(high - low) and high - low <= rounding):
            yield np.where(mdp.terminal, 0.0, V_new + _scaled(mdp.gamma, (low + high) / 2))
            return
        improved = _improve(mdp, act, Q, V_new)
        changed = chain is None or (improved != act).any()
        if changed:
            act, chain = improved, mdp.follow(improved)
        V = _sweep_along(mdp.gamma, *chain, V_new, sweeps, enough=(high - low) / 100 if changed else 0.0)


def _improve(mdp: MDP, act: np.ndarray, Q: np.ndarray, best: np.ndarray) -> np.ndarray:
    """A greedy act [S]: the old one where that is still among the best, A (all equally) where all tie."""
    tied = best - Q.min(axis=1) <= ALL_TIE * np.abs(best)
    still = (Q[np.arange(mdp.S), np.minimum(act, mdp.A - 1)] == best) & (act < mdp.A)
    change = np.flatnonzero(~(tied | still))
    act = np.where(tied, mdp.A, act)
    act[change] = Q[change].argmax(axis=1)
    return act


def _sweep_along(
    gamma: float, P_pi, r_pi: np.ndarray, V: np.ndarray, sweeps: int, enough: float
) -> np.ndarray:
    """V after at most `sweeps` sweeps along a policy; or until one changes all states alike, to `enough`."""
    for k in range(sweeps):
        V_old, V = V, P_pi @ (gamma * V)
        V += r_pi
        if k % 5 == 4 and np.ptp(V - V_old) <= enough:
            break
    return V


def greedy(mdp: MDP, V: np.ndarray, tol: float = 1e-7) -> np.ndarray:
    """The policy [S, A] that is greedy for V [S]: equal probability on every action within tol of the best.

    tol is relative to the largest |Q|, so that actions which tie in exact arithmetic tie here too. At γ = 1
    such a policy may use a loop that costs nothing, and never end.
    """
    if not (isinstance(tol, Real) and tol >= 0):
        raise ValueError(f"tol is {tol!r}: the tolerance must be a number from 0.")
    Q = mdp.backup(check_values(V, mdp))
    best = Q >= Q.max(axis=1, keepdims=True) - tol * np.abs(Q).max()
    return best / best.sum(axis=1, keepdims=True)


def solve(mdp: MDP, tol: float = 1e-8) -> tuple[np.ndarray, np.ndarray]:
    """The fast way to the optimum: (V [S] within tol of V*, an optimal policy [S, A]).

    γ < 1: modified policy iteration with its certified stop, and the policy that is `greedy` for V. γ = 1:
    policy iteration, optimal among the policies that end; ValueError where a loop collects reward for ever.
    """
    _check_tol(tol)
    if mdp.gamma == 1:
        pi, V = last(policy_iteration(mdp))
        return V, pi
    V = last(modified_policy_iteration(mdp, tol))
    return V, greedy(mdp, V)


def error_bound(gamma: float, change: float) -> float:
    """How far V_{k+1} may be from the fixed point, if the last sweep changed no state by more than `change`.

    ‖V_{k+1} − V*‖ ≤ γ/(1 − γ) · ‖V_{k+1} − V_k‖, the same for V_π (Puterman 1994, Thm 6.3.1). Needs γ < 1.
    """
    if not 0 <= gamma < 1:
        raise ValueError(f"gamma is {gamma}: the bound γ/(1 − γ)·change exists only for 0 ≤ gamma < 1.")
    return _scaled(gamma, change)


def bounds(mdp: MDP, V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A certified interval around V*: (lower [S], upper [S]), from a look ahead at any V (MacQueen 1966).

    With d = max_a Q(·, a) − V, V* lies between max_a Q + γ/(1−γ)·min d and max_a Q + γ/(1−γ)·max d.
    """
    error_bound(mdp.gamma, 0.0)  # raises at γ = 1
    V = check_values(V, mdp)
    V_new = mdp.backup(V).max(axis=1)
    change = V_new - V
    lower, upper = (V_new + _scaled(mdp.gamma, c) for c in (change.min(), change.max()))
    return np.where(mdp.terminal, 0.0, lower), np.where(mdp.terminal, 0.0, upper)


def last(iterates: Iterator):
    """The last iterate, keeping only the newest in memory: for worlds too large for `list`."""
    return deque(iterates, maxlen=1).pop()


def _scaled(gamma: float, change: float) -> float:
    return gamma / (1 - gamma) * change


def _check_tol(tol: float) -> None:
    if not (isinstance(tol, Real) and tol > 0):
        raise ValueError(f"tol is {tol!r}: the tolerance must be a positive number.")


def _rounding(mdp: MDP) -> float:
    """Changes of V below this can be rounding alone: one per backup, of numbers as large as V can be, which
    dies out only by a factor γ a sweep."""
    return EPS * np.abs(mdp.R).max() / (1 - mdp.gamma) ** 2 if mdp.gamma < 1 else np.inf


def _stall_detector(gamma: float) -> Callable[[float], bool]:
    """A test, to be asked once a sweep: have the changes stopped shrinking, as only rounding explains?

    In exact arithmetic each is at most γ times the one before; so none in 1/(1 − γ) sweeps means a stall.
    """
    patience = 20 + 1 / (1 - gamma) if gamma < 1 else np.inf
    smallest, waited = np.inf, 0

    def stalled(change: float) -> bool:
        nonlocal smallest, waited
        smallest, waited = (change, 0) if change < smallest else (smallest, waited + 1)
        return waited > patience

    return stalled


def _stopping_rule(mdp: MDP, tol: float) -> Callable[[np.ndarray, np.ndarray], bool]:
    """The test (V, V_new) → whether V_new, one sweep after V, is within tol of the fixed point."""
    _check_tol(tol)
    gamma = mdp.gamma
    enough = tol if gamma == 1 else tol * (1 - gamma) / max(gamma, EPS)  # error_bound, turned round
    can_stall, stalled = enough <= _rounding(mdp), _stall_detector(gamma)
    last_to_settle = 0

    def stop(V: np.ndarray, V_new: np.ndarray) -> bool:
        nonlocal last_to_settle
        if not can_stall and abs(V_new[last_to_settle] - V[last_to_settle]) > enough:
            return False  # the one that changed most at the last look still does: no need to look at all
        step = np.abs(V_new - V)
        last_to_settle = step.argmax()
        change = step[last_to_settle]
        return change <= enough or stalled(change)

    return stop


def _check_settles(mdp: MDP, sweep: int) -> None:
    """At γ = 1 values can grow for ever, or swing: ValueError once that is known, or a million sweeps."""
    if mdp.gamma == 1 and sweep == 1_000:
        last(policy_iteration(mdp))  # raises where a loop collects reward for ever
    if mdp.gamma == 1 and sweep == 1_000_000:
        raise ValueError(
            "gamma is 1 and the values have not settled after a million sweeps: a loop may swing for ever. "
            "Use policy_iteration, or gamma < 1."
        )
