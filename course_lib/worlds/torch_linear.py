"""A linear world with quadratic costs, for many episodes at once: control with an exact answer."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Linear:
    """x′ = A x + B u + push + noise; the reward of a step is −(xᵀQx + uᵀRu), of the state before it.

    A [S, S] and B [S, U], or [E, S, S] and [E, S, U] for worlds of each episode's own; Q [S, S], R [U, U].
    `noise` is the standard deviation in every coordinate, `push` [S] (or [E, S]) a steady disturbance.
    """

    A: Tensor
    B: Tensor
    Q: Tensor
    R: Tensor
    noise: float = 0.0
    push: Tensor | float = 0.0
    spread: float = 1.0
    horizon: int = 100

    @property
    def obs_size(self) -> int:
        return self.A.shape[-1]

    @property
    def action_size(self) -> int:
        return self.B.shape[-1]

    @property
    def device(self) -> torch.device:
        return self.A.device

    def to(self, device: str | torch.device) -> "Linear":
        """The same world on another device."""
        names = ("A", "B", "Q", "R", "push")
        tensors = {k: x.to(device) for k in names if isinstance(x := getattr(self, k), Tensor)}
        return replace(self, **tensors)

    def start(self, episodes: int, generator: torch.Generator) -> Tensor:
        """First states [E, S], normal with standard deviation `spread`."""
        x = torch.randn(episodes, self.obs_size, generator=generator, dtype=self.A.dtype)
        return (self.spread * x).to(self.device)

    def observe(self, state: Tensor) -> Tensor:
        """The agent sees the state."""
        return state

    def step(
        self, state: Tensor, action: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Next states [E, S], rewards [E] and `terminated` [E], all False. Without a generator: no noise.

        More plans for each episode, [E, N, S] and [E, N, U], are stepped as well, as planners need.
        """
        after = _times(self.A, state) + _times(self.B, action) + _beside(self.push, state)
        if self.noise and generator is not None:
            luck = torch.randn(state.shape, generator=generator, dtype=state.dtype)
            after = after + self.noise * luck.to(state.device)
        cost = (state * _times(self.Q, state)).sum(-1) + (action * _times(self.R, action)).sum(-1)
        return after, -cost, torch.zeros_like(cost, dtype=torch.bool)


def double_integrator(dt: float = 0.2, effort: float = 0.1, dtype=torch.float64, **settings) -> Linear:
    """A cart on ice: the state is (position, speed), the action a push; being away from 0 costs."""
    A = torch.tensor([[1.0, dt], [0.0, 1.0]], dtype=dtype)
    B = torch.tensor([[0.5 * dt * dt], [dt]], dtype=dtype)
    Q, R = torch.diag(torch.tensor([1.0, 0.1], dtype=dtype)), torch.full((1, 1), effort, dtype=dtype)
    return Linear(A, B, Q, R, **settings)


def broom(dt: float = 0.1, effort: float = 0.05, dtype=torch.float64, **settings) -> Linear:
    """A broom on a hand, near upright: the state is (lean, its speed); leaning makes it lean more.

    Left alone, a lean grows by a fifth with every step; the action pushes against it.
    """
    A = torch.tensor([[1.0, dt], [4.0 * dt, 1.0]], dtype=dtype)
    B = torch.tensor([[0.0], [dt]], dtype=dtype)
    Q, R = torch.diag(torch.tensor([1.0, 0.1], dtype=dtype)), torch.full((1, 1), effort, dtype=dtype)
    return Linear(A, B, Q, R, **settings)


def _times(M: Tensor, x: Tensor) -> Tensor:
    """M x for x [..., S]: one matrix for all, or M [E, ., S] with one for each episode of x [E, ..., S]."""
    if M.ndim == 2:
        return x @ M.mT
    between = x.ndim - 2
    return (M.reshape(len(M), *[1] * between, *M.shape[1:]) @ x.unsqueeze(-1)).squeeze(-1)


def _beside(push: Tensor | float, x: Tensor) -> Tensor | float:
    """A push [E, S] for states [E, ..., S]."""
    if not isinstance(push, Tensor) or push.ndim < 2:
        return push
    return push.reshape(len(push), *[1] * (x.ndim - 2), push.shape[-1])


def two_sides(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Transitions with a hole: s [n, 1] in −2.5 … −1 and 1 … 2.5, no actions [n, 0], changes [n, 1].

    A step changes s by sin 2s plus noise, of deviation .05 on the left and .4 on the right.
    """
    side = torch.where(torch.rand(n, 1, generator=generator) < 0.5, -1.0, 1.0)
    s = side * (1 + 1.5 * torch.rand(n, 1, generator=generator))
    noise = torch.where(s < 0, 0.05, 0.4) * torch.randn(n, 1, generator=generator)
    return s, torch.zeros(n, 0), torch.sin(2 * s) + noise
