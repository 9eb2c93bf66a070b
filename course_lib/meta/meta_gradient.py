"""Meta policy gradients: the gradient of "how good is the policy after it has learned", from samples.

From the shared θ each task plays episodes D, takes a policy-gradient step to φ = θ + α ĝ(θ, D), and plays
again.
Two objectives look alike and have different gradients:

    infinite inner data   J(θ + α ∇J(θ))
    finite inner data     E over D of J(θ + α ĝ(θ, D))

An estimator says how it differentiates the inner step, and whether it counts that θ also decides which D are
drawn (the score term). All estimators play the same episodes and take the same inner steps.
Many tasks run side by side, as in `meta.maml`: parameters [M, ...], one objective a task, [M].
Sources: Finn et al. 2017 (MAML); Stadie et al. 2018 (E-MAML); Foerster et al. 2018 (DiCE); Farquhar et al.
2019 (its form with advantages); Rothfuss et al. 2019 (LVC, ProMP); Vuorio et al. 2022 (the two objectives);
Duan et al. 2016 (the linear baseline).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from course_lib.agents import policy_gradient as pg
from course_lib.agents.networks import (
    Params,
    adam,
    adam_init,
    clip_norm,
    gradients,
    mlp_init,
    per_task,
    require_grad,
)
from course_lib.meta.maml import Rate, adapt

Rates = Rate | list  # an inner step size (`maml`), or one for every step
CURVATURES = ("none", "log", "ratio", "DiCE")
ESTIMATORS = {  # how the inner step is differentiated, and whether the score of the inner data is added
    "first-order": ("none", False),
    "naive": ("log", False),
    "E-MAML": ("log", True),
    "LVC": ("ratio", False),
    "DiCE": ("DiCE", False),
    "DiCE + score": ("DiCE", True),
}


class Data(NamedTuple):
    """Episodes of M tasks side by side, T steps each; `share` sums to 1 over a task's episodes."""

    obs: Tensor  # [M, E, T, ...]
    action: Tensor  # [M, E, T, ...]
    reward: Tensor  # [M, E, T]
    share: Tensor  # [M, E]: 1/E for samples, probabilities where all possible episodes are listed


class Worlds(Protocol):
    """M tasks that an estimator can play in: `meta.listing.Tables`, `Networks`, or your own."""

    def play(self, params: Params) -> Data: ...
    def log_prob(self, params: Params, data: Data) -> Tensor: ...  # [M, E, T]
    def weight(self, data: Data) -> Tensor: ...  # [M, E, T], what each step's score is multiplied by
    def value(self, data: Data) -> Tensor: ...  # [M, E], the return of each episode


# Estimators


def surrogate(log_prob: Tensor, weight: Tensor, share: Tensor, curvature: str = "DiCE") -> Tensor:
    """Numbers [M] whose gradient is ĝ = Σ_t w_t ∇ log π_t (mean over episodes), for every `curvature`.

    With l_t = log π(a_t|s_t), c = l_0 + … + l_(t−1), the second derivative of a step is w_t times
    "log"     ∇²l_t                                                     (naive)
    "ratio"   ∇²l_t + ∇l_t ∇l_tᵀ                                        (LVC)
    "DiCE"    ∇²l_t + ∇l_t ∇l_tᵀ + ∇l_t ∇cᵀ + ∇c ∇l_tᵀ                  (the Hessian of J, on average)
    """
    if curvature not in CURVATURES:
        raise ValueError(f"curvature is {curvature!r}: choose one of {', '.join(CURVATURES)}.")
    if curvature in ("none", "log"):
        steps = log_prob
    elif curvature == "ratio":
        steps = _one(log_prob)
    else:
        so_far = log_prob.cumsum(dim=-1)
        steps = _one(so_far) - _one(so_far - log_prob)
    return ((steps * weight).sum(dim=-1) * share).sum(dim=-1)


def _one(log_prob: Tensor) -> Tensor:
    """1, with the derivatives of the probability divided by itself: Foerster's magic box."""
    return torch.exp(log_prob - log_prob.detach())


def adapted(
    params: Params, worlds: Worlds, alpha: Rates, steps: int = 1, curvature: str = "DiCE"
) -> tuple[Params, Tensor, list[Tensor]]:
    """Parameters [M, ...] after `steps` steps, each on fresh episodes, and log p of all of these, [M].

    Last, for each of the steps the surrogate [M] of the policy that it started from, on the same episodes.
    alpha may be a list with one for every step.
    """
    log_p, on_the_way = [], []

    def loss(now: Params) -> Tensor:
        data = worlds.play(now)
        log_prob, weight = worlds.log_prob(now, data), worlds.weight(data)
        log_p.append(log_prob.sum(dim=(1, 2)))
        on_the_way.append(surrogate(log_prob, weight, data.share, "log"))
        return -surrogate(log_prob, weight, data.share, curvature)

    for size in alpha if isinstance(alpha, list | tuple) else [alpha] * steps:
        params = adapt(params, loss, size, 1, create_graph=curvature != "none")
    return params, sum(log_p), on_the_way


def objectives(
    params: Params,
    worlds: Worlds,
    alpha: Rates,
    steps: int = 1,
    estimator: str = "DiCE",
    leave_one_out: bool = False,
    every_step: bool = False,
) -> tuple[Tensor, Tensor]:
    """One number a task, [M], whose gradient is the meta-gradient's estimate; and the return after adapting.

    params are those of each task, [M, ...]: the gradient of the sum with respect to them holds one
    independent estimate a task. `leave_one_out` subtracts the other tasks' mean return in the score term,
    which scatters less and expects the same. `every_step`: the objective is the sum over the returns after
    each step, not the last one alone; this needs no further episodes (not for estimators with a score term).
    """
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator is {estimator!r}: choose one of {', '.join(ESTIMATORS)}.")
    curvature, with_score = ESTIMATORS[estimator]
    if with_score and every_step:
        raise ValueError(f"every_step has no score terms: take another estimator than {estimator!r}.")
    phi, log_p, on_the_way = adapted(params, worlds, alpha, steps, curvature)
    data = worlds.play(phi)
    result = surrogate(worlds.log_prob(phi, data), worlds.weight(data), data.share, "log")
    value = (worlds.value(data) * data.share).sum(dim=-1).detach()
    if with_score and steps:
        baseline = (value.sum() - value) / (len(value) - 1) if leave_one_out and len(value) > 1 else 0.0
        result = result + (value - baseline) * log_p
    return result + sum(on_the_way[1:]) if every_step else result, value


def estimates(
    theta: Params, worlds: Worlds, tasks: int, alpha: Rates, steps: int = 1, estimator: str = "DiCE"
) -> Params:
    """Independent estimates of the meta-gradient, one for each of the tasks, [M, ...]."""
    params = require_grad(per_task(theta, tasks))
    return gradients(objectives(params, worlds, alpha, steps, estimator)[0].sum(), params)


def meta_gradient(
    theta: Params, worlds: Worlds, tasks: int, alpha: Rates, steps: int = 1, estimator: str = "DiCE"
) -> tuple[Params, Tensor]:
    """The mean estimate over the tasks, and each task's mean return after adapting, [M]."""
    theta = require_grad(theta)
    result, value = objectives(per_task(theta, tasks), worlds, alpha, steps, estimator, leave_one_out=True)
    return gradients(result.mean(), theta), value


def equal_shares(reward: Tensor) -> Tensor:
    return torch.full_like(reward[..., 0], 1 / reward.shape[1])


# Networks


@dataclass(frozen=True)
class Networks:
    """Tasks with continuous actions (`worlds.tasks`); the policy is normal around a network's output.

    The network's output times `scale` is the mean action. Weights are returns to go (discount gamma) minus a
    baseline, linear in features of position and time and fitted for each task, divided by T. They are not
    scaled to variance 1: an adapted policy, with little left to gain, should take a small step.
    """

    tasks: object
    episodes: int
    generator: torch.Generator
    gamma: float = 0.9
    scale: float = 0.1

    def play(self, params: Params) -> Data:
        with torch.no_grad():
            tasks, steps = self.tasks, []
            s = tasks.start(self.episodes, self.generator)
            layers, std = _layers(params), params["log_std"].exp().unsqueeze(-2)
            shape = (tasks.horizon, *s.shape[:2], tasks.action_size)
            noise = torch.randn(shape, generator=self.generator, device=self.generator.device).to(s.device)
            for e in (std * noise).unbind():
                obs = tasks.observe(s)
                action = _mean_action(layers, obs) + e
                s, reward, _ = tasks.step(s, self.scale * action, self.generator)
                steps.append((obs, action, reward))
            obs, action, reward = (torch.stack(part, dim=2) for part in zip(*steps, strict=True))
            return Data(obs, action, reward, equal_shares(reward))

    def log_prob(self, params: Params, data: Data) -> Tensor:
        obs, action = (x.flatten(1, 2) for x in (data.obs, data.action))
        return pg.log_prob(params, _mean_action(_layers(params), obs), action).reshape(data.reward.shape)

    def weight(self, data: Data) -> Tensor:
        to_go = returns_to_go(data.reward, self.gamma)
        adv = to_go - linear_baseline(data.obs, to_go)
        return adv / data.reward.shape[-1]

    def value(self, data: Data) -> Tensor:
        return data.reward.sum(dim=-1)


def _layers(params: Params) -> list[tuple[Tensor, Tensor]]:
    return [(params[f"pi_W{k}"], params[f"pi_b{k}"].unsqueeze(-2)) for k in range(len(params) // 2)]


def _mean_action(layers: list[tuple[Tensor, Tensor]], x: Tensor) -> Tensor:
    """What `pg.outputs` gives, with fewer passes over memory: x W + b in one, and tanh in place."""
    for W, b in layers[:-1]:
        x = torch.baddbmm(b, x, W).tanh_()
    return torch.baddbmm(layers[-1][1], x, layers[-1][0])


def returns_to_go(reward: Tensor, gamma: float) -> Tensor:
    """G_t = r_t + γ r_(t+1) + …, over the last axis."""
    G, backwards = torch.zeros_like(reward[..., 0]), []
    for r in reversed(reward.unbind(-1)):
        G = r + gamma * G
        backwards.append(G)
    return torch.stack(backwards[::-1], dim=-1)


def linear_baseline(obs: Tensor, to_go: Tensor, ridge: float = 1e-5) -> Tensor:
    """The least-squares fit of returns to go [M, E, T] by features of state and time, task by task.

    In double precision: t, t² and t³ are nearly dependent, and single precision lost four digits of the fit.
    """
    M, E, T, _ = obs.shape
    t = (torch.arange(T, device=obs.device, dtype=obs.dtype) / T).expand(M, E, T)[..., None]
    x = torch.cat([obs, obs**2, t, t**2, t**3, torch.ones_like(t)], dim=-1).flatten(1, 2).double()
    gram = x.mT @ x + ridge * len(x[0]) * torch.eye(x.shape[-1], device=x.device, dtype=x.dtype)
    w = torch.linalg.solve(gram, x.mT @ to_go.flatten(1)[..., None].double())
    return (x @ w).reshape(to_go.shape).to(to_go.dtype)


def policy_init(tasks, hidden, generator: torch.Generator, log_std: float = 0.0) -> Params:
    """Parameters of a normal policy for `Networks`: the mean from a network, one log deviation an action."""
    net = mlp_init([tasks.obs_size, *hidden, tasks.action_size], generator, last=0.1)
    std = torch.full((tasks.action_size,), log_std, device=generator.device)
    return {f"pi_{name}": p for name, p in net.items()} | {"log_std": std}


def learner(
    draw: Callable[[int], object],
    tasks: int,
    *,
    hidden=(64, 64),
    episodes: int = 20,
    alpha: float = 0.1,
    steps: int = 1,
    rate: float | Callable[[int], float] = 1e-3,
    estimator: str = "LVC",
    learn_alpha: bool = False,
    every_step: bool = False,
    limit: float = 1.0,
    log_std: float = 0.0,
    seed: int = 0,
    device: str = "cpu",
) -> tuple[Callable[[], dict], Callable[[dict], dict]]:
    """(begin, update) for `agents.training.train`: the loop of seven steps, with Adam outside.

    draw         draw(seed) -> a fresh batch of `tasks` tasks
    learn_alpha  whether each tensor learns an inner step size of its own, for each step, from alpha on
    every_step   as in `objectives`
    limit        the largest length of the meta-gradient: longer ones are scaled down
    The state holds `free`, for `learned`, and `curve`: the mean return after adapting, one number an update.
    """

    def begin() -> dict:
        theta = policy_init(draw(0), hidden, torch.Generator().manual_seed(seed), log_std)  # on the CPU: the
        free = {"theta." + name: p for name, p in theta.items()}  # same on every device
        if learn_alpha:
            first = torch.tensor(math.log(alpha))
            free |= {f"log_alpha.{k}.{name}": first for k in range(steps) for name in theta}
        free = {name: p.to(device) for name, p in free.items()}
        state = torch.Generator(device).manual_seed(seed).get_state()
        return {"free": free, "adam": adam_init(free), "generator": state, "curve": []}

    def update(state: dict) -> dict:
        count, generator = len(state["curve"]), torch.Generator(device)
        generator.set_state(state["generator"])
        free = require_grad(state["free"])
        theta, sizes = learned(free)
        worlds = Networks(draw(1_000_003 * seed + count).to(device), episodes, generator)  # 1. tasks
        result, value = objectives(  # 2. play, 3. adapt, 4. play
            per_task(theta, tasks), worlds, sizes or alpha, steps, estimator, True, every_step
        )
        grads = clip_norm(gradients(-result.mean(), free), limit)  # 5.
        free, memory = adam(free, grads, state["adam"], rate(count) if callable(rate) else rate)  # 6.
        free, curve = {k: p.detach() for k, p in free.items()}, [*state["curve"], float(value.mean())]
        return {"free": free, "adam": memory, "generator": generator.get_state(), "curve": curve}  # 7.

    return begin, update


def learned(free: Params) -> tuple[Params, list[Params]]:
    """theta, and the learned step sizes of each step (or an empty list), from a learner's state["free"]."""
    theta = {k.removeprefix("theta."): p for k, p in free.items() if k.startswith("theta.")}
    sizes = {}
    for name, p in free.items():
        if name.startswith("log_alpha."):
            _, k, name = name.split(".")
            sizes.setdefault(int(k), {})[name] = p.exp()
    return theta, [sizes[k] for k in sorted(sizes)]


def returns_after(theta: Params, worlds: Networks, alpha: Rates, steps: int, still: bool = False) -> Tensor:
    """The mean return of each task after 0, 1, …, `steps` inner steps on fresh episodes, [steps + 1, M].

    alpha may be a list with one for every step. `still`: judged by the mean actions, without noise; the steps
    are taken on noisy episodes all the same.
    """
    sizes = list(alpha) if isinstance(alpha, list | tuple) else [alpha] * steps
    phi, found = require_grad(per_task(theta, len(worlds.tasks))), []
    for k in range(steps + 1):
        judged = phi | {"log_std": phi["log_std"] - 20} if still else phi
        found.append(worlds.value(worlds.play(judged)).mean(dim=-1))
        if k < steps:
            phi = require_grad(adapted(phi, worlds, sizes[k], 1, "none")[0])
    return torch.stack(found)
