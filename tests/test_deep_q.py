"""Deep Q-learning against what is known exactly: its targets, its memory, Q* of small worlds, and a kill."""

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from random_worlds import fixed_rng

from course_lib.agents import deep_q, planning
from course_lib.agents.deep_q import DQN, dqn, huber, q_targets
from course_lib.agents.networks import gradients, mlp, mlp_init, require_grad
from course_lib.repro import load_or_run
from course_lib.worlds import classics, torch_control
from course_lib.worlds.grids import gridworld
from course_lib.worlds.mdp import MDP, random_mdp
from course_lib.worlds.torch_control import CartPole
from course_lib.worlds.torch_mdp import OneHot

torch.set_num_threads(1)
ROOT = Path(__file__).parent.parent


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Gradients


@pytest.mark.parametrize("activation", [torch.tanh, torch.relu])
def test_autograd_equals_finite_differences_of_the_loss(activation):
    generator = seeded(0)
    params = require_grad(mlp_init([3, 5, 4, 2], generator, dtype=torch.float64))
    x = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    y = torch.randn(7, 2, generator=generator, dtype=torch.float64)

    def loss(params):
        return huber(2 * (mlp(params, x, activation) - y)).mean()

    grads = gradients(loss(params), params)
    for name, p in params.items():
        for i in range(p.numel()):
            h = torch.zeros(p.numel(), dtype=p.dtype)
            h[i] = 1e-6
            up, down = (loss({**params, name: p + sign * h.view_as(p)}) for sign in (1, -1))
            assert abs((up - down).item() / 2e-6 - grads[name].flatten()[i].item()) < 1e-7


def test_huber_is_torchs_own():
    error = torch.linspace(-3, 3, 61)
    assert torch.allclose(huber(error), torch.nn.functional.huber_loss(error, 0 * error, reduction="none"))


# Targets


def test_double_targets_equal_the_formula_one_by_one():
    generator = seeded(1)
    q2, q2_old = torch.randn(2, 3, 40, 5, generator=generator)
    r, ends = torch.randn(3, 40, generator=generator), torch.rand(3, 40, generator=generator) < 0.3
    double, plain = (q_targets(r, ends, q2, q2_old, 0.9, flag) for flag in (True, False))
    for i, j in np.ndindex(3, 40):
        future = 0.0 if ends[i, j] else 0.9 * q2_old[i, j, int(np.argmax(q2[i, j].numpy()))].item()
        assert double[i, j].item() == pytest.approx(r[i, j].item() + future, abs=1e-6)
        future = 0.0 if ends[i, j] else 0.9 * max(q2_old[i, j].tolist())
        assert plain[i, j].item() == pytest.approx(r[i, j].item() + future, abs=1e-6)
    assert (plain >= double - 1e-6).all() and (plain > double + 0.1).any()


def test_no_gradient_flows_through_a_target():
    run = DQN(OneHot.of(classics.random_walk(3)), 100, envs=2, warm_up=2, hidden=(4,))
    state = run.begin()
    for _ in range(5):
        state = run.update(state)
    assert not state["target"].requires_grad and not state["theta"].requires_grad


def test_one_gradient_step_equals_adam_on_the_loss_written_out():
    """The whole of `_learn`, for 3 agents at once, against torch.optim.Adam on each agent's own loss."""
    run = DQN(OneHot.of(random_mdp(5, 3, 2, rng=np.random.default_rng(0), gamma=0.9)), 400, agents=3,
              envs=4, warm_up=10**9, hidden=(6,), batch=16, gamma=0.9, period=5)  # fmt: skip
    state = run.begin()
    for _ in range(20):
        state = run.update(state)
    state["target"] = torch.randn(state["theta"].shape, generator=seeded(3)) * 0.3
    batch = run._recall(state, seeded(7))
    after = run.params(run._learn(state, seeded(7))["theta"])
    for k in range(3):
        s, s2, a, r, terminated = (x[k] for x in batch)
        own = {name: p[k].clone().requires_grad_(True) for name, p in run.params(state["theta"]).items()}
        old = {name: p[k] for name, p in run.params(state["target"]).items()}
        best = mlp(own, s2).argmax(-1)
        target = r + 0.9 * (1 - terminated) * mlp(old, s2)[torch.arange(16), best]
        loss = torch.nn.functional.huber_loss(mlp(own, s)[torch.arange(16), a], target.detach())
        optimiser = torch.optim.Adam(own.values(), lr=run.rate * (1 - state["lived"] / run.steps))
        loss.backward()
        optimiser.step()
        for name, p in own.items():
            assert torch.allclose(after[name][k], p, atol=1e-6), name


# Memory


def test_memory_holds_what_happened_and_forgets_the_oldest():
    mdp = random_mdp(6, 2, 3, rng=np.random.default_rng(1), gamma=0.9)
    run = DQN(OneHot.of(mdp, horizon=7), 10_000, agents=2, envs=3, replay=(30, 12), warm_up=10**9)
    state, seen = run.begin(), []
    for _ in range(25):
        before, age = state["world"], state["age"]
        state = run.update(state)
        seen.append((before, age))
    for agent, size in enumerate((30, 12)):
        rows = state["memory"][agent, :size]
        s = rows[:, :6].argmax(1).view(-1, 3)
        a, r, terminated = rows[:, -3].long(), rows[:, -2], rows[:, -1]
        assert torch.allclose(r, OneHot.of(mdp).R[rows[:, :6].argmax(1), a]) and not terminated.any()
        kept = size // 3
        for slot in range(kept):  # round t stands in slot t mod kept: the newest ones
            t = max(t for t in range(25) if t % kept == slot)
            assert torch.equal(s[slot], seen[t][0][agent])
        assert state["memory"][agent, size:].abs().sum() == 0 if size < 30 else True
    _, _, a, _, _ = run._recall(state, seeded(0))
    assert a.shape == (2, 128)


def test_agents_do_not_touch_each_other():
    """Agent 0 with and without a companion of another period: the same network after 60 rounds? Not the same
    dice, so compare within one run: changing agent 1's parameters leaves agent 0's step as it was."""
    run = DQN(CartPole(), 1600, agents=2, envs=4, warm_up=8, batch=8)
    state = run.begin()
    for _ in range(10):
        state = run.update(state)
    other = state | {"theta": state["theta"].clone()}
    other["theta"][1] += 1.0
    one, two = run._learn(state, seeded(0))["theta"], run._learn(other, seeded(0))["theta"]
    assert torch.equal(one[0], two[0]) and not torch.equal(one[1], two[1])


def test_each_agent_copies_in_its_own_period():
    run = DQN(CartPole(), 16_000, agents=2, envs=4, warm_up=8, batch=8, period=(3, 5), updates=1)
    state, changes = run.begin(), [[], []]
    for _ in range(40):
        before = state["target"]
        state = run.update(state)
        for k in range(2):
            if not torch.equal(before[k], state["target"][k]):
                changes[k].append(state["learned"])
                assert torch.equal(state["target"][k], state["theta"][k])
    assert changes[0] and all(n % 3 == 0 for n in changes[0])
    assert changes[1] and all(n % 5 == 0 for n in changes[1])


# Q* and time limits


def q_of(result, world):
    eye = torch.eye(world.obs_size)
    return mlp(result["theta"], eye.expand(result["theta"]["W0"].shape[0], -1, -1))


@pytest.mark.stochastic
@pytest.mark.parametrize("hidden", [(), (32,)])
@pytest.mark.parametrize("double", [True, False])
def test_dqn_reaches_the_exact_values_of_a_small_world(hidden, double):
    mdp = gridworld("S..\n...\nP.G", step_reward=-0.1, gamma=0.9)
    world = OneHot.of(mdp, horizon=20)
    result = dqn(world, 8_000, agents=2, hidden=hidden, gamma=0.9, rate=0.01, batch=64, period=20, updates=2,
                 warm_up=200, epsilon=0.5, double=double, show=False)  # fmt: skip
    Q_star = torch.tensor(mdp.backup(planning.solve(mdp)[0]), dtype=torch.float32)
    # Of 96 agents with other seeds the worst was off by .0043, twelve times less than is allowed.
    gap = (q_of(result, world) - Q_star)[:, ~torch.tensor(mdp.terminal)].abs()
    assert gap.amax() < 0.05, gap.amax(dim=(1, 2))


def job() -> MDP:
    """An office that pays 1 a day, for ever: worth 10 at γ = .9, however often training is cut off."""
    return MDP(P=np.ones((1, 1, 1)), R=np.ones((1, 1)), gamma=0.9)


def worth(run_class) -> float:
    run = run_class(OneHot.of(job(), horizon=5), 2_000, gamma=0.9, rate=0.05, period=5, hidden=(), envs=4,
                    warm_up=50, batch=32, updates=2, unit=10.0)  # fmt: skip
    state = run.begin()
    for _ in range(500):
        state = run.update(state)
    return 10 * mlp(run.params(state["theta"]), torch.ones(1, 1, 1)).item()


# One state, one action, the same reward: nothing is random but the first weight, a normal number, which the
# 970 updates of .05 move by 10 and more. Measured 10.000 and 3.66.


@pytest.mark.stochastic
def test_truncation_bootstraps():
    assert worth(DQN) == pytest.approx(10.0, abs=0.1)


@pytest.mark.stochastic
def test_a_learner_that_takes_truncation_for_an_end_is_refused_by_the_same_number():
    class OneFlag(DQN):
        def _remember(self, state, record):
            record = record.clone()
            record[..., -1] = (state["age"] + 1 >= self.world.horizon).float()
            super()._remember(state, record)

    assert worth(OneFlag) < 6  # one step in five looks like an end: 1/(1 − .9 · .8) = 3.6


class Alike(OneHot):
    """Every state looks the same: who counts on after the end takes the end for the start."""

    obs_size = 1

    def observe(self, state):
        return torch.ones(*state.shape, 1)


@pytest.mark.stochastic
def test_termination_does_not_bootstrap():
    """A step ends life and pays 1: worth exactly 1, and 10 for who counts on after the end.

    Nothing is random but the first weight, a normal number: training moves it by 15 and more where it has to.
    """
    last_day = MDP(P=np.array([[[0.0, 1.0]], [[0.0, 1.0]]]), R=np.array([[1.0], [0.0]]), gamma=0.9,
                   start=np.array([1.0, 0.0]), terminal=np.array([False, True]))  # fmt: skip
    settings = dict(gamma=0.9, rate=0.02, period=10, hidden=(), envs=4, warm_up=50, batch=32, updates=2)

    def start_worth():
        world = Alike.of(last_day)
        return q_of(dqn(world, 2_000, show=False, **settings), world).item()

    assert start_worth() == pytest.approx(1.0, abs=0.05)
    right = deep_q.q_targets
    try:  # the mutant: a target that does not look at `terminated`
        deep_q.q_targets = lambda r, terminated, *rest: right(r, 0 * terminated, *rest)
        assert start_worth() > 1.5
    finally:
        deep_q.q_targets = right


# Worlds, runs, kills


@pytest.mark.stochastic
def test_one_hot_worlds_follow_their_mdp():
    """Shares of 20,000 next states against P: max |z| over 18 cells above 6 has probability 4e-8."""
    mdp = random_mdp(6, 3, 4, rng=fixed_rng(2), gamma=0.9)
    world, generator = OneHot.of(mdp), seeded(0)
    for a in range(3):
        state = torch.full((20_000,), 2)
        s2, r, ends = world.step(state, torch.full((20_000,), a), generator)
        share = np.bincount(s2.numpy(), minlength=6) / 20_000
        sd = np.sqrt(mdp.P[2, a] * (1 - mdp.P[2, a]) / 20_000)
        assert (np.abs(share - mdp.P[2, a]) <= 6 * sd).all()
        assert np.allclose(r, mdp.R[2, a], atol=1e-6) and not ends.any()
    walk = classics.random_walk(3)
    s2, _, ends = OneHot.of(walk).step(torch.tensor([1, 3]), torch.tensor([0, 1]), generator)
    assert ends.equal(torch.tensor(walk.terminal)[s2])
    sparse = random_mdp(6, 3, 4, rng=fixed_rng(2), gamma=0.9, sparse=True)
    assert torch.equal(OneHot.of(sparse).cumulative, world.cumulative)


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not():
    settings = dict(agents=2, envs=4, warm_up=20, updates=1, show=False)
    one, two, other = (dqn(CartPole(), 400, seed=seed, **settings)["theta"]["W0"] for seed in (0, 0, 1))
    assert torch.equal(one, two) and not torch.equal(one, other)


SCRIPT = """
import sys, torch
from course_lib.agents import deep_q, training
from course_lib.worlds.torch_control import CartPole
torch.set_num_threads(1)
result = deep_q.dqn(CartPole(), 8_000, agents=1, warm_up=500, updates=1, path=sys.argv[1], show=False)
torch.save(result["theta"], sys.argv[2])
"""


def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path, monkeypatch):
    settings, path = dict(agents=2, envs=4, warm_up=100, batch=16, updates=1, period=7), tmp_path / "run.pt"
    straight = dqn(CartPole(), 1_600, show=False, **settings)
    whole = DQN.update

    def update(run, state):
        if state["lived"] >= 1_300:
            raise KeyboardInterrupt
        return whole(run, state)

    monkeypatch.setattr(DQN, "update", update)
    with pytest.raises(KeyboardInterrupt):
        dqn(CartPole(), 1_600, path=path, show=False, **settings)
    monkeypatch.undo()
    resumed = dqn(CartPole(), 1_600, path=path, show=False, **settings)
    assert all(torch.equal(resumed["theta"][name], p) for name, p in straight["theta"].items())
    assert np.array_equal(resumed["curve"], straight["curve"], equal_nan=True)


def test_validation_chooses_a_network_and_leaves_the_training_alone(monkeypatch):
    """The stand-in of a world plays for `returns_in`: what it says decides which networks are kept."""
    settings = dict(agents=2, envs=4, warm_up=40, batch=4, updates=1, hidden=(3,), show=False)
    plain = dqn(CartPole(), 800, **settings)
    seen, verdicts = [], iter([torch.tensor([[k % 7.0], [-k]]) for k in range(deep_q.TRIALS)])

    def play(choose, world, agents, episodes, generator):
        seen.append(choose)
        return next(verdicts)

    monkeypatch.setattr(deep_q, "returns_in", play)
    chosen = dqn(CartPole(), 800, validate=1, **settings)
    assert len(seen) == deep_q.TRIALS
    obs = torch.randn(2, 50, 4, generator=seeded(0))
    assert all(torch.equal(chosen["last"][name], p) for name, p in plain["theta"].items())
    assert torch.equal(chosen["choose"](obs)[0], seen[34](obs)[0])  # the last of those with 6 points
    assert torch.equal(chosen["choose"](obs)[1], seen[0](obs)[1])  # it only got worse
    assert torch.equal(chosen["choose_last"](obs), plain["choose"](obs))


@pytest.mark.stochastic
def test_returns_in_a_batched_world_are_gymnasiums():
    """A fixed rule of thumb, 1,000 episodes on each side: |z| above 6 has probability 2e-9."""

    def lean(seen):  # push to where the pole falls
        return (seen[..., 2] + seen[..., 3] > 0).long()

    ours = deep_q.returns_in(lean, CartPole(), 2, 500, seeded(1)).flatten()
    theirs = deep_q.returns_on(lean, "CartPole-v1", 2, 500, seed=1).flatten()
    z = (ours.mean() - theirs.mean()) / ((ours.var() + theirs.var()) / 1000).sqrt()
    assert z.abs() < 6 and ours.min() > 20


def test_a_run_kept_for_a_while_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    seen = []
    whole = DQN.update
    monkeypatch.setattr(DQN, "update", lambda run, s: (seen.extend(tmp_path.iterdir()), whole(run, s))[1])
    dqn(CartPole(), 3_400, path=True, show=False, updates=1, batch=2, hidden=(2,))
    assert seen and not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.one_seed("half of it runs in a process of its own")
def test_a_killed_process_goes_on_bit_for_bit(tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "run.pt")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*command, str(tmp_path / "killed.pt")], env=environment)
    for _ in range(6000):
        if (tmp_path / "run.pt").exists():
            break
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            pass
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait()
    assert not (tmp_path / "killed.pt").exists(), "it was too quick to be killed"
    subprocess.run([*command, str(tmp_path / "resumed.pt")], env=environment, check=True, timeout=120)
    resumed = torch.load(tmp_path / "resumed.pt", weights_only=True)
    straight = dqn(CartPole(), 8_000, agents=1, warm_up=500, updates=1, show=False)["theta"]
    assert all(torch.equal(resumed[name], straight[name]) for name in straight)


def test_a_stored_run_with_other_settings_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    dqn(CartPole(), 160, path=path, show=False)
    with pytest.raises(ValueError, match="delete it to start afresh"):
        dqn(CartPole(), 160, gamma=0.5, path=path, show=False)


@pytest.mark.parametrize(
    "wrong, message",
    [
        (dict(steps=4), "steps at least envs"),
        (dict(gamma=1.5), "gamma"),
        (dict(unit=0.0), "unit"),
        (dict(explore=0.0), "explore"),
        (dict(period=0), "period"),
        (dict(replay=(100, 200, 300)), "replay must be"),
        (dict(replay=8), "at least the 16 steps"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        DQN(CartPole(), **{"steps": 1000, "agents": 2, **wrong})


def test_returns_on_gymnasium_are_its_own():
    """Always pushing left: the batch's returns are those of gymnasium.make, one by one."""
    import gymnasium

    def left(seen):
        return torch.zeros(seen.shape[:-1], dtype=torch.long)

    batch = deep_q.returns_on(left, "CartPole-v1", 2, 20, seed=3)
    env, alone = gymnasium.make("CartPole-v1"), []
    for k in range(40):
        env.reset(seed=k)
        alone.append(0.0)
        over = False
        while not over:
            _, r, terminated, truncated, _ = env.step(0)
            alone[-1] += r
            over = terminated or truncated
    # 9 has chance .43: none in 40 with chance 2e-10
    assert batch.shape == (2, 20) and {8.0, 9.0, 10.0, 11.0} >= set(batch.flatten().tolist()) >= {9.0}
    assert {8.0, 9.0, 10.0, 11.0} >= set(alone)


def test_settings_can_be_replaced():
    assert replace(DQN(CartPole(), 1000), agents=3).agents == 3


@pytest.mark.slow
def test_the_chapters_agents_can_be_trained_again(tmp_path, monkeypatch):
    """Runs the very cell of chapter 10 that makes chapters/data/10_twenty_agents.npz: a few minutes."""
    text = (ROOT / "chapters/text/10_function_approximation_and_dqn.md").read_text("utf-8")
    cell = next(cell for cell in text.split("```{code-cell} ipython3\n") if "def twenty_agents" in cell)
    names = {"deep_q": deep_q, "torch_control": torch_control, "np": np, "load_or_run": load_or_run}
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    exec(cell.split("```")[0], names)
    again = names["twenty"]
    stored = load_or_run(ROOT / "chapters/data/10_twenty_agents.npz", names["twenty_agents"], seed=0)
    for runs in (again, stored):
        assert runs["chosen"].shape == (20, 100) and (runs["chosen"].mean(axis=1) >= 475).sum() >= 16


@pytest.mark.slow
def test_the_benchmark_prints_one_table():
    command = [sys.executable, "benchmarks/deep.py", "dqn", "--quick"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    title, head, rule, row = run.stdout.strip().splitlines()
    assert "3,200 environment steps" in title and head.count("|") == rule.count("|") == row.count("|") == 7
