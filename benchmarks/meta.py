"""Meta-gradients: the exact one of tabular tasks against those from samples, in time and in what they know.

    python benchmarks/meta.py            about a minute; prints one Markdown table
    python benchmarks/meta.py --quick    seconds, and rougher

Twenty 5×5 grids with a goal in another cell each, γ = .95, one inner step. A sampled gradient plays episodes
of at most 100 steps before the inner step and after it, with the right second-order term (DiCE, Foerster et
al. 2018): 20 and 20 a task as in the literature, one after the other in a Python loop or all 400 side by
side; or as many as bring the error near a tenth of the gradient's length.

Then 2-D navigation with a network (20 tasks, 20 + 20 trajectories of 100 steps, two layers of 64): all tasks
in one graph against one graph a task, from the same episodes, and against stepping Gymnasium environments one
by one. One graph or twenty, the matrix products are the same, and so are autograd's passes over the hidden
layers. On one thread, one graph saves the cost of starting 20 times as many operations: with 2,000 steps a
task each of them is large already, and little is to be saved; with a quarter of the trajectories it is a
larger share. On several threads it also saves what it costs to share out many small operations.

A second is a second of processor time on one thread; on several, one of the clock (on a quiet machine,
please). The rows take turns, and each number is the best of its turns.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is loaded

import argparse
from time import perf_counter, process_time

import gymnasium
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from course_lib.agents.networks import gradients, per_task, require_grad
from course_lib.agents.training import keep_memory
from course_lib.meta import meta_gradient as sampled_meta
from course_lib.meta.maml import meta_loss
from course_lib.oracles.gradients import meta_gradient
from course_lib.worlds.grids import gridworld
from course_lib.worlds.mdp import MDP
from course_lib.worlds.tasks import PointTasks, point_tasks

SIDE, TASKS, HORIZON, GAMMA, ALPHA = 5, 20, 100, 0.95, 3.0
TOGETHER, APART = "meta-gradient", "the same, one graph a task"
NAV = {"tasks": 20, "episodes": 20, "horizon": 100, "hidden": (64, 64), "alpha": 0.05}
ROWS = {"one after the other": (20, True), "side by side": (20, False), "many": (4000, False)}


def tabular_tasks() -> list[MDP]:
    """5×5 grids that start in the middle, with the goal in one of the other cells."""
    worlds, middle = [], SIDE * SIDE // 2
    for goal in [cell for cell in range(SIDE * SIDE) if cell != middle][:TASKS]:
        cells = ["."] * SIDE * SIDE
        cells[goal], cells[middle] = "G", "S"
        rows = ("".join(cells[r * SIDE : (r + 1) * SIDE]) for r in range(SIDE))
        worlds.append(gridworld("\n".join(rows), gamma=GAMMA))
    return worlds


class Sampler:
    """The same tasks for torch: `loss(params)` plays fresh episodes with the logits of each task."""

    def __init__(self, mdps: list[MDP], episodes: int, loop: bool, seed: int):
        self.lands = torch.tensor(np.stack([m.P.argmax(axis=-1) for m in mdps]))  # nothing slips
        self.goal = torch.tensor(np.stack([m.terminal for m in mdps]).argmax(axis=1))
        self.first = int(mdps[0].start.argmax())
        self.episodes, self.loop = episodes, loop
        self.generator = torch.Generator().manual_seed(seed)
        self.rng = np.random.default_rng(seed)

    def loss(self, params) -> torch.Tensor:
        """Minus the discounted return of each task, [M], with derivatives of every order (DiCE)."""
        with torch.no_grad():
            pi = torch.softmax(params["theta"], dim=-1)
            states, actions, rewards = (self.play_in_a_loop if self.loop else self.play)(pi)
        tasks = torch.arange(len(states))[:, None, None]
        taken = torch.log_softmax(params["theta"], dim=-1)[tasks, states, actions].cumsum(dim=-1)
        paid = GAMMA ** torch.arange(rewards.shape[-1]) * rewards * torch.exp(taken - taken.detach())
        return -paid.sum(dim=-1).mean(dim=-1)

    def play(self, pi: torch.Tensor):
        """States, actions and rewards of all episodes at once, [M, E, T]; after an end the rewards are 0."""
        rows, cumulative = torch.arange(len(pi))[:, None], pi.cumsum(dim=-1)
        s = torch.full((len(pi), self.episodes), self.first)
        moments = []
        for _ in range(HORIZON):
            u = torch.rand(*s.shape, 1, generator=self.generator)
            a = (u > cumulative[rows, s]).sum(dim=-1).clamp(max=3)
            s2 = self.lands[rows, s, a]
            moments.append((s, a, ((s2 == self.goal[:, None]) & (s2 != s)).float()))
            s = s2
        return [torch.stack(part, dim=-1) for part in zip(*moments, strict=True)]

    def play_in_a_loop(self, pi: torch.Tensor):
        """The same, one step of one episode at a time."""
        M, lands, pi = len(pi), self.lands.tolist(), pi.double().numpy()
        states, actions = np.zeros((2, M, self.episodes, HORIZON), int)
        rewards = np.zeros((M, self.episodes, HORIZON), np.float32)
        for m, e in np.ndindex(M, self.episodes):
            s, goal = self.first, int(self.goal[m])
            for t in range(HORIZON):
                a = int(self.rng.choice(4, p=pi[m, s] / pi[m, s].sum()))
                s2 = lands[m][s][a]
                states[m, e, t], actions[m, e, t], rewards[m, e, t] = s, a, s2 == goal
                s = s2
                if s == goal:
                    break
        return torch.tensor(states), torch.tensor(actions), torch.tensor(rewards)


def sampled(mdps: list[MDP], theta: np.ndarray, row: str, seed: int) -> np.ndarray:
    """One estimate of the meta-gradient from samples, [S, A]."""
    sampler = Sampler(mdps, *ROWS[row], seed)
    params = require_grad({"theta": torch.tensor(theta, dtype=torch.float32)})
    loss = meta_loss(params, sampler.loss, sampler.loss, len(mdps), ALPHA)
    return -gradients(loss, params)["theta"].numpy()


def seconds(work, times: int, clock=process_time) -> float:
    begin = clock()
    for i in range(times):
        work(i)
    return (clock() - begin) / times


def race(quick: bool) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of each row, best of several turns, and its distance from the exact gradient, in its length."""
    mdps, theta = tabular_tasks(), np.zeros((SIDE * SIDE, 4))
    exact, best, off = meta_gradient(mdps, theta, ALPHA)[1], {"exact": np.inf}, {"exact": 0.0}
    rows = [row for row in ROWS if not quick or row == "side by side"]
    for _ in range(2 if quick else 4):
        best["exact"] = min(best["exact"], seconds(lambda _: meta_gradient(mdps, theta, ALPHA), 50))
        for row in rows:
            work = lambda i, row=row: sampled(mdps, theta, row, i)  # noqa: E731
            best[row] = min(best.get(row, np.inf), seconds(work, 5 if row == "side by side" else 1))
    for row in rows:
        draws = np.array([sampled(mdps, theta, row, 1000 + k) for k in range(40 if row[0] == "s" else 4)])
        off[row] = np.sqrt(((draws - exact) ** 2).sum(axis=(1, 2)).mean() / (exact**2).sum())
    return best, off


def table(quick: bool) -> str:
    best, off = race(quick)
    lines = [
        "| exact meta-gradient against | episodes a task | ms | slower by | RMS error |",
        "|---|" + "---:|" * 4,
    ]
    for row, time in best.items():
        episodes = f"2 × {ROWS[row][0]:,}" if row in ROWS else ""
        times = f"**{time / best['exact']:,.0f}×**" if row in ROWS else ""
        lines.append(f"| {row} | {episodes} | {1e3 * time:.3g} | {times} | {off[row]:.0%} |")
    return "\n".join(lines)


# 2-D navigation


class Point(gymnasium.Env):
    """One task of `point_tasks`, as a Gymnasium environment."""

    def __init__(self, goal: np.ndarray, horizon: int):
        self.goal, self.horizon = goal, horizon
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
        self.action_space = gymnasium.spaces.Box(-0.1, 0.1, (2,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.t = np.zeros(2, np.float32), 0
        return self.at, {}

    def step(self, action):
        self.at = self.at + np.clip(action, -0.1, 0.1)
        self.t += 1
        return self.at, -float(np.hypot(*(self.at - self.goal))), False, self.t == self.horizon, {}


class Played:
    """Navigation worlds that hand out stored episodes, so that two programs get the same."""

    def __init__(self, worlds, stored=()):
        self.worlds, self.stored, self.kept = worlds, list(stored), []

    def __getattr__(self, name):
        return getattr(self.worlds, name)

    def play(self, params):
        data = self.stored.pop(0) if self.stored else self.worlds.play(params)
        self.kept.append(data)
        return data


def navigation(tasks: PointTasks, episodes: int, seed: int):
    return Played(sampled_meta.Networks(tasks, episodes, torch.Generator().manual_seed(seed)))


def one_graph_a_task(theta, worlds, estimator: str = "LVC"):
    """The meta-gradient as most programs compute it: sampling is batched, autograd goes task by task."""
    M, mean = len(worlds.tasks), {name: torch.zeros_like(p) for name, p in theta.items()}
    curvature, leaves, phis = sampled_meta.ESTIMATORS[estimator][0], [], []
    data = worlds.play(per_task(theta, M))
    for m in range(M):
        leaves.append(require_grad(theta))
        value = loss_of_one(worlds, leaves[m], data, m, curvature)
        grads = gradients(value, leaves[m], create_graph=True)
        phis.append({name: p + NAV["alpha"] * grads[name] for name, p in leaves[m].items()})
    data = worlds.play({name: torch.stack([phi[name].detach() for phi in phis]) for name in theta})
    for m in range(M):
        grads = gradients(loss_of_one(worlds, phis[m], data, m, "log"), leaves[m])
        mean = {name: mean[name] + g / M for name, g in grads.items()}
    return mean


def loss_of_one(worlds, params, data, m: int, curvature: str):
    one = sampled_meta.Data(*(x[m : m + 1] for x in data))
    log_prob = worlds.log_prob({name: p[None] for name, p in params.items()}, one)
    return sampled_meta.surrogate(log_prob, worlds.weight(one), one.share, curvature).sum()


def adapt_in_gymnasium(theta, tasks: PointTasks, episodes: int, seed: int):
    """Episodes before and after one inner step, every environment stepped by itself, task after task."""
    rng, played = np.random.default_rng(seed), []
    for m in range(len(tasks)):
        env, params = Point(tasks.goal[m].numpy(), tasks.horizon), require_grad(theta)
        for k in range(2):
            data = [episode(env, params, rng) for _ in range(episodes)]
            obs, action, reward = (torch.tensor(np.array(part))[None] for part in zip(*data, strict=True))
            played.append(reward)
            if k == 0:
                worlds = sampled_meta.Networks(tasks[m], episodes, torch.Generator())
                one = sampled_meta.Data(obs, action, reward, sampled_meta.equal_shares(reward))
                grads = gradients(loss_of_one(worlds, params, one, 0, "log"), params)
                params = {name: (p + NAV["alpha"] * grads[name]).detach() for name, p in params.items()}
    return played


def episode(env, params, rng):
    """One episode; the network is evaluated with NumPy, which is faster for a single observation."""
    net, steps, over = {name: p.detach().numpy() for name, p in params.items()}, [], False
    obs, _ = env.reset()
    while not over:
        x = np.tanh(np.tanh(obs @ net["pi_W0"] + net["pi_b0"]) @ net["pi_W1"] + net["pi_b1"])
        action = x @ net["pi_W2"] + net["pi_b2"] + np.exp(net["log_std"]) * rng.standard_normal(2, np.float32)
        after, reward, _, over, _ = env.step(0.1 * action)
        steps.append((obs, action, np.float32(reward)))
        obs = after
    return [np.array(part) for part in zip(*steps, strict=True)]


def adapt_together(theta, worlds):
    """The same as `adapt_in_gymnasium`, all tasks and episodes at once."""
    params = require_grad(per_task(theta, len(worlds.tasks)))
    phi, *_ = sampled_meta.adapted(params, worlds, NAV["alpha"], 1, "none")
    return worlds.play(phi).reward


def largest_gap(shape: tuple[int, int, int], dtype: torch.dtype) -> float:
    """How far the two meta-gradients are apart, from the same episodes, as a share of their length."""
    torch.set_default_dtype(dtype)
    tasks = PointTasks(point_tasks(shape[0], "train", 0).goal.to(dtype), shape[2])
    theta = sampled_meta.policy_init(tasks, NAV["hidden"], torch.Generator().manual_seed(0), -1.0)
    worlds = navigation(tasks, shape[1], 0)
    mine, _ = sampled_meta.meta_gradient(theta, worlds, len(tasks), NAV["alpha"], 1, "LVC")
    other = one_graph_a_task(theta, Played(worlds.worlds, worlds.kept))
    torch.set_default_dtype(torch.float32)
    length = sum((g**2).sum() for g in mine.values()).sqrt()
    return float(max((mine[name] - other[name]).abs().max() for name in mine) / length)


def rows_in_the_plane(shape: tuple[int, int, int]) -> dict:
    """What to time, by name, ours and theirs in turn."""
    tasks, few = point_tasks(shape[0], "train", 0, shape[2]), shape[1] // 4
    theta = sampled_meta.policy_init(tasks, NAV["hidden"], torch.Generator().manual_seed(0), -1.0)

    def together(i: int, episodes: int = shape[1]):
        worlds = navigation(tasks, episodes, i)
        return sampled_meta.meta_gradient(theta, worlds, shape[0], NAV["alpha"], 1, "LVC")

    def apart(i: int, episodes: int = shape[1]):
        return one_graph_a_task(theta, navigation(tasks, episodes, i))

    return {
        TOGETHER: together,
        APART: apart,
        f"meta-gradient, {few} trajectories a task": lambda i: together(i, few),
        f"the same {few}, one graph a task": lambda i: apart(i, few),
        "play, adapt, play": lambda i: adapt_together(theta, navigation(tasks, shape[1], i)),
        "the same, Gymnasium one by one": lambda i: adapt_in_gymnasium(theta, tasks, shape[1], i),
    }


def race_in_the_plane(work: dict, turns: int, clock) -> dict[str, float]:
    """Seconds of each row, the best of its turns."""
    best = dict.fromkeys(work, np.inf)
    for turn in range(turns):
        for name, run in work.items():
            if turn < 2 or "Gymnasium" not in name:  # the slow row takes two turns
                best[name] = min(best[name], seconds(run, 1, clock))
    return best


def same_products(together, apart) -> str:
    """A sentence: the matrix products of both, and the time that these alone would take."""
    count = []
    for work in (together, apart):
        with FlopCounterMode(display=False) as counter:
            work(0)
        count.append(counter.get_total_flops())
    x, W = torch.randn(2000, 64), torch.randn(64, 64)
    rate = 2 * x.numel() * 64 / min(seconds(lambda _: x @ W, 100) for _ in range(5))
    return (
        f"Matrix products: {count[0] / 1e9:.2f} GFLOP in one graph, {count[1] / 1e9:.2f} in one a task. "
        f"At the {rate / 1e9:.0f} GFLOP/s of a hidden layer that is {1e3 * count[0] / rate:.0f} ms in both; "
        "one graph saves operations to be started, not arithmetic."
    )


def table_in_the_plane(quick: bool) -> str:
    shape = (4, 8, 20) if quick else (NAV["tasks"], NAV["episodes"], NAV["horizon"])
    work, turns, cores = rows_in_the_plane(shape), 2 if quick else 8, os.cpu_count() or 1
    one = race_in_the_plane(work, turns, process_time)
    torch.set_num_threads(cores)
    several = race_in_the_plane(work, turns, perf_counter)
    torch.set_num_threads(1)
    lines = [
        f"| 2-D navigation | ms, one thread | slower by | ms, {cores} threads | slower by |",
        "|---|" + "---:|" * 4,
    ]
    for k, name in enumerate(work):
        mine = list(work)[k - k % 2]
        cells = [
            f"{1e3 * t[name]:.3g} | {f'{t[name] / t[mine]:.3g}×' if k % 2 else ''}" for t in (one, several)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    gaps = [f"{largest_gap(shape, dtype):.0e}" for dtype in (torch.float64, torch.float32)]
    note = f"The two gradients are {gaps[0]} of their length apart in double precision, in single {gaps[1]}. "
    return "\n".join([*lines, "", note + same_products(work[TOGETHER], work[APART])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="seconds instead of a minute, and rougher")
    torch.set_num_threads(1)
    keep_memory()
    quick = parser.parse_args().quick
    print(table(quick))
    print("\n" + table_in_the_plane(quick))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"\nLoad of the machine {load:.1f} on {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
