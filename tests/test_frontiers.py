"""Learning in context, credit for exploring, a learned rule: against hand-made, listed and exact answers."""

import itertools
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib import repro
from course_lib.agents import networks
from course_lib.agents.training import train
from course_lib.meta import bandit_lives, frontier_runs, frontiers, in_context, recurrent
from course_lib.oracles import bandits as oracle
from course_lib.worlds.tasks import bandit_tasks, grid_goal_tasks

DATA = Path(__file__).parent.parent / "chapters" / "data"


pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def loud(*sizes, seed: int = 0):
    """A transformer whose predictions differ much from one history to another."""
    params = in_context.transformer_init(*sizes, seeded(seed))
    return params | {"W_out": 30 * params["W_out"], "place": 5 * params["place"]}


def gap(one: torch.Tensor, other: torch.Tensor) -> float:
    return (one - other).abs().max().item()


# Attention


def attend_by_hand(Q, K, V, window=lambda t, u: u <= t, scale=None):
    T, d = Q.shape
    scale, out = scale or d**0.5, np.zeros((T, V.shape[1]))
    for t in range(T):
        weights = {u: np.exp((Q[t] @ K[u]) / scale) for u in range(T) if window(t, u)}
        for u, w in weights.items():
            out[t] += w / sum(weights.values()) * V[u]
    return out


def test_attention_is_a_mean_of_what_came_before():
    Q, K, V = torch.randn(3, 2, 6, 4, generator=seeded(0), dtype=torch.double)
    got = in_context.attend(Q, K, V)
    theirs = torch.nn.functional.scaled_dot_product_attention(Q, K, V, is_causal=True)
    assert gap(got, theirs) < 1e-12
    arrays = [x[1].numpy() for x in (Q, K, V)]
    assert np.abs(attend_by_hand(*arrays) - got[1].numpy()).max() < 1e-12
    for mutant in ({"scale": 1.0}, {"window": lambda t, u: True}, {"window": lambda t, u: u < t or t == 0}):
        assert np.abs(attend_by_hand(*arrays, **mutant) - got[1].numpy()).max() > 1e-2


def test_no_step_sees_what_comes_later_and_every_step_sees_what_came_before():
    params, x = loud(3, 2, 8, 6, 2), torch.randn(1, 8, 3, generator=seeded(1))
    before, _ = in_context.transformer(params, x)
    for t in range(8):
        changed = x.clone()
        changed[0, t] += 1
        after, _ = in_context.transformer(params, changed)
        assert gap(after[0, :t], before[0, :t]) == 0 if t else True
        assert (after[0, t:] - before[0, t:]).abs().amax(-1).min() > 1e-4


def test_networks_side_by_side_step_by_step_and_alone_say_the_same():
    several = [loud(5, 3, 7, 8, 2, seed=s) for s in range(3)]
    x = torch.randn(3, 4, 7, 5, generator=seeded(2))
    together, cached = in_context.transformer(in_context.stacked(several), x)
    alone = torch.stack([in_context.transformer(p, part)[0] for p, part in zip(several, x, strict=True)])
    assert gap(together, alone) < 1e-4
    assert len(cached) == 2 and cached[0][0].shape == (3, 4, 7, 8)
    memory, parts = None, []
    for first, last in ((0, 1), (1, 2), (2, 5), (5, 7)):
        said, memory = in_context.transformer(in_context.stacked(several), x[:, :, first:last], memory)
        parts.append(said)
    assert gap(torch.cat(parts, 2), together) < 1e-4


def test_packing_keeps_networks_to_half_precision():
    params = in_context.stacked([loud(3, 2, 4, 6, 1, seed=s) for s in range(2)])
    back = in_context.unpacked(in_context.packed(params), 3, 2, 4, 6, 1)
    assert list(back) == list(params)
    assert all(torch.allclose(back[k], params[k], rtol=1e-3, atol=1e-6) for k in params)
    with pytest.raises(ValueError, match="of these sizes"):
        in_context.unpacked(in_context.packed(params), 3, 2, 4, 6, 2)


# Lives


def test_what_is_read_of_a_life():
    lives = in_context.guessing_lives(40, 2, seeded(3))
    x, labels = lives.read(torch.tensor([[5, 7], [7, 0]]))
    assert x.shape == (2, 2, 30, 25 + 11) and torch.equal(labels[0, 1], lives.actions[7])
    for t in range(30):
        place, told = x[0, 1, t, :25], x[0, 1, t, 25:]
        assert torch.equal(place, lives.obs[7, t])
        want = torch.zeros(11)
        if t:
            want[lives.actions[7, t - 1]] = 1
            want[5 + lives.actions[7, t - 1]] = lives.rewards[7, t - 1]
            want[10] = t == 15
        assert torch.equal(told, want)


def test_a_life_is_lived_by_what_was_read_of_it():
    tasks = grid_goal_tasks(None, split=None, episode=4)
    params = in_context.stacked([loud(36, 5, 8, 6, 2, seed=s) for s in range(2)])
    actions, rewards = in_context.act(params, tasks, seeded(0), 2, best=True)
    assert actions.shape == (8, 21, 2)
    state, obs = tasks.start(2), []
    for t in range(8):
        obs.append(tasks.observe(state))
        state, reward, _ = tasks.step(state, actions[t])
        assert torch.equal(reward, rewards[t])
        state = state if t != 3 else tasks.start(2)
    ends = torch.arange(1, 9) % 4 == 0
    parts = [x.transpose(0, 1) for x in (torch.stack(obs), actions, rewards)]  # [M, T, S, …]
    for s in range(2):
        o, a, r = (x[:, :, s] for x in parts)
        x, _ = in_context.Lives(o, a, r, ends, a, 5).read(torch.arange(21))
        said, _ = in_context.transformer({k: p[s] for k, p in params.items()}, x)
        assert torch.equal(said.argmax(-1), a)
        quiet, _ = in_context.Lives(o, a, r, 0 * ends, a, 5).read(torch.arange(21))
        assert gap(in_context.transformer({k: p[s] for k, p in params.items()}, quiet)[0], said) > 1e-3


def test_arms_are_paid_from_the_tape():
    tasks = bandit_lives.taped(bandit_tasks(50, 3, 6, seed=1), 1)
    arms = torch.randint(3, (50, 6), generator=seeded(4))
    state, paid = tasks.start(1), in_context.paid(tasks, arms)
    for t in range(6):
        state, reward, _ = tasks.step(state, arms[:, t : t + 1])
        assert torch.equal(reward[:, 0], paid[:, t])


@pytest.mark.stochastic
def test_the_guesser_earns_what_posterior_sampling_earns():
    earned = in_context.guessing_lives(10_000, 2, seeded(5)).rewards.reshape(-1, 2, 15).sum(2).numpy()
    exact, known_to = np.array([2.9796, 7.85]), np.array([5e-5, 0.01])  # see tests/test_hidden_goal.py
    off = np.abs(earned.mean(0) - exact) - known_to
    assert (off < 5.5 * earned.std(0) / 100).all()  # two tests: false alarm below 1e-7


# Imitation


def test_the_loss_is_that_of_the_labels():
    lives = in_context.guessing_lives(6, 1, seeded(6))
    params = in_context.stacked([loud(36, 5, 15, 6, 1, seed=s) for s in range(2)])
    x, labels = lives.read(torch.arange(6).expand(2, 6))
    got = in_context.imitation_loss(params, x, labels)
    said = in_context.transformer(params, x)[0].softmax(-1)
    rows = [(s, n, t) for s in range(2) for n in range(6) for t in range(15)]
    want = [[-said[s, n, t, labels[s, n, t]].log().item() for s, n, t in rows if s == k] for k in range(2)]
    assert got.shape == (2,) and np.allclose(got.detach(), np.mean(want, axis=1), atol=1e-5)


@pytest.mark.stochastic
@pytest.mark.one_seed("one small network in eight is still wrong about a history after these 200 updates")
def test_imitating_thompson_gives_his_probabilities():
    tasks = bandit_lives.taped(bandit_tasks(20_000, 2, 3), 0)
    choice = oracle.thompson_choice(3)
    arms = torch.as_tensor(bandit_lives.play_by_counts(choice, tasks)).T
    lives = in_context.bandit_lives_of(arms, in_context.paid(tasks, arms))
    params = in_context.imitate(lives, in_context.Recipe(200, 256, width=16), (0, 1), show=False)
    x, _ = lives.read(torch.arange(300).expand(2, 300))
    said = in_context.transformer(params, x)[0].softmax(-1)[:, :, :, 1].numpy()
    for t in range(3):
        pulled = np.eye(2)[arms[:300, :t].numpy()]
        sums = (pulled * lives.rewards[:300, :t, None].numpy()).sum(1)
        exact = choice(pulled.sum(1), sums)[:, 1]
        assert np.abs(said[:, :, t] - exact).mean() < 0.04 and np.abs(said[:, :, t] - exact).max() < 0.15


def resumed(tmp_path, begin, update, steps, scores):
    whole = train(begin, update, steps, show=False)

    def dies(state):
        if len(state[scores]) == steps - 2:
            raise KeyboardInterrupt
        return update(state)

    path = tmp_path / f"{scores}.pt"
    with pytest.raises(KeyboardInterrupt):
        train(begin, dies, steps, path=path, every=3, show=False)
    again = train(begin, update, steps, path=path, every=3, show=False)
    return again[scores] == whole[scores] and all(
        torch.equal(again["params"][k], whole["params"][k]) for k in whole["params"]
    )


def test_killed_trainings_end_with_the_same_bits(tmp_path):
    lives = in_context.guessing_lives(30, 1, seeded(7))
    recipe = in_context.Recipe(8, 4, width=6, layers=2)
    assert resumed(tmp_path, *in_context.imitation(lives, recipe, (0, 1)), 8, "losses")
    tasks = frontiers.note_tasks(3)
    learner = frontiers.note_learner(tasks, frontiers.informed, 8, (0, 1), 6, 4, looks=(0, 5))
    assert resumed(tmp_path, *learner, 8, "scores")
    tmp_path = tmp_path / "more"
    assert resumed(tmp_path, *frontiers.rule_learner(8, (0, 1), T=5, batch=7), 8, "scores")


def learners():
    lives = in_context.guessing_lives(30, 1, seeded(7))
    yield in_context.imitation(lives, in_context.Recipe(8, 4, width=6), (0, 1))
    yield frontiers.note_learner(frontiers.note_tasks(3), frontiers.informed, 8, (0, 1), 6, 4)
    yield frontiers.rule_learner(8, (0, 1), T=5, batch=7)


def test_a_network_does_not_feel_the_one_beside_it():
    for begin, update in learners():
        state = begin()
        louder = {name: torch.stack([50 * p[0], p[1]]) for name, p in state["params"].items()}
        alone, beside = update(state)["params"], update(state | {"params": louder})["params"]
        for name, p in alone.items():
            assert torch.allclose(p[1], beside[name][1], atol=1e-7), name
            assert not torch.equal(p[1], state["params"][name][1]) or not p[1].numel()


# The long runs


@pytest.mark.stochastic
def test_recordings_are_of_learners_experts_and_labelled_pulls():
    lives = frontier_runs.recordings(oracle.thompson_choice(20), 3000, 3, noise=0.2)
    best = lives["labelled"].labels
    assert (best == best[:, :1]).all() and torch.equal(lives["expert"].labels, lives["expert"].actions)
    n = best.numel()
    for kind, share in (("expert", 0.9), ("labelled", 0.5)):
        got = (lives[kind].actions == best).double().mean().item()
        assert abs(got - share) < 5.5 * (share * (1 - share) / n) ** 0.5  # false alarm below 1e-7
    means = torch.stack([lives[kind].rewards.mean() for kind in ("labelled", "learner", "expert")])
    known = torch.tensor([0.5, 0.5966, 0.6333])  # of 20: 10, Thompson's 11.93, and 12.67
    assert ((means - known).abs() < 5.5 * 0.32 / 3000**0.5).all()  # a life's mean varies by less than .32


def test_what_networks_stay_behind_is_the_mean_of_the_differences():
    tests = bandit_lives.taped(bandit_tasks(300, 2, 20, "test", 1), 1)
    always = in_context.stacked([in_context.transformer_init(5, 2, 20, 4, 1, seeded(s)) for s in (0, 1)])
    always |= {"W_out": 0 * always["W_out"], "b_out": torch.tensor([[5.0, 0], [0, 5.0]])}
    top = np.full(300, 12.0)
    mean, error = frontier_runs.behind(always, tests, top, best=True)
    gaps = 12 - 20 * tests.p.numpy()
    assert np.allclose(mean, gaps.mean(0), atol=1e-4)
    assert np.allclose(error, gaps.std(0) / 300**0.5, atol=1e-4)


def test_the_likeliest_of_a_choice():
    p = np.array([[0.2, 0.8], [0.5, 0.5], [1.0, 0.0]])
    picks = frontier_runs.likeliest(lambda counts, sums: p)
    assert np.array_equal(picks(0, 0), [[0, 1], [0.5, 0.5], [1, 0]])


@pytest.mark.slow
@pytest.mark.one_seed("it remakes a stored result")
def test_stored_explorers_are_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(recurrent, "running", lambda name: tmp_path / f"{name}.pt")
    stored, trouble = repro.load(DATA / "21_explorers.npz", 2120)
    assert not trouble
    for case, seen in frontier_runs.explorers(
        2120, [(1, n, 0.15, 300) for n in frontier_runs.CREDITS]
    ).items():
        assert ((seen[-1] > 0.9).all(1) == (stored[case][-1] > 0.9).all(1)).all(), case


@pytest.mark.slow
@pytest.mark.one_seed("it remakes a stored result")
def test_stored_readers_are_made_again(tmp_path, monkeypatch):
    for room in (recurrent, in_context):
        monkeypatch.setattr(room, "running", lambda name: tmp_path / f"{name}.pt")
    stored, trouble = repro.load(DATA / "21_readers.npz", 2100)
    assert not trouble
    again = frontier_runs.readers(oracle.thompson_choice(20), oracle.bayes_optimal_choice(2, 20), 2100)
    for kind in set(stored) - {"weights"}:
        assert abs(again[kind][0].mean() - stored[kind][0].mean()) < 0.06, kind


@pytest.mark.slow
@pytest.mark.one_seed("it remakes a stored result")
def test_stored_rules_are_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(recurrent, "running", lambda name: tmp_path / f"{name}.pt")
    stored, trouble = repro.load(DATA / "21_rules.npz", 2130)
    assert not trouble
    p, earned = bandit_tasks(4000, 2, 20, "test", 0).p, []
    for params in (stored, frontier_runs.rules(2130)):
        weight = frontiers.learned({k: torch.tensor(v) for k, v in params.items()})
        earned.append(frontiers.learn_arms(weight, p, 20, seeded(0), 10)[1].sum(0).mean())
    assert abs(earned[0] - earned[1]) < 0.05


# The world of notes


def test_a_step_in_the_world_of_notes():
    tasks = frontiers.note_tasks(3, 2, 0.2)
    assert (tasks.horizon, tasks.n_actions, tasks.obs_size) == (3, 4, 7)
    hall, way, note, inside = (torch.full((3, 1), k) for k in range(4))

    def step(state, action):
        after, reward, terminated = tasks.step(state, torch.full((3, 1), action))
        assert not terminated.any() and len(after.unique()) == 1
        return after[0, 0].item(), [round(r, 6) for r in reward[:, 0].tolist()]

    assert step(hall, 1) == (3, [0, 1, 0])
    assert step(hall, 3) == (1, [-0.2] * 3) and step(way, 3) == (2, [-0.2] * 3)
    assert step(way, 0) == (1, [0] * 3) and step(note, 0) == (2, [0] * 3) and step(note, 3) == (2, [0] * 3)
    assert step(inside, 0) == (3, [0] * 3) and step(inside, 3) == (3, [0] * 3)
    for state in (hall, way, inside):
        assert gap(tasks.observe(state)[0], tasks.observe(state)[2]) == 0
    assert torch.equal(tasks.observe(note)[:, 0, 4:], torch.eye(3))


def by_expectimax(tasks, episodes: int, may_walk: bool) -> float:
    """The best expected total, over all that can be done after all that can be seen, by the world itself."""
    H, A = tasks.horizon, tasks.n_actions

    @cache
    def value(t, state, possible):
        if t == episodes * H:
            return 0.0
        best = -np.inf
        for action in range(A if may_walk else A - 1):
            seen = {}
            for door in possible:
                one = tasks[door]
                after, reward, _ = one.step(torch.tensor([[state]]), torch.tensor([[action]]))
                after = torch.zeros_like(after) if (t + 1) % H == 0 else after
                told = tuple(one.observe(after).ravel().tolist()), reward.item()
                seen.setdefault(told, (after.item(), reward.item(), []))[2].append(door)
            total = sum(
                len(doors) / len(possible) * (reward + value(t + 1, after, tuple(doors)))
                for after, reward, doors in seen.values()
            )
            best = max(best, total)
        return best

    return value(0, 0, tuple(range(tasks.doors)))


@pytest.mark.parametrize("steps, cost, episodes", [(1, 0.3, 2), (1, 0.9, 2), (2, 0.15, 2), (1, 0.4, 3)])
def test_the_best_plan_is_that_of_the_listed_world(steps, cost, episodes):
    tasks = frontiers.note_tasks(3, steps, cost)
    for may_walk in (True, False):
        plan = frontiers.best_plan(3, steps * cost, episodes, may_walk)
        assert by_expectimax(tasks, episodes, may_walk) == pytest.approx(plan, abs=1e-6)
    assert frontiers.best_plan(6, 0.3, 2) == pytest.approx(0.7)
    assert frontiers.best_plan(6, 0.3, 2, note=False) == pytest.approx(3 / 6)


# RL² in it


def test_networks_side_by_side_live_as_each_would_alone(monkeypatch):
    tasks = frontiers.note_tasks(3, 2, 0.2)
    params = frontiers.networks_init(tasks, 5, (4, 7))
    params = params | {"Wp": 20 * params["Wp"], "Wv": 20 * params["Wv"]}
    said = torch.randint(4, (6, 2, 9), generator=seeded(0))  # [T, S, E]: every door three times
    doors = torch.arange(3).repeat_interleave(3).expand(2, -1)
    step = iter(said)
    monkeypatch.setattr(frontiers, "draw", lambda log_pi, generator: next(step))
    got, log_pi = frontiers.play_notes(params, frontiers.replace(tasks, door=doors), 2, seeded(0))
    assert torch.equal(log_pi.gather(-1, said[..., None])[..., 0], got.log_probs)
    each = frontiers.actor_critic(got, got.rewards, 0.1)
    for s in range(2):
        alone = {k: p[s, 0] if k in ("b", "bp", "bv") else p[s] for k, p in params.items()}
        step = iter(said[:, s].reshape(6, 3, 3))
        monkeypatch.setattr(recurrent, "draw", lambda log_pi, generator, step=step: next(step))
        run = recurrent.play(alone, tasks, 2, seeded(0), each=3)
        for name in ("actions", "rewards", "ends", "log_probs", "entropies", "values", "states"):
            one, other = getattr(run, name).reshape(6, 9), getattr(got, name)[:, s]
            assert gap(one.double(), other.double()) < 1e-5, name
        loss = recurrent.actor_critic_loss(run, run.rewards, 1.0, 0.1)
        assert each[s].item() == pytest.approx(loss.item(), abs=1e-5)


# Credit, exactly: every life of a tiny world is lived once, and weighed by its probability

TINY = frontiers.note_tasks(2, 1, 0.3)
LIVES = list(itertools.product(range(3), repeat=4))


@pytest.fixture
def listed(monkeypatch):
    """run() lives all 81 lives with either door; with the actor's parameters, and the chance of each life."""
    written = torch.tensor(LIVES * 2).T[:, None]  # [T, 1, E]
    both = torch.tensor([0] * len(LIVES) + [1] * len(LIVES))[None]

    def run():
        step = iter(written)
        monkeypatch.setattr(frontiers, "draw", lambda log_pi, generator: next(step))
        params = frontiers.networks_init(TINY, 4, (8,))
        params = {k: 3 * p for k, p in params.items()} | {"Wp": params["Wh"][:, :, :3]}
        params = networks.require_grad(params)
        lived, _ = frontiers.play_notes(params, frontiers.replace(TINY, door=both), 2, seeded(0))
        chance = lived.log_probs.sum(0).exp() / 2
        assert chance.sum().item() == pytest.approx(1, abs=1e-5)
        return {k: v for k, v in params.items() if k not in ("Wv", "bv")}, lived, chance

    return run


def flat(grads) -> torch.Tensor:
    return torch.cat([g.ravel() for g in grads.values()])


def true_gradient(run, first: int) -> torch.Tensor:
    """That of the expected reward from step `first` on."""
    actor, lived, chance = run()
    return flat(networks.gradients((chance * lived.rewards[first:].sum(0)).sum(), actor))


def expected_estimate(run, credit) -> torch.Tensor:
    """What the policy gradient is on average, with credit(lived) as the weights of the scores."""
    actor, lived, chance = run()
    surrogate = (chance.detach() * (lived.log_probs * credit(lived)).sum(0)).sum()
    return flat(networks.gradients(surrogate, actor))


def to_go(credit):
    return lambda lived: recurrent.returns_to_go(credit(TINY, lived), 1.0)


def cut(credit):  # a mutant: the return ends with the episode, so nobody is credited for exploring
    def weights(lived):
        rewards = credit(TINY, lived)
        return torch.cat([recurrent.returns_to_go(part, 1.0) for part in (rewards[:2], rewards[2:])])

    return weights


def test_each_credit_follows_its_own_objective(listed):
    whole, later = true_gradient(listed, 0), true_gradient(listed, 2)
    assert gap(whole, later) > 0.01
    assert gap(expected_estimate(listed, to_go(lambda tasks, run: run.rewards)), whole) < 1e-5
    assert gap(expected_estimate(listed, to_go(frontiers.later_only)), later) < 1e-5
    assert gap(expected_estimate(listed, cut(frontiers.later_only)), later) > 1e-3
    assert gap(expected_estimate(listed, cut(lambda tasks, run: run.rewards)), whole) > 1e-3


@pytest.mark.parametrize("doors, steps", [(2, 1), (4, 1), (3, 2)])
def test_information_is_the_fall_of_the_exact_entropy(doors, steps):
    tasks = frontiers.note_tasks(doors, steps, 0.1)
    params = frontiers.networks_init(tasks, 4, (9,) * doors)
    door = torch.arange(doors)[:, None].expand(-1, 60)
    run, _ = frontiers.play_notes(params, frontiers.replace(tasks, door=door), 2, seeded(9))
    got, H = frontiers.informed(tasks, run), tasks.horizon
    assert torch.equal(got[H:], run.rewards[H:])
    for task, life in itertools.product(range(doors), range(60)):
        actions, possible = run.actions[:H, task, life].tolist(), set(range(doors))
        states = torch.zeros(doors, 1, dtype=torch.long)
        for t, action in enumerate(actions):
            states, rewards, _ = tasks.step(states, torch.full_like(states, action))
            told = [(*tasks.observe(states)[d, 0].tolist(), rewards[d, 0].item()) for d in range(doors)]
            left = {d for d in possible if told[d] == told[task]}
            fall = np.log(len(possible)) - np.log(len(left))
            assert got[t, task, life].item() == pytest.approx(fall, abs=1e-5)
            possible = left


def test_habits_are_those_of_a_forced_life():
    tasks = frontiers.note_tasks(3, 2, 0.2)
    params = frontiers.networks_init(tasks, 6, (10, 11))
    params = params | {"Wp": torch.randn(2, 6, 4, generator=seeded(11))}
    for s, (first, right) in enumerate(frontiers.habits(params, tasks).tolist()):
        p = {k: v[s, 0] if k in ("b", "bp", "bv") else v[s] for k, v in params.items()}
        reads = []
        for door in range(3):
            seen = [torch.zeros(16) for _ in range(4)]  # place [4], note [3], action [4], reward [4], end
            for t, (place, end) in enumerate([(0, 0), (1, 0), (2, 0), (0, 1)]):
                seen[t][place], seen[t][15] = 1, end
                seen[t][10] = t > 0  # walked
                seen[t][14] = -0.2 if t in (1, 2) else 0
            seen[2][4 + door] = 1
            h = torch.zeros(6)
            chances = []
            for x in seen:
                h = networks.gru_cell(p, x, h)
                chances.append((h @ p["Wp"] + p["bp"]).softmax(-1))
            assert chances[0][3].item() == pytest.approx(first, abs=1e-6)
            reads.append(chances[3][door].item())
        assert right == pytest.approx(np.mean(reads), abs=1e-6)


# A learned rule


def logits_by_hand(weight, arms, rewards, K):
    """What each arm's probability was when it was pulled, recomputed step by step: [T]."""
    z, pulls, total, out = np.zeros(K), np.zeros(K), 0.0, []
    for t, (a, r) in enumerate(zip(arms, rewards, strict=True)):
        pi = np.exp(z) / np.exp(z).sum()
        out.append(np.log(pi[a]))
        seen = [torch.tensor([[float(x)]]) for x in (r, pi[a], (total + 0.5) / (t + 1), pulls[a])]
        z = z + weight(*seen, t).item() * (np.eye(K)[a] - pi)
        pulls[a] += 1
        total += r
    return out


def test_a_rule_moves_a_table_as_it_says(monkeypatch):
    params = {k: p[None] for k, p in networks.mlp_init(frontiers.SIZES, seeded(12)).items()}
    said = torch.randint(3, (5, 4), generator=seeded(13))
    for weight in (frontiers.reinforce(1.5), frontiers.learned(params)):
        step = iter(said)
        monkeypatch.setattr(frontiers, "draw", lambda log_pi, generator, step=step: next(step)[None])
        p = torch.tensor([[1.0, 0, 1], [0, 0, 1], [1, 1, 1], [0, 1, 0]])  # luck is settled
        log_probs, means = frontiers.learn_arms(weight, p, 5, seeded(0))
        assert torch.equal(means[:, 0], p.T.gather(0, said))
        for m in range(4):
            by_hand = logits_by_hand(weight, said[:, m].numpy(), means[:, 0, m].numpy(), 3)
            assert np.allclose(log_probs[:, 0, m].detach(), by_hand, atol=1e-4)


def test_a_rule_begins_as_reinforce():
    zero = {k: 0 * p[None] for k, p in networks.mlp_init(frontiers.SIZES, seeded(0)).items()}
    x = torch.rand(4, 1, 5, generator=seeded(1))
    assert torch.equal(frontiers.learned(zero)(*x, 3), frontiers.reinforce(3.0)(*x, 3))


def test_the_rule_follows_the_gradient_of_what_a_life_earns(monkeypatch):
    T, arms = 3, torch.tensor(list(itertools.product((0, 1), repeat=3))).T  # all 8 lives
    first = {k: p[None] for k, p in networks.mlp_init(frontiers.SIZES, seeded(14)).items()}

    def listed():
        step, params = iter(arms), networks.require_grad(first)
        monkeypatch.setattr(frontiers, "draw", lambda log_pi, generator: next(step)[None])
        p = torch.tensor([1.0, 0.0]).expand(8, 2)
        log_probs, means = frontiers.learn_arms(frontiers.learned(params), p, T, seeded(0))
        return params, log_probs, means, log_probs.sum(0).exp()

    params, _, means, chance = listed()
    exact = flat(networks.gradients((chance * means.sum(0)).sum(), params))
    params, log_probs, means, chance = listed()
    weighed = log_probs * 8 * chance.detach()
    got = flat(networks.gradients(frontiers.objective(weighed, means).sum(), params))
    assert chance.sum().item() == pytest.approx(1, abs=1e-5) and exact.abs().max() > 0.01
    assert gap(got, exact) < 1e-5
    params, log_probs, means, chance = listed()
    now = (log_probs * 8 * chance.detach() * means).sum(0).mean(1)  # a mutant: each pull for itself
    assert gap(flat(networks.gradients(now.sum(), params)), exact) > 1e-3
