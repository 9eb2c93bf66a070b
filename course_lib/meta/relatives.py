"""Related tasks, from twins to strangers: how chapter 20 fine-tunes tables of logits under a penalty.

The relatives are the random MDPs of Duan et al. (2016), mixed with a parent that all tasks of a draw share.
`apart` = 0 gives copies of the parent, 1 the strangers of `mdp_tasks`. The other family is the grid with a
hidden goal. Returns are undiscounted and have an exact value, by looking back from the horizon.
"""

import math
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor
from tqdm.auto import tqdm

from course_lib.agents.networks import Params, adam, adam_init, gradients, require_grad
from course_lib.meta import penalties
from course_lib.meta.maml import Loss
from course_lib.worlds.tasks import SHARES, GridGoalTasks, MDPTasks, Tasks, grid_goals, mdp_tasks

REGS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, math.inf)


def relatives(draws: int, M: int, apart: float, split: str, seed: int = 0) -> MDPTasks:
    """draws × M random MDPs, those of one draw after another: (1 − apart) parent + apart own, in P and R."""
    if not 0 <= apart <= 1:
        raise ValueError(f"apart is {apart}: give a number from 0 (copies) to 1 (strangers).")
    parent = mdp_tasks(draws, seed=2 * seed)[torch.arange(draws).repeat_interleave(M)]
    own = mdp_tasks(draws * M, split=split, seed=2 * seed + 1)
    mixed = [(1 - apart) * a + apart * b for a, b in ((parent.P, own.P), (parent.R, own.R))]
    return MDPTasks(*mixed)


def goals(draws: int, M: int, split: str, seed: int = 0) -> GridGoalTasks:
    """draws × M grids: each draw deals the 21 goals anew, 13 to train on, 4 and 4; they come in turn."""
    generator, rows = torch.Generator().manual_seed(seed), []
    for _ in range(draws):
        every = grid_goals(None)
        part = every[torch.randperm(21, generator=generator)].split([13, 4, 4])[list(SHARES).index(split)]
        rows.append(part[torch.arange(M) % len(part)])
    return GridGoalTasks(torch.cat(rows))


def tables(tasks: MDPTasks | GridGoalTasks) -> tuple[Tensor, Tensor]:
    """P [M, S, A, S] and mean rewards R [M, S, A]."""
    if isinstance(tasks, MDPTasks):
        return tasks.P, tasks.R
    S, A = tasks.obs_size, tasks.n_actions
    cells = torch.arange(S).expand(len(tasks), S)
    moves = [tasks.step(cells, torch.full_like(cells, a))[:2] for a in range(A)]
    P = torch.stack([torch.nn.functional.one_hot(after, S).float() for after, _ in moves], 2)
    return P, torch.stack([reward for _, reward in moves], 2)


def returns(logits: Tensor, P: Tensor, R: Tensor, horizon: int) -> Tensor:
    """The exact expected return of softmax(logits [..., S, A]) from state 0, [...]."""
    pi = torch.softmax(logits, -1)
    chain, reward = (pi[..., None] * P).sum(-2), (pi * R).sum(-1)
    V = torch.zeros_like(reward)
    for _ in range(horizon):
        V = reward + (chain @ V[..., None])[..., 0]
    return V[..., 0]


def pretrain(P: Tensor, R: Tensor, horizon: int, updates: int, rate: float = 0.1) -> Tensor:
    """Joint training: logits [D, S, A] for the mean return over tasks; P [D, M, S, A, S], R [D, M, S, A]."""
    theta = require_grad({"logits": torch.zeros_like(R[:, :1])})
    memory = adam_init(theta)
    for _ in range(updates):
        J = returns(theta["logits"], P, R, horizon).mean(1).sum()
        theta, memory = adam(theta, gradients(-J, theta), memory, rate)
    return theta["logits"].detach()[:, 0]


def play(tasks: Tasks, logits: Tensor, episodes: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """States, actions and rewards [M, E, T] of policies softmax(logits [M, S, A])."""
    state, steps = tasks.start(episodes, generator), []
    below, task = torch.softmax(logits, -1).cumsum(-1), torch.arange(len(tasks))[:, None]
    for _ in range(tasks.horizon):
        u = torch.rand(*state.shape, 1, generator=generator)
        action = (u > below[task, state]).sum(-1).clamp(max=logits.shape[-1] - 1)
        after, reward, _ = tasks.step(state, action, generator)
        steps.append((state, action, reward))
        state = after
    return tuple(torch.stack(part, -1) for part in zip(*steps, strict=True))


def reinforce(tasks: Tasks, episodes: int, generator: torch.Generator) -> Loss:
    """A loss for `adaptations`: fresh episodes at every call; its gradient is minus that of REINFORCE.

    The baseline of a step is the mean return to go of the *other* episodes, so the estimate is unbiased.
    """
    if episodes < 2:
        raise ValueError(f"episodes is {episodes}: the baseline needs at least 2.")

    def loss(params: Params) -> Tensor:
        state, action, reward = play(tasks, params["logits"].detach(), episodes, generator)
        to_go = reward.flip(-1).cumsum(-1).flip(-1)
        advantage = (to_go - to_go.mean(1, keepdim=True)) * episodes / (episodes - 1)
        log_pi = torch.log_softmax(params["logits"], -1)
        chosen = log_pi[torch.arange(len(tasks))[:, None, None], state, action]
        return -(chosen * advantage).sum(-1).mean(-1)

    return loss


def fisher(logits: Tensor, P: Tensor, horizon: int) -> Tensor:
    """The diagonal of the policy's Fisher information, [D, S, A], scaled to a mean of 1, exactly.

    It is d(s) π(a|s) (1 − π(a|s)), with d the visits within the horizon; P is the mean world [D, S, A, S].
    """
    pi = torch.softmax(logits, -1)
    chain = (pi[..., None] * P).sum(-2)
    d = torch.zeros_like(logits[..., 0])
    d[:, 0] = 1.0
    visits = d
    for _ in range(horizon - 1):
        d = (d[:, None] @ chain)[:, 0]
        visits = visits + d
    diagonal = visits[..., None] * pi * (1 - pi)
    return diagonal / diagonal.mean((-2, -1), keepdim=True)


def fine_tune(
    tasks: Tasks,
    theta: Tensor,
    alpha: float,
    regs: Sequence[float],
    weights: Tensor | None = None,
    episodes: int = 2,
    steps: int = 20,
    seed: int = 0,
) -> Tensor:
    """The exact return of every task after REINFORCE under each reg, [R, M]; theta, weights [M, S, A]."""
    many = tasks[torch.arange(len(tasks)).repeat(len(regs))]
    reg = torch.tensor(regs, dtype=torch.float32).repeat_interleave(len(tasks))
    begin = require_grad({"logits": theta.repeat(len(regs), 1, 1)})
    weights = None if weights is None else {"logits": weights.repeat(len(regs), 1, 1)}
    loss = reinforce(many, episodes, torch.Generator().manual_seed(seed))
    phi = penalties.adapt(begin, loss, alpha, steps, reg, weights, create_graph=False)["logits"].detach()
    return returns(phi.unflatten(0, (len(regs), -1)), *tables(tasks), tasks.horizon)


def sweep(
    family: float | str, alphas: Sequence[float], draws: int = 10, M: int = 20, seed: int = 0
) -> Tensor:
    """Mean returns by penalty (plain, Fisher), step size, validation or test, reg, draw: [2, A, 2, R, D].

    `family` is "goals", or how far apart the relatives are. Each draw has its own parent (or deal of goals),
    26 training tasks to pre-train on, and M tasks in the other splits.
    """
    make = lambda n, split: (  # noqa: E731
        goals(draws, n, split, seed) if family == "goals" else relatives(draws, n, family, split, seed)
    )
    train = make(26, "train")
    P, R = (x.unflatten(0, (draws, 26)) for x in tables(train))
    theta = pretrain(P, R, train.horizon, updates=60 if family == "goals" else 30)
    weights = fisher(theta, P.mean(1), train.horizon).repeat_interleave(M, 0)
    begin, scores = theta.repeat_interleave(M, 0), []
    cases = list(product((None, weights), alphas, enumerate(("validation", "test"))))
    for w, alpha, (k, split) in tqdm(cases, f"family {family}", leave=False):
        J = fine_tune(make(M, split), begin, alpha, REGS, w, seed=2 * seed + k)
        scores.append(J.unflatten(1, (draws, M)).mean(-1))
    return torch.stack(scores).unflatten(0, (2, len(alphas), 2))
