"""The pictures of chapters 06 and 07: pure functions, the right numbers, the right sentence, bad input."""

from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from course_lib.show import lives, predictions
from course_lib.show.boards import alt_of

TRUTH = np.array([0, 1, 2, 3, 4, 5, 0]) / 6
RNG = np.random.default_rng(0)
MAZE = "S.\n.G"


def moment(step: int) -> tuple:
    table = np.zeros((38, 4))
    table[3] = -1.0, -0.25, -7.0, -2.0
    now = SimpleNamespace(table=table, s=3, a=2, r=-100.0, episode=4, td_error=-100.5)
    return now, np.arange(38.0), list(-np.arange(1.0, step + 1))


def draws() -> dict:
    """name → (a call that draws one frame, another frame of the same slider, the frame's arrays)."""
    guess, two, parts, errors = RNG.random(7), RNG.random((2, 9)), RNG.random((30, 2)), RNG.random(6)
    table, V, pi = RNG.random((4, 4)), -RNG.random(38), np.full((38, 4), 0.25)
    lines = {"SARSA": -50 * RNG.random(12), "Q-learning": -50 * RNG.random(12)}
    bend = np.array([0, -0.02, -0.01, 0, 0.01, 0.02, 0])
    return {
        "life": (predictions.life, (guess, TRUTH), (3, 0.1), [guess, TRUTH]),
        "td_and_mc": (predictions.td_and_mc, two, (0.1,), [two]),
        "batch": (predictions.batch, (guess, 1 - guess, TRUTH), (10, 2), [guess, TRUTH]),
        "trade": (predictions.trade, parts, (10, 0.5), [parts]),
        "by_n": (predictions.by_n, errors, (4,), [errors]),
        "by_lambda": (predictions.by_lambda, errors[:5], (0.8,), [errors]),
        "traces": (predictions.traces, (guess, 1 - guess, 3), (7, 0.9), [guess]),
        "bias": (predictions.bias, bend, (0.1,), [bend]),
        "one life": (lives.life, moment(60), (60,), []),
        "aims": (lives.aims, (V, pi, -20.7, -50.8), (0.1,), [V, pi]),
        "curves": (lives.curves, (lines, -20.7), (0.5, 0.1), list(lines.values())),
        "thoughts": (lives.thoughts, (MAZE, table), (5, 2), [table]),
    }


@pytest.mark.parametrize("name", draws())
def test_every_picture_is_pure_and_well_formed(name):
    draw, frame, at, arrays = draws()[name]
    kept = [x.copy() for x in arrays]
    picture = draw(frame, *at)
    ElementTree.fromstring(picture)
    assert picture == draw(frame, *at)
    assert all((x == y).all() for x, y in zip(arrays, kept, strict=True))
    assert "nan" not in picture and len(alt_of(picture)) > 20


@pytest.mark.parametrize(
    ("picture", "sentence"),
    [
        (
            predictions.life((np.where(TRUTH > 0, 0.5, 0.0), TRUTH), 0, 0.1),
            "after 0 steps, α = 0.1: RMS error 0.24: guess from 0 to 0.5, truth from 0 to 0.833 "
            "(state 0 to 5).",
        ),
        (
            predictions.td_and_mc(np.array([[0.3, 0.2, 0.1], [0.3, 0.25, 0.2]]), 0.05),
            "α = 0.05: TD 0.10, Monte Carlo 0.20 after 3: TD(0) from nothing up to 0.3 to 0.1, "
            "Monte Carlo from nothing up to 0.3 to 0.2 (episodes 0 to 3).",
        ),
        (
            predictions.by_n(np.array([0.5, 0.4, 0.3, 0.35, 0.6, 0.9]), 4),
            "n = 4: 0.30 at α = 1/8: n = 4 from 0.5 down to 0.3 to 0.9 (step size α 1/32 to 1); 0.3 at 1/8.",
        ),
        (
            predictions.by_lambda(np.array([0.5, 0.4, 0.5, 0.6, 0.3]), 0.8),
            "λ = 0.8: 0.30 at α = 1/2: λ = 0.8 from 0.5 up to 0.6 to 0.3 "
            "(step size α 1/32 to 1/2); 0.3 at 1/2.",
        ),
        (
            predictions.bias(np.array([0, -0.0102, 0, 0.0102, 0]), 0.05),
            "α = 0.05: state 3 is off by +0.0102: exact bias from 0 down to -0.0102 to 0.0102, "
            "none from 0 to 0 (state 0 to 3).",
        ),
        (
            predictions.traces((np.array([0, 0.5, 1.5, 0]), np.zeros(4), 2), 3, 0.5),
            "step 3, λ = 0.5: the agent is in state 2: trace from 0 up to 1.5 to 0, guess from 0 to 0 "
            "(state 0 to 3); 1.5 at 2.",
        ),
        (
            lives.thoughts((MAZE, np.array([[0, 0.5, 0, 0], *np.zeros((3, 4))])), 5, 2),
            "5 thoughts a step, after episode 2: cells with news 1: a grid of 2 rows and 2 columns; "
            "values row by row: 0.50 0.00; 0.00 goal.",
        ),
    ],
    ids=["life", "td_and_mc", "by_n", "by_lambda", "bias", "traces", "thoughts"],
)  # fmt: skip
def test_the_sentence_holds_the_numbers(picture, sentence):
    assert alt_of(picture) == sentence


def test_both_answers_of_a_batch_are_judged_by_their_own_error():
    said = alt_of(predictions.batch((TRUTH, np.zeros(7), TRUTH), 10, 2))
    assert said.startswith("10 episodes: RMS error TD 0.00, Monte Carlo 0.55: batch TD from 0 to 0.833")


def test_the_best_wait_has_the_least_squared_error():
    parts = np.array([[0.5, 0.0], [0.3, 0.2], [0.0, 1.0]])  # bias, variance of n = 1, 2, 3
    for m, best in ((1, 1), (10, 3), (2, 2)):  # .25 .29 1 · .25 .11 .1 · .25 .19 .5
        assert alt_of(predictions.trade(parts, m, 0.0)).startswith(f"m = {m}, c = 0.0: best n = {best}:")


def test_one_life_shows_the_moment_and_its_last_errors():
    said = alt_of(lives.life(moment(60), 60))
    assert said.startswith("step 60, episode 5: down, reward -100, TD error -100.5: a grid of 4 rows")
    assert "values from -0.2 to 0.0" in said  # the best of its four guesses
    assert "|TD error| from 21 to 60 (steps until now -39 to 0)" in said
    assert "|TD error| from nothing down to 1 to 2 " in alt_of(lives.life(moment(2), 2))
    picture = lives.life(moment(2), 2)
    assert picture.count("stroke-width='3'") == 1  # one cell is outlined


def test_learning_curves_say_the_mean_of_their_second_half():
    lines = {"SARSA": np.array([-90.0] * 6 + [-30.0] * 6), "Q-learning": np.full(12, -50.0)}
    said = alt_of(lives.curves((lines, -20.7), 0.5, 0.1))
    assert said.startswith("α = 0.5, ε = 0.1, second half: SARSA -30, Q-learning -50:")
    assert "best ε-soft -20.70" in lives.curves((lines, -20.7), 0.5, 0.1)


def test_the_cliff_is_drawn_with_its_exact_values():
    said = alt_of(lives.aims((np.full(38, -3.0), np.full((38, 4), 0.25), -20.7077, -50.8), 0.1))
    assert said.startswith("ε = 0.1: best ε-soft -20.71, exploring on Q* -50.80: a grid of 4 rows")
    assert lives.CLIFF.count("#") == 10 and lives.CLIFF.count(".") == 36


def test_no_news_no_arrow():
    silent = lives.thoughts((MAZE, np.zeros((4, 4))), 0, 1)
    table = np.zeros((4, 4))
    table[0, 1] = 0.5
    assert lives.thoughts((MAZE, table), 0, 1).count("L") > silent.count("L")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: predictions.by_n(np.array([]), 4), ValueError, "empty"),
        (lambda: predictions.life((np.zeros(5), TRUTH), 0, 0.1), ValueError, "shapes"),
        (lambda: predictions.td_and_mc(np.zeros((2, 0)), 0.1), IndexError, "out of bounds"),
        (lambda: predictions.trade(np.zeros((0, 2)), 1, 0.0), ValueError, "empty"),
        (lambda: lives.thoughts((MAZE, np.zeros((5, 4))), 0, 1), ValueError, "4 free cells"),
        (lambda: lives.aims((np.zeros(9), np.zeros((9, 4)), 0, 0), 0.1), ValueError, "38 free cells"),
        (lambda: lives.curves(({}, -20.7), 0.5, 0.1), ValueError, "at least one line"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
