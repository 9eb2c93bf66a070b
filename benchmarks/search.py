"""How fast and how strong tree search is, beside OpenSpiel's: `python benchmarks/search.py` prints one table.

Speed: simulations per CPU second on one thread, in searches of the empty board with equally many simulations;
ours and theirs take turns, and the table holds medians. Strength, again with equally many simulations: on
tic-tac-toe, the share of all open positions in which the move is minimax-optimal (one position of each of the
627 classes under symmetry, weighted by the size of the class); on Connect Four, our score against that bot, 1
for a win and 0.5 for a draw, with its standard error, each side beginning half of the games: `mcts` plays the
bots in Python, also with as many more simulations as it is faster, and `mcts_many` those in C++. The
peers (peers.txt) live in their own environment, benchmarks/.peers, and run in their own process
(search_peers.py). `--quick` runs small, without peers.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import numpy as np
from planning import peers_python

from course_lib.agents.search import mcts
from course_lib.agents.search_many import mcts_many
from course_lib.oracles.minimax import minimax
from course_lib.worlds.games import ConnectFour, ConnectFours, TicTacToe

HERE = Path(__file__).parent
GAMES = {"tic_tac_toe": TicTacToe, "connect_four": ConnectFour}
BOTS = ("Python", "Python, solver", "C++", "C++, solver")
ONE, MANY = "`mcts`, one tree", "`mcts_many`, {} trees"
GOALS = [  # (our method, their bot, how many times faster ours must be, on which game)
    (ONE, "Python", 7, "tic_tac_toe"),
    (ONE, "Python", 4, "connect_four"),
    (MANY.format(1024), "C++", 1.5, "connect_four"),
]
rng = np.random.default_rng(0)


class Peers:
    """OpenSpiel in its own process: call it with a request, get its answer (see search_peers.py)."""

    def __init__(self):
        python = peers_python()
        if subprocess.run([python, "-c", "import pyspiel"], capture_output=True).returncode:
            pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "-r", HERE / "peers.txt"], check=True)
        command = [python, HERE / "search_peers.py"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, *request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


# Speed


def cpu_seconds(run: Callable) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def speeds(game: str, simulations: int, trees: tuple, turns: int, peers: Peers | None) -> dict[str, float]:
    """Simulations per CPU second of every method, the median over the turns."""
    start = GAMES[game]()
    methods = {ONE: (1, lambda: cpu_seconds(lambda: mcts(start, simulations, rng=rng)))}
    for T in trees if game == "connect_four" else ():
        many = ConnectFours.of([start] * T)
        methods[MANY.format(T)] = (
            T,
            lambda many=many: cpu_seconds(lambda: mcts_many(many, simulations, rng=rng)),
        )
    for bot in BOTS if peers else ():
        methods[bot] = 1, lambda bot=bot: peers("speed", game, bot, simulations)
    times = {name: [] for name in methods}
    for _ in range(turns):
        for name, (T, run) in methods.items():
            times[name] += [run() / T for _ in range(5 if T == 1 else 1)]
    return {name: simulations / median(seconds) for name, seconds in times.items()}


# Strength: a player takes many positions, as lists of moves, and gives one move for each


def our_moves(game: str, simulations: int) -> Callable:
    return lambda positions: [mcts(GAMES[game].after(p), simulations, rng=rng).best for p in positions]


def our_many_moves(simulations: int) -> Callable:
    def play(positions):
        boards = ConnectFours.of([ConnectFour.after(p) for p in positions])
        return mcts_many(boards, simulations, rng=rng).best.tolist()

    return play


def score(ours: Callable, theirs: Callable, games: int) -> str:
    """Our mean score in games of Connect Four, played side by side, ± its standard error."""
    played, points = [[] for _ in range(games)], np.zeros(games)
    states = [ConnectFour() for _ in range(games)]
    while going := [g for g in range(games) if states[g].winner is None]:
        mine = [g for g in going if (states[g].to_play == 1) == (g % 2 == 0)]
        for player, their_turn in ((ours, mine), (theirs, [g for g in going if g not in mine])):
            moves = player([played[g] for g in their_turn]) if their_turn else []
            for g, a in zip(their_turn, moves, strict=True):
                played[g].append(a)
                states[g] = states[g].play(a)
    for g in range(games):
        points[g] = (1 + states[g].winner * (1 if g % 2 == 0 else -1)) / 2
    return f"{points.mean():.2f} ± {points.std(ddof=1) / np.sqrt(games):.2f}"


def optimal_share(player: Callable) -> float:
    """The share of all open positions of tic-tac-toe in which the player's move is minimax-optimal."""
    square, classes, solved = np.arange(9).reshape(3, 3), {}, minimax(TicTacToe())
    turns = [np.rot90(board, k).ravel() for k in range(4) for board in (square, square.T)]
    for state in solved:
        if state.winner is None:
            looks = min(tuple(state.board.ravel()[turn]) for turn in turns)
            classes.setdefault(looks, []).append(state)
    states = [same[0] for same in classes.values()]
    moves = player([some_moves_to(state) for state in states])
    good = [a in solved[state].best for a, state in zip(moves, states, strict=True)]
    return np.average(good, weights=[len(same) for same in classes.values()])


def some_moves_to(state: TicTacToe) -> list[int]:
    """Moves that lead to this open position: it has no line, so any order will do."""
    first, second = (list(np.flatnonzero(state.board.ravel() == who)) for who in (1, -1))
    return [int(side[k // 2]) for k, side in enumerate([first, second] * 5) if k // 2 < len(side)]


# The table


def strengths(peers: Peers | None, speed: dict, simulations: int, games: int) -> dict[str, tuple]:
    """For each method, the tic-tac-toe share and the Connect Four scores, as the table shows them."""
    cells = {ONE: (f"{optimal_share(our_moves('tic_tac_toe', simulations)):.1%}", "", "")}
    for bot in BOTS if peers else ():
        share = optimal_share(partial(peers, "moves", "tic_tac_toe", bot, simulations))
        theirs = partial(peers, "moves", "connect_four", bot, simulations)
        if bot.startswith("C++"):
            even, longer = score(our_many_moves(simulations), theirs, games), ""
        else:
            in_equal_time = int(simulations * speed[ONE] / speed[bot])
            even = score(our_moves("connect_four", simulations), theirs, games)
            longer = score(our_moves("connect_four", in_equal_time), theirs, games // 4)
        cells[bot] = f"{share:.1%}", even, longer
    return cells


def table(found: dict[str, dict], cells: dict, simulations: int, few: int) -> str:
    """Rows: methods. In brackets, how many times faster our one tree is, and for C++ our 1,024."""
    head = [
        f"simulations / s, {simulations} each",
        *found,
        f"optimal at {few}",
        f"we score at {few}",
        "in equal time",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name in sorted(found["connect_four"], key=lambda name: "`" not in name):
        row = [f"**{name}**" if "`" in name else f"OpenSpiel, {name}"]
        for speed in found.values():
            ours = MANY.format(1024) if name.startswith("C++") and MANY.format(1024) in speed else ONE
            ratio = "" if "`" in name else f" ({ours.split(', ')[1]}: {speed[ours] / speed[name]:.2g}×)"
            row.append(f"{speed[name]:,.0f}{ratio}" if name in speed else "")
        lines.append("| " + " | ".join([*row, *cells.get(name, ("", "", ""))]) + " |")
    return "\n".join(lines)


def missed(found: dict[str, dict]) -> list[str]:
    """In words: the goals that these speeds do not reach."""
    return [
        f"{game}: {ours} is {ratio:.2g} times as fast as OpenSpiel's {theirs} bot, the goal is {goal}"
        for ours, theirs, goal, game in GOALS
        if theirs in found[game] and (ratio := found[game][ours] / found[game][theirs]) < goal
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few simulations, no peers")
    quick = parser.parse_args().quick
    peers = None if quick else Peers()
    simulations, few, trees, turns = (100, 50, (64,), 1) if quick else (1000, 200, (64, 1024), 7)
    found = {game: speeds(game, simulations, trees, turns, peers) for game in GAMES}
    cells = strengths(peers, found["connect_four"], few, 200)
    print(table(found, cells, simulations, few))
    if misses := missed(found):
        sys.exit("\n".join(misses))


if __name__ == "__main__":
    main()
