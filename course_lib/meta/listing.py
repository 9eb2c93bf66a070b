"""Finite worlds in which what a meta-gradient estimator expects can be summed up exactly.

`Tables` plays samples; `expected_estimate` runs the same estimators on all data sets and all episodes, each
with its chance, so that an estimate from samples has an exact mean to be held against.
"""

import math
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import numpy as np
import torch
from torch import Tensor

from course_lib.agents.networks import Params, per_task
from course_lib.meta.meta_gradient import Data, equal_shares, estimates


@dataclass(frozen=True)
class Tables:
    """M finite worlds with episodes of T steps; the policy is the softmax of params["theta"] [M, S, A].

    Weights are γ^t (G_t − b(s_t)), with G_t the return from t on and a baseline [S], 0 by default: ĝ is
    unbiased. `play` draws `episodes` episodes a task.
    """

    P: Tensor  # [M, S, A, S]
    R: Tensor  # [M, S, A]
    start: Tensor  # [M, S]
    horizon: int
    gamma: float
    episodes: int
    generator: torch.Generator
    baseline: Tensor | None = None  # [S]

    @classmethod
    def of(cls, mdps, horizon: int, episodes: int, generator: torch.Generator, copies: int = 1) -> "Tables":
        """Each of these (dense) MDPs `copies` times, one after the other; all with the same γ and size."""
        parts = ([np.array(getattr(m, name)) for m in mdps] for name in ("P", "R", "start"))
        P, R, start = (torch.tensor(np.stack(part)).repeat_interleave(copies, dim=0) for part in parts)
        return cls(P, R, start, horizon, mdps[0].gamma, episodes, generator)

    def to(self, device: str | torch.device) -> "Tables":
        """The same worlds on another device; the generator stays where it is."""
        moved = {name: x.to(device) for name in ("P", "R", "start", "baseline")
                 if (x := getattr(self, name)) is not None}  # fmt: skip
        return replace(self, **moved)

    def play(self, params: Params) -> Data:
        with torch.no_grad():
            pi, rows = (
                params["theta"].softmax(dim=-1),
                torch.arange(len(self.P), device=self.P.device)[:, None],
            )
            s = self._draw(self.start[:, None].expand(-1, self.episodes, -1))
            steps = []
            for _ in range(self.horizon):
                a = self._draw(pi[rows, s])
                steps.append((s, a, self.R[rows, s, a]))
                s = self._draw(self.P[rows, s, a])
            obs, action, reward = (torch.stack(part, dim=-1) for part in zip(*steps, strict=True))
            return Data(obs, action, reward, equal_shares(reward))

    def _draw(self, p: Tensor) -> Tensor:
        """One index of the last axis, with probabilities p [..., n]."""
        u = torch.rand(p.shape[:-1], generator=self.generator, dtype=p.dtype, device=self.generator.device)
        return (u.to(p.device)[..., None] >= p.cumsum(dim=-1)[..., :-1]).sum(dim=-1)

    def log_prob(self, params: Params, data: Data) -> Tensor:
        rows = torch.arange(len(data.obs), device=data.obs.device)[:, None, None]
        return params["theta"].log_softmax(dim=-1)[rows, data.obs, data.action]

    def weight(self, data: Data) -> Tensor:
        discount = self._discount(data.reward)
        to_go = (discount * data.reward).flip(-1).cumsum(-1).flip(-1)
        return to_go if self.baseline is None else to_go - discount * self.baseline[data.obs]

    def value(self, data: Data) -> Tensor:
        return (self._discount(data.reward) * data.reward).sum(dim=-1)

    def _discount(self, reward: Tensor) -> Tensor:
        """γ^t, [T], of the same kind as the rewards."""
        return torch.full_like(reward[0, 0], self.gamma) ** torch.arange(self.horizon, device=reward.device)


def every_episode(mdp, horizon: int) -> tuple[Data, Tensor]:
    """All episodes that can happen in a (dense) MDP, [1, n, T], and what the world adds to their chance, [n].

    The chance of an episode is the world's part times Π_t π(a_t|s_t).
    """
    found = []

    def go(s: int, chance: float, steps: list) -> None:
        if len(steps) == horizon:
            found.append((chance, steps))
            return
        for a in range(mdp.A):
            pair = [*steps, (s, a, mdp.R[s, a])]
            if len(pair) == horizon:  # where the last step leads does not matter
                go(s, chance, pair)
            else:
                for s2 in np.flatnonzero(mdp.P[s, a]):
                    go(int(s2), chance * mdp.P[s, a, s2], pair)

    for s in np.flatnonzero(mdp.start):
        go(int(s), float(mdp.start[s]), [])
    steps = torch.tensor(np.array([steps for _, steps in found])).movedim(-1, 0)[:, None]  # [3, 1, n, T]
    world = torch.tensor([chance for chance, _ in found], dtype=torch.float64)
    return Data(steps[0].long(), steps[1].long(), steps[2], world[None]), world


def every_data_set(n: int, episodes: int) -> tuple[Tensor, Tensor]:
    """All sets of `episodes` of n possible episodes, indices [D, E], and in how many orders each comes, [D].

    There are (n + E − 1 choose E) of them. ValueError above 200,000.
    """
    size = math.comb(n + episodes - 1, episodes)
    if size > 200_000:
        raise ValueError(f"{size:,} data sets of {episodes} of {n} episodes: give fewer episodes.")
    sets = torch.tensor(list(combinations_with_replacement(range(n), episodes)))
    counts = (sets[:, :, None] == torch.arange(n)).sum(dim=1)
    log_orders = math.lgamma(episodes + 1) - torch.lgamma(counts + 1.0).double().sum(dim=-1)
    return sets, log_orders.exp().round()


@dataclass(frozen=True)
class _Listed(Tables):
    """Plays no episodes: first hands out the data sets in `first`, then all episodes with their chances."""

    listed: Data | None = None
    first: list | None = None

    def play(self, params: Params) -> Data:
        if self.first:
            return self.first.pop(0)
        D = len(params["theta"])
        data = Data(*(x.expand(D, *x.shape[1:]) for x in self.listed))
        with torch.no_grad():
            chance = data.share * self.log_prob(params, data).sum(dim=-1).exp()
        return data._replace(share=chance)


def expected_estimate(
    mdp, theta: np.ndarray, horizon: int, episodes: int, alpha: float, estimator: str = "DiCE", baseline=None
) -> np.ndarray:
    """What `estimates` gives on average, [S, A], exactly: all data sets, and all episodes after each.

    One inner step, `episodes` inner episodes. The very code of the estimators runs, on listed episodes.
    """
    listed, world = every_episode(mdp, horizon)
    sets, orders = every_data_set(len(world), episodes)
    parts = [x[0][sets] for x in listed[:3]]  # [D, E, T]
    data = Data(*parts, equal_shares(parts[2]))
    b = None if baseline is None else torch.as_tensor(baseline)
    tables = Tables.of([mdp], horizon, episodes, torch.Generator())
    worlds = _Listed(**vars(replace(tables, baseline=b)), listed=listed, first=[data])
    params = {"theta": torch.tensor(theta, dtype=torch.float64)}
    each = estimates(params, worlds, len(sets), alpha, 1, estimator)["theta"]
    policy = worlds.log_prob(per_task(params, len(sets)), data).sum(dim=-1).exp()  # [D, E]
    chance = orders * (world[sets] * policy).prod(dim=-1)
    return (chance[:, None, None] * each).sum(dim=0).numpy()


def expected_mean(
    mdps, theta: np.ndarray, horizon: int, episodes: int, alpha: float, estimator: str
) -> np.ndarray:
    """`expected_estimate`, the mean over several tasks."""
    each = [expected_estimate(mdp, theta, horizon, episodes, alpha, estimator) for mdp in mdps]
    return np.mean(each, axis=0)


@dataclass
class Given:
    """The tables' worlds, but `play` hands out these data sets, one after the other."""

    tables: Tables
    sets: list[Data]

    def __post_init__(self):
        self.log_prob, self.weight, self.value = self.tables.log_prob, self.tables.weight, self.tables.value
        self.sets = list(self.sets)

    def play(self, params: Params) -> Data:
        return self.sets.pop(0)


def sampled_estimates(
    mdps, theta: np.ndarray, horizon: int, episodes: int, alpha: float, estimator: str, copies: int, seed: int
) -> np.ndarray:
    """Independent estimates of the meta-gradient, each the mean over the tasks `mdps`, [copies, S, A]."""
    generator = torch.Generator().manual_seed(seed)
    worlds = Tables.of(mdps, horizon, episodes, generator, copies)
    theta = {"theta": torch.tensor(theta, dtype=torch.float64)}
    each = estimates(theta, worlds, len(mdps) * copies, alpha, 1, estimator)["theta"]
    return each.reshape(len(mdps), copies, *each.shape[1:]).mean(dim=0).numpy()


def finite_gradient(mdp, theta: np.ndarray, horizon: int, episodes: int, alpha: float) -> np.ndarray:
    """The gradient [S, A] of E over data sets D of J(θ + α ĝ(θ, D)), by differentiating the sum over all D.

    Written from the definition, without any estimator: what E-MAML is held against.
    """
    theta = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    listed, world = every_episode(mdp, horizon)
    s, a = listed.obs[0], listed.action[0]
    discounted = listed.reward[0] * mdp.gamma ** torch.arange(horizon, dtype=torch.float64)
    to_go = discounted.flip(-1).cumsum(-1).flip(-1)  # [n, T]
    log_pi = theta.log_softmax(dim=-1)
    score = torch.eye(theta.shape[1], dtype=theta.dtype)[a] - log_pi.exp()[s]  # [n, T, A]
    each = torch.zeros(len(world), *theta.shape, dtype=theta.dtype)
    rows = torch.arange(len(world))
    for t in range(horizon):
        each = each.index_put((rows, s[:, t]), to_go[:, t, None] * score[:, t], accumulate=True)
    sets, orders = every_data_set(len(world), episodes)
    chance = orders * (world * log_pi[s, a].sum(-1).exp())[sets].prod(dim=-1)
    phi = (theta + alpha * each[sets].mean(dim=1)).log_softmax(dim=-1)  # [D, S, A]
    after = world * phi[:, s, a].sum(dim=-1).exp()  # [D, n]
    return torch.autograd.grad(chance @ (after @ discounted.sum(-1)), theta)[0].numpy()
