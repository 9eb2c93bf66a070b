"""Fine-tuning: which parameters move, closed forms, promises of old episodes, the gate, and the splits."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib import repro
from course_lib.agents.networks import gradients, mlp_init, per_task, require_grad
from course_lib.agents.training import train
from course_lib.meta import maml, recurrent, relatives, tuning
from course_lib.meta import tuning_runs as runs

SPLITS = ("train", "validation", "test")
DATA = Path(__file__).parent.parent / "chapters/data"


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_tasks(M: int = 4, split: str = "train"):
    return relatives.relatives(1, M, 0.5, split)


def some_policies(tasks, seed: int = 0) -> dict:
    theta = mlp_init([tasks.obs_size, 6, tasks.n_actions], seeded(seed))
    theta["W0"] = 3 * theta["W0"]
    return {name: p.clone() for name, p in per_task(theta, len(tasks)).items()}


# Which parameters move


def test_the_four_settings_by_hand():
    theta = mlp_init([3, 4, 5, 2], seeded(0))
    assert tuning.movable(theta, "all") == ["W0", "b0", "W1", "b1", "W2", "b2"]
    assert tuning.movable(theta, "weights") == ["W0", "W1", "W2"]
    assert tuning.movable(theta, "biases") == ["b0", "b1", "b2"]
    assert tuning.movable(theta, "head") == ["W2", "b2"]
    numbers = 3 * 4 + 4 + 4 * 5 + 5 + 5 * 2 + 2
    assert tuning.share(theta, "biases") == pytest.approx(11 / numbers)
    assert tuning.share(theta, "weights") + tuning.share(theta, "biases") == pytest.approx(1)
    assert tuning.share(theta, "head") == pytest.approx(12 / numbers)
    assert tuning.share(per_task(theta, 7), "head") == pytest.approx(12 / numbers)


@pytest.mark.parametrize("setting", tuning.SETTINGS)
def test_what_is_frozen_keeps_its_bits_and_the_rest_moves(setting):
    tasks = some_tasks()
    theta = require_grad(some_policies(tasks))
    loss = tuning.fresh_episodes(tasks, 4, seeded(1))
    phi = maml.adapt(theta, loss, 0.1, 3, False, tuning.movable(theta, setting))
    for name in theta:
        moved = not torch.equal(phi[name], theta[name])
        assert moved is (name in tuning.movable(theta, setting))


# The expected loss of freezing


@pytest.mark.stochastic
@pytest.mark.parametrize("n, k", [(12, 4), (12, 0), (30, 5), (14, 6)])
def test_the_expected_loss_of_freezing_is_exact(n, k):
    rng, tau, noise = np.random.default_rng([n, k]), np.linspace(1.0, 0.1, 8), 0.7
    M = 60_000
    w, x = tau * rng.normal(size=(M, 8)), rng.normal(size=(M, n, 8))
    y = (x @ w[:, :, None])[:, :, 0] + noise * rng.normal(size=(M, n))
    fit, f = np.zeros((M, 8)), x[:, :, :k]
    if k:
        gram = f.swapaxes(1, 2) @ f
        fit[:, :k] = np.linalg.solve(gram, f.swapaxes(1, 2) @ y[:, :, None])[:, :, 0]
    loss = noise**2 + ((fit - w) ** 2).sum(1)  # on a new point, its own luck averaged
    exact = tuning.expected_loss(n, k, noise, (tau[k:] ** 2).sum())
    within = 6 * loss.std() / math.sqrt(M)  # a false alarm below 1e-8
    assert abs(loss.mean() - exact) < within
    left = (tau[k:] ** 2).sum()
    wrong = [noise**2 + left + noise**2 * k / (n - k - 1)]  # frozen weights that add no noise to the fit
    wrong += [(noise**2 + left) * (1 + k / n)]  # as if the inputs did not vary
    assert k == 0 or all(abs(loss.mean() - other) > within for other in wrong)


def test_the_expected_loss_at_its_ends():
    assert tuning.expected_loss(5, 0, 1.0, 2.0) == 3.0
    assert tuning.expected_loss(0, 0, 1.0, 2.0) == 3.0
    assert tuning.expected_loss(5, 4, 1.0, 0.0) == math.inf
    assert tuning.expected_loss(6, 4, 1.0, 0.0) == 5.0
    with pytest.raises(ValueError, match="negative"):
        tuning.expected_loss(5, -1, 1.0, 0.0)


# Policies


@pytest.mark.stochastic
def test_a_table_and_its_exact_return():
    tasks = some_tasks()
    theta = some_policies(tasks)
    logits = tuning.table(theta, tasks)
    one = torch.zeros(4, 1, 10)
    one[:, 0, 3] = 1.0
    hidden = torch.tanh(one @ theta["W0"] + theta["b0"][:, None])
    assert torch.allclose(logits[:, 3], (hidden @ theta["W1"])[:, 0] + theta["b1"], atol=1e-6)
    J = tuning.exact_return(theta, tasks)
    total = tuning.collect(theta, tasks, 4000, seeded(2)).total
    z = (total.mean(1) - J) / (total.std(1) / math.sqrt(4000))
    assert z.abs().max() < 5.5  # four comparisons: a false alarm below 2e-7


@pytest.mark.stochastic
@pytest.mark.parametrize("mutant", [False, True])
def test_the_gradient_from_fresh_episodes_is_that_of_the_return(mutant):
    tasks = some_tasks(1)
    theta = require_grad(some_policies(tasks))
    exact = gradients(tuning.exact_return(theta, tasks).sum(), theta)["b1"][0]
    many = tasks[torch.zeros(20_000, dtype=torch.long)]
    copies = require_grad({name: p.detach().expand(20_000, *p.shape[1:]) for name, p in theta.items()})
    each = -gradients(tuning.fresh_episodes(many, 2, seeded(3))(copies).sum(), copies)["b1"]
    each = each / 2 if mutant else each  # a baseline that holds the episode itself
    z = (each.mean(0) - exact) / (each.std(0) / math.sqrt(20_000))
    assert bool(z.abs().max() < 6) is not mutant  # five comparisons: a false alarm below 1e-8


def test_a_promise_is_weighted_importance_sampling():
    tasks = some_tasks(2)
    old, new = some_policies(tasks, 0), some_policies(tasks, 1)
    data = tuning.collect(old, tasks, 5, seeded(4))
    assert torch.allclose(tuning.promised(old, tasks, data), data.total.mean(1), atol=1e-4)
    pis = [torch.softmax(tuning.table(p, tasks), -1).double() for p in (old, new)]
    for m in range(2):
        weight = []
        for e in range(5):
            ratio = 1.0
            for s, a in zip(data.state[m, e], data.action[m, e], strict=True):
                ratio *= float(pis[1][m, s, a] / pis[0][m, s, a])
            weight.append(ratio)
        by_hand = np.dot(weight, data.total[m].tolist()) / np.sum(weight)
        assert float(tuning.promised(new, tasks, data)[m]) == pytest.approx(by_hand, abs=1e-3)


@pytest.mark.stochastic
def test_a_promise_comes_true_with_many_episodes():
    tasks = some_tasks(3)
    old = some_policies(tasks, 0)
    new = {name: p + 0.05 for name, p in old.items()}
    data = tuning.collect(old, tasks, 40_000, seeded(5))
    # The standard error is .03: 6 of them.
    assert (tuning.promised(new, tasks, data) - tuning.exact_return(new, tasks)).abs().max() < 0.2


@pytest.mark.stochastic
def test_again_and_again_ends_by_promising_the_luckiest_episode():
    tasks = relatives.relatives(60, 1, 0.5, "train")  # each with a parent of its own
    theta = some_policies(tasks)
    found = runs.again_and_again(theta, tasks, "all", 0.1, [0, 300], 4, seed=6)
    assert found.shape == (3, 2, 60)
    luckiest = tuning.collect(theta, tasks, 4, seeded(6)).total.max(1).values
    assert (found[0, 1] <= luckiest + 1e-4).all() and (luckiest - found[0, 1]).mean() < 0.5
    # And the truth is another: 3.5 less, with a standard error below .4 over 60 tasks, so 6 of them to 1.
    assert (found[0, 1] - found[2, 1]).mean() > 1.0


@pytest.mark.stochastic
def test_a_learning_curve_learns():
    tasks = some_tasks(20)
    theta = some_policies(tasks)
    curve = runs.learning_curve(theta, tasks, "all", 0.05, [0, 8, 32], seed=7)
    assert torch.allclose(curve[0], tuning.exact_return(theta, tasks), atol=1e-4)
    assert (curve[2] - curve[0]).mean() > 0.5  # 3.5 ± .3 over the 20 worlds


# The gate


def test_the_gate_by_hand():
    before, after = [[1.0, 3.0], [1.0, 3.0], [2.0, 2.0]], [[2.0, 4.0], [0.0, 2.0], [2.0, 2.0]]
    assert tuning.better(before, after).tolist() == [True, False, False]  # a tie changes nothing
    # the difference is 1, its standard error √(2/2 + 2/2) = √2
    assert tuning.better(before[:1], after[:1], margin=0.7).tolist() == [True]
    assert tuning.better(before[:1], after[:1], margin=0.8).tolist() == [False]
    with pytest.raises(ValueError, match="same tasks"):
        tuning.better([[1.0]], [[1.0], [2.0]])
    with pytest.raises(ValueError, match="at least 2"):
        tuning.better([[1.0]], [[2.0]], margin=1.0)


@pytest.mark.stochastic
@pytest.mark.parametrize(
    "mean, spread, noise, margin",
    [(0.0, 0.0, 1.0, 0.0), (0.5, 1.0, 2.0, 0.0), (-1.0, 0.5, 1.0, 1.0), (0.3, 2.0, 0.5, 2.0)],
)
def test_the_worth_of_a_gate_is_exact(mean, spread, noise, margin):
    rng, M = np.random.default_rng(0), 400_000
    change = mean + spread * rng.normal(size=M)
    seen = change + noise * rng.normal(size=M)
    keep = seen > margin * noise
    exact_pair = tuning.gate_worth(mean, spread, noise, margin)
    for sample, exact in zip((seen * keep, change * keep), exact_pair, strict=True):
        # 6 deviations: a false alarm below 1e-8 in all
        assert abs(sample.mean() - exact) < 6 * sample.std() / math.sqrt(M) + 1e-12
    reported, worth = tuning.gate_worth(mean, spread, noise, margin)
    width = math.hypot(spread, noise)
    z = (mean - margin * noise) / width
    curse = noise**2 / width * math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    assert reported - worth == pytest.approx(curse, abs=1e-12)


def test_the_gate_at_its_ends():
    assert tuning.gate_worth(1.0, 0.0, 0.0) == (1.0, 1.0)
    assert tuning.gate_worth(-1.0, 0.0, 0.0) == (0.0, 0.0)
    assert tuning.gate_worth(-1.0, 0.0, 1.0)[1] < 0  # a gate can lose, on average
    with pytest.raises(ValueError, match="negative"):
        tuning.gate_worth(0.0, -1.0, 1.0)


# Families, splits, training


def first_numbers(tasks, draw: int, M: int) -> set:
    rows = slice(draw * M, (draw + 1) * M)
    if hasattr(tasks, "goal"):
        return set(tasks.goal[rows].tolist())
    return {round(float(r), 6) for r in tasks.R[rows, 0, 0]}


@pytest.mark.parametrize("name", runs.FAMILIES)
def test_no_task_is_in_two_splits(name):
    M = 13 if name == "goals" else 40
    parts = {split: runs.family(name, 3, M, split) for split in SPLITS}
    for d in range(3):
        sets = [first_numbers(parts[split], d, M) for split in SPLITS]
        assert all(sets) and len(set.union(*sets)) == sum(map(len, sets))
    sourced = runs.sources(name, 3)
    N = len(sourced) // 3
    for d in range(3):
        mine = first_numbers(sourced, d, N)
        assert not mine & (first_numbers(parts["validation"], d, M) | first_numbers(parts["test"], d, M))


def test_the_draws_of_the_splits_share_their_parent():
    near = [relatives.relatives(3, 4, 0.0, split) for split in SPLITS]
    assert all(torch.equal(near[0].P, other.P) for other in near[1:])


@pytest.mark.stochastic
@pytest.mark.parametrize("method, recipe", [("joint", {}), ("MAML", {"alpha": 0.3, "steps": 1})])
def test_pretraining_learns_and_its_draws_do_not_touch(method, recipe):
    pool = runs.sources("cousins", 2)
    both = runs.pretrain(pool, 2, method, 15, **recipe)
    before = runs.new_policies(pool, 2, seeded(0))
    J = [tuning.exact_return(runs.spread(p, 100), pool) for p in (before, both)]
    assert ((J[1] - J[0]).unflatten(0, (2, 100)).mean(1) > 1).all()
    assert not torch.allclose(both["W1"][0], both["W1"][1])
    mixed = replace(pool, R=torch.cat([pool.R[:100], -pool.R[100:]]))  # another second draw
    other = runs.pretrain(mixed, 2, method, 15, **recipe)
    assert torch.allclose(other["W1"][0], both["W1"][0], atol=1e-5)
    assert not torch.allclose(other["W1"][1], both["W1"][1], atol=1e-2)


def test_pretraining_resumes_bit_for_bit(tmp_path):
    pool = runs.sources("cousins", 1)
    whole = runs.pretrain(pool, 1, "joint", 6, entropy=1.0)
    again = runs.pretrain(pool, 1, "joint", 6, entropy=1.0, path=tmp_path / "run.pt")
    once_more = runs.pretrain(pool, 1, "joint", 6, entropy=1.0, path=tmp_path / "run.pt")
    assert all(torch.equal(whole[n], again[n]) and torch.equal(again[n], once_more[n]) for n in whole)


def test_lives_are_those_of_chapter_13():
    tasks = some_tasks(3)
    params = recurrent.policy_init(10, 5, 8, seeded(8))
    params = {name: p + 0.1 * torch.randn(p.shape, generator=seeded(9)) for name, p in params.items()}
    theirs = recurrent.play(params, tasks, 2, seeded(10), each=2)
    ours = runs.live({name: p[None] for name, p in params.items()}, tasks, 2, 2, seeded(10))
    assert torch.equal(theirs.actions, ours.actions) and torch.equal(theirs.states, ours.states)
    assert torch.equal(theirs.ends, ours.ends) and torch.equal(theirs.rewards, ours.rewards)
    for name in ("log_probs", "values", "entropies"):
        assert torch.allclose(getattr(theirs, name), getattr(ours, name), atol=1e-5)
    R = relatives.tables(tasks)[1]
    assert torch.equal(runs.quiet(tasks, ours)[4, 1, 0], R[1, ours.states[4, 1, 0], ours.actions[4, 1, 0]])


@pytest.mark.stochastic
def test_rl2_learns_and_resumes(tmp_path):
    pool, recipe = (
        runs.sources("goals", 2),
        recurrent.Recipe(30, each=6, hidden=16, rate=0.03, gamma=0.98, lam=0.9),
    )
    whole = runs.rl2(pool, 2, recipe, path=tmp_path / "rl2.pt")
    first = runs.rl2(pool, 2, replace(recipe, updates=1))
    score = [runs.by_episode(p, pool, 1).mean() for p in (first, whole)]
    assert score[1] - score[0] > 0.15
    learner, path = runs.rl2_learner(pool, 2, recipe), tmp_path / "killed.pt"
    straight = train(*learner, 4, show=False)["params"]
    train(*learner, 2, path=path, every=2, show=False)  # killed here
    again = train(*learner, 4, path=path, show=False)["params"]
    assert all(torch.equal(straight[name], again[name]) for name in whole)


@pytest.fixture
def small_study(monkeypatch):
    small = dict(DRAWS=2, TARGETS=4, LOOKS=(0, 2), ALPHAS=(0.1, 0.3), ENTROPIES=(1.0,), UPDATES=3)
    small |= dict(META=({"alpha": 0.3, "steps": 1},), RL2={"goals": recurrent.Recipe(2, hidden=8)})
    small |= dict(SAME=(2,), SAME_LOOKS=(0, 1), SAME_ALPHAS=(0.1,), GATE_STEPS=1, HELD_OUT=3, BATCH=4)
    for name, value in small.items():
        monkeypatch.setattr(runs, name, value)


def test_the_study_in_small(small_study, tmp_path, monkeypatch):
    monkeypatch.setattr(runs.recurrent, "running", lambda name: tmp_path / f"{name}.pt")
    found = runs.curves("goals")
    assert {name: tuple(x.shape) for name, x in found.items()} == {
        **{setting: (2, 2, 2, 2) for setting in tuning.SETTINGS},
        "MAML": (4, 2, 2, 2),
        "scratch": (2, 2, 2, 2),
    }
    assert torch.equal(found["all"][0, :, 0], found["all"][1, :, 0])  # before any step α does not matter
    assert torch.equal(found["all"][0, :, 0], found["biases"][0, :, 0])
    lives = runs.remembering("goals")
    assert {split: tuple(x.shape) for split, x in lives.items()} == dict.fromkeys(SPLITS, (16, 2))


def test_whoever_knows_the_task_earns_what_value_iteration_says():
    tasks = runs.family("goals", runs.DRAWS, runs.TARGETS, "test")
    steps = tasks.goal // 5 + tasks.goal % 5  # from the corner, then staying on the goal
    assert runs.known("goals") == pytest.approx(
        float((16 - steps - 0.1 * (steps - 1)).float().mean()), abs=1e-4
    )
    assert runs.known("siblings") > 17.5


def test_a_study_names_family_and_part():
    found = runs.study(lambda name, seed: {"x": torch.tensor([len(name), seed])}, ["goals"])(seed=3)
    assert list(found) == ["goals: x"] and found["goals: x"].tolist() == [5, 3]


def test_the_gate_and_old_episodes_in_small(small_study):
    data = runs.gated("goals")
    assert data["returns"].shape == (3, 2, 2, 2, 2, 3) and data["exact"].shape == (3, 2, 2, 2)
    assert torch.equal(data["exact"][0, 0], data["exact"][2, 0])  # everybody begins alike
    before, after = data["returns"][0, 0].float()
    assert (before != after).any() and (data["returns"][0, 0] != data["returns"][0, 1]).any()  # four sets
    again = runs.reused("goals")["same"]
    assert again.shape == (4, 1, 1, 2, 3, 2, 2)
    assert (again[:, 0, 0, :, 0, 0] - again[:1, 0, 0, :, 0, 0]).abs().max() < 1e-4


# What the chapter reports


def stored(name: str) -> dict[str, np.ndarray]:
    found, trouble = repro.load(DATA / f"19_{name}.npz", seed=0)
    assert not trouble
    return found


def half(x: np.ndarray) -> float:
    """Half a 95 % interval over the draws, the last axis."""
    return 2.26 * x.std(ddof=1) / math.sqrt(len(x))


def after_256(family: str, plan: str) -> np.ndarray:
    """Test returns [draw] with what validation tasks chose."""
    scores = stored("curves")[f"{family}: {plan}"][:, :, -1]  # [choices, 2, draws]
    return scores[scores[:, 0].argmax(0), 1, np.arange(10)]


@pytest.mark.parametrize("name", ["cousins", "goals"])
def test_biases_alone_come_last_and_the_other_three_are_level(name):
    found = {setting: after_256(name, setting) for setting in tuning.SETTINGS}
    for setting in ("all", "weights", "head"):
        lead = found[setting] - found["biases"]
        assert lead.mean() > half(lead)
        level = found[setting] - found["all"]
        assert abs(level.mean()) <= half(level) + 0.1


def careful(family: str) -> int:
    """The position of the gate's α that validation tasks prefer, from the same start after as many steps."""
    e, k = runs.ENTROPIES.index(runs.START[family]), runs.LOOKS.index(runs.GATE_STEPS)
    scores = stored("curves")[f"{family}: all"].reshape(len(runs.ENTROPIES), len(runs.ALPHAS), 2, -1, 10)
    places = [runs.ALPHAS.index(alpha) for alpha in runs.GATE_ALPHAS]
    return int(scores[e, places, 0, k].mean(-1).argmax())


@pytest.mark.parametrize("name", runs.FAMILIES)
def test_the_gate_gains_or_loses_nothing_on_fresh_episodes_and_its_report_is_too_kind(name):
    returns = stored("gates")[f"{name}: returns"][careful(name)].astype(float)
    (seen, fresh), keep = (returns[:, 1] - returns[:, 0]).mean(-1), tuning.better(*returns[0])
    seen, fresh = (seen * keep).mean(1), (fresh * keep).mean(1)  # [draw]
    assert fresh.mean() + half(fresh) >= 0
    assert (seen - fresh).mean() > 0
    assert name == "goals" or (seen - fresh).mean() > half(seen - fresh) + 0.2


@pytest.mark.slow
@pytest.mark.one_seed("it remakes a stored result")
def test_the_stored_gates_are_remade():
    kept, new = stored("gates")["siblings: exact"], runs.gated("siblings")["exact"].numpy()
    assert np.abs(new - kept).mean() < 0.1  # other CPUs round otherwise


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: tuning.movable(mlp_init([2, 2], seeded(0)), "heads"), "choose one of"),
        (lambda: runs.family("grids", 1, 1, "test"), "choose from"),
        (lambda: runs.family("goals", 1, 1, "dev"), "choose from"),
    ],
)
def test_mistakes_are_refused_with_the_mend(call, words):
    with pytest.raises(ValueError, match=words):
        call()
