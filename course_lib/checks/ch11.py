"""Checkers for chapter 11, policy gradients."""

import numpy as np
import torch
from scipy.special import softmax

from course_lib.agents.planning import evaluate
from course_lib.agents.policy_gradient import gae
from course_lib.checks.answer import Wrong, blame, checker, close, expect, unchanged
from course_lib.oracles.gradients import expected_gradient, policy_gradient
from course_lib.worlds.grids import gridworld


@checker
def who_tells_the_truth(answer) -> str:
    expect(isinstance(answer, str), f"your answer is {answer!r}: give the letters as one text, such as 'AB'.")
    letters = {c for c in answer.upper() if c.isalpha()}
    expect(letters <= set("ABCDEF"), f"your answer is {answer!r}: the estimators are called A to F.")
    for letter, inside, sentence in (
        (
            "C",
            False,
            "C takes away something that knows the action: its product with the score has a mean, half the gradient.",
        ),
        ("D", False, "D bootstraps: the critic's error at the next state depends on the action taken."),
        ("F", False, "F counts late visits in full: γ^t is missing, whatever the weight is."),
        (
            "A",
            True,
            "A adds rewards from before t. They are known before the action is drawn, and scores average to 0.",
        ),
        ("B", True, "B subtracts the same number whatever the action: scores average to 0."),
        ("E", True, "in E nothing is bootstrapped: at λ = 1 the critic is only a baseline."),
    ):
        expect((letter in letters) == inside, sentence)
    return "right: a baseline may be as wrong as it likes, as long as it does not know the action."


@checker
def leave_one_out(method) -> str:
    for n, seed in ((2, 0), (5, 1), (40, 2)):
        G = np.random.default_rng(seed).normal(3.0, 2.0, size=n)
        got = unchanged(method, G)
        want = np.array([np.delete(G, k).mean() for k in range(n)])
        blame(got, np.full(n, G.mean()), "this is the mean of all: the episode itself is still in it.")
        blame(got, (G.sum() - G) / n, "there are n − 1 others, not n.")
        blame(got, G - want, "give the baselines; the weights would be G minus them.")
        if np.ndim(got) == 0:
            raise Wrong("give one baseline for each episode: every episode leaves out another one.")
        close(got, want, "each baseline is the mean of the returns of the other episodes.")
    return "right: now no episode is compared with itself, and the estimate has no bias."


@checker
def without_discounted_visits(method) -> str:
    for text_map, gamma, seed in (("S.G\n..P", 0.9, 0), ("S..G", 0.5, 1), ("S.\n.G", 0.99, 2)):
        world = gridworld(text_map, slip=0.2, step_reward=-0.1, gamma=gamma)
        theta = np.random.default_rng(seed).normal(size=world.R.shape)
        got = unchanged(
            lambda P, R, start, terminal, theta: method(P, R, gamma, start, terminal, theta),
            *(np.array(x) for x in (world.P, world.R, world.start, world.terminal, theta)),
        )
        Q = world.backup(evaluate(world, softmax(theta, axis=1)))
        blame(
            got,
            policy_gradient(world, theta)[1],
            "this is the true gradient: the visits still count γ^t.",
        )
        close(
            got,
            expected_gradient(world, theta, Q, 1.0),
            "the table is off: are visits the expected number of steps in each state, d = start + P_πᵀ d over the "
            "states that are not terminal?",
        )
    return "right: this is what most programs climb. Each row points the right way; their balance is another one."


def _stream(seed: int, T: int = 14) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    terminated = rng.random(T) < 0.2
    truncated = (rng.random(T) < 0.25) & ~terminated
    return rng.normal(size=T), rng.normal(size=T + 1), terminated, truncated, rng.normal(size=T)


def _gae(rewards, values, terminated, truncated, final, gamma, lam) -> np.ndarray:
    tensors = [torch.tensor(np.array(x)) for x in (rewards, values, terminated, truncated, final)]
    r, v, ended, cut, last = tensors
    return gae(r, v, ended, gamma, lam, cut, last).numpy()


@checker
def gae_with_limits(method) -> str:
    for seed in range(6):
        r, v, ended, cut, final = _stream(seed)
        gamma, lam = (0.9, 0.99, 0.7)[seed % 3], (0.95, 0.5, 0.0, 1.0)[seed % 4]
        got = unchanged(lambda *stream: method(*stream, gamma, lam), r, v, ended, cut, final)
        nothing = np.zeros(len(r), bool)
        for mistake, sentence in (
            (
                _gae(r, v, ended | cut, nothing, final, gamma, lam),
                "you take a time limit for an end: the state that was cut off is worth final_values[t].",
            ),
            (
                _gae(r, v, ended, nothing, final, gamma, lam),
                "nothing happens at a time limit: there the next step belongs to another episode.",
            ),
            (
                _gae(r, v, nothing, cut, final, gamma, lam),
                "nothing happens at an end: after it nothing is worth anything, and the sum stops.",
            ),
            (np.zeros(len(r)), "all advantages are 0: set adv[t]."),
        ):
            if (ended | cut).any():
                blame(got, mistake, sentence)
        close(
            got,
            _gae(r, v, ended, cut, final, gamma, lam),
            "the advantages are off: is each the TD error plus γλ times the next one, with a stop at both kinds of end?",
        )
    return "right. A time limit ends the sum; it does not make the future worthless."


def _episode(rng: np.random.Generator, S: int, A: int) -> list[tuple[int, int, float]]:
    T = int(rng.integers(2, 8))
    return [(int(rng.integers(S)), int(rng.integers(A)), float(rng.normal())) for _ in range(T)]


def _reinforce(steps, pi, gamma, baseline, visits=True, taken=False) -> np.ndarray:
    grad, G = np.zeros_like(pi), 0.0
    for t in reversed(range(len(steps))):
        s, a, r = steps[t]
        G = r + gamma * G
        weight = (gamma**t if visits else 1.0) * (G - baseline[s])
        grad[s] -= 0.0 if taken else weight * pi[s]
        grad[s, a] += weight * (1 - pi[s, a]) if taken else weight
    return grad


@checker
def repaired_reinforce(method) -> str:
    rng = np.random.default_rng(12)
    for S, A, gamma in ((4, 3, 0.9), (3, 2, 1.0), (5, 4, 0.5)):
        steps, pi, baseline = _episode(rng, S, A), rng.dirichlet(np.ones(A), size=S), rng.normal(size=S)
        got = unchanged(lambda pi, b: method(steps, pi, gamma, b), pi, baseline)
        blame(
            got,
            _reinforce(steps, pi, gamma, baseline, taken=True),
            "only the action taken has an entry: what does the score say about the others?",
        )
        if gamma < 1:
            blame(got, _reinforce(steps, pi, gamma, baseline, visits=False), "γ^t has gone missing.")
        close(
            np.sum(got, axis=1),
            np.zeros(S),
            "the rows do not sum to 0: what does the score say about the others?",
        )
        close(
            got,
            _reinforce(steps, pi, gamma, baseline),
            "the rows sum to 0, but the table is off: is it γ^t (G − b) times (1 for the action taken, minus π)?",
        )
    return "right: praise for one action is blame for the others."
