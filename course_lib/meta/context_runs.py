"""The long runs of chapter 16: believers on the hidden-goal grid, and navigators in the plane.

What they infer with is learned before, from aimless lives, and kept: average rewards by place and task, and
the values of every task, by Q-learning on the stored steps.
"""

import numpy as np
import torch
from torch import Tensor

from course_lib.agents.networks import Params
from course_lib.meta import context
from course_lib.meta.context import Choose, Lives, Recipe
from course_lib.worlds.tasks import Tasks, point_tasks

TIMES = (0, 5, 10, 15, 29)  # steps before which `navigators` looks at the belief
SHOWN = (0, 1, 2)  # test tasks in which the first believer's belief is kept


def reward_table(lives: Lives) -> Tensor:
    """The average reward of ending a step in each place, by task, [places, M]; 0 where nobody has been."""
    where, paid = lives.after.argmax(-1), lives.rewards.double()  # [T, M, E]
    M, places = where.shape[1], lives.after.shape[-1]
    entry = where * M + torch.arange(M)[:, None]
    total, times = torch.zeros(2, places * M, dtype=torch.float64)
    total.index_add_(0, entry.flatten(), paid.flatten())
    times.index_add_(0, entry.flatten(), torch.ones(entry.numel(), dtype=torch.float64))
    return (total / times.clamp_min(1)).reshape(places, M).float()


def q_table(lives: Lives, pays: Tensor, gamma: float = 0.85, sweeps: int = 60) -> Tensor:
    """Q_z(s, a) · (1 − γ) for all tasks z at once, [M, places, A], from the steps of these lives.

    A step that nobody took has value 0.
    """
    s, s2 = lives.obs.argmax(-1).flatten(), lives.after.argmax(-1).flatten()
    s, a, s2 = torch.stack([s, lives.actions.flatten(), s2]).unique(dim=1)
    Q, r = torch.zeros(pays.shape[1], len(pays), int(a.max()) + 1, dtype=torch.float64), pays.double().T
    for _ in range(sweeps):
        Q[:, s, a] = (1 - gamma) * r[:, s2] + gamma * Q[:, s2].max(2).values
    return Q


def inference(tasks: Tasks, seed: int, sigma: float = 0.3) -> tuple[Params, Params]:
    """A belief model and Q-values from 120 aimless lives in each task, for one-hot observations."""
    lives = context.wander(tasks, seed, each=120)
    pays = reward_table(lives)
    return context.from_tables(pays, q_table(lives, pays), sigma)


def trained(
    tasks: Tasks, recipe: Recipe, seed: int, name: str = "", sigma: float = 0.3
) -> tuple[Choose, Params, Params, np.ndarray]:
    """A believer trained in these tasks: how it chooses (the likeliest action), model, Q, its learning curve.

    The curve [updates / 10, episodes] holds the mean return of the lives at every tenth update.
    """
    model, Q = inference(tasks, seed, sigma)
    state = context.learn(lambda k: tasks, recipe, "believer", seed, name, bool(name), model=model, Q=Q)
    return context.believing(state["params"], Q), model, Q, np.array(state["scores"])[::10]


def plane(M: int, split: str, seed: int) -> context.Compass:
    """2-D navigation with sparse reward, nine moves, 15 steps an episode."""
    return context.compass(point_tasks(M, split, seed, horizon=15, sparse=True))


def believers(tasks: Tasks, recipe: Recipe, seed: int, seeds: int = 10, name: str = "") -> dict:
    """Believers for tasks with one-hot places: what they `earned` an episode, their `curve`, their `paths`.

    earned [seeds, episodes], curve [seeds, updates / 10, episodes], and the places where steps ended,
    [seeds, T, M].
    """
    found: dict = {"earned": [], "curve": [], "paths": []}
    for s in range(seed, seed + seeds):
        choose, model, _, curve = trained(tasks, recipe, s, name)
        lived = context.lifetimes(choose, model, tasks, recipe.episodes, torch.Generator().manual_seed(s))
        found["earned"].append(context.by_episode(lived, tasks.horizon).mean((1, 2)).numpy())
        found["curve"].append(curve)
        found["paths"].append(lived.after[:, :, 0].argmax(-1).numpy().astype(np.int16))
    return {key: np.array(x) for key, x in found.items()}


def navigators(
    recipe: Recipe, seed: int, seeds: int = 10, name: str = "", sizes: tuple[int, int] = (80, 200)
) -> dict[str, np.ndarray]:
    """Agents trained on 80 goals each, then let loose on 200 others for two episodes (see `sizes`).

    What they earned an episode: two kinds of guesser (`held`, `resampled`) and the `believer`, the latter
    also `at home`, in its own tasks. Of the believer in the first 40 others: its `places` [30, 40], and
    the mean belief `near` (within .2 of) the true goal, before the steps TIMES; of the first one, `belief`
    [30, tasks SHOWN, 80].
    """
    test, found = plane(sizes[1], "test", 0), {}
    for s in range(seed, seed + seeds):
        home, generator = plane(sizes[0], "train", s), torch.Generator().manual_seed(s)
        choose, model, Q, _ = trained(home, recipe, s, name, sigma=0.1)
        guess = context.guessing(Q, generator)
        ways = {"held": (guess, test, 0.0), "resampled": (guess, test, 0.3)}
        ways |= {"at home": (choose, home, 0.0), "believer": (choose, test, 0.0)}
        for way, (act, tasks, refuted) in ways.items():
            lived = context.lifetimes(act, model, tasks, 2, generator, 1, refuted)
            earned = context.by_episode(lived, tasks.horizon).mean((1, 2)).numpy()
            found.setdefault(way, []).append(earned)
        belief = lived.log_q[:, :, 0].exp()
        inside = (home.goal - test.goal[:, None]).norm(dim=-1) <= 0.2  # [200, 80]
        found.setdefault("near", []).append((belief * inside)[list(TIMES), :40].sum(-1).mean(-1).numpy())
        found.setdefault("places", []).append(lived.after[:, :40, 0].argmax(-1).numpy().astype(np.int16))
        found.setdefault("belief", belief[:, list(SHOWN)].numpy())
    return {key: np.array(x) for key, x in found.items()}
