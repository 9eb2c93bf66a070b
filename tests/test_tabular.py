"""Learners that act: against exact answers and the book's numbers; and broken variants are refused."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from random_worlds import fixed_rng
from scipy.sparse import csr_array
from test_monte_carlo import agrees, broken, ending_mdp
from test_temporal_difference import td0_expectation

from course_lib.agents import sampling, tabular
from course_lib.agents.planning import evaluate, greedy, policy_iteration, solve
from course_lib.agents.sampling import Draws, Sampler, walk
from course_lib.agents.tabular import (
    double_q_learning,
    dyna_q,
    epsilon_greedy,
    expected_sarsa,
    gaussian,
    learning_curve,
    life,
    on_arrival,
    one_over_n,
    polynomial,
    q_learning,
    sarsa,
    soften,
)
from course_lib.worlds.classics import cliff, windy
from course_lib.worlds.mazes import dyna_maze, infinite_variance, maximisation_bias
from course_lib.worlds.mdp import MDP, random_mdp

EXPECTED = "(1 - epsilon) * highest(q) + epsilon * q.mean(axis=1, where=q > -np.inf)"
LEARNERS = [q_learning, sarsa, expected_sarsa, double_q_learning, dyna_q]


def seeded(seed=0):
    return np.random.default_rng(seed)


def names(learner):
    return learner.__name__


def optimal_Q(mdp):
    return mdp.backup(solve(mdp, 1e-12)[0])


def soft_Q(mdp, epsilon):
    """Q of the best ε-soft policy: what SARSA and expected SARSA converge to."""
    return mdp.backup(solve(soften(mdp, epsilon), 1e-12)[0])


def certain_mdp(seed, S=6, A=3, gamma=0.5):
    """A random deterministic world: one in five moves ends the episode."""
    rng = fixed_rng(seed)
    P = np.eye(S + 1)[np.where(rng.random((S + 1, A)) < 0.2, S, rng.integers(S, size=(S + 1, A)))]
    P[S], R = np.eye(S + 1)[S], rng.standard_normal((S + 1, A))
    R[S] = 0
    return MDP(P, R, gamma, terminal=np.arange(S + 1) == S)


# Drawing


@pytest.mark.stochastic
def test_draws_follow_their_table_and_never_leave_it():
    # 300,000 draws a table; the rarest outcome, 1 %, is met 3,000 times
    P = np.array([[0.5, 0.0, 0.49, 0.01], [0.0, 1.0, 0.0, 0.0], [0.2, 0.3, 0.4, 0.1]])
    for table in range(3):
        drawn = Draws.of(P).draw(np.full(300_000, table), seeded(1))
        assert set(np.unique(drawn)) == set(np.flatnonzero(P[table]))
        assert agrees(drawn[:, None] == np.arange(4), P[table])


class AlmostOne:
    def random(self, size):
        return np.full(size, np.nextafter(1, 0))


def test_rounding_cannot_push_a_draw_into_the_next_table():
    # 2²⁰ tables, each with the two outcomes i and i + 1: there i + u is rounded to i + 1
    n = 2**20
    columns = np.arange(n)[:, None] + [0, 1]
    P = csr_array((np.full(2 * n, 0.5), columns.ravel(), np.arange(0, 2 * n + 1, 2)), shape=(n, n + 1))
    table = np.array([0, 1, n - 2, n - 1])
    assert (Draws.of(P).draw(table, AlmostOne()) == table + 1).all()


def test_a_sampler_sees_dense_and_sparse_worlds_alike():
    dense, sparse = (random_mdp(6, 3, 2, rng=seeded(0), sparse=sparse) for sparse in (False, True))
    a, b = (
        np.array([step.s2 for step in walk(Sampler.of(mdp), lambda n, s: n % 3, seeded(1), 9, 50)])
        for mdp in (dense, sparse)
    )
    assert (a == b).all()


def test_episodes_steps_and_limits_are_counted_a_run():
    mdp = ending_mdp(3, 2, seed=0)
    walk_ = lambda **how: list(walk(Sampler.of(mdp), lambda n, s: 0 * n, seeded(2), 5, **how))  # noqa: E731
    assert len(walk_(steps=7)) == 7
    over = sum(np.bincount(x.n, x.terminated, minlength=5) for x in walk_(episodes=4))
    assert (over == 4).all()
    cut = walk_(steps=40, limit=3)
    age, seen = np.zeros(5), 0
    for x in cut:
        age += 1
        assert not (x.terminated & x.truncated).any()
        assert (x.truncated == ((age == 3) & ~x.terminated)).all()
        seen += x.truncated.sum()
        age[x.terminated | x.truncated] = 0
    assert seen > 0


@pytest.mark.stochastic
def test_rewards_may_be_random_or_paid_on_arrival():
    mdp, pays = infinite_variance()
    rewards = [
        x.r for x in walk(Sampler.of(mdp, on_arrival(mdp, pays)), lambda n, s: 0 * n, seeded(0), 50_000, 1)
    ]
    assert set(np.unique(rewards)) == {0.0, 1.0}
    assert agrees(rewards[0], 0.1)
    mdp, sd, _ = maximisation_bias(mean=1.0)
    (step,) = walk(
        Sampler.of(replace(mdp, start=[0, 1, 0]), gaussian(mdp, sd)),
        lambda n, s: n % 10,
        seeded(0),
        50_000,
        1,
    )
    assert agrees(step.r, 1.0)
    assert agrees((step.r - 1) ** 2, 1.0)
    with pytest.raises(ValueError, match="sd holds"):
        gaussian(mdp, -sd)
    with pytest.raises(ValueError, match="one reward a state"):
        on_arrival(mdp, [1.0])


@pytest.mark.stochastic
def test_epsilon_greedy_shares_ties_and_skips_what_is_not_offered():
    q, epsilon = np.array([2.0, 2.0, -1.0, -np.inf]), 0.3
    exact = np.array([0.1 + 0.35, 0.1 + 0.35, 0.1, 0.0])
    a = epsilon_greedy(np.tile(q, (100_000, 1)), epsilon, seeded(0))
    assert agrees(a[:, None] == np.arange(4), exact)
    only = np.array([[7.0]])
    assert (epsilon_greedy(only, 1.0, seeded(0)) == 0).all() and only[0, 0] == 7.0


# Where the learners go


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.7, 1.0])
def test_softening_a_world_gives_the_best_soft_policy(epsilon):
    """Against policy iteration over ε-soft policies in the true world."""
    for sparse in (False, True):
        mdp = random_mdp(6, 3, 2, rng=seeded(1), sparse=sparse)
        pi = np.full((6, 3), 1 / 3)
        for _ in range(50):
            Q = mdp.backup(evaluate(mdp, pi))
            pi = (1 - epsilon) * np.eye(3)[Q.argmax(axis=1)] + epsilon / 3
        V, _ = solve(soften(mdp, epsilon), 1e-12)
        assert np.allclose(V, evaluate(mdp, pi), atol=1e-9)
        *_, (meant, V) = policy_iteration(soften(mdp, epsilon))
        assert np.allclose(V, evaluate(mdp, (1 - epsilon) * meant + epsilon / 3))


def exact_after(learner, mdp, epsilon, steps=4_000, limit=3, **how):
    """With α = 1 a deterministic world is learned exactly, once news has travelled from everywhere.

    Restarts after 3 steps see to it that all is tried. The share of agents that are not yet exact falls by
    a factor of 50 or more each 500 steps. It was .003 or less after 1,500 (1,200 agents of each learner), so
    it is 1e-11 or less after 4,000, and for 20 agents and 30 calls a false alarm is below 1e-8.
    """
    return learner(mdp, steps, 1.0, epsilon, 20, rng=seeded(1), limit=limit, **how)


@pytest.mark.stochastic
@pytest.mark.parametrize("seed", range(3))
def test_deterministic_worlds_are_learned_exactly(seed):
    mdp = certain_mdp(seed)
    for Q0 in (0.0, optimal_Q(mdp) + 5):
        for learner, how in [
            (q_learning, {}),
            (double_q_learning, {}),
            (dyna_q, {"planning": 2}),
        ]:
            Q = exact_after(learner, mdp, 0.5, Q=Q0, **how)
            assert np.allclose(Q, optimal_Q(mdp), atol=1e-9), names(learner)
        assert np.allclose(exact_after(expected_sarsa, mdp, 0.5, Q=Q0), soft_Q(mdp, 0.5), atol=1e-9)


@pytest.mark.stochastic
def test_broken_learners_are_refused_in_deterministic_worlds():
    mdp = certain_mdp(0)
    target = "highest(agents.q(step.n, step.s2))"
    breaks = {
        "missing gamma": ("step.r + mdp.gamma * " + target, "step.r + " + target),
        "mean for max": (target, "agents.q(step.n, step.s2).mean(axis=1)"),
        "bootstraps through a termination": ("table[mdp.terminal] = 0.0", "pass"),
        "wrong state": ("(step.n * self.world.S + step.s)", "(step.n * self.world.S + step.s2)"),
    }
    for name, (old, new) in breaks.items():
        Q = exact_after(broken(tabular, old, new).q_learning, mdp, 0.5, Q=5.0)
        assert not np.allclose(Q, optimal_Q(mdp), atol=1e-3), name
    worth = "agents.q(judges, step.s2)[np.arange(len(best)), best]"
    doubles = [("step.r + mdp.gamma * worth", "step.r + worth")]
    doubles += [(worth, "agents.q(judges, step.s2).mean(axis=1)"), ("table[mdp.terminal] = 0.0", "pass")]
    for old, new in doubles:
        Q = exact_after(broken(tabular, old, new).double_q_learning, mdp, 0.5, Q=5.0)
        assert not np.allclose(Q, optimal_Q(mdp), atol=1e-3), new
    dreamt = "highest(agents.q(dreamt.n, dreamt.s2))"
    for old, new in [
        ("dreamt.r + mdp.gamma * " + dreamt, "dreamt.r + " + dreamt),
        (dreamt, "agents.q(dreamt.n, dreamt.s2).mean(axis=1)"),
        ("table[mdp.terminal] = 0.0", "pass"),
    ]:
        Q = exact_after(broken(tabular, old, new).dyna_q, mdp, 0.5, Q=5.0, planning=2)
        assert not np.allclose(Q, optimal_Q(mdp), atol=1e-3), new
    lives_on = broken(
        tabular,
        "import MDP",
        "import MDP",
        walk=broken(sampling, "world.terminal[s2]", "np.zeros(len(s2), bool)").walk,
    )
    Q = exact_after(lives_on.q_learning, replace(mdp, start=np.eye(7)[0]), 0.5, limit=None, Q=5.0)
    assert not np.allclose(Q, optimal_Q(mdp), atol=1e-3)  # ignores the terminal state: nothing begins again
    for old, new in [
        (
            "(1 - epsilon) * highest(q) + epsilon * q.mean(axis=1, where=q > -np.inf)",
            "highest(q)",
        ),  # max for mean
        ("step.r + mdp.gamma * expected", "step.r + expected"),
    ]:
        Q = exact_after(broken(tabular, old, new).expected_sarsa, mdp, 0.5)
        assert not np.allclose(Q, soft_Q(mdp, 0.5), atol=1e-3), old


@pytest.mark.stochastic
@pytest.mark.parametrize("learner", [q_learning, sarsa, expected_sarsa, double_q_learning, dyna_q], ids=names)
def test_a_time_limit_changes_nothing_but_where_life_goes_on(learner):
    mdp = certain_mdp(4)
    endless = replace(
        mdp,
        P=np.eye(7)[fixed_rng(3).integers(7, size=(7, 3))],
        R=fixed_rng(4).standard_normal((7, 3)),
        terminal=None,
        start=None,
    )
    exact = soft_Q(endless, 0.5) if learner is expected_sarsa else optimal_Q(endless)
    if learner is sarsa:  # its targets are random: with ε = 0 they are not, and optimism explores
        Q = learner(endless, 4_000, 1.0, 0.0, 20, rng=seeded(1), limit=1, Q=20.0)
        assert np.allclose(Q.max(axis=2), exact.max(axis=1), atol=1e-9)
    else:
        assert np.allclose(exact_after(learner, endless, 0.5, limit=1), exact, atol=1e-9)


@pytest.mark.stochastic
def test_a_time_limit_taken_for_a_termination_is_refused():
    endless = random_mdp(5, 3, 1, rng=fixed_rng(0), gamma=0.8)
    target = "highest(agents.q(step.n, step.s2))"
    mutant = broken(tabular, target, target + " * ~step.truncated")
    assert np.allclose(exact_after(q_learning, endless, 0.5, limit=2), optimal_Q(endless), atol=1e-9)
    assert not np.allclose(
        exact_after(mutant.q_learning, endless, 0.5, limit=2), optimal_Q(endless), atol=1e-2
    )


# In a random world (the same under `--reseed`), step sizes n^−.8, 12,000 steps, 200 runs: the mean table is
# within 1.2 % of the largest value, with a standard error of at most .15 %, and for every entry of every
# learner the bound of 2 % is 10 SE away or more: below 1e-20. The limits of Q-learning and SARSA differ by
# 18 %.
LIMITS = [(q_learning, 0.0), (double_q_learning, 0.0), (expected_sarsa, 0.3), (sarsa, 0.3)]


def off(learner, mdp, exact):
    Q = learner(mdp, 12_000, polynomial(0.8), 0.3, 200, rng=seeded(0))
    assert (Q.std(axis=0) / np.sqrt(200)).max() < 0.0025 * np.abs(exact).max()
    return np.abs(Q.mean(axis=0) - exact).max() / np.abs(exact).max()


@pytest.mark.stochastic
@pytest.mark.parametrize(("learner", "soft"), LIMITS, ids=lambda x: getattr(x, "__name__", None))
def test_a_random_world_leads_each_learner_to_its_limit(learner, soft):
    mdp = random_mdp(4, 3, 3, rng=fixed_rng(1), gamma=0.7)
    own, other = (optimal_Q(mdp), soft_Q(mdp, 0.3))[:: -1 if soft else 1]
    assert np.abs(own - other).max() > 0.1 * np.abs(own).max()
    assert off(learner, mdp, own) < 0.02


@pytest.mark.stochastic
@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize(("learner", "soft"), LIMITS, ids=lambda x: getattr(x, "__name__", None))
def test_other_random_worlds_do_so_too(learner, soft, seed):
    # Within 2.1 % of the largest value, SE at most .16 %: the bound of 3 % is 7.5 SE away or more (1e-13).
    mdp = random_mdp(4, 3, 3, rng=fixed_rng(seed), gamma=0.7)
    assert off(learner, mdp, soft_Q(mdp, 0.3) if soft else optimal_Q(mdp)) < 0.03


@pytest.mark.stochastic
def test_broken_learners_miss_their_limits():
    # by .22, .22 and .79, each ± .0015 (SE)
    mdp = random_mdp(4, 3, 3, rng=fixed_rng(1), gamma=0.7)
    planned = "agents.q(step.n, step.s2)[np.arange(len(a2)), a2]"
    for learner, old, new in [
        ("sarsa", planned, "highest(agents.q(step.n, step.s2))"),  # max for the action taken
        ("expected_sarsa", EXPECTED, "highest(q)"),
        ("q_learning", "highest(agents.q(step.n, step.s2))", "agents.q(step.n, step.s2)[:, 0]"),
    ]:
        exact = optimal_Q(mdp) if learner == "q_learning" else soft_Q(mdp, 0.3)
        assert off(getattr(broken(tabular, old, new), learner), mdp, exact) > 0.04, (learner, new)


def pairs(mdp):
    """The chain of state–action pairs under random actions, as a world with one action."""
    S, A = mdp.R.shape
    P = np.repeat(mdp.P.reshape(S * A, S), A, axis=1) / A
    P[np.repeat(mdp.terminal, A)] = np.eye(S * A)[np.repeat(mdp.terminal, A)]
    return MDP(
        P[:, None], mdp.R.reshape(-1, 1), mdp.gamma, np.repeat(mdp.start, A) / A, np.repeat(mdp.terminal, A)
    )


def check_random_sarsa(module, Q0=1.0):
    """With ε = 1 SARSA is TD(0) on the pairs: its expectation is known exactly after any number of steps."""
    mdp = ending_mdp(3, 2, seed=3)
    exact = td0_expectation(pairs(mdp), np.ones((8, 1)), 40, 0.3, np.full(8, Q0)).reshape(4, 2)
    Q = module.sarsa(mdp, 40, 0.3, 1.0, 20_000, rng=seeded(0), Q=Q0)
    return agrees(Q[:, :-1], exact[:-1], scale=np.abs(exact).max())


@pytest.mark.stochastic
def test_sarsa_has_its_exact_expectation_after_forty_steps():
    assert check_random_sarsa(tabular)
    for old, new in [
        ("step.r + mdp.gamma * q", "step.r + q"),
        ("table[mdp.terminal] = 0.0", "pass"),
        ("agents.q(step.n, step.s2)[np.arange(len(a2)), a2]", "highest(agents.q(step.n, step.s2))"),
    ]:
        assert not check_random_sarsa(broken(tabular, old, new)), new


def test_sarsa_takes_the_action_that_it_planned():
    """γ Q(s', a') uses the very action that follows: read from one life."""
    mdp = ending_mdp(4, 3, seed=5, end=0.1)
    moments = list(life(sarsa.iterates(mdp, 300, 0.5, 0.5, rng=seeded(3))))
    for before, now, after in zip(moments, moments[1:], moments[2:], strict=False):
        follows = 0.0 if now.terminated else before.table[now.s2, after.a]
        assert np.isclose(now.td_error, now.r + mdp.gamma * follows - before.table[now.s, now.a])


# The bias of a maximum


@pytest.mark.stochastic
def test_double_q_learning_has_no_bias_where_q_learning_has():
    # Every arm is worth −.1, all tables start at the truth, actions are random (ε = 1). Then the two tables
    # of double Q-learning are independent given the actions, so E Q(0, left) stays −.1 exactly; the maximum
    # of one table does not.
    mdp, sd, actions = maximisation_bias()
    how = dict(Q=mdp.backup(np.array([0, -0.1, 0])), actions=actions, reward=gaussian(mdp, sd))
    left = lambda f: f(mdp, 200, 0.2, 1.0, 10_000, rng=seeded(0), **how)[:, 0, 0]  # noqa: E731
    assert agrees(left(double_q_learning), -0.1)
    assert left(q_learning).mean() > 0.2  # measured +.385 ± .002
    judges = broken(tabular, "step.n + runs * (1 - coin)", "step.n + runs * coin")
    assert not agrees(left(judges.double_q_learning), -0.1)  # mutant: one table names and judges


def share_left(learner, episodes=300, runs=5_000, alpha=0.1):
    mdp, sd, actions = maximisation_bias()
    updates = learner.iterates(
        mdp,
        None,
        alpha,
        0.1,
        runs,
        rng=seeded(1),
        episodes=episodes,
        actions=actions,
        reward=gaussian(mdp, sd),
    )
    _, lengths = learning_curve(updates, runs, episodes)
    return (lengths == 2).mean(axis=0)


@pytest.mark.stochastic
def test_maximisation_bias_as_in_the_book():
    # S&B Fig. 6.5, 5,000 runs: a share near .94 has a standard error of .0034, one near .05 of .0031. All
    # false alarms together are below 1e-8.
    q, double = share_left(q_learning), share_left(double_q_learning)
    assert abs(q.max() - 0.945) < 0.022  # .944 measured with 10,000 runs: 6.3 SE
    assert q[-1] > 0.09  # .122 ± .0046: still far above the floor
    assert double.max() < 0.55  # at the first step, by lot: .50 ± .007
    assert double[-1] < 0.1  # .070 ± .0036
    floor = 0.05  # ε/2: nobody who explores goes left less often; the lowest share measured is .066
    assert (q > floor - 6 * 0.0031).all() and (double > floor - 6 * 0.0031).all()


@pytest.mark.stochastic
def test_the_floor_of_maximisation_bias_is_half_of_epsilon():
    # An agent that knows goes left only to explore: exactly ε/2 = 5 % of its episodes.
    mdp, sd, actions = maximisation_bias()
    knows = mdp.backup(np.array([0, -0.1, 0]))
    updates = q_learning.iterates(
        mdp,
        None,
        1e-9,
        0.1,
        100_000,
        rng=seeded(1),
        episodes=1,
        Q=knows,
        actions=actions,
        reward=gaussian(mdp, sd),
    )
    _, lengths = learning_curve(updates, 100_000, 1)
    assert agrees(lengths[:, 0] == 2, 0.05)


# The book's worlds


def steps_to_the_goal(mdp, Q, most=1_000):
    """The steps that each table's greedy policy takes from the start, [runs]; `most` if it never arrives."""
    out = []
    for q in Q:
        s, t = int(mdp.start.argmax()), 0
        while not mdp.terminal[s] and t < most:
            s, t = int(mdp.P[s, q[s].argmax()].argmax()), t + 1
        out.append(t)
    return np.array(out)


def test_the_cliffs_exact_numbers():
    mdp = cliff()
    s, V = mdp.start.argmax(), solve(mdp)[0]
    assert V[s] == -13
    on_the_edge = 0.9 * greedy(mdp, V) + 0.1 / 4  # ties shared equally
    assert abs(evaluate(mdp, on_the_edge)[s] - -50.80) < 0.005
    assert abs(solve(soften(mdp, 0.1))[0][s] - -20.71) < 0.005


@pytest.mark.stochastic
def test_the_cliffs_learning_curves():
    # Returns of the last 100 of 500 episodes, 200 runs, α = .5, ε = .1: measured −50.5 ± .50, −26.9 ± .45 and
    # −20.87 ± .15 (SE, with 400 runs). The bounds leave 6.5 SE: false alarm below 1e-9.
    mdp, means = cliff(), {}
    for learner in (q_learning, sarsa, expected_sarsa):
        G, _ = learning_curve(
            learner.iterates(mdp, None, 0.5, 0.1, 200, rng=seeded(0), episodes=500), 200, 500
        )
        means[learner] = G[:, -100:].mean()
    assert abs(means[q_learning] - -51) < 4
    assert abs(means[sarsa] - -27) < 3
    assert abs(means[expected_sarsa] - -20.71) < 2


@pytest.mark.stochastic
def test_q_learning_on_the_cliff_ends_at_the_exact_price_of_exploring():
    # The world is certain, so Q → Q*, and the agent then acts as the ε-greedy policy on Q*, worth −50.80
    # exactly. (Of 300 agents 4 % were not yet exact after 8,000 steps, and six times fewer each 2,000 later:
    # 4e-9 after 26,000, for 10 agents 4e-8.)
    mdp = cliff()
    Q = q_learning(replace(mdp, start=None), 26_000, 1.0, 0.5, 10, rng=seeded(2), limit=50)
    assert np.allclose(Q, optimal_Q(mdp), atol=1e-9)
    G, _ = learning_curve(
        q_learning.iterates(mdp, None, 0.5, 0.1, 400, rng=seeded(3), episodes=50, Q=optimal_Q(mdp)), 400, 50
    )
    assert agrees(G.mean(axis=1), -50.80005)


@pytest.mark.stochastic
def test_windy_takes_fifteen_steps():
    mdp = windy()
    assert solve(mdp)[0][mdp.start.argmax()] == -15
    Q = q_learning(mdp, 20_000, 1.0, 0.1, 20, rng=seeded(0))  # of 1,300 agents all were there after 4,000
    assert (steps_to_the_goal(mdp, Q) == 15).all()
    # SARSA with ε = .1 learns a way for a hand that slips: the greedy walk on its table is seldom the
    # shortest
    assert steps_to_the_goal(mdp, sarsa(mdp, 10_000, 0.5, 0.1, 20, rng=seeded(0))).min() >= 15


@pytest.mark.stochastic
def test_the_dyna_maze_takes_fourteen_steps_and_planning_saves_experience():
    mdp, start = dyna_maze(), None
    start = mdp.start.argmax()
    assert mdp.S == 47 and np.isclose(solve(mdp)[0][start], 0.95**13)
    episodes = {}
    for planning in (0, 5, 20):
        updates = dyna_q.iterates(mdp, None, 0.1, 0.1, 60, rng=seeded(0), episodes=6, planning=planning)
        _, lengths = learning_curve(updates, 60, 6)
        episodes[planning] = lengths[:, 1:6].mean()  # after the first, which nothing can shorten
    # 28.3 ± .5, 58.8 ± 1.8 and 404 ± 21 steps (SE): both bounds are 8 SE away, below 1e-14
    assert 1.5 * episodes[20] < episodes[5] and 3 * episodes[5] < episodes[0]
    # Random steps, restarted often: of 600 agents 1.5 % were not there after 2,000, five times fewer each 500
    # later, so 10 all arrive but for a chance of 1e-9.
    Q = dyna_q(replace(mdp, start=None), 8_000, 1.0, 1.0, 10, rng=seeded(0), planning=5, limit=15)
    assert (steps_to_the_goal(mdp, Q) == 14).all()


@pytest.mark.stochastic
def test_a_broken_memory_is_refused():
    # Mean errors over 20 agents: .037 ± .018, and .55 ± .02 or 1.9 ± .2 for the broken ones: 11 SE.
    mdp = dyna_maze()
    for old, new in [
        ("self.count[new] += 1", "pass"),
        ("self.r[at], self.s2[at] = step.r, step.s2", "self.r[at], self.s2[at] = step.r, step.s"),
    ]:
        Q = broken(tabular, old, new).dyna_q(mdp, 3_000, 1.0, 0.3, 20, rng=seeded(0), planning=5)
        exact = dyna_q(mdp, 3_000, 1.0, 0.3, 20, rng=seeded(0), planning=5)
        assert np.abs(Q - optimal_Q(mdp)).mean() > 2 * np.abs(exact - optimal_Q(mdp)).mean(), old


# Watching, reproducibility, errors


@pytest.mark.parametrize("learner", LEARNERS, ids=names)
def test_watching_is_the_run_itself(learner):
    mdp = ending_mdp(3, 2, seed=0)
    run = lambda: learner.iterates(mdp, 40, 0.5, 0.2, 3, rng=seeded(5))  # noqa: E731
    final = learner(mdp, 40, 0.5, 0.2, 3, rng=seeded(5))
    moments = list(life(run(), run=2))
    assert np.allclose(moments[-1].table, final[2])
    assert len(moments) == 40 and final.shape == (3, 4, 2) and not final[:, -1].any()
    first = moments[0]
    assert type(first.s) is int and type(first.r) is float and type(first.terminated) is bool
    for before, now in pairwise(moments):
        assert now.s == (before.s2 if before.episode == now.episode else now.s)
        changed = before.table != now.table
        assert learner is dyna_q or changed.sum() <= 1


@pytest.mark.parametrize("learner", LEARNERS, ids=names)
def test_runs_are_independent_and_arguments_stay_as_they_are(learner):
    mdp = ending_mdp(3, 2, seed=0)
    Q0 = np.ones((4, 2))
    Q = learner(mdp, 30, 0.5, 0.2, 5, rng=seeded(1), Q=Q0)
    assert (Q0 == 1).all()
    assert len(np.unique(Q.reshape(5, -1), axis=0)) == 5
    assert (Q == learner(mdp, 30, 0.5, 0.2, 5, rng=seeded(1), Q=Q0)).all()


def test_expected_sarsa_shares_only_what_is_offered():
    mdp, sd, actions = maximisation_bias()
    for learner in LEARNERS:
        Q = learner(mdp, 500, 0.1, 0.5, 50, rng=seeded(0), actions=actions, reward=gaussian(mdp, sd))
        assert np.isneginf(Q[:, 0, 2:]).all() and np.isfinite(Q[:, actions]).all(), names(learner)


def test_one_over_n_with_no_future_is_the_mean_reward():
    mdp = replace(ending_mdp(3, 2, seed=0), gamma=0.0)
    for learner in (q_learning, sarsa, expected_sarsa):
        moments = list(
            life(learner.iterates(mdp, 60, one_over_n, 0.5, rng=seeded(3), Q=9.0, reward=gaussian(mdp, 1.0)))
        )
        for s, a in {(m.s, m.a) for m in moments}:
            mean = np.mean([m.r for m in moments if (m.s, m.a) == (s, a)])
            assert np.isclose(moments[-1].table[s, a], mean)


def test_learning_curves_add_up():
    mdp = ending_mdp(3, 2, seed=0)
    G, lengths = learning_curve(q_learning.iterates(mdp, None, 0.5, 0.2, 4, rng=seeded(1), episodes=6), 4, 6)
    moments = [
        list(life(q_learning.iterates(mdp, None, 0.5, 0.2, 4, rng=seeded(1), episodes=6), run))
        for run in range(4)
    ]
    for run in range(4):
        for k in range(6):
            own = [m.r for m in moments[run] if m.episode == k]
            assert np.isclose(G[run, k], sum(own)) and lengths[run, k] == len(own)
        assert len(moments[run]) == lengths[run].sum()


LOOP = MDP(
    [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]],
    [[0.0, 1.0], [0.0, 0.0]],
    0.9,
    terminal=[False, True],
)
TRAP = MDP(
    [[[0.5, 0, 0.5]] * 2, [[0, 1, 0]] * 2, [[0, 0, 1.0]] * 2],
    np.zeros((3, 2)),
    0.9,
    terminal=[False, False, True],
)


@pytest.mark.parametrize("learner", LEARNERS, ids=names)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(steps=0), "steps is 0"),
        (dict(steps=1.5), "steps is 1.5"),
        (dict(steps=None), "give steps, episodes or both"),
        (dict(alpha=0), "alpha is 0"),
        (dict(alpha=-0.1), "alpha is -0.1"),
        (dict(alpha=1.1), "alpha is 1.1"),
        (dict(alpha=np.nan), "alpha is nan"),
        (dict(alpha=True), "alpha is True"),
        (dict(alpha=lambda n: -1 / n), "alpha is"),
        (dict(epsilon=-0.1), "epsilon is -0.1"),
        (dict(epsilon=1.1), "epsilon is 1.1"),
        (dict(runs=0), "runs is 0"),
        (dict(rng=3), "rng is 3"),
        (dict(limit=0), "limit is 0"),
        (dict(episodes=0), "episodes is 0"),
        (dict(Q=np.zeros(3)), "Q has shape"),
        (dict(Q=np.nan), "finite"),
        (dict(actions=np.zeros((2, 2), bool)), "actions must say"),
        (dict(actions=np.ones((2, 2))), "actions must say"),
        (dict(steps=None, episodes=5, epsilon=0.0), "circle for ever"),
        (dict(steps=None, episodes=5, mdp=TRAP), "may never end"),
    ],
    ids=lambda x: x if isinstance(x, str) else "-".join(x),  # the same in every process
)
def test_bad_input_is_refused_in_words(learner, change, message):
    call = dict(mdp=LOOP, steps=5, alpha=0.1, epsilon=0.1, runs=1, rng=seeded()) | change
    with pytest.raises(ValueError, match=message):
        learner(call.pop("mdp"), call.pop("steps"), call.pop("alpha"), call.pop("epsilon"), **call)


def test_more_bad_input():
    with pytest.raises(ValueError, match="planning is -1"):
        dyna_q(LOOP, 5, 0.1, 0.1, rng=seeded(), planning=-1)
    with pytest.raises(ValueError, match="epsilon is 2"):
        soften(LOOP, 2)
    with pytest.raises(ValueError, match="arms is 1"):
        maximisation_bias(arms=1)
    with pytest.raises(TypeError):
        q_learning(LOOP, 5, 0.1, 0.1, rng=seeded(), patience=3)


def test_where_every_policy_ends_greedy_agents_may_play_episodes():
    Q = q_learning(ending_mdp(3, 2, seed=0), None, 0.5, 0.0, rng=seeded(), episodes=5)
    assert Q.shape == (1, 4, 2)
