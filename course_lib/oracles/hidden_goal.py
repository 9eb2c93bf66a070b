"""Exact answers for the grid with a hidden goal: the best possible explorer, posterior sampling, the belief.

The world is that of `worlds.tasks.grid_goal_tasks`: cells in reading order, start in cell 0; a step that ends
on the goal pays 1, any other −.1; several episodes in the same task. The goal is equally likely to be in each
cell of `goals`.

Why it can be solved: until the goal is found, every reward is −.1, so the belief is "one of the cells not yet
visited, all equally likely", and what the agent does next cannot depend on what it saw. An explorer is
therefore one path through the cells, to be walked until the goal turns up; after that, everything is known.
If the path first visits a goal at step t of episode e (from 0), at distance d from the start in an episode of
H steps, then not knowing costs e·(H + 1 − d) + t − d steps off the goal, each worth 1.1. The best path keeps
the sum of these small.
Sources: Zintgraf et al. 2020 (the task); Duff 2002 (Bayes-adaptive MDPs); Osband et al. 2013 (posterior
sampling).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count, pairwise
from numbers import Integral

import numpy as np
from scipy.optimize import linear_sum_assignment

ON, OFF = 1.0, -0.1  # the reward of a step that ends on the goal, and of any other
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left; action 4 stays
STAY = 4
MOST = 200_000  # search states before `bayes_optimal` gives up
PARTS = 2**11  # a set of goals is a whole number, transposed in two parts of 11 bits


@dataclass(frozen=True)
class HiddenGoal:
    """A square grid of side × side cells, episodes of `horizon` steps, and the cells the goal can be in.

    By default these are all but the start, its two neighbours and the cell (1, 1).
    """

    side: int = 5
    horizon: int = 15
    goals: tuple[int, ...] | None = None

    def __post_init__(self):
        for name in ("side", "horizon"):
            _count(name, getattr(self, name))
        cells = [k for k in range(self.side**2) if sum(divmod(k, self.side)) >= 2 and k != self.side + 1]
        goals = cells if self.goals is None else [int(g) for g in self.goals]
        wrong = [g for g in goals if not 0 < g < self.side**2]
        if wrong or not goals or len(set(goals)) < len(goals):
            raise ValueError(
                f"goals are {goals}: give different cells from 1 to {self.side**2 - 1} (0 is the start)."
            )
        object.__setattr__(self, "goals", tuple(sorted(goals)))

    @property
    def distance(self) -> np.ndarray:
        """Steps from the start to each goal, [G]."""
        return self.between(0, np.array(self.goals))

    def between(self, a, b):
        """Steps between two cells; arrays spread."""
        return np.abs(a // self.side - b // self.side) + np.abs(a % self.side - b % self.side)

    def neighbours(self, cell: int) -> list[int]:
        row, column = divmod(cell, self.side)
        return [
            (row + i) * self.side + column + j
            for i, j in MOVES
            if 0 <= row + i < self.side and 0 <= column + j < self.side
        ]


@dataclass(frozen=True)
class Plan:
    """What the best explorer does: `path` [episodes, horizon + 1], its cells until the goal is found.

    `rewards` [episodes] are the expected rewards of the episodes when the goal, once found, is gone to and
    stayed on.
    """

    grid: HiddenGoal
    path: np.ndarray
    rewards: np.ndarray

    def actions(self, goal: int) -> np.ndarray:
        """What the explorer does if the goal is in this cell, [episodes, horizon]."""
        episodes, found = [], False
        for path in self.path.tolist():
            if not found and goal in path:
                path = path[: path.index(goal) + 1]
                found = True
            elif found:
                path = shortest_path(self.grid, 0, goal)
            path = path[: self.grid.horizon + 1]
            moves = [_action(self.grid, a, b) for a, b in pairwise(path)]
            episodes.append(moves + [STAY] * (self.grid.horizon - len(moves)))
        return np.array(episodes)


def shortest_path(grid: HiddenGoal, start: int, end: int) -> list[int]:
    """The cells of one shortest path, both ends among them: along its row first."""
    path = [start]
    while path[-1] != end:
        path.append(min(grid.neighbours(path[-1]), key=lambda cell: grid.between(cell, end)))
    return path


def walk(grid: HiddenGoal, moves: str) -> np.ndarray:
    """The cells on the way of moves such as "RRDS" from the start, [len(moves) + 1]; a wall stays.

    U, R, D, L and S are up, right, down, left and stay; ValueError for any other letter.
    """
    cells = [0]
    for letter in moves.upper():
        if letter not in "URDLS":
            raise ValueError(f"there is no move {letter!r}: use U, R, D, L, and S to stay.")
        step = (*MOVES, (0, 0))["URDLS".index(letter)]
        place = [
            min(max(x + dx, 0), grid.side - 1)
            for x, dx in zip(divmod(cells[-1], grid.side), step, strict=True)
        ]
        cells.append(place[0] * grid.side + place[1])
    return np.array(cells)


def known_goal_rewards(grid: HiddenGoal) -> np.ndarray:
    """What an agent that is told the goal earns in an episode, for each goal [G]."""
    on = np.maximum(grid.horizon + 1 - grid.distance, 0)
    return ON * on + OFF * (grid.horizon - on)


def path_rewards(grid: HiddenGoal, path: np.ndarray) -> np.ndarray:
    """The exact expected reward of each episode, [episodes], for an explorer that walks this path.

    `path` [episodes, horizon + 1] holds the cells until the goal is found; then it stays there, and goes
    straight to it in all later episodes.
    """
    path = np.asarray(path)
    if path.ndim != 2 or path.shape[1] != grid.horizon + 1 or path[:, 0].any():
        raise ValueError(
            f"path has shape {path.shape}: give [episodes, {grid.horizon + 1}], each beginning in cell 0."
        )
    if (grid.between(path[:, :-1], path[:, 1:]) > 1).any() or path.min() < 0 or path.max() >= grid.side**2:
        raise ValueError("a step of the path goes to no neighbour of its cell, or off the grid.")
    at_once = np.maximum(grid.horizon + 1 - grid.distance, 0)
    on, found = np.zeros(len(path)), np.zeros(len(grid.goals), bool)
    for e, cells in enumerate(path):
        visits = cells[:, None] == np.array(grid.goals)
        now = visits.any(axis=0) & ~found
        on[e] = at_once[found].sum() + (grid.horizon + 1 - visits.argmax(axis=0))[now].sum()
        found |= now
    return OFF * grid.horizon + (ON - OFF) * on / len(grid.goals)


def full_tours(grid: HiddenGoal) -> np.ndarray:
    """All first episodes that waste no step, [N, horizon + 1], as cells.

    From the first step at which there can be a goal, each step ends on a cell where it can be and where the
    agent was not before: no other first episode earns more. N is 0 where there are not enough such cells.
    """
    tours, first = [[0]], grid.distance.min()
    for t in range(1, grid.horizon + 1):
        longer = []
        for tour in tours:
            good = (c for c in grid.neighbours(tour[-1]) if t < first or (c in grid.goals and c not in tour))
            longer += [[*tour, cell] for cell in good]
        tours = longer
    return np.array(tours).reshape(-1, grid.horizon + 1)


def on_one_way(grid: HiddenGoal, cells: Iterable[int]) -> bool:
    """Whether one shortest way from the start, to the last of these cells, goes through all of them."""
    way = np.array([0, *sorted(cells)])  # a shortest way never goes back in reading order
    return bool(grid.between(way[:-1], way[1:]).sum() == grid.between(0, way[-1]))


def bayes_optimal(grid: HiddenGoal, episodes: int) -> Plan:
    """The best explorer over this many episodes: the largest expected total reward of any behaviour.

    Best-first search over (episode, step, cell, goals visited), exact: a state's rest is bounded from below
    by letting every goal have its own step, one goal a step, no earlier than its distance allows (an
    assignment problem). ValueError if that takes more than MOST states.
    """
    episodes, goals = _count("episodes", episodes), np.array(grid.goals)
    d, bit = grid.distance, {g: 1 << i for i, g in enumerate(grid.goals)}
    ticket, best = count(), {}
    heap = [(_bound(grid, episodes, 0, 0, 0, 0), 0, next(ticket), 0.0, (0, 0, 0, 0), None)]
    while heap:
        _, _, _, paid, state, back = heappop(heap)
        e, t, cell, seen = state
        if e == episodes or seen == 2 ** len(goals) - 1:
            return _plan(grid, episodes, (state, back))
        if best.get(state, np.inf) <= paid:
            continue
        best[state] = paid
        if len(best) > MOST:
            raise ValueError(f"more than {MOST} search states: take fewer episodes or a smaller grid.")
        left = np.array([g for g in grid.goals if not seen & bit[g]])
        within_reach = (t + grid.between(cell, left) <= grid.horizon).any()
        for after in grid.neighbours(cell) if within_reach else []:
            fresh = bit.get(after, 0) & ~seen
            i = fresh.bit_length() - 1
            more = paid + (e * (grid.horizon + 1 - d[i]) + t + 1 - d[i] if fresh else 0.0)
            state2 = (e, t + 1, after, seen | fresh)
            f = more + _bound(grid, episodes, *state2)
            heappush(heap, (f, -(e * grid.horizon + t + 1), next(ticket), more, state2, (state, back)))
        if not within_reach:
            state2, more = (e + 1, 0, 0, seen), paid
            if e + 1 == episodes:
                more += episodes * (grid.horizon + 1 - grid.between(0, left)).sum()
            f = more + _bound(grid, episodes, *state2)
            heappush(heap, (f, -(e + 1) * grid.horizon, next(ticket), more, state2, (state, back)))
    raise AssertionError("unreachable: the search always ends in a plan")


def _bound(grid: HiddenGoal, episodes: int, e: int, t: int, cell: int, seen: int) -> float:
    """At least this many steps off the goal, summed over the goals not seen yet, are still to be paid for."""
    left = np.array([g for i, g in enumerate(grid.goals) if not seen >> i & 1])
    if e == episodes or not len(left):
        return 0.0
    H, d = grid.horizon, grid.between(0, left)[:, None]
    in_episode, step = np.divmod(np.arange((episodes - e) * H), H)
    in_episode, step = in_episode + e, step + 1
    earliest = np.where(in_episode == e, t + grid.between(cell, left)[:, None], d)
    cost = np.where(step >= earliest, in_episode * (H + 1 - d) + step - d, np.inf)
    never = np.broadcast_to(episodes * (H + 1 - d), (len(left), len(left)))
    cost = np.concatenate([cost[:, (in_episode > e) | (step > t)], never], axis=1)
    return cost[linear_sum_assignment(cost)].sum()


def _plan(grid: HiddenGoal, episodes: int, node: tuple) -> Plan:
    """The plan of a chain of search states, filled up with staying where nothing is left to find."""
    path = np.full((episodes, grid.horizon + 1), -1)
    while node is not None:
        (e, t, cell, _), node = node
        if e < episodes:
            path[e, t] = cell
    path[:, 0] = 0
    for t in range(1, grid.horizon + 1):
        path[:, t] = np.where(path[:, t] < 0, path[:, t - 1], path[:, t])
    return Plan(grid, path, path_rewards(grid, path))


def belief_filter(grid: HiddenGoal, cells: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """The exact belief before and after each step, [..., T + 1, G], from where each step ended and its pay.

    cells [..., T] and rewards [..., T]. A reward of 1 shows the goal; any other rules the cell out.
    """
    cells, rewards = np.asarray(cells), np.asarray(rewards)
    if cells.shape != rewards.shape or not cells.ndim:
        raise ValueError(
            f"cells {cells.shape} and rewards {rewards.shape}: give one of each a step, [..., T]."
        )
    here = cells[..., None] == np.array(grid.goals)
    possible = np.where((rewards > (ON + OFF) / 2)[..., None], here, ~here)
    before = np.ones((*cells.shape[:-1], 1, len(grid.goals)), bool)
    possible = np.logical_and.accumulate(np.concatenate([before, possible], axis=-2), axis=-2)
    if not possible.any(axis=-1).all():
        raise ValueError("these rewards contradict each other: no goal explains them all.")
    return possible / possible.sum(axis=-1, keepdims=True)


def posterior_sampling(grid: HiddenGoal, episodes: int, hold: bool = False) -> np.ndarray:
    """The exact expected reward of each episode, [episodes], of an agent that goes where it guesses the goal.

    A guess is drawn from the belief and gone to on a shortest path: while two moves are good, a fair coin
    chooses. With hold=False a new guess is drawn as soon as the old one is ruled out, and a goal found is
    stayed on. With hold=True (as PEARL does) the one guess is held for the whole episode, even when it is
    ruled out or the goal was passed.

    Exact: the probabilities of all (cell, guess, cells visited) are pushed forward. On the 5×5 grid the first
    episode takes seconds; further ones with hold=False, some 15 s and 1 GB of memory each.
    """
    episodes, G = _count("episodes", episodes), len(grid.goals)
    if G > 21 or grid.side > 5:
        raise ValueError(
            f"{G} goals on a side of {grid.side}: posterior sampling is worked through for at most 21 on 5."
        )
    at_once = np.maximum(grid.horizon + 1 - grid.distance, 0)
    seen, chance, rewards = np.zeros(1, np.int32), np.ones(1), np.zeros(episodes)
    for e in range(episodes):
        on = chance @ (_bits(seen, G) @ at_once)  # found before: straight to it
        more, seen, chance = _guessing_episode(grid, seen, chance, hold)
        rewards[e] = OFF * grid.horizon + (ON - OFF) * (on + more) / G
    return rewards


def _guessing_episode(grid: HiddenGoal, seen: np.ndarray, chance: np.ndarray, hold: bool):
    """One episode of guessing, from the goals seen before it, and their probabilities.

    Returns the steps on the goal, summed over all goals it may turn out to be, and the same for after.
    A held guess pays while it is stayed on; other goals passed on the way pay one step each.
    """
    G, H, flip = len(grid.goals), grid.horizon, _transposition(grid)
    which = np.full(grid.side**2, -1, np.int32)
    which[list(grid.goals)] = np.arange(G)
    cell, guess, on = np.zeros(len(seen), np.int32), np.full(len(seen), -1, np.int32), 0.0
    arrived = []  # with nothing left to do this episode: (seen, chance)
    for t in range(1, H + 1):
        cell, guess, seen, chance = _draw_guesses(G, cell, guess, seen, chance, arrived)
        cell, guess, seen, chance = _walk(grid, cell, guess, seen, chance)
        here = which[cell]
        fresh = (here >= 0) & (seen >> np.maximum(here, 0) & 1 == 0)
        worth = np.where(here == guess, H + 1 - t, 1) if hold else H + 1 - t
        on += (chance * fresh * worth).sum()
        seen = np.where(fresh, seen | 1 << np.maximum(here, 0), seen)
        stop = (here == guess) if hold else np.zeros(len(seen), bool)
        arrived.append((seen[stop], chance[stop]))
        ruled_out = (seen >> guess & 1 == 1) & (not hold)
        guess = np.where(ruled_out, -1, guess)
        cell, guess, seen, chance = _merge(flip, *(x[~stop] for x in (cell, guess, seen, chance)))
    arrived.append((seen, chance))
    seen, chance = (np.concatenate(x) for x in zip(*arrived, strict=True))
    _, _, seen, chance = _merge(flip, np.zeros_like(seen), np.full(len(seen), -1), seen, chance)
    return on, seen, chance


def _draw_guesses(G: int, cell, guess, seen, chance, arrived: list):
    """Where there is no guess (−1): any goal not seen, equally likely; nothing is left once all are."""
    need, done = guess < 0, seen == 2**G - 1
    arrived.append((seen[done], chance[done]))
    open_ = np.flatnonzero(need & ~done)
    free = ~_bits(seen[open_], G)
    row, drawn = (x.astype(np.int32) for x in np.nonzero(free))
    share = chance[open_][row] / free.sum(axis=1)[row]
    keep, row = np.flatnonzero(~need & ~done), open_[row]
    both = [(cell[keep], cell[row]), (guess[keep], drawn), (seen[keep], seen[row]), (chance[keep], share)]
    return [np.concatenate(pair) for pair in both]


def _walk(grid: HiddenGoal, cell, guess, seen, chance):
    """One step towards the guess; where a row and a column step are both good, half the chance to each."""
    side, goal = grid.side, np.array(grid.goals, np.int32)[guess]
    down, right = np.sign(goal // side - cell // side), np.sign(goal % side - cell % side)
    share = np.where((down != 0) & (right != 0), chance / 2, chance)
    v, h = np.flatnonzero(down), np.flatnonzero(right)
    i = np.concatenate([v, h])
    after = np.concatenate([(cell + side * down)[v], (cell + right)[h]])
    return after, guess[i], seen[i], share[i]


def _merge(flip, cell, guess, seen, chance):
    """Equal states, and their mirror images, added up."""
    cells, goals, low, high = flip
    mirrored = low[seen % PARTS] | high[seen // PARTS]
    code = _code(cell, guess + 1, seen)
    code = np.minimum(code, _code(cells[cell], goals[guess + 1], mirrored))
    if not len(code):
        return cell, guess, seen, chance
    order = np.argsort(code)
    code = code[order]
    first = np.flatnonzero(np.append(True, code[1:] != code[:-1]))
    chance, code = np.add.reduceat(chance[order], first), code[first].astype(np.int32)
    return code >> 5 & 31, (code & 31) - 1, code >> 10, chance


def _code(cell, guess, seen) -> np.ndarray:
    return (seen << 10 | cell << 5 | guess).astype(np.uint32)  # 21 + 5 + 5 bits


def _transposition(grid: HiddenGoal):
    """The mirror image of each cell, of each guess + 1, and of the two parts of a set of goals.

    If the goals are no mirror image of themselves, everything is its own image.
    """
    G, cells = len(grid.goals), np.arange(grid.side**2, dtype=np.int32)
    mirror = cells % grid.side * grid.side + cells // grid.side
    if {mirror[g] for g in grid.goals} != set(grid.goals):
        mirror = cells
    to = np.array([grid.goals.index(mirror[g]) for g in grid.goals], np.int32)
    part = _bits(np.arange(PARTS), 11)
    low = sum(part[:, i].astype(np.int32) << to[i] for i in range(min(G, 11)))
    high = sum((part[:, i - 11].astype(np.int32) << to[i] for i in range(11, G)), np.zeros(PARTS, np.int32))
    return mirror, np.append(np.int32(0), to + 1), low, high


def _bits(sets: np.ndarray, G: int) -> np.ndarray:
    """Which goals are in each set, [..., G] bool."""
    return (sets[:, None] >> np.arange(G) & 1).astype(bool)


def _action(grid: HiddenGoal, a: int, b: int) -> int:
    """The move from a to b, which is its neighbour or itself."""
    step = (b // grid.side - a // grid.side, b % grid.side - a % grid.side)
    return STAY if a == b else MOVES.index(step)


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} is {value!r}: it must be a whole number from 1.")
    return int(value)
