"""Monte Carlo against closed forms, exact solves and Gymnasium's blackjack; broken variants are refused.

`agrees` is a t-test. It raises a false alarm with probability ALARM = 1e-7, all entries together (two-sided,
Bonferroni), so that a test that asks it ten times stays at 1e-6; and it insists on samples enough that the
standard error is at most 2 % of what is measured. The worlds are the same under `--reseed`: what they are
worth, and so that percentage, belongs to the test. Mutants miss by 12 standard errors or more.
"""

import types
from dataclasses import replace
from fractions import Fraction
from math import comb

import gymnasium
import numpy as np
import pytest
from random_worlds import fixed_rng
from scipy.stats import t as t_distribution

from course_lib.agents import monte_carlo, sampling
from course_lib.agents.monte_carlo import mc_control, mc_off_policy_control, mc_prediction, play
from course_lib.agents.planning import evaluate, solve
from course_lib.agents.sampling import on_arrival
from course_lib.agents.tabular import soften
from course_lib.worlds import blackjack as bj
from course_lib.worlds.mazes import infinite_variance
from course_lib.worlds.mdp import MDP, random_mdp

ALARM = 1e-7


def agrees(samples, exact, scale=None):
    """Whether independent samples [N, …] have the mean `exact`; asserts that their SE is ≤ 2 % of scale."""
    samples = np.asarray(samples, dtype=float)
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    scale = np.abs(exact).max() if scale is None else scale
    assert (error <= 0.02 * scale).all(), f"too few samples: {error.max():.3g} is above 2 % of {scale:.3g}"
    off = np.abs(samples.mean(axis=0) - exact)
    return bool(
        (off <= t_distribution.isf(ALARM / 2 / np.size(exact), len(samples) - 1) * error + 1e-9).all()
    )


def broken(module, old, new, **patches):
    """A copy of a module with one piece of its source replaced, and names patched: a mutant."""
    with open(module.__file__, encoding="utf-8") as file:
        source = file.read()
    assert old in source, f"{module.__name__} has no {old!r} to break"
    mutant = types.ModuleType(module.__name__)
    exec(compile(source.replace(old, new), module.__file__, "exec"), mutant.__dict__)
    mutant.__dict__.update(patches)
    return mutant


def ending_mdp(S, A, seed, gamma=0.9, end=0.3):
    """A random world where each step ends the episode with probability `end`; the last state is terminal."""
    world = random_mdp(S, A, S, rng=fixed_rng(seed), gamma=gamma)
    P, R = np.zeros((S + 1, A, S + 1)), np.zeros((S + 1, A))
    P[:S, :, :S], P[:S, :, S], P[S, :, S], R[:S] = (1 - end) * world.P, end, 1, world.R
    return MDP(P, R, gamma, terminal=np.arange(S + 1) == S)


def random_policy(mdp, seed):
    return fixed_rng(seed).dirichlet(np.ones(mdp.A), size=mdp.S)


def loop_world(stay):
    """One state that stays with probability `stay`, and pays 1 a step: an episode's return is its length."""
    return MDP([[[stay, 1 - stay]], [[0.0, 1.0]]], [[1.0], [0.0]], 1.0, terminal=[False, True])


# First and every visit, for a finite number of episodes


def every_visit_expectation(stay, n):
    """E of the every-visit estimate after n episodes of `loop_world`: (n/q + 1)/(n + 1), with q = 1 − stay.

    Given m steps in all, the n lengths are a uniform composition of m, so E Σ L(L+1)/2 = n C(m+1,
    n+1)/C(m−1, n−1); divided by m visits that is (m + 1)/(n + 1); and E m = n/q. The first-visit estimate,
    m/n, has expectation 1/q.
    """
    return (n / (1 - stay) + 1) / (n + 1)


def test_the_closed_form_against_plain_enumeration():
    for n in (1, 2, 3):
        for m in range(n, 9):
            parts = [L for L in np.ndindex(*[m + 1] * n) if sum(L) == m and min(L) > 0]
            mean = Fraction(sum(sum(k * (k + 1) // 2 for k in L) for L in parts), m * len(parts))
            assert len(parts) == comb(m - 1, n - 1)
            assert mean == Fraction(m + 1, n + 1)


@pytest.mark.stochastic
@pytest.mark.parametrize("n", [1, 2, 5])
def test_first_and_every_visit_have_their_own_finite_expectations(n):
    world, pi = loop_world(0.6), np.ones((2, 1))
    estimate = lambda module, first: module.mc_prediction(  # noqa: E731
        world, pi, n, runs=40_000, rng=np.random.default_rng(1), first_visit=first
    )[:, 0]
    first, every = 1 / 0.4, every_visit_expectation(0.6, n)
    assert agrees(estimate(monte_carlo, True), first)
    assert agrees(estimate(monte_carlo, False), every)
    assert not agrees(estimate(monte_carlo, False), first)  # they differ
    always_every = broken(
        monte_carlo, "first = np.zeros(len(self.s), bool)", "first = np.ones(len(self.s), bool)"
    )
    assert not agrees(estimate(always_every, True), first)  # mutant: first-visit that is every-visit


@pytest.mark.stochastic
def test_the_error_falls_as_one_over_root_n():
    # n · E(V_n − V)² is the variance of one return, stay/q² = .6/.16, for every n.
    world, pi = loop_world(0.6), np.ones((2, 1))
    for n, runs in ((1, 200_000), (10, 30_000), (100, 30_000)):  # the squares of single returns vary most
        V = mc_prediction(world, pi, n, runs, rng=np.random.default_rng(n))[:, 0]
        assert agrees(n * (V - 2.5) ** 2, 0.6 / 0.16)


@pytest.mark.stochastic
def test_a_walk_that_ignores_the_terminal_state_is_refused():
    world, pi = loop_world(0.6), np.ones((2, 1))

    def estimate(module):
        return module.mc_prediction(world, pi, 1, runs=20_000, rng=np.random.default_rng(3), limit=40)[:, 0]

    on = "s2, terminated = world.renew(s2, world.terminal[s2], rng), np.zeros(len(s2), bool)"
    ignores = broken(sampling, "terminated = world.terminal[s2]", on)  # a new start in the same episode
    assert agrees(estimate(monte_carlo), 2.5 * (1 - 0.6**40))  # E min(L, 40)
    mutant = broken(monte_carlo, "AT_ONCE = 10_000", "AT_ONCE = 10_000", walk=ignores.walk)
    assert not agrees(estimate(mutant), 2.5 * (1 - 0.6**40))  # mutant: ignored terminal
    with pytest.raises(AssertionError):  # control: its Q is no longer that of the uniform policy
        Q = mutant.mc_control(world, 30, 1.0, runs=4_000, rng=np.random.default_rng(4), limit=40)
        assert agrees(Q[:, 0, 0], 2.5)
    Q = mc_control(world, 30, 1.0, runs=4_000, rng=np.random.default_rng(4), limit=40)
    assert agrees(Q[:, 0, 0], 2.5)


@pytest.mark.stochastic
def test_prediction_is_unbiased_in_a_random_world_and_mutants_are_not():
    mdp = ending_mdp(4, 3, seed=0)
    pi, rng = random_policy(mdp, 1), lambda: np.random.default_rng(2)
    V = evaluate(mdp, pi)
    # With 12 episodes from uniform starts, a state stays unvisited in .75¹² = 3 % of the runs: those are
    # left out. Given that it is visited, the first-visit mean is unbiased.

    def check(module):
        V_hat = module.mc_prediction(mdp, pi, 12, runs=6_000, rng=rng())
        return all(agrees(V_hat[V_hat[:, s] != 0, s], V[s], scale=np.abs(V).max()) for s in range(4))

    assert check(monte_carlo)
    assert not check(broken(monte_carlo, "step.r + gamma * G[step.n]", "step.r + G[step.n]"))  # missing gamma


@pytest.mark.stochastic
def test_the_limit_cuts_episodes_short_and_says_so():
    world = loop_world(0.6)
    V = mc_prediction(world, np.ones((2, 1)), 50, runs=4_000, rng=np.random.default_rng(0), limit=3)[:, 0]
    assert agrees(V, 1 + 0.6 + 0.36)  # E min(L, 3)


# Blackjack


def test_blackjack_is_worth_what_the_book_says():
    mdp = bj.blackjack()
    V = evaluate(mdp, bj.hit_below(20))
    assert mdp.R.shape == (293, 2) and mdp.labels[bj.state(13, 2, True)] == (13, 2, True)
    assert abs(V[bj.state(13, 2, True)] - -0.27720) < 5e-6  # S&B p. 106: "−0.27726" from 100 million episodes


class Script:
    """Stands for Gymnasium's random generator: hands out the given cards, and asks for more by IndexError."""

    def __init__(self, cards):
        self.cards = list(cards)

    def choice(self, deck):
        return self.cards.pop(0)


def gymnasium_outcomes(player, dealer, action):
    """All that a step of Blackjack-v1 can do, exactly: {(observation or None at the end, reward): chance}."""
    env = gymnasium.make("Blackjack-v1", sab=True).unwrapped
    out, todo = {}, [((), Fraction(1))]
    while todo:
        cards, p = todo.pop()
        env.player, env.dealer, env._np_random = list(player), list(dealer), Script(cards)
        try:
            observation, reward, terminated, _, _ = env.step(action)
        except IndexError:
            todo += [((*cards, c), p * Fraction(4 if c == 10 else 1, 13)) for c in range(1, 11)]
            continue
        key = None if terminated else observation, reward
        out[key] = out.get(key, 0) + p
    return out


def our_outcomes(mdp, player, dealer, action):
    total = sum(player) + 10 * (1 in player and sum(player) <= 11)
    usable = "natural" if sorted(player) == [1, 10] else bool(1 in player and sum(player) <= 11)
    row = mdp.P[bj.state(total, dealer, usable), action]

    def key(s):
        if mdp.terminal[s]:
            return None, bj.PAYS[s]
        return (*mdp.labels[s][:2], int(bool(mdp.labels[s][2]))), 0.0

    return {key(s): row[s] for s in np.flatnonzero(row)}


HANDS = [(a, b) for a in range(1, 11) for b in range(a, 11)] + [
    (2, 3, 6, 10),
    (1, 5, 5),
    (1, 10, 10),
    (10, 2, 3),
]


def test_every_hit_is_gymnasiums_exactly():
    mdp = bj.blackjack()
    for player in HANDS:
        for dealer in (1, 6, 10):
            theirs = gymnasium_outcomes(player, (dealer, 5), 1)
            ours = our_outcomes(mdp, player, dealer, 1)
            assert theirs.keys() == ours.keys()
            assert all(abs(ours[k] - float(p)) < 1e-12 for k, p in theirs.items())


@pytest.mark.parametrize("dealer", [1, 7, 10])
def test_every_showdown_is_gymnasiums_exactly(dealer):
    mdp = bj.blackjack()
    for player in [(2, 3), (10, 7), (1, 8), (10, 10), (2, 9, 10), (1, 10)]:
        theirs = {}
        for hidden in range(1, 11):
            for key, p in gymnasium_outcomes(player, (dealer, hidden), 0).items():
                theirs[key] = theirs.get(key, 0) + p * Fraction(4 if hidden == 10 else 1, 13)
        ours = our_outcomes(mdp, player, dealer, 0)
        assert theirs.keys() == ours.keys()
        assert all(abs(ours[k] - float(p)) < 1e-12 for k, p in theirs.items())


@pytest.mark.stochastic
def test_blackjack_deals_and_plays_like_gymnasium():
    # 20,000 games by the policy that hits below 20. The share of first states with a usable ace and the
    # mean return against our exact ones; a false alarm in 2e-7 of seeds. A coarse check: the two above are
    # exact.
    env, mdp = gymnasium.make("Blackjack-v1", sab=True).unwrapped, bj.blackjack()
    first, returns = [], []
    env.reset(seed=5)
    for _ in range(20_000):
        (total, dealer, usable), _ = env.reset()
        first.append((total, dealer, usable))
        terminated = False
        while not terminated:
            (total, _, _), reward, terminated, _, _ = env.step(int(total < 20))
        returns.append(reward)
    V = evaluate(mdp, bj.hit_below(20))
    assert agrees(returns, mdp.start @ V)
    ours = np.zeros((22, 11, 2))
    for label, p in zip(mdp.labels[:-3], mdp.start[:-3], strict=True):
        ours[label[0], label[1], int(bool(label[2]))] += p
    theirs = np.zeros((len(first), 22 + 11 + 2))
    for column, offset in enumerate((0, 22, 33)):
        theirs[np.arange(len(first)), offset + np.array(first)[:, column]] = 1
    exact = np.concatenate([ours.sum(axis=(1, 2)), ours.sum(axis=(0, 2)), ours.sum(axis=(0, 1))])
    assert agrees(theirs, exact)


@pytest.mark.stochastic
def test_prediction_finds_blackjacks_values():
    mdp, pi = bj.blackjack(), bj.hit_below(20)
    reward, s = on_arrival(mdp, bj.PAYS), bj.state(13, 2, True)
    from_s = replace(mdp, start=np.eye(mdp.S)[s])
    V = mc_prediction(from_s, pi, 300, runs=1_000, rng=np.random.default_rng(0), reward=reward)
    assert agrees(V[:, s], evaluate(mdp, pi)[s])
    e = play(mdp, pi, 20_000, rng=np.random.default_rng(1), reward=reward)
    assert set(np.unique(e.r)) == {-1.0, 0.0, 1.0}  # single games, not their expectation


@pytest.mark.parametrize("usable", [True, False])
def test_a_hand_table_has_the_sums_by_the_dealers_card(usable):
    mdp = bj.blackjack()
    table = bj.hand_table(np.arange(mdp.S), usable)
    assert [[mdp.labels[s] for s in row] for row in table] == [
        [(total, dealer, usable) for dealer in range(1, 11)] for total in range(12, 22)
    ]


def test_blackjack_refuses_states_that_do_not_exist():
    for wrong in [(3, 2, False), (22, 2, False), (11, 2, True), (13, 0, True), (20, 5, "natural")]:
        with pytest.raises(ValueError, match="no state"):
            bj.state(*wrong)
    mdp = bj.blackjack()
    with pytest.raises(ValueError, match="on average"):
        on_arrival(mdp, -bj.PAYS)


# Off policy


@pytest.mark.stochastic
def test_ordinary_importance_sampling_is_unbiased_and_weighted_is_consistent():
    mdp = ending_mdp(4, 2, seed=3, end=0.5)
    pi, b = random_policy(mdp, 4), 0.5 * random_policy(mdp, 4) + 0.25
    start = replace(mdp, start=np.eye(mdp.S)[0])
    V, V_b = evaluate(mdp, pi)[0], evaluate(mdp, b)[0]
    run = lambda module, n, runs, weighted: module.mc_prediction(  # noqa: E731
        start, pi, n, runs, rng=np.random.default_rng(5), behaviour=b, weighted=weighted
    )[:, 0]
    assert agrees(run(monte_carlo, 5, 40_000, False), V)
    assert not agrees(run(monte_carlo, 5, 40_000, False), V_b)
    assert agrees(run(monte_carlo, 1, 40_000, True), V_b)  # after one episode weighted forgets the ratio: V_b
    assert agrees(
        run(monte_carlo, 20_000, 100, True), V
    )  # its bias, of order 1/n, is far below the standard error
    dropped = broken(monte_carlo, "rho[step.n] *= ratio[step.s, step.a]", "pass")
    assert not agrees(run(dropped, 5, 40_000, False), V)  # mutant: dropped importance weight
    assert not agrees(run(dropped, 20_000, 100, True), V)


@pytest.mark.stochastic
def test_infinite_variance():
    """S&B Example 5.5: ρG is 2^k with probability (9/20)^(k−1)/20, else 0: mean 1, infinite variance."""
    mdp, pays = infinite_variance()
    left, both = np.eye(2)[[0, 0, 0]], np.full((3, 2), 0.5)
    e = play(mdp, left, 400_000, rng=np.random.default_rng(0), behaviour=both, reward=on_arrival(mdp, pays))
    value = (e.rho * e.G)[e.t == 0]
    k = np.arange(1, 7)
    exact = 0.45 ** (k - 1) / 20
    assert agrees(value[:, None] == 2.0**k, exact)
    assert set(np.unique(value)) <= {0.0, *2.0 ** np.arange(1, 40)}
    # Each k brings .9^(k−1)/10 to the mean, which sums to 1; to the second moment .2·1.8^(k−1), which
    # diverges.
    assert np.isclose((exact * 2.0**k).sum(), 1 - 0.9**6)
    assert np.isclose((exact * 4.0**k).sum(), 0.2 * (1.8**6 - 1) / 0.8)
    ordinary, weighted = (
        mc_prediction(
            mdp,
            left,
            1_000,
            500,
            rng=np.random.default_rng(1),
            behaviour=both,
            weighted=w,
            first_visit=True,
            reward=on_arrival(mdp, pays),
        )[:, 0]
        for w in (False, True)
    )
    assert (weighted == 1).all()  # every episode that pi could have made returns 1
    # Simulated: a run ends above 2 with chance .034, so none of 500 does with chance .966^500 = 3e-8; and of
    # 10,000 spreads of 200 runs the smallest was .248.
    assert ordinary.std() > 0.1 and ordinary.max() > 2


@pytest.mark.stochastic
def test_off_policy_control_finds_the_optimum():
    mdp = ending_mdp(4, 2, seed=7, end=0.6)
    V, pi = solve(mdp)
    Q_star = mdp.backup(V)
    learn = lambda module: module.mc_off_policy_control(  # noqa: E731
        mdp, np.full((5, 2), 0.5), 1_000, runs=400, rng=np.random.default_rng(0)
    )
    Q = learn(monte_carlo)
    off = lambda Q: np.abs(Q.mean(axis=0) - Q_star)[:-1].max() / np.abs(Q_star).max()  # noqa: E731
    # The mean over runs is off by .7 %, with a standard error of .36 %: the bound of 4 % is 9 SE away. The
    # best action is found in .993 ± .002 (11 SE), and the mutant is off by .101 ± .001: each below 1e-9.
    assert off(Q) < 0.04
    assert (Q.argmax(axis=2) == pi.argmax(axis=1))[:, :-1].mean() > 0.97
    # mutant: dropped importance weight
    assert (
        off(
            learn(
                broken(monte_carlo, "(a == Q[n, s].argmax(axis=1)) / b[s, a]", "a == Q[n, s].argmax(axis=1)")
            )
        )
        > 0.08
    )


def test_ordinary_off_policy_control_is_the_sum_of_weighed_returns_over_the_visits():
    mdp, b = ending_mdp(4, 2, seed=7, end=0.6), np.full((5, 2), 0.5)
    for seed in range(5):
        twins = [np.random.default_rng(seed) for _ in range(2)]
        learned = mc_off_policy_control(mdp, b, 60, rng=twins[0], weighted=False)[0]
        Q, returns = np.zeros((5, 2)), {}
        for _ in range(60):  # the definition: every weighed return is kept, those of weight 0 too
            ((states, actions, rewards),) = play(mdp, b, 1, rng=twins[1]).games()
            W = 1.0  # the ratio of the actions after this one
            for t in reversed(range(len(states))):
                s, a, G = states[t], actions[t], sum(mdp.gamma**k * r for k, r in enumerate(rewards[t:]))
                returns.setdefault((s, a), []).append(W * G)
                Q[s, a] = np.mean(returns[s, a])
                W *= 2 * (a == Q[s].argmax())
        assert np.allclose(learned, Q, atol=1e-12)


@pytest.mark.stochastic
def test_ordinary_off_policy_control_finds_the_optimum_too_and_wobbles_more():
    mdp = ending_mdp(4, 2, seed=7, end=0.6)
    V, pi = solve(mdp)
    Q_star, b = mdp.backup(V), np.full((5, 2), 0.5)
    ordinary, weighted = (
        mc_off_policy_control(mdp, b, 1_000, runs=400, rng=np.random.default_rng(0), weighted=w)[:, :-1]
        for w in (False, True)
    )
    # Few returns with large weights: means and spreads over the runs say little, so each run is judged by its
    # mean error, as a share of the largest value, and against the weighted run on the same episodes. Of 800
    # runs more than 90 % were within 10 %, and 88 % worse than their twin: with 400 runs the bounds are 6.5
    # and 11 SE away. The best action is found in .990 ± .0025. False alarms: 1e-10 together.
    error = [np.abs(Q - Q_star[:-1]).mean(axis=(1, 2)) / np.abs(Q_star).max() for Q in (ordinary, weighted)]
    assert (error[0] < 0.1).mean() > 0.8
    assert (error[0] > error[1]).mean() > 0.7
    assert (ordinary.argmax(axis=2) == pi.argmax(axis=1)[:-1]).mean() > 0.9


# Control


@pytest.mark.stochastic
def test_exploring_at_random_control_averages_the_random_policys_returns():
    # With ε = 1 the policy never changes, so Q is a first-visit mean: unbiased for Q_π where the pair is
    # visited.
    mdp = ending_mdp(3, 2, seed=9)
    uniform = np.full((4, 2), 0.5)
    Q_pi = mdp.backup(evaluate(mdp, uniform))

    def check(module):
        Q = module.mc_control(mdp, 15, 1.0, runs=20_000, rng=np.random.default_rng(1))
        seen = [(Q[Q[:, s, a] != 0, s, a], Q_pi[s, a]) for s in range(3) for a in range(2)]
        return all(agrees(samples, exact, scale=np.abs(Q_pi).max()) for samples, exact in seen)

    assert check(monte_carlo)
    assert not check(broken(monte_carlo, "r + gamma * G[n]", "r + G[n]"))  # mutant: missing gamma
    always_every = broken(monte_carlo, "first = latest[at] < k", "first = latest[at] < k + 1")
    assert not check(always_every)  # mutant: first-visit that is every-visit


@pytest.mark.stochastic
@pytest.mark.parametrize(("epsilon", "exploring_starts"), [(0.2, False), (0.0, True)])
def test_control_finds_the_best_policy_of_its_kind(epsilon, exploring_starts):
    # What a run misses of all that can be gained, over 2,000 other runs: .0029 with ε, .0051 with exploring
    # starts, standard deviation .0125 and .013. So the mean of 100 runs has a standard error of .0013; the
    # bound is 7.6 of them above the mean: a false alarm in far less than 1e-6 of the seeds.
    mdp = ending_mdp(4, 3, seed=11, end=0.2)
    uniform = np.full((5, 3), 1 / 3)
    best, random = (mdp.start @ V for V in (solve(soften(mdp, epsilon))[0], evaluate(mdp, uniform)))
    Q = mc_control(
        mdp, 1_000, epsilon, runs=100, rng=np.random.default_rng(3), exploring_starts=exploring_starts
    )
    policies = (1 - epsilon) * np.eye(3)[Q.argmax(axis=2)] + epsilon * uniform
    gap = np.array([best - mdp.start @ evaluate(mdp, pi) for pi in policies]) / (best - random)
    assert gap.min() > -1e-9
    assert gap.mean() < 0.015


@pytest.mark.slow
def test_exploring_starts_solve_blackjack():
    mdp = bj.blackjack()
    best = mdp.start @ solve(mdp)[0]
    Q = mc_control(
        mdp,
        60_000,
        0.0,
        runs=20,
        rng=np.random.default_rng(0),
        exploring_starts=True,
        reward=on_arrival(mdp, bj.PAYS),
    )
    worth = np.array([mdp.start @ evaluate(mdp, np.eye(2)[q.argmax(axis=1)]) for q in Q])
    assert (worth <= best + 1e-9).all()
    assert worth.mean() > best - 0.013  # measured .0075 ± .0007 (SE) less: 7 SE, below 1e-9


# Records, reproducibility and errors


def test_a_record_of_episodes_is_a_table_of_plain_columns():
    mdp = ending_mdp(3, 2, seed=0)
    e = play(mdp, np.full((4, 2), 0.5), 4, runs=3, rng=np.random.default_rng(0))
    assert all(len(column) == len(e.s) for column in e)
    for run in range(3):
        for episode in range(4):
            own = (e.run == run) & (e.episode == episode)
            assert (np.diff(e.t[own]) == 1).all() and e.t[own][0] == 0
            assert (e.s2[own][:-1] == e.s[own][1:]).all() and mdp.terminal[e.s2[own][-1]]
            G = 0.0
            for r, G_t in zip(e.r[own][::-1], e.G[own][::-1], strict=True):
                G = r + mdp.gamma * G
                assert np.isclose(G, G_t)
            _, first = np.unique(e.s[own], return_index=True)
            assert (np.flatnonzero(e.first_visits()[own]) == np.sort(first)).all()
    assert set(np.unique(e.upto(2).episode)) == {0, 1}
    for run in range(3):
        games = list(e.games(run))
        assert len(games) == 4
        for episode, (states, actions, rewards) in enumerate(games):
            own = (e.run == run) & (e.episode == episode)
            assert states == e.s[own].tolist() and actions == e.a[own].tolist()
            assert rewards == e.r[own].tolist()


def test_batches_change_nothing_but_the_memory():
    mdp, pi = loop_world(0.5), np.ones((2, 1))
    V = list(mc_prediction.iterates(mdp, pi, 100, runs=3, rng=np.random.default_rng(0), batch=30))
    assert len(V) == 4
    assert V[-1].shape == (3, 2)
    again = mc_prediction(mdp, pi, 100, runs=3, rng=np.random.default_rng(0), batch=30)
    assert (V[-1] == again).all()


NEVER = MDP(
    [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]],
    [[0.0, 1.0], [0.0, 0.0]],
    0.9,
    terminal=[False, True],
)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, pi, g: mc_prediction(m, pi, 0, rng=g), "episodes is 0"),
        (lambda m, pi, g: mc_prediction(m, pi, 5, runs=0, rng=g), "runs is 0"),
        (lambda m, pi, g: mc_prediction(m, pi, 5, rng=7), "rng is 7"),
        (lambda m, pi, g: mc_prediction(m, pi, 5, rng=g, batch=0), "episodes is 0"),
        (lambda m, pi, g: mc_prediction(m, pi[:1], 5, rng=g), "shape"),
        (lambda m, pi, g: mc_prediction(m, np.eye(2)[[0, 0]], 5, rng=g), "may never end"),
        (
            lambda m, pi, g: mc_prediction(m, pi, 5, rng=g, behaviour=np.eye(2)[[1, 1]]),
            "never takes action 0",
        ),
        (lambda m, pi, g: mc_control(m, 5, 1.5, rng=g), "epsilon is 1.5"),
        (lambda m, pi, g: mc_control(m, 5, 0.0, rng=g), "circle for ever"),
        (lambda m, pi, g: mc_control(m, 5, 0.1, rng=g, alpha=0.0), "alpha is 0.0"),
        (lambda m, pi, g: mc_off_policy_control(m, np.eye(2)[[1, 1]], 5, rng=g), "never takes action 0"),
    ],
)
def test_bad_input_is_refused_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call(NEVER, np.full((2, 2), 0.5), np.random.default_rng(0))


def test_a_limit_allows_policies_that_never_end():
    V = mc_prediction(NEVER, np.eye(2)[[0, 0]], 5, rng=np.random.default_rng(0), limit=10)
    assert (V == 0).all()
    assert mc_control(NEVER, 5, 0.0, rng=np.random.default_rng(0), limit=10).shape == (1, 2, 2)
