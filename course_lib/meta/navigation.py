"""2-D navigation by meta policy gradients, as chapter 15 trains and judges it."""

import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor
from tqdm.auto import tqdm

from course_lib.agents.networks import Params, per_task, require_grad
from course_lib.agents.training import train
from course_lib.meta.meta_gradient import Networks, Rates, adapted, learned, learner, returns_after
from course_lib.repro import running
from course_lib.worlds.tasks import PointTasks, point_tasks

UPDATES, TASKS, LOOK = 120, 20, 10  # every ten updates a look at validation goals
RECIPE = {"alpha": 0.4, "learn_alpha": True, "log_std": -0.4}
FACTORS = (0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.06, 0.03)  # of the sizes of the first step, for later steps,
CALMING = (30.0, 60.0, 120.0, 240.0)  # and the size for log_std there, see `plan`
FRESH = 11  # the seed of test goals that no recipe was chosen on


def goals(seed: int) -> PointTasks:
    """A batch of training goals, with episodes of 60 steps."""
    return point_tasks(TASKS, "train", seed, horizon=60)


def rate(update: int) -> float:
    """Adam's: along the run it falls in a straight line to 0."""
    return 0.008 * (1 - update / UPDATES)


def train_start(seed: int, updates: int = UPDATES, folder: str | Path | None = None) -> tuple[Params, Params]:
    """theta and its step sizes, as they were when one step brought most on validation goals.

    The run is kept in `folder`, or where `repro.running` says, from where it goes on if it was interrupted.
    """
    name = f"15_navigation_{seed}"
    path = Path(folder) / f"{name}.pt" if folder else running(name)
    begin, update = learner(goals, TASKS, rate=rate, seed=seed, **RECIPE)

    def first():
        return {"learner": begin(), "best": begin()["free"], "worth": -math.inf}

    def once(state):
        state = {**state, "learner": update(state["learner"])}
        if len(state["learner"]["curve"]) % LOOK == 0:
            free = state["learner"]["free"]
            theta, sizes = learned(free)
            worth = float(held_out(theta, sizes, 1, "validation")[1].mean())
            if worth > state["worth"]:
                state |= {"best": free, "worth": worth}
        return state

    state = train(first, once, updates, path=path, every=LOOK, about=f"navigation {seed}")
    theta, (size,) = learned(state["best"])
    return theta, size


def held_out(
    theta: Params,
    sizes: Rates,
    steps: int,
    split: str = "test",
    goals: int = 40,
    horizon: int = 100,
    episodes: int = 20,
    still: bool = False,
    seed: int = 1,
) -> Tensor:
    """Mean returns after 0 … `steps` inner steps of so many episodes, on held-out goals, [k, goals].

    `still`: those of the mean actions, see `returns_after`.
    """
    tasks = point_tasks(goals, split, seed, horizon=horizon)
    return returns_after(theta, Networks(tasks, episodes, Generator().manual_seed(5)), sizes, steps, still)


def later(size: Params, factor: float, calming: float) -> Params:
    """The sizes of a later step: `factor` times those of the first one, but `calming` for log_std."""
    smaller = {name: factor * p for name, p in size.items()}
    return smaller | {"log_std": torch.full_like(size["log_std"], calming)}


def plan(theta: Params, size: Params, steps: int = 3) -> tuple[list[Params], list[tuple[float, float]]]:
    """Sizes for `steps` inner steps, and (factor, calming) of each later one: the best on validation goals.

    Wide noise finds out how far off the goal is, and costs reward for ever. So later steps must calm it as
    well as aim; and the calmer the policy, the larger are the scores of its mean, and the smaller its factor.
    """
    sizes, chosen, choices = [size], [], list(product(FACTORS, CALMING))
    for k in range(2, steps + 1):
        tried = [[*sizes, later(size, *choice)] for choice in choices]
        trials = tqdm(tried, f"sizes for step {k}", leave=False)
        worth = [float(held_out(theta, x, k, "validation", goals=100)[k].mean()) for x in trials]
        best = int(np.argmax(worth))
        sizes, chosen = tried[best], [*chosen, choices[best]]
    return sizes, chosen


def navigate(seed: int, runs: int = 10) -> dict[str, np.ndarray]:
    """Train `runs` starts: scores [runs, 4, 400] on test goals, `chosen` [runs, 2, 2], the first start.

    `still` [4, 400] are the first one's scores by its mean actions.
    """
    scores, chosen, first = [], [], {}
    for run in range(seed, seed + runs):
        theta, size = train_start(run)
        sizes, how = plan(theta, size)
        scores.append(held_out(theta, sizes, 3, goals=400, seed=FRESH).numpy())
        chosen.append(how)
        if not first:
            first = {f"theta.{name}": p.numpy() for name, p in theta.items()}
            first |= {f"size.{name}": p.numpy() for name, p in size.items()}
            first["still"] = held_out(theta, sizes, 3, goals=400, still=True, seed=FRESH).numpy()
    return {"scores": np.array(scores), "chosen": np.array(chosen), **first}


def half_widths(scores: np.ndarray) -> np.ndarray:
    """Half the 95 % interval of the mean of scores [runs, k, goals], for other runs and other goals, [k]."""
    runs, goals = scores.mean(axis=2), scores.mean(axis=0)
    return 1.96 * np.sqrt(runs.var(axis=0, ddof=1) / len(runs) + goals.var(axis=1, ddof=1) / goals.shape[1])


def walks(
    theta: Params, sizes: list[Params], tasks: PointTasks, paths: int = 4, every: int = 3
) -> np.ndarray:
    """Paths of the policy after 0, 1, … inner steps, [steps + 1, M, paths, places, 2], in 16 digits."""
    theta, *sizes = ({name: p.double() for name, p in params.items()} for params in (theta, *sizes))
    tasks = replace(tasks, goal=tasks.goal.double())
    worlds, shown = Networks(tasks, 20, Generator().manual_seed(0)), []
    phi = require_grad(per_task(theta, len(tasks)))
    for size in [*sizes, sizes[-1]]:  # the step after the last walk is not used
        shown.append(worlds.play(phi).obs[:, :paths, ::every].numpy())
        phi = require_grad(adapted(phi, worlds, size, 1, "none")[0])
    return np.array(shown)
