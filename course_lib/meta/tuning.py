"""Fine-tuning: take a policy that was trained on source tasks, and train a part of it on a target task.

Parameters are dicts of tensors with a leading task axis [M, ...], as in `meta.maml`, which takes the steps.
Networks read a state as one-hot, so a policy is a table of logits [M, S, A] too, and has an exact return.
Sources: Ben Zaken et al. 2022 (BitFit: biases only); Raghu et al. 2020 (ANIL: the head only); Breiman &
Freedman 1983 (`expected_loss`); Mandi et al. 2022 (fine-tuning as a rival of meta-RL); Sutton & Barto 2018,
§5.5 (weighted importance sampling).
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor

from course_lib.agents.networks import Params, mlp
from course_lib.meta import relatives
from course_lib.meta.maml import Loss
from course_lib.worlds.tasks import Tasks

SETTINGS = ("all", "weights", "biases", "head")


# Which parameters move


def movable(params: Params, setting: str) -> list[str]:
    """The names that move: "all", "weights" (W0, W1, …), "biases" (b0, …), or "head", the last layer's."""
    last = max((int(name[1:]) for name in params if name[1:].isdigit()), default=-1)
    names = {
        "all": list(params),
        "weights": [name for name in params if name.startswith("W")],
        "biases": [name for name in params if name.startswith("b")],
        "head": [name for name in params if name in (f"W{last}", f"b{last}")],
    }
    if setting not in names:
        raise ValueError(f"setting is {setting!r}: choose one of {', '.join(SETTINGS)}.")
    return names[setting]


def share(params: Params, setting: str) -> float:
    """How much of all numbers in the network may move, from 0 to 1."""
    moving = sum(params[name].numel() for name in movable(params, setting))
    return moving / sum(p.numel() for p in params.values())


def expected_loss(n: int, k: int, noise: float, left: float) -> float:
    """The expected squared error on a new point, when k of many weights are fitted to n points. Exact.

    The inputs are independent standard normals; the free weights take the least-squares fit; the frozen ones
    stay at their means over the tasks, and `left` is the sum of their variances. What they miss is noise to
    the fit: (noise² + left)·(n − 1)/(n − k − 1), infinite up to n = k + 1.
    """
    if k < 0 or n < 0 or noise < 0 or left < 0:
        raise ValueError(f"n, k, noise, left are {n}, {k}, {noise}, {left}: none may be negative.")
    if k == 0:
        return noise**2 + left
    return (noise**2 + left) * (n - 1) / (n - k - 1) if n > k + 1 else np.inf


# Policies on related tasks


def table(params: Params, tasks: Tasks) -> Tensor:
    """The logits [..., S, A] that a network gives in every state."""
    return mlp(params, torch.eye(tasks.obs_size))


def exact_return(params: Params, tasks: Tasks) -> Tensor:
    """The expected return of every task's own policy, [M], without sampling."""
    return relatives.returns(table(params, tasks), *relatives.tables(tasks), tasks.horizon)


def fresh_episodes(tasks: Tasks, episodes: int, generator: torch.Generator) -> Loss:
    """A loss for `maml.adaptations`: new episodes at every call, and the gradient of REINFORCE on them."""
    loss = relatives.reinforce(tasks, episodes, generator)
    return lambda params: loss({"logits": table(params, tasks)})


class Episodes(NamedTuple):
    """E episodes in each of M tasks: what happened, what it brought, and how likely the policy found it."""

    state: Tensor  # [M, E, T]
    action: Tensor  # [M, E, T]
    total: Tensor  # [M, E], the return
    log_prob: Tensor  # [M, E], of all actions of the episode together


def collect(params: Params, tasks: Tasks, episodes: int, generator: torch.Generator) -> Episodes:
    """Episodes of the policies `params`."""
    with torch.no_grad():
        logits = table(params, tasks)
        state, action, reward = relatives.play(tasks, logits, episodes, generator)
        return Episodes(state, action, reward.sum(-1), _log_prob(logits, state, action))


def promised(params: Params, tasks: Tasks, data: Episodes) -> Tensor:
    """What old episodes promise that these policies would earn, [M]: weighted importance sampling.

    The returns are averaged with weights π(actions)/π_old(actions). Whoever maximises this on the same
    episodes again and again ends by promising the luckiest return among them.
    """
    log_ratio = _log_prob(table(params, tasks), data.state, data.action) - data.log_prob
    return (torch.softmax(log_ratio, -1) * data.total).sum(-1)


def _log_prob(logits: Tensor, state: Tensor, action: Tensor) -> Tensor:
    log_pi = torch.log_softmax(logits, -1)
    return log_pi[torch.arange(len(logits))[:, None, None], state, action].sum(-1)


# Keep or discard


def better(before: np.ndarray, after: np.ndarray, margin: float = 0.0) -> np.ndarray:
    """Whether to keep the change, [...]: returns of episodes before and after it are [..., V].

    Kept is what is better on the average by more than `margin` standard errors of the difference; with
    margin 0 (which needs no standard error) by anything at all.
    """
    before, after = np.asarray(before, float), np.asarray(after, float)
    if before.shape[:-1] != after.shape[:-1] or not before.shape[-1] or not after.shape[-1]:
        raise ValueError(f"shapes {before.shape} and {after.shape}: give returns [..., V] of the same tasks.")
    gain = after.mean(-1) - before.mean(-1)
    if margin == 0:
        return gain > 0
    if min(before.shape[-1], after.shape[-1]) < 2:
        raise ValueError("a margin needs a standard error: give at least 2 episodes before and 2 after.")
    parts = [x.var(-1, ddof=1) / x.shape[-1] for x in (before, after)]
    return gain > margin * np.sqrt(parts[0] + parts[1])


def gate_worth(mean: float, spread: float, noise: float, margin: float = 0.0) -> tuple[float, float]:
    """What a gate on held-out episodes reports, and what it is worth, on average over tasks. Exact.

    The change of a task is normal (mean, spread); the gate sees it with normal noise, keeps it where it sees
    more than margin·noise, and otherwise changes nothing. Reported is what it sees of what it keeps.
    """
    width = np.hypot(spread, noise)
    if spread < 0 or noise < 0:
        raise ValueError(f"spread is {spread} and noise {noise}: they must not be negative.")
    if width == 0:
        return (mean, mean) if mean > 0 else (0.0, 0.0)
    z = (mean - margin * noise) / width
    kept, edge = mean * norm.cdf(z), norm.pdf(z)
    return float(kept + width * edge), float(kept + spread**2 / width * edge)
