"""The worlds of Sutton & Barto (2018), exactly, with what is known about each.

In the grids actions are up, right, down, left (`grids.UP` … `grids.LEFT`) and labels are (row, column), row 0
at the top.
"""

from collections.abc import Callable
from numbers import Integral

import numpy as np
from scipy.special import pdtr, pdtrc

from course_lib.worlds.grids import STEPS, gridworld
from course_lib.worlds.mdp import MDP
from course_lib.worlds.validate import check_number

CARS = 20  # the most cars that one of Jack's two locations can hold
MOVES = 5  # the most cars that he moves overnight
FORTUNE = 100  # the capital at which the gambler stops
WIND = (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)  # cells that the wind of each column lifts


def example_3_5() -> MDP:
    """The 5×5 grid without end of Examples 3.5 and 3.8, γ = .9: [S, A] = 25 × 4.

    From A = (0, 1) every action leads to (4, 1) and pays 10, from B = (0, 3) to (2, 3) and pays 5. A step off
    the grid stays and pays −1, all others pay 0. Known (S&B Fig. 3.2 and 3.5): the uniform policy is worth
    3.31 8.79 4.43 5.32 1.49 in row 0, the optimum 21.98 24.42 21.98 19.42 17.48.
    """

    def move(cell, action):
        if cell == (0, 1):
            return (4, 1), 10.0
        if cell == (0, 3):
            return (2, 3), 5.0
        to = _step(cell, STEPS[action])
        return (to, 0.0) if _inside(to, 5, 5) else (cell, -1.0)

    return _from_moves(_cells(5, 5), move, gamma=0.9)


def example_4_1() -> MDP:
    """The 4×4 grid of Example 4.1, γ = 1: both corners (0, 0) and (3, 3) end it, every step pays −1.

    [S, A] = 16 × 4. Known (S&B Fig. 4.1): the uniform policy is worth 0 −14 −20 −22 in row 0 and −14 −18 −20
    −20 in row 1; the optimum is minus the number of steps to the nearer corner.
    """
    return gridworld("G...\n....\n....\n...G", step_reward=-1.0, gamma=1.0, rewards={"G": 0.0})


def car_rental() -> MDP:
    """Jack's car rental, Example 4.2, γ = .9, exact: [S, A] = 441 × 11, nothing is terminal.

    State (i, j), its label: i and j cars in the evening at locations 1 and 2, 0 to 20 each. Action a moves
    a − 5 cars overnight from 1 to 2 (a = 5: none), $2 a car. Next day Poisson(3) and Poisson(4) customers ask
    for cars, $10 for each one rented; then Poisson(3) and Poisson(2) cars come back, to be rented from the
    day after. Cars above 20 are taken away. Both caps take the whole tail of their distribution, so nothing
    is truncated. Asked for more cars than it has, a location sends all of them; every car asked for is paid,
    so such an action is never best.
    R is the expected reward. Known (S&B Fig. 4.2): from "never move" (a = 5) policy iteration takes 4
    improvements, and the best policy moves between −4 and 5 cars.
    """
    state = np.indices((CARS + 1, CARS + 1)).reshape(2, -1)
    S, A = state.shape[1], 2 * MOVES + 1
    asked = np.arange(A) - MOVES
    move = np.clip(asked, -state[1][:, None], state[0][:, None])
    morning_1 = np.minimum(state[0][:, None] - move, CARS)
    morning_2 = np.minimum(state[1][:, None] + move, CARS)
    (day_1, rented_1), (day_2, rented_2) = _rental_day(3, 3), _rental_day(4, 2)
    P = day_1[morning_1][..., :, None] * day_2[morning_2][..., None, :]  # the two locations are independent
    R = 10 * (rented_1[morning_1] + rented_2[morning_2]) - 2 * np.abs(asked)
    return MDP(P.reshape(S, A, S), R, gamma=0.9, labels=[(int(i), int(j)) for i, j in state.T])


def _rental_day(requests: float, returns: float) -> tuple[np.ndarray, np.ndarray]:
    """One location: chances of the evening's cars given the morning's [21, 21], expected cars rented [21]."""
    cars = np.arange(CARS + 1)
    rents = np.array([_capped_poisson(requests, at_most=n) for n in cars])  # [morning, rented]
    P = np.zeros((CARS + 1, CARS + 1))
    for morning in cars:
        for rented in range(morning + 1):
            left = morning - rented
            returned = _capped_poisson(returns, at_most=CARS - left)[: CARS + 1 - left]
            P[morning, left:] += rents[morning, rented] * returned
    return P, rents @ cars


def _capped_poisson(mean: float, at_most: int) -> np.ndarray:
    """Chances of min(n, at_most) for a Poisson n, [21]: the whole tail lies on the cap."""
    n = np.arange(CARS + 1)
    chances = np.diff(pdtr(n, mean), prepend=0.0)
    chances[at_most] = pdtrc(at_most - 1, mean) if at_most else 1.0
    return np.where(n <= at_most, chances, 0.0)


def gambler(p_heads: float = 0.4) -> MDP:
    """The gambler's problem, Example 4.3, γ = 1: [S, A] = 101 × 51.

    State s is the capital; 0 and 100 are terminal, and reaching 100 pays 1. Action a stakes a on one toss:
    heads, with chance p_heads, wins it. Nobody can stake more than min(s, 100 − s): a larger a stakes just
    that. Staking 0 changes nothing, so it ties with the best action everywhere. R is expected (p_heads where
    heads reaches 100). Known for p_heads = .4: V(25), V(50), V(75) = .16, .4, .64, and 72 of the 99 capitals
    have several best positive stakes (S&B Fig. 4.3 draws one policy of many). ValueError unless 0 ≤ p_heads ≤
    1.
    """
    check_number("p_heads", p_heads, 0, 1)
    s, a = np.indices((FORTUNE + 1, FORTUNE // 2 + 1))
    stake = np.minimum(a, np.minimum(s, FORTUNE - s))
    P = np.zeros((FORTUNE + 1, FORTUNE // 2 + 1, FORTUNE + 1))
    np.add.at(P, (s, a, s + stake), p_heads)
    np.add.at(P, (s, a, s - stake), 1 - p_heads)
    wins = (s + stake == FORTUNE) & (stake > 0)
    terminal = np.isin(np.arange(FORTUNE + 1), [0, FORTUNE])
    return MDP(P, p_heads * wins, gamma=1.0, terminal=terminal)


def random_walk(n: int = 5, left_reward: float = 0.0) -> MDP:
    """The random walk of Examples 6.2 and 7.1, γ = 1: n states in a row between two ends, [S, A] = n + 2 × 2.

    States 0 and n + 1 are terminal; episodes start in the middle (for even n: on one of the two middle
    states). Actions 0 and 1 step left and right for certain: the *walk* is the policy that picks both equally
    often. Entering n + 1 pays 1, entering 0 pays left_reward (−1 in Example 7.1), all else 0. Known: under
    that policy state i is worth i/(n + 1), plus left_reward·(1 − i/(n + 1)). ValueError unless n is a whole
    number from 1.
    """
    if not isinstance(n, Integral) or n < 1:
        raise ValueError(f"n is {n!r}: the walk needs a whole number of states, at least 1.")
    check_number("left_reward", left_reward)
    pays = {0: left_reward, n + 1: 1.0}

    def move(s, action):
        to = s + (-1, 1)[action]
        return to, pays.get(to, 0.0)

    middle = [(n + 1) // 2, n // 2 + 1]
    return _from_moves(range(n + 2), move, gamma=1.0, actions=2, starts=middle, ends=(0, n + 1))


def windy() -> MDP:
    """The windy gridworld of Example 6.5, γ = 1: 7×10 cells, [S, A] = 70 × 4.

    From (3, 0) to the terminal (3, 7), −1 a step; the wind of the column that is left lifts the agent 1 or 2
    cells further (columns 3–5 and 8: 1, columns 6–7: 2), never off the grid. Known: the best way takes 15
    steps.
    """

    def move(cell, action):
        (up, right), lift = STEPS[action], WIND[cell[1]]
        to = (min(max(cell[0] + up - lift, 0), 6), min(max(cell[1] + right, 0), 9))
        return (int(to[0]), int(to[1])), -1.0

    return _from_moves(_cells(7, 10), move, gamma=1.0, starts=[(3, 0)], ends=[(3, 7)])


def cliff() -> MDP:
    """Cliff walking, Example 6.6, γ = 1: 4×12 cells without the ten of the cliff, [S, A] = 38 × 4.

    From (3, 0) to the terminal (3, 11), −1 a step. A step into the cliff, (3, 1) to (3, 10), pays −100 and
    leads back to the start; the episode goes on. A step off the grid stays. Known: the optimum is −13, along
    the edge.
    """
    edge = {(3, column) for column in range(1, 11)}

    def move(cell, action):
        to = _step(cell, STEPS[action])
        if to in edge:
            return (3, 0), -100.0
        return (to if _inside(to, 4, 12) else cell), -1.0

    cells = [cell for cell in _cells(4, 12) if cell not in edge]
    return _from_moves(cells, move, gamma=1.0, starts=[(3, 0)], ends=[(3, 11)])


def short_corridor() -> MDP:
    """The short corridor with switched actions, Example 13.1, γ = 1: [S, A] = 4 × 2.

    States 0, 1, 2 and the terminal 3 in a row, from 0, −1 a step. Actions 0 and 1 are left and right, but in
    state 1 they are switched; left in state 0 stays. Known: of the policies that go right with the same
    chance p in every state, p = 2 − √2 ≈ .586 is best, worth −6 − 4√2 ≈ −11.66; p = .05 and .95 are worth
    about −82 and −44.
    """

    def move(s, action):
        step = (-1, 1)[action] if s != 1 else (1, -1)[action]
        return max(s + step, 0), -1.0

    return _from_moves(range(4), move, gamma=1.0, actions=2, starts=[0], ends=[3])


def _from_moves(names, move: Callable, gamma: float, actions: int = 4, starts=None, ends=()) -> MDP:
    """The MDP in which action a leads for certain from name to name and pays: move(name, a) → (name, reward).

    Names that are (row, column) become labels; starts are equally likely (None: all), ends are terminal.
    """
    names = list(names)
    index = {name: s for s, name in enumerate(names)}
    P, R = np.zeros((len(names), actions, len(names))), np.zeros((len(names), actions))
    for s, name in enumerate(names):
        for a in range(actions):
            to, R[s, a] = (name, 0.0) if name in ends else move(name, a)
            P[s, a, index[to]] = 1.0
    start = None if starts is None else np.array([(name in starts) / len(set(starts)) for name in names])
    labels = names if isinstance(names[0], tuple) else None
    return MDP(P, R, gamma, start=start, terminal=np.array([name in ends for name in names]), labels=labels)


def _cells(rows: int, columns: int) -> list[tuple[int, int]]:
    return [(row, column) for row in range(rows) for column in range(columns)]


def _step(cell: tuple[int, int], step: np.ndarray) -> tuple[int, int]:
    return int(cell[0] + step[0]), int(cell[1] + step[1])


def _inside(cell: tuple[int, int], rows: int, columns: int) -> bool:
    return 0 <= cell[0] < rows and 0 <= cell[1] < columns
