"""RL²: a recurrent network that is trained over many tasks, and then learns within one by remembering.

Its memory lives through all episodes of a *trial* (a lifetime in one task); its weights stand still there. It
sees the observation, its last action, the reward that came of it, and whether that ended an episode. Outside,
ordinary policy gradients make the return of whole trials grow: the end of an inner episode ends no return.
Sources: Duan et al. 2016 (RL²); Wang et al. 2016; Cho et al. 2014 (the recurrent unit).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from course_lib.agents import networks
from course_lib.agents.networks import Params
from course_lib.agents.training import generator_from, train
from course_lib.repro import running
from course_lib.worlds.tasks import Tasks


def policy_init(obs_size: int, n_actions: int, hidden: int, generator: torch.Generator) -> Params:
    """A recurrent unit (`Wx`, `Wh`, `b`) with two readings of its memory: logits `Wp`, `bp`, a value `Wv`,
    `bv`.

    The readings begin near 0, so the first policy is nearly uniform.
    """
    unit = networks.gru_init(obs_size + 2 * n_actions + 1, hidden, generator)
    policy = networks.mlp_init([hidden, n_actions], generator, last=0.01)
    value = networks.mlp_init([hidden, 1], generator, last=0.01)
    readings = {"Wp": policy["W0"], "bp": policy["b0"], "Wv": value["W0"], "bv": value["b0"]}
    return unit | readings


def inputs(obs: Tensor, action: Tensor, reward: Tensor, end: Tensor, n_actions: int) -> Tensor:
    """What the network sees next, [M, E, obs_size + 2A + 1]: the observation, the last action (one-hot), its
    reward written at the action's place, and 1 where an episode has ended."""
    chosen = one_hot(action, n_actions).float()
    return torch.cat([obs, chosen, chosen * reward[..., None], end[..., None].float()], -1)


@dataclass(frozen=True)
class Trials:
    """E trials in each of M tasks, over T steps: every tensor [T, M, E], memories [T, M, E, H] if kept.

    `states` and `memories` are those in which the action was chosen; `ends` says after which steps an inner
    episode ended. `log_probs`, `entropies` and `values` carry the gradient.
    """

    actions: Tensor
    rewards: Tensor
    ends: Tensor
    log_probs: Tensor
    entropies: Tensor
    values: Tensor
    states: Tensor
    memories: Tensor | None = None


def play(
    params: Params,
    tasks: Tasks,
    episodes: int,
    generator: torch.Generator,
    each: int = 1,
    best: bool = False,
    see_reward: bool = True,
    keep: bool = False,
) -> Trials:
    """Runs `each` trials of `episodes` times `tasks.horizon` steps in every task, all at once.

    An episode ends when the world says so, or after `tasks.horizon` steps; then a new one starts in the same
    task, and the memory goes on. `best` takes the likeliest action instead of a draw, `see_reward=False`
    hides the rewards from the network, and `keep` keeps the memories.
    """
    A, state = tasks.n_actions, tasks.start(each, generator)
    obs = tasks.observe(state)
    x = torch.cat([obs, torch.zeros(*obs.shape[:2], 2 * A + 1, device=tasks.device)], -1)
    memory = torch.zeros(*obs.shape[:2], len(params["Wh"]), device=tasks.device)
    clock, steps = torch.zeros(obs.shape[:2], device=tasks.device), []
    for _ in range(episodes * tasks.horizon):
        memory = networks.gru_cell(params, x, memory)
        log_pi = torch.log_softmax(memory @ params["Wp"] + params["bp"], -1)
        value = (memory @ params["Wv"] + params["bv"])[..., 0]
        action = log_pi.argmax(-1) if best else draw(log_pi, generator)
        after, reward, terminated = tasks.step(state, action, generator)
        clock = clock + 1
        end = terminated | (clock >= tasks.horizon)
        entropy = -(log_pi.exp() * log_pi).sum(-1)
        log_prob = log_pi.gather(-1, action[..., None])[..., 0]
        row = [action, reward, end, log_prob, entropy, value, state]
        steps.append([*row, memory] if keep else row)
        state, clock = restart(tasks, after, clock, end, generator)
        x = inputs(tasks.observe(state), action, reward if see_reward else 0 * reward, end, A)
    return Trials(*map(torch.stack, zip(*steps, strict=True)))


def draw(log_pi: Tensor, generator: torch.Generator) -> Tensor:
    """An action of each distribution log_pi [..., A]: the largest log-probability plus Gumbel noise."""
    u = torch.rand(log_pi.shape, generator=generator, device=generator.device).to(log_pi.device)
    return (log_pi.detach() - torch.log(-torch.log(u.clamp(1e-9, 1 - 1e-7)))).argmax(-1)


def restart(tasks: Tasks, state: Tensor, clock: Tensor, end: Tensor, generator) -> tuple[Tensor, Tensor]:
    """The state and the step count [M, E] from which to go on: a fresh start where an episode has ended."""
    if not end.any():
        return state, clock
    fresh = tasks.start(end.shape[1], generator)
    where = end.reshape(end.shape + (1,) * (state.dim() - 2))
    return torch.where(where, fresh, state), torch.where(end, 0.0, clock)


def returns_to_go(rewards: Tensor, gamma: float) -> Tensor:
    """G_t = r_t + γ G_{t+1} over the whole trial, [T, M, E]: it looks past the ends of inner episodes."""
    G, later = torch.empty_like(rewards), torch.zeros_like(rewards[0])
    for t in range(len(rewards) - 1, -1, -1):
        later = rewards[t] + gamma * later
        G[t] = later
    return G


def advantages(values: Tensor, rewards: Tensor, gamma: float, lam: float = 1.0) -> Tensor:
    """TD errors of the whole trial, summed with (γ lam)^k, [T, M, E]; at lam = 1, return minus value.

    The trial is one long episode: nothing is cut off where an inner episode ends, and nothing follows it.
    """
    following = torch.cat([values[1:], torch.zeros_like(values[:1])])
    return returns_to_go(rewards + gamma * following - values, gamma * lam)


def actor_critic_loss(run: Trials, rewards: Tensor, gamma: float, entropy: float, lam: float = 1.0) -> Tensor:
    """The loss of an advantage actor–critic on whole trials, through the recurrent graph of the run.

    `rewards` [T, M, E] are those to learn from: the run's, or a quieter version with the same expectation up
    to a constant of each task, which leaves the gradient's expectation as it is. The value head predicts the
    return divided by `scale`, the number of (discounted) steps. Advantages are divided by their standard
    deviation; `entropy` is the weight of the entropy bonus.
    """
    scale = sum(gamma**t for t in range(len(rewards)))
    values = run.values.detach() * scale
    advantage = advantages(values, rewards, gamma, lam)
    critic = (run.values - (advantage + values) / scale).pow(2).mean() * scale
    actor = -(run.log_probs * advantage / (advantage.std() + 1e-6)).mean()
    return actor + 0.5 * critic - entropy * run.entropies.mean()


@dataclass(frozen=True)
class Recipe:
    """How to train: how many updates, the network's size, and the numbers of the loss.

    The step size `rate` and the weight `entropy` fall in a straight line to 0 at the last update.
    """

    updates: int
    hidden: int = 48
    each: int = 1
    rate: float = 0.01
    entropy: float = 0.05
    gamma: float = 1.0
    lam: float = 1.0
    clip: float = 1.0
    episodes: int = 1
    see_reward: bool = True


def rl2(
    tasks_for: Callable[[int], Tasks],
    recipe: Recipe,
    seed: int = 0,
    credit: Callable[[Tasks, Trials], Tensor] = lambda tasks, run: run.rewards,
) -> tuple[Callable[[], dict], Callable[[dict], dict]]:
    """(begin, update) for `training.train`: RL² by actor–critic on fresh tasks at every update.

    tasks_for(k) are the training tasks of update k: a curriculum is a matter of what it returns.
    credit(tasks, run) are the rewards to learn from (see `actor_critic_loss`); it may use what the policy
    cannot know, because it is gone when training ends. The state holds `params` and `scores`, the mean trial
    return at each update.
    """

    def begin() -> dict:
        generator, tasks = torch.Generator().manual_seed(seed), tasks_for(0)
        params = policy_init(tasks.obs_size, tasks.n_actions, recipe.hidden, generator)
        memory = networks.adam_init(params)
        return {"params": params, "adam": memory, "rng": generator.get_state(), "scores": []}

    def update(state: dict) -> dict:
        k, generator = len(state["scores"]), generator_from(state["rng"])
        left, tasks = 1 - k / recipe.updates, tasks_for(k)
        params = networks.require_grad(state["params"])
        run = play(params, tasks, recipe.episodes, generator, recipe.each, see_reward=recipe.see_reward)
        loss = actor_critic_loss(run, credit(tasks, run), recipe.gamma, recipe.entropy * left, recipe.lam)
        grads = networks.clip_norm(networks.gradients(loss, params), recipe.clip)
        params, memory = networks.adam(params, grads, state["adam"], recipe.rate * left)
        scores = [*state["scores"], run.rewards.sum(0).mean().item()]
        return {"params": params, "adam": memory, "rng": generator.get_state(), "scores": scores}

    return begin, update


def learn(
    tasks_for: Callable[[int], Tasks],
    recipe: Recipe,
    seed: int = 0,
    credit: Callable[[Tasks, Trials], Tensor] = lambda tasks, run: run.rewards,
    name: str = "",
    show: bool = True,
) -> dict:
    """The state at the end of a whole training run of `rl2`. With a name it can be killed: started again, it
    goes on where it was (see `repro.running`)."""
    path, about = (running(name), name) if name else (None, "RL²")
    how = dict(path=path, about=about, settings=recipe, show=show)
    return train(*rl2(tasks_for, recipe, seed, credit), recipe.updates, **how)


def watched(update: Callable[[dict], dict], look: Callable[[Params], object], at: Sequence[int]) -> Callable:
    """The same update, which also keeps look(params) before those updates that are numbered in `at`.

    They gather under `seen` in the state, as plain lists or tensors, so that a run can be resumed.
    """

    def step(state: dict) -> dict:
        seen = state.get("seen", [])
        if len(state["scores"]) in at:
            seen = [*seen, look(state["params"])]
        return update(state) | {"seen": seen}

    return step


def packed(params: Params) -> np.ndarray:
    """All parameters in one row of half-precision numbers, small to store; `unpacked` turns it back."""
    return np.concatenate([p.detach().numpy().ravel() for p in params.values()]).astype(np.float16)


def unpacked(row: np.ndarray, obs_size: int, n_actions: int, hidden: int) -> Params:
    """The parameters from a row that `packed` made, for a network of these sizes."""
    shapes = policy_init(obs_size, n_actions, hidden, torch.Generator())
    sizes = [p.numel() for p in shapes.values()]
    if len(row) != sum(sizes):
        raise ValueError(
            f"the row holds {len(row)} numbers, a network of these sizes {sum(sizes)}: give the sizes it had."
        )
    parts = torch.as_tensor(row.astype(np.float32)).split(sizes)
    return {name: part.reshape(p.shape) for part, (name, p) in zip(parts, shapes.items(), strict=True)}
