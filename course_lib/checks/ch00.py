"""Checkers for chapter 00, start here."""

import gymnasium as gym
import numpy as np

from course_lib.agents.planning import evaluate
from course_lib.checks.answer import Wrong, checker, close, expect
from course_lib.worlds.mdp import from_gymnasium


@checker
def best_without_slip(answer) -> str:
    close(
        answer,
        1.0,
        f"it is not {answer}: without slip you get to the goal for certain, and what does it pay?",
    )
    return "right. This is how checkers speak; the others try your code on problems of their own."


class Recorder(gym.Wrapper):
    """Counts how often each action is taken, and refuses steps after the end."""

    def __init__(self, env):
        super().__init__(env)
        self.times, self.over = np.zeros(4), False

    def reset(self, **how):
        self.over = False
        return super().reset(**how)

    def step(self, action):
        expect(not self.over, "you step on after the end: over is over, be it terminated or truncated.")
        self.times[action] += 1
        *seen, terminated, truncated, more = super().step(action)
        self.over = terminated or truncated
        return *seen, terminated, truncated, more


@checker
def stroll(method) -> str:
    lake, n = Recorder(gym.make("FrozenLake-v1")), 4_000
    share = method(lake, n, np.random.default_rng(17))
    expect(
        np.isscalar(share) and 0 <= share <= 1,
        f"stroll gives {share!r}: it should be a share between 0 and 1.",
    )
    method(Recorder(gym.make("FrozenLake-v1", max_episode_steps=3)), 50, np.random.default_rng(18))
    left, down, right, up = lake.times / max(1, lake.times.sum())
    expect(left == up == 0, f"{left + up:.0%} of your steps go left or up: draw from actions 1 and 2 only.")
    expect(
        abs(down - right) < 0.1, f"{down:.0%} of your steps go down and {right:.0%} right: half of them each."
    )
    world = from_gymnasium(lake, gamma=1.0)
    exact = evaluate(world, np.tile([0.0, 0.5, 0.5, 0.0], (world.S, 1)))[0]
    # 5.5 standard errors: a right answer is refused once in 25 million runs, and the seed is fixed anyway
    half = 5.5 * np.sqrt(exact * (1 - exact) / n)
    if abs(share - exact) < half:
        return f"right: exactly it is {exact:.4f}."
    hint = "Is every reward counted?"
    raise Wrong(f"your share is {share:.4f}; exactly it is {exact:.4f}. {hint}")
