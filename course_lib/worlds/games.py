"""Games as immutable states: what a tree search needs to know, and no more.

A game state answers four questions. `.actions()`: what may be played, a tuple, empty once the game is over.
`.play(a)`: the state after that. `.winner`: None while the game is open, then +1, −1, or 0 for a draw.
`.to_play`: whose turn it is, +1 for the player who began and −1 for the other. Any class with these four can
be searched; a fifth, `.playout(coin)`, plays to the end at random and saves time where there is one.
Where the world draws, `.play(a)` gives a chance state instead: see `MDPChance`.
"""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral
from random import Random
from typing import ClassVar

import numpy as np

from course_lib.worlds.mdp import MDP, ends

# Tic-tac-toe. Square 3·row + column is that bit of an int, so a player's stones are one number below 512.

SQUARES = range(9)
LINES = (0b111, 0b111000, 0b111000000, 0b001001001, 0b010010010, 0b100100100, 0b100010001, 0b001010100)
HAS_LINE = tuple(any(stones & line == line for line in LINES) for stones in range(512))
FREE = tuple(tuple(a for a in SQUARES if not taken >> a & 1) for taken in range(512))


@dataclass(frozen=True, slots=True)
class TicTacToe:
    """A position of tic-tac-toe: three in a row on a 3×3 board wins.

    mine     the stones of the player to move: bit a is set if square a holds one, a = 3·row + column
    theirs   the stones of the opponent
    to_play  +1 if the player who began is to move, else −1

    `TicTacToe()` is the empty board, `TicTacToe.after([4, 0])` plays some moves. An action is a square.
    """

    mine: int = 0
    theirs: int = 0
    to_play: int = 1

    @classmethod
    def after(cls, moves: Sequence[int]) -> "TicTacToe":
        """The position after these moves from the empty board; ValueError at the first that is impossible."""
        return _after(cls(), moves)

    @property
    def winner(self) -> int | None:
        """+1 or −1 for the player with three in a row, 0 for a full board without; None while it is open."""
        if HAS_LINE[self.theirs]:  # only who moved last can have made a line
            return -self.to_play
        return None if self.mine | self.theirs != 511 else 0

    def actions(self) -> tuple[int, ...]:
        """The free squares in order; none once the game is over."""
        return () if HAS_LINE[self.theirs] else FREE[self.mine | self.theirs]

    def play(self, a: int) -> "TicTacToe":
        """The position after the player to move takes square a; ValueError if impossible."""
        if a not in self.actions():
            raise ValueError(f"square {a!r} cannot be played: possible are {self.actions()} in\n{self}")
        return TicTacToe(self.theirs, self.mine | 1 << a, -self.to_play)

    def playout(self, coin) -> int:
        """The winner (+1, −1 or 0) after uniformly random moves to the end; coin is a `random.Random`."""
        mine, theirs, mover, draw = self.mine, self.theirs, self.to_play, coin.random
        while not HAS_LINE[theirs]:
            free = FREE[mine | theirs]
            if not free:
                return 0
            mine, theirs, mover = theirs, mine | 1 << free[int(draw() * len(free))], -mover
        return -mover

    @property
    def board(self) -> np.ndarray:
        """The stones as numbers, [3, 3]: +1 of who began, −1 of the other, 0 free; row 0 on top."""
        return self.to_play * (_bits(self.mine, SQUARES) - _bits(self.theirs, SQUARES)).reshape(3, 3)

    def __str__(self) -> str:
        return _drawn(self.board)


# Connect Four. Cell (column, height) is bit 7·column + height. Six cells a column are used; the seventh bit
# stays 0, so that no line runs over the top into the next column, and an addition finds where a stone lands.

COLUMNS, HEIGHT = 7, 6
FLOOR = tuple(1 << 7 * c for c in range(COLUMNS))
COLUMN = tuple((1 << HEIGHT) - 1 << 7 * c for c in range(COLUMNS))
FULL = sum(COLUMN)
TOP = FULL & ~(FULL >> 1)  # the highest cell of each column
GATHER = sum(1 << 6 * c for c in range(COLUMNS))
OPEN = tuple(tuple(c for c in range(COLUMNS) if not full >> c & 1) for full in range(128))
CELLS = tuple(
    7 * c + h for h in reversed(range(HEIGHT)) for c in range(COLUMNS)
)  # as one reads, top row first


def four(stones):
    """The first cell of each four in a row, as bits; 0 if there is none. An int, or a uint64 array.

    A board and the same board shifted by one step show where two stones are neighbours; two such pairs, two
    steps apart, are four in a row.
    """
    up, flat = stones & stones >> 1, stones & stones >> 7
    rise, fall = stones & stones >> 8, stones & stones >> 6
    return up & up >> 2 | flat & flat >> 14 | rise & rise >> 16 | fall & fall >> 12


def full_columns(taken):
    """Which columns are full, as 7 bits: bit c for column c. An int, or a uint64 array.

    The product brings the top cells, which lie 7 bits apart, side by side, to bits 41 to 47.
    """
    return (taken & TOP) * GATHER >> 41 & 127


@dataclass(frozen=True, slots=True)
class ConnectFour:
    """A position of Connect Four: seven columns of six; stones fall; four in a row wins.

    mine     the stones of the player to move: bit 7·column + height, heights 0 (floor) to 5
    theirs   the stones of the opponent
    to_play  +1 if the player who began is to move, else −1

    `ConnectFour()` is the empty board, `ConnectFour.after([3, 3])` plays some moves. An action is a column.
    """

    mine: int = 0
    theirs: int = 0
    to_play: int = 1

    @classmethod
    def after(cls, moves: Sequence[int]) -> "ConnectFour":
        """The position after these moves from the empty board; ValueError at the first that is impossible."""
        return _after(cls(), moves)

    @property
    def winner(self) -> int | None:
        """+1 or −1 for the player with four in a row, 0 for a full board without; None while it is open."""
        if four(self.theirs):
            return -self.to_play
        return None if self.mine | self.theirs != FULL else 0

    def actions(self) -> tuple[int, ...]:
        """The columns with room, in order; none once the game is over."""
        return () if four(self.theirs) else OPEN[full_columns(self.mine | self.theirs)]

    def play(self, a: int) -> "ConnectFour":
        """The position after the player to move drops a stone into column a; ValueError if impossible."""
        stone = (self.mine | self.theirs) + FLOOR[a] & COLUMN[a] if a in range(COLUMNS) else 0
        if not stone or four(self.theirs):
            raise ValueError(f"column {a!r} cannot be played: possible are {self.actions()} in\n{self}")
        return ConnectFour(self.theirs, self.mine | stone, -self.to_play)

    def playout(self, coin) -> int:
        """The winner (+1, −1 or 0) after uniformly random moves to the end; coin is a `random.Random`."""
        mine, theirs, mover, draw = self.mine, self.theirs, self.to_play, coin.random
        taken, won = mine | theirs, four(theirs)
        while not won and taken != FULL:
            c = int(draw() * COLUMNS)
            stone = taken + FLOOR[c] & COLUMN[c]
            if stone:  # a full column has no room: draw again
                taken |= stone
                mine, theirs, mover = theirs, mine | stone, -mover
                won = four(theirs)
        return -mover if won else 0

    @property
    def board(self) -> np.ndarray:
        """The stones as numbers, [6, 7]: +1 of who began, −1 of the other, 0 free; row 0 on top."""
        return self.to_play * (_bits(self.mine, CELLS) - _bits(self.theirs, CELLS)).reshape(HEIGHT, COLUMNS)

    def __str__(self) -> str:
        return _drawn(self.board)


# Many positions at once: the same bits, in arrays of uint64.

FLOORS, COLUMN_CELLS = np.array(FLOOR, np.uint64), np.array(COLUMN, np.uint64)
DRAWS = 420  # lcm(1, …, 7): a uniform draw below it is uniform modulo any number of open columns
DRAWN_FLOOR = np.array([FLOOR[o[r % len(o)]] if o else 0 for o in OPEN for r in range(DRAWS)], np.uint64)


@dataclass(frozen=True, eq=False)
class ConnectFours:
    """T positions of Connect Four, each as `ConnectFour` holds it. The arrays are copied and read-only.

    mine     the stones of the player to move, [T] uint64
    theirs   the stones of the opponent, [T] uint64
    to_play  +1 where the player who began is to move, else −1, [T] int8

    `ConnectFours.of(states)` packs a sequence of `ConnectFour`, `positions[i]` unpacks one. ValueError for
    arrays that are not [T].
    """

    mine: np.ndarray
    theirs: np.ndarray
    to_play: np.ndarray

    def __post_init__(self):
        for name, kind in (("mine", np.uint64), ("theirs", np.uint64), ("to_play", np.int8)):
            values = np.array(getattr(self, name), dtype=kind)
            if values.ndim != 1 or len(values) != len(self.mine):
                raise ValueError(f"{name} has shape {values.shape}: give one number a position, [T].")
            values.setflags(write=False)
            object.__setattr__(self, name, values)

    @classmethod
    def of(cls, states: Sequence[ConnectFour]) -> "ConnectFours":
        """A sequence of single positions as one array of them."""
        return cls(*([getattr(s, name) for s in states] for name in ("mine", "theirs", "to_play")))

    def __len__(self) -> int:
        return len(self.mine)

    def __getitem__(self, i: int) -> ConnectFour:
        return ConnectFour(int(self.mine[i]), int(self.theirs[i]), int(self.to_play[i]))

    @property
    def open(self) -> np.ndarray:
        """Which columns have room, [T, 7] bool, whether or not the game is over."""
        return ((self.mine | self.theirs)[:, None] & COLUMN_CELLS) != COLUMN_CELLS

    @property
    def over(self) -> np.ndarray:
        """Which games have ended, [T] bool."""
        return (four(self.theirs) != 0) | (self.mine | self.theirs == FULL)

    @property
    def winner(self) -> np.ndarray:
        """+1 or −1 where that player has four in a row, else 0 (a draw if `over`), [T] int8."""
        return -self.to_play * (four(self.theirs) != 0)

    def play(self, columns: np.ndarray) -> "ConnectFours":
        """The positions after one stone in each, columns [T]; ValueError if one is impossible."""
        columns = np.asarray(columns)
        if columns.shape != (len(self),) or not np.isin(columns, range(COLUMNS)).all():
            raise ValueError(f"columns has shape {columns.shape}: give {len(self)} numbers from 0 to 6.")
        stones = landing(self.mine | self.theirs, columns)
        bad = np.flatnonzero(self.over | (stones == 0))
        if len(bad):
            i = bad[0]
            raise ValueError(f"position {i}: column {columns[i]} cannot be played in\n{self[i]}")
        return ConnectFours(self.theirs, self.mine | stones, -self.to_play)

    def playout(self, rng: np.random.Generator) -> np.ndarray:
        """The winners (+1, −1 or 0), [T] int8, after uniformly random moves to the end."""
        boards = random_fill(self.mine, self.theirs, rng)
        mine, theirs = first_four(boards)
        won = (mine <= theirs) & (
            mine < len(boards)
        )  # in a round in which both would, who moves first has won
        return self.to_play * (won.astype(np.int8) - (theirs < mine))


def landing(taken: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Where stones land, as bits, [T] uint64: 0 in a full column. taken [T] uint64, columns [T]."""
    return taken + FLOORS[columns] & COLUMN_CELLS[columns]


def random_fill(mine: np.ndarray, theirs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Boards that fill up at random, [J, 2, T]: the stones of (mover, opponent) after j moves of each.

    Every move is uniform over the columns with room, and nobody stops at four in a row: see `first_four`.
    """
    taken = mine | theirs
    rounds = int(HEIGHT * COLUMNS + 1 - np.bitwise_count(taken).min(initial=HEIGHT * COLUMNS)) // 2
    draws = rng.integers(DRAWS, size=(rounds, 2, len(taken)))
    boards = np.empty((rounds + 1, 2, len(taken)), np.uint64)
    boards[0] = mine, theirs
    for j in range(rounds):
        for player in (0, 1):
            floor = DRAWN_FLOOR.take(full_columns(taken).view(np.int64) * DRAWS + draws[j, player])
            stone_and_taken = taken | taken + floor
            boards[j + 1, player] = stone_and_taken ^ taken
            taken = stone_and_taken
    return np.bitwise_or.accumulate(boards, axis=0)


def first_four(boards: np.ndarray) -> np.ndarray:
    """The first j at which boards[j] has four in a row, J if there is none. boards [J, ...] uint64 → [...].

    Stones are only added, so a line once made stays, and bisection finds the first: 5 looks instead of 22.
    """
    J, shape = len(boards), boards.shape[1:]
    boards = boards.reshape(J, -1)
    first, games = np.zeros(boards.shape[1], int), np.arange(boards.shape[1])
    for power in reversed(range(J.bit_length())):
        j = first + (1 << power)  # have the first j boards no line?
        none_yet = four(boards[np.minimum(j, J) - 1, games]) == 0
        first = np.where(none_yet & (j <= J), j, first)
    return first.reshape(shape)


# A decision process as a game for one


@dataclass(frozen=True, slots=True)
class MDPState:
    """State s of a finite MDP, to be searched by `mcts`: decision node → chance node → next state → …

    mdp    the world; rewards R(s, a) are those of one player, and its gamma discounts them
    s      the state's number
    steps  how many steps are left: afterwards nothing counts. None: until a terminal state is reached

    With `steps`, the value that a search approaches is V_steps of value iteration; with None it is V*.
    ValueError for a state that is not there, and for None where random play may never end.
    """

    mdp: MDP
    s: int
    steps: int | None = None
    _rows: dict = field(default=None, repr=False, compare=False)  # looked up in P, for all states that follow
    to_play: ClassVar[int] = 1

    def __post_init__(self):
        if self._rows is not None:
            return
        object.__setattr__(self, "_rows", {})
        if not isinstance(self.s, Integral) or not 0 <= self.s < self.mdp.S:
            raise ValueError(f"s is {self.s!r}: states are the whole numbers 0 to {self.mdp.S - 1}.")
        if self.steps is None:
            if not ends(self.mdp, np.full((self.mdp.S, self.mdp.A), 1 / self.mdp.A))[self.s]:
                raise ValueError(f"from state {self.s} random play may never end: give `steps`, how many.")
        elif not isinstance(self.steps, Integral) or self.steps < 0:
            raise ValueError(f"steps is {self.steps!r}: it must be a whole number from 0, or None.")

    @property
    def winner(self) -> float | None:
        """0 once nothing more can be collected, None before."""
        return 0.0 if self.steps == 0 or self.mdp.terminal[self.s] else None

    def actions(self) -> range:
        """The numbers of the actions; none once it is over."""
        return range(self.mdp.A if self.winner is None else 0)

    def play(self, a: int) -> "MDPChance":
        """The chance node after action a."""
        return MDPChance(self, a)


@dataclass(frozen=True, slots=True)
class MDPChance:
    """What follows action a in a state: a reward, then a next state drawn from P(·|s, a)."""

    before: MDPState
    a: int
    to_play: ClassVar[int] = 1
    winner: ClassVar[None] = None

    @property
    def reward(self) -> float:
        """R(s, a), in expectation: the next state does not change it."""
        return float(self.before.mdp.R[self.before.s, self.a])

    @property
    def gamma(self) -> float:
        """The discount of what follows."""
        return self.before.mdp.gamma

    def sample(self, coin: Random) -> MDPState:
        """A next state s' with probability P(s'|s, a)."""
        mdp, s, steps, rows = self.before.mdp, self.before.s, self.before.steps, self.before._rows
        if (s, self.a) not in rows:
            rows[s, self.a] = _next_states(mdp, s, self.a)
        states, up_to = rows[s, self.a]
        s2 = states[bisect(up_to, coin.random())]
        return MDPState(mdp, s2, None if steps is None else steps - 1, rows)


def _after(state, moves: Sequence[int]):
    for a in moves:
        state = state.play(a)
    return state


def _bits(stones: int, cells: Sequence[int]) -> np.ndarray:
    return np.array([stones >> cell & 1 for cell in cells])


def _drawn(board: np.ndarray) -> str:
    return "\n".join(" ".join(".XO"[stone] for stone in row) for row in board)


def _next_states(mdp: MDP, s: int, a: int) -> tuple[list[int], list[float]]:
    """The possible next states, and the probability of each or one before it: the last is 1."""
    row = mdp.P[[a * mdp.S + s]].toarray()[0] if mdp.sparse else mdp.P[s, a]
    states = np.flatnonzero(row)
    return states.tolist(), [*np.cumsum(row[states])[:-1].tolist(), 1.0]
