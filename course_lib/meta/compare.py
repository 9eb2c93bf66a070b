"""All methods side by side: one protocol, equal environment steps, scores between two exact values.

Everybody *lives*: a life is `episodes` episodes in one task that is not named, and a method may learn from
each. In training a method plays lives (or what it likes) in the family's training tasks, until its budget of
environment steps is spent; the tasks count. Then it lives in other tasks. Its score in an episode is its
expected return there, on a scale where the uniform policy has 0, and who is told the task has 1.

A run holds several *draws* side by side: independent learners, each with training tasks, luck and a budget of
its own. That costs little more than one, because the tensors are small. Tasks, and whatever else has an axis
of M, come draw after draw.
Sources: Duan et al. 2016; Finn et al. 2017; Rakelly et al. 2019; Li et al. 2018; see the chapters of `meta`.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import torch
from torch import Tensor

from course_lib.agents.networks import Params, adam, adam_init, clip_each, gradients, require_grad
from course_lib.meta import recurrent, relatives
from course_lib.meta.meta_gradient import equal_shares, surrogate
from course_lib.meta.tuning_runs import live
from course_lib.worlds.tasks import BanditTasks, GridGoalTasks, Tasks, bandit_tasks, grid_goals

Player = Callable[[Tasks, int, torch.Generator], Tensor]  # expected returns [episodes, M] of a life in each


@dataclass(frozen=True)
class Family:
    """make(draws, M, split, seed) gives tasks: a draw trains on `pool`, and other splits have `targets`."""

    make: Callable[[int, int, str, int], Tasks]
    pool: int
    targets: int
    episodes: int  # of a life


def _goals(draws: int, M: int, split: str | None, seed: int) -> GridGoalTasks:
    return GridGoalTasks(grid_goals(split).repeat(draws))


FAMILIES = {
    "bandits": Family(lambda D, M, split, seed: bandit_tasks(D * M, 2, 5, split, seed), 300, 200, 8),
    "goals": Family(
        lambda D, M, split, seed: _goals(D, M, None, seed), 21, 21, 6
    ),  # the same, in every split
    "cousins": Family(lambda D, M, split, seed: relatives.relatives(D, M, 0.5, split, seed), 100, 40, 12),
    "new goals": Family(_goals, 13, 4, 6),
}
BUDGETS = (30_000, 200_000)  # environment steps of training
LIVES = 100  # simulated lives for a score of a draw, equally many in each task


class Counted:
    """Training tasks that count the steps played in them, and refuse to go beyond the budget.

    What a learner must find out by playing, the tasks' parameters, they do not hand out. Tasks chosen from
    them by `[...]` count on the same meter.
    """

    OPEN = ("start", "observe", "n_actions", "obs_size", "horizon", "device")

    def __init__(self, tasks: Tasks, budget: int, meter: list[int] | None = None):
        self._tasks, self.budget, self._meter = tasks, budget, [0] if meter is None else meter

    def __len__(self) -> int:
        return len(self._tasks)

    def __getitem__(self, index) -> "Counted":
        return Counted(self._tasks[index], self.budget, self._meter)

    def __getattr__(self, name: str):
        if name not in self.OPEN:
            raise AttributeError(f"{name!r} is not for learners: they may use {', '.join(self.OPEN)}, step.")
        return getattr(self._tasks, name)

    @property
    def played(self) -> int:
        return self._meter[0]

    def step(self, state: Tensor, action: Tensor, generator: torch.Generator):
        if self.played + action.numel() > self.budget:
            raise RuntimeError(f"the budget is {self.budget} steps, and {self.played} are played.")
        self._meter[0] += action.numel()
        return self._tasks.step(state, action, generator)


def some(pool: Counted, draws: int, lives: int, generator: torch.Generator) -> Counted:
    """`lives` of each draw's own tasks, at random."""
    M = len(pool) // draws
    chosen = torch.randint(M, (draws, lives), generator=generator) + M * torch.arange(draws)[:, None]
    return pool[chosen.flatten()]


# What is exact


def tables(tasks: Tasks) -> tuple[Tensor, Tensor]:
    """P [M, S, A, S] and mean rewards R [M, S, A]; a bandit has one state."""
    if isinstance(tasks, BanditTasks):
        return torch.ones(*tasks.p.shape, 1)[:, None], tasks.p[:, None]
    return relatives.tables(tasks)


def plan(P: Tensor, R: Tensor, horizon: int) -> Tensor:
    """The optimal Q at each step of an episode, [horizon, M, S, A], by looking back from its end."""
    Q, V = [], torch.zeros_like(R[..., 0])
    for _ in range(horizon):
        Q.append(R + (P * V[:, None, None]).sum(-1))
        V = Q[-1].max(-1).values
    return torch.stack(Q[::-1])


def score(player: Player, tasks: Tasks, draws: int, episodes: int, seed: int) -> np.ndarray:
    """Each draw's mean expected return in each episode of its lives, [draws, episodes]; 0 uniform, 1 told."""
    P, R = tables(tasks)
    low = relatives.returns(torch.zeros_like(R), P, R, tasks.horizon)
    high = plan(P, R, tasks.horizon)[0].max(-1).values[:, 0]
    low, high = low.view(draws, -1).mean(1), high.view(draws, -1).mean(1)
    each = -(-LIVES * draws // len(tasks))
    many = tasks[torch.arange(len(tasks)).repeat_interleave(each)]
    earned = player(many, episodes, torch.Generator().manual_seed(seed)).view(episodes, draws, -1).mean(-1)
    return ((earned - low) / (high - low)).T.double().numpy()


# A table of logits that takes gradient steps during its life


@dataclass(frozen=True)
class Plan:
    """A policy-gradient step of size alpha after every `batch` episodes, on a spring `reg` to the start."""

    alpha: float = 0.0
    batch: int = 1
    reg: float = 0.0


def life(
    theta: Tensor, tasks: Tasks, episodes: int, plan: Plan, generator: torch.Generator, curvature="none"
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yields logits, and log-probabilities and weights [M, B, T] of the episodes played with them.

    theta [M, S, A]. The baseline of a step is the mean return to go of all *other* episodes of the life so
    far, so the gradient's estimate has no bias; weights are divided by the horizon. `curvature` is
    `meta_gradient.surrogate`'s.
    """
    phi, past, size = theta, 0.0, plan.batch if plan.alpha else episodes
    rows = torch.arange(len(tasks))[:, None, None]
    for seen in range(size, episodes + 1, size):
        state, action, reward = relatives.play(tasks, phi.detach(), size, generator)
        to_go = reward.flip(-1).cumsum(-1).flip(-1) / tasks.horizon
        past = past + to_go.sum(1, keepdim=True)
        weight = to_go - (past - to_go) / (seen - 1) if seen > 1 else 0 * to_go
        log_prob = torch.log_softmax(phi, -1)[rows, state, action]
        yield phi, log_prob, weight
        if seen < episodes:
            gain = surrogate(log_prob, weight, equal_shares(reward), curvature).sum()
            (slope,) = torch.autograd.grad(gain, phi, retain_graph=True, create_graph=curvature != "none")
            phi = theta + (phi + plan.alpha * slope - theta) / (1 + plan.alpha * plan.reg)


def learn_start(
    pool: Counted,
    draws: int,
    episodes: int,
    plan: Plan,
    generator: torch.Generator,
    curvature: str,
    rate: float,
    entropy: float,
    lives: int = 16,
) -> Tensor:
    """Logits [draws, S, A] to begin with: gradient ascent on what whole lives in training tasks earn.

    With plan.alpha = 0 that is joint training; with curvature "none" first-order MAML, with "ratio" MAML (its
    low-variance estimator). Adam's step falls to 0 at the end.
    """
    theta = require_grad({"logits": torch.zeros(draws, max(pool.obs_size, 1), pool.n_actions)})
    memory, updates = adam_init(theta), pool.budget // (draws * lives * episodes * pool.horizon)
    for k in range(updates):
        tasks = some(pool, draws, lives, generator)
        begin = theta["logits"].repeat_interleave(lives, 0)
        log_pi = torch.log_softmax(theta["logits"], -1)
        loss = entropy * (log_pi.exp() * log_pi).sum(-1).mean(-1).sum()
        for _, log_prob, weight in life(begin, tasks, episodes, plan, generator, curvature):
            loss = loss - (log_prob * weight).sum() / (lives * episodes)
        theta, memory = adam(theta, gradients(loss, theta), memory, rate * (1 - k / updates))
    return theta["logits"].detach()


def gradient_method(
    pool: Counted, draws: int, episodes: int, generator,
    train="", alpha=0.0, batch=2, reg=0.0, rate=0.3, entropy=0.0,
) -> Player:  # fmt: skip
    """A start (`train`: "", "joint", "first-order" or "second-order") and the plan it lives by."""
    mine = Plan(alpha, batch, reg)
    theta = torch.zeros(draws, max(pool.obs_size, 1), pool.n_actions)
    if train:
        curvature = "ratio" if train == "second-order" else "none"
        practice = Plan() if train == "joint" else mine
        theta = learn_start(pool, draws, episodes, practice, generator, curvature, rate, entropy)
    return partial(live_by_gradients, theta, mine)


def live_by_gradients(theta: Tensor, plan: Plan, tasks: Tasks, episodes: int, generator) -> Tensor:
    """Exact expected returns [episodes, M] of the policies that lives in these tasks go through."""
    P, R = tables(tasks)
    begin = theta.repeat_interleave(len(tasks) // len(theta), 0).requires_grad_(True)
    found = []
    for phi, log_prob, _ in life(begin, tasks, episodes, plan, generator):
        found += [relatives.returns(phi.detach(), P, R, tasks.horizon)] * log_prob.shape[1]
    return torch.stack(found)


# A memory: RL²


def rl2(pool: Counted, draws: int, episodes: int, generator, rate=0.02, lives=32, entropy=0.03) -> Player:
    """RL² (chapter 13): a life is a trial, and nothing but rewards that were paid teaches it."""
    sizes = pool.obs_size, pool.n_actions, 32
    nets = [recurrent.policy_init(*sizes, generator) for _ in range(draws)]
    params = {name: torch.stack([net[name] for net in nets]) for name in nets[0]}
    memory, updates = adam_init(params), pool.budget // (draws * lives * episodes * pool.horizon)
    for k in range(updates):
        left, params = 1 - k / updates, require_grad(params)
        lived = live(params, some(pool, draws, lives, generator), episodes, 1, generator)
        grads = gradients(trial_loss(lived, draws, entropy * left), params)
        params, memory = adam(params, clip_each(grads, 1.0), memory, rate * left)
    return partial(live_by_memory, params)


def trial_loss(lived: recurrent.Trials, draws: int, entropy: float, gamma=0.97, lam=0.9) -> Tensor:
    """The sum over the draws of `recurrent.actor_critic_loss` of each one's own trials, [T, draws · L, 1]."""
    scale = sum(gamma**t for t in range(len(lived.rewards)))
    values = lived.values.detach() * scale
    advantage = recurrent.advantages(values, lived.rewards, gamma, lam)
    critic = (lived.values - (advantage + values) / scale).pow(2).mean() * scale
    own = advantage.unflatten(1, (draws, -1))
    own = own / (own.std((0, 2, 3), keepdim=True) + 1e-6)
    actor = -(lived.log_probs * own.flatten(1, 2)).mean()
    return draws * (actor + 0.5 * critic - entropy * lived.entropies.mean())


@torch.no_grad()
def live_by_memory(params: Params, tasks: Tasks, episodes: int, generator) -> Tensor:
    """Mean rewards of what the networks do, added up in each episode, [episodes, M]."""
    lived, R = live(params, tasks, episodes, 1, generator), tables(tasks)[1]
    mean = R[torch.arange(len(R)), lived.states[..., 0], lived.actions[..., 0]]
    return mean.unflatten(0, (episodes, -1)).sum(1)


# A belief: which of the training tasks is it?


def album(pool: Counted, draws: int, episodes: int, generator, temper=1.0, think="sample") -> Player:
    """Task inference (chapter 16): a table of every training task, from random play, and Bayes' rule on them.

    A task's table begins as that of the draw's average task, with the weight of one visit. The log-likelihood
    of what happens is multiplied by `temper`: below 1 for who doubts that the task is in the album.
    """
    M, S, A, H = len(pool), max(pool.obs_size, 1), pool.n_actions, pool.horizon
    each = pool.budget // (M * H)
    rows, state = torch.arange(M)[:, None].expand(M, each), pool.start(each, generator)
    n, paid, squares, went = (torch.zeros(M, S, A, *more) for more in ((), (), (), (S,)))
    for _ in range(H):
        action = torch.randint(A, state.shape, generator=generator)
        after, reward, _ = pool.step(state, action, generator)
        for total, more in ((n, torch.ones_like(reward)), (paid, reward), (squares, reward**2)):
            total.index_put_((rows, state, action), more, accumulate=True)
        went.index_put_((rows, state, action, after), torch.ones_like(reward), accumulate=True)
        state = after
    n, paid, squares, went = (x.unflatten(0, (draws, -1)) for x in (n, paid, squares, went))
    visits = n.sum(1, keepdim=True)
    R = (paid + paid.sum(1, keepdim=True) / visits.clamp(min=1)) / (n + 1)
    average = (went.sum(1, keepdim=True) + 1 / S) / (visits + 1)[..., None]
    P = (went + average) / (n + 1)[..., None]
    squared = (squares - 2 * R * paid + n * R**2).sum((1, 2, 3)) / n.sum((1, 2, 3))
    sigma = squared.clamp(min=0.01).sqrt().tolist()
    books = [(P[d], R[d], plan(P[d], R[d], H), sigma[d]) for d in range(draws)]
    return partial(live_by_belief, books, temper, think)


def live_by_belief(books: list, temper: float, think: str, tasks: Tasks, episodes: int, generator) -> Tensor:
    """Mean rewards [episodes, M] of who believes a task to be one of the draw's album.

    think    "sample": an episode is played as if a task drawn from the belief were the true one (Thompson's
             rule, as PEARL does); "mean": every action is the best on the belief's average of their Q
    """
    share = len(tasks) // len(books)
    parts = [tasks[d * share : (d + 1) * share] for d in range(len(books))]
    how = temper, think
    lives = [_believe(*b, *how, x, episodes, generator) for b, x in zip(books, parts, strict=True)]
    return torch.cat(lives, 1)


def _believe(P, R, Q, sigma, temper, think, tasks: Tasks, episodes: int, generator) -> Tensor:
    mean, mine = tables(tasks)[1], torch.arange(len(tasks))
    log_q, earned = torch.zeros(len(tasks), len(R)), []
    for _ in range(episodes):
        s = tasks.start(1, generator)[:, 0]
        z = torch.multinomial(torch.softmax(log_q, -1), 1, generator=generator)[:, 0]
        for h in range(tasks.horizon):
            each = Q[h][:, s]  # [Z, M, A]
            q = torch.softmax(log_q, -1).T[..., None]
            a = (each[z, mine] if think == "sample" else (q * each).sum(0)).argmax(-1)
            after, reward, _ = tasks.step(s[:, None], a[:, None], generator)
            surprise = (reward[:, 0] - R[:, s, a]) ** 2 / (2 * sigma**2)
            log_q = log_q + temper * (P[:, s, a, after[:, 0]].log() - surprise).T
            earned.append(mean[mine, s, a])
            s = after[:, 0]
    return torch.stack(earned).unflatten(0, (episodes, -1)).sum(1)


# The comparison


def _grid(**values) -> list[dict]:
    return [dict(zip(values, row, strict=True)) for row in product(*values.values())]


_STEPS, _BATCHES, _RATES, _BONUS = (3.0, 20.0), (1, 2), (0.1, 0.3), (0.0, 0.03)
METHODS: dict[str, tuple[Callable, dict, list[dict]]] = {  # learner, what is fixed, four recipes to search
    "from scratch": (gradient_method, {}, _grid(alpha=_STEPS, batch=_BATCHES)),
    "multi-task": (gradient_method, {"train": "joint"}, _grid(rate=_RATES, entropy=_BONUS)),
    "fine-tuning": (gradient_method, {"train": "joint"}, _grid(alpha=_STEPS, entropy=_BONUS)),
    "on a spring": (
        gradient_method,
        {"train": "joint", "alpha": 20.0},
        _grid(reg=(0.01, 0.1), entropy=_BONUS),
    ),
    "first-order MAML": (gradient_method, {"train": "first-order"}, _grid(alpha=_STEPS, rate=_RATES)),
    "MAML": (gradient_method, {"train": "second-order"}, _grid(alpha=_STEPS, rate=_RATES)),
    "RL²": (rl2, {}, _grid(rate=(0.02, 0.04), lives=(16, 32))),
    "task inference": (album, {}, _grid(temper=(0.3, 1.0), think=("sample", "mean"))),
}


def run(
    method: str, family: str, budget: int, seed: int, split: str = "test", draws: int = 10, **recipe
) -> dict[str, np.ndarray]:
    """One run: train each draw on `budget` steps, then live in the tasks of `split`.

    score [draws, episodes] there and, after the test, home [draws, episodes] in the training tasks; steps
    played by each draw, and seconds of processor time for the training of all.
    """
    torch.set_num_threads(1)
    began, world, (learn, fixed, _) = time.process_time(), FAMILIES[family], METHODS[method]
    tasks = world.make(draws, world.pool, "train", seed)
    targets = world.make(draws, world.targets, split, seed)
    pool = Counted(tasks, draws * budget)
    player = learn(pool, draws, world.episodes, torch.Generator().manual_seed(seed), **fixed, **recipe)
    seconds = time.process_time() - began
    found = {"score": score(player, targets, draws, world.episodes, seed + 10**6)}
    if split == "test":
        found["home"] = score(player, tasks, draws, world.episodes, seed + 10**6)
    return found | {"steps": np.array(pool.played / draws), "seconds": np.array(seconds)}


SEARCHED = ("bandits", "goals", "cousins")  # "new goals" borrows the recipes of "goals"
SEARCH_SEED, SEARCH_DRAWS = 100, 2
SEEDS = (0, 1)  # two sets of ten draws


def search_runs(budgets=BUDGETS, families=SEARCHED) -> list[dict]:
    """The search, for `sweeps.sweep`: all recipes of every method, on validation tasks, two draws each."""
    how = dict(seed=SEARCH_SEED, split="validation", draws=SEARCH_DRAWS)
    every = product(families, budgets, METHODS.items())
    return [dict(method=m, family=f, budget=b, **how, **r) for f, b, (m, (*_, grid)) in every for r in grid]


def recipe_of(one: dict) -> int:
    """Which of its method's recipes a run has."""
    return next(k for k, recipe in enumerate(METHODS[one["method"]][2]) if recipe.items() <= one.items())


def winners(tries: list[dict], results: list[dict]) -> dict[tuple, int]:
    """The recipe with the best validation score of whole lives, by (method, family, budget)."""
    scores: dict[tuple, dict[int, float]] = {}
    for one, found in zip(tries, results, strict=True):
        cell = scores.setdefault((one["method"], one["family"], one["budget"]), {})
        cell[recipe_of(one)] = float(found["score"].mean())
    best = {key: max(cell, key=cell.get) for key, cell in scores.items()}
    return best | {(m, "new goals", b): k for (m, f, b), k in best.items() if f == "goals"}


def compare_runs(best: dict[tuple, int], seeds=SEEDS, draws: int = 10) -> list[dict]:
    """The comparison, for `sweeps.sweep`: the winners, on test tasks."""
    how = dict(split="test", draws=draws)
    return [
        dict(method=m, family=f, budget=b, seed=seed, **how, **METHODS[m][2][k])
        for seed in seeds
        for (m, f, b), k in best.items()
    ]


def gathered(runs: list[dict], results: list[dict]) -> dict[str, np.ndarray]:
    """The comparison's `score` and `home` [methods, budgets, draws, episodes] of each family, and `recipe`,
    `steps` and `seconds` (of one draw) [methods, budgets]; draws of one seed after those of another."""
    rows: dict[tuple, list] = {}
    for one, found in zip(runs, results, strict=True):
        rows.setdefault((one["family"], one["method"], one["budget"]), []).append((one, found))
    budgets, tables = sorted({one["budget"] for one in runs}), {}
    for f in dict.fromkeys(family for family, *_ in rows):
        cells = [[rows[f, m, b] for b in budgets] for m in METHODS]
        for name in ("score", "home"):
            block = [[np.concatenate([x[name] for _, x in cell]) for cell in row] for row in cells]
            tables[f"{f}: {name}"] = np.array(block, dtype=np.float32)
        per_draw = [[np.sum([x["seconds"] for _, x in c]) / sum(len(x["score"]) for _, x in c) for c in row]
                    for row in cells]  # fmt: skip
        tables[f"{f}: seconds"] = np.array(per_draw, dtype=np.float32)
        tables[f"{f}: steps"] = np.array([[cell[0][1]["steps"] for cell in row] for row in cells])
        tables[f"{f}: recipe"] = np.array([[recipe_of(cell[0][0]) for cell in row] for row in cells])
    return tables


def gathered_search(tries: list[dict], results: list[dict]) -> dict[str, np.ndarray]:
    """Every recipe's validation score, for each family [methods, budgets, recipes, draws]."""
    budgets, found = sorted({one["budget"] for one in tries}), {}
    for one, result in zip(tries, results, strict=True):
        shape = len(METHODS), len(budgets), len(METHODS[one["method"]][2]), len(result["score"])
        table = found.setdefault(f"{one['family']}: search", np.zeros(shape, np.float32))
        at = list(METHODS).index(one["method"]), budgets.index(one["budget"]), recipe_of(one)
        table[at] = result["score"].mean(-1)
    return found
