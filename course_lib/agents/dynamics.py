"""Learned models of a world: ensembles of networks that predict what a step changes, and online corrections.

A model takes what the agent sees and does, s [..., S] and a [..., A], and says what the step brings: a mean
and a variance for each of D numbers, by default the change of the state, s′ − s, or that and the reward. An
ensemble is one dict of parameters with the members in front, `W0` [B, in, out]: one matrix product serves
all. Where the members agree there was data; where they disagree there was none.
Sources: Nix & Weigend 1994 (networks that predict a variance), Lakshminarayanan et al. 2017 (ensembles),
Chua et al. 2018 (PETS), Clavera et al. 2018 and Nagabandi et al. 2019 (correction online).
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from course_lib.agents.networks import (
    Params,
    adam,
    adam_init,
    clip_each,
    gradients,
    mlp,
    mlp_init,
    require_grad,
)
from course_lib.agents.training import generator_from, train

LEAST, MOST = -10.0, 1.0  # of the logarithm of the variance, in units of the targets' variance
LOSSES = ("likelihood", "squares")

Observe = Callable[[Tensor], Tensor]
Model = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Normaliser(NamedTuple):
    """Centres and widths that bring inputs (s, a) [S + A] and targets [D] to mean 0 and deviation 1."""

    input_centre: Tensor
    input_width: Tensor
    target_centre: Tensor
    target_width: Tensor

    def inputs(self, s: Tensor, a: Tensor) -> Tensor:
        """(s, a) side by side, normalised, [..., S + A]."""
        return (torch.cat([s, a], dim=-1) - self.input_centre) / self.input_width

    def targets(self, y: Tensor) -> Tensor:
        return (y - self.target_centre) / self.target_width


def normaliser(s: Tensor, a: Tensor, target: Tensor) -> Normaliser:
    """The normaliser of a data set s [n, S], a [n, A], target [n, D]; what never varies gets the width 1."""
    x = torch.cat([s, a], dim=-1)
    if len(x) < 2 or len(x) != len(target):
        raise ValueError(f"there are {len(x)} inputs and {len(target)} targets: give two or more of each.")
    widths = [torch.where(y.std(0) > 1e-6, y.std(0), 1.0) for y in (x, target)]
    return Normaliser(x.mean(0), widths[0], target.mean(0), widths[1])


def dynamics_init(
    state_size: int,
    action_size: int,
    generator: torch.Generator,
    *,
    members: int = 5,
    hidden: int = 64,
    layers: int = 2,
    targets: int | None = None,
) -> Params:
    """An ensemble: parameters [members, in, out] of networks that predict `targets` means and log variances.

    `targets` is D, by default state_size. Every member starts from weights of its own.
    """
    if members < 1:
        raise ValueError(f"members is {members}: an ensemble has one or more.")
    outputs = 2 * (state_size if targets is None else targets)
    sizes = [state_size + action_size, *[hidden] * layers, outputs]
    each = [mlp_init(sizes, generator) for _ in range(members)]
    return {name: torch.stack([params[name] for params in each]) for name in each[0]}


def predict(params: Params, normaliser: Normaliser, s: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """What each member expects a step to bring: mean and log variance, both [B, ..., D], in the data's units.

    s is [n, S], the same for all members, or [B, n, S] with inputs of each member's own; a fits s. Parameters
    may have further axes in front, such as tasks; without any axis (one network) the result has none either.
    """
    mean, logvar = _normalised(params, normaliser.inputs(s, a))
    width = normaliser.target_width
    return normaliser.target_centre + width * mean, logvar + 2 * width.log()


def likelihood_loss(mean: Tensor, logvar: Tensor, y: Tensor) -> Tensor:
    """Minus the log density of y under N(mean, e^logvar), without its constant ½ log 2π, [..., n, D]."""
    return 0.5 * (logvar + (y - mean) ** 2 * torch.exp(-logvar))


def learner(
    params: Params,
    normaliser: Normaliser,
    s: Tensor,
    a: Tensor,
    target: Tensor,
    *,
    batch: int = 128,
    rate: float = 3e-3,
    loss: str = "likelihood",
    seed: int = 0,
) -> tuple[Callable[[], dict], Callable[[dict], dict]]:
    """(begin, update) for `agents.training.train`: each member learns from its own bootstrap of the data.

    A bootstrap of n transitions is n draws with replacement. loss "likelihood" fits mean and variance,
    "squares" the mean alone. The state holds `params`, `adam` (its memory), `rows` (the bootstraps [B, n]),
    the `generator`, and `loss`, that of the last update.
    """
    if loss not in LOSSES:
        raise ValueError(f"loss is {loss!r}: choose one of {', '.join(LOSSES)}.")
    x, y, members = normaliser.inputs(s, a), normaliser.targets(target), len(params["W0"])

    def begin() -> dict:
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randint(len(x), (members, len(x)), generator=generator)
        free = {name: p.detach() for name, p in params.items()}
        state = {"params": free, "adam": adam_init(free), "rows": rows}
        return state | {"generator": generator.get_state(), "loss": float("nan")}

    def update(state: dict) -> dict:
        generator, free = generator_from(state["generator"]), require_grad(state["params"])
        chosen = torch.randint(len(x), (members, batch), generator=generator)
        rows = state["rows"].gather(1, chosen).to(x.device)
        mean, logvar = _normalised(free, x[rows])
        each = likelihood_loss(mean, logvar, y[rows]) if loss == "likelihood" else (mean - y[rows]) ** 2
        total = each.mean(dim=(1, 2)).sum()  # members share nothing: the gradient of each is its own
        grads = clip_each(gradients(total, free), 10.0)
        free, memory = adam(free, grads, state["adam"], rate)
        free = {name: p.detach() for name, p in free.items()}
        state = {"params": free, "adam": memory, "rows": state["rows"]}
        return state | {"generator": generator.get_state(), "loss": float(total.detach()) / members}

    return begin, update


def fit(
    params: Params,
    normaliser: Normaliser,
    s: Tensor,
    a: Tensor,
    target: Tensor,
    steps: int = 1000,
    *,
    path: str | Path | None = None,
    show: bool = False,
    **settings,
) -> Params:
    """The ensemble after `steps` updates on the transitions s [n, S], a [n, A], target [n, D].

    `settings` are those of `learner`. With `path`, a run that was stopped goes on bit for bit.
    """
    begin, update = learner(params, normaliser, s, a, target, **settings)
    return train(begin, update, steps, path=path, about="dynamics", show=show)["params"]


def unexplained(params: Params, normaliser: Normaliser, s: Tensor, a: Tensor, target: Tensor) -> Tensor:
    """The share of the targets' variance that the ensemble's mean misses, [D]: 0 exact, 1 as bad as no model.

    Ask it on transitions that were held out. The variance is the one of the normaliser's data.
    """
    mean, _ = predict(params, normaliser, s, a)
    mean = mean if mean.ndim == target.ndim else mean.mean(0)
    return (((mean - target) / normaliser.target_width) ** 2).mean(0)


def disagreement(params: Params, normaliser: Normaliser, s: Tensor, a: Tensor) -> Tensor:
    """How far apart the members' means are, [..., D]: their standard deviation, in the data's units.

    It measures what is not known yet; the predicted variances measure what is left to chance.
    """
    return predict(params, normaliser, s, a)[0].std(dim=0)


def as_model(
    params: Params,
    normaliser: Normaliser,
    observe: Observe | None = None,
    reward: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Model:
    """A function (state [E, N, S], action [E, N, A]) -> (state2, reward) for the planners of `agents.mpc`.

    Every plan is followed by every member: results are [B, E, N, ...], and so is the state from then on.
    params    an ensemble [B, in, out], or [B, E, in, out] when each episode has adapted its own
    observe   what the networks see of a state, by default the state itself
    reward    reward(state, action) -> [...] if it is known; otherwise the last target is the reward
    """
    shared = params["W0"].ndim == 3  # [B, in, out]: the same for all episodes; otherwise [B, E, in, out]
    members = {name: p.unsqueeze(1) if shared else p for name, p in params.items()}

    def model(state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        s, size = observe(state) if observe else state, state.shape[-1]
        a = action.expand(*s.shape[:-1], action.shape[-1])
        change, _ = predict(members, normaliser, s, a)
        gained = change[..., size] if reward is None else reward(state, a).expand(change.shape[:-1])
        return state + change[..., :size], gained

    return model


class Correction(NamedTuple):
    """What E models have seen of their own errors: sums over the past that fade, [E, F, F] and [E, F, D].

    The correction is linear in F = 1 + S + A features (1, s, a), normalised. Its weights are those of ridge
    regression on the errors, recent ones counting most: `gram` is Σ φφᵀ and `cross` is Σ φ eᵀ.
    """

    gram: Tensor
    cross: Tensor


def correction_init(episodes: int, normaliser: Normaliser) -> Correction:
    """Nothing seen yet."""
    size, targets = len(normaliser.input_width) + 1, len(normaliser.target_width)
    zeros = normaliser.input_width.new_zeros
    return Correction(zeros(episodes, size, size), zeros(episodes, size, targets))


def features(normaliser: Normaliser, s: Tensor, a: Tensor) -> Tensor:
    """(1, s, a), normalised, [..., F]."""
    x = normaliser.inputs(s, a)
    return torch.cat([torch.ones_like(x[..., :1]), x], dim=-1)


def correct(
    correction: Correction,
    normaliser: Normaliser,
    s: Tensor,
    a: Tensor,
    error: Tensor,
    forget: float = 0.98,
) -> Correction:
    """The correction after one more step of every episode: s [E, S], a [E, A], error [E, D].

    error is what happened minus what the *uncorrected* model said. The past counts `forget` per step less.
    """
    phi, e = features(normaliser, s, a), error / normaliser.target_width
    gram = forget * correction.gram + phi[:, :, None] * phi[:, None, :]
    return Correction(gram, forget * correction.cross + phi[:, :, None] * e[:, None, :])


def learn_error(
    correction: Correction,
    normaliser: Normaliser,
    model: Model,
    state: Tensor,
    action: Tensor,
    state2: Tensor,
    observe: Observe | None = None,
    forget: float = 0.98,
) -> Correction:
    """`correct`, with the error of `model` on a step from states [E, S] by actions [E, A] to state2."""
    s = observe(state) if observe else state
    return correct(correction, normaliser, s, action, state2 - expected(model, state, action), forget)


def correction_weights(correction: Correction, reg: float = 1e-2) -> Tensor:
    """The ridge regression's weights [E, F, D], in normalised units; 0 while nothing has been seen."""
    if reg <= 0:
        raise ValueError(f"reg is {reg}: it must be above 0, or a few steps would fix more than they know.")
    eye = torch.eye(correction.gram.shape[-1], dtype=correction.gram.dtype, device=correction.gram.device)
    return torch.linalg.solve(correction.gram + reg * eye, correction.cross)


def corrected(model: Model, weights: Tensor, normaliser: Normaliser, observe: Observe | None = None) -> Model:
    """The model with the correction `weights` [E, F, D] added to the state that it predicts.

    It works for any model, learned or written down. The reward stays as the model says.
    """

    def better(state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        state2, reward = model(state, action)
        s, size = observe(state) if observe else state, state.shape[-1]
        a = action.expand(*s.shape[:-1], action.shape[-1])
        change = features(normaliser, s, a) @ weights * normaliser.target_width
        return state2 + change[..., :size], reward

    return better


def match(
    action: Tensor, model: Model, better: Model, state: Tensor, limit: float | Tensor, step: float = 1e-2
) -> Tensor:
    """The action [E, A] whose effect by the `better` model is closest to what `model` expects of `action`.

    Nothing is planned anew: the wished-for next state stays, and the action is corrected for it (by least
    squares; the effect of an action is taken to be linear, by differences of size `step`), then clipped.
    """
    wished = expected(model, state, action)
    missing = wished - expected(better, state, action)
    effect = []
    for k in range(action.shape[-1]):
        nudge = torch.zeros_like(action)
        nudge[:, k] = step
        effect.append(
            (expected(better, state, action + nudge) - expected(better, state, action - nudge)) / (2 * step)
        )
    change = torch.linalg.pinv(torch.stack(effect, dim=-1)) @ missing[..., None]
    return (action + change[..., 0]).clamp(-limit, limit)


def expected(model: Model, state: Tensor, action: Tensor) -> Tensor:
    """The next state [E, S] of states [E, S] and actions [E, A], averaged over members if there are any."""
    state2 = model(state[:, None], action[:, None])[0][..., 0, :]
    return state2.reshape(-1, *state.shape).mean(0)


def _normalised(params: Params, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log variance in normalised units; the log variance stays between LEAST and MOST, smoothly."""
    mean, raw = mlp(params, x).chunk(2, dim=-1)
    below = MOST - softplus(MOST - raw)
    return mean, LEAST + softplus(below - LEAST)
