"""Policy gradients: estimates from samples, advantages, natural gradients, and PPO.

In tables: episodes of a softmax policy, and one gradient estimate for each episode, for clouds and tests
against `oracles.gradients`. With networks: plain functions of tensors (`gae`, `ppo_loss`, …) that later
chapters use too, and `ppo`, which trains several independent agents at once.
Sources: Williams 1992; Sutton et al. 2000; Schulman et al. 2016 (GAE) and 2017 (PPO); Kakade 2001.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import gymnasium
import numpy as np
import torch
from scipy.special import softmax

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
from course_lib.agents.sampling import Sampler, by_policy, walk
from course_lib.agents.training import generator_from, train
from course_lib.worlds.mdp import MDP

# Advantages


def gae(
    rewards: torch.Tensor,
    values: torch.Tensor,
    terminated: torch.Tensor,
    gamma: float,
    lam: float,
    truncated: torch.Tensor | None = None,
    final_values: torch.Tensor | None = None,
) -> torch.Tensor:
    """Generalised advantage estimates [T, ...]: Σ_k (γλ)^k δ_(t+k) up to the end of the episode.

    rewards     [T, ...], rewards[t] is R_(t+1); the axes behind T are any number of parallel runs
    values      [T + 1, ...] of the states s_0 … s_T; δ_t = r_t + γ V(s_(t+1)) − V(s_t)
    terminated  [T, ...] bool: step t ended its episode, so what follows is worth 0
    truncated   [T, ...] bool: a time limit cut the episode at step t. The state that it cut off is worth
                final_values[t], while values[t + 1] belongs to the next episode

    λ = 0 is the TD error; λ = 1 the return, with values[T] for what is cut off, minus V (Schulman 2016).
    """
    going, after = (~terminated.bool()).to(rewards.dtype), values[1:]
    carry = going
    if truncated is not None:
        after = torch.where(truncated, final_values, after)
        carry = going * ~truncated
    td_error = rewards + gamma * going * after - values[:-1]
    adv, backwards = torch.zeros_like(rewards[0]), []
    for t in reversed(range(len(rewards))):
        adv = td_error[t] + gamma * lam * carry[t] * adv
        backwards.append(adv)
    return torch.stack(backwards[::-1])


# Estimates in tables


class Batch(NamedTuple):
    """N episodes, time first: s [T + 1, N], a and r [T, N], going [T, N] (the episode still runs there)."""

    s: np.ndarray
    a: np.ndarray
    r: np.ndarray
    going: np.ndarray


def play(
    mdp: MDP, theta: np.ndarray, episodes: int, rng: np.random.Generator, limit: int | None = None
) -> Batch:
    """Episodes of the softmax policy of theta [S, A], each at most `limit` steps long.

    After its end an episode stays in its last state; a and r are 0 there.
    """
    choose = by_policy(softmax(np.asarray(theta, float), axis=1), rng)
    steps = list(walk(Sampler.of(mdp), choose, rng, episodes, episodes=1, limit=limit))
    T = len(steps)
    s = np.empty((T + 1, episodes), np.int64)
    a, r, going = (np.zeros((T, episodes), kind) for kind in (np.int64, float, bool))
    s[0] = steps[0].s
    for t, step in enumerate(steps):
        s[t + 1] = s[t]
        s[t + 1, step.n] = step.s2
        a[t, step.n], r[t, step.n], going[t, step.n] = step.a, step.r, True
    return Batch(s, a, r, going)


def returns_to_go(batch: Batch, gamma: float) -> np.ndarray:
    """G_t = r_t + γ r_(t+1) + … of each step, [T, N]."""
    G = np.zeros_like(batch.r)
    G[-1] = batch.r[-1]
    for t in reversed(range(len(G) - 1)):
        G[t] = batch.r[t] + gamma * G[t + 1]
    return G


def advantages(batch: Batch, V: np.ndarray, gamma: float, lam: float) -> np.ndarray:
    """GAE(λ) with a critic V [S], [T, N]; V must be 0 in terminal states. V = 0 and λ = 1: returns to go."""
    values = torch.from_numpy(np.asarray(V, float)[batch.s])
    after_end = ~batch.going
    after_end[:-1] |= ~batch.going[1:]  # the last step that is going, and all that follow
    over = torch.from_numpy(after_end)
    return gae(torch.from_numpy(batch.r), values, over, gamma, lam).numpy() * batch.going


def gradient_samples(batch: Batch, theta: np.ndarray, weight: np.ndarray, gamma: float = 1.0) -> np.ndarray:
    """Σ_t γ^t w_t ∇ log π(a_t|s_t) of each episode, [N, S, A], for weights [T, N].

    ∇ log π(a|s) is 1 for the action taken, minus π(·|s), in row s. `gamma` = 1 leaves γ^t out, as most
    programs do. That changes what is estimated.
    """
    pi = softmax(np.asarray(theta, float), axis=1)
    t, n = np.nonzero(batch.going)
    s, a, w = batch.s[t, n], batch.a[t, n], (gamma**t) * weight[t, n]
    N, (S, A) = batch.s.shape[1], pi.shape
    taken = np.bincount((n * S + s) * A + a, weights=w, minlength=N * S * A).reshape(N, S, A)
    return taken - taken.sum(axis=2, keepdims=True) * pi


# Natural gradients


def conjugate_gradient(
    times: Callable[[torch.Tensor], torch.Tensor], g: torch.Tensor, steps: int = 10, tol: float = 1e-10
) -> torch.Tensor:
    """x with F x = g, for `times(v)` = F v, symmetric and positive; F itself is never formed.

    Exact after as many steps as F has different eigenvalues; stops when |F x − g|² falls below tol·|g|².
    """
    x, left = torch.zeros_like(g), g.clone()
    direction, size = left, left @ left
    enough = tol * size
    for _ in range(steps):
        if size <= enough:
            break
        Fd = times(direction)
        move = size / (direction @ Fd)
        x, left = x + move * direction, left - move * Fd
        size, before = left @ left, size
        direction = left + size / before * direction
    return x


def fisher_times(
    log_probs: Callable[[Params], torch.Tensor], params: Params, v: torch.Tensor, damping: float = 0.0
) -> torch.Tensor:
    """F v for a policy over discrete actions, without forming F; v has all parameters in one row.

    log_probs(params) gives log π(a|s) [B, A] for a batch of states. The Hessian of the mean KL(π_old ‖ π) at
    π = π_old is the Fisher information, so F v is the gradient of (gradient of KL) · v. `damping` adds
    damping·v: F is singular wherever a change of parameters leaves the policy as it is.
    """
    now = log_probs(params)
    old = now.detach()
    kl = (old.exp() * (old - now)).sum(-1).mean()
    slope = flat(gradients(kl, params, create_graph=True)) @ v
    return flat(gradients(slope, params)).detach() + damping * v


def flat(params: Params) -> torch.Tensor:
    """All parameters, or their gradients, in one row."""
    return torch.cat([p.reshape(-1) for p in params.values()])


# PPO


def ppo_loss(
    log_prob: torch.Tensor, old_log_prob: torch.Tensor, adv: torch.Tensor, clip: float = 0.2
) -> torch.Tensor:
    """Minus the clipped surrogate, averaged over all entries (Schulman et al. 2017, eq. 7).

    ratio = π(a|s)/π_old(a|s); each entry counts min(ratio·adv, clip(ratio, 1 − clip, 1 + clip)·adv): nothing
    more is to be gained by moving the ratio further than `clip` in the direction that adv asks for.
    """
    ratio = torch.exp(log_prob - old_log_prob)
    return -torch.minimum(ratio * adv, ratio.clamp(1 - clip, 1 + clip) * adv).mean()


@dataclass(frozen=True)
class PPO:
    """The settings of `ppo`; the defaults suit CartPole.

    envs          copies of the world that each agent acts in at once; after `steps_each` steps in each of
                  them it learns from what happened: that is one round
    passes        how often it goes through this data, in `batches` minibatches each
    rate          of Adam; falls to 0 along the run, in a straight line
    entropy       the weight of the entropy bonus; value_weight that of the critic's squared error
    reward_scale  multiplies the rewards that it learns from
    obs_scale     multiplies the first weights, one number each, for observations that are large
    """

    envs: int = 8
    steps_each: int = 128
    passes: int = 10
    batches: int = 4
    gamma: float = 0.99
    lam: float = 0.95
    clip: float = 0.2
    rate: float = 1e-3
    entropy: float = 0.0
    value_weight: float = 0.5
    clip_norm: float = 0.5
    hidden: tuple[int, ...] = (64, 64)
    log_std: float = 0.0
    reward_scale: float = 1.0
    obs_scale: tuple[float, ...] | float = 1.0


PENDULUM = {  # settings for Pendulum, for `ppo(Pendulum(), steps, **PENDULUM)`
    "envs": 16,
    "steps_each": 200,
    "batches": 8,
    "gamma": 0.95,
    "obs_scale": (1.0, 1.0, 0.25),
    "reward_scale": 0.1,
}


def ppo(
    world,
    steps: int,
    *,
    agents: int = 1,
    seed: int = 0,
    path: str | Path | None = None,
    show: bool = True,
    **settings,
) -> dict:
    """Train by PPO: {theta, curve, steps, choose}; settings as in `PPO`.

    world   batched: start, observe, step, horizon, obs_size, n_actions or action_size (`torch_control`)
    steps   environment steps of each agent, rounded down to whole rounds
    agents  independent agents, trained side by side: each with its own network and its own episodes

    theta   the networks after the last step, each tensor with a leading axis of agents
    curve   [rounds, agents], after each round the mean return of the last episodes that ended; NaN before
    steps   [rounds], the environment steps of each agent by then
    choose  observations [agents, B, obs] → actions without chance: the likeliest, or the mean

    With a `path` the run is stored there as it goes on, and continued from there, bit for bit. ValueError if
    there are fewer steps than one round takes.
    """
    setting = PPO(**settings)
    each = setting.envs * setting.steps_each
    rounds = steps // each
    if rounds < 1 or agents < 1:
        raise ValueError(
            f"steps is {steps} and agents {agents}: give at least one agent, and {each} steps, a round."
        )
    code = hashlib.sha256(repr((world, rounds, seed, agents, setting)).encode()).hexdigest()[:8]

    def begin():
        return _begin(world, setting, agents, seed)

    def update(state):
        return _update(world, setting, state, rate=setting.rate * (1 - len(state["curve"]) / rounds))

    state = train(begin, update, rounds, path=path, every=10, about=f"ppo {code}", show=show)
    theta = {name: p.detach() for name, p in state["theta"].items()}
    taken = torch.arange(1, rounds + 1) * each
    result = {"theta": theta, "curve": state["curve"].numpy(), "steps": taken.numpy()}
    return {**result, "choose": lambda obs: act(theta, obs)}


def outputs(params: Params, obs: torch.Tensor) -> torch.Tensor:
    """What the policy network says: logits [agents, B, A], or means of actions [agents, B, action_size]."""
    return mlp(_part(params, "pi_"), obs)


def value(params: Params, obs: torch.Tensor) -> torch.Tensor:
    """The critic's V, [agents, B], of obs [agents, B, obs_size], in scaled rewards."""
    return mlp(_part(params, "v_"), obs)[..., 0]


def draw(params: Params, out: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Actions drawn from the policy whose network says `out`: [agents, B], or [agents, B, action_size]."""
    if "log_std" in params:
        noise = torch.randn(out.shape, generator=generator, dtype=out.dtype)
        return out + params["log_std"].exp().unsqueeze(-2) * noise
    chances = out.softmax(-1).reshape(-1, out.shape[-1])
    return torch.multinomial(chances, 1, generator=generator).reshape(out.shape[:-1])


def log_prob(params: Params, out: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
    """log π(a|s) [agents, B]; for actions that are normal, the log of the density."""
    if "log_std" not in params:
        return out.log_softmax(-1).gather(-1, action.unsqueeze(-1))[..., 0]
    log_std = params["log_std"].unsqueeze(-2)
    scaled = (action - out) / log_std.exp()
    return (-0.5 * scaled**2 - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)


def entropy(params: Params, out: torch.Tensor) -> torch.Tensor:
    """−E[log π(a|s)] at each state, [agents, B]."""
    if "log_std" in params:
        per_state = (params["log_std"] + 0.5 * math.log(2 * math.pi * math.e)).sum(-1, keepdim=True)
        return per_state.expand(out.shape[:-1])
    log_pi = out.log_softmax(-1)
    return -(log_pi.exp() * log_pi).sum(-1)


def act(params: Params, obs: torch.Tensor) -> torch.Tensor:
    """Actions without chance: the likeliest one, or the mean."""
    with torch.no_grad():
        out = outputs(params, obs)
        return out if "log_std" in params else out.argmax(-1)


def one_agent(params: Params, agent: int) -> Params:
    """The parameters of one of the agents, without their axis of agents."""
    return {name: p.detach()[agent] for name, p in params.items()}


def gymnasium_returns(
    choose: Callable[[torch.Tensor], torch.Tensor],
    name: str,
    agents: int = 1,
    episodes: int = 100,
    seed: int = 0,
) -> np.ndarray:
    """Returns [agents, episodes], undiscounted, on Gymnasium's own environment `name`; nothing is learned.

    choose   observations [agents, episodes, obs] → actions [agents, episodes, …], as `ppo` gives it

    Episode e starts from the environment's first state for seed + e, the same for every agent.
    """
    envs = [gymnasium.make(name) for _ in range(agents * episodes)]
    obs = np.stack([env.reset(seed=seed + e % episodes)[0] for e, env in enumerate(envs)])
    total, going = np.zeros(len(envs)), np.ones(len(envs), bool)
    while going.any():
        actions = choose(torch.from_numpy(obs).reshape(agents, episodes, -1)).flatten(0, 1).numpy()
        for e in np.flatnonzero(going):
            obs[e], reward, terminated, truncated, _ = envs[e].step(actions[e])
            total[e] += reward
            going[e] = not (terminated or truncated)
    for env in envs:
        env.close()
    return total.reshape(agents, episodes)


def _part(params: Params, prefix: str) -> Params:
    return {name[len(prefix) :]: p for name, p in params.items() if name.startswith(prefix)}


def _begin(world, settings: PPO, agents: int, seed: int) -> dict:
    generator = torch.Generator().manual_seed(seed)
    n_out = getattr(world, "n_actions", None) or world.action_size
    scale = torch.as_tensor(settings.obs_scale, dtype=world.dtype)
    each = []
    for _ in range(agents):
        pi = mlp_init([world.obs_size, *settings.hidden, n_out], generator, last=0.01, dtype=world.dtype)
        v = mlp_init([world.obs_size, *settings.hidden, 1], generator, dtype=world.dtype)
        for net in (pi, v):  # large observations get small first weights
            net["W0"] = net["W0"] * scale.expand(world.obs_size)[:, None]
        each.append({f"pi_{k}": x for k, x in pi.items()} | {f"v_{k}": x for k, x in v.items()})
        if not hasattr(world, "n_actions"):
            each[-1]["log_std"] = torch.full((n_out,), settings.log_std, dtype=world.dtype)
    params = require_grad({name: torch.stack([p[name] for p in each]) for name in each[0]})
    shape = (agents, settings.envs)
    nothing = torch.zeros(shape, dtype=world.dtype)
    return {
        "theta": params,
        "adam": adam_init(params),
        "world": world.start(shape, generator),
        "age": torch.zeros(shape, dtype=torch.long),
        "return": nothing,
        "last": nothing * math.nan,
        "curve": torch.empty((0, agents)),
        "rng": generator.get_state(),
    }


def _update(world, settings: PPO, state: dict, rate: float) -> dict:
    """One round: act for so many steps, then learn from them."""
    generator = generator_from(state["rng"])
    params = require_grad(state["theta"])
    data, after = _collect(world, settings, params, state, generator)
    memory, n = state["adam"], data["adv"].shape[1]
    for _ in range(settings.passes):
        for part in torch.randperm(n, generator=generator).chunk(settings.batches):
            loss = _loss(params, {name: x[:, part] for name, x in data.items()}, settings)
            grads = clip_each(gradients(loss, params), settings.clip_norm)
            params, memory = adam(params, grads, memory, rate)
    curve = torch.cat([state["curve"], after["last"].nanmean(dim=1)[None].float()])
    more = {"curve": curve, "rng": generator.get_state()}
    return {**after, **more, "theta": params, "adam": memory}


def _collect(world, settings: PPO, params: Params, state: dict, generator) -> tuple[dict, dict]:
    """What happened in one round, [agents, steps_each · envs, …] each, and where the worlds are then."""
    s, age, total, last = (state[k] for k in ("world", "age", "return", "last"))
    rows = []
    with torch.no_grad():
        for _ in range(settings.steps_each):
            obs = world.observe(s)
            out = outputs(params, obs)
            action = draw(params, out, generator)
            s2, reward, terminated = world.step(s, action, generator)
            age, total = age + 1, total + reward
            truncated = (age == world.horizon) & ~terminated
            over = terminated | truncated
            row = obs, action, log_prob(params, out, action), reward, terminated, truncated, world.observe(s2)
            rows.append(row)
            last = torch.where(over, total, last)
            age, total = age * ~over, total * ~over
            s = torch.where(over[..., None], world.start(over.shape, generator), s2) if over.any() else s2
        obs, action, old, reward, terminated, truncated, obs2 = map(torch.stack, zip(*rows, strict=True))
        values, final = _over_time(params, obs), _over_time(params, obs2)
        scaled, all_values = settings.reward_scale * reward, torch.cat([values, final[-1:]])
        adv = gae(scaled, all_values, terminated, settings.gamma, settings.lam, truncated, final)
    data = {"obs": obs, "action": action, "old": old, "adv": adv, "target": adv + values}
    data = {k: x.transpose(0, 1).flatten(1, 2) for k, x in data.items()}  # [T, agents, E] → [agents, T · E]
    return data, {"world": s, "age": age, "return": total, "last": last}


def _over_time(params: Params, obs: torch.Tensor) -> torch.Tensor:
    """V [T, agents, E] of obs [T, agents, E, obs_size]."""
    T, agents, E, size = obs.shape
    return (
        value(params, obs.transpose(0, 1).reshape(agents, T * E, size)).reshape(agents, T, E).transpose(0, 1)
    )


def _loss(params: Params, data: dict, settings: PPO) -> torch.Tensor:
    """The sum over the agents of each one's loss: so no agent's gradient depends on how many there are."""
    out, adv = outputs(params, data["obs"]), data["adv"]
    adv = (adv - adv.mean(1, keepdim=True)) / (adv.std(1, keepdim=True) + 1e-8)
    surrogate = ppo_loss(log_prob(params, out, data["action"]), data["old"], adv, settings.clip)
    miss = (value(params, data["obs"]) - data["target"]).pow(2).mean()
    bonus = settings.entropy * entropy(params, out).mean()
    return len(adv) * (surrogate + settings.value_weight * miss - bonus)
