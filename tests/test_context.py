"""The belief model against exact sums, the learned belief against the exact filter, and both agents."""

import numpy as np
import pytest
import torch

from course_lib.agents import networks
from course_lib.agents.training import train
from course_lib.meta import context
from course_lib.meta.context import Recipe
from course_lib.oracles.hidden_goal import HiddenGoal, bayes_optimal, belief_filter
from course_lib.worlds.tasks import grid_goal_tasks

GRID, EYE = HiddenGoal(), torch.eye(25)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def loud(seed: int, obs_size: int = 3, kinds: int = 4, hidden: tuple = ()) -> dict:
    """A belief model with large random parameters, in double precision."""
    generator = seeded(seed)
    model = context.belief_init(obs_size, kinds, hidden, 0.7, generator)
    model |= context.encoder_init(obs_size, kinds, hidden, generator)
    loud = {k: torch.randn(p.shape, generator=generator, dtype=torch.float64) for k, p in model.items()}
    return loud | {"sigma": torch.tensor(0.7, dtype=torch.float64)}


def steps(seed: int, T: int = 5, B: int = 7, obs_size: int = 3):
    generator = seeded(seed)
    obs = torch.eye(obs_size, dtype=torch.float64)[torch.randint(obs_size, (T, B), generator=generator)]
    return obs, torch.randn(T, B, generator=generator, dtype=torch.float64)


def bayes_model(sigma: float) -> dict:
    """The hidden-goal grid written by hand: kind z is goal z, and the messages are Bayes' rule."""
    goals, cells = torch.tensor(GRID.goals), torch.arange(25)
    means = torch.where(goals[None] == cells[:, None], 1.0, -0.1)  # [25, 21]
    # −(r − m)²/2σ² is, up to what all z share, (r m − m²/2)/σ²
    message = torch.cat([-(means**2) / 2, means, torch.zeros(1, 21)]) / sigma**2
    model = {"prior": torch.zeros(21), "sigma": torch.tensor(sigma)}
    model |= {"message_W0": message / context.LOUD, "message_b0": torch.zeros(21)}
    return model | {"reward_W0": means, "reward_b0": torch.zeros(21)}


# The bound


@pytest.mark.parametrize("hidden", [(), (5,)])
def test_the_evidence_is_the_bound_plus_the_divergence_from_the_posterior(hidden):
    for seed in range(5):
        model, (obs, rewards) = loud(seed, hidden=hidden), steps(seed)
        log_q = context.beliefs(model, obs, rewards)
        evidence = context.evidence(model, obs, rewards)
        joint = torch.log_softmax(model["prior"], -1).expand(1, 7, 4)
        likelihood = context.log_likelihood(model, obs, rewards).cumsum(0)
        posterior = torch.log_softmax(torch.cat([joint, joint + likelihood]), -1)
        gap = (log_q.exp() * (log_q - posterior)).sum(-1)
        bound = context.bound(model, obs, rewards)
        torch.testing.assert_close(evidence, bound + gap)
        assert (bound <= evidence + 1e-9).all() and (gap[1:] > 1e-3).any()
        torch.testing.assert_close(bound[0], evidence[0])  # before anything is seen both are 0


def test_the_evidence_by_hand():
    model, (obs, rewards) = loud(3), steps(3, T=2, B=1)
    W, b = model["reward_W0"], model["reward_b0"]
    prior, total = torch.softmax(model["prior"], 0), 0.0
    for z in range(4):
        chance = prior[z]
        for t in range(2):
            mean = (obs[t, 0] @ W + b)[z]
            chance = chance * torch.exp(-((rewards[t, 0] - mean) ** 2) / (2 * 0.7**2))
        total += chance
    assert context.evidence(model, obs, rewards)[2, 0].item() == pytest.approx(total.log().item(), abs=1e-10)


def test_the_gradient_of_the_bound_is_that_of_finite_differences():
    model, (obs, rewards) = loud(1), steps(1)
    wanted = networks.require_grad(model)
    grads = networks.gradients(context.bound(wanted, obs, rewards).mean(), wanted)
    assert grads["sigma"].abs() > 0
    for name, p in model.items():
        for k in range(0, p.numel(), 3):
            ends = []
            for h in (1e-5, -1e-5):
                moved = p.flatten().clone()
                moved[k] += h
                other = model | {name: moved.reshape(p.shape)}
                ends.append(context.bound(other, obs, rewards).mean().item())
            assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(grads[name].flatten()[k].item(), abs=1e-6)


def test_climbing_the_bound_over_the_beliefs_ends_at_the_posterior():
    """With the decoder fixed: the messages that make the bound of the past largest are Bayes' rule."""
    sigma, generator = 0.5, seeded(0)
    truth = bayes_model(sigma)
    cells = torch.randint(25, (6, 400), generator=generator)
    goals = torch.tensor(GRID.goals)[torch.randint(21, (400,), generator=generator)]
    obs, rewards = EYE[cells], torch.where(cells == goals, 1.0, -0.1)
    messages = {k: torch.zeros_like(p) for k, p in truth.items() if k.startswith("message")}
    messages, _, _ = context.climb(
        messages,
        networks.adam_init(messages),
        lambda m: -context.bound(truth | m, obs, rewards).mean(),
        150,
        0.03,
    )
    model = truth | messages
    gap = context.evidence(model, obs, rewards) - context.bound(model, obs, rewards)
    assert gap.mean() < 0.01 and gap.min() > -1e-4
    start = truth | {"message_W0": torch.zeros(51, 21)}
    before = context.evidence(start, obs, rewards) - context.bound(start, obs, rewards)
    assert before.mean() > 0.1


# The belief


def test_bayes_rule_is_one_of_the_encoders():
    rng = np.random.default_rng(0)
    cells, goals = rng.integers(25, size=(20, 12)), rng.choice(GRID.goals, size=20)
    rewards = np.where(cells == goals[:, None], 1.0, -0.1)
    exact = belief_filter(GRID, cells, rewards)
    model = bayes_model(0.2)
    got = context.beliefs(model, EYE[torch.from_numpy(cells.T)], torch.from_numpy(rewards.T).float()).exp()
    np.testing.assert_allclose(got.transpose(0, 1).numpy(), exact, atol=1e-4)
    maps = context.belief_map(model, got.log(), EYE[list(GRID.goals)], -0.1, 1.0)
    np.testing.assert_allclose(maps.transpose(0, 1).numpy(), exact, atol=1e-4)


def test_the_order_of_the_steps_does_not_matter():
    model, (obs, rewards) = loud(2, hidden=(6,)), steps(2)
    order = torch.tensor([3, 0, 4, 1, 2])
    one = context.beliefs(model, obs, rewards)[-1]
    torch.testing.assert_close(one, context.beliefs(model, obs[order], rewards[order])[-1])


# Living


def test_lives_keep_the_belief_through_the_episodes_and_pay_what_the_world_pays():
    tasks, model, generator = grid_goal_tasks(None, split=None), bayes_model(0.2), seeded(1)
    T = 45

    def anything(obs, log_q, clock, z):
        return torch.randint(5, z.shape, generator=generator)

    lives = context.lifetimes(anything, model, tasks, 3, generator, each=6)
    assert lives.rewards.shape == (T, 21, 6) and lives.log_q.shape == (T, 21, 6, 21)
    cells, after = lives.obs.argmax(-1), lives.after.argmax(-1)
    for t in range(T):
        if t % 15 == 0:
            assert (cells[t] == 0).all()
        else:
            assert torch.equal(cells[t], after[t - 1])
        state, reward, _ = tasks.step(cells[t], lives.actions[t])
        assert torch.equal(state, after[t]) and torch.equal(reward, lives.rewards[t])
    exact = belief_filter(GRID, after.permute(1, 2, 0).numpy(), lives.rewards.permute(1, 2, 0).numpy())
    np.testing.assert_allclose(lives.log_q.exp().numpy(), np.moveaxis(exact, 2, 0)[:-1], atol=1e-4)
    assert lives.clock[20, 0, 0].tolist() == pytest.approx([5 / 15, 1.0])
    held = lives.z.reshape(3, 15, 21, 6)
    assert (held == held[:, :1]).all()  # one guess an episode
    start = np.take_along_axis(np.moveaxis(exact, 2, 0)[:-1:15], held[:, 0].numpy()[..., None], -1)
    assert (start > 0).all()  # and none that was ruled out


def test_guesses_are_drawn_from_the_belief():
    tasks, model = grid_goal_tasks(None, split=None), bayes_model(0.2)
    prior = torch.linspace(-1, 1, 21)
    lives = context.lifetimes(
        lambda obs, q, c, z: 0 * z + 4, model | {"prior": prior}, tasks, 1, seeded(2), 500
    )
    counts = torch.bincount(lives.z[0].flatten(), minlength=21)
    expected = torch.softmax(prior, 0) * 21 * 500
    assert ((counts - expected) ** 2 / expected).sum() < 80  # chi-square, 20 degrees: false alarm 4e-9


def to_the_guess(obs, log_q, clock, z):
    """A shortest path to goal z: down or right by a fair coin, then stay."""
    cell, goal = obs.argmax(-1), torch.tensor(GRID.goals)[z]
    down, right = goal // 5 - cell // 5, goal % 5 - cell % 5
    vertical = torch.where(down > 0, 2, 0)
    across = torch.where(right > 0, 1, 3)
    coin = torch.rand(z.shape, generator=to_the_guess.generator) < 0.5
    action = torch.where((right == 0) | ((down != 0) & coin), vertical, across)
    return torch.where((down == 0) & (right == 0), 4, action)


@pytest.mark.parametrize(
    "refuted, exact", [(0.0, [-0.7891, 1.1831, 2.9256, 4.4577]), (0.5, [2.9796, 7.85, 10.48, 11.04])]
)
def test_an_exact_guesser_earns_the_exact_rows(refuted, exact):
    """oracles.hidden_goal.posterior_sampling, played in the world with the belief by Bayes' rule."""
    tasks, model, E = grid_goal_tasks(None, split=None), bayes_model(0.2), 150
    to_the_guess.generator = seeded(4)
    lives = context.lifetimes(to_the_guess, model, tasks, 4, seeded(3), E, refuted)
    got = context.by_episode(lives, 15).double()
    error = got.std(2).pow(2).mean(1).sqrt() / (21 * E) ** 0.5  # the goals are all there: within each
    assert ((got.mean((1, 2)) - torch.tensor(exact)).abs() < 5.2 * error + 0.01).all()  # false alarm 1e-6


# Learning


def test_tables_and_wanderers():
    tasks = grid_goal_tasks(None, split=None)
    lives = context.wander(tasks, 5, 3)
    again = context.wander(tasks, 5, 3)
    assert torch.equal(lives.actions, again.actions) and lives.rewards.shape == (30, 21, 3)
    Q = torch.randn(21, 25, 5, generator=seeded(0))
    pays = torch.randn(25, 21, generator=seeded(1))
    model, net = context.from_tables(pays, Q, 0.3)
    torch.testing.assert_close(context.predicted(model, EYE), pays)
    torch.testing.assert_close(context.q_values(net, EYE, 21), Q.transpose(0, 1))


def test_the_believer_learns_to_search_and_to_return():
    """A 3 × 3 grid with 4 goals, where the best possible is known from the oracle's tests."""
    tasks = grid_goal_tasks(None, split=None, side=3, episode=6)
    recipe = Recipe(60, net=(32,), each=8)
    state = train(*context.learner(lambda k: tasks, recipe, "believer", 0), 60, show=False)
    lives = context.lifetimes(
        context.believing(state["params"], state["Q"]), state["model"], tasks, 2, seeded(0)
    )
    first, second = context.by_episode(lives, 6).mean((1, 2)).tolist()
    grid = HiddenGoal(3, 6, goals=tuple(tasks.goal.tolist()))
    best = bayes_optimal(grid, 2).rewards
    assert first + second <= best.sum() + 1e-4
    assert second > 0.9 * best[1]


@pytest.mark.parametrize("kind", ["believer", "guesser"])
def test_a_killed_training_ends_with_the_same_bits(kind, tmp_path):
    recipe = Recipe(7, net=(8,), each=1, passes=2, q_passes=2)
    tasks = grid_goal_tasks(None, split=None, side=3, episode=4)
    begin, update = context.learner(lambda k: tasks, recipe, kind, 3)
    whole = train(begin, update, 7, show=False)

    def dies(state):
        if len(state["scores"]) == 5:
            raise KeyboardInterrupt
        return update(state)

    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        train(begin, dies, 7, path=path, every=2, show=False)
    again = train(begin, update, 7, path=path, every=2, show=False)
    assert again["scores"] == whole["scores"] and again["errors"] == whole["errors"]
    for part in ("model", "Q", "params"):
        assert all(torch.equal(again[part][k], whole[part][k]) for k in whole[part])
