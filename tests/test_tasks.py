"""The families of tasks: each against a plain-Python version of itself, or against Gymnasium."""

import math
import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from scipy import stats

from course_lib.agents.planning import solve
from course_lib.worlds import tasks as families
from course_lib.worlds import torch_envs
from course_lib.worlds.mdp import MDP
from course_lib.worlds.tasks import (
    bandit_tasks,
    grid_goal_tasks,
    grid_goals,
    mdp_tasks,
    pendulum_tasks,
    point_tasks,
    sine_tasks,
)

ACTING = [bandit_tasks, grid_goal_tasks, mdp_tasks, point_tasks, pendulum_tasks]
ALL = [*ACTING, sine_tasks]
SPLITS = ("train", "validation", "test")
IDS = [f"course-tasks/{name}-v0" for name in torch_envs.FAMILIES]
each_acting = pytest.mark.parametrize("family", ACTING, ids=lambda f: f.__name__)
each_family = pytest.mark.parametrize("family", ALL, ids=lambda f: f.__name__)


def seeded(seed: int = 0, device: str = "cpu") -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


def any_action(tasks, episodes: int, rng: torch.Generator) -> torch.Tensor:
    if hasattr(tasks, "n_actions"):
        return torch.randint(tasks.n_actions, (len(tasks), episodes), generator=rng)
    return 3 * torch.randn(len(tasks), episodes, tasks.action_size, generator=rng)


def run(tasks, episodes: int, steps: int, seed: int = 0):
    """States before, actions, states after and rewards, each with a leading axis of steps."""
    rng, actor = seeded(seed), seeded(seed + 100)
    state, log = tasks.start(episodes, rng), []
    for _ in range(steps):
        action = any_action(tasks, episodes, actor)
        after, reward, _ = tasks.step(state, action, rng)
        log.append((state, action, after, reward))
        state = after
    return [torch.stack(column) for column in zip(*log, strict=True)]


def by_task(log: list[torch.Tensor]):
    """(m, (states, actions, states after, rewards)) for each task."""
    return enumerate(zip(*(x.unbind(1) for x in log), strict=True))


# The dynamics, one task, one episode and one step at a time


def test_a_grid_against_plain_python():
    tasks = grid_goal_tasks(split=None)
    moves = [(-1, 0), (0, 1), (1, 0), (0, -1), (0, 0)]
    for m, (states, actions, afters, rewards) in by_task(run(tasks, 5, 60)):
        goal = tasks.goal[m].item()
        for s, a, s2, r in zip(states.ravel(), actions.ravel(), afters.ravel(), rewards.ravel(), strict=True):
            row, column = divmod(s.item(), 5)
            row, column = row + moves[a][0], column + moves[a][1]
            expected = row * 5 + column if 0 <= row < 5 and 0 <= column < 5 else s.item()
            assert s2.item() == expected
            assert r.item() == pytest.approx(1 if expected == goal else -0.1)
    assert len(np.unique(afters.numpy())) > 10


def test_the_grids_goals_are_those_of_the_evidence():
    goals = grid_goals(None).tolist()
    assert len(goals) == 21 and not {0, 1, 5, 6} & set(goals)
    assert [len(grid_goals(split)) for split in SPLITS] == [13, 4, 4]
    assert sorted(g for split in SPLITS for g in grid_goals(split).tolist()) == goals
    distance = np.array([g // 5 + g % 5 for g in goals])
    assert np.mean(16 - distance - 0.1 * (distance - 1)) == pytest.approx(11.0714, abs=5e-5)


@pytest.mark.stochastic
def test_points_against_plain_python():
    for sparse in (False, True):
        tasks = point_tasks(60, sparse=sparse)
        paid = 0
        for m, (states, actions, afters, rewards) in by_task(run(tasks, 4, 30)):
            gx, gy = tasks.goal[m].tolist()
            flat = [x.reshape(-1, 2).tolist() for x in (states, actions, afters)]
            for (x, y), (dx, dy), after, r in zip(*flat, rewards.ravel().tolist(), strict=True):
                x, y = x + min(max(dx, -0.1), 0.1), y + min(max(dy, -0.1), 0.1)
                far = math.hypot(x - gx, y - gy)
                assert after == pytest.approx([x, y], abs=1e-6)
                wanted = (1 - far if far <= 0.2 else 0) if sparse else -far
                assert r == pytest.approx(wanted, abs=1e-5)
                paid += r != 0
        # Sparse, a task pays 10 times in its 120 steps on average, and the mean square is 183: 20 or fewer in
        # 60 tasks have chance exp(−580²/(2 · 60 · 183)) = 2e-7 at most.
        assert paid > 20


@pytest.mark.stochastic
def test_staying_put_and_walking_straight_pay_what_they_should():
    """E|goal| for a uniform square of side 1 is (√2 + ln(1 + √2))/6 = .3826, and the distances left on the
    straight way add up to .5061 ± .336; both for 4,000 goals to 6 standard errors: 4e-9 together."""
    tasks = point_tasks(4_000)
    away = (math.sqrt(2) + math.log(1 + math.sqrt(2))) / 6
    assert tasks.goal.norm(dim=-1).mean().item() == pytest.approx(away, abs=6 * 0.143 / math.sqrt(4_000))
    state, total = tasks.start(1), 0.0
    for _ in range(tasks.horizon):
        state, reward, _ = tasks.step(state, tasks.goal[:, None] - state)
        total += reward.mean().item()
    assert total == pytest.approx(-0.5061, abs=6 * 0.336 / math.sqrt(4_000))


def test_a_pendulum_with_gymnasiums_own_numbers_is_gymnasiums():
    one = torch.ones(3)
    tasks = families.PendulumTasks(one, one, 10 * one)
    env = gymnasium.make("Pendulum-v1").unwrapped
    for m, (states, actions, afters, rewards) in by_task(run(tasks, 2, 60)):
        for e in range(2):
            for t in range(60):
                env.reset(seed=0)
                env.state = states[t, e].double().numpy()
                seen, reward, *_ = env.step(actions[t, e].numpy())
                assert np.allclose(tasks.observe(afters[t][None].expand(3, -1, -1))[m, e], seen, atol=1e-4)
                assert rewards[t, e].item() == pytest.approx(reward, rel=1e-4, abs=1e-4)


def test_pendulums_against_gymnasiums_with_other_numbers():
    tasks = pendulum_tasks(5, split="test")
    states, actions, afters, rewards = run(tasks, 1, 40)
    for m in range(5):
        env = gymnasium.make("Pendulum-v1", g=tasks.gravity[m].item()).unwrapped
        env.m, env.l = tasks.mass[m].item(), tasks.length[m].item()
        for t in range(40):
            env.reset(seed=0)
            env.state = states[t, m, 0].double().numpy()
            _, reward, *_ = env.step(actions[t, m, 0].numpy())
            assert np.allclose(afters[t, m, 0], env.state, atol=1e-4)
            assert rewards[t, m, 0].item() == pytest.approx(reward, rel=1e-4, abs=1e-4)
    assert tasks.mass.min() > 0.7 and tasks.mass.max() < 1.3 and tasks.gravity.max() < 12


@pytest.mark.stochastic
def test_mdps_step_with_the_chances_and_rewards_of_their_tables():
    """All next-state counts together by chi-square, all mean rewards by max |z|: 1e-7 false alarms each; two
    deviations by 6 standard errors."""
    tasks, n = mdp_tasks(2, states=3, actions=2, seed=4), 40_000
    rng, statistic, freedom, z = seeded(1), 0.0, 0, []
    for s in range(3):
        for a in range(2):
            at = torch.full((2, n), s)
            after, reward, _ = tasks.step(at, torch.full((2, n), a), rng)
            for m in range(2):
                counts = torch.bincount(after[m], minlength=3).double()
                expected = n * tasks.P[m, s, a].double()
                statistic += ((counts - expected) ** 2 / expected).sum().item()
                freedom += 2
                z.append((reward[m].double().mean() - tasks.R[m, s, a]).item() * math.sqrt(n))
    assert stats.chi2.sf(statistic, freedom) > 1e-7
    assert max(map(abs, z)) < stats.norm.isf(1e-7 / 24)
    assert (reward.std(1) - 1).abs().max() < 6 / math.sqrt(2 * n)


@pytest.mark.stochastic
def test_mdp_tasks_are_mdps():
    tasks = mdp_tasks(3)
    assert torch.allclose(tasks.P.sum(-1), torch.ones(3, 10, 5)) and (tasks.P >= 0).all()
    for m in range(3):
        P = tasks.P[m].double().numpy()
        V, _ = solve(MDP(P / P.sum(-1, keepdims=True), tasks.R[m].double().numpy(), 0.9))
        # The best mean reward is far above 1: of 600 worlds none was below 14.7, and 10 is 5 deviations away.
        assert V.min() > 1 / (1 - 0.9)
    many = mdp_tasks(400, states=4, actions=2)
    assert stats.kstest((many.R - 1).ravel(), "norm").pvalue > 1e-7
    # A flat Dirichlet's margin; this false alarm and that above: 2e-7 together.
    assert stats.kstest(many.P[..., 0].ravel(), "beta", args=(1, 3)).pvalue > 1e-7


@pytest.mark.stochastic
def test_bandits_pay_with_their_chances():
    """15 shares by both binomial tails, which hold for rare rewards too: a false alarm of 1e-7 in all."""
    tasks, n = bandit_tasks(5, arms=3), 40_000
    for k in range(3):
        _, reward, _ = tasks.step(tasks.start(n), torch.full((5, n), k), seeded(k))
        assert set(reward.unique().tolist()) == {0.0, 1.0}
        won, p = reward.double().sum(1), tasks.p[:, k].double()
        assert min(*stats.binom.cdf(won, n, p), *stats.binom.sf(won - 1, n, p)) > 1e-7 / 30


def test_sines():
    tasks = sine_tasks(500)
    x, y = tasks.sample(7, seeded())
    assert x.shape == y.shape == (500, 7, 1) and x.abs().max() <= 5
    for m, i in ((0, 0), (3, 6), (499, 2)):
        a, phase, at = tasks.amplitude[m].item(), tasks.phase[m].item(), x[m, i].item()
        assert y[m, i].item() == pytest.approx(a * math.sin(at - phase), abs=1e-5)
    assert torch.allclose(tasks.value(x), y)
    assert 0.1 <= tasks.amplitude.min() and tasks.amplitude.max() <= 5
    assert 0 <= tasks.phase.min() and tasks.phase.max() <= math.pi


# What every family promises


def parameters(tasks) -> torch.Tensor:
    return torch.cat([x.reshape(len(tasks), -1).double() for x in tasks._tensors.values()], 1)


@each_family
def test_splits_are_disjoint_whatever_the_seed(family):
    firsts = {split: set() for split in SPLITS}
    for split in SPLITS:
        for seed in (0, 1, 2):
            tasks = family(600, split=split, seed=seed)
            first = tasks.R.flatten(1) if family is mdp_tasks else parameters(tasks)
            firsts[split] |= set(first[:, 0].tolist())
    for one, other in (SPLITS[:2], SPLITS[1:], SPLITS[::2]):
        assert firsts[one] and not firsts[one] & firsts[other]


@pytest.mark.stochastic
@pytest.mark.parametrize("split", SPLITS)
def test_every_split_has_the_same_distribution(split):
    """Kolmogorov's test; 4 families and 8 numbers a split, each alarm at 1e-8."""
    uniform = [bandit_tasks(4_000, split=split, seed=9).p[:, k] for k in range(2)]
    uniform += [point_tasks(4_000, split=split, seed=9).goal[:, k] + 0.5 for k in range(2)]
    sines = sine_tasks(4_000, split=split, seed=9)
    uniform += [(sines.amplitude - 0.1) / 4.9, sines.phase / math.pi]
    swings = pendulum_tasks(4_000, split=split, seed=9)
    uniform += [(swings.mass - 0.7) / 0.6, (swings.gravity - 8) / 4]
    assert min(stats.kstest(u, "uniform").pvalue for u in uniform) > 1e-8


@each_family
def test_a_seed_repeats_the_tasks_and_another_does_not(family):
    one, same, other = family(30, seed=5), family(30, seed=5), family(30, seed=6)
    assert torch.equal(parameters(one), parameters(same))
    assert not torch.equal(parameters(one), parameters(other))


@each_acting
def test_runs_repeat_and_change_nothing(family):
    tasks = family(4)
    before = parameters(tasks).clone()
    first, again = run(tasks, 3, 5, seed=1), run(tasks, 3, 5, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(parameters(tasks), before)
    rng = seeded(2)
    state = tasks.start(3, rng)
    kept, action = state.clone(), any_action(tasks, 3, rng)
    held = action.clone()
    tasks.step(state, action, rng)
    assert torch.equal(state, kept) and torch.equal(action, held)


@each_acting
def test_shapes(family):
    tasks = family(4, split="validation")
    rng = seeded()
    state = tasks.start(3, rng)
    assert state.shape[:2] == (4, 3)
    assert tasks.observe(state).shape == (4, 3, tasks.obs_size)
    after, reward, terminated = tasks.step(state, any_action(tasks, 3, rng), rng)
    assert after.shape == state.shape and after.dtype == state.dtype
    assert reward.shape == terminated.shape == (4, 3)
    assert reward.dtype == torch.float32 and terminated.dtype == torch.bool and not terminated.any()
    assert tasks.horizon >= 10 and len(tasks) == 4 and tasks.device.type == "cpu"


@each_family
def test_any_index_picks_tasks(family):
    tasks = family(6)
    rows = parameters(tasks)
    for index in (2, -1, np.int64(3), slice(1, 4), [5, 0, 0], torch.tensor([1, 3]), rows[:, 0] >= rows[2, 0]):
        picked = tasks[index]
        wanted = rows[[index] if np.ndim(index) == 0 and not isinstance(index, slice) else index]
        assert type(picked) is type(tasks) and torch.equal(parameters(picked), wanted)
    with pytest.raises(IndexError, match="task 6 of 6"):
        tasks[6]


@each_acting
def test_a_picked_task_moves_as_it_did_among_the_others(family):
    tasks = family(5)
    if family in (bandit_tasks, mdp_tasks):
        pytest.skip("its steps are drawn: held against the tables above")
    rng = seeded()
    state = tasks.start(3, rng)
    action = any_action(tasks, 3, rng)
    together, alone = tasks.step(state, action, rng), tasks[[1, 4]].step(state[[1, 4]], action[[1, 4]], rng)
    assert all(torch.equal(a[[1, 4]], b) for a, b in zip(together, alone, strict=True))


@each_acting
def test_other_devices(family):
    """The meta device has shapes and no numbers: nothing may be left behind on the CPU."""
    tasks = family(4)
    moved = tasks.to("meta")
    assert moved.device.type == family(4, device="meta").device.type == "meta"
    for name, x in moved._tensors.items():
        assert x.shape == tasks._tensors[name].shape and x.device.type == "meta"
    assert moved.observe(moved.start(3, seeded())).device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("where", ["cpu", "cuda"])
@each_acting
def test_the_same_tasks_run_on_a_gpu(family, where):
    tasks, rng, actor = family(4, device="cuda"), seeded(0, where), seeded(1)
    assert torch.equal(parameters(tasks).cpu(), parameters(family(4)))
    state = tasks.start(3, rng)
    for _ in range(5):
        action = any_action(tasks, 3, actor).cuda()
        state, reward, terminated = tasks.step(state, action, rng)
        assert {x.device.type for x in (state, reward, terminated, tasks.observe(state))} == {"cuda"}
    if where == "cpu":
        assert torch.allclose(run_cpu(family, 5), state.cpu(), atol=1e-5)


def run_cpu(family, steps: int) -> torch.Tensor:
    tasks, rng, actor = family(4), seeded(0), seeded(1)
    state = tasks.start(3, rng)
    for _ in range(steps):
        state, *_ = tasks.step(state, any_action(tasks, 3, actor), rng)
    return state


@each_family
def test_what_is_wrong_is_refused(family):
    with pytest.raises(ValueError, match="choose 'train', 'validation' or 'test'"):
        family(3, split="dev")
    with pytest.raises(ValueError, match="seed is -1"):
        family(3, seed=-1)
    for M in (0, 1.5, True):
        with pytest.raises(ValueError, match=r"M is .*: it must be a whole number from 1"):
            family(M)


@each_acting
def test_wrong_actions_and_generators_are_refused(family):
    tasks = family(3)
    state = tasks.start(2, seeded())
    discrete = hasattr(tasks, "n_actions")
    wrong = torch.zeros(3, 3, dtype=torch.long) if discrete else torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"give whole numbers \[M, E\]|give \[M, E, action_size\]"):
        tasks.step(state, wrong, seeded())
    if discrete:
        with pytest.raises(ValueError, match="give whole numbers"):
            tasks.step(state, torch.zeros(3, 2), seeded())
        for bad in (-1, tasks.n_actions):
            with pytest.raises(ValueError, match=f"actions are 0 to {tasks.n_actions - 1}"):
                tasks.step(state, torch.full((3, 2), bad), seeded())
    if family in (bandit_tasks, mdp_tasks):
        with pytest.raises(ValueError, match=r"give torch\.Generator\(\)"):
            tasks.step(state, torch.zeros(3, 2, dtype=torch.long), np.random.default_rng(0))
    with pytest.raises(ValueError, match="episodes is 0"):
        tasks.start(0, seeded())


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda: bandit_tasks(3, arms=0), "arms is 0"),
        (lambda: grid_goal_tasks(side=2), "side is 2: it must be a whole number from 3"),
        (lambda: grid_goal_tasks(episode=0), "episode is 0"),
        (lambda: point_tasks(3, horizon=2.5), "horizon is 2.5"),
        (lambda: sine_tasks(3).sample(0, seeded()), "shots is 0"),
    ],
)
def test_wrong_sizes_are_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


# As Gymnasium environments


@pytest.mark.parametrize("name", IDS)
def test_gymnasiums_own_checker_is_content(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*Box observation space.* value is.*infinity.*")
        warnings.filterwarnings("ignore", message=".*normalized space.*")
        check_env(gymnasium.make(name).unwrapped)


@pytest.mark.parametrize("name", IDS)
def test_an_environment_steps_as_its_tasks(name):
    env = gymnasium.make(name).unwrapped
    seen, info = env.reset(seed=3, options={"task": 2})
    assert info == {"task": 2} and env.observation_space.contains(seen)
    task, state, rng = env.tasks[2], env.state, torch.Generator()
    env.action_space.seed(0)
    for t in range(task.horizon):
        action = env.action_space.sample()
        rng.set_state(env.generator.get_state())
        state, reward, _ = task.step(state, torch.as_tensor(action)[None, None], rng)
        seen, paid, terminated, truncated, _ = env.step(action)
        assert paid == pytest.approx(reward.item())
        assert np.allclose(seen, task.observe(state)[0, 0] if task.obs_size else 0)
        assert env.observation_space.contains(seen)
        assert (terminated, truncated) == (False, t == task.horizon - 1)
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset"):
        env.step(action)


@pytest.mark.stochastic
def test_reset_draws_tasks_and_a_seed_repeats_them():
    env = gymnasium.make("course-tasks/GridGoal-v0", split=None).unwrapped
    env.reset(seed=1)
    drawn = [env.reset()[1]["task"] for _ in range(400)]
    assert set(drawn) == set(range(21))  # one of 21 is never drawn: 21 (20/21)^400 = 7e-8
    env.reset(seed=1)
    assert [env.reset()[1]["task"] for _ in range(400)] == drawn
    with pytest.raises(IndexError, match="task 21 of 21"):
        env.reset(options={"task": 21})


def test_wrong_actions_to_an_environment_are_refused():
    env = gymnasium.make("course-tasks/GridGoal-v0").unwrapped
    env.reset(seed=0)
    with pytest.raises(ValueError, match="there is no action 5"):
        env.step(5)
    with pytest.raises(ValueError, match="draw nothing"):
        gymnasium.make("course-tasks/Bandit-v0", render_mode="human")


def test_one_call_imports_and_makes_it():
    code = (
        "import gymnasium;"
        "env = gymnasium.make('course_lib.worlds.torch_envs:course-tasks/Bandit-v0', arms=5);"
        "print(env.reset(seed=0)[0], env.action_space)"
    )
    root = Path(__file__).parent.parent
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=100)
    assert out.returncode == 0 and out.stdout.strip() == "0 Discrete(5)", out.stderr
