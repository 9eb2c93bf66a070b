"""Grid worlds drawn as text."""

from collections.abc import Mapping

import numpy as np
from scipy.sparse import csr_array

from course_lib.worlds.mdp import MDP

UP, RIGHT, DOWN, LEFT = range(4)
ACTIONS = ("up", "right", "down", "left")
STEPS = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])  # (row, column) of each action; row 0 is at the top
ENDS = {"G": 1.0, "P": -1.0}  # goal and pit: entering one pays this and ends the episode
# The course's running world: a short way past the pit and a safe one round it, two steps longer.
HOUSE = """
...#...G
.#...#.P
.####...
...#..#.
.#...#..
S....#..
"""
DENSE_UP_TO = 400  # states; above, P is stored sparse


def gridworld(
    text_map: str,
    slip: float = 0.0,
    step_reward: float = 0.0,
    gamma: float = 0.95,
    rewards: Mapping[str, float] | None = None,
) -> MDP:
    """A grid world from a text map; actions 0–3 are up, right, down, left.

    `#` wall · `.` floor · `S` floor where episodes start (anywhere if there is none) · `G` goal, pays 1 and ends
    · `P` pit, pays −1 and ends · a lower-case letter is floor that pays `rewards[letter]` whenever a step ends
    on it. `rewards` may also change what `G` and `P` pay, as in {"G": 10, "a": -2}.

    A move into a wall or off the map stays where it is. With probability `slip` the agent slides to one of the
    two sides instead (half each). Every step pays `step_reward`, and the reward of the cell on which it ends.
    States are the free cells in reading order; `labels` are their (row, column).
    """
    grid = parse_map(text_map)
    rewards = _rewards(grid, rewards)
    if not 0 <= slip <= 1:
        raise ValueError(f"slip is {slip}: it is a probability, from 0 to 1.")
    if not np.isfinite(step_reward):
        raise ValueError(f"step_reward is {step_reward}: it must be a finite number.")
    cells = np.argwhere(grid != "#")
    S, terminal = len(cells), np.isin(grid[grid != "#"], list(ENDS))
    lands = _landing(grid, cells)
    lands[terminal] = np.flatnonzero(terminal)[:, None]
    sides = [lands, lands[:, [1, 2, 3, 0]], lands[:, [3, 0, 1, 2]]]  # as meant, slid clockwise, slid the other way
    P = _stack(sides, [1 - slip, slip / 2, slip / 2], S)
    pays = step_reward + np.array([rewards.get(c, 0.0) for c in grid[grid != "#"]])
    R = (P @ pays).reshape(4, S).T * ~terminal[:, None]
    start = (grid == "S")[grid != "#"].astype(float)
    return MDP(
        P if S > DENSE_UP_TO else P.toarray().reshape(4, S, S).swapaxes(0, 1),
        R,
        gamma,
        start=start / start.sum() if start.any() else None,
        terminal=terminal,
        labels=[(int(r), int(c)) for r, c in cells],
    )


def parse_map(text_map: str) -> np.ndarray:
    """The map as an array of characters [rows, columns]; ValueError where it is not a map."""
    lines = [line.strip() for line in text_map.strip().splitlines()]
    if not text_map.strip():
        raise ValueError("the map is empty: draw at least one free cell, such as 'S.G'.")
    for row, line in enumerate(lines):
        if len(line) != len(lines[0]):
            raise ValueError(f"row {row} of the map has {len(line)} cells, row 0 has {len(lines[0])}: make all rows equally long (walls are '#').")
        for column, cell in enumerate(line):
            if cell not in "#.SGP" and not (cell.isascii() and cell.islower()):
                raise ValueError(f"the map has {cell!r} at row {row}, column {column}: use # . S G P or a lower-case letter.")
    grid = np.array([list(line) for line in lines])
    if (grid == "#").all():
        raise ValueError("the map holds walls only: draw at least one free cell ('.').")
    if not (~np.isin(grid, ["#", *ENDS])).any():
        raise ValueError("the map has no cell to walk on, only goals and pits: draw at least one '.' or 'S'.")
    return grid


def _rewards(grid: np.ndarray, rewards: Mapping[str, float] | None) -> dict[str, float]:
    rewards = {**ENDS, **(rewards or {})}
    for cell, reward in rewards.items():
        if cell not in grid and cell not in ENDS:
            raise ValueError(f"rewards names {cell!r}, which is not on the map.")
        if cell in "#.S" or not np.isfinite(reward):
            raise ValueError(f"rewards[{cell!r}] is {reward}: give a finite number to G, P or a lower-case letter of the map.")
    letters = sorted({c for c in grid.ravel() if c.islower()} - set(rewards))
    if letters:
        raise ValueError(f"the map has {letters[0]!r} but rewards does not say what it pays: add rewards={{{letters[0]!r}: …}}.")
    return rewards


def _landing(grid: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """In which state each action ends if nothing slips, [S, 4]."""
    index = np.full((grid.shape[0] + 2, grid.shape[1] + 2), -1)  # a rim of walls
    index[tuple(cells.T + 1)] = np.arange(len(cells))
    to = index[tuple((cells[:, None] + STEPS + 1).transpose(2, 0, 1))]
    return np.where(to < 0, np.arange(len(cells))[:, None], to)


def _stack(landings: list[np.ndarray], probabilities: list[float], S: int) -> csr_array:
    """P as a sparse [4·S, S], row a·S + s, from where each outcome lands [S, 4] and its probability."""
    used = [(to, p) for to, p in zip(landings, probabilities, strict=True) if p > 0]
    rows = np.tile(np.arange(4 * S), len(used))
    columns = np.concatenate([to.T.ravel() for to, _ in used])
    return csr_array((np.repeat([p for _, p in used], 4 * S), (rows, columns)), shape=(4 * S, S))
