"""The course's worlds as Gymnasium environments: importing this module registers them.

`gymnasium.make("course_lib.worlds.envs:course/GridWorld-v0")` imports and makes in one call. Ids:
course/GridWorld-v0 (which takes the arguments of `gridworld`), Example35, Example41, CarRental, Gambler,
RandomWalk, Windy, Cliff and ShortCorridor (which take those of their functions in `classics`). Episodes are
cut off (`truncated`) after 1,000 steps, which is no part of the MDP.
"""

from functools import cached_property
from typing import ClassVar

import gymnasium as gym
import numpy as np

from course_lib.worlds import classics
from course_lib.worlds.grids import HOUSE, cell_rewards, gridworld
from course_lib.worlds.mdp import MDP

MAX_STEPS = 1_000
CELL = 32  # pixels a side
WALL, FLOOR, LINE = (70, 70, 70), (245, 245, 245), (200, 200, 200)
GOOD_END, BAD_END, PLAIN_END, AGENT = (0, 158, 115), (213, 94, 0), (240, 228, 66), (0, 114, 178)  # Okabe-Ito


class MDPEnv(gym.Env):
    """Any `MDP` as an environment: observations are the state numbers, actions the action numbers.

    A step is paid R(s, a). Worlds whose reward depends on where the step ends give both parts instead:
    `moving` [S, A], for the step itself, plus `arriving` [S], for the state it ends in. Their expectation
    must be R, or ValueError. `P` is the transition table that `from_gymnasium` reads; `mdp` is the world
    itself. step() raises ValueError for an action that does not exist, and gymnasium.error.ResetNeeded before
    reset() and after the end.
    """

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 4}

    def __init__(self, mdp: MDP, render_mode: str | None = None, moving=None, arriving=None):
        if render_mode not in (None, "rgb_array"):
            raise ValueError(
                f"render_mode is {render_mode!r}: this environment draws 'rgb_array' only (or None)."
            )
        if mdp.start[mdp.terminal].any():
            s = int(np.flatnonzero(mdp.terminal & (mdp.start > 0))[0])
            raise ValueError(f"an episode could start in state {s}, which is terminal: set start[{s}] to 0.")
        self.mdp, self.render_mode, self.state = mdp, render_mode, None
        self.moving = np.array(mdp.R if moving is None else np.broadcast_to(moving, mdp.R.shape), dtype=float)
        self.arriving = np.zeros(mdp.S) if arriving is None else np.array(arriving, dtype=float)
        self._check_rewards()
        self.observation_space = gym.spaces.Discrete(mdp.S)
        self.action_space = gym.spaces.Discrete(mdp.A)
        self.initial_state_distrib = mdp.start

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Start an episode: (state, {})."""
        super().reset(seed=seed)
        self.state = self._draw(np.arange(self.mdp.S), self.mdp.start)
        return self.state, {}

    def step(self, action: int):
        """Act once: (state, reward, terminated, False, {})."""
        if self.state is None or self.mdp.terminal[self.state]:
            raise gym.error.ResetNeeded(
                f"the state is {self.state}, no episode is under way: call reset() first."
            )
        if not self.action_space.contains(action):
            raise ValueError(f"there is no action {action!r}: actions are 0 to {self.mdp.A - 1}.")
        s, self.state = self.state, self._draw(*self._next(self.state, int(action)))
        reward = float(self.moving[s, action] + self.arriving[self.state])
        return self.state, reward, bool(self.mdp.terminal[self.state]), False, {}

    def render(self) -> np.ndarray | None:
        """The board with the agent, [height, width, 3] of uint8; None unless render_mode is "rgb_array"."""
        if self.render_mode is None:
            return None
        picture = self._board.copy()
        if self.state is not None:
            row, column = self._places[self.state]
            _fill(picture, row, column, AGENT, where=_disc(CELL))
        return picture

    @cached_property
    def P(self) -> dict:
        """The table P[s][a] = [(probability, next state, reward, terminated), …]; a terminal state stays."""
        return {s: {a: self._row(s, a) for a in range(self.mdp.A)} for s in range(self.mdp.S)}

    def _row(self, s: int, a: int) -> list[tuple[float, int, float, bool]]:
        if self.mdp.terminal[s]:
            return [(1.0, s, 0.0, True)]
        states, chances = self._next(s, a)
        pays, ends = self.moving[s, a] + self.arriving[states], self.mdp.terminal[states]
        return list(zip(chances.tolist(), states.tolist(), pays.tolist(), ends.tolist(), strict=True))

    def _next(self, s: int, a: int) -> tuple[np.ndarray, np.ndarray]:
        """The possible next states and their probabilities."""
        if not self.mdp.sparse:
            states = np.flatnonzero(self.mdp.P[s, a])
            return states, self.mdp.P[s, a, states]
        row = slice(*self.mdp.P.indptr[a * self.mdp.S + s :][:2])
        return self.mdp.P.indices[row], self.mdp.P.data[row]

    def _draw(self, states: np.ndarray, chances: np.ndarray) -> int:
        below = np.cumsum(chances)
        return int(states[np.searchsorted(below, self.np_random.random() * below[-1], side="right")])

    def _check_rewards(self) -> None:
        mdp = self.mdp
        if self.arriving.shape != (mdp.S,):
            raise ValueError(
                f"arriving has shape {self.arriving.shape}: give one reward a state, ({mdp.S},)."
            )
        arrival = mdp.P @ self.arriving  # [S, A], or as rows of a sparse P
        expected = self.moving + (arrival.reshape(mdp.A, mdp.S).T if mdp.sparse else arrival)
        wrong = np.flatnonzero(~np.isclose(expected, mdp.R).all(axis=1) & ~mdp.terminal)
        if len(wrong):
            s = wrong[0]
            raise ValueError(
                f"in state {s} moving and arriving have expectation {expected[s]}, but R is {mdp.R[s]}."
            )

    @cached_property
    def _places(self) -> list[tuple[int, int]]:
        """Where each state is drawn: at its label, if all are (row, column), otherwise in reading order."""
        if self.mdp.labels is not None and all(_is_cell(label) for label in self.mdp.labels):
            return list(self.mdp.labels)
        across = self.mdp.S if self.mdp.S <= 12 else int(np.ceil(np.sqrt(self.mdp.S)))
        return [divmod(s, across) for s in range(self.mdp.S)]

    @cached_property
    def _board(self) -> np.ndarray:
        rows, columns = np.max(self._places, axis=0) + 1
        picture = np.full((rows * CELL, columns * CELL, 3), WALL, dtype=np.uint8)
        for s, (row, column) in enumerate(self._places):
            end = (PLAIN_END, GOOD_END, BAD_END)[int(np.sign(self.arriving[s]))]
            _fill(picture, row, column, LINE)
            _fill(picture, row, column, end if self.mdp.terminal[s] else FLOOR, where=_square(CELL))
        return picture


def _is_cell(label) -> bool:
    return isinstance(label, tuple) and len(label) == 2 and all(isinstance(x, int) and x >= 0 for x in label)


def _fill(picture: np.ndarray, row: int, column: int, colour: tuple[int, int, int], where=...) -> None:
    picture[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL][where] = colour


def _square(side: int) -> np.ndarray:
    """All pixels of a cell but its rim, [side, side] bool."""
    return np.pad(np.ones((side - 2, side - 2), bool), 1)


def _disc(side: int) -> np.ndarray:
    y, x = np.indices((side, side)) - (side - 1) / 2
    return x**2 + y**2 <= (0.3 * side) ** 2


WORLDS = {
    "GridWorld": gridworld,
    "Example35": classics.example_3_5,
    "Example41": classics.example_4_1,
    "CarRental": classics.car_rental,
    "Gambler": classics.gambler,
    "RandomWalk": classics.random_walk,
    "Windy": classics.windy,
    "Cliff": classics.cliff,
    "ShortCorridor": classics.short_corridor,
}


def make(world: str, render_mode: str | None = None, **settings) -> MDPEnv:
    """What `gymnasium.make` calls: the environment of one of WORLDS, made with these settings."""
    if world == "GridWorld":
        settings = {"text_map": HOUSE} | settings
        arriving = cell_rewards(settings["text_map"], settings.get("rewards"))
        return MDPEnv(gridworld(**settings), render_mode, settings.get("step_reward", 0.0), arriving)
    mdp = WORLDS[world](**settings)
    if world == "Gambler":  # 1 for reaching the last state, instead of the chance of it for each bold stake
        return MDPEnv(mdp, render_mode, moving=0.0, arriving=np.eye(mdp.S)[-1])
    return MDPEnv(mdp, render_mode)


for _world in WORLDS:
    if f"course/{_world}-v0" not in gym.registry:
        gym.register(
            f"course/{_world}-v0", f"{__name__}:make", max_episode_steps=MAX_STEPS, kwargs={"world": _world}
        )
