"""Checkers for chapter 08, Monte-Carlo tree search."""

from types import SimpleNamespace

import numpy as np

from course_lib.checks.answer import Wrong, checker, close, expect, unchanged
from course_lib.worlds.mdp import MDP, random_mdp


@checker
def which_next(answers) -> str:
    expect(
        len(answers) == 2 and all(isinstance(a, int | np.integer) for a in answers),
        f"your answers are {answers!r}: give two whole numbers, each 0, 1 or 2.",
    )
    eager, calm = map(int, answers)
    expect(
        {eager, calm} <= {0, 1, 2},
        f"your answers are {answers!r}: the actions are called 0, 1 and 2.",
    )
    expect(
        eager != 0,
        "at c = 1.4 it is not the largest Q: add c √(ln 15 / N(s, a)) to each, 0.73 for the first action.",
    )
    expect(eager == 2, "at c = 1.4 the third scores −0.2 + 1.4 √(ln 15 / 1) = 2.10: more than the second.")
    expect(
        calm == 0,
        "at c = 0.3 the bonus of the third is 0.49: not enough to make up for −0.2; compare the other two as well.",
    )
    return "2 and 0: a large c goes where little is known, a small one where it looks best."


@checker
def can_stop(rule) -> str:
    cases = []
    for visits in ([10, 4, 1], [4, 10, 1], [7, 7], [3], [0, 0, 5], [20, 19, 18], [2, 9, 8, 1, 0], [0, 0]):
        cases += [(visits, left) for left in (0, 1, 2, 4, 5, 6, 7, 40)]
    for visits, left in cases:
        got = unchanged(lambda N, left=left: rule(N, left), np.array(visits))
        expect(got is not None, "your function returns nothing: does it end with a return?")
        expect(np.ndim(got) == 0, f"your answer is {got!r}: give True or False, one for all actions.")
        lead, other = ([*sorted(visits, reverse=True), 0])[:2]
        case = f"visits {visits} and {left} simulations left"
        if len(visits) == 1:
            expect(bool(got), f"{case}: with one action there is nothing to decide.")
        elif lead - other > left:
            expect(bool(got), f"{case}: nothing can catch up with {lead}, so you may stop.")
        else:
            expect(
                not bool(got),
                f"{case}: the second has {other}, and if it gets all that is left it has {other + left}, "
                f"no fewer than {lead}.",
            )
    return "right: what can no longer change the move need not be searched."


@checker
def returns_on_the_way(method) -> str:
    rng = np.random.default_rng(81)
    for gamma in (1.0, 0.9, 0.5, 0.0):
        for steps in (1, 2, 5):
            rewards, rolled = rng.normal(size=steps), float(rng.normal())
            got = unchanged(lambda R, g=gamma, G=rolled: method(R, G, g), rewards)
            want, G = [], rolled
            for r in rewards[::-1]:
                G = r + gamma * G
                want.insert(0, G)
            if np.shape(got) == (steps,) and steps > 1 and np.allclose(got, want[::-1]):
                raise Wrong(
                    "the numbers are right, but the order is that of the way up: the root comes first."
                )
            without = np.cumsum(rewards[::-1])[::-1] + rolled
            if np.shape(got) == (steps,) and gamma < 1 and np.allclose(got, without):
                raise Wrong(f"at γ = {gamma} you add everything up undiscounted.")
            close(
                got,
                want,
                f"at γ = {gamma} the returns are off: begin with the roll-out, then G ← R + γ G once a step.",
            )
    return "right: one simulation brings every pair on its way a return of its own."


@checker
def by_looking_ahead(method) -> str:
    rng = np.random.default_rng(82)
    for S, A, gamma in ((3, 2, 0.9), (4, 3, 0.5), (5, 2, 1.0)):
        world = random_mdp(S, A, 2, gamma=0.9, rng=rng)
        V = np.zeros(S)
        for steps in range(5):
            for s in range(S):
                got = unchanged(lambda P, R, g=gamma, s=s, n=steps: method(P, R, g, s, n), world.P, world.R)
                case = f"with {steps} steps left and γ = {gamma}"
                if steps == 0:
                    close(got, 0.0, "with no steps left nothing more is collected: the value is 0.")
                close(
                    got,
                    V[s],
                    f"{case} the value of state {s} is off: is it max over a of R(s,a) + γ Σ P(s'|s,a) V(s'), "
                    "with one step fewer left at s'?",
                )
            V = (world.R + gamma * world.P @ V).max(axis=1)
    lazy = MDP(np.ones((1, 2, 1)), np.array([[-1.0, -2.0]]), 0.5)
    close(method(lazy.P, lazy.R, 0.5, 0, 2), -1.5, "where everything costs, the best action is the cheapest.")
    return "right: a maximum where you choose, an average where the world draws."


def _line(movers) -> list:
    """Nodes in a row, each the child of the one before; movers says who is to move at each."""
    nodes, parent = [], None
    for k, mover in enumerate(movers):
        node = SimpleNamespace(state=SimpleNamespace(to_play=mover), parent=parent, N=k + 1, Q=0.25)
        nodes.append(node)
        parent = node
    return nodes


@checker
def repaired_back_up(method) -> str:
    for movers in ((1, -1, 1, -1), (1, 1, -1, -1, 1), (-1, -1, -1), (1, 1), (-1, 1), (1,), (-1, 1, 1, 1, -1)):
        for winner in (1, -1, 0):
            nodes = _line(movers)
            method(nodes[-1], winner)
            counts = [node.N for node in nodes]
            expect(
                counts == [k + 2 for k in range(len(nodes))],
                "after one simulation every node on the way, the root included, has one more visit.",
            )
            for k in range(1, len(nodes)):
                G = movers[k - 1] * winner
                want = 0.25 + (G - 0.25) / (k + 2)
                flipped = 0.25 + (-G - 0.25) / (k + 2)
                who = f"the players to move are {movers} from the root down, and {winner} won"
                if winner and abs(nodes[k].Q - flipped) < 1e-9:
                    raise Wrong(
                        f"{who}: the node at depth {k} is credited to the wrong player. Who chose to go there?"
                    )
                close(
                    nodes[k].Q,
                    want,
                    f"{who}: the mean at depth {k} is off; is it Q + (G − Q)/N, with the new N?",
                )
    return "right: ask who moved, do not count levels."
