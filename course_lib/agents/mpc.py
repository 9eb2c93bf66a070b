"""Planning with a model at every step (model predictive control): random shooting, CEM and MPPI, in batches.

A model is a function (state [E, N, S], action [E, N, A]) -> (state2, reward): E episodes, N candidate plans
of each. It may return more axes in front, such as the members of an ensemble: their rewards are averaged. A
plan is a sequence of H actions, [H, A], each in the box [−limit, limit]. Plans are clipped *before* they are
rolled out: what is judged is what will be done.
Sources: Rubinstein & Kroese 2004 (CEM); Williams et al. 2017 (MPPI); Chua et al. 2018 (with ensembles).
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.agents import dynamics
from course_lib.agents.dynamics import Model, Normaliser, Observe

CORRECTIONS = ("nothing", "action", "model")
Final = Callable[[Tensor], Tensor]


class Round(NamedTuple):
    """One round of a planner: the plans it tried [E, N, H, A], their values [E, N], and what follows.

    `mean` and `spread` [E, H, A] are where the next round looks; `mean` is the plan so far. `weights` [E, N]
    say how much each tried plan counted in it; they sum to 1.
    """

    plans: Tensor
    values: Tensor
    weights: Tensor
    mean: Tensor
    spread: Tensor


def true_model(world) -> Model:
    """A world that is known, as a model: its own step, without noise."""
    return lambda state, action: world.step(state, action)[:2]


def value_of(model: Model, state: Tensor, plans: Tensor, final: Final | None = None) -> Tensor:
    """The sum of rewards [E, N] that the model expects of plans [E, N, H, A] from states [E, S].

    `final` values the state after the last action, [..., S] -> [...]; by default it is worth 0.
    """
    now, total = state[:, None].expand(*plans.shape[:2], state.shape[-1]), 0.0
    for t in range(plans.shape[2]):
        now, reward = model(now, plans[:, :, t])
        total = total + reward
    if final is not None:
        total = total + final(now)
    return total.reshape(-1, *plans.shape[:2]).mean(0)


def imagine(model: Model, state: Tensor, actions: Tensor) -> Tensor:
    """The states that the model expects of one plan [E, H, A] for each state [E, S]: [..., E, H + 1, S]."""
    now = state[:, None]
    path = [now]
    for t in range(actions.shape[1]):
        now, _ = model(now, actions[:, None, t])
        path.append(now)
    return torch.cat([x.expand_as(path[-1]) for x in path], dim=-2)


def random_shooting(
    model: Model,
    state: Tensor,
    horizon: int,
    generator: torch.Generator,
    *,
    plans: int = 500,
    limit: float | Tensor = 1.0,
    action_size: int = 1,
    final: Final | None = None,
) -> Tensor:
    """The best of `plans` plans drawn uniformly from the box: actions [E, H, A]."""
    shape = (len(state), _count("plans", plans), _count("horizon", horizon), action_size)
    u = torch.rand(shape, generator=generator, dtype=state.dtype, device=generator.device)
    actions = (2 * u.to(state.device) - 1) * limit
    best = value_of(model, state, actions, final).argmax(dim=1)
    return actions[torch.arange(len(state), device=state.device), best]


def cem_rounds(
    model: Model,
    state: Tensor,
    horizon: int,
    generator: torch.Generator,
    *,
    plans: int = 200,
    elites: int = 20,
    limit: float | Tensor = 1.0,
    action_size: int = 1,
    start: Tensor | None = None,
    spread: float | Tensor | None = None,
    keep: float = 0.0,
    final: Final | None = None,
) -> Iterator[Round]:
    """Yields rounds of the cross-entropy method, without end: try plans around a mean, move it to the best.

    elites  how many of the best plans make the next mean and spread
    start   the first mean [E, H, A], for example `shift` of the last step's plan; by default 0
    spread  the first standard deviation, by default limit / 2
    keep    the share of the old mean and spread that stays (smoothing), 0 to below 1
    """
    if not 2 <= elites <= plans:
        raise ValueError(f"elites is {elites} of {plans} plans: choose from 2 to all of them.")
    mean, std = _first(state, horizon, action_size, start, spread, limit)
    while True:
        actions, values = _try(model, state, mean, std, plans, generator, limit, final)
        top = values.topk(elites, dim=1).indices
        best = actions.gather(1, top[:, :, None, None].expand(-1, -1, *actions.shape[2:]))
        weights = torch.zeros_like(values).scatter(1, top, 1 / elites)
        mean = keep * mean + (1 - keep) * best.mean(dim=1)
        std = keep * std + (1 - keep) * best.std(dim=1, correction=0)
        yield Round(actions, values, weights, mean, std)


def mppi_rounds(
    model: Model,
    state: Tensor,
    horizon: int,
    generator: torch.Generator,
    *,
    plans: int = 200,
    temperature: float = 0.1,
    limit: float | Tensor = 1.0,
    action_size: int = 1,
    start: Tensor | None = None,
    spread: float | Tensor | None = None,
    keep: float = 1.0,
    final: Final | None = None,
) -> Iterator[Round]:
    """Yields rounds of model predictive path integral control: every plan counts, by e^(value / temperature).

    temperature  in units of the standard deviation of the plans' values, so that it means the same everywhere
    keep         the share of the old spread that stays; 1 keeps the spread as it is (the original), smaller
                 values let it shrink to the weighted spread of the plans

    The other arguments are those of `cem_rounds`.
    """
    if temperature <= 0:
        raise ValueError(f"temperature is {temperature}: it must be above 0.")
    mean, std = _first(state, horizon, action_size, start, spread, limit)
    while True:
        actions, values = _try(model, state, mean, std, plans, generator, limit, final)
        unit = values.std(dim=1, keepdim=True).clamp(min=1e-12)
        weights = (values / (temperature * unit)).softmax(dim=1)
        w = weights[:, :, None, None]
        mean = (w * actions).sum(dim=1)
        seen = (w * (actions - mean[:, None]) ** 2).sum(dim=1).sqrt()
        std = keep * std + (1 - keep) * seen
        yield Round(actions, values, weights, mean, std)


def cem(model: Model, state: Tensor, horizon: int, generator, *, rounds: int = 5, **settings) -> Tensor:
    """The plan [E, H, A] after `rounds` rounds of `cem_rounds`, which explains the settings."""
    return _last(cem_rounds(model, state, horizon, generator, **settings), rounds)


def mppi(model: Model, state: Tensor, horizon: int, generator, *, rounds: int = 5, **settings) -> Tensor:
    """The plan [E, H, A] after `rounds` rounds of `mppi_rounds`, which explains the settings."""
    return _last(mppi_rounds(model, state, horizon, generator, **settings), rounds)


def shift(actions: Tensor) -> Tensor:
    """What is left of plans [E, H, A] one step later, and a 0: a good start for the next search."""
    return torch.cat([actions[:, 1:], torch.zeros_like(actions[:, :1])], dim=1)


class Run(NamedTuple):
    """T steps of E episodes: states [T + 1, E, S], actions [T, E, A], rewards [T, E], and if it was watched,
    the states that each plan expected, [T, E, H + 1, S]."""

    states: Tensor
    actions: Tensor
    rewards: Tensor
    imagined: Tensor | None


def control(
    worlds: Callable[[int], object],
    models: Callable[[int], Model],
    state: Tensor,
    steps: int,
    generator: torch.Generator,
    *,
    correct: str = "nothing",
    normaliser: Normaliser | None = None,
    observe: Observe | None = None,
    forget: float = 0.98,
    reg: float = 1e-2,
    horizon: int = 15,
    planner: Callable = cem,
    limit: float = 1.0,
    watch: bool = False,
    **settings,
) -> Run:
    """Plan, do the first action, look, plan again: model predictive control of E episodes from states [E, S].

    worlds   worlds(t) is the world of step t; it may change
    models   models(t) is the model to plan with at step t
    correct  "model": add to the model a correction for its errors so far, and plan with that; "action": plan
             with the model as it is, then correct the action (`dynamics.match`); both need a normaliser of
             what is observed, done and changed. forget and reg are those of `dynamics.correct`
    watch    keep what every plan expected

    `settings` go to the planner, which each time starts from what is left of the last plan.
    """
    memory = _no_errors_yet(correct, normaliser, len(state))
    states, seen, plan = [state], [], None
    for t in range(steps):
        model = better = models(t)
        if memory is not None:
            weights = dynamics.correction_weights(memory, reg)
            better = dynamics.corrected(model, weights, normaliser, observe)
        used = better if correct == "model" else model
        begin = {} if plan is None or planner is random_shooting else {"start": shift(plan)}
        plan = planner(used, state, horizon, generator, limit=limit, **begin, **settings)
        action = (
            dynamics.match(plan[:, 0], model, better, state, limit) if correct == "action" else plan[:, 0]
        )
        after, reward, _ = worlds(t).step(state, action, generator)
        if memory is not None:
            memory = dynamics.learn_error(memory, normaliser, model, state, action, after, observe, forget)
        path = imagine(used, state, plan) if watch else state[:, None]
        seen.append((action, reward, path.reshape(-1, *path.shape[-3:]).mean(0)))
        state = after
        states.append(state)
    actions, rewards, paths = map(torch.stack, zip(*seen, strict=True))
    return Run(torch.stack(states), actions, rewards, paths if watch else None)


def _no_errors_yet(correct: str, normaliser: Normaliser | None, episodes: int):
    if correct not in CORRECTIONS:
        raise ValueError(f"correct is {correct!r}: choose one of {', '.join(CORRECTIONS)}.")
    if correct == "nothing":
        return None
    if normaliser is None:
        raise ValueError("a correction needs a normaliser: dynamics.normaliser(s, a, change).")
    return dynamics.correction_init(episodes, normaliser)


def _try(model, state, mean, std, plans, generator, limit, final) -> tuple[Tensor, Tensor]:
    """Plans around the mean, clipped first, then rolled out: [E, N, H, A] and values [E, N]."""
    shape = (len(state), _count("plans", plans, 2), *mean.shape[1:])
    noise = torch.randn(shape, generator=generator, dtype=state.dtype, device=generator.device)
    actions = _clip(mean[:, None] + std[:, None] * noise.to(state.device), limit)
    return actions, value_of(model, state, actions, final)


def _first(state, horizon, action_size, start, spread, limit) -> tuple[Tensor, Tensor]:
    shape = (len(state), _count("horizon", horizon), action_size)
    mean = state.new_zeros(shape) if start is None else start
    if tuple(mean.shape) != shape:
        raise ValueError(f"start has shape {tuple(mean.shape)}: give [E, H, A], here {shape}.")
    std = torch.as_tensor(limit, dtype=state.dtype, device=state.device) / 2 if spread is None else spread
    return _clip(mean, limit), torch.as_tensor(std, dtype=state.dtype, device=state.device).expand(shape)


def _clip(actions: Tensor, limit: float | Tensor) -> Tensor:
    limit = torch.as_tensor(limit, dtype=actions.dtype, device=actions.device)
    return torch.minimum(torch.maximum(actions, -limit), limit)


def _last(rounds: Iterator[Round], count: int) -> Tensor:
    for _ in range(_count("rounds", count)):
        result = next(rounds)
    return result.mean


def _count(name: str, value: int, least: int = 1) -> int:
    if isinstance(value, bool) or int(value) != value or value < least:
        raise ValueError(f"{name} is {value!r}: give a whole number from {least}.")
    return int(value)
