"""Checkers for chapter 14, MAML."""

import numpy as np

from course_lib.checks.answer import blame, checker, close, expect, numbers, unchanged


@checker
def three_starts(answers) -> str:
    joint, first, second = numbers(answers, 3)
    is_ = lambda got, want: abs(got - want) < 5e-3  # noqa: E731
    expect(
        not (is_(joint, 0.25) and is_(second, 0.75)),
        "the ends are swapped: joint training listens to the steep task, which stands at 1.",
    )
    expect(
        not is_(joint, 0.5), "joint training does not take the middle: a task pulls with weight h, so 3 to 1."
    )
    expect(is_(joint, 0.75), "joint training: the weights are h, and θ = Σ h c / Σ h.")
    expect(
        not is_(first, 0.25), "that is MAML: first-order MAML has one factor (1 − αh) in its weight, not two."
    )
    expect(is_(first, 0.5), "first-order MAML: the weights are h (1 − αh). Both come out as ¾.")
    expect(not is_(second, 0.5), "MAML has the factor (1 − αh) twice in its weight: h (1 − αh)².")
    expect(is_(second, 0.25), "MAML: the weights are h (1 − αh)², that is 9/16 and 3/16.")
    return "right: the more a method knows about the step to come, the less it cares for the steep task."


def _problems(rng: np.random.Generator):
    """Tasks of one parameter with their curvatures and centres, a start, a step size."""
    for M, alpha in ((2, 0.2), (5, 0.05), (1, 0.3), (7, 0.45)):
        yield rng.normal(), rng.uniform(0.3, 4, M), rng.normal(size=M), alpha


@checker
def many_steps(method) -> str:
    for theta, h, c, alpha in _problems(np.random.default_rng(0)):
        for K in (2, 1, 3, 0):
            got = unchanged(lambda h, c: method(theta, h, c, alpha, K), h, c)
            pull, left = h * (theta - c), 1 - alpha * h
            mistakes = {
                "this is the first-order answer: φ moves with θ, so one more factor (1 − αh)^K is due.": (
                    pull * left**K
                ).mean(),
                "you add the tasks up: the objective is their mean.": (pull * left ** (2 * K)).sum(),
                "one factor (1 − αh) too few: every one of the K steps brings its own.": (
                    pull * left ** (K + 1)
                ).mean(),
                "after K steps the distance is (1 − αh)^K (θ − c), not (1 − Kαh) (θ − c).": (
                    pull * (1 - K * alpha * h) ** 2
                ).mean(),
                "this is the slope without any step: where did the inner loop go?": pull.mean(),
            }
            want = (pull * left ** (2 * K)).mean()
            for sentence, mistake in mistakes.items():
                blame(got, mistake, sentence, want)
            close(got, want, f"at K = {K} the slope is off: is it the mean of h (1 − αh)^(2K) (θ − c)?", 1e-9)
    return "right. With K growing, only tasks that barely move in the inner loop are heard."


@checker
def rate_slope(method) -> str:
    for theta, h, c, alpha in _problems(np.random.default_rng(1)):
        got = unchanged(lambda h, c: method(theta, h, c, alpha), h, c)
        off, left = theta - c, 1 - alpha * h
        want = (-(h**2) * left * off**2).mean()
        mistakes = {
            "the sign is wrong: with αh < 1 a larger step lowers the loss.": -want,
            "you add the tasks up: the objective is their mean.": want * len(h),
            "this is the slope in θ: differentiate by α.": (h * left**2 * off).mean(),
            "one h is missing: the inner slope h (θ − c) and the outer slope have one each.": (
                -h * left * off**2
            ).mean(),
            "the outer slope is taken at φ, not at θ: there the distance is (1 − αh) (θ − c).": (
                -(h**2) * off**2
            ).mean(),
        }
        for sentence, mistake in mistakes.items():
            blame(got, mistake, sentence, want)
        close(
            got, want, "the slope is off: ∂φ/∂α is minus the inner slope; times the outer slope at φ.", 1e-9
        )
    return "right: minus the inner slope at θ times the outer slope at φ. If they agree, lengthen the step."


def _bowl(seed: int, curved: float):
    """A gradient function in three dimensions, ∇L and its Hessian at a point."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(3, 3))
    A = A + A.T
    grad = lambda x: A @ x + curved * np.sin(3 * x)  # noqa: E731
    return rng, grad, lambda x: A + curved * np.diag(3 * np.cos(3 * x))


@checker
def back_through(method) -> str:
    for seed, curved, alpha in ((0, 0.0, 0.1), (1, 0.7, 0.3), (2, 0.7, 1.0), (3, 2.0, 0.01)):
        rng, grad, hessian = _bowl(seed, curved)
        theta, u = rng.normal(size=(2, 3))
        got = unchanged(lambda theta, u: method(grad, theta, u, alpha), theta, u)
        Hu = hessian(theta) @ u
        mistakes = {
            "this is the first-order answer, u itself: subtract α times the change of the gradient.": u,
            "the sign is wrong: φ = θ − α ∇L(θ), so it is u minus α H u.": u + alpha * Hu,
            "this is H u alone: it is u minus α times that.": Hu,
            "u is missing: φ moves with θ one to one, and a little less where the loss is curved.": -alpha
            * Hu,
            "α is missing before H u.": u - Hu,
            "you divide by ε where the two points are 2ε apart.": u - 2 * alpha * Hu,
        }
        for sentence, mistake in mistakes.items():
            blame(got, mistake, sentence, u - alpha * Hu, 1e-4)
        sentence = "this is not u − α H u: with a small ε, [∇L(θ + εu) − ∇L(θ − εu)] / 2ε is H u."
        close(got, u - alpha * Hu, sentence, 1e-4)
    return "right: two gradients in place of a second derivative. Some MAML code does this."


def _first_order(theta, slopes, alpha, K, leak=False, at_start=False, total=False) -> np.ndarray:
    phi, out = theta, np.zeros_like(theta)
    for slope in slopes:
        phi = phi if leak else theta
        for _ in range(K):
            phi = phi - alpha * slope(phi)
        out = out + slope(theta if at_start else phi)
    return out if total else out / len(slopes)


@checker
def repaired_first_order(method) -> str:
    for seed, M, K, alpha in (
        (0, 3, 1, 0.1),
        (1, 2, 3, 0.2),
        (2, 4, 2, 0.05),
        (3, 1, 5, 0.1),
        (4, 3, 0, 0.1),
    ):
        rng = np.random.default_rng(seed)
        theta, slopes = rng.normal(size=2), [_bowl(10 * seed + m, 0.5)[1] for m in range(M)]
        slopes = [lambda x, s=s: s(np.append(x, 0.0))[:2] for s in slopes]
        got = unchanged(lambda theta: method(theta, slopes, alpha, K), theta)
        model = theta, slopes, alpha, K
        want = _first_order(*model)
        mistakes = {
            "it is the colleague's function still: from where does the second task start?": _first_order(
                *model, leak=True
            ),
            "the outer slope is that at φ, after the steps, not at θ.": _first_order(*model, at_start=True),
            "divide by the number of tasks: it is their mean.": _first_order(*model, total=True),
            "take all K steps: you took a different number.": _first_order(
                theta, slopes, alpha, max(K - 1, 0)
            ),
        }
        for sentence, mistake in mistakes.items():
            blame(got, mistake, sentence, want)
        close(got, want, "the direction is off: change one line only, and leave the others alone.", 1e-9)
    return "right: every task starts from θ, whatever the others did."
