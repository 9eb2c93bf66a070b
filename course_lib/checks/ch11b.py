"""Checkers for chapter 11b, trust regions and PPO."""

import numpy as np
import torch

from course_lib.agents.inverse import soft_policy
from course_lib.agents.policy_gradient import ppo_loss
from course_lib.checks.answer import Wrong, blame, checker, close, expect, unchanged
from course_lib.oracles.gradients import fisher, policy_gradient
from course_lib.worlds.mdp import random_mdp


@checker
def who_still_pushes(answer) -> str:
    expect(isinstance(answer, str), f"your answer is {answer!r}: give the letters as one text, such as 'AB'.")
    letters = {c for c in answer.upper() if c.isalpha()}
    expect(letters <= set("ABCDE"), f"your answer is {answer!r}: the samples are called A to E.")
    expect("E" in letters, "E has a ratio of 1.1, inside 0.8 … 1.2: nothing is clipped there.")
    expect(
        "A" not in letters,
        "A was good and is already 1.3 times as likely: it has gained enough, the clipped term is the smaller one.",
    )
    expect(
        "D" not in letters,
        "D was bad and is already rarer by 0.3: it has gained enough, and min takes the flat term.",
    )
    expect(
        "B" in letters,
        "B was bad and has become likelier: 1.3·(−2) is below 1.2·(−2), so min takes the unclipped term.",
    )
    expect(
        "C" in letters,
        "C was good and has become rarer: 0.7·2 is below 0.8·2, so min takes the unclipped term.",
    )
    return "right: the clip is flat only where the sample has gained enough already."


@checker
def trust_region_step(method) -> str:
    rng = np.random.default_rng(3)
    for S, A, delta in ((3, 2, 0.01), (5, 3, 0.5), (4, 4, 1e-4)):
        world = random_mdp(S, A, 2, gamma=0.9, rng=rng)
        theta = rng.normal(size=(S, A))
        g, F = policy_gradient(world, theta)[1], fisher(world, theta)
        x = (np.linalg.pinv(F, rcond=1e-12, hermitian=True) @ g.ravel()).reshape(S, A)
        step = unchanged(lambda g, x: method(g, x, delta), g, x)
        expect(
            np.shape(step) == x.shape,
            f"the step has shape {np.shape(step)}: give one of the shape of x, {x.shape}.",
        )
        want = np.sqrt(2 * delta / (g * x).sum()) * x
        blame(step, want / np.sqrt(2), "half the quadratic form is the divergence: the 2 is missing.")
        blame(
            step,
            delta * x,
            "δ is a divergence, not a step size: what is the divergence of the step x itself?",
        )
        blame(step, want**2 / x, "the divergence grows with the square of the step: take a root.")
        blame(step, -want, "this step goes down.")
        kl = 0.5 * np.ravel(step) @ F @ np.ravel(step)
        close(
            kl / delta,
            1.0,
            "the quadratic form ½ xᵀFx of your step is not δ. (Note that xᵀFx = gᵀx for x = F⁻¹g.)",
        )
        close(step, want, "the divergence is δ, but the step does not go along x.")
    return "right: now the length says how far the policy moves."


@checker
def normal_score(method) -> str:
    rng = np.random.default_rng(4)
    for _ in range(5):
        a, mu, log_std = rng.normal(size=3)
        got = method(a, mu, log_std)
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise Wrong("give two numbers: the derivatives with respect to μ and to the logarithm of σ.")
        z = (a - mu) / np.exp(log_std)
        if np.allclose(float(got[0]), -z / np.exp(log_std)):
            raise Wrong("the first has the wrong sign: raising μ towards a makes a likelier.")
        if np.allclose(float(got[0]), z):
            raise Wrong("the first is off by a factor σ: the square in the exponent is divided by σ².")
        close(
            got[0],
            z / np.exp(log_std),
            "the first is not the derivative of −(a − μ)²/(2σ²) with respect to μ.",
        )
        if np.allclose(float(got[1]), (z**2 - 1) / np.exp(log_std)):
            raise Wrong(
                "the second is the derivative with respect to σ; with respect to its logarithm it is σ times that."
            )
        if np.allclose(float(got[1]), z**2):
            raise Wrong("the second forgets that log π contains −log σ too.")
        close(
            got[1],
            z**2 - 1,
            "the second is not the derivative of −(a − μ)²/(2σ²) − log σ with respect to log σ.",
        )
    return "right: surprising actions widen the bell, usual ones narrow it, if they were good."


@checker
def soft_advantage(method) -> str:
    rng = np.random.default_rng(5)
    for eta in (0.1, 0.5, 2.0):
        Q, V, pi = rng.normal(size=(4, 3)), rng.normal(size=4), rng.dirichlet(np.ones(3), size=4)
        got = unchanged(lambda Q, V, pi: method(Q, V, pi, eta), Q, V, pi)
        want = Q - eta * np.log(pi) - V[:, None]
        for mistake, sentence in (
            (Q - V[:, None], "the entropy is missing: what does taking a pay besides Q?"),
            (
                Q + eta * np.log(pi) - V[:, None],
                "the sign is turned: rare actions are paid more, −η log π(a|s).",
            ),
            (Q - np.log(pi) - V[:, None], "η is missing."),
            (Q - eta * np.log(pi), "this is not yet an advantage: take away the value of the state."),
        ):
            blame(got, mistake, sentence)
        close(got, want, "the table is off: is it Q − η log π − V, with V for each row?")
        world = random_mdp(4, 3, 2, gamma=0.9, rng=rng)
        best, soft = soft_policy(world, temperature=eta)
        zero = method(world.backup(soft), soft, best, eta)
        close(zero, np.zeros((4, 3)), "at the soft optimum it must be 0 for every action.", 1e-6)
    return "right. At the soft optimum it is 0 for every action: nobody gains by changing."


@checker
def repaired_loss(method) -> str:
    generator = torch.Generator().manual_seed(11)
    for clip in (0.2, 0.1, 0.5):
        start = 0.6 * torch.randn(60, generator=generator, dtype=torch.float64)
        old, adv = torch.randn(2, 60, generator=generator, dtype=torch.float64)
        now = (old + start).requires_grad_(True)
        loss = method(now, old, adv, clip)
        expect(
            isinstance(loss, torch.Tensor) and loss.ndim == 0,
            "the loss must be a single number, as a tensor: take the mean.",
        )
        expect(loss.requires_grad, "the loss has no gradient: keep everything in torch.")
        want = ppo_loss(now, old, adv, clip)
        (slope,) = torch.autograd.grad(loss, now, retain_graph=True)
        (right,) = torch.autograd.grad(want, now)
        ratio = (now - old).exp().detach()
        back = ((ratio > 1 + clip) & (adv < 0)) | ((ratio < 1 - clip) & (adv > 0))
        far = ((ratio > 1 + clip) & (adv > 0)) | ((ratio < 1 - clip) & (adv < 0))
        expect(
            not torch.allclose(loss, -want) or bool(torch.allclose(loss, want)),
            "the sign is turned: what is made small must be minus the objective.",
        )
        expect(
            bool((slope[back].abs() > 0).all()),
            "samples that have moved the wrong way still have no slope: which of the clipped and the unclipped term "
            "should count there?",
        )
        expect(
            bool((slope[far].abs() == 0).all()),
            "samples that have gained more than the clip allows still have a slope: take the smaller of the two terms.",
        )
        close(loss.item(), want.item(), "the loss is off: is it minus the mean of the smaller term?")
        close(
            slope.numpy(), right.numpy(), "the loss is right and its slopes are not: is something detached?"
        )
    return "right: flat where enough is gained, and the way back stays open."
