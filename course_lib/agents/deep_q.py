"""Deep Q-learning: a network in the place of the table (Mnih 2015), with double targets (van Hasselt 2016).

Many agents learn side by side: every tensor has a leading axis of independent agents, so ten seeds, or all
settings of a sweep, cost little more than one. The worlds are those of `worlds.torch_control` and
`worlds.torch_mdp`.
"""

import itertools
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gymnasium
import torch

from course_lib.agents.networks import Params, adam, adam_init, gradients, mlp, mlp_init, require_grad
from course_lib.agents.training import generator_from, train
from course_lib.repro import running

BUCKETS = 20  # points of a learning curve
TRIALS = 40  # validations in a run
CARTPOLE = {  # settings for CartPole, for `dqn(CartPole(), 100_000, **CARTPOLE)`
    "scale": (2.4, 2.0, 0.21, 2.0),
    "unit": 30.0,
}


def q_targets(
    r: torch.Tensor,
    terminated: torch.Tensor,
    q2_online: torch.Tensor,
    q2_target: torch.Tensor,
    gamma: float,
    double: bool = True,
) -> torch.Tensor:
    """r + γ Q⁻(s′, a′) [...], and r alone where the step terminated; a truncated step counts on s′.

    Q⁻ (`q2_target` [..., A], from the older copy of the network) says what a′ is worth. The learning network
    (`q2_online`) names a′, its best action; without `double`, Q⁻ names it too (van Hasselt 2016, eq. 4).
    """
    best = (q2_online if double else q2_target).argmax(-1, keepdim=True)
    return r + gamma * q2_target.gather(-1, best)[..., 0] * (1 - terminated.to(r.dtype))


def huber(error: torch.Tensor) -> torch.Tensor:
    """½ e² where |e| ≤ 1, |e| − ½ beyond: no single surprise pulls with more than 1 (Huber 1964)."""
    size = error.abs()
    return torch.where(size <= 1, 0.5 * error**2, size - 0.5)


@dataclass(frozen=True)
class DQN:
    """The settings of a run, its first state `begin()` and its loop `update(state)` for `training.train`.

    world      start, observe, step, obs_size, n_actions, horizon, as in `worlds.torch_control`
    steps      environment steps of each agent, all its copies of the world together
    agents     independent agents, each with its own network, memory and episodes
    envs       copies of the world that each agent acts in at once
    updates    gradient steps after each round of `envs` steps, once `warm_up` steps are in memory
    period     gradient steps from one copy to the target network to the next, a number or one an agent [A]
    replay     how many steps an agent remembers, a number or one an agent [A]
    epsilon    the share of random actions falls from 1 to this, during the share `explore` of the run
    rate       of Adam; falls to 0 along the run, in a straight line
    unit       values are learned in this unit: the network's output times `unit` is Q
    validate   greedy episodes of each network in each of the TRIALS validations of a run; 0: none
    scale      what observations are divided by, one number each, so that the network sees numbers near 1
    """

    world: object
    steps: int
    agents: int = 1
    envs: int = 16
    hidden: tuple[int, ...] = (64, 64)
    gamma: float = 0.99
    rate: float = 1e-3
    batch: int = 128
    updates: int = 4
    period: int | tuple[int, ...] = 100
    replay: int | tuple[int, ...] = 50_000
    warm_up: int = 1_000
    epsilon: float = 0.05
    explore: float = 0.3
    double: bool = True
    unit: float = 1.0
    validate: int = 0
    scale: tuple[float, ...] | None = None
    seed: int = 0

    def __post_init__(self):
        if self.steps < self.envs or min(self.agents, self.envs, self.batch, self.updates) < 1:
            raise ValueError("agents, envs, batch and updates must be 1 or more, and steps at least envs.")
        if not (0 <= self.gamma <= 1 and 0 <= self.epsilon <= 1 and self.rate > 0 and self.unit > 0):
            raise ValueError("gamma and epsilon lie between 0 and 1; rate and unit are above 0.")
        if not 0 < self.explore <= 1:
            raise ValueError(f"explore is {self.explore}: give the share of the run, above 0 and at most 1.")
        for name in ("period", "replay"):
            if len(each := self._each(name)) != self.agents or each.min() < 1:
                raise ValueError(f"{name} must be a whole number from 1, or one for each of the agents.")
        if self._each("replay").min() < self.envs:
            raise ValueError(f"replay must hold at least the {self.envs} steps of one round.")

    def _each(self, name: str) -> torch.Tensor:
        """period or replay, one for each agent, [A]."""
        value = torch.as_tensor(getattr(self, name))
        return value.expand(self.agents) if value.dim() == 0 else value

    def observe(self, state: torch.Tensor) -> torch.Tensor:
        """What the network sees of states."""
        seen = self.world.observe(state)
        return seen if self.scale is None else seen / torch.tensor(self.scale)

    @property
    def _sizes(self) -> list[int]:
        return [self.world.obs_size, *self.hidden, self.world.n_actions]

    @staticmethod
    def _flat(params: Params) -> torch.Tensor:
        """All parameters of a network in one row: a step of Adam is then a handful of operations."""
        return torch.cat(
            [p.reshape(*p.shape[: p.dim() - (1 + (name[0] == "W"))], -1) for name, p in params.items()], -1
        )

    def params(self, theta: torch.Tensor) -> Params:
        """The networks' parameters `W0` [A, in, out], `b0` [A, out], … from rows theta [A, all of them]."""
        params, at = {}, 0
        for k, (n, m) in enumerate(itertools.pairwise(self._sizes)):
            params[f"W{k}"] = theta[:, at : at + n * m].view(-1, n, m)
            params[f"b{k}"] = theta[:, at + n * m : (at := at + (n + 1) * m)]
        return params

    def begin(self) -> dict:
        """The state before the first step: all that `update` needs, as tensors and numbers."""
        generator = torch.Generator().manual_seed(self.seed)
        theta = torch.stack(
            [self._flat(mlp_init(self._sizes, generator, last=0.1)) for _ in range(self.agents)]
        )
        shape = self.agents, self.envs
        record = 2 * self.world.obs_size + 3
        return {
            "theta": theta,
            "target": theta,
            "adam": adam_init({"theta": theta}),
            "memory": torch.zeros(self.agents, int(self._each("replay").max()), record),
            "world": self.world.start(shape, generator),
            "age": torch.zeros(shape, dtype=torch.long),
            "gain": torch.zeros(shape),
            "lived": 0,  # steps of each agent so far
            "learned": 0,  # gradient steps so far
            "best": theta,
            "score": torch.full((self.agents,), -torch.inf),  # of the best network of each agent so far
            "curve": torch.zeros(2, BUCKETS, self.agents),  # sums and numbers of episodes' returns
            "generator": generator.get_state(),
        }

    def update(self, state: dict) -> dict:
        """Act once in every copy of the world, then take `updates` gradient steps; writes into its memory."""
        generator = generator_from(state["generator"])
        state = self._live(state, generator)
        if state["lived"] >= self.warm_up:
            for _ in range(self.updates):
                state = self._learn(state, generator)
        if self.validate and self._trial(state["lived"]) > self._trial(state["lived"] - self.envs):
            state = self._choose_better(state)
        return state | {"generator": generator.get_state()}

    def _trial(self, lived: int) -> int:
        return lived * TRIALS // self.steps

    def _choose_better(self, state: dict) -> dict:
        """Let the networks play; those that do at least as well as the best so far take its place."""
        dice = torch.Generator().manual_seed(1_000_003 * (self.seed + 1) + self._trial(state["lived"]))
        choose = chooser(self.params(state["theta"]), self.scale)
        score = returns_in(choose, self.world, self.agents, self.validate, dice).mean(1)
        better = score >= state["score"]
        best = torch.where(better[:, None], state["theta"], state["best"])
        return state | {"best": best, "score": torch.where(better, score, state["score"])}

    @torch.no_grad()
    def _live(self, state: dict, generator: torch.Generator) -> dict:
        """One step in every copy: act, remember, begin anew where an episode is over."""
        s, lived = state["world"], state["lived"]
        shape = self.agents, self.envs
        seen = self.observe(s)
        any_action = torch.randint(self.world.n_actions, shape, generator=generator)
        slips = torch.rand(shape, generator=generator) < self._epsilon(lived)
        a = torch.where(slips, any_action, mlp(self.params(state["theta"]), seen).argmax(-1))
        s2, r, terminated = self.world.step(s, a, generator)
        self._remember(state, torch.cat([seen, self.observe(s2), torch.stack([a, r, terminated], -1)], -1))
        age, gain = state["age"] + 1, state["gain"] + r
        over = terminated | (age >= self.world.horizon)  # `age` truncates; only `terminated` is remembered
        bucket = min(lived * BUCKETS // self.steps, BUCKETS - 1)
        state["curve"][:, bucket] += torch.stack([(gain * over).sum(1), over.sum(1).float()])
        again = over.view(*shape, *[1] * (s.dim() - 2))
        return state | {
            "world": torch.where(again, self.world.start(shape, generator), s2),
            "age": torch.where(over, 0, age),
            "gain": torch.where(over, 0.0, gain),
            "lived": lived + self.envs,
        }

    def _remember(self, state: dict, record: torch.Tensor) -> None:
        """Write what each agent saw [A, envs, ...] over the oldest of its memories."""
        at = (state["lived"] + torch.arange(self.envs)) % self._each("replay")[:, None]
        state["memory"][torch.arange(self.agents)[:, None], at] = record

    def _recall(self, state: dict, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        """A random batch of each agent's memories: s, s′ [A, B, obs], a, r, terminated [A, B]."""
        known = self._each("replay").clamp(max=state["lived"])[:, None]
        draw = (torch.rand(self.agents, self.batch, generator=generator, dtype=torch.float64) * known).long()
        flat, n = state["memory"].flatten(0, 1), self.world.obs_size
        rows = flat[draw + torch.arange(self.agents)[:, None] * state["memory"].shape[1]]
        return rows[..., :n], rows[..., n:-3], rows[..., -3].long(), rows[..., -2], rows[..., -1]

    def _learn(self, state: dict, generator: torch.Generator) -> dict:
        """One gradient step of every agent on its own batch, and the copy to the target network when due."""
        s, s2, a, r, terminated = self._recall(state, generator)
        theta = require_grad(self.params(state["theta"]))
        with torch.no_grad():
            q2, q2_old = mlp(theta, s2), mlp(self.params(state["target"]), s2)
            target = q_targets(r / self.unit, terminated, q2, q2_old, self.gamma, self.double)
        q = mlp(theta, s).gather(-1, a[..., None])[..., 0]
        loss = huber(target - q).mean(-1).sum()  # the agents share no weight, so a sum keeps them apart
        left = 1 - state["lived"] / self.steps
        grads = {"theta": self._flat(gradients(loss, theta))}
        new, memory = adam({"theta": state["theta"]}, grads, state["adam"], self.rate * left)
        new, learned = new["theta"].detach(), state["learned"] + 1
        due = (learned % self._each("period") == 0)[:, None]
        target = torch.where(due, new, state["target"]) if due.any() else state["target"]
        return state | {"theta": new, "adam": memory, "learned": learned, "target": target}

    def _epsilon(self, lived: int) -> float:
        return max(self.epsilon, 1 - (1 - self.epsilon) * lived / (self.explore * self.steps))


def dqn(world, steps: int, *, path: str | Path | bool = False, show: bool = True, **settings) -> dict:
    """Train by deep Q-learning: {theta, curve [BUCKETS, agents], Q}; settings as in `DQN`.

    theta      the networks, each tensor with a leading axis of agents: those that did best in validation, or
               without validation those of the last step
    last       the networks of the last step
    curve      the mean return of the episodes that ended in each twentieth of the run; NaN where none did
    choose     observations [A, ..., obs] → greedy actions [A, ...] by theta; `choose_last`: by last

    With a `path` the run is stored there as it goes on, and continued from there, bit for bit. True stores it
    where `repro.running` says, until it has ended.
    """
    run = DQN(world, steps, **settings)
    about = f"dqn {zlib.crc32(repr(run).encode()):08x}"  # a stored run with other settings is refused
    at = running(f"course {about}") if path is True else path or None
    state = train(run.begin, run.update, steps // run.envs, path=at, about=about, every=200, show=show)
    if path is True:
        at.unlink(missing_ok=True)
    last = run.params(state["theta"])
    theta = run.params(state["best"]) if run.validate else last
    sums, numbers = state["curve"]
    choices = {"choose": chooser(theta, run.scale), "choose_last": chooser(last, run.scale)}
    return {"theta": theta, "last": last, "curve": (sums / numbers).numpy(), **choices}


def chooser(theta: Params, scale: tuple[float, ...] | None = None) -> Callable:
    """The greedy policies of trained networks: what is seen [A, ..., obs] → actions [A, ...]."""

    @torch.no_grad()
    def choose(seen: torch.Tensor) -> torch.Tensor:
        return mlp(theta, seen if scale is None else seen / torch.tensor(scale)).argmax(-1)

    return choose


@torch.no_grad()
def returns_in(
    choose: Callable, world, agents: int, episodes: int, generator: torch.Generator
) -> torch.Tensor:
    """Undiscounted returns [agents, episodes] in a batched world; nothing is learned."""
    state = world.start((agents, episodes), generator)
    returns, living = torch.zeros(agents, episodes), torch.ones(agents, episodes, dtype=torch.bool)
    for _ in range(world.horizon):
        state, r, terminated = world.step(state, choose(world.observe(state)), generator)
        returns += living * r
        living &= ~terminated
        if not living.any():
            break
    return returns


def returns_on(
    choose: Callable, env_id: str, agents: int = 1, episodes: int = 100, seed: int = 0
) -> torch.Tensor:
    """Undiscounted returns [agents, episodes] on Gymnasium's own environment; nothing is learned."""
    n = agents * episodes
    envs = gymnasium.make_vec(env_id, num_envs=n)
    seen, _ = envs.reset(seed=seed)
    returns, living = torch.zeros(n), torch.ones(n, dtype=torch.bool)
    while living.any():
        a = choose(torch.as_tensor(seen).view(agents, episodes, -1)).view(n)
        seen, r, terminated, truncated, _ = envs.step(a.numpy())
        returns += living * torch.as_tensor(r, dtype=torch.float32)
        living &= ~torch.as_tensor(terminated | truncated)
    envs.close()
    return returns.view(agents, episodes)
