"""A small transformer that learns in context: from recorded lives of learners it learns to learn as they do.

Nothing is rewarded here. The network reads a life step by step (what RL² sees: the observation, the last
action, its reward, the end flag) and predicts a label at every step: the action that was taken there, or
whatever else the lives are labelled with. Then it acts by its own predictions, and reads what comes of them.
Several networks are trained side by side: parameters, and what the networks see, may have a leading axis S.
Sources: Vaswani et al. 2017 (the transformer); Laskin et al. 2023 (algorithm distillation); Lee et al. 2023
(labels that are best actions).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import layer_norm, one_hot

from course_lib.agents import networks
from course_lib.agents.networks import Params
from course_lib.agents.training import generator_from, train
from course_lib.meta.bandit_lives import TapedBandits
from course_lib.meta.recurrent import draw, inputs, restart, running
from course_lib.worlds.tasks import Tasks, grid_goal_tasks, grid_goals

Cache = list[tuple[Tensor, Tensor]]  # for each layer the keys and values of the steps that were read


def transformer_init(
    inputs: int, outputs: int, length: int, width: int, layers: int, generator: torch.Generator
) -> Params:
    """Parameters of a transformer that reads up to `length` steps of `inputs` numbers.

    A linear map into `width` numbers and an own vector `place` for every step; then for each layer k maps to
    queries, keys and values (`qkv`), out of the attention (`mix`), and a network with one hidden layer (`up`,
    `down`); last a map `out`, near 0, so that the first predictions are nearly uniform.
    """
    sizes = {"in": (inputs, width)}
    for k in range(layers):
        sizes |= {f"qkv{k}": (width, 3 * width), f"mix{k}": (width, width)}
        sizes |= {f"up{k}": (width, 2 * width), f"down{k}": (2 * width, width)}
    sizes["out"] = (width, outputs)
    params = {"place": 0.1 * torch.randn(length, width, generator=generator)}
    for name, (before, after) in sizes.items():
        scale = (0.1 if name == "out" else 1.0) / math.sqrt(before)
        params[f"W_{name}"] = scale * torch.randn(before, after, generator=generator)
        params[f"b_{name}"] = torch.zeros(after)
    return params


def stacked(several: Sequence[Params]) -> Params:
    """Networks of the same size as one, with a leading axis."""
    return {name: torch.stack([params[name] for params in several]) for name in several[0]}


def linear(params: Params, name: str, x: Tensor) -> Tensor:
    """x W + b, for x [B, T, n], or [S, B, T, n] where each network has its own W [S, n, m]."""
    W, b = params[f"W_{name}"], params[f"b_{name}"]
    if W.dim() == 2:
        return x @ W + b
    return torch.baddbmm(b[:, None], x.flatten(1, -2), W).reshape(*x.shape[:-1], W.shape[-1])


def attend(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    """Causal attention: each row of Q [..., T, d] asks the rows of K up to its own, and gets their mean of V.

    If K has more rows than Q, the rows of Q are the last ones.
    """
    asked, known = Q.shape[-2], K.shape[-2]
    later = torch.ones(asked, known, dtype=torch.bool, device=Q.device).triu(known - asked + 1)
    scores = Q @ K.mT / math.sqrt(Q.shape[-1])
    return scores.masked_fill(later, -torch.inf).softmax(-1) @ V


def transformer(params: Params, x: Tensor, cache: Cache | None = None) -> tuple[Tensor, Cache]:
    """Logits [..., T, outputs] after each of the steps x [..., T, inputs], and the keys and values of all.

    Given the cache of the steps before, x are the steps that follow; what was read is not computed again.
    """
    old = 0 if cache is None else cache[0][0].shape[-2]
    place = params["place"][..., old : old + x.shape[-2], :]
    h, now = linear(params, "in", x) + place.unsqueeze(-3), []
    for k in range(sum(name.startswith("W_qkv") for name in params)):
        Q, K, V = linear(params, f"qkv{k}", normal(h)).chunk(3, -1)
        if cache is not None:
            K, V = (torch.cat(pair, -2) for pair in zip(cache[k], (K, V), strict=True))
        now.append((K, V))
        h = h + linear(params, f"mix{k}", attend(Q, K, V))
        h = h + linear(params, f"down{k}", linear(params, f"up{k}", normal(h)).relu())
    return linear(params, "out", normal(h)), now


def normal(h: Tensor) -> Tensor:
    """Each step's numbers shifted and scaled to mean 0 and variance 1."""
    return layer_norm(h, h.shape[-1:])


@dataclass(frozen=True)
class Lives:
    """N recorded lives of T steps, with a label for each step.

    obs [N, T, obs_size], actions, rewards and labels [N, T]; `ends` [T] says after which steps an inner
    episode ended.
    """

    obs: Tensor
    actions: Tensor
    rewards: Tensor
    ends: Tensor
    labels: Tensor
    n_actions: int

    def __len__(self) -> int:
        return len(self.actions)

    def read(self, which: Tensor) -> tuple[Tensor, Tensor]:
        """What the network sees in some of the lives, [*which, T, inputs], and the labels [*which, T]."""
        before = [x[which].roll(1, -1) for x in (self.actions, self.rewards)]
        ends = self.ends.roll(1).expand_as(before[0])
        x = inputs(self.obs[which], *before, ends, self.n_actions)
        x[..., 0, self.obs.shape[-1] :] = 0  # nothing was done yet
        return x, self.labels[which]


def bandit_lives_of(arms, rewards, labels=None) -> Lives:
    """Lives in bandits from arms and rewards [N, T]; the labels are the arms, if there are no others."""
    arms, rewards = torch.as_tensor(arms).long(), torch.as_tensor(rewards).float()
    N, T = arms.shape
    labels = arms if labels is None else torch.as_tensor(labels).long()
    no_end = torch.zeros(T, dtype=torch.bool)
    return Lives(torch.zeros(N, T, 0), arms, rewards, no_end, labels, int(arms.max()) + 1)


def paid(tasks: TapedBandits, arms: Tensor) -> Tensor:
    """What these arms [M, T], pulled one after the other, pay in bandits whose luck is fixed."""
    pulls = one_hot(arms, tasks.n_actions).cumsum(1).gather(-1, arms[..., None])[..., 0] - 1
    return tasks.tape[torch.arange(len(tasks))[:, None], arms, pulls].float()


def guessing_lives(N: int, episodes: int, generator: torch.Generator) -> Lives:
    """Lives of posterior sampling in hidden-goal grids (chapter 12): it walks to a guess, and guesses again
    at the start of an episode and where the guess is refuted; a found goal is kept.

    `oracles.hidden_goal.posterior_sampling` knows exactly what it earns.
    """
    tasks, goals = grid_goal_tasks(N, split=None, seed=generator.initial_seed()), grid_goals()
    open_, rows, lived = torch.ones(N, len(goals)), torch.arange(N), []
    for _ in range(episodes):
        state, guess = tasks.start(1)[:, 0], torch.multinomial(open_, 1, generator=generator)[:, 0]
        for _ in range(tasks.horizon):
            again = torch.multinomial(open_, 1, generator=generator)[:, 0]
            guess = torch.where(open_[rows, guess] > 0, guess, again)
            down, right = goals[guess] // 5 - state // 5, goals[guess] % 5 - state % 5
            coin = torch.rand(N, generator=generator) < 0.5
            across = torch.where(right > 0, 1, torch.where(right < 0, 3, 4))
            along = (down != 0) & ((right == 0) | coin)
            action = torch.where(along, torch.where(down > 0, 2, 0), across)
            lived.append([state, action])
            after, reward, _ = tasks.step(state[:, None], action[:, None])
            state, found = after[:, 0], reward > 0
            here = goals == state[:, None]
            open_ = torch.where(found, here, (open_ > 0) & ~here).float()
            lived[-1].append(reward[:, 0])
    states, actions, rewards = (torch.stack(part, 1) for part in zip(*lived, strict=True))
    ends = torch.arange(1, episodes * tasks.horizon + 1) % tasks.horizon == 0
    return Lives(tasks.observe(states), actions, rewards, ends, actions, tasks.n_actions)


def imitation_loss(params: Params, x: Tensor, labels: Tensor) -> Tensor:
    """Minus the mean log-probability of the labels, one number for each network: [S], or [] for one alone."""
    log_p = transformer(params, x)[0].log_softmax(-1)
    return -log_p.gather(-1, labels[..., None]).mean((-3, -2, -1))


@dataclass(frozen=True)
class Recipe:
    """How to imitate: updates, lives a batch (for each network), sizes; the step size falls to 0."""

    updates: int
    batch: int = 128
    width: int = 32
    layers: int = 1
    rate: float = 0.01


def imitation(lives: Lives, recipe: Recipe, seeds: Sequence[int]) -> tuple[Callable, Callable]:
    """(begin, update) for `training.train`: one network a seed, each on lives drawn for itself.

    The state holds `params`, with a leading axis of networks, and `losses`, the mean at each update.
    """

    def begin() -> dict:
        x, T = lives.read(torch.zeros(1, dtype=torch.long))[0], lives.actions.shape[1]
        sizes = (x.shape[-1], lives.n_actions, T, recipe.width, recipe.layers)
        params = stacked([transformer_init(*sizes, torch.Generator().manual_seed(s)) for s in seeds])
        rng = torch.Generator().manual_seed(seeds[0]).get_state()
        return {"params": params, "adam": networks.adam_init(params), "rng": rng, "losses": []}

    def update(state: dict) -> dict:
        k, generator = len(state["losses"]), generator_from(state["rng"])
        which = torch.randint(len(lives), (len(seeds), recipe.batch), generator=generator)
        params = networks.require_grad(state["params"])
        loss = imitation_loss(params, *lives.read(which))
        grads = networks.clip_each(networks.gradients(loss.sum(), params), 1.0)
        params, memory = networks.adam(params, grads, state["adam"], recipe.rate * (1 - k / recipe.updates))
        losses = [*state["losses"], loss.mean().item()]
        return {"params": params, "adam": memory, "rng": generator.get_state(), "losses": losses}

    return begin, update


def imitate(lives: Lives, recipe: Recipe, seeds: Sequence[int] = (0,), name: str = "", show=True) -> Params:
    """The networks after a whole run, with a leading axis; with a name, a run that was killed goes on."""
    path, about = (running(name), name) if name else (None, "imitation")
    how = dict(path=path, about=about, settings=recipe, show=show)
    state = train(*imitation(lives, recipe, seeds), recipe.updates, **how)
    return {key: p.detach() for key, p in state["params"].items()}


@torch.no_grad()
def act(
    params: Params, tasks: Tasks, generator: torch.Generator, episodes: int = 1, best: bool = False
) -> tuple[Tensor, Tensor]:
    """Actions and rewards [T, M, S] of S networks, each living once in every task by its own predictions.

    `best` takes the likeliest action instead of a draw.
    """
    S, A, M = len(params["place"]), tasks.n_actions, len(tasks)
    state, clock, cache, lived = tasks.start(S, generator), torch.zeros(M, S), None, []
    x = tasks.observe(state)
    x = torch.cat([x, torch.zeros(M, S, 2 * A + 1)], -1)
    for _ in range(episodes * tasks.horizon):
        logits, cache = transformer(params, x.transpose(0, 1)[:, :, None], cache)
        log_pi = logits[:, :, 0].log_softmax(-1).transpose(0, 1)
        action = log_pi.argmax(-1) if best else draw(log_pi, generator)
        state, reward, terminated = tasks.step(state, action, generator)
        clock = clock + 1
        end = terminated | (clock >= tasks.horizon)
        lived.append((action, reward))
        state, clock = restart(tasks, state, clock, end, generator)
        x = inputs(tasks.observe(state), action, reward, end, A)
    return tuple(map(torch.stack, zip(*lived, strict=True)))


def packed(params: Params) -> np.ndarray:
    """Networks [S, ...] as rows [S, n] of half-precision numbers to store; `unpacked` turns it back."""
    return torch.cat([p.detach().flatten(1) for p in params.values()], 1).numpy().astype(np.float16)


def unpacked(rows: np.ndarray, *sizes: int) -> Params:
    """Networks [S, ...] from rows that `packed` made, for `transformer_init(*sizes)`."""
    shapes = transformer_init(*sizes, torch.Generator())
    rows = torch.as_tensor(np.asarray(rows, np.float32))
    counts = [p.numel() for p in shapes.values()]
    if rows.shape[-1] != sum(counts):
        raise ValueError(f"a row holds {rows.shape[-1]} numbers, a network of these sizes {sum(counts)}.")
    parts = rows.split(counts, -1)
    return {name: part.reshape(-1, *p.shape) for part, (name, p) in zip(parts, shapes.items(), strict=True)}
