"""Small worlds made to show one thing about learning (Sutton & Barto 2018, ch. 5, 6 and 8)."""

from numbers import Integral

import numpy as np

from course_lib.worlds.grids import gridworld
from course_lib.worlds.mdp import MDP

DYNA_MAZE = """
.......#G
..#....#.
S.#....#.
..#......
.....#...
.........
"""


def dyna_maze() -> MDP:
    """The maze of Example 8.1, γ = .95: [S, A] = 47 × 4; the goal pays 1. The best way takes 14 steps."""
    return gridworld(DYNA_MAZE, gamma=0.95)


def maximisation_bias(arms: int = 10, mean: float = -0.1) -> tuple[MDP, np.ndarray, np.ndarray]:
    """The world of Example 6.7, γ = 1: (mdp, sd [S, A], actions [S, A]), with S = 3 and A = arms.

    From state 0 action 1 goes right, which ends and pays 0; action 0 goes left, to state 1, and pays 0.
    There each arm ends the episode and pays `mean` on average, with standard deviation 1:
    `reward=gaussian(mdp, sd)`. State 2 is terminal. State 0 offers two actions only: `actions=actions`.
    Known: right is better, so an ε-greedy agent that knows goes left in a share ε/2 of its episodes.
    ValueError for fewer than two arms.
    """
    if not isinstance(arms, Integral) or arms < 2:
        raise ValueError(f"arms is {arms!r}: it must be a whole number from 2.")
    P, R = np.zeros((3, arms, 3)), np.zeros((3, arms))
    P[:, :, 2] = 1.0
    P[0, 0] = 0.0, 1.0, 0.0
    R[1] = mean
    sd, actions = np.zeros((3, arms)), np.ones((3, arms), bool)
    sd[1], actions[0, 2:] = 1.0, False
    return MDP(P, R, 1.0, start=[1, 0, 0], terminal=[False, False, True]), sd, actions


def infinite_variance() -> tuple[MDP, np.ndarray]:
    """The world of Example 5.5, γ = 1: (mdp, pays [S]), with S = 3, A = 2.

    In state 0 action 1 (right) ends and pays 0; action 0 (left) stays with probability .9, else it ends and
    pays 1. States 1 and 2 are the ends, which pay `pays` = 0 and 1 on arrival: `reward=on_arrival(mdp,
    pays)`. Known: "always left" is worth 1; ordinary importance sampling from the uniform policy is
    unbiased, with infinite variance.
    """
    P = np.zeros((3, 2, 3))
    P[0] = [0.9, 0.0, 0.1], [0.0, 1.0, 0.0]
    P[1, :, 1] = P[2, :, 2] = 1.0
    R = np.array([[0.1, 0.0], [0.0, 0.0], [0.0, 0.0]])
    return MDP(P, R, 1.0, start=[1, 0, 0], terminal=[False, True, True]), np.array([0.0, 0.0, 1.0])
