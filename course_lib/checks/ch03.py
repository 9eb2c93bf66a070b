"""Checkers for chapter 03, dynamic programming."""

import numpy as np

from course_lib.agents.planning import bounds, solve
from course_lib.checks.answer import Wrong, blame, checker, close, expect, unchanged
from course_lib.worlds.mdp import MDP, random_mdp


def _worlds(gamma: float = 0.9) -> list[MDP]:
    rng = np.random.default_rng(31)
    return [random_mdp(S, A, 3, gamma=gamma, rng=rng) for S, A in ((4, 2), (7, 3), (6, 5))]


def _one_busy_room(n: int = 50, gamma: float = 0.9) -> MDP:
    """n rooms that nobody leaves; only the first pays."""
    R = np.zeros((n, 1))
    R[0] = 1.0
    return MDP(np.eye(n)[:, None, :], R, gamma)


@checker
def how_many_sweeps(answers) -> str:
    expect(
        all(isinstance(answer, int) for answer in answers),
        f"your answers are {answers!r}: give two whole numbers.",
    )
    first_news, exactly_right = answers
    expect(
        first_news != 6,
        "6 is one too few: V_0 is 0 everywhere, and the cell beside the goal hears of it in sweep 1.",
    )
    expect(first_news != 5, "5 sweeps lead straight up, through the pit: there the episode ends.")
    expect(
        first_news == 7,
        f"the first news does not come with sweep {first_news!r}: a sweep carries it one cell; count the way from the goal.",
    )
    expect(
        exactly_right == 7,
        "without slip there is one best way and no longer one to average with: what could a later sweep add?",
    )
    return "7 and 7: the news comes one cell a sweep, and without slip the first news is the whole truth."


@checker
def in_place_sweep(sweep) -> str:
    for world in _worlds():
        model = world.P, world.R, world.gamma
        V = np.random.default_rng(1).normal(size=world.S)
        got = unchanged(lambda P, R, V: sweep(P, R, model[2], V), world.P, world.R, V)
        want = V.copy()
        for s in range(world.S):
            want[s] = world.backup_state(want, s).max()
        blame(
            got,
            world.backup(V).max(axis=1),
            "you read the old V: nothing that this sweep has learned is used in it.",
        )
        blame(got, V, "V is what it was: assign the new value to V[s].")
        blame(
            got,
            _swept(world, V, lambda Q: Q.mean()),
            "you average over the actions: a state is worth its best one.",
        )
        close(
            got,
            want,
            "the values are off: is it R(s,a) + γ Σ P(s'|s,a) V(s'), the best over a, in the order s = 0, 1, 2, …?",
        )
    return "right. The news now travels along the order of the states, within one sweep."


@checker
def caught_between(method) -> str:
    rng = np.random.default_rng(2)
    for world in _worlds() + _worlds(gamma=0.3):
        V = rng.normal(size=world.S)
        got = unchanged(lambda P, R, V: method(P, R, world.gamma, V), world.P, world.R, V)
        expect(len(got) == 2, "give two arrays: the lower and the upper end.")
        lower, upper = (np.asarray(end, dtype=float) for end in got)
        right = bounds(world, V)
        expect(lower.shape == upper.shape == V.shape, "each end is an array with one number a state.")
        expect(bool((lower <= upper).all()), "the lower end lies above the upper one.")
        best = solve(world, tol=1e-11)[0]
        inside = (lower <= best + 1e-9).all() and (best <= upper + 1e-9).all()
        expect(
            bool(inside),
            "V* is not always inside: is it V_new + γ/(1 − γ) times the smallest and largest rise?",
        )
        close(
            lower,
            right[0],
            "V* lies inside, but the lower end could be higher: use the smallest rise of any state.",
        )
        close(
            upper,
            right[1],
            "V* lies inside, but the upper end could be lower: use the largest rise of any state.",
        )
    return "right. V* lies inside, and you need not know it."


@checker
def value_iteration_within(method) -> str:
    for gamma in (0.0, 0.5, 0.9, 0.99):
        for world in _worlds(gamma):
            for tol in (1e-1, 1e-5):
                got = unchanged(lambda P, R: method(P, R, gamma, tol), world.P, world.R)
                want = solve(world, tol=1e-11)[0]
                close(
                    got,
                    want,
                    f"at γ = {gamma} and tol = {tol:g} the error is larger than tol: is the stop γ/(1 − γ)·change ≤ tol?",
                    tol * (1 + 1e-6),
                )
    busy = _one_busy_room()
    sentence = "where one room pays and 49 do not, the error is larger than tol: the largest change counts, in any state."
    close(method(busy.P, busy.R, busy.gamma, 0.1), solve(busy)[0], sentence, 0.1 * (1 + 1e-6))
    for gamma, pay, tol in ((0.99, 0.0101, 0.01), (0.9999, 0.000101, 0.001)):  # 1.01 altogether
        got = method(np.ones((1, 1, 1)), np.array([[pay]]), gamma, tol)
        sentence = f"in a salary room with γ = {gamma} the error is larger than tol: a small change is no small error."
        close(got, [1.01], sentence, tol * (1 + 1e-6))
    return "right: tol is now a promise about the error."


@checker
def repaired_value_iteration(method) -> str:
    for world in _worlds():
        for sign in (1, -1):  # worlds where everything pays, and where everything costs
            R = sign * np.abs(world.R)
            got = unchanged(lambda P, R: method(P, R, world.gamma), world.P, R)
            if sign < 0 and np.shape(got) == (world.S,) and np.max(got) >= 0:
                raise Wrong(
                    "where everything costs, some values are still not negative: which guess can never go down?"
                )
            close(
                got,
                solve(MDP(world.P, R, world.gamma), tol=1e-11)[0],
                "the values are not V*: compare each line with the equation.",
            )
    busy = _one_busy_room()
    got = method(busy.P, busy.R, busy.gamma)
    close(
        got,
        solve(busy)[0],
        "where one room pays and 49 do not it stops too early: ask for the largest change.",
    )
    return "right: a guess may also be too good."


def _swept(world: MDP, V: np.ndarray, pick) -> np.ndarray:
    V = V.copy()
    for s in range(world.S):
        V[s] = pick(world.backup_state(V, s))
    return V
