"""Checkers for chapter 21, frontiers."""

import numpy as np

from course_lib.checks.answer import Wrong, blame, checker, close, expect, unchanged


@checker
def safe_recordings(letters) -> str:
    if not isinstance(letters, str | list | tuple | set):
        raise Wrong('give the letters of the safe heaps as one text, such as "bd".')
    got = {c for c in "".join(map(str, letters)).lower() if c.isalpha()}
    expect(got <= set("abcd"), f"{letters!r}: the heaps are a, b, c and d.")
    expect("b" not in got, "b: the X-ray is not in the recording, so the doctor's choice tells about it.")
    expect("d" not in got, "d: the head start came from this very task: the first pull already tells.")
    expect("a" in got, "a: UCB1 chooses by what stands in the recording, and by nothing else.")
    expect("c" in got, "c: its pulls depend on nothing, so they tell nothing. Useless, but no delusion.")
    return "right: what matters is not how good the player was, but whether he knew more than the recording."


@checker
def windowed(weights) -> str:
    rng = np.random.default_rng(212)
    for T, w in ((1, 1), (4, 2), (6, 1), (6, 3), (5, 9)):
        scores = rng.normal(scale=2, size=(T, T))
        got = unchanged(lambda s, w=w: weights(s, w), scores)
        t = np.arange(T)
        ago = t[:, None] - t

        def softmax(seen, scores=scores, axis=1):
            e = np.exp(scores) * seen
            with np.errstate(invalid="ignore"):
                return e / e.sum(axis=axis, keepdims=True)

        want = softmax((ago >= 0) & (ago < w))
        blame(got, softmax(ago >= 0), "this reads everything before: the window is missing.", want)
        blame(got, softmax(ago < w), "this reads the future too: u ≤ t is missing.", want)
        blame(got, softmax((ago >= 0) & (ago <= w)), f"this reads {w + 1} steps where w is {w}.", want)
        blame(got, softmax((ago <= 0) & (-ago < w)), "rows are the steps that read, columns are read.", want)
        masked = softmax(np.ones((T, T))) * ((ago >= 0) & (ago < w))
        blame(got, masked, "cut first, then make each row sum to 1.", want)
        close(got, want, f"with T = {T} and w = {w} the weights are off: step t reads t − w + 1 to t.")
    big = np.array([[1000.0, 0.0], [1000.0, 1001.0]])
    got = weights(big.copy(), 2)
    want = np.array([[1.0, 0.0], [1 / (1 + np.e), np.e / (1 + np.e)]])
    close(got, want, "with scores of 1000 your weights are no numbers: subtract the largest score first.")
    return "right. Long lives are read through such windows, and what leaves the window is forgotten."


@checker
def lying_note(plan) -> str:
    for doors, price, lie in (
        (6, 0.3, 0.0),
        (6, 0.3, 0.1),
        (6, 0.3, 0.25),
        (8, 0.1, 0.5),
        (2, 0.05, 1.0),
        (3, 0.0, 1.0),
        (4, 0.1, 0.05),
        (2, 0.2, 0.3),
        (9, 0.45, 0.05),
    ):
        got = plan(doors, price, lie)
        trust, other = 1 - lie, lie / (doors - 1)
        want = max(3 / doors, max(trust, other) - price)
        blame(got, max(3 / doors, trust - price), "a note that lies often enough tells as well: "
              "then open a door that it does not name.", want)  # fmt: skip
        blame(
            got, max(trust, other) - price, "reading is not a must: guessing twice may be worth more.", want
        )
        blame(got, max(2 / doors, max(trust, other) - price), "guessing brings 3/n: 1/n first, and then 2/n, "
              "for a door that was wrong is not opened again.", want)  # fmt: skip
        blame(got, max(3 / doors, max(trust, other)), "and the price?", want)
        close(got, want, f"with {doors} doors, price {price} and lie {lie} it is off.")
    return "right. What counts is how much better the best answer to a message is, not whether it is true."


@checker
def told(nats) -> str:
    for possible in ([6, 6, 1], [6, 5, 5, 1], [4, 3, 2, 1], [2, 2], [8, 7, 1, 1, 1]):
        got = unchanged(nats, np.array(possible))
        log = np.log(possible)
        want = log[:-1] - log[1:]
        blame(got, -want, "the sign: the entropy falls, and what it falls by was told.", want)
        blame(got, want / np.log(2), "these are bits; nats take the natural logarithm.", want)
        blame(got, -np.diff(np.array(possible, float)), "doors are not nats: take the logarithm.", want)
        blame(got, log, "this is the entropy itself; what a step tells is how much it falls.", want)
        blame(got, log[0] - log[1:], "this is what was told up to now; each step only its own part.", want)
        close(got, want, f"for {possible}: log before the step, minus log after it.")
    return "right. However it was found out, the parts add up to log 6 once the door is known."


@checker
def repaired_weights(weights) -> str:
    rng = np.random.default_rng(215)
    for H, episodes in ((2, 2), (3, 2), (1, 3), (4, 2)):
        rewards = rng.normal(size=H * episodes)
        got = unchanged(lambda r, H=H: weights(r, H), rewards)
        later = rewards.copy()
        later[:H] = 0
        want = later[::-1].cumsum()[::-1]
        cut = np.concatenate([part[::-1].cumsum()[::-1] for part in later.reshape(-1, H)])
        blame(got, cut, "the returns still end with the episode: reading the note is credited with nothing.",
              want)  # fmt: skip
        whole = rewards[::-1].cumsum()[::-1]
        blame(got, whole, "this is RL²: the first episode's rewards count here.", want)
        blame(got, np.where(np.arange(len(rewards)) < H, 0, whole), "you forget the first episode's actions: "
              "it is their *rewards* that do not count.", want)  # fmt: skip
        blame(got, later, "these are rewards; an action is credited with all that follow it.", want)
        blame(got, later.cumsum(), "this sums what was; an action is credited with what follows.", want)
        close(got, want, f"with H = {H}: strike out the first H rewards, then sum from the end, to the end.")
    return "right: the price of the note is forgiven, and its fruits are credited."
