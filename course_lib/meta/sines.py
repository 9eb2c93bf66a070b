"""Sine curves from ten points: how chapter 14 trains and scores MAML and its relatives.

Finn et al. 2017, §5.1: amplitude in [.1, 5], phase in [0, π], two hidden layers of 40 rectified units.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from course_lib.agents.networks import Params, mlp, mlp_init, per_task, require_grad
from course_lib.agents.training import train
from course_lib.meta import maml
from course_lib.worlds.tasks import sine_tasks

CURVES, SHOTS, QUERY, FEW, SIZES = 25, 10, 50, 20, (1, 40, 40, 1)
LAST = ("W2", "b2")  # what ANIL moves in the inner loop


def regression(x: Tensor, y: Tensor) -> maml.Loss:
    """The mean squared error of networks on points x, y [..., n, 1]: one loss a task (and a run), [...]."""
    return lambda params: ((mlp(params, x, torch.relu) - y) ** 2).mean(dim=(-2, -1))


def fresh_curves(
    generator: torch.Generator, shape: Sequence[int] = (CURVES,), support: int = SHOTS
) -> tuple[maml.Loss, maml.Loss]:
    """(inner, outer) on new training curves: `support` of 20 points for the one, the last 10 for the other.

    shape is [M], or [M, N] for N independent runs with curves of their own.
    """
    seed = int(torch.randint(2**40, (1,), generator=generator))
    curves = sine_tasks(torch.Size(shape).numel(), "train", seed)
    x, y = (v.reshape(*shape, 2 * SHOTS, 1) for v in curves.sample(2 * SHOTS, generator))
    inner = regression(x[..., :support, :], y[..., :support, :])
    return inner, regression(x[..., -SHOTS:, :], y[..., -SHOTS:, :])


def train_runs(
    method: str, alpha: float, steps: int, *, runs: int, updates: int, rate: float, seed: int, path=None
) -> tuple[Params, Params]:
    """`runs` networks meta-trained side by side: theta [N, ...] and, for Meta-SGD, the rates it has learned.

    Adam's step is `rate`, and falls to 0 in the second half. Reptile has no outer loss, so all 20 points of
    a curve are in its inner one.
    """

    def init(generator: torch.Generator) -> Params:
        nets = [mlp_init(SIZES, generator) for _ in range(runs)]
        return {name: torch.stack([net[name] for net in nets]) for name in nets[0]}

    support = 2 * SHOTS if method == "Reptile" else SHOTS
    falling = lambda k: rate * min(1, 2 - 2 * k / updates)  # noqa: E731
    draw = lambda generator: fresh_curves(generator, (CURVES, runs), support)  # noqa: E731
    more = dict(alpha=alpha, steps=steps, rate=falling, seed=seed)
    learner = maml.learner(init, draw, CURVES, method, **more)
    return maml.learned(train(*learner, updates, path=path, about=f"{method} {updates}"))


def errors_after(
    theta: Params,
    alpha: maml.Rate,
    steps: int,
    split: str = "test",
    count: int = 1000,
    names: Sequence[str] | None = None,
) -> Tensor:
    """The mean squared error on `count` held-out curves after 0 to `steps` steps on ten points each.

    [steps + 1], or [steps + 1, N] for theta with an axis of runs, which are scored on the same curves. A run
    that has diverged scores infinity.
    """
    curves, generator = sine_tasks(count, split, seed=1), torch.Generator().manual_seed(1)
    apart = (-1, *[1] * (theta["W0"].ndim - 2))  # an axis for the runs, if there are any
    xy = [v.reshape(*apart, n, 1) for n in (SHOTS, QUERY) for v in curves.sample(n, generator)]
    total = 0.0
    for part in zip(*(v.split(FEW) for v in xy), strict=True):  # a few curves at a time: they fit the cache
        inner, outer = regression(*part[:2]), regression(*part[2:])
        total = total + maml.losses_after(theta, inner, outer, len(part[0]), alpha, steps, names).sum(dim=1)
    return (total / count).nan_to_num(nan=float("inf"))


def tuned(
    theta: Params, rates: Params, sizes: Sequence[float], names: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """For every number of steps k = 0 … 20 the best step size, and the test errors with it: [21], [21, N].

    The size is chosen by the mean error of all runs on 1,000 validation curves. Meta-SGD's rates are scaled
    by size / .01: at .01 they are as they were learned.
    """
    used = [{k: r * size / 0.01 for k, r in rates.items()} or size for size in sizes]
    validation = [errors_after(theta, u, 20, "validation", names=names).mean(dim=1) for u in used]
    best = torch.stack(validation).argmin(dim=0).tolist()
    test = {i: errors_after(theta, used[i], 20, "test", names=names) for i in set(best)}
    return np.array([sizes[i] for i in best]), np.array([test[i][k].numpy() for k, i in enumerate(best)])


def fit(
    theta: Params, rates: Params, x: Tensor, y: Tensor, alpha: float, steps: int, names=None
) -> tuple[Params, Params]:
    """One network, with a task axis of 1, before and after it has adapted to points x, y [n, 1]."""
    before = require_grad(per_task(theta, 1))
    used = {k: r * alpha / 0.01 for k, r in rates.items()} or alpha
    return before, maml.adapt(before, regression(x, y), used, steps, create_graph=False, names=names)


def pack(name: str, theta: Params, rates: Params) -> dict[str, np.ndarray]:
    """Arrays of the first of the runs, named so that `unpack` finds them among other things."""
    parts = {f"{name}: {k}": p for k, p in theta.items()} | {f"{name}: rate {k}": r for k, r in rates.items()}
    return {k: p[0].detach().numpy() for k, p in parts.items()}


def unpack(stored: Mapping[str, np.ndarray], name: str) -> tuple[Params, Params]:
    """theta and rates of one network that `pack` has packed."""
    start = f"{name}: "
    mine = {k.removeprefix(start): torch.tensor(p) for k, p in stored.items() if k.startswith(start)}
    rates = {k.removeprefix("rate "): p for k, p in mine.items() if k.startswith("rate ")}
    return {k: p for k, p in mine.items() if not k.startswith("rate ")}, rates
