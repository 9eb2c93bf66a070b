"""Checkers for chapter 07, Q-learning and its family."""

from numbers import Real

import numpy as np

from course_lib.checks.answer import Wrong, blame, checker, close, expect, unchanged


@checker
def three_targets(answers) -> str:
    expect(
        all(isinstance(x, Real) for x in answers) and len(answers) == 3,
        f"your answers are {answers!r}: give three numbers.",
    )
    on_policy, off_policy, expected = map(float, answers)
    expect(on_policy != -4, "SARSA: −4 is the target; the TD error is the target minus the old guess −4.")
    close(on_policy, 0.0, "SARSA: the reward, plus Q(s′, a′) for action 0, minus the old guess.", 1e-6)
    close(off_policy, 2.0, "Q-learning: the reward, plus the largest of row s′, minus the old guess.", 1e-6)
    expect(
        abs(expected - 2.0) > 1e-6, "expected SARSA: with ε = 0.4 a random action comes in, too; average it."
    )
    expect(
        abs(expected - 1.0) > 1e-6,
        "expected SARSA: that is the plain mean; with probability 0.6 it is greedy.",
    )
    close(expected, 1.6, "expected SARSA: 0.6 times the best plus 0.4 times the plain mean of row s′.", 1e-6)
    return "0, 2 and 1.6: three opinions about the same step."


@checker
def step_sizes(letters) -> str:
    expect(isinstance(letters, str | list | tuple | set), f"your answer is {letters!r}: give letters.")
    given = {x for x in "".join(letters).upper() if x.isalpha()}
    expect(bool(given) and given <= set("ABCDEF"), "give letters from A to F.")
    hints = {
        "B": "B: a constant squared, added for ever, is infinite: the noise stays.",
        "C": "C: the squares are n^−0.8, and they add up to infinity.",
        "E": "E: the steps add up to a finite number: the table may stop half way.",
        "A": "A: after many visits it behaves like 100/n. What do the sums do?",
        "D": "D: the squares are n^−1.2. Is their sum finite?",
        "F": "F: finitely many first steps change neither sum's being finite.",
    }
    for letter in sorted(given ^ set("ADF")):
        raise Wrong(hints[letter])
    return "A, D and F: in the end only the tail counts."


@checker
def update_all(update) -> str:
    rng = np.random.default_rng(71)
    for N, S, A, alpha, gamma in ((1, 3, 2, 0.5, 0.9), (6, 4, 3, 0.1, 1.0), (40, 5, 4, 1.0, 0.7)):
        Q = rng.normal(size=(N, S, A))
        s, s2, a = rng.integers(S, size=N), rng.integers(S, size=N), rng.integers(A, size=N)
        r, terminated = rng.normal(size=N), rng.random(N) < 0.4
        terminated[0] = True
        got = unchanged(lambda *x, a_=alpha, g=gamma: update(*x, a_, g), Q, s, a, r, s2, terminated)
        if np.shape(got) == Q.shape:
            flags = {
                "at a termination the target is r alone: the future counts 0 there.": np.zeros(N, bool),
                "the future counts exactly where the episode has NOT terminated.": ~terminated,
            }
            for sentence, flag in flags.items():
                expect(not np.allclose(got, _updated(Q, s, a, r, s2, flag, alpha, gamma)), sentence)
            undiscounted = _updated(Q, s, a, r, s2, terminated, alpha, 1.0)
            right = _updated(Q, s, a, r, s2, terminated, alpha, gamma)
            expect(
                np.allclose(undiscounted, right) or not np.allclose(got, undiscounted),
                "the discount is missing: γ times the best guess.",
            )
            expect(not np.allclose(got, Q), "the tables are what they were: assign to Q[n, s, a].")
        close(
            got,
            _updated(Q, s, a, r, s2, terminated, alpha, gamma),
            "an entry is off: Q[n, s, a] moves by α (r + γ max_a Q[n, s2] − Q[n, s, a]), each agent in its own table.",
        )
    return "right: hundreds of lives for the price of a few."


def _updated(Q, s, a, r, s2, terminated, alpha, gamma):
    Q = Q.copy()
    for n in range(len(Q)):
        future = 0.0 if terminated[n] else Q[n, s2[n]].max()
        Q[n, s[n], a[n]] += alpha * (r[n] + gamma * future - Q[n, s[n], a[n]])
    return Q


@checker
def clipped_target(target) -> str:
    rng = np.random.default_rng(72)
    for gamma in (0.9, 1.0, 0.5):
        for _ in range(12):
            a, b, r = rng.normal(size=4), rng.normal(size=4), float(rng.normal())
            best = a.argmax()
            got = unchanged(lambda x, y, r=r, g=gamma: target(r, x, y, g, False), a, b)
            want = r + gamma * min(a[best], b[best])
            own = "you take each table's own maximum: the first table names the action for both."
            blame(got, r + gamma * min(a.max(), b.max()), own, want)
            second = "you take the second table's guess even where the first one's is smaller."
            blame(got, r + gamma * b[best], second, want)
            blame(got, r + gamma * max(a[best], b[best]), "the smaller guess counts, not the larger.", want)
            close(got, want, "it is r + γ min(row_a[best], row_b[best]).", 1e-9)
            end = target(r, a, b, gamma, True)
            close(end, r, "at a termination the target is r alone.", 1e-9)
    return "right: it trusts a guess only as far as both tables do."


@checker
def repaired_weights(weights) -> str:
    rng = np.random.default_rng(73)
    for A in (2, 4, 7):
        for epsilon in (0.0, 0.1, 0.5, 1.0):
            row = rng.normal(size=A) - 5
            got = np.asarray(unchanged(lambda x, e=epsilon: weights(x, e), row), dtype=float)
            expect(
                got.shape == (A,), f"give one weight an action, shape ({A},); yours has shape {got.shape}."
            )
            expect(
                abs(got.sum() - 1) < 1e-9,
                f"with {A} actions and ε = {epsilon} your weights add up to {got.sum():.3f}.",
            )
            want = np.full(A, epsilon / A)
            want[row.argmax()] += 1 - epsilon
            close(got, want, "every action gets ε/A, and the best one 1 − ε on top.")
    tied = np.asarray(weights(np.zeros(4), 0.2), dtype=float)
    expect(
        tied.shape == (4,) and bool((tied >= 0.05 - 1e-9).all()) and abs(tied.sum() - 1) < 1e-9,
        "where several actions are best the weights must still add up to 1, with at least ε/A each.",
    )
    return "right: exploring can also hit the best action."
