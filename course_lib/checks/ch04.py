"""Checkers for chapter 04, bandits and exploration."""

import numpy as np

from course_lib.checks.answer import Wrong, blame, checker, close, expect, unchanged
from course_lib.oracles.bandits import thompson_choice


@checker
def lost_per_pull(answer) -> str:
    expect(isinstance(answer, int | float | np.number), f"your answer is {answer!r}: give one number.")
    for mistake, sentence in (
        (0.045, "0.045 leaves out that exploring may hit the best arm: any of the three arms is pulled."),
        (0.3, "0.3 is lost in a pull that explores; only one pull in ten does."),
        (0.09, "0.09 adds the gaps up: each arm is pulled in a third of the exploring pulls."),
        (0.05, "0.05 is what the exploring pulls earn: what is asked is what they lose against 0.8."),
        (0.77, "0.77 is what it earns at each pull: what does it lose against 0.8?"),
    ):
        expect(abs(answer - mistake) > 1e-6, sentence)
    close(answer, 0.03, "how often does it explore, and what is the average gap of the arms pulled then?")
    return "right: 0.03 at each pull, for ever. This is why its regret is a straight line."


@checker
def new_mean(update) -> str:
    rng = np.random.default_rng(41)
    for length in (1, 2, 5, 40):
        rewards = rng.normal(2, 3, size=length)
        mean = 7.0  # worth nothing while n is 0
        for n, reward in enumerate(rewards):
            before, mean = mean, update(mean, n, reward)
            expect(mean is not None, "your function returns nothing: does it end with a return?")
            if n == 0:
                close(
                    mean,
                    reward,
                    "after the first reward (n = 0) the mean is that reward, whatever it was before.",
                )
            else:
                blame(
                    mean, before + (reward - before) / n, "you divide by n: with this reward there are n + 1."
                )
                blame(
                    mean,
                    (before + reward) / 2 if n > 1 else np.nan,
                    "every reward must count equally: the old mean stands for n of them.",
                )
            want = rewards[: n + 1].mean()
            close(
                mean,
                want,
                "the mean is off: the old one is (sum of n rewards)/n. Add one reward, divide by n + 1.",
            )
    return "right: old + (new − old)/(n + 1). You will meet this line again and again."


@checker
def explore_then_commit(rule) -> str:
    rng = np.random.default_rng(42)
    for m, K in ((1, 2), (3, 2), (4, 5), (2, 7), (10, 3)):
        means = rng.random(K)
        first = means + 0.2 * rng.normal(size=(m, K))
        got = unchanged(rule, first, means)
        expect(got is not None and len(got) == 2, "return two things: the arm, and the regret.")
        arm, lost = got
        expect(
            np.ndim(arm) == 0 and 0 <= int(arm) < K, f"your arm is {arm!r}: give a number from 0 to {K - 1}."
        )
        best = int(first.mean(axis=0).argmax())
        if int(arm) == int(means.argmax()) != best:
            raise Wrong("you commit by the true means: nobody knows them. Use the rewards.")
        expect(
            int(arm) == best, "that arm did not have the best mean reward: average each column of `first`."
        )
        gaps = means.max() - means
        if m > 1:
            blame(lost, gaps.sum(), "each arm is pulled m times, not once.")
        blame(
            lost,
            m * gaps.mean(),
            "that is the average over the arms: every one is pulled m times, add them up.",
        )
        blame(
            lost, (means.max() - first).sum(), "regret compares means, not rewards: luck plays no part in it."
        )
        close(lost, m * gaps.sum(), "the regret is off: it is the sum over the arms of gap times pulls.")
    return "right. Commit too early and you are wrong for ever; too late and you have paid for nothing."


@checker
def worth_of_two(worth) -> str:
    for wins, losses, known in (
        (0, 0, 0.6),
        (0, 0, 0.5),
        (2, 1, 0.7),
        (0, 3, 0.4),
        (5, 1, 0.2),
        (1, 0, 0.75),
    ):
        for left in (1, 2, 3, 6, 8):
            got, p = worth(wins, losses, left, known), (1 + wins) / (2 + wins + losses)
            want = _known_and_unknown(wins, losses, left, known)
            if left > 1:
                mean = max(p, known) * left
                if want > mean + 1e-6:
                    blame(
                        got, mean, "that is the worth without learning: what do you know after a pull of B?"
                    )
            if got is not None and np.ndim(got) == 0 and got > left:
                raise Wrong("more than one reward a pull: the win adds 1, with its probability p.")
            close(
                got,
                want,
                f"with {wins} wins, {losses} losses, {left} pulls left and known = {known} it is {want:.4f}: "
                "the larger of pulling A (known, and the same belief) and pulling B (1 after a win, a new belief).",
            )
    return "right: the value of trying B holds what you will know afterwards."


@checker
def repaired_thompson(rule) -> str:
    rng, times = np.random.default_rng(43), 4_000
    for wins, losses in (
        ((0, 0), (0, 0)),
        ((6, 0), (4, 1)),
        ((9, 5), (1, 1)),
        ((2, 1), (8, 3)),
        ((0, 1), (2, 9)),
    ):
        wins, losses = np.array(wins, float), np.array(losses, float)
        counts = wins + losses
        picks = np.array([unchanged(lambda n, s: rule(n, s, rng), counts, wins) for _ in range(times)])
        expect(
            picks.shape == (times,) and bool(np.isin(picks, (0, 1)).all()), "return the number of one arm."
        )
        share, want = np.mean(picks == 1), thompson_choice(30)(counts, wins)[1]
        expect(
            len(set(picks.tolist())) > 1 or not 0.01 < want < 0.99,
            "it always picks the same arm: one draw from each arm's Beta belief, anew at each pull.",
        )
        if abs(share - want) > 0.035:
            raise Wrong(
                f"with {_said(wins)} wins and {_said(counts)} pulls it picks arm 1 in {share:.2f} of the cases, "
                f"and {want:.2f} is right: what do the two parameters of the Beta count?"
            )
    picks = [rule(np.array([5.0, 5, 5]), np.array([0.0, 1, 5]), rng) for _ in range(200)]
    expect(np.mean(np.equal(picks, 2)) > 0.8, "with three arms it does not find the best one: use them all.")
    return "right: wins and losses. Now it stops exploring when it knows."


def _known_and_unknown(wins: int, losses: int, left: int, known: float) -> float:
    """The best expected reward, backward through a table over the wins and losses of B."""
    V = np.zeros((left + 1, left + 1))
    for n in range(left - 1, -1, -1):  # pulls done
        won, lost = np.indices((n + 1, n + 1))
        p = (1 + wins + won) / (2 + wins + losses + won + lost)
        B = p * (1 + V[1 : n + 2, : n + 1]) + (1 - p) * V[: n + 1, 1 : n + 2]
        V = np.maximum(known + V[: n + 1, : n + 1], B)
    return float(V[0, 0])


def _said(x: np.ndarray) -> str:
    return " and ".join(f"{v:.0f}" for v in x)
