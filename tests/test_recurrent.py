"""RL²: what the network sees and remembers, its policy gradient by enumeration, fair scores, and resuming."""

import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib.agents import networks
from course_lib.agents.training import train
from course_lib.meta import bandit_lives, recurrent
from course_lib.meta.recurrent import Recipe
from course_lib.oracles import bandits as oracle
from course_lib.worlds.tasks import BanditTasks, bandit_tasks, grid_goal_tasks

pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def loud(obs_size: int, n_actions: int, hidden: int, seed: int = 0) -> dict:
    """A network whose choices differ much from one history to another."""
    params = recurrent.policy_init(obs_size, n_actions, hidden, seeded(seed))
    params = {k: 3 * p for k, p in params.items()}
    return params | {k: torch.randn(params[k].shape, generator=seeded(seed + 1)) for k in ("Wp", "bp", "Wv")}


# What the network sees, and what it remembers: the same, recomputed by NumPy from the record of the run.


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def log_probs_by_hand(params, tasks, run, reset=False, hide=()) -> np.ndarray:
    p = {k: v.double().numpy() for k, v in params.items()}
    T, M, E = run.actions.shape
    A, H = tasks.n_actions, len(p["Wh"])
    h, out = np.zeros((M, E, H)), np.zeros((T, M, E))
    for t in range(T):
        obs = tasks.observe(run.states[t]).numpy()
        a, r, end = np.zeros((M, E, A)), np.zeros((M, E, 1)), np.zeros((M, E, 1))
        if t:
            a = np.eye(A)[run.actions[t - 1].numpy()]
            r = run.rewards[t - 1].numpy()[..., None] * ("reward" not in hide)
            end = run.ends[t - 1].numpy()[..., None] * 1.0
        x = np.concatenate([obs, a, a * r, end * ("end" not in hide)], axis=-1)
        if reset and t:
            h = h * (1 - end)
        gx, gh = np.split(x @ p["Wx"] + p["b"], 3, -1), np.split(h @ p["Wh"], 3, -1)
        z = sigmoid(gx[1] + gh[1])
        h = z * h + (1 - z) * np.tanh(gx[2] + sigmoid(gx[0] + gh[0]) * gh[2])
        logits = h @ p["Wp"] + p["bp"]
        log_pi = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        out[t] = np.take_along_axis(log_pi, run.actions[t].numpy()[..., None], -1)[..., 0]
    return out


def test_the_network_sees_observation_action_reward_and_end_and_remembers_through_episodes():
    tasks = grid_goal_tasks(None, split=None, episode=4)
    params = loud(tasks.obs_size, tasks.n_actions, 7)
    run = recurrent.play(params, tasks, 3, seeded(3), each=2, keep=True)
    assert run.actions.shape == (12, 21, 2) and run.memories.shape == (12, 21, 2, 7)
    got = run.log_probs.numpy()
    assert np.abs(got - log_probs_by_hand(params, tasks, run)).max() < 1e-4
    for mutant in ({"reset": True}, {"hide": ["end"]}, {"hide": ["reward"]}):
        assert np.abs(got - log_probs_by_hand(params, tasks, run, **mutant)).max() > 1e-2, mutant
    assert run.ends.nonzero()[:, 0].unique().tolist() == [3, 7, 11]
    assert (run.states[[0, 4, 8]] == 0).all()  # each episode starts in the corner again
    blind = recurrent.play(params, tasks, 3, seeded(3), see_reward=False)
    assert (
        np.abs(blind.log_probs.numpy() - log_probs_by_hand(params, tasks, blind, hide=["reward"])).max()
        < 1e-4
    )


@dataclass(frozen=True)
class Counter(BanditTasks):
    """A world that counts its steps in the state, and ends by itself where the count is 3."""

    def start(self, episodes, generator=None):
        return torch.ones(len(self), episodes, dtype=torch.long)

    def step(self, state, action, generator):
        state = state + (action == 0)
        return state, torch.zeros(state.shape), state == 3


def test_an_episode_ends_by_the_world_or_by_the_clock_and_starts_anew():
    tasks = Counter(torch.zeros(40, 2), horizon=4)
    run = recurrent.play(loud(0, 2, 5), tasks, 5, seeded(0), each=3)
    for m, e in itertools.product(range(40), range(3)):
        count, clock = 1, 0
        for t in range(20):
            assert run.states[t, m, e] == count
            count, clock = count + int(run.actions[t, m, e] == 0), clock + 1
            assert bool(run.ends[t, m, e]) == (count == 3 or clock == 4)
            if count == 3 or clock == 4:
                count, clock = 1, 0


@pytest.mark.stochastic
def test_draws_follow_the_distribution():
    pi = torch.tensor([0.5, 0.3, 0.19, 0.01])
    drawn = recurrent.draw(pi.log().expand(200_000, 4), seeded(0))
    z = (torch.bincount(drawn, minlength=4) - 200_000 * pi) / (200_000 * pi * (1 - pi)).sqrt()
    assert z.abs().max() < 5.3  # four tests: false alarm below 5e-7


# The gradient, exactly: every history is played once, and weighed by its probability


@dataclass(frozen=True)
class Script(BanditTasks):
    """Task m pays what is written: script[m, n] after n draws; an episode is one pull."""

    script: torch.Tensor | None = None

    def step(self, state, action, generator):
        return state, self.script[:, len(SAID)][:, None], torch.ones(state.shape, dtype=torch.bool)


P, T = torch.tensor([0.8, 0.3]), 4
SAID: list[torch.Tensor] = []  # the steps that were drawn so far


@pytest.fixture
def histories(monkeypatch):
    """The gradient of E[return] by enumeration, and a function credit -> the estimator's expectation."""
    both = list(
        itertools.product(itertools.product((0, 1), repeat=T), itertools.product((0.0, 1.0), repeat=T))
    )
    arms, paid = torch.tensor([a for a, _ in both]), torch.tensor([r for _, r in both])
    luck = torch.where(paid == 1, P[arms], 1 - P[arms]).prod(1)
    script = torch.cat([torch.zeros(len(paid), 1), paid], 1)  # `draw` comes before `step`: from 1 on
    tasks, params = Script(P.expand(len(arms), 2), 1, script), loud(0, 2, 3, seed=4)

    def said(log_pi, generator):
        SAID.append(arms[:, len(SAID)][:, None])
        return SAID[-1]

    def played():
        SAID.clear()
        fresh = networks.require_grad(params)
        run = recurrent.play(fresh, tasks, T, seeded(0))
        chance = luck * run.log_probs.sum(0)[:, 0].exp()
        return {k: v for k, v in fresh.items() if k not in ("Wv", "bv")}, run, chance

    monkeypatch.setattr(recurrent, "draw", said)
    actor, _, chance = played()
    assert chance.sum().item() == pytest.approx(1, abs=1e-5)
    exact = flat(networks.gradients((chance * paid.sum(1)).sum(), actor))

    def expectation(credit):
        actor, run, chance = played()
        surrogate = (run.log_probs * credit(run)).sum(0)[:, 0]
        return flat(networks.gradients((chance.detach() * surrogate).sum(), actor))

    return exact, expectation


def flat(grads: dict) -> torch.Tensor:
    return torch.cat([g.ravel() for g in grads.values()])


def ours(run):
    return recurrent.advantages(run.values.detach(), run.rewards, 1.0)


def without_luck(run):
    return recurrent.advantages(run.values.detach(), P[run.actions] - 0.4, 1.0)


def cut_at_the_ends(run):  # an inner end taken for the end of the return
    return run.rewards - run.values.detach()


def own_action_in_the_baseline(run):
    return ours(run) - P[run.actions]


@pytest.mark.parametrize("credit", [ours, without_luck])
def test_the_expected_gradient_is_that_of_the_whole_trial(histories, credit):
    exact, expectation = histories
    assert exact.abs().max() > 0.1
    assert (expectation(credit) - exact).abs().max() < 2e-5


@pytest.mark.parametrize("credit", [cut_at_the_ends, own_action_in_the_baseline])
def test_a_return_cut_at_inner_ends_and_a_dependent_baseline_are_refused(histories, credit):
    exact, expectation = histories
    assert (expectation(credit) - exact).abs().max() > 1e-2


def test_a_graph_cut_at_each_step_is_refused(histories, monkeypatch):
    exact, expectation = histories
    cell = networks.gru_cell
    monkeypatch.setattr(recurrent.networks, "gru_cell", lambda p, x, h: cell(p, x, h.detach()))
    assert (expectation(ours) - exact).abs().max() > 1e-2


def test_returns_and_advantages_by_their_formulas():
    rng = np.random.default_rng(0)
    r, v = rng.normal(size=(2, 6, 3, 2))
    gamma = 0.9
    G = np.array([sum(gamma ** (u - t) * r[u] for u in range(t, 6)) for t in range(6)])
    R, V = torch.as_tensor(r), torch.as_tensor(v)
    assert np.allclose(recurrent.returns_to_go(R, gamma), G)
    assert np.allclose(recurrent.advantages(V, R, gamma, 1.0), G - v)
    td = r + gamma * np.concatenate([v[1:], np.zeros((1, 3, 2))]) - v
    assert np.allclose(recurrent.advantages(V, R, gamma, 0.0), td)
    half = np.array([sum((gamma * 0.5) ** (u - t) * td[u] for u in range(t, 6)) for t in range(6)])
    assert np.allclose(recurrent.advantages(V, R, gamma, 0.5), half)


# Fair scores on bandits


@pytest.mark.stochastic
def test_the_tape_pays_by_arm_and_pull_whatever_the_order():
    tasks = bandit_lives.taped(bandit_tasks(4000, 3, 8, "test", 0), 1)
    error, variance = tasks.tape.float().mean(-1) - tasks.p, tasks.p * (1 - tasks.p) / 8
    # 6 and 7 standard errors: over 200 seeds the two are 0 ± .91 and 1 ± .014. (The errors are not divided
    # by their deviations one by one: an arm that pays once in 10,000 pulls would outweigh all the others.)
    assert abs(error.sum()) < 6 * variance.sum().sqrt()
    assert 0.9 < (error**2).sum() / variance.sum() < 1.1
    state, seen = tasks.start(1), torch.zeros(4000, 1, 3, dtype=torch.long)
    for t in range(8):
        arm = torch.randint(3, (4000, 1), generator=seeded(t))
        pull = seen.gather(-1, arm[..., None])[:, 0, 0]
        state, reward, terminated = tasks.step(state, arm)
        assert torch.equal(reward[:, 0], tasks.tape[torch.arange(4000), arm[:, 0], pull].float())
        assert not terminated.any()
        seen[torch.arange(4000), 0, arm[:, 0]] += 1
    assert torch.equal(state, seen)


@pytest.mark.stochastic
@pytest.mark.parametrize("arms", [2, 3])
@pytest.mark.parametrize("name", ["bayes", "greedy", "thompson"])
def test_rules_on_tapes_earn_their_exact_expectation(name, arms):
    T, M = 7, 40_000
    makers = {
        "bayes": lambda: oracle.bayes_optimal_choice(arms, T),
        "greedy": oracle.greedy_choice,
        "thompson": lambda: oracle.thompson_choice(T, arms),
    }
    choice = makers[name]()
    tasks = bandit_lives.taped(bandit_tasks(M, arms, T, "test", 5), 6)
    got = bandit_lives.score_by_counts(choice, tasks, 7)
    exact = oracle.expected_rewards(choice, T, n_arms=arms).sum()
    if name == "bayes":
        assert exact == pytest.approx(oracle.bayes_optimal_value(arms, T))
    assert abs(got.mean() - exact) < 5.2 * got.std() / M**0.5  # false alarm 2e-7


def test_both_ways_to_find_the_different_rows_agree():
    rows = np.random.default_rng(0).integers(0, 3, size=(500, 4))
    for base in (3, 10**9):
        code = base ** np.arange(4, dtype=object)
        kinds, which = bandit_lives._distinct(rows, code)
        assert np.array_equal(kinds[which], rows) and len(kinds) == len(np.unique(rows, axis=0))


def test_a_network_and_a_rule_that_choose_alike_score_alike():
    tasks = bandit_lives.taped(bandit_tasks(300, 2, 6, "test", 0), 1)
    params = recurrent.policy_init(0, 2, 3, seeded(0))
    stubborn = params | {"Wp": torch.zeros(3, 2), "bp": torch.tensor([0.0, 1.0])}
    ever_one = bandit_lives.score_by_counts(lambda n, s: np.eye(2)[np.ones(len(n), int)], tasks, 0)
    assert np.allclose(bandit_lives.score(stubborn, tasks, chunk=70), ever_one)
    assert np.allclose(ever_one, 6 * tasks.p[:, 1].numpy(), atol=1e-5)


def test_without_rewards_no_network_can_tell_bandits_apart():
    params = loud(0, 3, 6)
    one, other = (bandit_lives.taped(bandit_tasks(50, 3, 9, "test", k), k) for k in (1, 2))
    runs = [recurrent.play(params, t, 1, seeded(0), see_reward=False) for t in (one, other)]
    assert torch.equal(runs[0].actions, runs[1].actions)  # so each pull pays 1/2 on average, whatever it does
    seeing = [recurrent.play(params, t, 1, seeded(0)) for t in (one, other)]
    assert not torch.equal(seeing[0].actions, seeing[1].actions)


# Learning


@pytest.mark.stochastic
@pytest.mark.one_seed("one training; ten stored ones are held to the same per cent, others end at .8 to 1.2")
def test_it_learns_to_play_five_arms_within_one_per_cent_of_the_optimum():
    def tasks_for(k):
        return bandit_tasks(256, 5, 10, seed=k)

    state = recurrent.learn(tasks_for, Recipe(300), 0, bandit_lives.above_average, show=False)
    tasks = bandit_lives.taped(bandit_tasks(20_000, 5, 10, "test", 1), 2)
    best = oracle.bayes_optimal_choice(5, 10)
    gap = bandit_lives.score_by_counts(best, tasks, 0) - bandit_lives.score(state["params"], tasks)
    assert (
        gap.mean() + 2.576 * gap.std() / 20_000**0.5 < 0.0666 * 1.25
    )  # 1 % is asked; a margin for other CPUs


def test_a_killed_training_ends_with_the_same_bits(tmp_path):
    recipe = Recipe(12, hidden=6, gamma=0.95, lam=0.9, each=2)
    begin, update = recurrent.rl2(lambda k: bandit_tasks(8, 2, 3 + k // 5, seed=k), recipe, 3)
    whole = train(begin, update, 12, show=False)

    def dies(state):
        if len(state["scores"]) == 8:
            raise KeyboardInterrupt
        return update(state)

    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        train(begin, dies, 12, path=path, every=3, show=False)
    again = train(begin, update, 12, path=path, every=3, show=False)
    assert again["scores"] == whole["scores"]
    assert all(torch.equal(again["params"][k], whole["params"][k]) for k in whole["params"])


def test_packing_keeps_the_parameters_to_half_precision():
    params = recurrent.policy_init(3, 4, 5, seeded(0))
    back = recurrent.unpacked(recurrent.packed(params), 3, 4, 5)
    assert list(back) == list(params)
    assert all(torch.allclose(back[k], params[k], rtol=1e-3, atol=1e-6) for k in params)
    with pytest.raises(ValueError, match="give the sizes it had"):
        recurrent.unpacked(recurrent.packed(params), 3, 4, 6)


def test_a_named_run_keeps_what_was_watched_through_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    recipe, test = Recipe(8, hidden=5), bandit_lives.taped(bandit_tasks(30, 2, 6, "test", 0), 1)

    def look(params):
        return bandit_lives.by_pull(params, test)

    whole = bandit_lives.trained(2, 6, recipe, 7, at=(0, 5), look=look)
    assert recurrent.running("rl2_2_6_7").exists() and len(whole["seen"]) == 2
    assert torch.allclose(
        whole["seen"][0],
        look(recurrent.rl2(bandit_lives.fresh_bandits(2, 6, 7, 8), recipe, 7)[0]()["params"]),
    )
    recurrent.running("rl2_2_6_7").unlink()

    def dies(params):
        if len(calls) == 1:
            raise KeyboardInterrupt
        calls.append(1)
        return look(params)

    calls = []
    monkeypatch.setattr(bandit_lives, "train", lambda *a, **k: train(*a, **k, every=2, show=False))
    with pytest.raises(KeyboardInterrupt):
        bandit_lives.trained(2, 6, recipe, 7, at=(0, 5), look=dies)
    again = bandit_lives.trained(2, 6, recipe, 7, at=(0, 5), look=look)
    assert again["scores"] == whole["scores"]
    assert all(map(torch.equal, again["seen"], whole["seen"]))


def test_long_lives_begin_short():
    horizons = [bandit_lives.fresh_bandits(3, 50, 0, 20)(k).horizon for k in range(20)]
    assert horizons == [10] * 5 + [30] * 3 + [50] * 12
    assert bandit_lives.fresh_bandits(3, 20, 0, 20)(0).horizon == 20
    one, two = (bandit_lives.fresh_bandits(3, 20, seed, 20)(0).p for seed in (0, 1))
    assert not torch.equal(one, two)


# The stored runs of chapters 13 and 13b

DATA = Path(__file__).parent.parent / "chapters" / "data"


def stored(name: str) -> dict:
    with np.load(DATA / f"13_{name}.npz") as file:
        return {key: file[key] for key in file.files}


@pytest.mark.stochastic
@pytest.mark.parametrize("horizon, target", [(20, 0.026), (50, 0.134)])
def test_stored_networks_close_60_per_cent_of_greedys_gap(horizon, target):
    run = stored(f"two_arms_{horizon}")
    gap, error = run["gaps"].T
    assert (gap + 2.576 * error <= target).all()
    tasks = bandit_lives.taped(bandit_tasks(30_000, 2, horizon, "test", 77), 78)  # other ones
    ours = bandit_lives.score(recurrent.unpacked(run["weights"][0], 0, 2, 48), tasks)
    d = bandit_lives.score_by_counts(oracle.bayes_optimal_choice(2, horizon), tasks) - ours
    fresh = d.std() / 30_000**0.5
    assert abs(d.mean() - gap[0]) < 5 * (fresh**2 + error[0] ** 2) ** 0.5  # false alarm below 1e-6


def test_stored_networks_for_five_arms_are_within_one_per_cent():
    gap, error = stored("five_arms")["gaps"].T
    assert (gap + 2.576 * error <= 0.01 * oracle.bayes_optimal_value(5, 10)).all() and len(gap) == 10


def test_stored_searchers_earn_what_is_stored():
    run, tasks = stored("grid"), grid_goal_tasks(None, split=None)
    for row, earned in zip(run["weights"], run["earned"], strict=True):
        walk = recurrent.play(recurrent.unpacked(row, 25, 5, 48), tasks, 2, seeded(0), best=True)
        assert np.allclose(walk.rewards.reshape(2, 15, 21).sum(1).mean(1), earned, atol=1e-5)
    first, second = run["earned"].T
    assert (first >= 3.9).all() and (second >= 10.6).all()
    assert (np.abs(second - 11.0714) < 1e-3).sum() == 5  # the others leave a cell off the way


@pytest.mark.slow
@pytest.mark.one_seed("it remakes a stored result")
def test_a_stored_run_can_be_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    best = oracle.bayes_optimal_choice(5, 10)
    gap, error = bandit_lives.many_runs(5, 10, Recipe(300), 1, 100, best, lives=50_000)["gaps"][0]
    assert gap + 2.576 * error <= 0.0666 and abs(gap - stored("five_arms")["gaps"][0, 0]) < 0.02
