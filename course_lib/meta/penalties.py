"""Penalties on how far parameters move from where they began: ½ reg Σ_j w_j (φ_j − θ_j)².

θ is the anchor, φ the adapted parameters. With all w_j = 1 this is L2-SP, and the proximal term of iMAML and
of Meta-MinibatchProx; with w the diagonal of the Fisher information it is EWC. reg = 0 leaves φ free, reg = ∞
freezes it at θ, and both are allowed. Parameters are dicts of tensors with a leading task axis [M, ...], and
a loss gives one number a task, as in `meta.maml`; `reg` may be a number, or a tensor [M] with one for each.
Sources: Li et al. 2018 (L2-SP); Kirkpatrick et al. 2017 (EWC); Rajeswaran et al. 2019 (iMAML); Zhou et al.
2019 (Meta-MinibatchProx); Parikh & Boyd 2014 (proximal steps).
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from course_lib.agents.networks import Params, adam, adam_init, gradients, per_task, require_grad
from course_lib.agents.training import generator_from
from course_lib.meta.maml import Loss, _one_a_task

Reg = float | Tensor
METHODS = ("iMAML", "Meta-MinibatchProx")


# Answers in closed form


def quadratic(h: np.ndarray, c: np.ndarray, anchor: np.ndarray, reg: float, weights=1.0) -> np.ndarray:
    """The lowest point of ½ h (φ − c)² + ½ reg w (φ − anchor)², for each entry.

    It is (h c + reg w anchor)/(h + reg w). At reg = 0 a flat direction (h = 0) stays at the anchor, which is
    the limit of small reg. Curvatures and weights must not be negative (ValueError).
    """
    _check_reg(reg)
    h, c, anchor, weights = np.broadcast_arrays(*(np.asarray(v, float) for v in (h, c, anchor, weights)))
    if (h < 0).any() or (weights < 0).any():
        raise ValueError("h and weights must not be negative: the penalised loss has no lowest point.")
    spring = np.where(weights > 0, reg, 0.0) * np.where(weights > 0, weights, 1.0)
    moves = np.where(np.isinf(spring) | (h == 0), 0.0, h / np.where(h + spring > 0, h + spring, 1.0))
    return anchor + moves * (c - anchor)


def ridge(x: np.ndarray, y: np.ndarray, anchor: np.ndarray, reg: float, weights=None) -> np.ndarray:
    """The w that minimises ½ Σ_i (y_i − x_i·w)² + ½ reg Σ_j weights_j (w_j − anchor_j)², for each task.

    x [..., n, D], y [..., n], anchor [D] or [..., D], weights [D], above 0, all 1 by default -> w [..., D].
    The loss is *summed* over the n points. With w ~ N(anchor, τ²) and noise of variance σ² the best reg is
    σ²/τ², since ridge is then the posterior mean. reg = 0: of all least-squares answers the one closest to
    the anchor, the limit of small reg. reg = ∞: the anchor. (Where the points alone do not settle w, a small
    reg costs digits: rounding is about 4e-15/reg.)
    """
    _check_reg(reg)
    x, y, anchor = np.asarray(x, float), np.asarray(y, float), np.asarray(anchor, float)
    if x.ndim < 2 or x.shape[:-1] != y.shape or anchor.shape[-1:] != x.shape[-1:]:
        raise ValueError(
            f"x, y, anchor have shapes {x.shape}, {y.shape}, {anchor.shape}: give [M, n, D], [M, n], [D]."
        )
    weights = np.ones(x.shape[-1]) if weights is None else np.asarray(weights, float)
    if weights.shape != x.shape[-1:] or not (weights > 0).all():
        raise ValueError(f"weights must be {x.shape[-1]} numbers above 0.")
    anchor = np.broadcast_to(anchor, x.shape[:-2] + x.shape[-1:])
    if math.isinf(reg):
        return anchor.copy()
    left = (y - (x @ anchor[..., None])[..., 0])[..., None]  # what the anchor does not explain
    if reg == 0:
        root = np.sqrt(weights)
        return anchor + (np.linalg.pinv(x / root) @ left)[..., 0] / root
    xT = x.swapaxes(-1, -2)
    return anchor + np.linalg.solve(xT @ x + reg * np.diag(weights), xT @ left)[..., 0]


def choose(regs: Sequence[float], losses: np.ndarray) -> float:
    """The coefficient with the smallest mean loss on validation tasks; losses are [R, ...], one row for each.

    A row that holds NaN counts as infinitely bad. A tie goes to the larger coefficient: stay where you are.
    The losses must come from tasks that are not scored afterwards.
    """
    losses = np.asarray(losses, float).reshape(len(losses), -1)
    if len(regs) != len(losses) or not losses.size:
        raise ValueError(f"{len(regs)} coefficients and losses of shape {losses.shape}: give one row each.")
    mean = np.nan_to_num(losses.mean(axis=1), nan=np.inf)
    return max(reg for reg, loss in zip(regs, mean, strict=True) if loss == mean.min())


# Adapting under a penalty


def penalty(params: Params, anchor: Params, weights: Params | None = None) -> Tensor:
    """½ Σ_j w_j (φ_j − θ_j)² for each task, [M]; all w_j = 1 by default. `reg` multiplies it."""
    total = 0.0
    for name, p in params.items():
        square = (p - anchor[name]) ** 2
        square = square if weights is None else weights[name] * square
        total = total + square.reshape(len(square), -1).sum(1)
    return 0.5 * total


def fisher(theta: Params, log_prob: Callable[[Params], Tensor], samples: int) -> Params:
    """The diagonal of the Fisher information at theta, from samples of the model's own distribution.

    log_prob(params) gets `samples` copies of theta along a leading axis and returns the log-probability of
    sample i under copy i, [samples]. The diagonal is the mean square of their gradients. The samples must
    come from the model at theta, not from the data: squares of the latter are the "empirical Fisher".
    """
    copies = require_grad(per_task(theta, samples))
    scores = gradients(log_prob(copies).sum(), copies)
    return {name: (g**2).mean(dim=0) for name, g in scores.items()}


def adaptations(
    params: Params,
    loss: Loss,
    alpha: float,
    steps: int,
    reg: Reg,
    weights: Params | None = None,
    create_graph: bool = True,
) -> Iterator[Params]:
    """Yields φ after 0, 1, …, `steps` steps on each task's loss plus the penalty; the anchor is `params`.

    A step descends the loss alone, φ − α ∇L(φ), and then lets the spring pull, exactly: what is left of the
    distance to the anchor is 1/(1 + α reg w). So no reg is too large for α, and at ∞ nothing moves. Where
    the steps settle, ∇L + reg w (φ − θ) = 0. Without weights and with reg = 0 this is `maml.adaptations`.
    """
    _check_reg(reg)
    if steps < 0 or alpha <= 0:
        raise ValueError(f"steps is {steps} and alpha is {alpha}: give steps from 0 and alpha above 0.")
    anchor, left = params, {n: _left(p, alpha, reg, n, weights) for n, p in params.items()}
    yield params
    for _ in range(steps):
        losses = loss(params)
        _one_a_task(losses, params)
        grads = gradients(losses.sum(), params, create_graph)
        params = {n: anchor[n] + left[n] * (p - alpha * grads[n] - anchor[n]) for n, p in params.items()}
        yield params


def adapt(
    params: Params,
    loss: Loss,
    alpha: float,
    steps: int,
    reg: Reg,
    weights: Params | None = None,
    create_graph: bool = True,
) -> Params:
    """The last of `adaptations`."""
    *_, params = adaptations(params, loss, alpha, steps, reg, weights, create_graph)
    return params


# The gradient of the start, without a way to remember


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], b: Tensor, steps: int, tol: float = 1e-12
) -> Iterator[Tensor]:
    """Yields x_0 = 0, x_1, … on the way to A x = b, for every task its own A; b and x are [M, F].

    product(v) gives A v, [M, F]. A must be symmetric and positive definite (ValueError when a direction shows
    that it is not). In exact arithmetic F steps are enough; a task stops when |A x − b| ≤ tol |b|.
    """
    x, rest = torch.zeros_like(b), b
    way, square = rest, (rest * rest).sum(1)
    enough = tol**2 * square
    yield x
    for _ in range(steps):
        going = square > enough
        if not going.any():
            return
        Aw = product(way)
        bend = (way * Aw).sum(1)
        if (bend[going] <= 0).any():
            raise ValueError(
                "the penalised loss curves downwards here: raise reg, or take more inner steps first."
            )
        size = torch.where(going, square / torch.where(going, bend, 1.0), 0.0)[:, None]
        x, rest = x + size * way, rest - size * Aw
        new = (rest * rest).sum(1)
        way = rest + torch.where(going, new / torch.where(going, square, 1.0), 0.0)[:, None] * way
        square = torch.where(going, new, square)
        yield x


def implicit_gradient(
    phi: Params,
    inner: Loss,
    outer: Loss,
    reg: Reg,
    weights: Params | None = None,
    steps: int = 20,
    tol: float = 1e-12,
) -> Params:
    """The gradient of the mean outer loss with respect to the anchor, from the adapted φ alone (iMAML).

    Where φ has settled, moving the anchor moves it by (∇²L + reg w)⁻¹ reg w. So the gradient of a task is
    w x with (∇²L/reg + w) x = ∇L_outer(φ), solved by at most `steps` conjugate gradients, each one product
    with the Hessian. It is right only as far as φ has settled. ValueError for reg = 0: then φ does not depend
    on the anchor, or the penalised loss has no single lowest point.
    """
    _check_reg(reg)
    if (torch.as_tensor(reg) <= 0).any():
        raise ValueError("reg is 0: a free φ forgets its anchor, so there is no implicit gradient.")
    phi = require_grad(phi)
    grads = gradients(inner(phi).sum(), phi, create_graph=True)
    names, w = list(phi), _flat(weights or {n: torch.ones_like(p[0]) for n, p in phi.items()}, 0)
    reg = torch.as_tensor(reg, dtype=w.dtype).reshape(-1, 1)

    def product(v: Tensor) -> Tensor:
        parts = _unflat(v, phi)
        along = sum((grads[n] * parts[n]).sum() for n in names)
        Hv = torch.autograd.grad(along, list(phi.values()), retain_graph=True)
        return _flat(dict(zip(names, Hv, strict=True)), 1) / reg + w * v

    *_, x = conjugate_gradients(product, _flat(gradients(outer(phi).sum(), phi), 1), steps, tol)
    return {n: g.mean(dim=0) for n, g in _unflat(w * x, phi).items()}


def prox_gradient(theta: Params, phi: Params, reg: float, weights: Params | None = None) -> Params:
    """The gradient, with respect to the anchor, of the mean penalised loss at its lowest points φ (settled).

    reg w (θ − φ): the one place where θ stands in the penalised loss itself (Zhou et al. 2019).
    """
    away = {n: (reg * (p - phi[n])).mean(dim=0).detach() for n, p in theta.items()}
    return away if weights is None else {n: weights[n] * g for n, g in away.items()}


def learner(
    init: Callable[[torch.Generator], Params],
    draw: Callable[[torch.Generator], tuple[Loss, Loss]],
    tasks: int,
    method: str = "iMAML",
    *,
    reg: float = 1.0,
    alpha: float = 0.01,
    steps: int = 20,
    products: int = 5,
    rate: float = 1e-3,
    seed: int = 0,
) -> tuple[Callable[[], dict], Callable[[dict], dict]]:
    """(begin, update) for `agents.training.train`: a start learned through penalised inner loops, with Adam.

    As `maml.learner`, but no inner step is kept: iMAML takes the implicit gradient with `products` products
    with the Hessian, Meta-MinibatchProx moves θ towards where the tasks went. The state holds `theta` and the
    outer `losses` before each update.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}: choose one of {', '.join(METHODS)}.")

    def begin() -> dict:
        generator = torch.Generator().manual_seed(seed)
        theta = init(generator)
        return {"theta": theta, "adam": adam_init(theta), "generator": generator.get_state(), "losses": []}

    def update(state: dict) -> dict:
        generator, theta = generator_from(state["generator"]), require_grad(state["theta"])
        inner, outer = draw(generator)
        phi = adapt(require_grad(per_task(theta, tasks)), inner, alpha, steps, reg, create_graph=False)
        if method == "iMAML":
            grads = implicit_gradient(phi, inner, outer, reg, steps=products)
        else:
            grads = prox_gradient(theta, phi, reg)
        theta, memory = adam(theta, grads, state["adam"], rate)
        theta, losses = (
            {n: p.detach() for n, p in theta.items()},
            [*state["losses"], float(outer(phi).detach().mean())],
        )
        return {"theta": theta, "adam": memory, "generator": generator.get_state(), "losses": losses}

    return begin, update


# What is shared


def _left(p: Tensor, alpha: float, reg: Reg, name: str, weights: Params | None) -> Tensor:
    """1/(1 + α reg w): the share of the distance that the spring leaves, in a shape that fits p [M, ...]."""
    reg = torch.as_tensor(reg, dtype=p.dtype, device=p.device)
    reg = reg.reshape(-1, *[1] * (p.ndim - 1)) if reg.ndim else reg
    if weights is None:
        return 1 / (1 + alpha * reg)
    w = weights[name]
    if (w < 0).any():
        raise ValueError(f"the weights of {name!r} go down to {float(w.min()):g}: they must not be negative.")
    return torch.where(w > 0, 1 / (1 + alpha * reg * torch.where(w > 0, w, 1.0)), 1.0)


def _flat(params: Params, axes: int) -> Tensor:
    """All entries side by side behind the first `axes` axes: [F] or [M, F]."""
    return torch.cat([p.flatten(axes) if p.ndim > axes else p.unsqueeze(-1) for p in params.values()], -1)


def _unflat(v: Tensor, like: Params) -> Params:
    parts = v.split([p[0].numel() for p in like.values()], dim=1)
    return {n: part.reshape(p.shape) for (n, p), part in zip(like.items(), parts, strict=True)}


def _check_reg(reg: Reg) -> None:
    values = torch.as_tensor(reg, dtype=torch.float64)
    if values.isnan().any() or (values < 0).any():
        raise ValueError(f"reg is {reg}: give numbers from 0 (free) to infinity (frozen).")
