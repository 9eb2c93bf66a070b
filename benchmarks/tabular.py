"""Q-learning: environment steps, each with its update, per second; ours against the usual Gymnasium loop.

    python benchmarks/tabular.py            about a minute; prints one Markdown table
    python benchmarks/tabular.py --quick    seconds, and rougher

Both sides learn the same worlds with the same step size, exploration and time limits, on one thread, by
turns. A second is a second of processor time, and each number the best of its turns, so that other work on
the machine disturbs little.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is loaded

import argparse
from time import process_time

import gymnasium
import numpy as np

from course_lib.agents.tabular import on_arrival, q_learning
from course_lib.worlds.mdp import MDP, from_gymnasium

WORLDS = ("FrozenLake-v1", "CliffWalking-v1", "Taxi-v4")
ALPHA, EPSILON, GAMMA = 0.1, 0.1, 0.99
RUNS = (1, 256, 1024)


def usual_loop(env: gymnasium.Env, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Q-learning as tutorials write it: one environment, one table, one step at a time; Q [S, A]."""
    Q = np.zeros((env.observation_space.n, env.action_space.n))
    s, _ = env.reset(seed=0)
    for _ in range(steps):
        a = env.action_space.sample() if rng.random() < EPSILON else int(np.argmax(Q[s]))
        s2, r, terminated, truncated, _ = env.step(a)
        target = r + GAMMA * (not terminated) * np.max(Q[s2])
        Q[s, a] += ALPHA * (target - Q[s, a])
        s = s2
        if terminated or truncated:
            s, _ = env.reset()
    return Q


def ours(mdp: MDP, runs: int, limit: int | None, reward):
    """A function (steps, rng) → Q [runs, S, A] that lives steps // runs steps in each run."""
    return lambda steps, rng: q_learning(
        mdp, steps // runs, ALPHA, EPSILON, runs, rng=rng, limit=limit, reward=reward
    )


def per_second(learn, steps: int, rng: np.random.Generator) -> float:
    """How many steps `learn(steps, rng)` makes in a second of processor time."""
    begin = process_time()
    learn(steps, rng)
    return steps / (process_time() - begin)


def race(name: str, quick: bool) -> list[float]:
    """Steps per second in one world, best of several turns: the usual loop, then ours for each of RUNS."""
    env = gymnasium.make(name)
    mdp, limit = from_gymnasium(env, GAMMA), env.spec.max_episode_steps
    slippery = name == "FrozenLake-v1"  # it pays 1 on the goal, which a step reaches by chance
    reward = on_arrival(mdp, np.eye(mdp.S)[-1]) if slippery else None
    scale, rng = 0.1 if quick else 1.0, np.random.default_rng(0)
    sides = [(lambda steps, rng: usual_loop(env, steps, rng), 100_000)]
    sides += [
        (ours(mdp, runs, limit, reward), size)
        for runs, size in zip(RUNS, (40_000, 4_000_000, 6_000_000), strict=True)
    ]
    best = [0.0] * len(sides)
    for _ in range(2 if quick else 5):
        for i, (learn, steps) in enumerate(sides):
            best[i] = max(best[i], per_second(learn, int(scale * steps), rng))
    return best


def table(results: dict[str, list[float]]) -> str:
    """The results as Markdown."""
    head = [
        "world",
        "usual loop, steps/s",
        *(f"ours, {runs:,} run{'s' * (runs > 1)}" for runs in RUNS),
        "256 runs against usual",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for name, speeds in results.items():
        lines.append(
            "| "
            + " | ".join([name, *(f"{x:,.0f}" for x in speeds), f"**{speeds[2] / speeds[0]:.0f}×**"])
            + " |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="seconds instead of a minute, and rougher")
    quick = parser.parse_args().quick
    print(table({name: race(name, quick) for name in WORLDS}))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"\nOne thread; load of the machine {load:.1f} on {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
