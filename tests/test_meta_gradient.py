"""Meta policy gradients: estimators against listed expectations and exact objectives; mutants are refused."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from random_worlds import fixed_rng
from scipy.stats import f as f_distribution

from course_lib import repro
from course_lib.agents.networks import gradients, per_task, require_grad
from course_lib.agents.training import train
from course_lib.meta import listing, navigation, online
from course_lib.meta import meta_gradient as mg
from course_lib.oracles import gradients as exact
from course_lib.worlds.mdp import MDP
from course_lib.worlds.tasks import point_tasks

DATA = Path(__file__).resolve().parent.parent / "chapters" / "data"

torch.set_num_threads(1)
ALPHA, GAMMA, NAMES = 1.5, 0.9, list(mg.ESTIMATORS)


def two_steps(seed: int = 0, slippery: bool = True) -> MDP:
    """Two decisions, then the end: state 0, then 1 or 2, then 3; rewards at both."""
    rng, P, R = fixed_rng(seed), np.zeros((4, 2, 4)), np.zeros((4, 2))
    for a, other in ((0, 1), (1, 0)):
        P[0, a, 1 + a], P[0, a, 1 + other] = (0.8, 0.2) if slippery else (1.0, 0.0)
    P[1:, :, 3] = 1
    R[:3] = rng.normal(size=(3, 2))
    return MDP(P, R, GAMMA, start=np.eye(4)[0], terminal=np.arange(4) == 3)


def three_states(seed: int) -> MDP:
    """Any chain at all, cut after two steps."""
    rng = fixed_rng(seed)
    return MDP(
        rng.dirichlet(np.ones(3), size=(3, 2)),
        rng.normal(size=(3, 2)),
        GAMMA,
        start=rng.dirichlet(np.ones(3)),
    )


def logits(mdp: MDP, seed: int = 1) -> np.ndarray:
    return fixed_rng(seed).normal(size=mdp.R.shape) * ~mdp.terminal[:, None]


# An independent world of formulas: J, ĝ and both objectives, straight from their definitions


def paths(mdp: MDP, T: int = 2):
    """(chance by the world, states, actions, discounted rewards) of every episode."""
    for s in itertools.product(range(mdp.S), repeat=T):
        for a in itertools.product(range(mdp.A), repeat=T):
            chance = mdp.start[s[0]] * np.prod([mdp.P[s[t], a[t], s[t + 1]] for t in range(T - 1)])
            if chance:
                yield chance, s, a, [GAMMA**t * mdp.R[s[t], a[t]] for t in range(T)]


def log_pi(theta, s, a):
    return sum(theta[s[t]].log_softmax(-1)[a[t]] for t in range(len(s)))


def J(mdp: MDP, theta: torch.Tensor) -> torch.Tensor:
    return sum(w * log_pi(theta, s, a).exp() * sum(r) for w, s, a, r in paths(mdp))


def g_hat(theta, path):
    _, s, a, r = path
    rows = []
    for t in range(len(s)):
        score = torch.zeros_like(theta)
        score[s[t]] = torch.eye(theta.shape[1], dtype=theta.dtype)[a[t]] - theta[s[t]].softmax(-1)
        rows.append(sum(r[t:]) * score)
    return sum(rows)


def finite_objective(mdp: MDP, theta, alpha: float, episodes: int):
    """E over all ordered sets of episodes of J(θ + α ĝ)."""
    total = 0.0
    for data in itertools.product(list(paths(mdp)), repeat=episodes):
        chance = 1.0
        for w, s, a, _ in data:
            chance = chance * w * log_pi(theta, s, a).exp()
        step = sum(g_hat(theta, path) for path in data) / episodes
        total = total + chance * J(mdp, theta + alpha * step)
    return total


def slope(objective, theta: np.ndarray) -> np.ndarray:
    point = torch.tensor(theta, requires_grad=True)
    return torch.autograd.grad(objective(point), point)[0].numpy()


def by_step(theta: np.ndarray, mdp: MDP, alpha: float, episodes: int, kind: str) -> np.ndarray:
    """E[(I + α H(D)) ∇J(φ(D))] written out, with H(D) from products of scores."""
    point, total = torch.tensor(theta), 0.0
    for data in itertools.product(list(paths(mdp)), repeat=episodes):
        chance = np.prod([w * float(log_pi(point, s, a).exp()) for w, s, a, _ in data])
        phi = theta + alpha * sum(g_hat(point, path) for path in data).numpy() / episodes
        v = slope(lambda x: J(mdp, x), phi).ravel()
        H = sum(hessian(theta, path, kind) for path in data) / episodes
        total = total + chance * (v + alpha * H @ v)
    return total.reshape(theta.shape)


def hessian(theta: np.ndarray, path, kind: str) -> np.ndarray:
    (S, A), (_, s, a, r) = theta.shape, path
    H, c = np.zeros((S * A, S * A)), np.zeros(S * A)
    for t in range(len(s)):
        p = np.exp(theta[s[t]]) / np.exp(theta[s[t]]).sum()
        score, second = np.zeros((S, A)), np.zeros((S, A, S, A))
        score[s[t]] = np.eye(A)[a[t]] - p
        second[s[t], :, s[t]] = np.outer(p, p) - np.diag(p)
        f, w = score.ravel(), sum(r[t:])
        H += w * (kind != "first-order") * second.reshape(S * A, S * A)
        H += w * (kind in ("LVC", "DiCE")) * np.outer(f, f)
        H += w * (kind == "DiCE") * (np.outer(f, c) + np.outer(c, f))
        c = c + f
    return H


WORLDS = {"slippery": two_steps(), "a tree": two_steps(3, slippery=False), "a chain": three_states(2)}


@pytest.mark.parametrize("name", WORLDS)
def test_listed_episodes_have_the_chances_and_rewards_of_the_world(name):
    mdp = WORLDS[name]
    data, world = listing.every_episode(mdp, 2)
    theta = torch.tensor(logits(mdp))
    pi = theta.softmax(-1)
    chance = world * pi[data.obs, data.action].prod(-1)[0]
    assert abs(float(chance.sum()) - 1) < 1e-12
    value = (chance * (data.reward[0] * torch.tensor([1, GAMMA], dtype=torch.float64)).sum(-1)).sum()
    assert abs(float(value - J(mdp, theta))) < 1e-12
    assert len(world) == len(list(paths(mdp)))


def test_listed_data_sets_are_all_orders_counted():
    for n, episodes in ((4, 1), (4, 3), (3, 5)):
        sets, orders = listing.every_data_set(n, episodes)
        assert orders.sum() == n**episodes and len(sets.unique(dim=0)) == len(sets)
    with pytest.raises(ValueError, match="fewer episodes"):
        listing.every_data_set(8, 30)


@pytest.mark.parametrize("kind", mg.CURVATURES)
def test_every_surrogate_has_the_same_gradient_and_the_second_derivative_it_claims(kind):
    mdp = WORLDS["a chain"]
    theta = logits(mdp)
    worlds = listing.Tables.of([mdp], 2, 1, torch.Generator())
    for i, path in enumerate(paths(mdp)):
        _, s, a, r = path
        data = mg.Data(torch.tensor([[s]]), torch.tensor([[a]]),
                       torch.tensor([[[r[t] / GAMMA**t for t in range(2)]]]), torch.ones(1, 1))  # fmt: skip
        point = {"theta": torch.tensor(theta)[None].requires_grad_(True)}
        value = mg.surrogate(worlds.log_prob(point, data), worlds.weight(data), data.share, kind)
        grad = gradients(value.sum(), point, create_graph=True)["theta"]
        assert torch.allclose(grad[0].detach(), g_hat(torch.tensor(theta), path))
        rows = [torch.autograd.grad(x, point["theta"], retain_graph=True)[0] for x in grad.ravel()]
        label = {"none": "naive", "log": "naive", "ratio": "LVC", "DiCE": "DiCE"}[kind]
        assert np.allclose(torch.stack(rows).reshape(6, 6).numpy(), hessian(theta, path, label)), i


@pytest.mark.parametrize("name", WORLDS)
def test_the_expected_dice_hessian_is_the_hessian_of_j_and_the_others_are_not(name):
    mdp = WORLDS[name]
    theta = logits(mdp)
    true = torch.autograd.functional.hessian(lambda x: J(mdp, x), torch.tensor(theta)).reshape(
        2 * [theta.size]
    )
    point = torch.tensor(theta)
    gaps = {}
    for kind in ("naive", "LVC", "DiCE"):
        mean = sum(
            p[0] * float(log_pi(point, p[1], p[2]).exp()) * hessian(theta, p, kind) for p in paths(mdp)
        )
        gaps[kind] = np.abs(mean - true.numpy()).max()
    assert gaps["DiCE"] < 1e-12 and min(gaps["naive"], gaps["LVC"]) > 0.003


def test_the_naive_expected_hessian_vanishes_for_one_step_and_the_right_baseline():
    """EVIDENCE: with b = J on one-step problems the expected naive second-order term is exactly 0."""
    mdp = MDP(np.ones((1, 3, 1)), np.array([[0.3, 1.0, -0.5]]), 0.9)
    theta = np.array([[0.2, -0.4, 1.0]])
    pi = np.exp(theta[0]) / np.exp(theta[0]).sum()
    for b, zero in ((pi @ mdp.R[0], True), (0.0, False)):
        second = (np.outer(pi, pi) - np.diag(pi)) * (pi @ (mdp.R[0] - b))
        assert (np.abs(second).max() < 1e-12) == zero
    naive, first = (
        listing.expected_estimate(mdp, theta, 1, 1, ALPHA, kind, baseline=[pi @ mdp.R[0]])
        for kind in ("naive", "first-order")
    )
    assert np.abs(naive - first).max() > 1e-3  # with finite data H and ∇J(φ) go together, so not zero


# Expected estimates


@pytest.mark.parametrize("kind", ["first-order", "naive", "LVC", "DiCE"])
@pytest.mark.parametrize("name, episodes", [("slippery", 1), ("a tree", 2), ("a chain", 1)])
def test_the_listed_expectation_is_the_one_written_out_by_hand(kind, name, episodes):
    mdp = WORLDS[name]
    got = listing.expected_estimate(mdp, logits(mdp), 2, episodes, ALPHA, kind)
    assert np.abs(got - by_step(logits(mdp), mdp, ALPHA, episodes, kind)).max() < 1e-10


@pytest.mark.parametrize("name, episodes", [("slippery", 1), ("slippery", 2), ("a tree", 3), ("a chain", 1)])
def test_e_maml_expects_exactly_the_gradient_of_the_finite_objective_and_no_other_does(name, episodes):
    mdp = WORLDS[name]
    theta = logits(mdp)
    want = slope(lambda x: finite_objective(mdp, x, ALPHA, episodes), theta)
    gaps = {
        kind: np.abs(listing.expected_estimate(mdp, theta, 2, episodes, ALPHA, kind) - want).max()
        for kind in NAMES
    }
    assert gaps.pop("E-MAML") < 1e-10 and min(gaps.values()) > 5e-4, gaps


def test_with_much_inner_data_dice_and_e_maml_reach_the_exact_maml_gradient_and_counting_twice_does_not():
    """The gaps to the infinite objective fall like 1/E. What naive leaves out, "DiCE + score" has twice."""
    mdp = WORLDS["a tree"]
    theta = logits(mdp)
    J_after, want = exact.meta_gradient([mdp], theta, 0.7)
    assert (
        abs(J_after - float(J(mdp, torch.tensor(theta + 0.7 * exact.policy_gradient(mdp, theta)[1])))) < 1e-12
    )
    gap = {
        (kind, E): np.linalg.norm(listing.expected_estimate(mdp, theta, 2, E, 0.7, kind) - want)
        / np.linalg.norm(want)
        for kind in NAMES
        for E in (4, 16, 32)
    }
    for kind in ("DiCE", "E-MAML"):
        assert 1.7 < gap[kind, 16] / gap[kind, 32] < 2.3 and gap[kind, 32] < 0.02
    for kind in ("first-order", "naive", "LVC", "DiCE + score"):
        assert gap[kind, 32] > 0.03
    naive, twice = (
        listing.expected_estimate(mdp, theta, 2, 32, 0.7, kind) for kind in ("naive", "DiCE + score")
    )
    assert np.linalg.norm((twice - want) - (want - naive)) < 0.05 * np.linalg.norm(want - naive)


# Samples


COPIES, GROUPS = 40_000, 400


def sampled(mdp, kind: str, episodes: int, baseline=None, copies: int = COPIES, seed: int = 0) -> np.ndarray:
    worlds = listing.Tables.of([mdp], 2, episodes, torch.Generator().manual_seed(seed), copies)
    if baseline is not None:
        worlds = listing.replace(worlds, baseline=torch.tensor(baseline))
    theta = {"theta": torch.tensor(logits(mdp))}
    return mg.estimates(theta, worlds, copies, ALPHA, 1, kind)["theta"].numpy()


def p_value(samples: np.ndarray, want: np.ndarray) -> float:
    """Hotelling's test of "the mean is want", on group means, along the directions in which they scatter."""
    x = samples.reshape(GROUPS, -1, want.size).mean(axis=1) - want.ravel()
    keep = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    rank = int((keep[1] > 1e-9 * keep[1][0]).sum())
    assert np.abs(x.mean(axis=0) - keep[2][:rank].T @ keep[2][:rank] @ x.mean(axis=0)).max() < 1e-9
    y = x @ keep[2][:rank].T
    mean = y.mean(axis=0)
    t2 = GROUPS * mean @ np.linalg.solve(np.cov(y.T), mean)
    return f_distribution.sf(t2 * (GROUPS - rank) / (rank * (GROUPS - 1)), rank, GROUPS - rank)


def standard_errors(samples: np.ndarray, want: np.ndarray) -> float:
    x = samples.reshape(len(samples), -1)
    off, error = x.mean(axis=0) - want.ravel(), x.std(axis=0) / np.sqrt(len(x))
    return np.abs(off[error > 1e-12] / error[error > 1e-12]).max()


# 12 tests with p > 1e-8 each: all false alarms together 1.2e-7. Worlds and logits are those of the lists
# above, whatever the seed.


@pytest.mark.stochastic
@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("episodes, baseline", [(2, None), (1, [0.3, -0.2, 0.5, 0.0])])
def test_sampled_estimates_are_on_average_what_the_list_says(kind, episodes, baseline):
    mdp = WORLDS["slippery"]
    want = listing.expected_estimate(mdp, logits(mdp), 2, episodes, ALPHA, kind, baseline)
    assert p_value(sampled(mdp, kind, episodes, baseline), want) > 1e-8


@pytest.mark.stochastic
@pytest.mark.parametrize(
    "right, mutant",
    [("naive", "first-order"), ("DiCE", "first-order"), ("E-MAML", "naive"), ("E-MAML", "DiCE + score")],
    ids=["no create_graph", "no create_graph in DiCE", "score term dropped", "sampling term counted twice"],
)
def test_mutants_are_refused_by_five_standard_errors(right, mutant):
    # They are 12 to 30 standard errors off: 7 more than are asked for.
    mdp = WORLDS["slippery"]
    want = listing.expected_estimate(mdp, logits(mdp), 2, 2, ALPHA, right)
    samples = sampled(mdp, mutant, 2)
    assert p_value(samples, want) < 1e-8 and standard_errors(samples, want) > 5


@pytest.mark.stochastic
def test_a_lost_create_graph_inside_is_refused(monkeypatch):
    mdp = WORLDS["slippery"]
    want = listing.expected_estimate(mdp, logits(mdp), 2, 2, ALPHA, "DiCE")
    right = mg.adapt
    monkeypatch.setattr(mg, "adapt", lambda *rest, create_graph: right(*rest, create_graph=False))
    assert standard_errors(sampled(mdp, "DiCE", 2), want) > 5


def test_two_inner_steps_of_e_maml_expect_the_gradient_of_their_objective():
    """Both data sets are listed: one episode before the first step, one before the second."""
    mdp = WORLDS["a tree"]
    theta, every = torch.tensor(logits(mdp)), list(paths(mdp))

    def objective(x):
        total = 0.0
        for first, second in itertools.product(every, repeat=2):
            phi = x + 0.5 * g_hat(x, first)
            chance = log_pi(x, *first[1:3]).exp() * log_pi(phi, *second[1:3]).exp()
            total = total + chance * J(mdp, phi + 0.5 * g_hat(phi, second))
        return total

    listed, world = listing.every_episode(mdp, 2)
    n = len(world)
    order = torch.cartesian_prod(torch.arange(n), torch.arange(n))
    one, two = (
        mg.Data(*(x[0][order[:, k]][:, None] for x in listed[:3]), torch.ones(n * n, 1)) for k in (0, 1)
    )
    tables = listing.Tables.of([mdp], 2, 1, torch.Generator())
    worlds = listing._Listed(**vars(tables), listed=listed, first=[one, two])
    params = require_grad(per_task({"theta": theta}, n * n))
    result, _ = mg.objectives(params, worlds, 0.5, 2, "E-MAML")
    each = gradients(result.sum(), params)["theta"]
    chance = []
    for first, second in itertools.product(range(n), repeat=2):
        at = lambda k: next(p for p in every if p[2] == tuple(listed.action[0, k].tolist()))  # noqa: E731
        phi = theta + 0.5 * g_hat(theta, at(first))
        chance.append(log_pi(theta, *at(first)[1:3]).exp() * log_pi(phi, *at(second)[1:3]).exp())
    got = (torch.stack(chance)[:, None, None] * each).sum(dim=0).numpy()
    assert np.abs(got - slope(objective, theta.numpy())).max() < 1e-10


@pytest.mark.stochastic
def test_leaving_one_out_keeps_the_mean_and_the_gradient_is_the_mean_over_tasks():
    mdp = WORLDS["slippery"]
    want = listing.expected_estimate(mdp, logits(mdp), 2, 2, ALPHA, "E-MAML")
    theta, means = {"theta": torch.tensor(logits(mdp))}, []
    for seed in range(2 * GROUPS):
        worlds = listing.Tables.of([mdp], 2, 2, torch.Generator().manual_seed(seed), 20)
        means.append(mg.meta_gradient(theta, worlds, 20, ALPHA, 1, "E-MAML")[0]["theta"].numpy())
    assert p_value(np.array(means), want) > 1e-8
    worlds = listing.Tables.of([mdp], 2, 2, torch.Generator().manual_seed(0), 20)
    each = mg.estimates(theta, worlds, 20, ALPHA, 1, "DiCE")["theta"].mean(dim=0)
    worlds = listing.Tables.of([mdp], 2, 2, torch.Generator().manual_seed(0), 20)
    assert torch.allclose(each, mg.meta_gradient(theta, worlds, 20, ALPHA, 1, "DiCE")[0]["theta"])


def test_bad_names_are_refused_with_the_choice():
    worlds = listing.Tables.of([two_steps()], 2, 1, torch.Generator())
    with pytest.raises(ValueError, match="E-MAML"):
        mg.estimates({"theta": torch.zeros(4, 2).double()}, worlds, 1, 0.1, 1, "EMAML")
    with pytest.raises(ValueError, match="ratio"):
        mg.surrogate(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), torch.ones(1, 1), "exp")


# Networks


def small_nav(M: int = 3, horizon: int = 6, device: str = "cpu", seed: int = 0):
    generator = torch.Generator(device).manual_seed(seed)
    worlds = mg.Networks(point_tasks(M, "train", 1, horizon, device=device), 4, generator)
    theta = mg.policy_init(worlds.tasks, (5,), torch.Generator().manual_seed(2), log_std=-1.0)
    return worlds, {k: p.to(device) for k, p in theta.items()}


def loop_gradient(theta, worlds, M, alpha, steps, estimator):
    """The same, one task after another, with a separate graph for each, as most programs do it."""
    curvature, total = mg.ESTIMATORS[estimator][0], None
    batches = iter(worlds.recorded)
    each = [[] for _ in range(M)]
    batches = list(batches)
    for m in range(M):
        start = require_grad(theta)
        phi = start
        for k in range(steps):
            data = mg.Data(*(x[m : m + 1] for x in batches[k]))
            one = {n: p[None] for n, p in phi.items()}
            value = mg.surrogate(worlds.log_prob(one, data), worlds.weight(data), data.share, curvature).sum()
            grads = gradients(value, phi, create_graph=True)
            phi = {n: p + alpha * grads[n] for n, p in phi.items()}
        data = mg.Data(*(x[m : m + 1] for x in batches[steps]))
        one = {n: p[None] for n, p in phi.items()}
        value = mg.surrogate(worlds.log_prob(one, data), worlds.weight(data), data.share, "log").sum()
        each[m] = gradients(value, start)
    total = {n: sum(g[n] for g in each) / M for n in theta}
    return total


class Recorder:
    """Worlds that keep what was played."""

    def __init__(self, worlds):
        self.worlds, self.recorded = worlds, []

    def __getattr__(self, name):
        return getattr(self.worlds, name)

    def play(self, params):
        self.recorded.append(self.worlds.play(params))
        return self.recorded[-1]


@pytest.mark.parametrize("estimator", ["naive", "LVC", "DiCE"])
@pytest.mark.parametrize("steps", [1, 2])
def test_tasks_side_by_side_equal_tasks_one_by_one(estimator, steps):
    worlds, theta = small_nav()
    worlds = Recorder(worlds)
    together, _ = mg.meta_gradient(theta, worlds, 3, 0.1, steps, estimator)
    alone = loop_gradient(theta, worlds, 3, 0.1, steps, estimator)
    assert all(torch.allclose(together[k], alone[k], rtol=1e-4, atol=1e-6) for k in theta)


def test_episodes_in_the_plane_are_gymnasium_like_steps_of_the_policy():
    worlds, theta = small_nav()
    data = worlds.play(per_task(theta, 3))
    moves = data.obs[:, :, 1:] - data.obs[:, :, :-1]
    assert torch.allclose(moves, (0.1 * data.action[:, :, :-1]).clamp(-0.1, 0.1), atol=1e-6)
    assert (data.obs[:, :, 0] == 0).all()
    after = data.obs[:, :, 1] - worlds.tasks.goal[:, None]
    assert torch.allclose(data.reward[:, :, 0], -after.norm(dim=-1), atol=1e-6)


def test_returns_to_go_and_the_linear_baseline():
    rng = torch.Generator().manual_seed(0)
    reward = torch.randn(2, 3, 7, generator=rng, dtype=torch.float64)
    G = mg.returns_to_go(reward, 0.9)
    by_hand = sum(0.9**k * reward[..., 2 + k] for k in range(5))
    assert torch.allclose(G[..., 2], by_hand)
    obs = torch.randn(2, 30, 7, 2, generator=rng, dtype=torch.float64)
    t = torch.arange(7, dtype=torch.float64).expand(2, 30, 7) / 7
    linear = 1 + 2 * obs[..., 0] - obs[..., 1] ** 2 + 3 * t**3
    assert torch.allclose(mg.linear_baseline(obs, linear), linear, atol=0.02)
    other = linear.clone()
    other[1] += 100
    alone, together = (mg.linear_baseline(obs, y)[0] for y in (linear, other))
    assert torch.allclose(alone, together)  # task by task


def test_the_linear_baseline_is_ridge_regression_on_place_and_time():
    rng = np.random.default_rng(0)
    obs, G = rng.normal(size=(2, 30, 7, 2)), rng.normal(size=(2, 30, 7))
    t = np.broadcast_to(np.arange(7) / 7, (2, 30, 7))[..., None]
    x = np.concatenate([obs, obs**2, t, t**2, t**3, np.ones_like(t)], axis=-1).reshape(2, 210, 8)
    gram = x.swapaxes(1, 2) @ x + 1e-5 * 210 * np.eye(8)
    w = np.linalg.solve(gram, x.swapaxes(1, 2) @ G.reshape(2, 210, 1))
    mine = mg.linear_baseline(torch.from_numpy(obs), torch.from_numpy(G))
    np.testing.assert_allclose(mine.numpy(), (x @ w).reshape(G.shape), atol=1e-9)


def test_what_is_not_said_is_one_step_of_dice():
    _, theta = small_nav()
    params = require_grad(per_task(theta, 3))
    for method in (mg.meta_gradient, mg.estimates):
        short = method(theta, small_nav()[0], 3, 0.1)
        full = method(theta, small_nav()[0], 3, 0.1, 1, "DiCE")
        short, full = (x[0] if isinstance(x, tuple) else x for x in (short, full))
        assert all(torch.equal(short[k], full[k]) for k in theta)
    for method in (mg.objectives, mg.adapted):
        short = method(params, small_nav()[0], 0.1)[1]
        assert torch.equal(short, method(params, small_nav()[0], 0.1, 1, "DiCE")[1])


def test_in_the_score_term_a_task_is_compared_with_the_mean_of_the_others():
    _, theta = small_nav()
    params = require_grad(per_task(theta, 3))
    plain, value = mg.objectives(params, small_nav()[0], 0.1, 1, "E-MAML")
    less, _ = mg.objectives(params, small_nav()[0], 0.1, 1, "E-MAML", leave_one_out=True)
    _, log_p, _ = mg.adapted(params, small_nav()[0], 0.1, 1, mg.ESTIMATORS["E-MAML"][0])
    assert torch.allclose(plain - less, (value.sum() - value) / 2 * log_p, rtol=1e-4)
    grads, _ = mg.meta_gradient(theta, small_nav()[0], 3, 0.1, 1, "E-MAML")
    by_task = gradients(less.sum() / 3, params)
    assert all(torch.allclose(grads[k], by_task[k].sum(0), rtol=1e-3, atol=1e-6) for k in theta)


def test_returns_are_judged_with_noise_or_without_after_steps_of_their_sizes():
    worlds, theta = small_nav()
    phi, by_hand = require_grad(per_task(theta, 3)), []
    for size in (0.1, 0.4, 0.0):
        by_hand.append(worlds.value(worlds.play(phi)).mean(dim=-1))
        phi = require_grad(mg.adapted(phi, worlds, size, 1, "none")[0])
    assert torch.equal(mg.returns_after(theta, small_nav()[0], [0.1, 0.4], 2), torch.stack(by_hand))
    still = mg.returns_after(theta, small_nav()[0], 0.1, 1, still=True)
    quiet = theta | {"log_std": torch.full((2,), -30.0)}
    assert torch.allclose(still[0], mg.returns_after(quiet, small_nav()[0], 0.1, 0)[0], atol=1e-5)
    noisy = mg.returns_after(theta, small_nav()[0], 0.1, 1)
    assert (still - noisy).abs().max() < 1 and not torch.allclose(still, noisy)


def test_the_baseline_of_long_single_precision_episodes_keeps_its_digits():
    """Sums of t, t² and t³ in single precision gave a task another baseline alone than among others."""
    rng = torch.Generator().manual_seed(0)
    obs = 0.05 * torch.randn(4, 20, 100, 2, generator=rng).cumsum(dim=2)
    to_go = -10 * obs.norm(dim=-1)
    together = mg.linear_baseline(obs, to_go)
    alone = torch.cat([mg.linear_baseline(obs[m : m + 1], to_go[m : m + 1]) for m in range(4)])
    exact = mg.linear_baseline(obs.double(), to_go.double())
    assert together.dtype == torch.float32
    assert max((together - exact).abs().max(), (together - alone).abs().max()) < 3e-5


def test_weights_are_what_the_baseline_does_not_explain_over_the_horizon():
    worlds, theta = small_nav()
    data = worlds.play(per_task(theta, 3))
    to_go = mg.returns_to_go(data.reward, worlds.gamma)
    weight = worlds.weight(data)
    assert torch.allclose(weight, (to_go - mg.linear_baseline(data.obs, to_go)) / 6)
    assert weight.mean(dim=(1, 2)).abs().max() < 1e-3 < weight.abs().max()  # the features hold a constant


def nav_learner(**more):
    options = {"hidden": (8,), "episodes": 5, "alpha": 0.1, "rate": 0.01, "log_std": -1.0} | more
    return mg.learner(lambda seed: point_tasks(4, "train", seed, horizon=10), 4, **options)


def test_training_resumes_bit_for_bit(tmp_path):
    whole = train(*nav_learner(), 6, show=False)
    train(*nav_learner(), 3, path=tmp_path / "run.pt", show=False)
    resumed = train(*nav_learner(), 6, path=tmp_path / "run.pt", show=False)
    assert all(torch.equal(whole["free"][k], resumed["free"][k]) for k in whole["free"])
    assert whole["curve"] == resumed["curve"] and len(whole["curve"]) == 6


def test_every_step_adds_the_gradients_of_the_steps_on_the_way_without_more_episodes():
    """The sum's gradient is that after two steps plus that after one, from the same three batches."""
    worlds, theta = small_nav()
    worlds, leaf = Recorder(worlds), require_grad(theta)
    whole = mg.objectives(per_task(leaf, 3), worlds, 0.1, 2, "LVC", every_step=True)[0]
    first, second, third = worlds.recorded
    parts = []
    for steps, batches in ((1, [first, second]), (2, [first, second, third])):
        given = listing.Given(worlds.worlds, batches)
        parts.append(gradients(mg.objectives(per_task(leaf, 3), given, 0.1, steps, "LVC")[0].sum(), leaf))
    got = gradients(whole.sum(), leaf)
    assert all(torch.allclose(got[k], parts[0][k] + parts[1][k], rtol=1e-3, atol=1e-5) for k in theta)
    with pytest.raises(ValueError, match="score"):
        mg.objectives(per_task(leaf, 3), worlds, 0.1, 2, "E-MAML", every_step=True)


@pytest.mark.parametrize(("estimator", "more"), [("E-MAML", {}), ("LVC", {}), ("LVC", {"every_step": True})])
def test_a_round_goes_up_the_meta_gradient_of_its_own_tasks(estimator, more):
    begin, update = nav_learner(steps=2, estimator=estimator, seed=3, limit=1e9, **more)
    state = begin()
    theta, generator = mg.learned(require_grad(state["free"]))[0], torch.Generator()
    generator.set_state(state["generator"])
    worlds = mg.Networks(point_tasks(4, "train", 3 * 1_000_003, horizon=10), 5, generator)
    score = {"leave_one_out": True, "every_step": bool(more)}
    result, _ = mg.objectives(per_task(theta, 4), worlds, 0.1, 2, estimator, **score)
    grads, after = gradients(result.mean(), theta), mg.learned(update(state)["free"])[0]
    for name, g in grads.items():
        moved, clear = after[name] - theta[name], g.abs() > 1e-4
        assert torch.allclose(moved[clear], 0.01 * g.sign()[clear], atol=1e-5), name  # Adam's first step


def test_navigation_goes_on_where_it_stopped_and_scores_held_out_goals(tmp_path):
    once, _ = navigation.train_start(0, 1, tmp_path)
    theta, size = navigation.train_start(0, 1, tmp_path)
    assert torch.equal(theta["pi_W1"], once["pi_W1"])
    assert navigation.held_out(theta, size, 3, goals=3, horizon=20).shape == (4, 3)
    assert navigation.walks(theta, [size], point_tasks(2)).shape == (2, 2, 4, 34, 2)


def test_a_later_step_has_a_size_of_its_own_for_the_noise():
    got = navigation.later({"pi_W0": torch.tensor(0.4), "log_std": torch.tensor(0.3)}, 0.25, 60.0)
    assert got == {"pi_W0": pytest.approx(0.1), "log_std": 60.0}


def test_the_stored_start_earns_what_is_stored_on_goals_of_its_own():
    found, trouble = repro.load(DATA / "15_navigation.npz", 0)
    theta, size = (
        {name.split(".")[1]: torch.tensor(p) for name, p in found.items() if what in name}
        for what in ("theta.", "size.")
    )
    got = navigation.held_out(theta, [size], 1, goals=400, seed=navigation.FRESH).mean(dim=1).numpy()
    assert not trouble and got == pytest.approx(found["scores"][0, :2].mean(axis=1), abs=0.1)
    fresh, before = (point_tasks(400, "test", seed).goal for seed in (navigation.FRESH, 1))
    assert not (fresh[:, None] == before).all(dim=-1).any()


@pytest.mark.slow
def test_the_stored_navigation_is_made_again_and_learns(tmp_path):
    """One of the ten runs, with the same recipe: after one step at least 15 better than before."""
    theta, size = navigation.train_start(0, folder=tmp_path)
    returns = navigation.held_out(theta, navigation.plan(theta, size)[0], 3).mean(dim=1)
    assert returns[1] > returns[0] + 15 and returns[3] > -9


def test_learned_step_sizes_are_one_for_each_tensor_and_step_and_they_move():
    state = train(*nav_learner(learn_alpha=True, steps=2, every_step=True), 3, show=False)
    theta, sizes = mg.learned(state["free"])
    assert len(sizes) == 2 and all(set(size) == set(theta) for size in sizes)
    assert all(size["pi_W1"] > 0 and size["pi_W1"] != 0.1 for size in sizes)


def test_returns_after_adapting_are_one_row_a_step():
    worlds, theta = small_nav()
    got = mg.returns_after(theta, worlds, [0.1, 0.05], 2)
    assert got.shape == (3, 3) and (got < 0).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_the_same_code_runs_on_cuda():
    state = train(*nav_learner(device="cuda"), 2, show=False)
    assert all(p.is_cuda for p in state["free"].values())


# Tuning γ, λ and α online


def chain_episode(V, rewards, alpha, gamma, lam):
    """TD(λ) of one run by its definition: every λ-return from the sum over n-step returns."""
    T, new = len(rewards), V.copy()
    for t in range(T):
        n_step = [sum(gamma**i * rewards[t + i] for i in range(n)) + gamma**n * V[t + n] * (t + n < T)
                  for n in range(1, T - t + 1)]  # fmt: skip
        weights = [(1 - lam) * lam ** (n - 1) for n in range(1, T - t)] + [lam ** (T - t - 1)]
        new[t] += alpha * (np.dot(weights, n_step) - V[t])
    return new


def test_the_chain_update_is_td_lambda():
    rng = np.random.default_rng(0)
    V, r, eta = rng.normal(size=(4, 7)), rng.normal(size=(4, 6)), rng.uniform(size=(4, 3))
    V[:, -1] = 0
    got = online.chain_update(V, np.zeros((4, 7, 3)), r, eta)[0]
    assert np.allclose(got, [chain_episode(V[n], r[n], *eta[n]) for n in range(4)])


@pytest.mark.parametrize("memory", [0.0, 1.0])
def test_the_slopes_of_the_values_equal_finite_differences(memory):
    """With memory 1 through all episodes so far, with 0 through the last one alone."""
    rng = np.random.default_rng(1)
    r, eta, h = rng.normal(size=(5, 1, 6)), np.array([[0.3, 0.8, 0.6]]), 1e-6

    def values(eta_of):
        V, slopes = np.zeros((1, 7)), np.zeros((1, 7, 3))
        for k in range(5):
            V, slopes = online.chain_update(V, memory * slopes, r[k], eta_of(k))
        return V, slopes

    for i in range(3):
        nudge = h * np.eye(3)[i]
        up, down = (values(lambda k, e=e: eta + e * (memory == 1 or k == 4))[0] for e in (nudge, -nudge))
        slope = (up - down) / (2 * h)
        assert np.abs(slope - values(lambda k: eta)[1][..., i]).max() < 1e-8


@pytest.mark.stochastic
@pytest.mark.parametrize("eta", [(0.02, 0.9, 0.3), (0.5, 0.7, 0.5)])
def test_tuning_online_beats_the_settings_it_starts_from(eta):
    """60 runs, paired: the gain is 2.2 ± .30 and 4.4 ± .15, so .3 is 6.3 standard errors away: 1.5e-10."""
    error = {rate: online.follow(eta, rate, 0.9, runs=60)[0][400:].mean(axis=0) for rate in (0.0, 0.03)}
    gain = error[0.0] - error[0.03]
    assert gain.mean() > 0.3


def test_rate_zero_leaves_the_settings_alone():
    rewards = (r for r, _ in online.changing_chain(2, 5))
    for _, eta in online.tune_chain(rewards, (0.2, 0.9, 0.4), rate=0.0):
        assert np.allclose(eta, [0.2, 0.9, 0.4])
