"""Checkers for chapter 19, fine-tuning."""

import numpy as np
from scipy.stats import norm

from course_lib.checks.answer import Wrong, blame, checker, close, expect, numbers, unchanged


@checker
def moving_numbers(answers) -> str:
    weights, biases, head = numbers(answers, 3)
    expect(weights != 26, "weights: 26 are all; the biases stay.")
    expect(weights == 20, "weights: 3·4 in the first layer and 4·2 in the second.")
    expect(biases != 9, "biases: the inputs have none; 4 in the hidden layer and 2 at the output.")
    expect(biases == 6, "biases: one for each hidden unit and one for each output.")
    expect(head != 8, "head: the last layer has biases as well.")
    expect(head == 10, "head: the last layer, its 4·2 weights and 2 biases.")
    return "right: freezing the biases freezes 6 of 26. In wide networks it is a far smaller share."


def _loss(n: int, noise: float, taus: np.ndarray, free: list[int]) -> float:
    k = len(free)
    if k and n <= k + 1:
        return np.inf
    left = (taus**2).sum() - (taus[free] ** 2).sum()
    return (noise**2 + left) * ((n - 1) / (n - k - 1) if k else 1)


@checker
def what_to_free(method) -> str:
    cases = [(6, 1.0, [0.6]), (6, 1.0, [0.4]), (5, 0.01, [1.0, 0.002, 0.9, 0.001, 1.1])]
    for n, noise, D in ((10, 0.5, 6), (20, 1.0, 9), (200, 0.1, 5), (3, 0.3, 8), (9, 3.0, 5)):
        rng = np.random.default_rng(n)
        cases.append((n, noise, rng.permutation(0.8 ** np.arange(D)) * rng.uniform(0.8, 1.2)))
    for n, noise, taus in cases:
        taus, D = np.array(taus), len(taus)
        got = unchanged(lambda taus: method(n, noise, taus), taus)
        expect(got is not None, "your function returns nothing: does it end with a return?")
        try:
            got = sorted(int(j) for j in got)
        except (TypeError, ValueError):
            raise Wrong(f"your answer is {got!r}: give a list of positions.") from None
        expect(len(set(got)) == len(got), f"a position stands twice in {got}.")
        expect(all(0 <= j < D for j in got), f"{got}: positions run from 0 to {D - 1}.")
        order = np.argsort(-taus)
        sizes = [_loss(n, noise, taus, list(order[:k])) for k in range(D + 1)]
        k = int(np.argmin(sizes))
        calm = sorted(int(j) for j in np.argsort(taus)[:k])
        expect(
            got != calm or k in (0, D), "these are the calm ones: free those that differ most between tasks."
        )
        expect(
            not (k == 0 and got),
            f"with {n} points and noise {noise} nothing should move: k = 0 is a candidate.",
        )
        expect(
            len(got) == k, f"you free {len(got)} of {D} for {n} points; the formula's lowest loss is at {k}."
        )
        expect(
            got == sorted(order[:k].tolist()), f"the right number, but not those with the largest τ: {got}."
        )
    return "right: restless parameters first, as many as the data can pay for."


def _returns(seed: int, M: int, V: int, change: float, spread: float) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    level, gain = rng.normal(size=(M, 1)), change + spread * rng.normal(size=(M, 1))
    shapes = (V, V, V + 3, V + 3)
    return [level + gain * (i % 2) + 2 * rng.normal(size=(M, n)) for i, n in enumerate(shapes)]


@checker
def gate_report(method) -> str:
    for seed, M, V, change, spread in ((0, 30, 5, 0.0, 0.0), (1, 12, 8, 0.5, 1.0), (2, 40, 4, -1.0, 2.0)):
        data = _returns(seed, M, V, change, spread)
        got = unchanged(lambda *x: method(*x), *data)
        expect(
            isinstance(got, tuple | list | np.ndarray) and len(got) == 2, "return two numbers: seen, fresh."
        )
        seen, fresh = (data[i + 1].mean(1) - data[i].mean(1) for i in (0, 2))
        keep = seen > 0
        want = (seen * keep).mean(), (fresh * keep).mean()
        mistakes = {
            "these are the means over the kept tasks; what is discarded changes by 0 and counts.": (
                seen[keep].mean(),
                fresh[keep].mean(),
            ),
            "nothing is discarded here: where the change is not kept, it is 0.": (seen.mean(), fresh.mean()),
            "the fresh episodes decided for themselves: only the validation episodes may decide.": (
                want[0],
                (fresh * (fresh > 0)).mean(),
            ),
            "the wrong way round: seen first, then fresh.": want[::-1],
            "these are sums over the tasks: give means.": (want[0] * M, want[1] * M),
        }
        for sentence, mistake in mistakes.items():
            blame(got, mistake, sentence, want)
        both = np.asarray([np.mean(x) for x in got], float)
        expect(abs(both[0] - want[0]) < 1e-9, "what is seen: the mean over all tasks of the kept changes.")
        close(
            both, want, "the fresh number: the same tasks are kept, and their change is measured anew.", 1e-9
        )
    return "right: one set of episodes decides, another one reports."


@checker
def episodes_to_decide(method) -> str:
    for sd, loss, risk in (
        (3.0, 1.0, 0.05),
        (1.0, 0.2, 0.01),
        (5.0, 2.0, 0.1),
        (0.1, 1.0, 0.05),
        (4.0, 0.3, 0.2),
    ):
        got, z = method(sd, loss, risk), norm.ppf(1 - risk)
        expect(got is not None, "your function returns nothing: does it end with a return?")
        want = int(np.ceil(2 * (z * sd / loss) ** 2))
        small, two_sided = int(np.ceil((z * sd / loss) ** 2)), norm.ppf(1 - risk / 2)
        expect(float(got) == int(got), f"{got}: give a whole number of episodes.")
        expect(
            got == want or got != small, "both means are noisy: their difference has the variance 2 sd²/V."
        )
        far = int(np.ceil(2 * (two_sided * sd / loss) ** 2))
        expect(got == want or got != far, "one-sided: only a mistake upwards keeps a bad change.")
        expect(got == want or got != want - 1, "round up: one episode less is more risk than asked for.")
        expect(
            got == want,
            f"for sd {sd}, loss {loss}, risk {risk}: {got} is not {want}. Which z goes with the risk?",
        )
    return "right. The number grows with the square of sd/loss: small harm is dear to detect."


@checker
def repaired_step(method) -> str:
    for seed, alpha, decay in ((0, 0.1, 0.3), (1, 0.5, 0.01), (2, 0.2, 0.0)):
        rng = np.random.default_rng(seed)
        params = {name: rng.normal(size=shape) for name, shape in _SHAPES.items()}
        grads = {name: rng.normal(size=shape) for name, shape in _SHAPES.items()}
        for free in (["W1", "b1"], ["b0", "b1"], list(_SHAPES), []):
            before = {name: p.copy() for name, p in params.items()}
            got = method(params, grads, free, alpha, decay)
            expect(isinstance(got, dict), "return the new parameters: a dict with the same names.")
            expect(set(got) == set(params), f"names {sorted(got)} come back; {sorted(params)} went in.")
            same = all(np.array_equal(params[name], before[name]) for name in params)
            expect(same, "your function changes the parameters that it was given: work on new arrays.")
            for name, p in params.items():
                if name not in free:
                    expect(np.array_equal(got[name], p), f"{name} is frozen, and moves still.")
                    continue
                want = p - alpha * grads[name] - alpha * decay * p
                plain = p - alpha * grads[name]
                blame(got[name], plain, f"{name} is free: it should decay as well as descend.", want)
                close(got[name], want, f"{name} is free: take the step and the decay as before.", 1e-9)
    return "right: frozen means left alone by everything, not given a gradient of 0."


_SHAPES = {"W0": (3, 4), "b0": (4,), "W1": (4, 2), "b1": (2,)}
