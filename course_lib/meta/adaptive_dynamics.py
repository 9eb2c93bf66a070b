"""Models of a world that adapt from the last k steps, and planning with them.

A model is an ordinary network of `agents.dynamics`. What differs between the ways is how the last k steps
turn into its parameters:

    "global"     not at all: one model for every task
    "gradient"   one gradient step on the last k steps, from a start and with step sizes made for that (GrBAL)
    "memory"     a recurrent network reads the k steps; what it remembers shifts the first layer's biases

So each way is a function from recent steps to parameters; the rest (predicting, planning) is the same. All
are trained alike: adapt to k steps, then predict the next `ahead` steps of the same task. Many runs, with
data of their own, are trained side by side: [R, ...] in front of every parameter, tasks in front of that.
Sources: Nagabandi et al. 2019 (GrBAL and its recurrent relative); Saemundsson et al. 2018 and Clavera et al.
2018 (other roads to model-based meta-RL); Finn et al. 2017; Li et al. 2017 (learned step sizes).
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.agents import dynamics, mpc
from course_lib.agents.dynamics import Normaliser
from course_lib.agents.networks import (
    Params,
    adam,
    adam_init,
    clip_each,
    gradients,
    gru_cell,
    gru_init,
    per_task,
    require_grad,
)
from course_lib.agents.training import generator_from, train
from course_lib.meta import maml

WAYS = ("global", "gradient", "memory")
LENGTHS = (1, 2, 4, 8, 16, 32)  # how many steps a model is trained to adapt from, by default


class Steps(NamedTuple):
    """What was seen s [..., T, S], done a [..., T, A], and came of it: target [..., T, D]."""

    s: Tensor
    a: Tensor
    target: Tensor

    @property
    def steps(self) -> int:
        return self.s.shape[-2]

    def part(self, begin: int, end: int) -> "Steps":
        """Steps begin … end − 1."""
        return Steps(*(x[..., begin:end, :] for x in self))


def cut(data: Steps, lives: Tensor, first: Tensor, length: int) -> Steps:
    """Stretches of `length` steps from data [M, R, T, ...]: of run r, life lives[b, r] from first[b, r] on.

    The result is [B, R, length, ...].
    """
    run = torch.arange(lives.shape[1])[None, :, None]
    when = first[..., None] + torch.arange(length)
    return Steps(*(x[lives[..., None], run, when] for x in data))


def scale_of(data: Steps) -> Normaliser:
    """A normaliser for each run of data [M, R, T, ...]; its tensors are [R, 1, ...]."""
    runs = [Steps(*(x[:, r].flatten(0, 1) for x in data)) for r in range(data.s.shape[1])]
    each = [dynamics.normaliser(*run) for run in runs]
    return Normaliser(*(torch.stack(x)[:, None] for x in zip(*each, strict=True)))


def squares(params: Params, scale: Normaliser, steps: Steps) -> Tensor:
    """The mean squared error of a model's means, in units of the targets' variance, [...]."""
    mean, _ = dynamics.predict(params, scale, steps.s, steps.a)
    return (((mean - steps.target) / scale.target_width) ** 2).mean(dim=(-2, -1))


# Three ways from recent steps to parameters


def init(
    way: str,
    state_size: int,
    action_size: int,
    targets: int,
    generator: torch.Generator,
    *,
    runs: int = 1,
    hidden: int = 32,
    alpha: float = 0.05,
    memory: int = 32,
) -> Params:
    """What a way learns, [R, ...]: the start `theta.…`, and for

    "gradient"   `rate.…`, the logarithm of a step size for every number of theta, at first alpha, and
                 `trust`, the logarithm of κ: with k steps the step is k/(k + κ) times as long
    "memory"     the recurrent unit `unit.…` and `shift` [R, memory, hidden], from memory to biases
    """
    if way not in WAYS:
        raise ValueError(f"way is {way!r}: choose one of {', '.join(WAYS)}.")
    sizes = dict(members=runs, hidden=hidden, targets=targets)
    theta = dynamics.dynamics_init(state_size, action_size, generator, **sizes)
    meta = {f"theta.{name}": p for name, p in theta.items()}
    if way == "gradient":
        meta |= {f"rate.{name}": torch.full_like(p, math.log(alpha)) for name, p in theta.items()}
        meta["trust"] = torch.full((runs,), 1.0)
    if way == "memory":
        inputs = state_size + action_size + targets
        units = [gru_init(inputs, memory, generator) for _ in range(runs)]
        meta |= {f"unit.{name}": torch.stack([u[name] for u in units]) for name in units[0]}
        meta["shift"] = torch.randn(runs, memory, hidden, generator=generator) / memory**0.5
    return meta


def part(meta: Params, prefix: str) -> Params:
    """The parameters whose names begin with prefix, without it."""
    return {name.removeprefix(prefix): p for name, p in meta.items() if name.startswith(prefix)}


def rates(meta: Params, k: int) -> Params:
    """The step sizes for k recent steps: the learned ones times k/(k + κ)."""
    trust = k / (k + meta["trust"].exp())
    each = part(meta, "rate.")
    return {name: p.exp() * trust.reshape(-1, *[1] * (p.ndim - trust.ndim)) for name, p in each.items()}


def by_gradient(meta: Params, scale: Normaliser, recent: Steps, create_graph: bool = False) -> Params:
    """One gradient step on recent steps [B, R, k, ...]: parameters [B, R, ...] (Nagabandi et al. 2019)."""
    theta = per_task(part(meta, "theta."), len(recent.s))
    if not create_graph:
        theta = require_grad(theta)
    step = rates(meta, recent.steps)
    with torch.enable_grad():
        phi = maml.adapt(theta, lambda p: squares(p, scale, recent), step, 1, create_graph)
    return phi if create_graph else {name: p.detach() for name, p in phi.items()}


def read(meta: Params, scale: Normaliser, recent: Steps) -> Tensor:
    """The memory after recent steps [B, R, k, ...], one after the other: [B, R, memory]."""
    unit = part(meta, "unit.")
    unit = {name: p.unsqueeze(-2) if name == "b" else p for name, p in unit.items()}  # [R, 1, 3H]
    x = torch.cat([scale.inputs(recent.s, recent.a), scale.targets(recent.target)], dim=-1)
    x = x.movedim(0, -2)  # [R, k, B, inputs]: a matrix product for all B at once
    memory = x.new_zeros(*x.shape[:1], x.shape[-2], meta["unit.Wh"].shape[-2])
    for t in range(x.shape[1]):
        memory = gru_cell(unit, x[:, t], memory)
    return memory.movedim(0, 1)


def by_memory(meta: Params, scale: Normaliser, recent: Steps, create_graph: bool = False) -> Params:
    """Read recent steps [B, R, k, ...], and shift the first layer's biases by what is remembered."""
    with torch.set_grad_enabled(create_graph):
        shift = (read(meta, scale, recent)[..., None, :] @ meta["shift"])[..., 0, :]
        theta = per_task(part(meta, "theta."), len(recent.s))
        return theta | {"b0": theta["b0"] + shift}


def globally(meta: Params, scale: Normaliser, recent: Steps, create_graph: bool = False) -> Params:
    """The same parameters for all tasks, whatever was seen."""
    return per_task(part(meta, "theta."), len(recent.s))


ADAPT = {"global": globally, "gradient": by_gradient, "memory": by_memory}


class FineTuning(NamedTuple):
    """How to fine-tune a global model: steps of plain descent, or of Adam, on all layers or the last."""

    rate: float = 0.01
    steps: int = 10
    rule: str = "descent"
    last_only: bool = False

    def __call__(self, meta: Params, scale: Normaliser, recent: Steps) -> Params:
        """Parameters [B, R, ...] after fine-tuning on recent steps [B, R, k, ...]."""
        if self.rule not in ("descent", "adam"):
            raise ValueError(f"rule is {self.rule!r}: choose descent or adam.")
        theta = require_grad(globally(meta, scale, recent))
        last = max(name[1:] for name in theta)
        names = [name for name in theta if not self.last_only or name[1:] == last]
        memory = adam_init({name: theta[name] for name in names})
        for _ in range(self.steps):
            moving = {name: theta[name] for name in names}
            grads = gradients(squares(theta, scale, recent).sum(), moving)
            if self.rule == "adam":
                moving, memory = adam(moving, grads, memory, self.rate)
            else:
                moving = {n: (p - self.rate * grads[n]).detach().requires_grad_() for n, p in moving.items()}
            theta = theta | moving
        return {name: p.detach() for name, p in theta.items()}


# Training


def learner(
    way: str,
    data: Steps,
    *,
    rate: float = 5e-3,
    updates: int = 2000,
    batch: int = 20,
    ahead: int = 16,
    lengths: Sequence[int] = LENGTHS,
    seed: int = 0,
    start: Params | None = None,
    **sizes,
) -> tuple[Callable[[], dict], Callable[[dict], dict]]:
    """(begin, update) for `agents.training.train`: learn a way on data [M, R, T, ...] of M tasks.

    Each update draws k from `lengths`, and in every run `batch` stretches of k + ahead steps; the model
    adapts to the first k, and the loss is its error on the rest. Adam's rate falls to 0 in the second half.
    start   go on from these parameters, rather than from `init` with `sizes`
    The state holds `meta` [R, ...], `adam`, `generator`, and `losses`, the mean one of each update.
    """
    if way not in WAYS:
        raise ValueError(f"way is {way!r}: choose one of {', '.join(WAYS)}.")
    M, R, T = data.s.shape[:3]
    if ahead < 1 or T < max(lengths) + ahead:
        raise ValueError(f"{T} steps are too few to adapt from {max(lengths)} and predict {ahead}.")
    scale = scale_of(data)

    def begin() -> dict:
        generator = torch.Generator().manual_seed(seed)
        shape = data.s.shape[-1], data.a.shape[-1], data.target.shape[-1]
        meta = start or init(way, *shape, generator, runs=R, **sizes)
        return {"meta": meta, "adam": adam_init(meta), "generator": generator.get_state(), "losses": []}

    def update(state: dict) -> dict:
        generator, meta = generator_from(state["generator"]), require_grad(state["meta"])
        k = lengths[int(torch.randint(len(lengths), (1,), generator=generator))]
        lives = torch.randint(M, (batch, R), generator=generator)
        first = torch.randint(T - k - ahead + 1, (batch, R), generator=generator)
        steps = cut(data, lives, first, k + ahead)
        params = ADAPT[way](meta, scale, steps.part(0, k), create_graph=True)
        loss = squares(params, scale, steps.part(k, k + ahead)).mean(dim=0).sum()  # runs share nothing
        grads = clip_each(gradients(loss, meta), 10.0)
        size = rate * min(1.0, 2 - 2 * len(state["losses"]) / updates)
        meta, memory = adam(meta, grads, state["adam"], size)
        meta = {name: p.detach() for name, p in meta.items()}
        losses = [*state["losses"], float(loss.detach()) / R]
        return {"meta": meta, "adam": memory, "generator": generator.get_state(), "losses": losses}

    return begin, update


def fit(
    way: str, data: Steps, *, updates: int = 2000, path: str | Path | None = None, show=False, **settings
) -> tuple[Params, Normaliser]:
    """What a way has learned after so many updates on data [M, R, T, ...], and the runs' normalisers.

    `settings` are those of `learner`. With `path`, a run that was stopped goes on bit for bit.
    """
    begin, update = learner(way, data, updates=updates, **settings)
    state = train(begin, update, updates, path=path, about=f"{way} dynamics", show=show)
    return state["meta"], scale_of(data)


# A policy for an ensemble


def metapolicy(
    theta: Params,
    cost: Callable[[Params], Tensor],
    members: int,
    alpha: float,
    *,
    steps: int = 1,
    updates: int = 300,
    rate: float = 0.02,
) -> Params:
    """A policy from which `steps` gradient steps in a member's model go far, for all members of an ensemble.

    cost(params [B, ...]) -> [B]: what each member's model says that its copy of the policy costs. The members
    are the tasks of `meta.maml` (MB-MPO: Clavera et al. 2018); steps = 0: one policy, good on average.
    """
    memory = adam_init(theta)
    for _ in range(updates):
        theta = require_grad(theta)
        loss = maml.meta_loss(theta, cost, cost, members, alpha, steps)
        theta, memory = adam(theta, gradients(loss, theta), memory, rate)
    return {name: p.detach() for name, p in theta.items()}


# Judging and planning


def errors(
    adapt: Callable[..., Params],
    meta: Params,
    scale: Normaliser,
    data: Steps,
    k: int,
    at: int,
    ahead: int = 16,
) -> Tensor:
    """Mean squared errors on steps at … at + ahead − 1, after adapting to the k steps before `at`.

    [M, R, D], in the data's units, for data [M, R, T, ...]; k = 0 asks the start as it is.
    """
    if not 0 <= k <= at <= data.steps - ahead:
        raise ValueError(f"k is {k}, at {at} and ahead {ahead}, of {data.steps} steps: they do not fit.")
    way = adapt if k else globally
    params = way(meta, scale, data.part(at - k, at))
    asked = data.part(at, at + ahead)
    with torch.no_grad():
        mean, _ = dynamics.predict(params, scale, asked.s, asked.a)
        return ((mean - asked.target) ** 2).mean(dim=-2)


def for_planning(params: Params, scale: Normaliser, lives: int, observe) -> dynamics.Model:
    """The model of `agents.mpc` from parameters [B, R, ...]: episode b · R + r has those at [b, r]."""
    flat = {name: p.flatten(0, 1)[None] for name, p in params.items()}
    wide = Normaliser(*(x.expand(lives, *x.shape).flatten(0, 1) for x in scale))  # [B · R, 1, ...]
    return dynamics.as_model(flat, wide, observe)


def control(
    tasks,
    adapt: Callable[..., Params] | None,
    meta: Params,
    scale: Normaliser,
    k: int,
    steps: int,
    generator: torch.Generator,
    *,
    planner: Callable = mpc.cem,
    **settings,
) -> tuple[Steps, Tensor]:
    """Plan with a model that adapts to the last k steps: what happened and rewards, [B, R, steps, ...].

    tasks   B · R of them, one episode each; task b · R + r is played by run r
    adapt   as in ADAPT, or a FineTuning; None: the true model of each task
    The targets are the change of the state, and the reward. `settings` go to the planner, which begins with
    what is left of the last plan.
    """
    R, observe = len(scale.input_width), tasks.observe
    state, plan, seen = tasks.start(1, generator), None, []
    for _ in range(steps):
        flat = state[:, 0]
        if adapt is None:
            model = mpc.true_model(tasks.calm)
        else:
            theta = per_task(part(meta, "theta."), len(flat) // R)
            params = adapt(meta, scale, _joined(seen[-k:])) if k and seen else theta
            model = for_planning(params, scale, len(flat) // R, observe)
        begin = {} if plan is None else {"start": mpc.shift(plan)}
        with torch.no_grad():
            plan = planner(model, flat, generator=generator, **begin, **settings)
        state, row = _step(tasks, state, plan[:, :1], generator, R)
        seen.append(row)
    life = _joined(seen)
    return life, life.target[..., -1]


def _step(tasks, state: Tensor, action: Tensor, generator: torch.Generator, R: int) -> tuple[Tensor, Steps]:
    """The next states, and what happened, [B, R, 1, ...]."""
    after, reward, _ = tasks.step(state, action, generator)
    row = tasks.observe(state), action, torch.cat([after - state, reward[..., None]], dim=-1)
    return after, Steps(*(x.reshape(-1, R, 1, x.shape[-1]) for x in row))


def _joined(seen: list[Steps]) -> Steps:
    return Steps(*(torch.cat(x, dim=-2) for x in zip(*seen, strict=True)))


def random_steps(tasks, runs: int, steps: int, generator: torch.Generator, limit: float = 2.0) -> Steps:
    """What happens under random torques, in the form of `control`: [B, R, steps, ...].

    tasks may be a function: tasks(t) are those of step t, which may change on the way.
    """
    tasks_at = tasks if callable(tasks) else lambda t: tasks
    state, seen = tasks_at(0).start(1, generator), []
    for t in range(steps):
        action = limit * (2 * torch.rand(len(state), 1, 1, generator=generator) - 1)
        state, row = _step(tasks_at(t), state, action, generator, runs)
        seen.append(row)
    return _joined(seen)
