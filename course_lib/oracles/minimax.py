"""Small two-player games solved exactly: what a search is measured against."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Solved:
    """What is known of a solved position, for players who make no mistakes.

    value   who wins, +1, −1, or 0 for a draw, as `.winner` says it
    values  the value after each of `state.actions()`, in that order, said in the same way; empty at the end
    best    the actions that keep the value, a tuple; empty at the end
    """

    value: int
    values: tuple = ()
    best: tuple = ()


def minimax(state) -> dict:
    """Every position that can be reached from this one → its `Solved` (von Neumann 1928; Shannon 1950).

    V(s) is the winner at the end; before, the largest V(s') over all moves for +1, the smallest for −1.
    Positions reached on several ways are solved once. For games that fit in memory: tic-tac-toe has 5,478.
    """
    solved = {}
    _solve(state, solved)
    return solved


def random_value(state) -> float:
    """The mean of `.winner` over endlessly many games that both players finish at random, from here, exactly.

    For games that fit in memory: every position is averaged once.
    """
    return _mean(state, {})


def _solve(state, solved: dict) -> int:
    if state not in solved:
        solved[state] = Solved(state.winner) if state.winner is not None else _best(state, solved)
    return solved[state].value


def _best(state, solved: dict) -> Solved:
    actions = state.actions()
    values = tuple(_solve(state.play(a), solved) for a in actions)
    value = max(values) if state.to_play == 1 else min(values)
    return Solved(value, values, tuple(a for a, v in zip(actions, values, strict=True) if v == value))


def _mean(state, known: dict) -> float:
    if state not in known:
        after = [_mean(state.play(a), known) for a in state.actions()] if state.winner is None else []
        known[state] = sum(after) / len(after) if after else float(state.winner)
    return known[state]
