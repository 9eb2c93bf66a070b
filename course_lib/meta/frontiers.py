"""Exploring that must be paid for, and a learning rule that is learned.

In the world of notes a detour tells which of several doors is the right one, in time for the next episode
only. Three ways to credit the first episode: with its own rewards (RL²), with nothing (E-RL²), or with the
information it brought (as DREAM does). And a learner with a table of logits, whose update is written by a
small network: a learned objective.
Sources: Duan et al. 2016 (RL²); Stadie et al. 2018 (E-RL²); Liu et al. 2021 (DREAM); Houthooft et al. 2018
and Oh et al. 2020 (learned objectives).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from course_lib.agents import networks
from course_lib.agents.networks import Params
from course_lib.agents.training import generator_from
from course_lib.meta.recurrent import Trials, advantages, draw, inputs, policy_init, returns_to_go
from course_lib.worlds.tasks import Tasks, bandit_tasks


@dataclass(frozen=True)
class NoteTasks(Tasks):
    """A hall with doors, one of them right, and a way of `steps` steps to a note that says which.

    Action k < doors opens door k: the right one pays 1, a wrong one nothing, and the episode is spent inside.
    The last action walks on towards the note; each step of the way costs `cost`, and nothing else can be done
    there. An episode has steps + 1 steps: who has read the note is back in the hall only in the next one.
    The observation is the place one-hot (hall, way, note, inside), and at the note the door, one-hot.
    """

    door: Tensor  # [M, 1], or [M, E]: one for each life
    doors: int = 6
    steps: int = 1
    cost: float = 0.3

    @property
    def horizon(self) -> int:
        return self.steps + 1

    @property
    def n_actions(self) -> int:
        return self.doors + 1

    @property
    def obs_size(self) -> int:
        return self.steps + 2 + self.doors

    def start(self, episodes: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.zeros(self._episodes(episodes), dtype=torch.long, device=self.device)

    def observe(self, state: Tensor) -> Tensor:
        written = one_hot(self.door, self.doors) * (state == self.steps)[..., None]
        return torch.cat([one_hot(state, self.steps + 2), written], -1).float()

    def step(self, state: Tensor, action: Tensor, generator: torch.Generator | None = None):
        action = self._arms(state, action)
        walks = (action == self.doors) & (state < self.steps)
        opens = (action < self.doors) & (state == 0)
        reward = 1.0 * (opens & (action == self.door)) - self.cost * walks
        after = torch.where(opens, self.steps + 1, state + walks)
        return after, reward.float(), self._never(state)


def note_tasks(doors: int = 6, steps: int = 1, cost: float = 0.3) -> NoteTasks:
    """One task for each door that can be the right one."""
    return NoteTasks(torch.arange(doors)[:, None], doors, steps, cost)


def best_plan(doors: int, detour: float, episodes: int, note: bool = True) -> float:
    """The largest expected total reward with so many doors left to try; `detour` is the price of the note.

    Dynamic programming over the doors and episodes that are left; with note=False nobody walks to the note.
    """
    if episodes == 0:
        return 0.0
    later = best_plan(doors - 1, detour, episodes - 1, note) if doors > 1 else 0.0
    guess = episodes / doors + (1 - 1 / doors) * later  # found, it is opened in every episode
    return max(guess, episodes - 1 - detour) if note else guess


def later_only(tasks: NoteTasks, run: Trials) -> Tensor:
    """E-RL²'s rewards to learn from, [T, M, E]: those of the first episode do not count."""
    first = torch.arange(len(run.rewards)) < tasks.horizon
    return torch.where(first[:, None, None], 0.0, run.rewards)


def informed(tasks: NoteTasks, run: Trials) -> Tensor:
    """DREAM's idea, with the exact belief: a step of the first episode earns the nats that it tells."""
    rewards, H = later_only(tasks, run), tasks.horizon
    tried = (run.states[:H] == 0) & (run.actions[:H] < tasks.doors)
    after = torch.stack([tasks.step(s, a)[0] for s, a in zip(run.states[:H], run.actions[:H], strict=True)])
    told = (after == tasks.steps) | (tried & (run.rewards[:H] > 0))
    left = torch.where(told.cummax(0).values, 1, tasks.doors - tried.int().cumsum(0))
    nats = torch.cat([torch.full_like(left[:1], tasks.doors), left]).float().log()
    rewards[:H] = nats[:-1] - nats[1:]
    return rewards


# RL² in it, several networks side by side: the task axis M counts networks, the axis E their lives


def networks_init(tasks: NoteTasks, hidden: int, seeds: Sequence[int]) -> Params:
    """RL² networks of `recurrent.policy_init`, one a seed, with a leading axis S."""
    sizes = tasks.obs_size, tasks.n_actions, hidden
    each = [policy_init(*sizes, torch.Generator().manual_seed(s)) for s in seeds]
    params = {name: torch.stack([net[name] for net in each]) for name in each[0]}
    return {name: p[:, None] if p.dim() == 2 else p for name, p in params.items()}  # biases [S, 1, n]


def play_notes(
    params: Params, tasks: NoteTasks, episodes: int, generator: torch.Generator, forced: int | None = None
) -> tuple[Trials, Tensor]:
    """One life of each network for each of its doors (tasks.door [S, E]), and log π of all actions
    [T, S, E, A]; `forced` is an action that they all take at every step, whatever they would like.
    """
    A, state = tasks.n_actions, tasks.start(tasks.door.shape[1])
    x = torch.cat([tasks.observe(state), torch.zeros(*state.shape, 2 * A + 1)], -1)
    memory, steps, log_pis = torch.zeros(*state.shape, params["Wh"].shape[-2]), [], []
    for t in range(episodes * tasks.horizon):
        memory = networks.gru_cell(params, x, memory)
        log_pi = (memory @ params["Wp"] + params["bp"]).log_softmax(-1)
        value = (memory @ params["Wv"] + params["bv"])[..., 0]
        action = draw(log_pi, generator) if forced is None else torch.full_like(state, forced)
        after, reward, _ = tasks.step(state, action)
        end = torch.full_like(state, (t + 1) % tasks.horizon == 0)
        log_prob = log_pi.gather(-1, action[..., None])[..., 0]
        steps.append([action, reward, end, log_prob, -(log_pi.exp() * log_pi).sum(-1), value, state])
        log_pis.append(log_pi)
        state = torch.where(end > 0, 0, after)
        x = inputs(tasks.observe(state), action, reward, end, A)
    return Trials(*map(torch.stack, zip(*steps, strict=True))), torch.stack(log_pis)


@torch.no_grad()
def habits(params: Params, tasks: NoteTasks) -> Tensor:
    """[S, 2]: the chance that a network first walks towards the note; and that, having read it, it opens the
    right door in the second episode."""
    every = replace(tasks, door=torch.arange(tasks.doors).expand(len(params["Wh"]), -1))
    _, log_pi = play_notes(params, every, 2, torch.Generator(), forced=tasks.doors)
    right = log_pi[tasks.horizon].gather(-1, every.door[..., None])[..., 0]
    return torch.stack([log_pi[0, ..., -1], right], -1).exp().mean(1)


def note_learner(
    tasks: NoteTasks,
    credit: Callable[[NoteTasks, Trials], Tensor],
    updates: int,
    seeds: Sequence[int],
    batch: int = 240,
    hidden: int = 32,
    entropy: float = 0.15,
    rate: float = 0.01,
    looks: Sequence[int] = (),
) -> tuple[Callable, Callable]:
    """(begin, update) for `training.train`: RL² over two episodes, by the actor–critic of chapter 13.

    credit(tasks, run) are the rewards to learn from; `batch` lives a network, the doors drawn at random. The
    networks share nothing but one limit on the length of their joint gradient.
    The state holds `params`, `scores` [updates] and `seen`, the `habits` before the updates `looks`.
    """

    def begin() -> dict:
        params = networks_init(tasks, hidden, seeds)
        rng = torch.Generator().manual_seed(seeds[0]).get_state()
        start = {"params": params, "adam": networks.adam_init(params), "rng": rng}
        return start | {"scores": [], "seen": []}

    def update(state: dict) -> dict:
        k, generator, seen = len(state["scores"]), generator_from(state["rng"]), state["seen"]
        left, params = 1 - k / updates, networks.require_grad(state["params"])
        seen = [*seen, habits(params, tasks)] if k in looks else seen
        doors = torch.randint(tasks.doors, (len(seeds), batch), generator=generator)
        now = replace(tasks, door=doors)
        run, _ = play_notes(params, now, 2, generator)
        loss = actor_critic(run, credit(now, run), entropy * left)
        grads = networks.clip_each(networks.gradients(loss.sum(), params), 1.0)
        params, memory = networks.adam(params, grads, state["adam"], rate * left)
        scores = [*state["scores"], run.rewards.sum(0).mean().item()]
        new = {"params": params, "adam": memory, "rng": generator.get_state()}
        return new | {"scores": scores, "seen": seen}

    return begin, update


def actor_critic(run: Trials, rewards: Tensor, entropy: float) -> Tensor:
    """The loss of `recurrent.actor_critic_loss` (γ = λ = 1) for each network, [S]."""
    T, values = len(rewards), run.values.detach() * len(rewards)
    advantage = advantages(values, rewards, 1.0)
    critic = (run.values - (advantage + values) / T).pow(2).mean((0, 2)) * T
    spread = advantage.std((0, 2), keepdim=True) + 1e-6
    actor = -(run.log_probs * advantage / spread).mean((0, 2))
    return actor + 0.5 * critic - entropy * run.entropies.mean((0, 2))


# A learned objective

Weight = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]
SIZES = [6, 16, 1]


def reinforce(alpha: float) -> Weight:
    """REINFORCE with the mean reward so far as baseline: the weight is α (r − mean)."""
    return lambda reward, chance, mean, pulls, t: alpha * (reward - mean)


def learned(params: Params) -> Weight:
    """REINFORCE (α = 3), and what a small network adds to the weight.

    It sees the reward, the chance of the arm, their product, the mean reward so far, and how new the arm and
    the life are, 1/(1 + pulls) and 1/(1 + t). Its parameters have a leading axis of networks S.
    """

    def weight(reward, chance, mean, pulls, t):
        new = torch.full_like(reward, 1 / (1 + t))
        x = torch.stack([reward, chance, reward * chance, mean, 1 / (1 + pulls), new], -1)
        return 3 * (reward - mean) + 3 * networks.mlp(params, x)[..., 0]

    return weight


def learn_arms(
    weight: Weight, p: Tensor, T: int, generator: torch.Generator, copies: int = 1
) -> tuple[Tensor, Tensor]:
    """T pulls of Bernoulli arms p [M, K] by learners with a table of logits each: [T, S, M] log π and p of
    the arms pulled, S = copies.

    After each pull the logits move by weight(…) ∇ log π(arm): up the objective weight · log π(arm).
    """
    p = p.expand(copies, *p.shape)
    logits, pulls, total, lived = torch.zeros_like(p), torch.zeros_like(p), torch.zeros(p.shape[:2]), []
    for t in range(T):
        log_pi = logits.log_softmax(-1)
        arm = draw(log_pi, generator)
        at, hot = arm[..., None], one_hot(arm, p.shape[-1])
        log_prob, mean = log_pi.gather(-1, at)[..., 0], p.gather(-1, at)[..., 0]
        reward = (torch.rand(mean.shape, generator=generator) < mean).float()
        seen = reward, log_prob.exp(), (total + 0.5) / (t + 1), pulls.gather(-1, at)[..., 0], t
        logits = logits + weight(*seen)[..., None] * (hot - log_pi.exp())
        pulls, total = pulls + hot, total + reward
        lived.append((log_prob, mean))
    return tuple(map(torch.stack, zip(*lived, strict=True)))


def objective(log_probs: Tensor, rewards: Tensor) -> Tensor:
    """Numbers [S] whose gradient estimates that of the mean total reward of a life, up to a scale.

    log_probs, rewards [T, S, M]; the baseline of a step is the mean return to go over the lives.
    """
    G = returns_to_go(rewards, 1.0)
    return (log_probs * (G - G.mean(2, keepdim=True))).sum(0).mean(1)


def rule_learner(
    updates: int, seeds: Sequence[int], K: int = 2, T: int = 20, batch: int = 256, rate: float = 0.004
) -> tuple[Callable, Callable]:
    """(begin, update) for `training.train`: one learned objective a seed, all on the same fresh bandits."""

    def begin() -> dict:
        each = [networks.mlp_init(SIZES, torch.Generator().manual_seed(s), last=0.1) for s in seeds]
        params = {name: torch.stack([net[name] for net in each]) for name in each[0]}
        rng = torch.Generator().manual_seed(seeds[0]).get_state()
        return {"params": params, "adam": networks.adam_init(params), "rng": rng, "scores": []}

    def update(state: dict) -> dict:
        k, generator = len(state["scores"]), generator_from(state["rng"])
        params = networks.require_grad(state["params"])
        p = bandit_tasks(batch, K, T, seed=10**6 * seeds[0] + k).p
        log_probs, means = learn_arms(learned(params), p, T, generator, len(seeds))
        J = objective(log_probs, means - p.mean(1))  # without luck, less what an average arm brings
        grads = networks.clip_each(networks.gradients(-J.sum() / T, params), 1.0)
        params, memory = networks.adam(params, grads, state["adam"], rate * (1 - k / updates))
        scores = [*state["scores"], means.sum(0).mean().item()]
        return {"params": params, "adam": memory, "rng": generator.get_state(), "scores": scores}

    return begin, update
