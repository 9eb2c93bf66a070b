"""MAML and its relatives against closed forms, finite differences and each other; mutants are refused."""

import ast
import re
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from course_lib import repro
from course_lib.agents.networks import gradients, mlp, mlp_init, per_task, require_grad
from course_lib.agents.training import train
from course_lib.meta import maml, sines
from course_lib.oracles.gradients import _Point, adaptation, meta_gradient, policy_gradient
from course_lib.show import adapting
from course_lib.worlds.grids import gridworld
from course_lib.worlds.mdp import MDP, random_mdp
from course_lib.worlds.tasks import sine_tasks

H, C = torch.tensor([1.0, 4.0], dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def quadratics(params) -> torch.Tensor:
    """½ h (θ − c)², the two tasks whose fixed points are known."""
    return 0.5 * H * (params["x"][:, 0] - C) ** 2


def settle(direction) -> float:
    """Where descent along `direction` comes to rest; on quadratics it is affine in θ, so two points tell."""
    at_0, at_1 = (
        float(direction(require_grad({"x": torch.tensor([x], dtype=torch.float64)}))["x"].detach())
        for x in (0.0, 1.0)
    )
    assert at_1 > at_0  # uphill on the right: descent does come to rest
    return at_0 / (at_0 - at_1)


def by_maml(theta, **options):
    options = {"alpha": 0.2, "steps": 1} | options
    return gradients(maml.meta_loss(theta, quadratics, quadratics, 2, **options), theta)


def by_reptile(steps):
    return lambda theta: maml.reptile_gradient(theta, quadratics, 2, 0.2, steps)


@pytest.mark.parametrize(
    "direction, fixed_point",
    [
        (lambda theta: by_maml(theta, steps=0), 0.8),
        (lambda theta: by_maml(theta, create_graph=False), 0.5),
        (by_maml, 0.2),
        (by_reptile(1), 0.8),
        (by_reptile(2), 0.96 / 1.32),
        (by_reptile(5), (1 - 0.2**5) / (2 - 0.2**5 - 0.8**5)),
    ],
    ids=["joint", "first-order", "MAML", "Reptile 1", "Reptile 2", "Reptile 5"],
)
def test_fixed_points_on_quadratics(direction, fixed_point):
    assert abs(settle(direction) - fixed_point) < 1e-6


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_maml_with_any_number_of_steps_settles_where_calculus_says(steps):
    weights = H * (1 - 0.2 * H) ** (2 * steps)  # the adapted loss is ½ h (1 − αh)^2K (θ − c)²
    assert abs(settle(lambda theta: by_maml(theta, steps=steps)) - (weights @ C) / weights.sum()) < 1e-6


# A network with two layers, in float64: finite differences tell every digit.

X, Y = torch.randn(2, 5, 6, 1, generator=seeded(0), dtype=torch.float64)
SIZES = [1, 4, 1]


def regression(x, y):
    return lambda params: ((mlp(params, x) - y) ** 2).mean(dim=(-2, -1))


INNER, OUTER = regression(X[:, :3], Y[:, :3]), regression(X[:, 3:], Y[:, 3:])


def network(seed: int = 1):
    return require_grad(mlp_init(SIZES, seeded(seed), dtype=torch.float64))


def slope_error(objective, theta, grads, eps: float = 1e-5) -> float:
    """How far grads are from the central difference of objective(theta), along a random direction."""
    rng = seeded(7)
    way = {k: torch.randn(p.shape, generator=rng, dtype=torch.float64) for k, p in theta.items()}
    there = [objective({k: p.detach() + s * eps * way[k] for k, p in theta.items()}) for s in (1, -1)]
    slope = sum(float((grads[k] * way[k]).sum()) for k in theta)
    return abs(slope - float((there[0] - there[1]).detach()) / (2 * eps))


def objective(theta, steps: int, **options):
    return maml.meta_loss(require_grad(theta), INNER, OUTER, 5, 0.3, steps, **options)


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
@pytest.mark.parametrize("names", [None, ["W1", "b1"]])
def test_the_gradient_goes_through_the_inner_steps(steps, names):
    theta = network()
    grads = gradients(maml.meta_loss(theta, INNER, OUTER, 5, 0.3, steps, names=names), theta)
    assert slope_error(lambda t: objective(t, steps, names=names), theta, grads) < 1e-8


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_lost_create_graph_is_refused_by_the_same_check(steps):
    theta = network()
    grads = gradients(maml.meta_loss(theta, INNER, OUTER, 5, 0.3, steps, create_graph=False), theta)
    assert slope_error(lambda t: objective(t, steps), theta, grads) > 1e-3


def test_a_mutant_without_create_graph_is_refused_by_the_fixed_point(monkeypatch):
    once = lambda loss, params, create_graph=False: gradients(loss, params)  # noqa: E731
    monkeypatch.setattr(maml, "gradients", once)
    assert abs(settle(by_maml) - 0.2) > 0.1


def test_the_first_order_gradient_is_the_outer_gradient_at_the_adapted_parameters():
    theta = network()
    grads = gradients(maml.meta_loss(theta, INNER, OUTER, 5, 0.3, 3, create_graph=False), theta)
    phi = require_grad(maml.adapt(per_task(theta, 5), INNER, 0.3, 3))
    at_phi = gradients(OUTER(phi).mean(), phi)
    assert all(torch.allclose(grads[k], at_phi[k].sum(dim=0)) for k in theta)


def test_tasks_side_by_side_equal_tasks_one_by_one():
    theta = network()
    together = maml.adapt(per_task(theta, 5), INNER, 0.3, 3)
    for m in range(5):
        alone = maml.adapt(per_task(theta, 1), regression(X[m : m + 1, :3], Y[m : m + 1, :3]), 0.3, 3)
        assert all(torch.allclose(together[k][m], alone[k][0]) for k in theta)


def test_independent_runs_do_not_touch():
    runs = [network(seed) for seed in (1, 2, 3)]
    theta = require_grad({k: torch.stack([run[k] for run in runs]) for k in runs[0]})
    x, y = X[:, None].expand(5, 3, 6, 1), Y[:, None].expand(5, 3, 6, 1)
    inner, outer = regression(x[..., :3, :], y[..., :3, :]), regression(x[..., 3:, :], y[..., 3:, :])
    together = gradients(maml.meta_loss(theta, inner, outer, 5, 0.3, 2), theta)
    for n, run in enumerate(runs):
        alone = gradients(maml.meta_loss(run, INNER, OUTER, 5, 0.3, 2), run)
        assert all(torch.allclose(together[k][n], alone[k]) for k in run)


def test_anil_moves_only_the_last_layer_and_the_rest_still_learns():
    theta = network()
    phi = maml.adapt(per_task(theta, 5), INNER, 0.3, 2, names=["W1", "b1"])
    assert torch.equal(phi["W0"], per_task(theta, 5)["W0"]) and not torch.equal(phi["W1"][0], phi["W1"][1])
    grads = gradients(maml.meta_loss(theta, INNER, OUTER, 5, 0.3, 2, names=["W1", "b1"]), theta)
    assert grads["W0"].abs().max() > 1e-3


def test_meta_sgd_learns_its_rates_by_the_right_gradient():
    theta = network()
    rates = require_grad({k: 0.1 + 0.2 * p.detach().abs() for k, p in theta.items()})
    loss = maml.meta_loss(theta, INNER, OUTER, 5, rates, 3)
    grads = gradients(loss, rates)
    by_rates = lambda r: maml.meta_loss(theta, INNER, OUTER, 5, r, 3)  # noqa: E731
    assert slope_error(by_rates, rates, grads) < 1e-8
    same = {k: torch.full_like(p, 0.3) for k, p in theta.items()}
    assert torch.allclose(by_rates(same), maml.meta_loss(theta, INNER, OUTER, 5, 0.3, 3))


def test_losses_after_each_step_are_those_of_adapt():
    theta = network()
    losses = maml.losses_after(theta, INNER, OUTER, 5, 0.3, 4)
    assert losses.shape == (5, 5) and not losses.requires_grad
    for k in range(5):
        assert torch.allclose(losses[k], OUTER(maml.adapt(per_task(theta, 5), INNER, 0.3, k)))


def test_mistakes_are_refused_with_the_mend():
    theta = network()
    with pytest.raises(ValueError, match="one loss for each of the 5 tasks"):
        maml.meta_loss(theta, lambda p: INNER(p).mean(), OUTER, 5, 0.1)
    with pytest.raises(ValueError, match="one loss for each"):
        maml.meta_loss(theta, INNER, lambda p: OUTER(p).mean(), 5, 0.1)
    with pytest.raises(ValueError, match="whole number from 0"):
        maml.adapt(theta, INNER, 0.1, -1)
    with pytest.raises(ValueError, match="no rate for 'W0'"):
        maml.adapt(per_task(theta, 5), INNER, {"b0": 0.1}, 1)
    with pytest.raises(ValueError, match="choose one of"):
        maml.learner(network, None, 5, "FOMAML")


# The trainer, on sines.


def sine_draw(tasks: int, shots: int = 10):
    def draw(generator):
        seed = int(torch.randint(2**40, (1,), generator=generator))
        sines = sine_tasks(tasks, "train", seed)
        x, y = sines.sample(2 * shots, generator)
        return regression(x[:, :shots], y[:, :shots]), regression(x[:, shots:], y[:, shots:])

    return draw


def sine_learner(method: str, **options):
    init = lambda generator: mlp_init([1, 20, 20, 1], generator)  # noqa: E731
    return maml.learner(init, sine_draw(10), 10, method, rate=1e-2, seed=3, **options)


@pytest.mark.parametrize("method", maml.METHODS)
def test_training_resumes_bit_for_bit(tmp_path, method):
    steps = 2 if method == "Reptile" else 1
    whole = train(*sine_learner(method, steps=steps), 12, show=False)
    begin, update = sine_learner(method, steps=steps)
    train(begin, update, 7, path=tmp_path / "run.pt", show=False)
    again = train(begin, update, 12, path=tmp_path / "run.pt", show=False)
    assert all(torch.equal(whole["free"][k], again["free"][k]) for k in whole["free"])
    assert whole["losses"] == again["losses"] and len(whole["losses"]) == (0 if method == "Reptile" else 12)
    first, last = maml.learned(begin()), maml.learned(whole)
    assert not torch.equal(first[0]["W0"], last[0]["W0"]) and bool(last[1]) == (method == "Meta-SGD")


def test_a_rate_may_change_as_training_goes_on():
    frozen = train(*sine_learner("MAML"), 3, show=False)
    init = lambda generator: mlp_init([1, 20, 20, 1], generator)  # noqa: E731
    stops = maml.learner(init, sine_draw(10), 10, rate=lambda k: 1e-2 if k < 3 else 0.0, seed=3)
    stopped = train(*stops, 6, show=False)
    assert all(torch.equal(frozen["free"][k], stopped["free"][k]) for k in frozen["free"])


SETTINGS = {  # inner steps, second-order terms, what moves inside
    "MAML": (1, True, None),
    "first-order MAML": (1, False, None),
    "ANIL": (1, True, ["W2", "b2"]),
    "joint": (0, True, None),
}


@pytest.mark.parametrize("method", SETTINGS)
def test_an_update_goes_down_the_meta_loss_of_its_method(method):
    begin, update = sine_learner(method, alpha=0.05)
    state, (steps, second, names) = begin(), SETTINGS[method]
    theta, _ = maml.learned({"free": require_grad(state["free"])})
    generator = torch.Generator()
    generator.set_state(state["generator"])
    loss = maml.meta_loss(theta, *sine_draw(10)(generator), 10, 0.05, steps, second, names)
    after = update(state)
    assert after["losses"] == [pytest.approx(loss.item(), rel=1e-5)]
    for name, g in gradients(loss, theta).items():
        moved, clear = maml.learned(after)[0][name] - theta[name], g.abs() > 1e-3
        assert torch.allclose(moved[clear], -0.01 * g.sign()[clear], atol=1e-5), name  # Adam's first step


def test_what_is_not_said_is_one_step_with_second_order_terms():
    inner, outer = sine_draw(3)(seeded(0))
    theta = require_grad(mlp_init([1, 8, 1], seeded(1)))
    short = gradients(maml.meta_loss(theta, inner, outer, 3, 0.05), theta)
    full = gradients(maml.meta_loss(theta, inner, outer, 3, 0.05, 1, True), theta)
    assert all(torch.equal(short[name], full[name]) for name in theta)
    phi = maml.adapt(per_task(theta, 3), inner, 0.05)
    alone = gradients(outer(phi).mean(), theta)
    assert all(torch.allclose(alone[name], full[name], atol=1e-7) for name in theta)


def test_only_what_is_named_moves_inside():
    inner, outer = sine_draw(3)(seeded(0))
    theta, head = require_grad(mlp_init([1, 8, 1], seeded(1))), ["W1", "b1"]
    phi = maml.adapt(per_task(theta, 3), inner, 0.05, 1, names=head)
    assert [name for name in theta if torch.equal(phi[name], per_task(theta, 3)[name])] == ["W0", "b0"]
    assert torch.allclose(maml.losses_after(theta, inner, outer, 3, 0.05, 1, head)[1], outer(phi))
    assert torch.equal(maml.meta_loss(theta, inner, outer, 3, 0.05, 1, True, head), outer(phi).mean())


# Exact meta-gradients on tabular tasks.


def goals(side: int, gamma: float = 0.95, slip: float = 0.1) -> list:
    """A grid with the goal in each of its cells but the middle one, where episodes start."""
    worlds = []
    for cell in set(range(side * side)) - {side * side // 2}:
        text = ["."] * side * side
        text[cell], text[side * side // 2] = "G", "S"
        rows = ("".join(text[r * side : (r + 1) * side]) for r in range(side))
        worlds.append(gridworld("\n".join(rows), slip=slip, gamma=gamma))
    return worlds


def garnets(sparse: bool = False) -> list:
    return [random_mdp(7, 3, 3, rng=np.random.default_rng(k), gamma=0.8, sparse=sparse) for k in range(4)]


def tabular_slope_error(mdps, theta, alpha, steps, eps: float = 1e-5) -> float:
    way = np.random.default_rng(5).normal(size=theta.shape)
    there = [meta_gradient(mdps, theta + s * eps * way, alpha, steps)[0] for s in (1, -1)]
    slope = (meta_gradient(mdps, theta, alpha, steps)[1] * way).sum()
    return abs(slope - (there[0] - there[1]) / (2 * eps))


@pytest.mark.parametrize("steps", [0, 1, 2, 6])
@pytest.mark.parametrize(
    "mdps", [garnets(), goals(3), goals(3, gamma=1.0)], ids=["random", "grid", "gamma 1"]
)
def test_the_exact_meta_gradient_equals_finite_differences(mdps, steps):
    theta = np.random.default_rng(0).normal(size=mdps[0].R.shape)
    assert tabular_slope_error(mdps, theta, 0.5, steps) < 1e-9


def test_it_does_so_on_twenty_tasks_of_a_larger_grid_and_with_a_table_of_rates():
    mdps, rng = goals(5)[:20], np.random.default_rng(1)
    theta = rng.normal(size=(25, 4))
    assert tabular_slope_error(mdps, theta, 2.0, 1) < 1e-9
    assert tabular_slope_error(mdps, theta, rng.uniform(0, 3, size=(25, 4)), 2) < 1e-9


@pytest.mark.parametrize("mutant", ["no Hessian", "no visits", "no policy", "no advantage"])
def test_a_dropped_second_order_term_is_refused(monkeypatch, mutant):
    right = _Point.hessian_times

    def wrong(self, u):
        if mutant == "no Hessian":
            return np.zeros_like(u)
        pi_u = self.pi * (u - (self.pi * u).sum(axis=-1, keepdims=True))
        if mutant == "no policy":
            return right(self, u) - self.d[:, :, None] * pi_u * self.adv
        if mutant == "no visits":
            d_u = (self.d[:, None] @ self.tasks.chain(pi_u) @ self.visits)[:, 0]
            return right(self, u) - d_u[:, :, None] * self.pi * self.adv
        V_u = (self.visits @ (pi_u * self.adv).sum(axis=-1)[:, :, None])[:, :, 0]
        return right(self, u) - self.d[:, :, None] * self.pi * (self.tasks.ahead(V_u) - V_u[:, :, None])

    monkeypatch.setattr(_Point, "hessian_times", wrong)
    theta = np.random.default_rng(0).normal(size=(7, 3))
    assert tabular_slope_error(garnets(), theta, 0.5, 1) > 1e-4


def test_it_equals_autograd_through_a_linear_solver():
    mdps, theta, alpha = garnets(), np.random.default_rng(2).normal(size=(7, 3)), 0.7
    P = torch.tensor(np.stack([m.P for m in mdps]))
    R = torch.tensor(np.stack([m.R for m in mdps]))
    start = torch.full((7,), 1 / 7, dtype=torch.float64)

    def minus_J(params):
        pi = torch.softmax(params["theta"], dim=-1)
        chain = torch.eye(7, dtype=torch.float64) - 0.8 * (pi[..., None] * P).sum(dim=2)
        return -(torch.linalg.solve(chain, (pi * R).sum(dim=2)) @ start)

    params = {"theta": torch.tensor(theta, requires_grad=True)}
    loss = maml.meta_loss(params, minus_J, minus_J, len(mdps), alpha, 3)
    J, grad = meta_gradient(mdps, theta, alpha, 3)
    assert abs(J + float(loss.detach())) < 1e-12
    assert np.abs(grad + gradients(loss, params)["theta"].numpy()).max() < 1e-12


def test_without_a_step_it_is_the_mean_policy_gradient_and_adaptation_is_exact_ascent():
    mdps, theta = garnets(), np.random.default_rng(3).normal(size=(7, 3))
    each = [policy_gradient(mdp, theta) for mdp in mdps]
    J, grad = meta_gradient(mdps, theta, 0.5, 0)
    assert abs(J - np.mean([j for j, _ in each])) < 1e-12
    assert np.abs(grad - np.mean([g for _, g in each], axis=0)).max() < 1e-12
    values, logits = adaptation(mdps, theta, 0.5, 3)
    for m, mdp in enumerate(mdps):
        phi = theta
        for k in range(4):
            j, g = policy_gradient(mdp, phi)
            assert abs(values[k, m] - j) < 1e-12 and np.abs(logits[k, m] - phi).max() < 1e-12
            phi = phi + 0.5 * g
    assert abs(meta_gradient(mdps, theta, 0.5, 3)[0] - values[3].mean()) < 1e-12


def test_sparse_worlds_give_the_same():
    theta = np.random.default_rng(4).normal(size=(7, 3))
    dense, sparse = (meta_gradient(garnets(kind), theta, 0.5, 2) for kind in (False, True))
    assert dense[0] == pytest.approx(sparse[0], abs=1e-12) and np.allclose(dense[1], sparse[1], atol=1e-12)


def test_a_one_state_bandit_by_hand():
    # Two actions that pay 1 and 0, once: J = σ(x) for x = θ0 − θ1; x' = x + 2α σ'(x).
    world = MDP(np.ones((1, 2, 1)), np.array([[1.0, 0.0]]), 0.0)
    sigma = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    x, alpha = 0.3, 1.7
    d1 = sigma(x) * (1 - sigma(x))
    d2 = d1 * (1 - 2 * sigma(x))
    after = x + 2 * alpha * d1
    J, grad = meta_gradient([world], np.array([[x, 0.0]]), alpha, 1)
    slope = sigma(after) * (1 - sigma(after)) * (1 + 2 * alpha * d2)
    assert abs(J - sigma(after)) < 1e-12 and np.allclose(grad, [[slope, -slope]], atol=1e-12)


def test_bad_input_is_refused():
    mdps = garnets()
    with pytest.raises(ValueError, match=r"finite logits \[S, A\] = \(7, 3\)"):
        meta_gradient(mdps, np.zeros((3, 7)), 0.1)
    with pytest.raises(ValueError, match="at least one task"):
        meta_gradient([], np.zeros((7, 3)), 0.1)
    with pytest.raises(ValueError, match="steps from 0"):
        meta_gradient(mdps, np.zeros((7, 3)), 0.1, -1)
    with pytest.raises(ValueError, match="differ in size"):
        meta_gradient([*mdps, goals(3)[0]], np.zeros((7, 3)), 0.1)


# The sines of chapter 14, its stored results and its benchmark.

ROOT = Path(__file__).parent.parent
SHAPE = (4, 2)  # four tasks, two runs


def test_regression_gives_one_loss_a_task_and_run():
    theta = require_grad(mlp_init(sines.SIZES, seeded(0)))
    wide = {k: torch.stack([p, 2 * p]) for k, p in theta.items()}
    inner, outer = sines.fresh_curves(seeded(1), SHAPE)
    assert inner(per_task(wide, 4)).shape == outer(per_task(wide, 4)).shape == SHAPE
    x, y = torch.randn(2, 4, 5, 1, generator=seeded(2))
    by_hand = [((mlp(theta, x[m], torch.relu) - y[m]) ** 2).mean() for m in range(4)]
    assert torch.allclose(sines.regression(x, y)(per_task(theta, 4)), torch.stack(by_hand))


def test_support_and_query_share_no_point_and_reptile_sees_them_all():
    constant = {k: torch.zeros_like(p) for k, p in mlp_init(sines.SIZES, seeded(0)).items()}
    losses = [loss(per_task(constant, 4)) for loss in sines.fresh_curves(seeded(3), (4,))]
    both, _ = sines.fresh_curves(seeded(3), (4,), support=20)
    assert not torch.allclose(losses[0], losses[1])
    assert torch.allclose(both(per_task(constant, 4)), sum(losses) / 2)


def test_runs_are_scored_as_each_alone():
    nets = [mlp_init(sines.SIZES, seeded(k)) for k in (1, 2)]
    theta = {k: torch.stack([n[k] for n in nets]) for k in nets[0]}
    together = sines.errors_after(theta, 0.01, 2, count=20)
    assert together.shape == (3, 2)
    for n, net in enumerate(nets):
        assert torch.allclose(together[:, n], sines.errors_after(net, 0.01, 2, count=20), rtol=1e-3)
    assert torch.isinf(sines.errors_after(nets[0], 1e4, 3, count=5)[-1])


@pytest.mark.stochastic
def test_a_packed_network_comes_back_and_fits():
    theta, rates = sines.train_runs("Meta-SGD", 0.01, 1, runs=2, updates=2, rate=1e-3, seed=0)
    box = sines.pack("Meta-SGD", theta, rates) | sines.pack("MAML", theta, {})
    back, back_rates = sines.unpack(box, "Meta-SGD")
    assert all(torch.equal(back[k], theta[k][0]) and torch.equal(back_rates[k], rates[k][0]) for k in theta)
    assert sines.unpack(box, "MAML")[1] == {}
    x = torch.linspace(-5, 5, 10)[:, None]
    careful = {k: r / 10 for k, r in back_rates.items()}  # the untrained rates can overshoot
    before, after = sines.fit(back, careful, x, torch.sin(x), 0.01, 5)
    loss = sines.regression(x, torch.sin(x))
    assert loss(after) < loss(before)


def test_the_sheet_says_what_it_shows_even_when_a_method_diverges():
    sheet, x = adapting.Sheet(), np.linspace(-5, 5, 11)
    figure, says = sheet.put(x, np.sin(x), 0 * x, np.sin(x) + 1, x[:3], np.sin(x[:3]), "MAML, 1 steps")
    assert figure is sheet.figure and "error 1.00" in says and "3 points" in says
    assert "above 999" in sheet.put(x, np.sin(x), 0 * x, np.nan * x, x, x, "MAML, 9 steps")[1]
    plt.close(sheet.figure)


def stored(name: str) -> dict[str, np.ndarray]:
    def refuse(seed):
        raise AssertionError(f"{name} is missing or does not match its checksum")

    return repro.load_or_run(ROOT / "chapters/data" / name, refuse, seed=0)


def test_the_stored_sine_runs_reach_their_targets():
    as_trained = stored("14_sines.npz")["as trained"][1]  # MAML: [step, run]
    for k, target in ((1, 0.45), (2, 0.27), (3, 0.22)):
        half = 1.96 * as_trained[k].std(ddof=1) / np.sqrt(10)
        assert as_trained[k].mean() + half <= target


def chapter() -> dict:
    """What chapter 14 defines: its imports, functions and capitals."""
    text, names = (ROOT / "chapters/text/14_maml.md").read_text("utf-8"), {}
    before_exercises = text.split("## Exercises")[0]
    for source in re.findall(
        r"```\{code-cell\} ipython3\n(?::tags:[^\n]*\n)?(.*?)```", before_exercises, re.DOTALL
    ):
        body = [node for node in ast.parse(source).body if defines(node)]
        exec(compile(ast.Module(body, []), "chapter 14", "exec"), names)
    return names


def defines(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return all(n.id.isupper() for t in targets for n in ast.walk(t) if isinstance(n, ast.Name))
    return isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef)


@pytest.mark.slow
@pytest.mark.one_seed("it remakes a stored result")
def test_the_stored_grids_are_what_the_chapter_computes():
    names = chapter()
    for new_places in (0, 1):
        rng = np.random.default_rng([0, new_places, 3])
        train_on, _, test = names["three_splits"](rng, new_places)
        for m, a in ((0, 2), (1, 2)):
            *_, theta = names["meta_train"](train_on, names["ALPHAS"][a], steps=m)
            values = adaptation(test, theta, names["ALPHAS"][a], 20)[0].mean(axis=1)
            assert np.abs(values - stored("14_grids.npz")["scores"][new_places, 3, m, a, -1, 1]).max() < 0.02


@pytest.mark.slow
def test_the_stored_maml_run_can_be_made_again():
    theta, _ = sines.train_runs("MAML", 0.01, 1, runs=3, updates=6000, rate=0.01, seed=1)
    errors = sines.errors_after(theta, 0.01, 3).mean(dim=1)
    assert errors[1] < 0.5 and errors[2] < 0.3 and errors[3] < 0.25


@pytest.mark.stochastic
def test_the_benchmark_runs_and_its_samples_point_the_right_way():
    bench = runpy.run_path(str(ROOT / "benchmarks/meta.py"))
    mdps, theta = bench["tabular_tasks"](), np.zeros((25, 4))
    exact = meta_gradient(mdps, theta, bench["ALPHA"])[1]
    bench["ROWS"]["many"] = (150, False)
    estimate = bench["sampled"](mdps, theta, "many", 0)
    assert (estimate * exact).sum() > 0  # under 30 other seeds (9.4 ± 1.1)e-4: 8.7 deviations
