"""Families of tasks: each function draws M tasks of one split, as a frozen dataclass of tensors [M, ...].

M tasks run E episodes each at once. Nothing is stored in between: a state is a tensor [M, E, ...], and

    state = tasks.start(episodes, generator)
    obs = tasks.observe(state)  # [M, E, obs_size]
    state, reward, terminated = tasks.step(state, action, generator)  # action [M, E] or [M, E, action_size]

An episode has `horizon` steps; whoever runs it counts them. Which task it is, is never observed. `tasks[i]`
are some of the tasks, for any index along the first axis; `tasks.to("cuda")` are the same tasks on another
device (parameters are always drawn on the CPU, so that they are the same everywhere; the generator may be on
either device).

The splits "train", "validation" and "test" are disjoint by construction: the first number of every task
is drawn from the split's own share (8, 1 and 1 of every 10 cells) of a fine grid, which leaves its
distribution as it is. Sources: Duan et al. 2016 (bandits, random MDPs), Zintgraf et al. 2020 (the grid), Finn
et al. 2017 (2-D navigation, sines), Gymnasium's Pendulum-v1.
"""

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property
from numbers import Integral
from typing import ClassVar

import torch
from torch import Tensor

SHARES = {"train": range(8), "validation": range(8, 9), "test": range(9, 10)}  # of every ten cells
CELLS = 10**6  # of the grid that the first number of a task is drawn from
MOVES = torch.tensor([[-1, 0], [0, 1], [1, 0], [0, -1], [0, 0]])  # up, right, down, left, stay


@dataclass(frozen=True)
class Tasks:
    """M tasks: what all families share. The tensors among the fields have the task axis first."""

    @property
    def _tensors(self) -> dict[str, Tensor]:
        return {f.name: x for f in fields(self) if isinstance(x := getattr(self, f.name), Tensor)}

    def __len__(self) -> int:
        return len(next(iter(self._tensors.values())))

    def __getitem__(self, index) -> "Tasks":
        """Some of the tasks: an index, a slice, a list, or a tensor of indices or of bools."""
        if isinstance(index, Integral) and not isinstance(index, bool):
            if not -len(self) <= index < len(self):
                raise IndexError(f"task {index} of {len(self)}: give an index below {len(self)}.")
            index = [int(index)]
        return replace(self, **{name: x[index] for name, x in self._tensors.items()})

    def to(self, device: str | torch.device) -> "Tasks":
        """The same tasks on another device."""
        return replace(self, **{name: x.to(device) for name, x in self._tensors.items()})

    @property
    def device(self) -> torch.device:
        return next(iter(self._tensors.values())).device

    def _uniform(self, shape: tuple, generator: torch.Generator) -> Tensor:
        _check_generator(generator)
        return torch.rand(shape, generator=generator, device=generator.device).to(self.device)

    def _episodes(self, episodes: int) -> tuple[int, int]:
        return len(self), _count("episodes", episodes)

    def _never(self, state: Tensor) -> Tensor:
        return torch.zeros(state.shape[:2], dtype=torch.bool, device=state.device)

    def _arms(self, state: Tensor, action: Tensor) -> Tensor:
        """Discrete actions [M, E] as whole numbers, checked."""
        action = torch.as_tensor(action, device=self.device)
        if action.shape != state.shape[:2] or action.is_floating_point() or action.dtype == torch.bool:
            raise ValueError(
                f"action has shape {tuple(action.shape)} and type {action.dtype}: give whole numbers [M, E], "
                f"here {tuple(state.shape[:2])}."
            )
        if ((action < 0) | (action >= self.n_actions)).any():
            raise ValueError(f"action goes from {action.min()} to {action.max()}: actions are 0 to "
                             f"{self.n_actions - 1}.")  # fmt: skip
        return action.long()

    def _forces(self, state: Tensor, action: Tensor) -> Tensor:
        """Continuous actions [M, E, action_size], checked; not yet clipped."""
        wanted = (*state.shape[:2], self.action_size)
        if tuple(action.shape) != wanted:
            raise ValueError(f"action has shape {tuple(action.shape)}: give [M, E, action_size], {wanted}.")
        return action.to(self.device)


@dataclass(frozen=True)
class BanditTasks(Tasks):
    """Bernoulli bandits: arm k of task m pays 1 with probability p[m, k], otherwise 0. Nothing is seen.

    The state is 0, always, and an observation has no entries.
    """

    p: Tensor  # [M, arms]
    horizon: int = 20
    obs_size: ClassVar[int] = 0

    @property
    def n_actions(self) -> int:
        return self.p.shape[1]

    def start(self, episodes: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.zeros(self._episodes(episodes), dtype=torch.long, device=self.device)

    def observe(self, state: Tensor) -> Tensor:
        return torch.zeros(*state.shape, 0, device=self.device)

    def step(self, state: Tensor, action: Tensor, generator: torch.Generator):
        pays = self.p.gather(1, self._arms(state, action))
        return state, (self._uniform(pays.shape, generator) < pays).float(), self._never(state)


@dataclass(frozen=True)
class GridGoalTasks(Tasks):
    """A square grid with a goal that is not seen; the agent starts in cell 0, the top left corner.

    Cells are numbered in reading order; actions are up, right, down, left and stay, and a step against the
    wall stays. A step that ends on the goal is paid 1, any other −.1, to the end of the episode: the goal
    does not end it. The observation is the cell, one-hot.
    """

    goal: Tensor  # [M] cell
    side: int = 5
    horizon: int = 15
    n_actions: ClassVar[int] = 5

    @property
    def obs_size(self) -> int:
        return self.side**2

    def start(self, episodes: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.zeros(self._episodes(episodes), dtype=torch.long, device=self.device)

    def observe(self, state: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(state, self.side**2).float()

    def step(self, state: Tensor, action: Tensor, generator: torch.Generator | None = None):
        move = MOVES.to(self.device)[self._arms(state, action)]
        row = (state // self.side + move[..., 0]).clamp(0, self.side - 1)
        column = (state % self.side + move[..., 1]).clamp(0, self.side - 1)
        state = row * self.side + column
        reward = torch.where(state == self.goal[:, None], 1.0, -0.1)
        return state, reward, self._never(state)


@dataclass(frozen=True)
class MDPTasks(Tasks):
    """Random tabular MDPs that start in state 0; a reward is normal around R[m, s, a], with deviation 1.

    The observation is the state, one-hot. Episodes have `horizon` steps and no other end.
    """

    P: Tensor  # [M, S, A, S]
    R: Tensor  # [M, S, A], the mean reward
    horizon: int = 10

    @property
    def obs_size(self) -> int:
        return self.R.shape[1]

    @property
    def n_actions(self) -> int:
        return self.R.shape[2]

    @cached_property
    def _cumulative(self) -> Tensor:
        return self.P.cumsum(-1)

    def start(self, episodes: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.zeros(self._episodes(episodes), dtype=torch.long, device=self.device)

    def observe(self, state: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(state, self.obs_size).float()

    def step(self, state: Tensor, action: Tensor, generator: torch.Generator):
        task, action = torch.arange(len(self), device=self.device)[:, None], self._arms(state, action)
        below = self._uniform((*state.shape, 1), generator) >= self._cumulative[task, state, action]
        noise = torch.randn(state.shape, generator=generator, device=generator.device).to(self.device)
        after = below.sum(-1).clamp(max=self.obs_size - 1)
        return after, self.R[task, state, action] + noise, self._never(state)


@dataclass(frozen=True)
class PointTasks(Tasks):
    """A point in the plane starts at the origin and should go to a goal that is not seen.

    Each coordinate of an action is clipped to ±.1 and added to the position. The reward is minus the distance
    to the goal after the move; if `sparse`, it is 1 minus the distance within `radius`, and 0 elsewhere.
    Episodes have `horizon` steps and no other end. The observation is the position.
    """

    goal: Tensor  # [M, 2]
    horizon: int = 100
    sparse: bool = False
    radius: ClassVar[float] = 0.2
    largest: ClassVar[float] = 0.1
    obs_size: ClassVar[int] = 2
    action_size: ClassVar[int] = 2

    def start(self, episodes: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.zeros(*self._episodes(episodes), 2, dtype=self.goal.dtype, device=self.device)

    def observe(self, state: Tensor) -> Tensor:
        return state

    def step(self, state: Tensor, action: Tensor, generator: torch.Generator | None = None):
        state = state + self._forces(state, action).clamp(-self.largest, self.largest)
        distance = (state - self.goal[:, None]).norm(dim=-1)
        if self.sparse:
            return state, torch.where(distance <= self.radius, 1 - distance, 0.0), self._never(state)
        return state, -distance, self._never(state)


@dataclass(frozen=True)
class PendulumTasks(Tasks):
    """Gymnasium's Pendulum-v1 with a mass (kg), a length (m) and a gravity (m/s²) of each task's own.

    The state is (angle, angular speed), the observation (cos, sin, speed), the action a torque, clipped to
    ±2. The reward, −(angle² + .1 speed² + .001 torque²), is for the state before the step.
    """

    mass: Tensor  # [M], as are the others
    length: Tensor
    gravity: Tensor
    horizon: int = 200
    dt: ClassVar[float] = 0.05
    largest: ClassVar[float] = 2.0
    fastest: ClassVar[float] = 8.0
    obs_size: ClassVar[int] = 3
    action_size: ClassVar[int] = 1

    def start(self, episodes: int, generator: torch.Generator) -> Tensor:
        """The angle uniform in ±π, the speed in ±1."""
        most = torch.tensor([math.pi, 1.0], device=self.device)
        return (2 * self._uniform((*self._episodes(episodes), 2), generator) - 1) * most

    def observe(self, state: Tensor) -> Tensor:
        angle, speed = state.unbind(-1)
        return torch.stack([angle.cos(), angle.sin(), speed], -1)

    def step(self, state: Tensor, action: Tensor, generator: torch.Generator | None = None):
        torque = self._forces(state, action)[..., 0].clamp(-self.largest, self.largest)
        m, length, g = self.mass[:, None], self.length[:, None], self.gravity[:, None]
        angle, speed = state.unbind(-1)
        reward = -(_within_pi(angle) ** 2 + 0.1 * speed**2 + 0.001 * torque**2)
        speed = speed + (3 * g / (2 * length) * angle.sin() + 3 / (m * length**2) * torque) * self.dt
        speed = speed.clamp(-self.fastest, self.fastest)
        return torch.stack([angle + speed * self.dt, speed], -1), reward, self._never(state)


@dataclass(frozen=True)
class SineTasks(Tasks):
    """Curves y = amplitude · sin(x − phase) to be learned from a few points: regression, no actions."""

    amplitude: Tensor  # [M], as is the phase
    phase: Tensor

    def value(self, x: Tensor) -> Tensor:
        """The curves at x [M, n, 1] (or anything that spreads to it): y [M, n, 1]."""
        return self.amplitude[:, None, None] * torch.sin(x - self.phase[:, None, None])

    def sample(self, shots: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """x, uniform in [−5, 5], and y, [M, shots, 1] each."""
        x = 10 * self._uniform((len(self), _count("shots", shots), 1), generator) - 5
        return x, self.value(x)


def bandit_tasks(M: int, arms=2, horizon=20, split="train", seed=0, device="cpu") -> BanditTasks:
    """M Bernoulli bandits with p[m, k] uniform in [0, 1]."""
    arms, draw = _count("arms", arms), _Draw(M, split, seed)
    p = torch.cat([draw.first()[:, None], draw.uniform(arms - 1)], 1)
    return BanditTasks(p.float(), _count("horizon", horizon)).to(device)


def grid_goals(split: str | None = None, side: int = 5) -> Tensor:
    """The goals of one split, or all: every cell but the start, its two neighbours and (1, 1)."""
    cells = torch.arange(_count("side", side, 3) ** 2)
    goals = cells[(cells // side + cells % side >= 2) & (cells != side + 1)]
    if split is None:
        return goals
    order = torch.randperm(len(goals), generator=torch.Generator().manual_seed(0))
    test = validation = round(len(goals) / 5)
    parts = goals[order].split([len(goals) - validation - test, validation, test])
    return parts[list(SHARES).index(_split(split))].sort().values


def grid_goal_tasks(
    M: int | None = None, split: str | None = "train", seed=0, episode=15, side=5, device="cpu"
) -> GridGoalTasks:
    """M grids with goals drawn from the split's, or with M=None one grid for each goal of the split.

    The 21 goals of the 5×5 grid are 13 for training, 4 for validation and 4 for testing; split=None: all 21.
    """
    goals = grid_goals(split, side)
    if M is not None:
        chosen = torch.randint(len(goals), (_count("M", M),), generator=_Draw(M, split or "train", seed).rng)
        goals = goals[chosen]
    return GridGoalTasks(goals, side, _count("episode", episode)).to(device)


def mdp_tasks(M: int, states=10, actions=5, horizon=10, split="train", seed=0, device="cpu") -> MDPTasks:
    """M random MDPs: rows of P from a flat Dirichlet, mean rewards normal around 1 with deviation 1."""
    S, A, draw = _count("states", states), _count("actions", actions), _Draw(M, split, seed)
    first = torch.special.ndtri(draw.first())
    R = 1 + torch.cat([first[:, None], torch.special.ndtri(draw.uniform(S * A - 1))], 1).reshape(-1, S, A)
    weights = -torch.log1p(-draw.uniform(S, A, S))  # exponential: divided by their sum, a flat Dirichlet
    P = weights / weights.sum(-1, keepdim=True)
    return MDPTasks(P.float(), R.float(), _count("horizon", horizon)).to(device)


def point_tasks(M: int, split="train", seed=0, horizon=100, sparse=False, device="cpu") -> PointTasks:
    """M goals, uniform in the square [−.5, .5]²."""
    draw = _Draw(M, split, seed)
    goal = torch.stack([draw.first(), draw.uniform()], 1) - 0.5
    return PointTasks(goal.float(), _count("horizon", horizon), bool(sparse)).to(device)


def sine_tasks(M: int, split="train", seed=0, device="cpu") -> SineTasks:
    """M curves: amplitude uniform in [.1, 5], phase uniform in [0, π]."""
    draw = _Draw(M, split, seed)
    amplitude, phase = 0.1 + 4.9 * draw.first(), math.pi * draw.uniform()
    return SineTasks(amplitude.float(), phase.float()).to(device)


def pendulum_tasks(M: int, split="train", seed=0, episode=200, device="cpu") -> PendulumTasks:
    """M pendulums: mass and length uniform in [.7, 1.3], gravity uniform in [8, 12]."""
    draw = _Draw(M, split, seed)
    mass, length, gravity = 0.7 + 0.6 * draw.first(), 0.7 + 0.6 * draw.uniform(), 8 + 4 * draw.uniform()
    return PendulumTasks(mass.float(), length.float(), gravity.float(), _count("episode", episode)).to(device)


class _Draw:
    """Where the numbers of M tasks come from, in float64, each uniform between 0 and 1."""

    def __init__(self, M: int, split: str, seed: int):
        if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < 2**60:
            raise ValueError(f"seed is {seed!r}: give a whole number from 0.")
        self.M, self.share = _count("M", M), SHARES[_split(split)]
        self.rng = torch.Generator().manual_seed(3 * int(seed) + list(SHARES).index(split))

    def uniform(self, *shape: int) -> Tensor:
        u = torch.rand(self.M, *shape, generator=self.rng, dtype=torch.float64)
        return u.clamp(1e-9, 1 - 1e-9)

    def first(self) -> Tensor:
        """The middle of a cell of the split's own, [M]."""
        ten = torch.randint(CELLS // 10, (self.M,), generator=self.rng)
        cell = torch.randint(self.share.start, self.share.stop, (self.M,), generator=self.rng)
        return (10 * ten + cell + 0.5).double() / CELLS


def _within_pi(angle: Tensor) -> Tensor:
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


def _split(split: str) -> str:
    if split not in SHARES:
        raise ValueError(f"split is {split!r}: choose 'train', 'validation' or 'test'.")
    return split


def _count(name: str, value: int, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} is {value!r}: it must be a whole number from {least}.")
    return int(value)


def _check_generator(generator: torch.Generator) -> None:
    if not isinstance(generator, torch.Generator):
        raise ValueError(f"generator is {generator!r}: give torch.Generator().manual_seed(0), or another.")
