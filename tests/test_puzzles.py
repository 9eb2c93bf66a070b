"""Pig and the bluff against their rules, counted and solved by hand."""

import re
from functools import cache

import numpy as np
import pytest

from course_lib.agents.planning import evaluate, solve
from course_lib.worlds.puzzles import bluff, pig


@cache
def worth(held):
    """The most that can be expected from a sum in one turn of Pig, by exact fractions of the rules."""
    if held >= 20:
        return float(held)
    return max(held, sum(worth(held + face) for face in range(2, 7)) / 6)


def test_one_turn_of_pig_is_worth_what_the_rules_say():
    V, pi = solve(pig())
    assert V[:26] == pytest.approx([worth(held) for held in range(26)])
    assert V[0] == pytest.approx(8.1418, abs=1e-4)  # "hold at 20" scores 8.14 a turn (Neller & Presser 2004)
    assert V[10] == pytest.approx(12.78, abs=0.005) and V[19] == pytest.approx(5 / 6 * 23)
    assert V[26] == 0
    assert (pi[:20, 1] == 1).all()  # rolling is right at every sum below 20


def test_the_dice_of_pig():
    world = pig()
    assert (world.R[:26, 0] == np.arange(26)).all() and (world.R[:20, 1] == 0).all()
    for held in range(20):
        lands = np.flatnonzero(world.P[held, 1])
        assert lands.tolist() == [*range(held + 2, held + 7), 26]
        assert world.P[held, 1, lands] == pytest.approx(np.full(6, 1 / 6))
    assert (world.P[:, 0, 26] == 1).all() and (world.P[20:, 1, 26] == 1).all()
    assert (world.R[20:, 1] == world.R[20:, 0]).all()


@pytest.mark.parametrize("D", [1, 2, 3, 10])
def test_a_bluff_pays_one_to_whoever_goes_on_to_the_end(D):
    world = bluff(D)
    V, pi = solve(world)
    assert V[:D] == pytest.approx(np.ones(D)) and V[D] == 0
    assert (pi[:D, 1] == 1).all()
    for k in range(D):  # go on k times, then stop
        stops = np.tile([0.0, 1.0], (D + 1, 1))
        stops[k:] = [1, 0]
        assert evaluate(world, stops)[0] == pytest.approx((D - 1 - k) / D)


@pytest.mark.parametrize("D", [0, -1, 2.5, True, "3"])
def test_a_bluff_without_whole_steps_is_refused(D):
    with pytest.raises(ValueError, match=re.escape(f"D is {D!r}")):
        bluff(D)
