"""Grid worlds: cells, moves, slips and rewards are where the map shows them."""

import time
import tracemalloc

import numpy as np
import pytest

from course_lib.agents.planning import solve
from course_lib.worlds import grids
from course_lib.worlds.grids import DOWN, HOUSE, LEFT, RIGHT, UP, cell_rewards, gridworld, parse_map

ROOM = """
S.#
.aG
P..
"""


def room(**settings):
    mdp = gridworld(ROOM, **{"rewards": {"a": 0.5}} | settings)
    return mdp, {label: s for s, label in enumerate(mdp.labels)}


def test_states_are_the_free_cells_in_reading_order():
    mdp, _ = room()
    assert mdp.labels == ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2))
    np.testing.assert_array_equal(mdp.terminal, [label in [(1, 2), (2, 0)] for label in mdp.labels])
    np.testing.assert_array_equal(mdp.start, [1, 0, 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("cell", "action", "lands"),
    [
        ((1, 1), UP, (0, 1)),
        ((1, 1), RIGHT, (1, 2)),
        ((1, 1), DOWN, (2, 1)),
        ((1, 1), LEFT, (1, 0)),
        ((0, 1), RIGHT, (0, 1)),  # a wall
        ((0, 0), UP, (0, 0)),  # the rim
        ((0, 0), LEFT, (0, 0)),
        ((2, 2), DOWN, (2, 2)),
        ((2, 2), RIGHT, (2, 2)),
    ],
)
def test_a_move_goes_one_cell_or_stays_at_a_wall(cell, action, lands):
    mdp, at = room()
    np.testing.assert_array_equal(mdp.P[at[cell], action], np.eye(mdp.S)[at[lands]])


def test_a_slip_goes_to_either_side_half_each():
    mdp, at = room(slip=0.2)
    ways = mdp.P[at[1, 1], UP]
    assert (ways[at[0, 1]], ways[at[1, 0]], ways[at[1, 2]]) == (0.8, 0.1, 0.1)
    assert mdp.P[at[0, 0], LEFT, at[0, 0]] == pytest.approx(0.9)  # stays at two walls, slides down with .1
    assert mdp.P[at[0, 0], LEFT, at[1, 0]] == pytest.approx(0.1)


def test_a_step_is_paid_for_itself_and_for_the_cell_it_ends_on():
    mdp, at = room(step_reward=-0.1, rewards={"a": 0.5, "G": 2.0})
    assert mdp.R[at[1, 1], RIGHT] == pytest.approx(1.9)
    assert mdp.R[at[1, 0], DOWN] == pytest.approx(-1.1)
    assert mdp.R[at[1, 0], RIGHT] == pytest.approx(0.4)
    assert mdp.R[at[0, 0], UP] == pytest.approx(-0.1)
    np.testing.assert_array_equal(mdp.R[mdp.terminal], 0)
    slippery, _ = room(slip=0.2, step_reward=-0.1)
    assert slippery.R[at[1, 1], RIGHT] == pytest.approx(0.8 * 1 - 0.1)  # its sides pay nothing
    assert slippery.R[at[2, 1], LEFT] == pytest.approx(0.8 * -1 + 0.1 * 0.5 - 0.1)


def test_cell_rewards_are_what_each_cell_pays():
    np.testing.assert_array_equal(cell_rewards(ROOM, {"a": 0.5}), [0, 0, 0, 0.5, 1, -1, 0, 0])


def test_the_map_may_be_indented():
    np.testing.assert_array_equal(parse_map("\n    S.\n    #G\n  "), [["S", "."], ["#", "G"]])


def test_without_a_start_episodes_begin_on_any_floor():
    np.testing.assert_array_equal(gridworld("..G").start, [0.5, 0.5, 0])


def test_large_grids_are_sparse_and_the_same_world(monkeypatch):
    dense = gridworld(HOUSE, slip=0.3, step_reward=-0.1)
    monkeypatch.setattr(grids, "DENSE_UP_TO", 1)
    sparse = gridworld(HOUSE, slip=0.3, step_reward=-0.1)
    assert sparse.sparse and not dense.sparse
    np.testing.assert_array_equal(sparse.P.toarray().reshape(4, dense.S, dense.S).swapaxes(0, 1), dense.P)
    np.testing.assert_array_equal(sparse.R, dense.R)


def test_the_house_is_six_by_eight_and_every_cell_reaches_its_one_goal():
    grid = parse_map(HOUSE)
    assert grid.shape == (6, 8)
    assert [(grid == mark).sum() for mark in "SGP"] == [1, 1, 1]
    assert (grid == "#").sum() >= 4
    reached, new = set(), {tuple(np.argwhere(grid == "G")[0])}
    while new:
        reached |= new
        near = {(r + i, c + j) for r, c in new for i, j in [(0, 1), (1, 0), (0, -1), (-1, 0)]}
        new = {
            cell for cell in near if 0 <= min(cell) and cell[0] < 6 and cell[1] < 8 and grid[cell] in ".S"
        } - reached
    assert len(reached) == (np.isin(grid, [".", "S", "G"])).sum()


def test_the_best_way_through_the_house_is_the_shortest():
    mdp = gridworld(HOUSE, gamma=1.0, step_reward=-1, rewards={"G": 0, "P": -100})
    V, _ = solve(mdp)
    grid, steps, new = parse_map(HOUSE), {}, {tuple(np.argwhere(parse_map(HOUSE) == "G")[0])}
    while new:
        steps |= dict.fromkeys(new, max(steps.values(), default=-1) + 1)
        near = {(r + i, c + j) for r, c in new for i, j in [(0, 1), (1, 0), (0, -1), (-1, 0)]}
        new = {
            cell for cell in near if 0 <= min(cell) and cell[0] < 6 and cell[1] < 8 and grid[cell] in ".S"
        } - set(steps)
    walked = {label: -V[s] for s, label in enumerate(mdp.labels) if grid[label] != "P"}
    assert walked == pytest.approx(steps)


def test_a_200_by_200_grid_takes_under_100_mb_and_is_solved_in_a_second():
    text_map = "\n".join(["." * 200] * 199 + ["." * 199 + "G"])
    tracemalloc.start()
    mdp = gridworld(text_map, slip=0.2, gamma=0.99)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 50e6 and mdp.sparse
    seconds = []
    for _ in range(3):
        began = time.process_time()  # a busy machine does not count
        V, pi = solve(mdp)
        seconds.append(time.process_time() - began)
    assert min(seconds) < 1.0
    np.testing.assert_allclose(mdp.backup(V).max(axis=1), V, atol=1e-9)  # V = max Q: the optimum
    corner = mdp.labels.index((0, 199))
    assert pi[corner, DOWN] == 1 and V[corner] == pytest.approx(
        0.9**0 * V[mdp.labels.index((199, 0))], rel=1e-6
    )
