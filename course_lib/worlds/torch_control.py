"""Gymnasium's CartPole-v1 and Pendulum-v1, for thousands of episodes at once, as pure functions of tensors.

A world holds no state: `start` draws first states, `step` turns states and actions into next states,
rewards and ends. Every array has the episodes in front, [E, ...]; more axes in front, such as tasks, work
too. The dynamics are Gymnasium's, step by step (`tests/test_torch_control.py`); `horizon` is its time limit,
which cuts an episode off (truncates it) but does not end it.
"""

import math
from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class CartPole:
    """A pole on a cart that is pushed left (0) or right (1): +1 for every step until it falls.

    A state is (position, velocity, angle, angular velocity), and is what the agent sees. An episode ends
    when the cart is 2.4 off the middle or the pole 12° off the vertical (Barto, Sutton & Anderson 1983;
    Gymnasium CartPole-v1). Pushed at random it stays up for about 22 steps; the most is 500.
    """

    device: str | torch.device = "cpu"
    dtype: torch.dtype | None = None  # torch's default type
    horizon: int = 500
    obs_size: int = 4
    n_actions: int = 2

    def to(self, device: str | torch.device) -> "CartPole":
        """The same world on another device."""
        return replace(self, device=device)

    def start(self, episodes: int | tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        """First states [E, 4], each number uniform between −.05 and .05."""
        return 0.1 * _uniform(self, episodes, 4, generator) - 0.05

    def observe(self, state: torch.Tensor) -> torch.Tensor:
        """What the agent sees, [E, 4]: all of the state."""
        return state

    def step(
        self, state: torch.Tensor, action: torch.Tensor, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Next states [E, 4], rewards [E] (all 1) and who has fallen [E] bool, for actions [E] of 0 and 1.

        Nothing is random: the generator is there because other worlds need one.
        """
        x, speed, angle, turn = state.unbind(-1)
        cos, sin = torch.cos(angle), torch.sin(angle)
        force = 20.0 * action.to(state.dtype) - 10.0
        push = (force + 0.05 * turn**2 * sin) / 1.1  # pole: .1 kg, half its length .5 m; with the cart 1.1 kg
        turning = (9.8 * sin - cos * push) / (0.5 * (4.0 / 3.0 - 0.1 * cos**2 / 1.1))
        speeding = push - 0.05 * turning * cos / 1.1
        change = torch.stack([speed, speeding, turn, turning], dim=-1)
        state2 = state + 0.02 * change
        fallen = (state2[..., 0].abs() > 2.4) | (state2[..., 2].abs() > math.radians(12))
        return state2, torch.ones_like(x), fallen


@dataclass(frozen=True)
class Pendulum:
    """A pendulum with a motor too weak to lift it in one go: swing it up and hold it there.

    A state is (angle from upright, angular velocity); the agent sees (cos, sin, velocity). Actions are
    torques [E, 1], clipped to ±2. The reward is −(angle² + .1 velocity² + .001 torque²), at most 0; nothing
    ends an episode before its `horizon` (Gymnasium Pendulum-v1). mass, length and gravity may be tensors
    that broadcast against [E], so that each task has its own.
    """

    mass: float | torch.Tensor = 1.0
    length: float | torch.Tensor = 1.0
    gravity: float | torch.Tensor = 10.0
    device: str | torch.device = "cpu"
    dtype: torch.dtype | None = None  # torch's default type
    horizon: int = 200
    obs_size: int = 3
    action_size: int = 1
    action_limit: float = 2.0

    def to(self, device: str | torch.device) -> "Pendulum":
        """The same world on another device."""
        body = {k: getattr(self, k) for k in ("mass", "length", "gravity")}
        moved = {k: x.to(device) if isinstance(x, torch.Tensor) else x for k, x in body.items()}
        return replace(self, device=device, **moved)

    def start(self, episodes: int | tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        """First states [E, 2]: any angle, a velocity between −1 and 1, uniform."""
        span = torch.tensor([math.pi, 1.0], dtype=self.dtype, device=self.device)
        return span * (2 * _uniform(self, episodes, 2, generator) - 1)

    def observe(self, state: torch.Tensor) -> torch.Tensor:
        """What the agent sees, [E, 3]: cos and sin of the angle, and the velocity."""
        angle, turn = state.unbind(-1)
        return torch.stack([torch.cos(angle), torch.sin(angle), turn], dim=-1)

    def step(
        self, state: torch.Tensor, action: torch.Tensor, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Next states [E, 2], rewards [E] and `terminated` [E] bool, all False, for torques [E, 1].

        Nothing is random: the generator is there because other worlds need one.
        """
        angle, turn = state.unbind(-1)
        torque = action[..., 0].clamp(-self.action_limit, self.action_limit)
        upright = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
        reward = -(upright**2 + 0.1 * turn**2 + 0.001 * torque**2)
        fall = 1.5 * self.gravity / self.length * torch.sin(angle)
        turn2 = (turn + 0.05 * (fall + 3.0 / (self.mass * self.length**2) * torque)).clamp(-8.0, 8.0)
        state2 = torch.stack([angle + 0.05 * turn2, turn2], dim=-1)
        return state2, reward, torch.zeros_like(angle, dtype=torch.bool)


def _uniform(
    world: CartPole | Pendulum, episodes: int | tuple[int, ...], size: int, generator: torch.Generator
) -> torch.Tensor:
    """Numbers from 0 to 1, [E, size]; drawn where the generator lives, so that a seed means the same bits."""
    shape = (episodes,) if isinstance(episodes, int) else tuple(episodes)
    draw = torch.rand(*shape, size, generator=generator, dtype=world.dtype, device=generator.device)
    return draw.to(world.device)
