"""Checkers for chapter 00, start here."""

import gymnasium as gym
import numpy as np

from course_lib.agents.planning import evaluate
from course_lib.checks.answer import checker, close, expect
from course_lib.worlds.mdp import from_gymnasium


@checker
def best_without_slip(answer) -> str:
    close(
        answer,
        1.0,
        f"it is not {answer}: without slip you get to the goal for certain, and what does it pay?",
    )
    return "right. This is how checkers speak; the others try your code on problems of their own."


@checker
def stroll(method) -> str:
    lake = gym.make("FrozenLake-v1")
    n = 4_000
    share = method(lake, n, np.random.default_rng(17))
    expect(
        np.isscalar(share) and 0 <= share <= 1,
        f"stroll gives {share!r}: it should be a share between 0 and 1.",
    )
    world = from_gymnasium(lake, gamma=1.0)
    exact = evaluate(world, np.tile([0.0, 0.5, 0.5, 0.0], (world.S, 1)))[0]
    everywhere = evaluate(world, np.full((world.S, world.A), 0.25))[0]
    # 5.5 standard errors: a right answer is refused once in 25 million runs, and the seed is fixed anyway
    half = 5.5 * np.sqrt(exact * (1 - exact) / n)
    expect(
        abs(share - everywhere) > half,
        f"a share of {share:.3f} is what walking in all four directions gives.",
    )
    expect(
        abs(share - exact) < half,
        f"your share is {share:.3f}; exactly it is {exact:.4f}. Is every reward counted, and no step after the end?",
    )
    return f"right: exactly it is {exact:.4f}."
