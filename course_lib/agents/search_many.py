"""Monte-Carlo tree search of many Connect Four positions at once: each phase serves all trees, in NumPy."""

from dataclasses import dataclass

import numpy as np

from course_lib.agents.search import check_search, most_visited, rule_of
from course_lib.worlds.games import COLUMNS, ConnectFours, landing


@dataclass(frozen=True, eq=False)
class Searches:
    """What T searches found: visits N(s, a) [T, 7] int and values Q(s, a) [T, 7], NaN where visits is 0."""

    visits: np.ndarray
    values: np.ndarray

    @property
    def best(self) -> np.ndarray:
        """The column visited most often in each, [T]; among equals, the one of the highest value."""
        return most_visited(self.visits, self.values)

    @property
    def value(self) -> np.ndarray:
        """The mean return of all simulations, for the player to move, [T]."""
        return np.nansum(self.visits * self.values, axis=1) / self.visits.sum(axis=1)


def mcts_many(
    positions: ConnectFours, simulations: int, c: float = 1.4, *, rng: np.random.Generator
) -> Searches:
    """Searches T positions of Connect Four by UCT, a tree for each, all of them in step.

    The same search as `mcts` without a prior, in float32. A step of a thousand trees takes about as long as a
    hundred simulations of one. Needs about 110 bytes a tree and simulation. ValueError for a finished game.
    """
    check_search(simulations, c, rng)
    if not len(positions) or positions.over.any():
        where = np.flatnonzero(positions.over)
        raise ValueError(
            f"position {where[0]} is finished: nothing to search." if len(where) else "no positions."
        )
    forest = Forest(positions, simulations, c, rng)
    for k in range(1, simulations + 1):
        simulate_many(forest, k)
    kids = forest.child[forest.roots]
    visits = np.where(kids > 0, forest.visits[kids], 0)
    return Searches(visits, np.where(visits > 0, forest.Q[forest.roots], np.nan))


class Forest:
    """T trees as arrays. A row is a node and holds its seven edges; tree t owns M rows from row 1 + t·M on.

    Row 0 stands for "no node yet". `open` says that a node is there and its game goes on. The Q of an untried
    edge is random and far above all values, so that it comes first, in random order; a full column has −∞.
    """

    def __init__(self, positions: ConnectFours, simulations: int, c: float, rng: np.random.Generator):
        M = simulations + 1
        self.roots = 1 + M * np.arange(len(positions))
        rows, self.rng = 1 + M * len(positions), rng
        self.bonus, self.shrink = (np.array(x, np.float32) for x in rule_of(c, M, None)[:2])
        self.mine, self.theirs = np.zeros(rows, np.uint64), np.zeros(rows, np.uint64)
        self.open, self.outcome = np.zeros(rows, bool), np.zeros(rows, np.int8)
        self.visits, self.child = np.zeros(rows, np.int32), np.zeros((rows, COLUMNS), np.int32)
        self.Q, self.width = np.zeros((rows, COLUMNS), np.float32), np.zeros((rows, COLUMNS), np.float32)
        self.plant(self.roots, positions.mine, positions.theirs)

    def plant(self, rows: np.ndarray, mine: np.ndarray, theirs: np.ndarray) -> None:
        """Makes nodes of these rows, from their boards. `outcome` is for who is to move: a loss, or 0."""
        boards = ConnectFours(mine, theirs, np.ones(len(rows)))
        self.mine[rows], self.theirs[rows] = mine, theirs
        self.open[rows], self.outcome[rows] = ~boards.over, boards.winner
        first = 1000 + self.rng.random((len(rows), COLUMNS), dtype=np.float32)
        self.Q[rows] = np.where(boards.open, first, -np.inf)


def simulate_many(forest: Forest, k: int) -> None:
    """The four phases of simulation k, in all trees."""
    edges, trees, depth = select_many(forest)
    last, height = np.empty_like(forest.roots), np.empty_like(forest.roots)
    last[trees], height[trees] = edges, depth  # of a tree's edges, the deepest is written last
    new = expand_many(forest, last, k)
    roll_out_many(forest, new)
    G = forest.outcome[forest.child.take(last)]  # for who is to move at the leaf
    back_up_many(forest, edges, np.where((height[trees] - depth) % 2, G[trees], -G[trees]))


def select_many(forest: Forest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Phase 1 for all: the edges on the way down (row·7 + column), their trees and depths, each [edges]."""
    levels, rows, trees = [], forest.roots, np.arange(len(forest.roots))
    while len(rows):
        u = forest.bonus[forest.visits[rows]]
        edges = rows * COLUMNS + (forest.Q[rows] + u[:, None] * forest.width[rows]).argmax(axis=1)
        levels.append((edges, trees, np.full(len(rows), len(levels))))
        rows = forest.child.take(edges)
        deeper = forest.open[rows]
        rows, trees = rows[deeper], trees[deeper]
    edges, trees, depth = (np.concatenate(x) for x in zip(*levels, strict=True))
    return edges, trees, depth


def expand_many(forest: Forest, last: np.ndarray, k: int) -> np.ndarray:
    """Phase 2 for all: a node at the end of every last edge [T] that has none yet; the new rows."""
    new = np.flatnonzero(forest.child.take(last) == 0)
    rows, (parents, columns) = forest.roots[new] + k, np.divmod(last[new], COLUMNS)
    mine, theirs = forest.mine[parents], forest.theirs[parents]
    forest.plant(rows, theirs, mine | landing(mine | theirs, columns))
    forest.child.put(last[new], rows)
    return rows


def roll_out_many(forest: Forest, rows: np.ndarray) -> None:
    """Phase 3 for all: one random play from every new node whose game goes on."""
    rows = rows[forest.open[rows]]
    boards = ConnectFours(forest.mine[rows], forest.theirs[rows], np.ones(len(rows)))
    forest.outcome[rows] = boards.playout(forest.rng)


def back_up_many(forest: Forest, edges: np.ndarray, G: np.ndarray) -> None:
    """Phase 4 for all: N and Q of every edge on the way; G [edges] is the outcome for who chose it."""
    kids, Q, width = forest.child.take(edges), forest.Q.reshape(-1), forest.width.reshape(-1)
    n = forest.visits[kids] + 1
    forest.visits[kids] = n
    forest.visits[forest.roots] += 1
    Q[edges] = (Q[edges] * (n - 1) + G) / n
    width[edges] = forest.shrink[n]
