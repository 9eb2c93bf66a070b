"""The hidden-goal oracle, against brute force, enumeration, the figures, and the world itself."""

from functools import cache
from itertools import combinations

import numpy as np
import pytest
import torch

from course_lib.oracles.hidden_goal import (
    HiddenGoal,
    Plan,
    bayes_optimal,
    belief_filter,
    full_tours,
    known_goal_rewards,
    on_one_way,
    path_rewards,
    posterior_sampling,
    shortest_path,
    walk,
)
from course_lib.worlds.tasks import grid_goal_tasks, grid_goals

FIVE = HiddenGoal()
SMALL = [
    (HiddenGoal(3, 4), 1),
    (HiddenGoal(3, 4), 2),
    (HiddenGoal(3, 3), 3),
    (HiddenGoal(3, 5, goals=(1, 2, 3, 8)), 2),
    (HiddenGoal(4, 4, goals=(2, 5, 7, 8, 13)), 2),
    (HiddenGoal(3, 6, goals=(6,)), 2),
    (HiddenGoal(4, 3, goals=(3, 12, 2)), 2),
    (HiddenGoal(4, 2, goals=(15, 2)), 2),
]


def moves(grid: HiddenGoal, cell: int) -> list[int]:
    row, column = divmod(cell, grid.side)
    after = [(row, column)]
    for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
        after.append((min(max(r, 0), grid.side - 1), min(max(c, 0), grid.side - 1)))
    return [r * grid.side + c for r, c in after]


def brute_force(grid: HiddenGoal, episodes: int) -> float:
    """Dynamic programming over (episode, step, cell, belief), with nothing of the oracle's reasoning."""

    @cache
    def value(e, t, cell, possible):
        if t == grid.horizon:
            return value(e + 1, 0, 0, possible) if e + 1 < episodes else 0.0
        best = -np.inf
        for after in moves(grid, cell):
            hit = (after in possible) / len(possible)
            q = 0.0
            if hit:
                q += hit * (1 + value(e, t + 1, after, frozenset([after])))
            if hit < 1:
                q += (1 - hit) * (-0.1 + value(e, t + 1, after, possible - {after}))
            best = max(best, q)
        return best

    return value(0, 0, 0, frozenset(grid.goals))


@pytest.mark.parametrize("grid, episodes", SMALL)
def test_the_best_explorer_earns_what_brute_force_says(grid, episodes):
    plan = bayes_optimal(grid, episodes)
    assert plan.rewards.sum() == pytest.approx(brute_force(grid, episodes), abs=1e-9)
    assert plan.rewards == pytest.approx(path_rewards(grid, plan.path))


def test_random_worlds_against_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(12):
        side, horizon, episodes = rng.integers(3, 5), rng.integers(2, 5), rng.integers(1, 4)
        goals = rng.choice(np.arange(1, side**2), size=rng.integers(1, 6), replace=False)
        grid = HiddenGoal(int(side), int(horizon), tuple(goals))
        assert bayes_optimal(grid, int(episodes)).rewards.sum() == pytest.approx(
            brute_force(grid, int(episodes)), abs=1e-9
        )


def test_the_figures_of_the_five_by_five_grid():
    assert known_goal_rewards(FIVE).mean() == pytest.approx(11.0714, abs=5e-5)
    rewards = bayes_optimal(FIVE, 4).rewards
    assert rewards == pytest.approx([4.0, 11.0714, 11.0714, 11.0714], abs=5e-5)
    assert rewards[1:] == pytest.approx(known_goal_rewards(FIVE).mean())
    assert posterior_sampling(FIVE, 4, hold=True) == pytest.approx(
        [-0.7891, 1.1831, 2.9256, 4.4577], abs=5e-5
    )
    assert posterior_sampling(FIVE, 1) == pytest.approx([2.9796], abs=5e-5)


def test_no_path_can_do_better_in_the_first_episode():
    """A new cell a step from step 2 on, and everything found in time: the most that 14 steps can see."""
    most = sum(1.1 * (16 - t) for t in range(2, 16)) / 21 - 1.5
    assert bayes_optimal(FIVE, 1).rewards[0] == pytest.approx(most)


@pytest.mark.slow
def test_the_figures_of_four_episodes_of_posterior_sampling():
    assert posterior_sampling(FIVE, 4) == pytest.approx([2.98, 7.85, 10.48, 11.04], abs=0.01)


# Posterior sampling by enumeration, one true goal at a time


def guessing(grid: HiddenGoal, episodes: int, hold: bool) -> np.ndarray:
    """The same agent, told as a story: for each true goal, with every draw and coin enumerated."""

    @cache
    def rest(goal, e, t, cell, guess, possible):  # expected rewards of the episodes, as a tuple
        if e == episodes:
            return (0.0,) * episodes
        if t == grid.horizon:
            return rest(goal, e + 1, 0, 0, None, possible)
        if guess is None:
            each = [rest(goal, e, t, cell, g, possible) for g in sorted(possible)]
            return tuple(np.mean(each, axis=0))
        good = [c for c in moves(grid, cell)[1:] if grid.between(c, guess) == grid.between(cell, guess) - 1]
        total = np.zeros(episodes)
        for after in good or [cell]:
            reward = 1.0 if after == goal else -0.1
            now = frozenset([goal]) if after == goal else possible - {after}
            kept = guess if hold or guess in now else None
            total += rest(goal, e, t + 1, after, kept, now)
            total[e] += reward
        return tuple(total / len(good or [cell]))

    return np.mean([rest(g, 0, 0, 0, None, frozenset(grid.goals)) for g in grid.goals], axis=0)


@pytest.mark.parametrize("hold", [False, True])
@pytest.mark.parametrize("grid, episodes", SMALL)
def test_posterior_sampling_against_enumeration(grid, episodes, hold):
    assert posterior_sampling(grid, episodes, hold) == pytest.approx(guessing(grid, episodes, hold), abs=1e-9)


def test_random_worlds_against_enumeration():
    rng = np.random.default_rng(1)
    for _ in range(10):
        side, horizon, episodes = rng.integers(3, 6), rng.integers(2, 8), rng.integers(1, 4)
        goals = rng.choice(np.arange(1, side**2), size=rng.integers(1, 6), replace=False)
        grid = HiddenGoal(int(side), int(horizon), tuple(goals))
        for hold in (False, True):
            ours = posterior_sampling(grid, int(episodes), hold)
            assert ours == pytest.approx(guessing(grid, int(episodes), hold), abs=1e-9)


def test_nobody_beats_the_best_explorer():
    for grid, episodes in SMALL:
        best = bayes_optimal(grid, episodes).rewards.sum()
        for hold in (False, True):
            assert posterior_sampling(grid, episodes, hold).sum() <= best + 1e-9
        assert best <= episodes * known_goal_rewards(grid).mean() + 1e-9


# In the world of the tasks


@pytest.mark.parametrize("episodes", [1, 2, 3])
def test_the_plan_earns_in_the_world_what_it_promises(episodes):
    tasks = grid_goal_tasks(split=None)
    assert tuple(tasks.goal.tolist()) == FIVE.goals == tuple(grid_goals().tolist())
    plan = bayes_optimal(FIVE, episodes)
    actions = np.stack([plan.actions(g) for g in FIVE.goals])  # [M, episodes, steps]
    earned, cells, rewards = [], [], []
    for e in range(episodes):
        state, total = tasks.start(1), torch.zeros(21)
        for t in range(tasks.horizon):
            state, reward, _ = tasks.step(state, torch.from_numpy(actions[:, e, t])[:, None])
            total += reward[:, 0]
            cells.append(state[:, 0].numpy())
            rewards.append(reward[:, 0].numpy())
        earned.append(total.mean().item())
    assert earned == pytest.approx(plan.rewards, abs=1e-5)
    belief = belief_filter(FIVE, np.stack(cells, axis=1), np.stack(rewards, axis=1))
    assert belief.shape == (21, 15 * episodes + 1, 21)
    np.testing.assert_allclose(belief[:, 0], 1 / 21)
    true = belief[np.arange(21), :, np.arange(21)]
    assert (np.diff(true, axis=1) >= 0).all()
    if episodes > 1:
        np.testing.assert_array_equal(belief[:, -1], np.eye(21))


def test_the_filter_is_bayes_rule():
    grid, rng = HiddenGoal(3, 6), np.random.default_rng(0)
    goal, cells = 7, rng.integers(0, 9, 6)
    rewards = np.where(cells == goal, 1.0, -0.1)
    chance = np.full(len(grid.goals), 1 / len(grid.goals))
    for t in range(6):
        likelihood = [rewards[t] == (1.0 if cells[t] == g else -0.1) for g in grid.goals]
        chance = chance * likelihood / (chance * likelihood).sum()
        np.testing.assert_allclose(belief_filter(grid, cells, rewards)[t + 1], chance)
    with pytest.raises(ValueError, match="contradict each other"):
        belief_filter(grid, np.array([7, 8]), np.array([1.0, 1.0]))


def test_paths():
    assert shortest_path(FIVE, 0, 12)[-1] == 12 and len(shortest_path(FIVE, 0, 12)) == 5
    assert walk(FIVE, "rRdllLus").tolist() == [0, 1, 2, 7, 6, 5, 5, 0, 0]
    straight = np.zeros((1, 16), int)
    straight[0] = [*shortest_path(FIVE, 0, 24), *[24] * 7]
    plan = Plan(FIVE, straight, path_rewards(FIVE, straight))
    assert plan.rewards[0] == pytest.approx(-1.5 + 1.1 * sum(16 - t for t in range(2, 9)) / 21)


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda: HiddenGoal(goals=(0, 3)), "0 is the start"),
        (lambda: HiddenGoal(goals=(3, 3)), "give different cells"),
        (lambda: HiddenGoal(side=1), "goals are"),
        (lambda: HiddenGoal(horizon=0), "horizon is 0"),
        (lambda: walk(FIVE, "RX"), "no move 'X'"),
        (lambda: bayes_optimal(FIVE, 0), "episodes is 0"),
        (lambda: posterior_sampling(HiddenGoal(6), 1), "at most 21"),
        (lambda: path_rewards(FIVE, np.zeros((1, 15))), r"give \[episodes, 16\]"),
        (lambda: path_rewards(FIVE, np.arange(16)[None] // 1 * 2), "no neighbour"),
        (lambda: path_rewards(FIVE, np.array([[0] + [2] * 15])), "no neighbour"),
        (lambda: path_rewards(FIVE, np.array([[0, *[-5] * 15]])), "off the grid"),
        (lambda: path_rewards(FIVE, np.array([[0, 5, 10, 15, 20, 25, *[20] * 10]])), "off the grid"),
        (lambda: belief_filter(FIVE, np.zeros(3), np.zeros(4)), "one of each a step"),
    ],
)
def test_what_is_wrong_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def walks(grid: HiddenGoal, steps: int) -> list[tuple[int, ...]]:
    """Every way of moving or staying for some steps, from the start."""
    ways = [(0,)]
    for _ in range(steps):
        ways = [(*way, cell) for way in ways for cell in sorted(set(moves(grid, way[-1])))]
    return ways


@pytest.mark.parametrize("grid", [grid for grid, _ in SMALL], ids=str)
def test_full_tours_are_the_walks_that_meet_a_new_goal_at_every_step_that_can(grid):
    first, wanted = grid.distance.min(), set()
    for way in walks(grid, grid.horizon):
        met = [cell for k, cell in enumerate(way) if cell in grid.goals and cell not in way[:k]]
        if len(met) == max(grid.horizon + 1 - first, 0) and set(met) == set(way[first:]):
            wanted.add(way)
    assert {tuple(tour) for tour in full_tours(grid).tolist()} == wanted


def test_no_first_episode_earns_more_than_a_full_tour_and_few_leave_a_perfect_second():
    tours = full_tours(FIVE)
    best = bayes_optimal(FIVE, 2)
    assert tours.shape == (3064, 16)
    perfect = 0
    for tour in tours.tolist():
        left = sorted(set(FIVE.goals) - set(tour), key=lambda cell: sum(divmod(cell, 5)))
        if on_one_way(FIVE, left):
            second = [0]
            for cell in left:
                second += shortest_path(FIVE, second[-1], cell)[1:]
            second += second[-1:] * (16 - len(second))
            np.testing.assert_allclose(path_rewards(FIVE, np.array([tour, second])), best.rewards)
            perfect += 1
    assert perfect == 38 and any((tour == best.path[0]).all() for tour in tours)


def test_cells_on_one_way_are_those_that_a_shortest_path_goes_through():
    grid = HiddenGoal(3, 4)
    shortest = [set(way) for way in walks(grid, 4) if way[-1] == 8]  # four steps: no detour, no rest
    for size in range(1, 5):
        for cells in combinations(range(9), size):
            assert on_one_way(grid, cells) == any(set(cells) <= way for way in shortest), cells
