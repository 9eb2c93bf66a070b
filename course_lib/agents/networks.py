"""Small neural networks as plain functions of a dictionary of tensors (the parameters), and the Adam rule.

A network is two functions: one draws its parameters, one computes its output from them. Nothing is hidden in
an object, so parameters can be copied, adapted for each task, differentiated through, and stored.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import torch

Params = dict[str, torch.Tensor]


def mlp_init(
    sizes: Sequence[int],
    generator: torch.Generator,
    last: float = 1.0,
    dtype: torch.dtype | None = None,
) -> Params:
    """Parameters of a network with layers of these sizes: `W0` [in, out], `b0` [out], `W1`, `b1`, and so on.

    Weights are normal with standard deviation 1/√in, so that signals keep their size from layer to layer;
    biases are 0. `last` multiplies the weights of the last layer: .01 makes a policy begin near uniform.
    Without a dtype the numbers are of torch's default type, as everywhere in torch.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes is {list(sizes)}: give at least two whole numbers from 1, input first.")
    params = {}
    for k, (before, after) in enumerate(itertools.pairwise(sizes)):
        scale = (last if k == len(sizes) - 2 else 1.0) / math.sqrt(before)
        device = generator.device
        params[f"W{k}"] = scale * torch.randn(before, after, generator=generator, dtype=dtype, device=device)
        params[f"b{k}"] = torch.zeros(after, dtype=dtype, device=device)
    return params


def mlp(params: Params, x: torch.Tensor, activation: Callable = torch.tanh) -> torch.Tensor:
    """The network's output for inputs x [..., in]: layer after layer, x W + b, `activation` in between.

    Parameters may carry a leading task axis, `W0` [M, in, out]: then x is [M, batch, in], and each task uses
    its own weights.
    """
    layers = sum(name.startswith("W") for name in params)
    for k in range(layers):
        x = x @ params[f"W{k}"] + params[f"b{k}"].unsqueeze(-2)
        if k < layers - 1:
            x = activation(x)
    return x


def gru_init(inputs: int, hidden: int, generator: torch.Generator) -> Params:
    """Parameters of a gated recurrent unit (Cho et al. 2014): `Wx` [inputs, 3H], `Wh` [H, 3H], `b` [3H].

    The three blocks of columns belong to the reset gate, the update gate and the candidate memory.
    """
    device = generator.device
    wx = torch.randn(inputs, 3 * hidden, generator=generator, device=device) / math.sqrt(inputs)
    wh = torch.randn(hidden, 3 * hidden, generator=generator, device=device) / math.sqrt(hidden)
    return {"Wx": wx, "Wh": wh, "b": torch.zeros(3 * hidden, device=device)}


def gru_cell(params: Params, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """The next memory h' [..., H] from the input x [..., inputs] and the memory h [..., H].

    reset = σ(·), update = σ(·), candidate = tanh(x-part + reset · h-part),
    h' = update · h + (1 − update) · candidate.
    """
    from_x = (x @ params["Wx"] + params["b"]).chunk(3, dim=-1)
    from_h = (h @ params["Wh"]).chunk(3, dim=-1)
    reset = torch.sigmoid(from_x[0] + from_h[0])
    update = torch.sigmoid(from_x[1] + from_h[1])
    candidate = torch.tanh(from_x[2] + reset * from_h[2])
    return update * h + (1 - update) * candidate


def per_task(params: Params, tasks: int) -> Params:
    """The same parameters once per task, with a leading axis M; gradients flow back to the one."""
    return {name: p.expand(tasks, *p.shape) for name, p in params.items()}


def require_grad(params: Params) -> Params:
    """A copy of the parameters, cut off from what computed them, of which gradients can be asked."""
    return {name: p.detach().clone().requires_grad_(True) for name, p in params.items()}


def gradients(loss: torch.Tensor, params: Params, create_graph: bool = False) -> Params:
    """The gradient of a scalar with respect to each parameter, under the same names.

    `create_graph=True` lets the gradient itself be differentiated: without it, second-order terms are lost.
    """
    grads = torch.autograd.grad(loss, list(params.values()), create_graph=create_graph)
    return dict(zip(params, grads, strict=True))


def clip_norm(grads: Params, limit: float) -> Params:
    """The gradients, scaled down together if their joint Euclidean length is above `limit`."""
    length = torch.sqrt(sum((g**2).sum() for g in grads.values()))
    scale = torch.clamp(limit / (length + 1e-12), max=1.0)
    return {name: g * scale for name, g in grads.items()}


def clip_each(grads: Params, limit: float) -> Params:
    """The gradients of independent runs, on the first axis, each scaled down by its own length alone."""
    length = torch.sqrt(sum((g**2).flatten(1).sum(1) if g.ndim > 1 else g**2 for g in grads.values()))
    scale = (limit / (length + 1e-12)).clamp(max=1.0)
    return {name: g * scale.reshape(-1, *[1] * (g.ndim - 1)) for name, g in grads.items()}


def adam_init(params: Params) -> dict:
    """Adam's memory before the first step: running means of gradients and squares, and a count."""
    zeros = {name: torch.zeros_like(p) for name, p in params.items()}
    return {"mean": zeros, "square": dict(zeros), "count": 0}


def adam(params: Params, grads: Params, memory: dict, rate: float, eps: float = 1e-8) -> tuple[Params, dict]:
    """One descent step of Adam (Kingma & Ba 2015, Alg. 1; decays .9 and .999): new parameters, new memory."""
    count = memory["count"] + 1
    with torch.no_grad():
        mean = {k: 0.9 * memory["mean"][k] + 0.1 * g for k, g in grads.items()}
        square = {k: 0.999 * memory["square"][k] + 0.001 * g**2 for k, g in grads.items()}
        new = {}
        for k, p in params.items():
            size = (square[k] / (1 - 0.999**count)).sqrt() + eps
            new[k] = (p - rate * mean[k] / (1 - 0.9**count) / size).requires_grad_(True)
    return new, {"mean": mean, "square": square, "count": count}
