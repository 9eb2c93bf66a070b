"""Checkers for chapter 13, recurrent metapolicies."""

import numpy as np

from course_lib.checks.answer import Wrong, checker, close, expect, unchanged


@checker
def what_goes_in(numbers) -> str:
    try:
        got = np.asarray(numbers, dtype=float).ravel()
    except (TypeError, ValueError):
        raise Wrong("give a list of nine numbers.") from None
    expect(
        len(got) == 9, f"you give {len(got)} numbers: four for the arm, four for its reward, one for the end."
    )
    for mistake, sentence in (
        ([0, 1, 0, 0, 0, 0, 0, 0, 1], "arms are counted from 0: arm 2 is the third."),
        ([0, 0, 1, 0, 0, 0, 1, 0, 1], "it got nothing: the reward at the arm's place is 0."),
        ([0, 0, 1, 0, 0, 0, -1, 0, 1], "nothing is 0, not −1."),
        ([0, 0, 1, 0, 0, 0, 0, 0, 0], "each pull is an episode here: it has ended, so the flag is 1."),
        ([0] * 9, "nothing at all is what it sees before the first pull. Which arm was pulled?"),
    ):
        expect(not np.array_equal(got, mistake), sentence)
    want = [0, 0, 1, 0, 0, 0, 0, 0, 1]
    close(got, want, "the order is: the arm one-hot, its reward at the arm's place, and the end flag.")
    return "right. The 0 at place 2 of the second block, beside the 1 in the first, says: arm 2 lost."


@checker
def trial_returns(returns) -> str:
    rng = np.random.default_rng(132)
    for T, gamma in ((1, 0.9), (4, 1.0), (7, 0.5), (20, 0.97), (6, 0.0)):
        rewards, ends = rng.normal(size=T), rng.random(T) < 0.4
        ends[T // 2] = True
        got = unchanged(lambda r, e, gamma=gamma: returns(r, e, gamma), rewards, ends)
        want, cut = np.zeros(T), np.zeros(T)
        whole = pieces = 0.0
        for t in range(T - 1, -1, -1):
            whole = rewards[t] + gamma * whole
            pieces = rewards[t] + gamma * pieces * (not ends[t])
            want[t], cut[t] = whole, pieces
        if got is not None and np.shape(got) == (T,):
            known = np.asarray(got, float)
            if not np.allclose(cut, want):
                expect(
                    not np.allclose(known, cut),
                    "you stop at the end of an inner episode: then nothing found in the first one is ever paid for.",
                )
            if not np.allclose(want, rewards.cumsum()):
                expect(
                    not np.allclose(known, rewards.cumsum()),
                    "that is the reward up to now; the return counts what is still to come.",
                )
            if gamma < 1 and T > 1:
                expect(
                    not np.allclose(known, rewards[::-1].cumsum()[::-1]) or gamma == 1,
                    "the discount γ is missing: G_t = r_t + γ G_{t+1}.",
                )
        close(
            got, want, f"with γ = {gamma} the returns are off: G_t = r_t + γ G_{{t+1}}, from the last step."
        )
    return "right. The trial is one long episode, whatever ends inside it."


@checker
def lives_needed(lives) -> str:
    for sd, half in ((1.0, 0.1), (1.5, 0.006), (0.3, 0.02), (2.0, 0.5), (7.0, 0.05)):
        got, want = lives(sd, half), (2.576 * sd / half) ** 2
        expect(got is not None, "your function returns nothing: does it end with a return?")
        expect(np.ndim(got) == 0, f"your answer is {got!r}: give one number.")
        n = float(got)
        for mistake, sentence in (
            ((1.96 * sd / half) ** 2, "1.96 belongs to 95 %; 99 % needs 2.576."),
            (2.576 * sd / half, "the interval shrinks with √N: square it."),
            ((sd / half) ** 2, "that is one standard error; a 99 % interval has 2.576 on each side."),
            (2.576 * (sd / half) ** 2, "the 2.576 is squared too."),
        ):
            if abs(np.ceil(mistake) - np.ceil(want)) > 1:
                expect(abs(n - mistake) > 1, sentence)
        expect(n == int(n), f"{n} is no whole number of lives: round up.")
        expect(n >= want, f"with sd {sd} and half {half}, {n:.0f} lives are too few: 2.576·sd/√N ≤ half.")
        expect(n <= want + 1.001, f"with sd {sd} and half {half}, fewer than {n:.0f} lives are enough.")
    return "right. Half the width takes four times the lives; pairing takes the sd down instead."


@checker
def repaired_trial(trial) -> str:
    rng = np.random.default_rng(133)
    for T in (1, 2, 5, 9):
        for K in (2, 3):
            script, weights = rng.random((T + 1, K)), rng.normal(size=(2 * K + 1, 4))
            x, h = np.zeros(2 * K + 1), rng.normal(size=4)
            log, want_log = [], []
            got = trial(*_world(script, weights, log), x.copy(), h.copy(), T)
            want = _by_hand(*_world(script, weights, want_log), x, h, T)
            expect(got is not None, "your function returns nothing: return the total reward.")
            expect(len(log) == T, f"the world was asked {len(log)} times for {T} steps: one action a step.")
            if T > 1 and not np.allclose(log, want_log):
                forgot = []
                _by_hand(*_world(script, weights, forgot), x, h, T, reset=True)
                expect(
                    not np.allclose(log, forgot),
                    "the memory is still emptied when an episode ends: what was learned is lost.",
                )
                raise Wrong(
                    "the actions are not those of a memory that is updated once a step, from what was seen."
                )
            close(
                got,
                want,
                "the total is off: add every reward, over all episodes, and return it.",
            )
    return "right. A new episode is no reason to forget; only a new task is."


def _world(script: np.ndarray, weights: np.ndarray, log: list) -> tuple:
    """A cell, a policy, a world and inputs that tell every history apart; the log gets actions and
    memories."""
    K, step = script.shape[1], [0]

    def cell(x, h):
        return np.tanh(0.9 * np.roll(h, 1) + np.asarray(x, float) @ weights)

    def act(h):
        log.append(float(np.sum(h * np.arange(1, 5))))
        return int(abs(h[0]) * 1e6) % K

    def world(a):
        step[0] += 1
        return float(script[step[0], a]), step[0] % 2 == 0

    def inputs(a, r, end):
        return np.concatenate([np.eye(K)[a], r * np.eye(K)[a], [float(end)]])

    return cell, act, world, inputs


def _by_hand(cell, act, world, inputs, x, h, T, reset=False) -> float:
    empty, total = h, 0.0
    for _ in range(T):
        h = cell(x, h)
        a = act(h)
        r, end = world(a)
        x, total = inputs(a, r, end), total + r
        if reset and end:
            h = empty
    return total
