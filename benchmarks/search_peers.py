"""The peers of search.py, in their own environment: OpenSpiel's bots (UCT, one random roll-out).

Reads one request a line, a list in JSON, and answers each with one line of JSON:
    ["speed", game, bot, simulations]              CPU seconds of one search of the empty board
    ["moves", game, bot, simulations, positions]   a move in every position, given by the moves before
where game is "tic_tac_toe" or "connect_four", and bot is one of BOTS.
"""

import json
import sys
import time
from itertools import count

import numpy as np
import pyspiel
from open_spiel.python.algorithms import mcts

C = 1.4
SEED = count()


def python_bot(game, simulations, solve):
    rng = np.random.RandomState(next(SEED))
    return mcts.MCTSBot(game, C, simulations, mcts.RandomRolloutEvaluator(1, rng), solve, rng)


def cpp_bot(game, simulations, solve):
    roll_out, memory_mb = pyspiel.RandomRolloutEvaluator(1, next(SEED)), 1000
    return pyspiel.MCTSBot(game, roll_out, C, simulations, memory_mb, solve, next(SEED), False)


BOTS = {
    "Python": lambda *x: python_bot(*x, False),
    "Python, solver": lambda *x: python_bot(*x, True),  # marks proven nodes; nothing that UCT itself does
    "C++": lambda *x: cpp_bot(*x, False),
    "C++, solver": lambda *x: cpp_bot(*x, True),
}


def speed(game, bot, simulations):
    bot, state = BOTS[bot](game, simulations), game.new_initial_state()
    began = time.process_time()
    bot.mcts_search(state)
    return time.process_time() - began


def moves(game, bot, simulations, positions):
    bot = BOTS[bot](game, simulations)
    return [bot.step(after(game, played)) for played in positions]


def after(game, played):
    state = game.new_initial_state()
    for a in played:
        state.apply_action(a)
    return state


for line in sys.stdin:
    what, game, *rest = json.loads(line)
    print(json.dumps({"speed": speed, "moves": moves}[what](pyspiel.load_game(game), *rest)), flush=True)
