"""Models that adapt from the last k steps, and the pendulums they are asked about."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from course_lib.agents import dynamics
from course_lib.agents.networks import gru_cell, mlp
from course_lib.agents.training import train
from course_lib.meta import adaptive_dynamics as ad
from course_lib.meta import pendulum_runs as runs
from course_lib.worlds.tasks import PendulumTasks
from course_lib.worlds.torch_pendulums import UNITS, Histories, WiredPendulums, wired_pendulums

torch.set_num_threads(1)  # small tensors: more threads only wait for each other


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(way: str, runs_: int = 2, **sizes) -> tuple[dict, dynamics.Normaliser, ad.Steps]:
    """Untrained parameters of a way, the normaliser of some data, and 3 lives of 12 steps in it."""
    data = some_steps(3, runs_, 12)
    meta = ad.init(way, 3, 1, 2, seeded(1), runs=runs_, hidden=6, memory=4, **sizes)
    return meta, ad.scale_of(data), data


def some_steps(M: int, R: int, T: int, seed: int = 0) -> ad.Steps:
    generator = seeded(seed)
    s, a = torch.randn(M, R, T, 3, generator=generator), torch.randn(M, R, T, 1, generator=generator)
    noise = torch.randn(M, R, T, 2, generator=generator)
    return ad.Steps(s, 2 * a, s[..., :2] * 0.7 + a + 0.1 * noise + 1.0)


# From recent steps to parameters


def test_the_gradient_way_is_one_gradient_step_k_by_k_plus_kappa_long():
    meta, scale, data = small("gradient", alpha=0.3)
    meta["trust"] = torch.tensor([0.0, 1.2])
    phi = ad.by_gradient(meta, scale, data.part(2, 7))
    for m in range(3):
        for r in range(2):
            own = {name: p[r].clone().requires_grad_() for name, p in ad.part(meta, "theta.").items()}
            x = torch.cat([data.s[m, r, 2:7], data.a[m, r, 2:7]], -1)
            x = (x - scale.input_centre[r]) / scale.input_width[r]
            y = (data.target[m, r, 2:7] - scale.target_centre[r]) / scale.target_width[r]
            loss = ((mlp(own, x)[:, :2] - y) ** 2).mean()
            grads = torch.autograd.grad(loss, list(own.values()))
            for (name, p), g in zip(own.items(), grads, strict=True):
                length = 0.3 * 5 / (5 + math.exp(meta["trust"][r]))
                assert torch.allclose(phi[name][m, r], p - length * g, atol=1e-5), name


def test_the_memory_way_shifts_the_first_biases_by_what_the_unit_remembers():
    meta, scale, data = small("memory")
    phi = ad.by_memory(meta, scale, data.part(0, 5))
    unit, theta = ad.part(meta, "unit."), ad.part(meta, "theta.")
    for m in range(3):
        for r in range(2):
            h = torch.zeros(4)
            for t in range(5):
                x = torch.cat([data.s[m, r, t], data.a[m, r, t]])
                x = (x - scale.input_centre[r, 0]) / scale.input_width[r, 0]
                y = (data.target[m, r, t] - scale.target_centre[r, 0]) / scale.target_width[r, 0]
                h = gru_cell({name: p[r] for name, p in unit.items()}, torch.cat([x, y]), h)
            assert torch.allclose(phi["b0"][m, r], theta["b0"][r] + h @ meta["shift"][r], atol=1e-5)
            assert torch.equal(phi["W1"][m, r], theta["W1"][r])


@pytest.mark.parametrize("way", ad.WAYS)
def test_lives_and_runs_do_not_touch_each_other(way):
    meta, scale, data = small(way)
    before = ad.ADAPT[way](meta, scale, data)
    changed = ad.Steps(data.s, data.a, data.target.clone())
    changed.target[1, 0] += 3.0
    after = ad.ADAPT[way](meta, scale, changed)
    touched = {
        (m, r)
        for name in before
        for m in range(3)
        for r in range(2)
        if not torch.allclose(before[name][m, r], after[name][m, r])
    }
    assert touched == (set() if way == "global" else {(1, 0)})


def test_fine_tuning_is_plain_descent_and_can_leave_all_but_the_last_layer():
    meta, scale, data = small("global")
    tuned = ad.FineTuning(0.05, 3)(meta, scale, data)
    params = ad.globally(meta, scale, data)
    for _ in range(3):
        params = {name: p.detach().requires_grad_() for name, p in params.items()}
        grads = torch.autograd.grad(ad.squares(params, scale, data).sum(), list(params.values()))
        params = {n: p - 0.05 * g for (n, p), g in zip(params.items(), grads, strict=True)}
    assert all(torch.allclose(tuned[name], params[name], atol=1e-6) for name in params)
    for rule in ("descent", "adam"):
        last = ad.FineTuning(0.05, 3, rule, last_only=True)(meta, scale, data)
        start = ad.globally(meta, scale, data)
        moved = {name for name in start if not torch.equal(last[name], start[name])}
        assert moved == {"W2", "b2"}
    with pytest.raises(ValueError, match="descent or adam"):
        ad.FineTuning(rule="newton")(meta, scale, data)


# Training


@pytest.mark.stochastic
def test_the_learned_length_of_the_step_is_the_exact_one_on_linear_tasks():
    """Linear tasks y = w·x, w ~ N(0, τ²), x ~ N(0, I_d), noise σ. After one gradient step from 0 of length α,
    the expected error is least at α = k / (k + d + 1 + σ²/τ²): so κ = d + 1 + σ²/τ², here 3 + 1 + 1 = 5.

    Because E[(I − αS)²] = 1 − 2α + α²(1 + (d + 1)/k) for S the mean of k products xxᵀ.
    """
    d, tau, sigma, M, generator = 3, 0.5, 0.5, 4000, seeded(0)
    w = tau * torch.randn(M, 1, d, 1, generator=generator)
    x = torch.randn(M, 1, 24, d, generator=generator)
    y = x @ w + sigma * torch.randn(M, 1, 24, 1, generator=generator)
    exact, risk = d + 1 + (sigma / tau) ** 2, {}
    for kappa in (0.0, 2.0, exact, 10.0):
        total = 0.0
        for k in (1, 2, 4, 8):
            step = k / (k + kappa)
            found = step * (x[:, :, :k].mT @ y[:, :, :k]) / k
            total = total + ((found - w) ** 2).sum(dim=(-2, -1)).mean()
        risk[kappa] = float(total)
    assert min(risk, key=risk.get) == exact  # paired over 4,000 tasks, the others are 14 ± 1 SE worse or more
    # The learner finds it too, from data alone: a linear network (no hidden layer), κ at first e^1.
    theta = {"theta.W0": torch.zeros(1, d, 2), "theta.b0": torch.zeros(1, 2)}
    fixed = {"rate.W0": torch.full((1, d, 2), math.log(0.5)), "rate.b0": torch.full((1, 2), -20.0)}
    meta = theta | fixed | {"trust": torch.tensor([1.0])}
    data = ad.Steps(x, torch.zeros(M, 1, 24, 0), y)
    state = train(*ad.learner("gradient", data, start=meta, rate=0.02, updates=500, batch=300, ahead=8,
                              lengths=(1, 2, 4, 8)), 500, show=False)  # fmt: skip
    found = ad.rates(state["meta"], 4)["W0"][0, :, 0].mean() * 2  # the gradient of a mean square has a 2
    assert abs(found - 4 / (4 + exact)) < 0.06  # off by .003 to .005 under other seeds


@pytest.mark.parametrize("way", ad.WAYS)
def test_a_run_that_was_stopped_goes_on_bit_for_bit(way, tmp_path):
    data = some_steps(6, 2, 20)
    how = dict(lengths=(1, 4), ahead=4, batch=5, hidden=6, seed=3)
    whole, _ = ad.fit(way, data, updates=9, **how)
    path = tmp_path / "run.pt"
    begin, update = ad.learner(way, data, updates=9, **how)
    train(begin, update, 4, path=path, every=1, about=f"{way} dynamics", show=False)
    again, _ = ad.fit(way, data, updates=9, path=path, **how)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_runs_learn_from_their_own_data_alone():
    data = some_steps(6, 2, 20)
    other = ad.Steps(*(x.clone() for x in data))
    other.target[:, 1] *= -5.0
    for way in ad.WAYS:
        how = dict(updates=4, lengths=(2,), ahead=4, batch=5, hidden=6)
        (one, _), (two, _) = (ad.fit(way, x, **how) for x in (data, other))
        assert all(torch.equal(one[name][0], two[name][0]) for name in one)
        assert not all(torch.equal(one[name][1], two[name][1]) for name in one)


@pytest.mark.stochastic
@pytest.mark.parametrize("way", ["gradient", "memory"])
def test_both_ways_learn_to_adapt_where_one_model_for_all_cannot(way):
    """The sign of the action's effect is the task: global models miss all of it, a variance of 1/3."""
    generator = seeded(0)
    a = 2 * torch.rand(200, 1, 24, 1, generator=generator) - 1
    sign = 2.0 * torch.randint(2, (200, 1, 1, 1), generator=generator) - 1
    data = ad.Steps(torch.zeros(200, 1, 24, 1), a, sign * a)
    train_, test = ad.Steps(*(x[:100] for x in data)), ad.Steps(*(x[100:] for x in data))
    how = dict(updates=400, lengths=(4,), ahead=8, hidden=16, memory=8, rate=1e-2)
    meta, scale = ad.fit(way, train_, **how)
    errors = [ad.errors(ad.ADAPT[way], meta, scale, test, k, 8, 8).mean() for k in (0, 4)]
    # No model can have less than 1/3 at k = 0: 8 standard errors (of 800 squares) above .25. With k = 4 it is
    # .0007 to .0065 under other seeds.
    assert errors[0] > 0.25 and errors[1] < 0.08


def test_bad_input_is_refused():
    data = some_steps(3, 1, 20)
    for call, words in (
        (lambda: ad.init("bayes", 3, 1, 2, seeded(0)), "way"),
        (lambda: ad.learner("bayes", data), "way"),
        (lambda: ad.learner("memory", data), "too few"),
        (lambda: ad.learner("memory", data, lengths=(1,), ahead=0), "too few"),
        (lambda: ad.errors(ad.globally, {}, ad.scale_of(data), data, 5, 4), "do not fit"),
        (lambda: ad.errors(ad.globally, {}, ad.scale_of(data), data, 5, 10), "do not fit"),
        (lambda: wired_pendulums(3, swapped=2.0), "swapped"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.parametrize("steps, want", [(0, 0.8), (1, 0.2)])
def test_a_policy_for_an_ensemble_ends_where_chapter_14_says(steps, want):
    """Two members that cost ½ h (θ − c)²: h = (1, 4), c = (0, 1), α = .2. Jointly .8, for one step .2."""
    h, c = torch.tensor([1.0, 4.0]), torch.tensor([0.0, 1.0])
    cost = lambda params: 0.5 * h * (params["theta"] - c) ** 2  # noqa: E731
    found = ad.metapolicy({"theta": torch.tensor(0.5)}, cost, 2, 0.2, steps=steps, updates=600)
    assert abs(found["theta"] - want) < 1e-3


# Judging and planning


def test_errors_are_those_of_the_adapted_model_on_the_next_steps():
    for way in ad.WAYS:
        meta, scale, data = small(way)
        got = ad.errors(ad.ADAPT[way], meta, scale, data, 3, 5, 4)
        params = ad.ADAPT[way](meta, scale, ad.Steps(*(x[:, :, 2:5] for x in data)))
        mean, _ = dynamics.predict(params, scale, data.s[:, :, 5:9], data.a[:, :, 5:9])
        assert torch.allclose(got, ((mean - data.target[:, :, 5:9]) ** 2).mean(2)) and got.shape == (3, 2, 2)
        start = ad.errors(ad.ADAPT[way], meta, scale, data, 0, 5, 4)
        assert torch.allclose(start, ad.errors(ad.globally, meta, scale, data, 0, 5, 4))


def test_each_life_plans_with_its_own_model():
    tasks = wired_pendulums(6, gust=0.0)
    data = ad.random_steps(tasks, 2, 20, seeded(0))  # [3, 2, 20, ...]
    meta, scale = ad.fit("gradient", data, updates=5, lengths=(4,), ahead=4, hidden=8)
    params = ad.by_gradient(meta, scale, data.part(0, 6))
    model = ad.for_planning(params, scale, 3, tasks.observe)
    state, action = tasks.start(5, seeded(1)), torch.rand(6, 5, 1, generator=seeded(2))
    after, reward = model(state, action)
    for m in range(3):
        for r in range(2):
            own = {name: p[m, r] for name, p in params.items()}
            of = dynamics.Normaliser(*(x[r, 0] for x in scale))
            e = 2 * m + r
            mean, _ = dynamics.predict(own, of, tasks.observe(state)[e], action[e])
            assert torch.allclose(after[0, e], state[e] + mean[:, :2], atol=1e-5)
            assert torch.allclose(reward[0, e], mean[:, 2], atol=1e-5)


def test_control_adapts_to_the_last_k_steps_and_writes_down_what_happened():
    tasks = wired_pendulums(4, gust=0.0)
    scale = ad.scale_of(ad.random_steps(tasks, 2, 10, seeded(0)))
    meta, seen = ad.init("global", 3, 1, 3, seeded(1), runs=2, hidden=4), []

    def adapt(meta, scale, recent):
        seen.append(recent)
        return ad.globally(meta, scale, recent)

    how = dict(horizon=3, plans=6, elites=2, rounds=1, limit=2.0)
    life, rewards = ad.control(tasks, adapt, meta, scale, 3, 6, seeded(2), **how)
    assert [x.steps for x in seen] == [1, 2, 3, 3, 3]
    for name in ("s", "a", "target"):
        assert torch.equal(getattr(seen[-1], name), getattr(life, name)[:, :, 2:5])
    assert life.s.shape == (2, 2, 6, 3) and torch.equal(rewards, life.target[..., 2])
    state = tasks.start(1, seeded(2))
    for t in range(6):  # the pendulums do what was written down
        assert torch.allclose(tasks.observe(state)[:, 0], life.s[:, :, t].flatten(0, 1), atol=1e-5)
        after, reward, _ = tasks.step(state, life.a[:, :, t].reshape(4, 1, 1))
        assert torch.allclose((after - state)[:, 0], life.target[:, :, t, :2].flatten(0, 1), atol=1e-5)
        assert torch.allclose(reward[:, 0], rewards[:, :, t].flatten(), atol=1e-5)
        state = after
    _, blind = ad.control(tasks, adapt, meta, scale, 0, 6, seeded(2), **how)
    assert len(seen) == 5 and blind.shape == (2, 2, 6)  # k = 0 asks nobody


@pytest.mark.stochastic
def test_the_true_model_plans_best():
    tasks = wired_pendulums(16, "test", 1)
    scale = ad.scale_of(ad.random_steps(tasks, 1, 5, seeded(0)))
    meta = ad.init("global", 3, 1, 3, seeded(1), hidden=4)
    how = dict(runs.PLANNER, plans=30)
    with_true = ad.control(tasks, None, {}, scale, 0, 80, seeded(2), **how)[1].sum(-1).mean()
    with_none = ad.control(tasks, ad.globally, meta, scale, 0, 80, seeded(2), **how)[1].sum(-1).mean()
    # Over 10 other sets of 16 pendulums −170 ± 24, and 349 ± 35 less: the bounds are 6.7 deviations away.
    assert with_true > -330 and with_none < with_true - 100


# The pendulums


def test_without_wind_and_swapped_wires_these_are_the_ordinary_pendulums():
    tasks = wired_pendulums(5, swapped=0.0, gust=0.0)
    plain = PendulumTasks(tasks.mass, tasks.length, tasks.gravity)
    state, action = tasks.start(3, seeded(0)), 5 * torch.randn(5, 3, 1, generator=seeded(1))
    for mine, theirs in zip(tasks.step(state, action), plain.step(state, action), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)
    swapped = replace(tasks, wires=-torch.ones(5))
    assert torch.allclose(swapped.step(state, action)[0], plain.step(state, -action)[0], atol=1e-6)
    assert torch.allclose(swapped.step(state, action)[1], plain.step(state, action)[1])
    assert torch.equal(tasks[2].push, tasks.push[2:3]) and tasks.calm.gust == 0.0


@pytest.mark.stochastic
def test_gusts_are_normal_and_the_share_of_swapped_wires_is_as_said():
    """Two-sided tests at 1e-7 each (5.3 standard errors)."""
    tasks = wired_pendulums(4000, gust=0.3)
    share = (tasks.wires < 0).double().mean()
    assert abs(share - 0.5) < 5.3 * 0.5 / 4000**0.5
    state, action = tasks.start(10, seeded(0)), torch.zeros(4000, 10, 1)
    after, _, _ = tasks.step(state, action, seeded(1))
    noise = (after[..., 1] - tasks.expected(state, action)).flatten().double()
    n = len(noise)
    assert abs(noise.mean()) < 5.3 * 0.3 / n**0.5
    assert abs(noise.var() / 0.09 - 1) < 5.3 * (2 / n) ** 0.5
    assert torch.allclose(after[..., 0], state[..., 0] + 0.05 * after[..., 1])


def test_a_history_holds_the_last_k_steps_and_no_secret():
    world = Histories(k=2, gust=0.0, count=50)
    state = world.start((3, 4), seeded(0))
    assert state.shape == (3, 4, 14) and world.obs_size == 13
    assert not hasattr(world, "n_actions") and Histories(torques=(-2.0, 2.0)).n_actions == 2
    pendulum = WiredPendulums(*torch.ones(3, 1), gust=0.0)
    body = torch.tensor([[pendulum.lift, pendulum.push]])
    state = torch.cat([torch.tensor([[0.3, 1.0]]), body, torch.zeros(1, 10)], -1)
    plain = state[None, :, :2]
    for torque in (0.5, -7.0, 1.5):
        before, plain_before = state, plain
        state, reward, _ = world.step(state, torch.tensor([[torque]]), seeded(1))
        plain, theirs, _ = pendulum.step(plain, torch.tensor([[[torque]]]))
        assert torch.allclose(state[:, :2], plain[0], atol=1e-6) and torch.allclose(reward, theirs[0])
        assert torch.equal(state[:, 4:9], before[:, 9:])
        row = torch.cat([pendulum.observe(plain_before)[0, 0], torch.tensor([max(min(torque, 2), -2)]),
                         plain[0, :, 1] - plain_before[0, :, 1]])  # fmt: skip
        assert torch.allclose(state[0, 9:], row / UNITS, atol=1e-6)
    seen, other = world.observe(state), state.clone()
    other[:, 2:4] += 1.0
    assert torch.equal(seen, world.observe(other)) and seen.shape[-1] == world.obs_size
    numbered = Histories(k=0, torques=(-2.0, 2.0), gust=0.0, count=5)
    free, first = Histories(k=0, gust=0.0, count=5), numbered.start(4, seeded(0))
    pushed = free.step(first, torch.full((4, 1), 2.0), seeded(1))
    assert torch.equal(numbered.step(first, torch.ones(4, dtype=torch.long), seeded(1))[0], pushed[0])


# The chapter's runs


@pytest.fixture
def quick(monkeypatch):
    """Few judges, who plan badly."""
    monkeypatch.setattr(runs, "JUDGES", 2)
    monkeypatch.setattr(runs, "PLANNER", {"horizon": 2, "plans": 3, "elites": 2, "rounds": 1, "limit": 2.0})


def test_a_killed_run_counts_real_steps_and_goes_on_bit_for_bit(quick, monkeypatch, tmp_path):
    sizes = dict(runs=2, rounds=2, lives=4, updates=3, hidden=4, k=2)
    real, returns = runs.model_based(0, "memory", **sizes)
    assert real.tolist() == [200, 400] and returns.shape == (2, 2) and (returns < 0).all()
    fit, fits = ad.fit, []

    def killed(*args, **more):
        fits.append(args)
        if len(fits) == 2:
            raise KeyboardInterrupt
        return fit(*args, **more)

    monkeypatch.setattr(ad, "fit", killed)
    for error in (KeyboardInterrupt, None):
        if error:
            with pytest.raises(error):
                runs.model_based(0, "memory", path=tmp_path / "run.pt", **sizes)
        else:
            again = runs.model_based(0, "memory", path=tmp_path / "run.pt", **sizes)[1]
    assert len(fits) == 3 and np.array_equal(again, returns)


def test_model_free_curves_count_real_steps(quick):
    how = dict(runs=2, steps=240, looks=2, warm_up=100, hidden=(8,), batch=8)
    real, returns = runs.by_values(0, **how)
    assert real.tolist() == [120, 240] and returns.shape == (2, 2)
    real, returns = np.array([40, 80]), np.array([[-5.0, -9], [-1, -9]])
    assert runs.steps_to((real, returns), -2.0).tolist() == [80, np.inf]
    factor, low, high = runs.times_as_many(np.full(10, 2.0), np.arange(10.0, 30, 2))
    assert factor == 9.5 and 5 <= low < factor < high <= 14


def test_errors_are_tuned_on_validation_pendulums_alone(monkeypatch):
    monkeypatch.setattr(runs, "LOOK_BACKS", (0, 4))
    monkeypatch.setattr(runs, "FINE_TUNINGS", runs.FINE_TUNINGS[::16])
    monkeypatch.setattr(
        runs, "held_out", lambda *a, _all=runs.held_out, **k: asked.append(a[0]) or _all(*a, **k)
    )
    asked = []
    found = runs.adaptation(0, runs=2, lives=5, updates=2)
    assert asked[:2] == ["validation", "test"] and set(asked[2:]) == {"test"}
    for name in ("global", "fine-tuned", "corrected", "gradient", "memory", "memory, next step"):
        assert found[name].shape == (2, 2) and (found[name] > 0).all()
    assert np.allclose(found["fine-tuned"][0], found["global"][0])
    assert found["memory, changed"].shape == (len(runs.SINCE), 2, 2)


def test_wires_are_swapped_when_they_are_said_to_be():
    once, late = runs.held_out("test", count=5), runs.held_out("test", count=5, since=4)
    same = torch.isclose(once.target, late.target).all(dim=-1)[:, 0]
    assert same[:, : runs.AT - 4].all() and not same[:, runs.AT - 4].any()


def test_all_agents_are_judged_on_the_same_pendulums():
    """Torque 0 for ever, without wind, brings the same return in both judges' worlds."""
    tasks = replace(runs.judges(1, "test"), gust=0.0)
    state, total = tasks.start(1, seeded(runs.JUDGING_SEED)), 0.0
    for _ in range(200):
        state, reward, _ = tasks.step(state, torch.zeros(len(tasks), 1, 1))
        total = total + reward.mean()
    world = Histories(k=1, gust=0.0, count=5)
    played = runs.play(lambda obs: torch.zeros(*obs.shape[:-1], 1), world, 1, "test")
    assert abs(played.item() - total.item()) < 0.5


@pytest.mark.slow
def test_adapted_models_predict_better_than_a_fine_tuned_one():
    """Remakes part of chapters/data/18_errors.npz, with three runs."""
    found = runs.adaptation(1, runs=3)
    for way in ("gradient", "memory"):  # at k = 32, fine-tuning has caught up with the memory
        assert (found[way] < found["fine-tuned"])[2:6].all(), way
    assert found["memory, next step"][-1].min() > found["memory"][-1].max()


@pytest.mark.slow
def test_a_model_that_adapts_swings_up_after_a_few_thousand_real_steps():
    """Remakes part of chapters/data/18_steps.npz, with two runs."""
    curve = runs.model_based(1, runs=2, rounds=5)
    assert runs.steps_to(curve, -350).max() <= 5000
