"""Two-player board games as immutable states: what a tree search needs to know about a game, and no more.

A game state answers four questions. `.actions()`: what may be played, a tuple, empty once the game is over.
`.play(a)`: the state after that. `.winner`: None while the game is open, then +1, −1 or 0 for a draw.
`.to_play`: whose turn it is, +1 for the player who began and −1 for the other. Any class with these four can
be searched; a fifth, `.playout(coin)`, plays to the end at random and saves time where there is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Tic-tac-toe. Square 3·row + column is that bit of an int, so a player's stones are one number below 512.

LINES = (0b111, 0b111000, 0b111000000, 0b001001001, 0b010010010, 0b100100100, 0b100010001, 0b001010100)
HAS_LINE = tuple(any(stones & line == line for line in LINES) for stones in range(512))
FREE = tuple(tuple(a for a in range(9) if not taken >> a & 1) for taken in range(512))


@dataclass(frozen=True, slots=True)
class TicTacToe:
    """A position of tic-tac-toe: three in a row on a 3×3 board wins.

    mine     the stones of the player to move: bit a is set if square a holds one, a = 3·row + column
    theirs   the stones of the opponent
    to_play  +1 if the player who began is to move, else −1

    `TicTacToe()` is the empty board; `TicTacToe.after([4, 0])` plays some moves. An action is a square, 0 to 8.
    """

    mine: int = 0
    theirs: int = 0
    to_play: int = 1

    @classmethod
    def after(cls, moves: Sequence[int]) -> "TicTacToe":
        """The position after these moves from the empty board; ValueError at the first that is not possible."""
        return _after(cls(), moves)

    @property
    def winner(self) -> int | None:
        """+1 or −1 for the player with three in a row, 0 for a full board without, None while the game is open."""
        if HAS_LINE[self.theirs]:  # only who moved last can have made a line
            return -self.to_play
        return None if self.mine | self.theirs != 511 else 0

    def actions(self) -> tuple[int, ...]:
        """The free squares in order; none once the game is over."""
        return () if HAS_LINE[self.theirs] else FREE[self.mine | self.theirs]

    def play(self, a: int) -> "TicTacToe":
        """The position after the player to move takes square a; ValueError if that is not possible."""
        if a not in self.actions():
            raise ValueError(f"square {a!r} cannot be played: possible are {self.actions()} in\n{self}")
        return TicTacToe(self.theirs, self.mine | 1 << a, -self.to_play)

    def playout(self, coin) -> int:
        """The winner (+1, −1 or 0) after uniformly random moves to the end; coin is a `random.Random`."""
        mine, theirs, mover = self.mine, self.theirs, self.to_play
        while not HAS_LINE[theirs]:
            free = FREE[mine | theirs]
            if not free:
                return 0
            mine, theirs, mover = theirs, mine | 1 << free[int(coin.random() * len(free))], -mover
        return -mover

    @property
    def board(self) -> np.ndarray:
        """The stones as numbers, [3, 3]: +1 of who began, −1 of the other, 0 free; row 0 on top."""
        return self.to_play * (_bits(self.mine, range(9)) - _bits(self.theirs, range(9))).reshape(3, 3)

    def __str__(self) -> str:
        return _drawn(self.board)


# Connect Four. Cell (column, height) is bit 7·column + height. Six cells a column are used; the seventh bit stays
# 0, so that a line cannot run over the top into the next column, and one addition finds where a stone lands.

COLUMNS, HEIGHT = 7, 6
FLOOR = tuple(1 << 7 * c for c in range(COLUMNS))
COLUMN = tuple((1 << HEIGHT) - 1 << 7 * c for c in range(COLUMNS))
FULL = sum(COLUMN)
CELLS = tuple(7 * c + h for h in reversed(range(HEIGHT)) for c in range(COLUMNS))  # as one reads: top row first


def four(stones):
    """The first cell of each four in a row, as bits: 0 if there is none. An int, or a uint64 array of any shape.

    Two neighbours are a cell and the same board shifted by one step; two such pairs, two steps apart, are four.
    """
    up, flat, rise, fall = (stones & stones >> step for step in (1, 7, 8, 6))
    return up & up >> 2 | flat & flat >> 14 | rise & rise >> 16 | fall & fall >> 12


@dataclass(frozen=True, slots=True)
class ConnectFour:
    """A position of Connect Four: seven columns of six; stones fall; four in a row wins.

    mine     the stones of the player to move: bit 7·column + height, heights 0 (floor) to 5
    theirs   the stones of the opponent
    to_play  +1 if the player who began is to move, else −1

    `ConnectFour()` is the empty board; `ConnectFour.after([3, 3, 2])` plays some moves. An action is a column.
    """

    mine: int = 0
    theirs: int = 0
    to_play: int = 1

    @classmethod
    def after(cls, moves: Sequence[int]) -> "ConnectFour":
        """The position after these moves from the empty board; ValueError at the first that is not possible."""
        return _after(cls(), moves)

    @property
    def winner(self) -> int | None:
        """+1 or −1 for the player with four in a row, 0 for a full board without, None while the game is open."""
        if four(self.theirs):
            return -self.to_play
        return None if self.mine | self.theirs != FULL else 0

    def actions(self) -> tuple[int, ...]:
        """The columns with room, in order; none once the game is over."""
        if four(self.theirs):
            return ()
        taken = self.mine | self.theirs
        return tuple(c for c, column in enumerate(COLUMN) if taken & column != column)

    def play(self, a: int) -> "ConnectFour":
        """The position after the player to move drops a stone into column a; ValueError if that is not possible."""
        if a not in self.actions():
            raise ValueError(f"column {a!r} cannot be played: possible are {self.actions()} in\n{self}")
        taken = self.mine | self.theirs
        return ConnectFour(self.theirs, self.mine | taken + FLOOR[a] & COLUMN[a], -self.to_play)

    def playout(self, coin) -> int:
        """The winner (+1, −1 or 0) after uniformly random moves to the end; coin is a `random.Random`."""
        mine, theirs, mover = self.mine, self.theirs, self.to_play
        taken = mine | theirs
        won = four(theirs)
        while not won and taken != FULL:
            c = int(coin.random() * COLUMNS)
            stone = taken + FLOOR[c] & COLUMN[c]
            if stone:  # a full column has no room: draw again
                taken |= stone
                mine, theirs, mover = theirs, mine | stone, -mover
                won = four(theirs)
        return -mover if won else 0

    @property
    def board(self) -> np.ndarray:
        """The stones as numbers, [6, 7]: +1 of who began, −1 of the other, 0 free; the floor is row 5."""
        return self.to_play * (_bits(self.mine, CELLS) - _bits(self.theirs, CELLS)).reshape(HEIGHT, COLUMNS)

    def __str__(self) -> str:
        return _drawn(self.board)
