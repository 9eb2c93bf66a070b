"""CartPole and Pendulum in torch, held against Gymnasium's own, step by step."""

import gymnasium
import numpy as np
import pytest
import torch
from scipy import stats

from course_lib.worlds.torch_control import CartPole, Pendulum

EXACT = {"dtype": torch.float64}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def replay(name: str, world, episodes: int, steps: int):
    """Random episodes in Gymnasium, from our first states; yields ours and theirs after each step."""
    first, env = world.start(episodes, seeded(1)), gymnasium.make(name)
    env.action_space.seed(0)
    stretch = 1.5 if hasattr(world, "action_size") else 1  # torques beyond the limit are clipped
    for e in range(episodes):
        env.reset(seed=e)
        env.unwrapped.state = first[e].numpy().copy()
        state, ended = first[e : e + 1], False
        for _ in range(steps):
            if ended:
                break
            action = env.action_space.sample() * stretch
            obs, reward, ended, _, _ = env.step(action)
            state, ours_reward, ours_end = world.step(state, torch.as_tensor(action)[None])
            ours = state[0].numpy(), world.observe(state)[0].numpy(), ours_reward.item(), ours_end.item()
            yield ours, (np.array(env.unwrapped.state), obs, reward, ended)
    env.close()


@pytest.mark.stochastic
@pytest.mark.parametrize(
    "name, world", [("CartPole-v1", CartPole(**EXACT)), ("Pendulum-v1", Pendulum(**EXACT))]
)
def test_every_step_is_gymnasiums(name, world):
    ends, n = 0, 0
    for ours, theirs in replay(name, world, episodes=25, steps=60):
        assert np.allclose(ours[0], theirs[0], rtol=0, atol=1e-9)
        assert np.allclose(ours[1], theirs[1], rtol=0, atol=1e-5)  # Gymnasium's observations are float32
        assert abs(ours[2] - theirs[2]) < 1e-9 and ours[3] == theirs[3]
        ends, n = ends + theirs[3], n + 1
    # 25 random lives of 22 steps on average; 300 steps or fewer, or 10 lives of 60: below 1e-10 (Chernoff)
    assert n > 300 and (ends > 15 or name == "Pendulum-v1")


@pytest.mark.stochastic
@pytest.mark.parametrize("name, world", [("CartPole-v1", CartPole()), ("Pendulum-v1", Pendulum())])
def test_sizes_limits_and_first_states_are_gymnasiums(name, world):
    env = gymnasium.make(name)
    assert env.spec.max_episode_steps == world.horizon
    assert env.observation_space.shape == (world.obs_size,)
    ours = world.start(4000, seeded(0)).numpy()
    env.reset(seed=0)
    theirs = np.array([env.unwrapped.reset() and env.unwrapped.state for _ in range(4000)])
    # Uniform numbers all: none of 4,000 in the outer 1/200 has chance .995^4000 = 2e-9, at most 16 such ends;
    # and Kolmogorov's test at 1e-8 for each of at most 4 numbers: 7e-8 in all.
    near = np.ptp(theirs, axis=0) / 200
    assert (np.abs(ours.min(0) - theirs.min(0)) < near).all()
    assert (np.abs(ours.max(0) - theirs.max(0)) < near).all()
    assert min(stats.ks_2samp(x, y).pvalue for x, y in zip(ours.T, theirs.T, strict=True)) > 1e-8
    if hasattr(world, "n_actions"):
        assert env.action_space.n == world.n_actions
    else:
        assert env.action_space.shape == (world.action_size,)
        assert env.action_space.high.max() == world.action_limit
    env.close()


@pytest.mark.parametrize("world", [CartPole(**EXACT), Pendulum(**EXACT)])
def test_more_axes_in_front_change_nothing_and_arguments_stay(world):
    state = world.start((3, 5), seeded(2))
    assert torch.equal(state, world.start((3, 5), seeded(2)))
    shape = (3, 5) if hasattr(world, "n_actions") else (3, 5, 1)
    action = torch.randint(0, 2, shape, generator=seeded(3))
    before = state.clone()
    state2, reward, end = world.step(state, action.double() if len(shape) == 3 else action)
    assert torch.equal(state, before) and reward.shape == end.shape == (3, 5)
    for m in range(3):
        one = world.step(state[m], action[m].double() if len(shape) == 3 else action[m])
        assert all(torch.allclose(a[m], b) for a, b in zip((state2, reward, end), one, strict=True))


def test_each_task_can_have_its_own_pendulum():
    mass, length = torch.tensor([[0.8], [1.3]]).double(), torch.tensor([[1.2], [0.7]]).double()
    both = Pendulum(mass=mass, length=length, **EXACT)
    state, torque = both.start((2, 4), seeded(0)), torch.full((2, 4, 1), 1.5).double()
    env = gymnasium.make("Pendulum-v1").unwrapped
    env.reset(seed=0)
    for m in range(2):
        env.m, env.l = mass[m].item(), length[m].item()
        env.state = state[m, 2].numpy().copy()
        env.step(np.array([1.5]))
        assert np.allclose(env.state, both.step(state, torque)[0][m, 2].numpy(), atol=1e-12)
    assert torch.equal(both.to("cpu").mass, mass)
