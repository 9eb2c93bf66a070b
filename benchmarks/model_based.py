"""Real steps until a swing-up is good, for two roads and six settings of each, on validation pendulums.

    .venv/bin/python benchmarks/model_based.py [model values]

Chapter 18 compares the best setting of each road on test pendulums; this is how the settings were chosen:
three runs of each, the fewest real steps, on average, to a mean return of GOAL (a run that never gets there
counts as twice its length); of equal ones that with the better mean return at the end. DQN also gets its two
best settings together. What came out (real steps, and in brackets the return at the end where two are equal):

    model   {} 2,667 (-219) · memory 3,000 · k 8: 4,667 · k 32: 2,667 (-215) · hidden 64: 3,333
            rate .01: 2,667 (-195)
    values  {} 28,000 · updates 8: 18,000 (-216) · updates 16: never in 20,000 · rate .002: 28,667
            k 4: 18,000 (-251) · gamma .95: 27,333 · updates 8 and k 4: 22,000
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from course_lib.meta import pendulum_runs as runs

GOAL, SEED = -300.0, 77
ROADS = {
    "model": (runs.model_based, {}, [
        {}, {"way": "memory"}, {"k": 8}, {"k": 32}, {"hidden": 64}, {"rate": 1e-2},
    ]),
    "values": (runs.by_values, {}, [
        {}, {"updates": 8}, {"updates": 16, "steps": 20_000}, {"rate": 2e-3}, {"k": 4}, {"gamma": 0.95},
        {"updates": 8, "k": 4},
    ]),
}  # fmt: skip


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    for name in names or list(ROADS):
        road, base, settings = ROADS[name]
        for setting in settings:
            real, returns = road(SEED, runs=3, split="validation", **(base | setting))
            steps = np.minimum(runs.steps_to((real, returns), GOAL), 2 * real[-1])
            ends = " ".join(f"{x:.0f}" for x in returns[-1])
            print(f"{name:7} {setting!s:32} {steps.mean():9.0f} steps; at the end {ends}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
