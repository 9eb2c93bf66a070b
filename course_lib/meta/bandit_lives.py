"""RL² on Bernoulli bandits: fair scores, where everybody meets the same luck, and runs with many seeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from course_lib.agents.networks import Params
from course_lib.agents.training import train
from course_lib.meta.recurrent import Recipe, Trials, packed, play, rl2, running, unpacked, watched
from course_lib.worlds.tasks import BanditTasks, Tasks, bandit_tasks


@dataclass(frozen=True)
class TapedBandits(BanditTasks):
    """Bernoulli bandits whose luck is fixed: the n-th pull of arm k in task m pays tape[m, k, n].

    The state counts the pulls of each arm, [M, E, K]. Two players who pull an arm equally often have got the
    same out of it, so the difference of their scores is quiet.
    """

    tape: Tensor | None = None  # [M, K, horizon] of 0 and 1

    def start(self, episodes: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.zeros(*self._episodes(episodes), self.n_actions, dtype=torch.long, device=self.device)

    def observe(self, state: Tensor) -> Tensor:
        return torch.zeros(*state.shape[:2], 0, device=self.device)

    def step(self, state: Tensor, action: Tensor, generator: torch.Generator | None = None):
        pulls = state.gather(-1, action[..., None])[..., 0]
        reward = self.tape[torch.arange(len(self), device=self.device)[:, None], action, pulls]
        return state + one_hot(action, self.n_actions), reward.float(), self._never(state)


def taped(tasks: BanditTasks, seed: int) -> TapedBandits:
    """The same bandits, with their luck drawn in advance."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(*tasks.p.shape, tasks.horizon, generator=generator)
    return TapedBandits(tasks.p, tasks.horizon, (u < tasks.p.cpu()[..., None]).to(tasks.device))


def pulled_means(tasks: BanditTasks, arms: Tensor) -> Tensor:
    """The success probability of each arm pulled, like arms [T, M, E]: rewards without their luck."""
    return torch.stack([tasks.p.gather(1, row) for row in arms])


def above_average(tasks: BanditTasks, run: Trials) -> Tensor:
    """Rewards to train on without their luck, [T, M, E]: p of the arm pulled, minus the average arm's.

    The trainer may know p; the network is told nothing but the rewards that came.
    """
    return pulled_means(tasks, run.actions) - tasks.p.mean(1)[:, None]


def score(params: Params, tasks: TapedBandits, see_reward: bool = True, chunk: int = 20_000) -> np.ndarray:
    """The sum of p over the arms that the network pulls, [M], when it always takes its likeliest action."""
    totals, generator = [], torch.Generator().manual_seed(0)
    with torch.no_grad():
        for first in range(0, len(tasks), chunk):
            part = tasks[first : first + chunk]
            run = play(params, part, 1, generator, best=True, see_reward=see_reward)
            totals.append(pulled_means(part, run.actions).sum(0)[:, 0])
    return torch.cat(totals).double().numpy()


def by_pull(params: Params, tasks: TapedBandits) -> Tensor:
    """The mean p of the arm that the network pulls, at each pull of a life, [T]: how it learns inside."""
    with torch.no_grad():
        run = play(params, tasks, 1, torch.Generator().manual_seed(0), best=True)
    return pulled_means(tasks, run.actions).mean((1, 2))


def play_by_counts(choice: Callable, tasks: TapedBandits, seed: int = 0) -> np.ndarray:
    """The arms [T, M] that a rule pulls which knows only counts and sums: choice(counts, sums) -> [..., K].

    `choice` gives probabilities, as those of `oracles.bandits` do, from which `seed` draws; it is asked once
    for each different pair of counts and sums [K].
    """
    tape, rng = tasks.tape.numpy(), np.random.default_rng(seed)
    M, K, T = tape.shape
    rows, code = np.arange(M), (T + 1) ** np.arange(2 * K, dtype=object)
    belief, arms = np.zeros((M, 2 * K), int), np.empty((T, M), int)
    for t in range(T):
        kinds, which = _distinct(belief, code)
        pi = choice(kinds[:, :K], kinds[:, K:])[which]
        arms[t] = (rng.random((M, 1)) >= pi.cumsum(axis=1)[:, :-1]).sum(axis=1)
        paid = tape[rows, arms[t], belief[rows, arms[t]]]
        belief[rows, arms[t]] += 1
        belief[rows, K + arms[t]] += paid
    return arms


def _distinct(rows: np.ndarray, code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows, and for each row which of them it is; by one number a row where that fits."""
    if int(code[-1]) * int(rows.max(initial=1)) >= 2**60:
        kinds, which = np.unique(rows, axis=0, return_inverse=True)
        return kinds, which.ravel()
    _, first, which = np.unique(rows @ code.astype(np.int64), return_index=True, return_inverse=True)
    return rows[first], which.ravel()


def score_by_counts(choice: Callable, tasks: TapedBandits, seed: int = 0) -> np.ndarray:
    """The sum of p over the arms that a rule of counts and sums pulls, [M]."""
    arms = torch.as_tensor(play_by_counts(choice, tasks, seed))
    return pulled_means(tasks, arms[..., None]).sum(0)[:, 0].double().numpy()


def fresh_bandits(K: int, T: int, seed: int, updates: int, batch: int = 256) -> Callable[[int], Tasks]:
    """tasks_for(k) for `recurrent.rl2`: fresh training bandits at each of so many updates.

    Lives of more than 30 pulls begin as shorter ones: 10 pulls for a quarter of the updates, then 30 until
    two fifths of them are done. With updates = 0 all lives are long.
    """

    def tasks_for(k: int) -> BanditTasks:
        now = 10 if k < 0.25 * updates else 30 if k < 0.4 * updates else T
        return bandit_tasks(batch, K, now if T > 30 else T, seed=10**6 * seed + k)

    return tasks_for


def trained(
    K: int, T: int, recipe: Recipe, seed: int, at: Sequence[int] = (), look=None, more: Recipe | None = None
) -> dict:
    """The state at the end of one run, which goes on where it was after a kill; look(params) before the
    updates `at` is gathered under `seen`. With `more`, a second run starts from the weights of the first."""
    name = f"rl2_{K}_{T}_{seed}"
    begin, update = rl2(fresh_bandits(K, T, seed, recipe.updates), recipe, seed, above_average)
    how = dict(path=running(name), about=name, settings=(recipe, list(at)))
    state = train(begin, watched(update, look, at), recipe.updates, **how)
    if more is None:
        return state
    again, update = rl2(fresh_bandits(K, T, seed + 10**5, 0), more, seed, above_average)
    name = f"{name}_more"
    how = dict(path=running(name), about=name, settings=(recipe, more))
    state = train(lambda: again() | {"params": state["params"]}, update, more.updates, **how)
    return state | {"seen": []}


def many_runs(
    K: int,
    T: int,
    recipe: Recipe,
    seeds: int,
    seed: int,
    best: Callable | None = None,
    lives: int = 200_000,
    at: Sequence[int] = (),
    more: Recipe | None = None,
) -> dict[str, np.ndarray]:
    """For `repro.load_or_run`: several runs, a row each: `weights` (see `recurrent.packed`), and against the
    choice `best`, on the same test bandits and tapes, `gaps` (the mean difference and its standard error);
    `by_pull` [seeds, len(at), T] are the curves of `by_pull` before the updates `at`.
    """
    tests = taped(bandit_tasks(lives, K, T, "test", seed), seed)
    top = None if best is None else score_by_counts(best, tests)
    rows = {"weights": [], "gaps": [], "by_pull": []}
    for s in range(seed, seed + seeds):
        state = trained(K, T, recipe, s, at, partial(by_pull, tasks=tests[:5_000]), more)
        rows["weights"].append(packed(state["params"]))
        rows["by_pull"].append([curve.numpy() for curve in state["seen"]])
        if top is not None:
            gap = top - score(unpacked(rows["weights"][-1], 0, K, recipe.hidden), tests)
            rows["gaps"].append([gap.mean(), gap.std() / np.sqrt(lives)])
    return {name: np.array(x) for name, x in rows.items() if np.size(x)}
