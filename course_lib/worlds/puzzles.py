"""Two small decision processes that a tree search is tried on: one turn of Pig, and a long bluff."""

from numbers import Integral

import numpy as np

from course_lib.worlds.mdp import MDP


def pig() -> MDP:
    """One turn of the dice game Pig (Neller & Presser 2004): points are what you hold when you stop.

    States 0 to 25 are the sum held so far, state 26 is the end. Action 0 stops, for the sum. Action 1 rolls
    a die: a 1 ends the turn with nothing, another face is added. From 20 on, both actions stop. γ = 1.
    """
    end = 26
    P, R = np.zeros((27, 2, 27)), np.zeros((27, 2))
    P[:, 0, end], R[:end, 0] = 1, range(end)
    for held in range(20):
        P[held, 1, [end, *range(held + 2, held + 7)]] = 1 / 6
    P[20:, 1], R[20:, 1] = P[20:, 0], R[20:, 0]
    return MDP(P, R, 1.0, terminal=np.arange(27) == end)


def bluff(D: int, gamma: float = 1.0) -> MDP:
    """D steps at which to stop (action 0), for (D − 1 − step) / D, or to go on; to the very end, that pays 1.

    At γ = 1 going on is always right, and looks wrong until the end is in sight (after Coquelin & Munos
    2007). States are the steps 0 to D − 1, and D is the end. ValueError for a D that is no whole number from
    1.
    """
    if isinstance(D, bool) or not isinstance(D, Integral) or D < 1:
        raise ValueError(f"D is {D!r}: it must be a whole number of steps, from 1.")
    P, R, step = np.zeros((D + 1, 2, D + 1)), np.zeros((D + 1, 2)), np.arange(D)
    P[:, 0, D] = P[D, 1, D] = 1
    P[step, 1, step + 1] = 1
    R[:D, 0], R[D - 1, 1] = (D - 1 - step) / D, 1
    return MDP(P, R, gamma, terminal=np.arange(D + 1) == D)
