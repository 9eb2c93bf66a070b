"""Agents that learn to act, as SVG text: one life step by step, what it aims at, learning curves.

Each function draws one frame of a slider: the frame first, then where the sliders stand. The board is the
cliff of Sutton & Barto's Example 6.6; actions are up, right, down, left.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from course_lib.show import boards

CLIFF = """
............
............
............
S##########G"""
LAST = 40  # steps whose TD errors `life` shows


def life(frame: tuple, step: int) -> str:
    """One moment of an agent on the cliff, above the sizes of its last TD errors.

    The frame is (moment, visits [S], td_errors): a moment has table [S, 4], s, a, r and episode, counted from
    0; td_errors are all until now, the newest last. A cell shows its best guess, the greedy arrows, and in
    the corner its visits; the outlined cell is where the agent stood.
    """
    moment, visits, errors = frame
    notes = {s: str(int(n)) for s, n in enumerate(visits[:-1])}
    title = f"step {step}, episode {moment.episode + 1}: {'up right down left'.split()[moment.a]}, "
    title += f"reward {moment.r:.0f}, TD error {boards.number(moment.td_error, 1)}"
    look = dict(limits=(-20, 0), digits=1, notes=notes, marks=[moment.s], title=title)
    board = boards.grid(CLIFF, moment.table.max(axis=1), _best(moment.table), **look)
    recent = np.full(LAST, np.nan)
    recent[LAST - len(errors[-LAST:]) :] = np.abs(errors[-LAST:])
    ago = [f"{-k}" if k % 10 == 0 or k == LAST - 1 else "" for k in reversed(range(LAST))]
    look = dict(xlabel="steps until now", ylabel="|TD error|", ticks=ago, width=612, height=200)
    lines = {"|TD error|": np.maximum(recent, 0.01)}  # the axis ends at 0.01
    return boards.below(board, boards.curve(lines, log=True, limits=(0.01, 200), **look))


def aims(frame: Sequence, epsilon: float) -> str:
    """The best ε-soft policy on the cliff: (V [S], pi [S, 4], its value at S, that of exploring on Q*)."""
    V, pi, soft, edge = frame
    title = f"ε = {epsilon}: best ε-soft {soft:.2f}, exploring on Q* {edge:.2f}"
    return boards.grid(CLIFF, V, pi, limits=(-60, 0), digits=1, title=title)


def curves(frame: tuple[Mapping[str, np.ndarray], float], alpha: float, epsilon: float) -> str:
    """Mean returns by tens of episodes, one line a learner, and the exact level that none beats for long."""
    lines, level = frame
    last = ", ".join(f"{name} {line[len(line) // 2 :].mean():.0f}" for name, line in lines.items())
    look = dict(limits=(-120, 0), xlabel="tens of episodes", ylabel="return", width=640)
    look |= dict(level=level, level_name=f"best ε-soft {level:.2f}")
    return boards.curve(lines, title=f"α = {alpha}, ε = {epsilon}, second half: {last}", **look)


def thoughts(frame: tuple[str, np.ndarray], n: int, episode: int) -> str:
    """A maze (its text map) and a table [S, 4] that starts at 0: arrows only where news has arrived."""
    text_map, table = frame
    best = table.max(axis=1)
    title = f"{n} thoughts a step, after episode {episode}: cells with news {(best > 0).sum()}"
    return boards.grid(text_map, best, _best(table) & (best > 0)[:, None], limits=(0, 1), title=title)


def _best(table: np.ndarray) -> np.ndarray:
    return table >= table.max(axis=1, keepdims=True)
