"""The worlds as Gymnasium environments."""

import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from course_lib.worlds import classics, envs
from course_lib.worlds.envs import MDPEnv
from course_lib.worlds.grids import DOWN, HOUSE, RIGHT, UP, gridworld
from course_lib.worlds.mdp import MDP, from_gymnasium

IDS = [f"course/{name}-v0" for name in envs.WORLDS]


def test_all_nine_worlds_are_registered():
    names = "GridWorld Example35 Example41 CarRental Gambler RandomWalk Windy Cliff ShortCorridor".split()
    assert sorted(i for i in gymnasium.registry if i.startswith("course/")) == sorted(
        f"course/{n}-v0" for n in names
    )


@pytest.mark.parametrize("name", IDS)
def test_gymnasiums_own_checker_is_content(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(name, render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize("name", [i for i in IDS if "CarRental" not in i])
def test_the_table_gives_the_world_back(name):
    env = gymnasium.make(name, **({"slip": 0.3, "step_reward": -0.1} if "GridWorld" in name else {}))
    mdp = env.unwrapped.mdp
    back = from_gymnasium(env, mdp.gamma)
    np.testing.assert_allclose(back.P, mdp.P, atol=1e-15)
    np.testing.assert_allclose(back.R, mdp.R, atol=1e-14)
    np.testing.assert_array_equal(back.terminal, mdp.terminal)
    np.testing.assert_array_equal(back.start, mdp.start)


def test_the_table_of_a_sparse_world_gives_it_back():
    mdp = gridworld("\n".join(["." * 21] * 20 + ["." * 20 + "G"]), slip=0.2)
    assert mdp.sparse
    back = from_gymnasium(MDPEnv(mdp), mdp.gamma)
    np.testing.assert_allclose(back.P.swapaxes(0, 1).reshape(-1, mdp.S), mdp.P.toarray(), atol=1e-15)
    np.testing.assert_allclose(back.R, mdp.R, atol=1e-15)


def test_one_call_imports_and_makes_the_world():
    code = (
        "import gymnasium; env = gymnasium.make('course_lib.worlds.envs:course/GridWorld-v0', slip=0.1);"
        "print(env.reset(seed=0)[0], env.unwrapped.mdp.labels[env.unwrapped.state])"
    )
    root = Path(__file__).parent.parent
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split(maxsplit=1)[1].strip() == "(5, 0)"


def test_a_grid_takes_the_arguments_of_gridworld():
    env = gymnasium.make(
        "course/GridWorld-v0", text_map="Sa\n.G", gamma=0.5, rewards={"a": 3, "G": 10}, step_reward=-1
    )
    assert env.unwrapped.mdp.gamma == 0.5
    assert env.reset(seed=0) == (0, {})
    assert env.step(RIGHT) == (1, 2.0, False, False, {})
    assert env.step(DOWN) == (3, 9.0, True, False, {})


def test_the_default_grid_is_the_house():
    mdp = gymnasium.make("course/GridWorld-v0").unwrapped.mdp
    np.testing.assert_array_equal(mdp.P, gridworld(HOUSE).P)


@pytest.mark.stochastic
def test_a_slippery_step_is_paid_for_where_it_ends():
    env = gymnasium.make(
        "course/GridWorld-v0", text_map="...\nGSP\n...", slip=0.5, step_reward=-0.25
    ).unwrapped
    env.reset(seed=1)
    paid = {}
    for _ in range(200):  # the rarer two ends have chance .25: one is never met with chance 2e-25
        env.reset()
        s, reward, terminated, _, _ = env.step(UP)
        paid.setdefault(env.mdp.labels[s], set()).add((reward, terminated))
    assert paid == {(0, 1): {(-0.25, False)}, (1, 0): {(0.75, True)}, (1, 2): {(-1.25, True)}}


@pytest.mark.stochastic
def test_a_gambler_is_paid_only_for_reaching_100():
    env = gymnasium.make("course/Gambler-v0", p_heads=0.4).unwrapped
    rng, wins, paid = np.random.default_rng(0), 0, 0.0
    for seed in range(300):
        s, _ = env.reset(seed=seed)
        while not env.mdp.terminal[s]:
            s, reward, terminated, _, _ = env.step(rng.integers(1, 51))
            assert reward == (s == 100) and terminated == (s in (0, 100))
            paid += reward
        wins += s == 100
    assert paid == wins > 30  # each episode is won with chance .368: false alarm 1e-25


@pytest.mark.stochastic
@pytest.mark.parametrize("name", ["course/GridWorld-v0", "course/CarRental-v0"])
def test_steps_are_drawn_with_the_models_chances_and_the_seed_repeats_them(name):
    env = gymnasium.make(name, **({"slip": 0.4} if "Grid" in name else {})).unwrapped
    s, a, n = 20, 1, 12_000
    env.reset(seed=7)
    ends = []
    for _ in range(n):
        env.state = s
        ends.append(env.step(a)[0])
    shares = np.bincount(ends, minlength=env.mdp.S) / n
    assert np.abs(np.cumsum(shares) - np.cumsum(env.mdp.P[s, a])).max() < 2.9 / np.sqrt(n)  # 1e-7, by Massart
    env.reset(seed=7)
    for end in ends[:50]:
        env.state = s
        assert env.step(a)[0] == end


@pytest.mark.stochastic
def test_episodes_start_as_the_model_says():
    mdp = MDP(np.stack([np.eye(4)] * 2, axis=1), np.zeros((4, 2)), 0.9, start=[0.5, 0, 0.25, 0.25])
    env = MDPEnv(mdp)
    env.reset(seed=0)
    shares = np.bincount([env.reset()[0] for _ in range(10_000)], minlength=4) / 10_000
    np.testing.assert_allclose(shares, mdp.start, atol=0.03)  # 6 standard errors or more: 2e-9
    assert shares[1] == 0


def test_a_fall_from_the_cliff_costs_100_and_does_not_end_the_episode():
    env = gymnasium.make("course/Cliff-v0")
    start, _ = env.reset(seed=0)
    assert env.step(RIGHT) == (start, -100.0, False, False, {})


def test_an_episode_is_cut_off_after_a_thousand_steps():
    env = gymnasium.make("course/Example35-v0")
    env.reset(seed=0)
    flags = [env.step(0)[2:4] for _ in range(1_000)]
    assert flags[-2:] == [(False, False), (False, True)]


def test_acting_after_the_end_or_before_the_start_asks_for_a_reset():
    env = MDPEnv(gridworld("SG"))
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"call reset\(\) first"):
        env.step(RIGHT)
    env.reset(seed=0)
    assert env.step(RIGHT)[2]
    with pytest.raises(gymnasium.error.ResetNeeded, match="the state is 1, no episode is under way"):
        env.step(RIGHT)


@pytest.mark.parametrize("action", [4, -1, 1.5, "up", None])
def test_an_action_that_does_not_exist_is_refused(action):
    env = MDPEnv(gridworld("SG"))
    env.reset(seed=0)
    with pytest.raises(ValueError, match="actions are 0 to 3"):
        env.step(action)


def test_a_picture_shows_walls_floor_ends_and_the_agent():
    env = gymnasium.make("course/GridWorld-v0", text_map="S#\nPG", render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert picture.shape == (64, 64, 3) and picture.dtype == np.uint8
    middle = [[tuple(int(x) for x in picture[32 * r + 16, 32 * c + 16]) for c in range(2)] for r in range(2)]
    assert middle == [[envs.AGENT, envs.WALL], [envs.BAD_END, envs.GOOD_END]]
    env.step(DOWN)
    assert tuple(env.render()[16, 16]) == envs.FLOOR and tuple(env.render()[48, 16]) == envs.AGENT


def test_worlds_without_cells_are_drawn_in_reading_order():
    row = gymnasium.make("course/RandomWalk-v0", render_mode="rgb_array")
    row.reset(seed=0)
    assert row.render().shape == (32, 7 * 32, 3)
    assert tuple(row.render()[16, 3 * 32 + 16]) == envs.AGENT
    many = MDPEnv(classics.gambler(), render_mode="rgb_array")
    many.reset(seed=0)
    assert many.render().shape == (10 * 32, 11 * 32, 3)


def test_without_a_render_mode_nothing_is_drawn_and_others_are_refused():
    assert MDPEnv(gridworld("SG")).render() is None
    with pytest.raises(ValueError, match="rgb_array"):
        gymnasium.make("course/Cliff-v0", render_mode="ansi")


def test_rewards_that_do_not_add_up_to_the_models_are_refused():
    mdp = gridworld("SG")
    with pytest.raises(ValueError, match=r"in state 0 .* expectation"):
        MDPEnv(mdp, moving=0.0, arriving=[0.0, 2.0])
    with pytest.raises(ValueError, match="one reward a state"):
        MDPEnv(mdp, arriving=[1.0])


def test_a_world_that_starts_at_its_end_is_refused():
    P = np.stack([np.eye(2)], axis=1)
    mdp = MDP(P, np.zeros((2, 1)), 0.9, start=[0.5, 0.5], terminal=[False, True])
    with pytest.raises(ValueError, match=r"state 1, which is terminal: set start\[1\] to 0"):
        MDPEnv(mdp)
