"""Grid worlds drawn as text."""

from collections.abc import Mapping

import numpy as np
from scipy.sparse import csr_array

from course_lib.worlds.mdp import MDP
from course_lib.worlds.validate import check_number

UP, RIGHT, DOWN, LEFT = range(4)
ACTIONS = ("up", "right", "down", "left")
STEPS = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])  # (row, column) of each action; row 0 is at the top
ENDS = {"G": 1.0, "P": -1.0}  # goal and pit: entering one pays this and ends the episode
DENSE_UP_TO = 400  # states; above, P is stored sparse

# The course's running world: a short way past the pit and a safe one round it, two steps longer.
HOUSE = """
...#...G
.#...#.P
.####...
...#..#.
.#...#..
S....#..
"""


def gridworld(
    text_map: str,
    slip: float = 0.0,
    step_reward: float = 0.0,
    gamma: float = 0.95,
    rewards: Mapping[str, float] | None = None,
) -> MDP:
    """A grid world from a text map; actions 0–3 are up, right, down, left.

    `#` wall · `.` floor · `S` floor where episodes start (anywhere if there is none) · `G` goal, pays 1 and
    ends · `P` pit, pays −1 and ends · a lower-case letter is floor that pays `rewards[letter]` whenever a
    step ends on it. `rewards` may also change what `G` and `P` pay, as in {"G": 10, "a": -2}.

    A move into a wall or off the map stays where it is. With probability `slip` the agent slides to one of
    the two sides instead (half each). Every step pays `step_reward`, and the reward of the cell on which it
    ends. States are the free cells in reading order; `labels` are their (row, column). P is dense up to 400
    states and sparse above. ValueError, naming row and column, for what is no map, and for what `MDP`
    refuses.
    """
    grid = parse_map(text_map)
    check_number("slip", slip, 0, 1)
    check_number("step_reward", step_reward)
    cells, marks = np.argwhere(grid != "#"), grid[grid != "#"]
    S, terminal, start = len(cells), np.isin(marks, list(ENDS)), marks == "S"
    P = _slippery(_landing(grid, cells), terminal, slip)
    pays = P @ (step_reward + cell_rewards(text_map, rewards))
    return MDP(
        P if S > DENSE_UP_TO else P.toarray().reshape(4, S, S).swapaxes(0, 1),
        R=np.where(terminal[:, None], 0.0, pays.reshape(4, S).T),
        gamma=gamma,
        start=start / start.sum() if start.any() else None,
        terminal=terminal,
        labels=[(int(r), int(c)) for r, c in cells],
    )


def cell_rewards(text_map: str, rewards: Mapping[str, float] | None = None) -> np.ndarray:
    """What a step that ends on each free cell is paid for that, [S] (without the step reward)."""
    grid = parse_map(text_map)
    rewards = _rewards(grid, rewards)
    return np.array([rewards.get(mark, 0.0) for mark in grid[grid != "#"].tolist()])


def parse_map(text_map: str) -> np.ndarray:
    """The map as an array of characters [rows, columns]; ValueError where it is not a map."""
    if not isinstance(text_map, str) or not text_map.strip():
        raise ValueError(f"the map is {text_map!r}: give a text with at least one free cell, such as 'S.G'.")
    lines = [line.strip() for line in text_map.strip().splitlines()]
    for row, line in enumerate(lines):
        if len(line) != len(lines[0]):
            raise ValueError(
                f"row {row} of the map has {len(line)} cells, row 0 has {len(lines[0])}: make all rows "
                "equally long (walls are '#')."
            )
    grid = np.array([list(line) for line in lines])
    for (row, column), mark in np.ndenumerate(grid):
        if mark not in "#.SGP" and not (mark.isascii() and mark.islower()):
            raise ValueError(
                f"the map has {str(mark)!r} at row {row}, column {column}: use # . S G P or a lower-case "
                "letter."
            )
    if (grid == "#").all():
        raise ValueError("the map holds walls only: draw at least one free cell ('.').")
    if np.isin(grid, ["#", *ENDS]).all():
        raise ValueError("the map has no cell to walk on, only goals and pits: draw at least one '.' or 'S'.")
    return grid


def _rewards(grid: np.ndarray, rewards: Mapping[str, float] | None) -> dict[str, float]:
    rewards = {**ENDS, **(rewards or {})}
    letters = {str(mark) for mark in np.unique(grid) if mark.islower()}
    for mark, reward in rewards.items():
        if mark not in letters and mark not in ENDS:
            raise ValueError(f"rewards names {mark!r}: only G, P and the map's lower-case letters can pay.")
        check_number(f"rewards[{mark!r}]", reward)
    unpaid = sorted(letters - set(rewards))
    if unpaid:
        raise ValueError(
            f"rewards does not say what the map's {unpaid[0]!r} pays: add {{{unpaid[0]!r}: …}} to it."
        )
    return rewards


def _landing(grid: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """In which state each action ends if nothing slips, [S, 4]."""
    index = np.full((grid.shape[0] + 2, grid.shape[1] + 2), -1)  # a rim of walls
    index[tuple(cells.T + 1)] = np.arange(len(cells))
    to = index[tuple((cells[:, None] + STEPS + 1).transpose(2, 0, 1))]
    return np.where(to < 0, np.arange(len(cells))[:, None], to)


def _slippery(lands: np.ndarray, terminal: np.ndarray, slip: float) -> csr_array:
    """P as a sparse [4·S, S], row a·S + s, from where each action lands if it does not slip [S, 4]."""
    S = len(lands)
    lands = np.where(terminal[:, None], np.arange(S)[:, None], lands)
    sides = [(lands, 1 - slip), (lands[:, [1, 2, 3, 0]], slip / 2), (lands[:, [3, 0, 1, 2]], slip / 2)]
    used = [(to.T.ravel(), np.full(4 * S, p)) for to, p in sides if p > 0]
    columns, chances = (np.concatenate(part) for part in zip(*used, strict=True))
    return csr_array((chances, (np.tile(np.arange(4 * S), len(used)), columns)), shape=(4 * S, S))
