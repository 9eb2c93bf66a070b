"""Learning a start from which a few gradient steps go far: MAML and its relatives.

Many tasks adapt side by side. Their parameters are tensors with a leading task axis [M, ...], and the tasks
are one function, loss(params) -> one loss a task, [M]. One call of autograd on the sum then gives every task
its own gradient. The shared start `theta` has no task axis. It may have a leading axis of N independent runs
instead: then parameters are [M, N, ...], losses [M, N], and the runs never touch.
Sources: Finn et al. 2017 (MAML); Nichol et al. 2018 (first-order MAML, Reptile); Li et al. 2017 (Meta-SGD);
Raghu et al. 2020 (ANIL).
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from course_lib.agents.networks import Params, adam, adam_init, gradients, per_task, require_grad
from course_lib.agents.training import generator_from

Loss = Callable[[Params], Tensor]
Rate = float | Params
METHODS = ("MAML", "first-order MAML", "Reptile", "Meta-SGD", "ANIL", "joint")


def adaptations(
    params: Params,
    loss: Loss,
    alpha: Rate,
    steps: int,
    create_graph: bool = True,
    names: Sequence[str] | None = None,
) -> Iterator[Params]:
    """Yields the parameters of all tasks after 0, 1, …, `steps` gradient steps on their own loss.

    alpha, the step size, is a number, or a dict with a rate for every parameter (Meta-SGD). `names` are the
    parameters that move, all by default; the others stay (ANIL: those of the last layer move). `create_graph`
    keeps the way, so that an outer gradient goes through the inner ones; without it, inner gradients count as
    constants, and the outer gradient is first-order. `loss` is asked anew at every step: it may draw samples.
    ValueError if it does not return one loss a task.
    """
    if steps < 0:
        raise ValueError(f"steps is {steps}: give a whole number from 0.")
    moving = {name: params[name] for name in names or params}
    yield params
    for _ in range(steps):
        losses = loss(params)
        _one_a_task(losses, params)
        grads = gradients(losses.sum(), moving, create_graph)
        moving = {name: p - _rate(alpha, name) * grads[name] for name, p in moving.items()}
        params = params | moving
        yield params


def adapt(
    params: Params,
    loss: Loss,
    alpha: Rate,
    steps: int = 1,
    create_graph: bool = True,
    names: Sequence[str] | None = None,
) -> Params:
    """The last of `adaptations`: what each task makes of its parameters in `steps` gradient steps."""
    *_, params = adaptations(params, loss, alpha, steps, create_graph, names)
    return params


def meta_loss(
    theta: Params,
    inner: Loss,
    outer: Loss,
    tasks: int,
    alpha: Rate,
    steps: int = 1,
    create_graph: bool = True,
    names: Sequence[str] | None = None,
) -> Tensor:
    """The mean over `tasks` tasks of the outer loss, after each has adapted theta by its inner loss.

    Its gradient with respect to theta is MAML's (Finn et al. 2017, Alg. 1); with create_graph=False that of
    first-order MAML; with steps=0 that of multi-task training. Summed over independent runs, if any.
    """
    phi = adapt(per_task(theta, tasks), inner, alpha, steps, create_graph, names)
    losses = outer(phi)
    _one_a_task(losses, phi)
    return losses.mean(dim=0).sum()


def reptile_gradient(theta: Params, inner: Loss, tasks: int, alpha: float, steps: int) -> Params:
    """Reptile's direction: theta minus the mean of what the tasks make of it (Nichol et al. 2018, Alg. 2).

    Move against it as if it were a gradient: theta goes to where the tasks went.
    """
    phi = adapt(per_task(theta, tasks), inner, alpha, steps, create_graph=False)
    return {name: (p - phi[name].mean(dim=0)).detach() for name, p in theta.items()}


def losses_after(
    theta: Params,
    inner: Loss,
    outer: Loss,
    tasks: int,
    alpha: Rate,
    steps: int,
    names: Sequence[str] | None = None,
) -> Tensor:
    """The outer loss of every task after 0, 1, …, `steps` inner steps, [steps + 1, M] (or [.., M, N])."""
    losses = []
    phi = require_grad(per_task(theta, tasks))
    losses.append(outer(phi).detach())
    for _ in range(steps):
        phi = require_grad(adapt(phi, inner, alpha, 1, create_graph=False, names=names))
        losses.append(outer(phi).detach())
    return torch.stack(losses)


def learner(
    init: Callable[[torch.Generator], Params],
    draw: Callable[[torch.Generator], tuple[Loss, Loss]],
    tasks: int,
    method: str = "MAML",
    *,
    alpha: float = 0.01,
    steps: int = 1,
    rate: float | Callable[[int], float] = 1e-3,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> tuple[Callable[[], dict], Callable[[dict], dict]]:
    """(begin, update) for `agents.training.train`: meta-training with Adam outside.

    init      init(generator) -> the first theta
    draw      draw(generator) -> (inner, outer): the losses of a fresh batch of tasks, before and after
    method    one of METHODS. "Reptile" uses the inner loss alone, "joint" the outer loss alone
    names     the parameters that move inside, for ANIL; by default those of the last layer, `W2` and `b2` say
    rate      Adam's step size, or rate(k) at update k = 0, 1, …
    The state holds `theta`, for Meta-SGD the learned `rates` too, and `losses`, one for each update: the
    meta-loss, or for Reptile nothing.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}: choose one of {', '.join(METHODS)}.")

    def begin() -> dict:
        generator = torch.Generator().manual_seed(seed)
        free = {"theta." + name: p for name, p in init(generator).items()}
        if method == "Meta-SGD":
            free |= {name.replace("theta", "rates"): torch.full_like(p, alpha) for name, p in free.items()}
        return {"free": free, "adam": adam_init(free), "generator": generator.get_state(), "losses": []}

    def update(state: dict) -> dict:
        generator, free = generator_from(state["generator"]), require_grad(state["free"])
        theta, rates = _part(free, "theta."), _part(free, "rates.")
        inner, outer = draw(generator)
        losses, moving = state["losses"], names or _last_layer(theta) if method == "ANIL" else None
        if method == "Reptile":
            grads = {"theta." + k: g for k, g in reptile_gradient(theta, inner, tasks, alpha, steps).items()}
        else:
            inner_steps = 0 if method == "joint" else steps
            second = method != "first-order MAML"
            loss = meta_loss(theta, inner, outer, tasks, rates or alpha, inner_steps, second, moving)
            grads, losses = gradients(loss, free), [*losses, float(loss.detach())]
        step = rate(state["adam"]["count"]) if callable(rate) else rate
        free, memory = adam(free, grads, state["adam"], step)
        free = {name: p.detach() for name, p in free.items()}
        return {"free": free, "adam": memory, "generator": generator.get_state(), "losses": losses}

    return begin, update


def learned(state: dict) -> tuple[Params, Params]:
    """theta and, for Meta-SGD, the rates (otherwise empty) from a learner's state."""
    return _part(state["free"], "theta."), _part(state["free"], "rates.")


def _part(free: Params, prefix: str) -> Params:
    return {name.removeprefix(prefix): p for name, p in free.items() if name.startswith(prefix)}


def _last_layer(theta: Params) -> list[str]:
    last = max(int(name[1:]) for name in theta if name[1:].isdigit())
    return [f"W{last}", f"b{last}"]


def _rate(alpha: Rate, name: str) -> float | Tensor:
    if not isinstance(alpha, dict):
        return alpha
    if name not in alpha:
        raise ValueError(f"alpha has no rate for {name!r}: it has {sorted(alpha)}.")
    return alpha[name]


def _one_a_task(losses: Tensor, params: Params) -> None:
    """A mean over the tasks is a frequent mistake: it divides every inner gradient by M, unnoticed."""
    tasks = len(next(iter(params.values())))
    if losses.ndim == 0 or len(losses) != tasks:
        raise ValueError(
            f"the loss has shape {tuple(losses.shape)}: give one loss for each of the {tasks} tasks, not "
            "their sum or mean."
        )
