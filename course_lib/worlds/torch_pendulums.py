"""Pendulums that differ: in mass, length, gravity, and in which way round their motor is wired.

`wired_pendulums` is a task family, with the methods of `worlds.tasks`. `Histories` is the same family as one
world for `agents.policy_gradient.ppo` and `agents.deep_q.dqn`: every episode is another pendulum, and what
the agent sees holds its last k steps, so that a policy can find out which.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from course_lib.worlds.tasks import PendulumTasks, pendulum_tasks

SEEN = 5  # numbers a step leaves in a history: cos, sin and speed before it, torque, change of speed
UNITS = torch.tensor([1.0, 1.0, 4.0, 2.0, 0.5])  # by which they are divided


@dataclass(frozen=True)
class WiredPendulums(PendulumTasks):
    """`worlds.tasks.pendulum_tasks` with gusts of wind, and motors that may turn the wrong way.

    wires   [M] 1, or −1 where a torque acts the other way round; None: 1 for all
    gust    after every step the speed is off by a normal number of this deviation
    """

    wires: Tensor | None = None
    gust: float = 0.1

    @property
    def lift(self) -> Tensor:
        """What 1 s adds to the speed where the pendulum points sideways, 3g/2l, [M]."""
        return 1.5 * self.gravity / self.length

    @property
    def push(self) -> Tensor:
        """What 1 s of torque 1 adds to the speed, ± 3/ml², [M]."""
        sign = 1.0 if self.wires is None else self.wires
        return sign * 3 / (self.mass * self.length**2)

    @property
    def calm(self) -> "WiredPendulums":
        """The same pendulums without gusts: what their true model expects."""
        return replace(self, gust=0.0)

    def expected(self, state: Tensor, action: Tensor) -> Tensor:
        """The speed [M, E] to which a step leads without a gust."""
        angle, speed = state.unbind(-1)
        torque = self._forces(state, action)[..., 0].clamp(-self.largest, self.largest)
        gain = self.lift[:, None] * angle.sin() + self.push[:, None] * torque
        return (speed + gain * self.dt).clamp(-self.fastest, self.fastest)

    def step(self, state: Tensor, action: Tensor, generator: torch.Generator | None = None):
        _, reward, over = super().step(state, action)  # the reward is for the state before the step
        speed = self.expected(state, action)
        if self.gust:
            noise = torch.randn(speed.shape, generator=generator, device=generator.device)
            speed = speed + self.gust * noise.to(speed.device)
        return torch.stack([state[..., 0] + speed * self.dt, speed], -1), reward, over


def wired_pendulums(
    M: int, split="train", seed=0, swapped: float = 0.5, gust: float = 0.1, episode: int = 200
) -> WiredPendulums:
    """M pendulums of a split, the share `swapped` of them, by chance, wired the wrong way round."""
    if not 0 <= swapped <= 1:
        raise ValueError(f"swapped is {swapped}: give a share, from 0 to 1.")
    plain = pendulum_tasks(M, split, seed, episode)
    chance = torch.rand(M, generator=torch.Generator().manual_seed(7919 + int(seed)))
    wires = torch.where(chance < swapped, -1.0, 1.0)
    return WiredPendulums(plain.mass, plain.length, plain.gravity, episode, wires, gust)


@dataclass(frozen=True)
class Histories:
    """Every episode is another pendulum of `wired_pendulums`; the agent sees its last `k` steps.

    A state is (angle, speed, lift, push, the last k steps), [..., 4 + 5k]; an observation is (cos, sin,
    speed / 4, the last k steps in UNITS), [..., 3 + 5k], zeros where there was no step yet.
    torques   the actions are these torques, numbered (for DQN); None: any torque [..., 1] (for PPO)
    count     how many pendulums of the split there are
    """

    k: int = 8
    torques: tuple[float, ...] | None = None
    split: str = "train"
    swapped: float = 0.5
    gust: float = 0.1
    count: int = 10_000
    horizon: int = 200
    dtype: torch.dtype = torch.float32
    action_size: int = 1

    @cached_property
    def tasks(self) -> WiredPendulums:
        return wired_pendulums(self.count, self.split, 1, self.swapped, self.gust)

    @property
    def obs_size(self) -> int:
        return 3 + SEEN * self.k

    def __getattr__(self, name: str):
        if name == "n_actions" and self.torques is not None:  # only where actions are numbered
            return len(self.torques)
        raise AttributeError(name)

    def start(self, shape, generator: torch.Generator, which: Tensor | None = None) -> Tensor:
        """First states [*shape, 4 + 5k], of pendulums drawn from the split, or of those numbered `which`."""
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        if which is None:
            which = torch.randint(self.count, shape, generator=generator)
        most = torch.tensor([torch.pi, 1.0])
        first = (2 * torch.rand(*shape, 2, generator=generator) - 1) * most
        body = torch.stack([self.tasks.lift[which], self.tasks.push[which]], -1).expand(*shape, 2)
        return torch.cat([first, body, torch.zeros(*shape, SEEN * self.k)], -1)

    def observe(self, state: Tensor) -> Tensor:
        angle, speed = state[..., :1], state[..., 1:2]
        return torch.cat([angle.cos(), angle.sin(), speed / 4, state[..., 4:]], -1)

    def step(self, state: Tensor, action: Tensor, generator: torch.Generator):
        """Next states, rewards [...] and nobody's end, for torques [..., 1] or their numbers [...]."""
        torque = action[..., 0] if self.torques is None else torch.tensor(self.torques)[action]
        torque = torque.clamp(-PendulumTasks.largest, PendulumTasks.largest)
        angle, speed, lift, push = state[..., :4].unbind(-1)
        upright = torch.remainder(angle + torch.pi, 2 * torch.pi) - torch.pi
        reward = -(upright**2 + 0.1 * speed**2 + 0.001 * torque**2)
        gain = (lift * angle.sin() + push * torque) * PendulumTasks.dt
        after = (speed + gain).clamp(-PendulumTasks.fastest, PendulumTasks.fastest)
        after = after + self.gust * torch.randn(after.shape, generator=generator)
        seen = torch.stack([angle.cos(), angle.sin(), speed, torque, after - speed], -1) / UNITS
        now = torch.stack([angle + after * PendulumTasks.dt, after, lift, push], -1)
        history = torch.cat([state[..., 4 + SEEN :], seen], -1) if self.k else state[..., 4:]
        return torch.cat([now, history], -1), reward, torch.zeros_like(reward, dtype=torch.bool)
