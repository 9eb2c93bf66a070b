"""Learning to act, in tables: SARSA, expected SARSA, Q-learning, double Q-learning, Dyna-Q.

Every learner is one loop: take a step, form the target, which is what the step says about Q(s, a), and move
Q(s, a) towards it. They differ in the target alone. All runs of a learner live side by side, so that a band
over 256 seeds costs little. What `monte_carlo` and `temporal_difference` offer can be imported from here too.
Source: Sutton & Barto 2018, ch. 6 and 8.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np
from scipy.sparse import vstack

from course_lib.agents.monte_carlo import Episodes, mc_control, mc_off_policy_control, mc_prediction, play
from course_lib.agents.sampling import (
    Reward,
    Sampler,
    Step,
    Update,
    check_extent,
    check_no_circling,
    epsilon_greedy,
    gaussian,
    highest,
    learning_curve,
    life,
    on_arrival,
    one_over_n,
    polynomial,
    step_sizes,
    walk,
    watchable,
)
from course_lib.agents.temporal_difference import batch_mc, batch_td, n_step_td, td0, td_lambda
from course_lib.worlds.mdp import MDP, check_number

__all__ = [
    "Episodes",
    "batch_mc",
    "batch_td",
    "double_q_learning",
    "dyna_q",
    "epsilon_greedy",
    "expected_sarsa",
    "gaussian",
    "learning_curve",
    "life",
    "mc_control",
    "mc_off_policy_control",
    "mc_prediction",
    "n_step_td",
    "on_arrival",
    "one_over_n",
    "play",
    "polynomial",
    "q_learning",
    "sarsa",
    "soften",
    "td0",
    "td_lambda",
]


@dataclass(frozen=True)
class Agents:
    """The tables of many independent ε-greedy agents, and what every learner does with them."""

    world: Sampler
    Q: np.ndarray  # [tables, S, A]
    rate: Callable  # table entry → step size
    epsilon: float
    rng: np.random.Generator

    def q(self, n: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Q(s, ·) of agents n, [N, A]."""
        return self.Q.reshape(-1, self.world.A).take(n * self.world.S + s, axis=0)

    def choose(self, n: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Their ε-greedy actions, [N]."""
        return epsilon_greedy(self.q(n, s), self.epsilon, self.rng)

    def learn(self, step: Step, target: np.ndarray) -> Update:
        """Q(s, a) ← Q(s, a) + α [target − Q(s, a)]."""
        i, values = (step.n * self.world.S + step.s) * self.world.A + step.a, self.Q.reshape(-1)
        before = values[i]
        td_error = target - before
        values[i] = before + self.rate(i) * td_error
        return Update(step, td_error, self.Q)


def _begin(
    mdp: MDP,
    steps: int | None,
    alpha: float | Callable,
    epsilon: float,
    runs: int,
    rng: np.random.Generator,
    Q: np.ndarray | float = 0.0,
    actions: np.ndarray | None = None,
    reward: Reward | None = None,
    tables: int = 1,
    **extent: int | None,
) -> tuple[Agents, Callable[..., Iterator[Step]]]:
    """Check the arguments of a learner; its agents, and a function `live(choose)` that yields their steps.

    Terminal states are worth 0 in every table and stay so: bootstrapping through a time limit is right, and
    through a termination it adds nothing. Actions that a state does not have carry −inf.
    """
    check_extent(steps, extent.get("episodes"), runs, extent.get("limit"), rng)
    check_no_circling(mdp, epsilon, extent.get("limit") if steps is None else steps)
    table = np.where(_offered(mdp, actions), _first_table(mdp, Q), -np.inf)
    table[mdp.terminal] = 0.0
    table = np.tile(table, (tables * runs, 1, 1))
    agents = Agents(Sampler.of(mdp, reward), table, step_sizes(alpha, table.size), epsilon, rng)
    return agents, lambda choose: walk(agents.world, choose, rng, runs, steps, **extent)


def _offered(mdp: MDP, actions: np.ndarray | None) -> np.ndarray:
    if actions is None:
        return np.ones(mdp.R.shape, bool)
    actions = np.asarray(actions)
    if actions.shape != mdp.R.shape or actions.dtype != bool or not actions.any(axis=1).all():
        raise ValueError(
            f"actions must say True or False, [S, A] = {mdp.R.shape}, with one True or more a state."
        )
    return actions


def _first_table(mdp: MDP, Q: np.ndarray | float) -> np.ndarray:
    Q = np.asarray(Q, dtype=float)
    if Q.shape not in ((), mdp.R.shape) or not np.isfinite(Q).all():
        raise ValueError(
            f"Q has shape {Q.shape}: the first guess is one finite number or an array {mdp.R.shape} of them."
        )
    return Q


@watchable
def q_learning(
    mdp: MDP,
    steps: int | None,
    alpha: float | Callable,
    epsilon: float,
    runs: int = 1,
    *,
    rng: np.random.Generator,
    **more,
) -> Iterator[Update]:
    """Q [runs, S, A] by Q-learning, target r + γ max_a Q(s′, a), whatever it does next (S&B §6.5).

    steps      how many steps each run lives; None, if `episodes` says when to stop
    alpha      the step size in (0, 1], or a function of the number of visits: one_over_n, polynomial(0.8)
    epsilon    the probability of a random action, in [0, 1]
    runs       independent agents, side by side
    episodes   stop each run after so many episodes
    limit      cut an episode after so many steps: the next one begins, but the target still counts on s′
    Q          the first guess, one number or [S, A]; terminal states are worth 0
    actions    which actions each state offers, [S, A] bool; all by default. The others keep −inf
    reward     a sampler of rewards, `on_arrival` or `gaussian`; by default a step pays R(s, a)

    The arguments from `episodes` on are keywords of every learner here. `.iterates` yields an `Update` a
    step. ValueError for numbers out of range, and where only `episodes` bounds a run that may never end
    one.
    """
    agents, live = _begin(mdp, steps, alpha, epsilon, runs, rng, **more)
    for step in live(agents.choose):
        target = step.r + mdp.gamma * highest(agents.q(step.n, step.s2))
        yield agents.learn(step, target)


@watchable
def expected_sarsa(
    mdp: MDP,
    steps: int | None,
    alpha: float | Callable,
    epsilon: float,
    runs: int = 1,
    *,
    rng: np.random.Generator,
    **more,
) -> Iterator[Update]:
    """Q [runs, S, A] by expected SARSA, target r + γ Σ_a π(a|s′) Q(s′, a), π ε-greedy (S&B §6.6).

    Arguments, keywords and errors as in `q_learning`.
    """
    agents, live = _begin(mdp, steps, alpha, epsilon, runs, rng, **more)
    for step in live(agents.choose):
        q = agents.q(step.n, step.s2)
        expected = (1 - epsilon) * highest(q) + epsilon * q.mean(axis=1, where=q > -np.inf)
        yield agents.learn(step, step.r + mdp.gamma * expected)


@watchable
def sarsa(
    mdp: MDP,
    steps: int | None,
    alpha: float | Callable,
    epsilon: float,
    runs: int = 1,
    *,
    rng: np.random.Generator,
    **more,
) -> Iterator[Update]:
    """Q [runs, S, A] by SARSA, target r + γ Q(s′, a′), where a′ is the action taken next (S&B §6.4).

    Where a time limit cuts the episode, a′ is drawn for the target alone. Arguments, keywords and errors as
    in `q_learning`.
    """
    agents, live = _begin(mdp, steps, alpha, epsilon, runs, rng, **more)
    planned = np.full(runs, -1)  # the action that each run has decided on; −1 where an episode begins

    def choose(n: np.ndarray, s: np.ndarray) -> np.ndarray:
        begins = planned[n] < 0
        if begins.any():
            planned[n[begins]] = agents.choose(n[begins], s[begins])
        return planned[n]

    for step in live(choose):
        a2 = agents.choose(step.n, step.s2)
        q = agents.q(step.n, step.s2)[np.arange(len(a2)), a2]
        planned[step.n] = np.where(step.terminated | step.truncated, -1, a2)
        yield agents.learn(step, step.r + mdp.gamma * q)


@watchable(result=lambda update: update.table.mean(axis=0))
def double_q_learning(
    mdp: MDP,
    steps: int | None,
    alpha: float | Callable,
    epsilon: float,
    runs: int = 1,
    *,
    rng: np.random.Generator,
    **more,
) -> Iterator[Update]:
    """Q [runs, S, A] by double Q-learning, the mean of two tables (S&B §6.7; van Hasselt 2010).

    A coin picks the table that learns; it names the best next action, and the other table says what that is
    worth. So no table is asked for the maximum of its own noise. The agents act on the sum of both.
    `.iterates` yields both tables [2, runs, S, A]. Arguments, keywords and errors as in `q_learning`.
    """
    agents, live = _begin(mdp, steps, alpha, epsilon, runs, rng, tables=2, **more)
    both = agents.Q.reshape(2, runs, mdp.S, mdp.A)  # the tables of run n are numbers n and n + runs

    def choose(n: np.ndarray, s: np.ndarray) -> np.ndarray:
        return epsilon_greedy(agents.q(n, s) + agents.q(n + runs, s), epsilon, rng)

    for step in live(choose):
        coin = rng.integers(2, size=len(step.n))
        learns, judges = step.n + runs * coin, step.n + runs * (1 - coin)
        best = epsilon_greedy(agents.q(learns, step.s2), 0.0, rng)
        worth = agents.q(judges, step.s2)[np.arange(len(best)), best]
        update = agents.learn(step._replace(n=learns), step.r + mdp.gamma * worth)
        yield Update(step, update.td_error, both)


@watchable
def dyna_q(
    mdp: MDP,
    steps: int | None,
    alpha: float | Callable,
    epsilon: float,
    runs: int = 1,
    *,
    rng: np.random.Generator,
    planning: int = 10,
    **more,
) -> Iterator[Update]:
    """Q [runs, S, A] by Dyna-Q: after each step, `planning` more Q-learning updates from memory (S&B §8.2).

    The model is the last reward and next state seen after each (s, a), so it is right in deterministic
    worlds only. planning = 0 is Q-learning. Other arguments, keywords and errors as in `q_learning`.
    """
    if not isinstance(planning, Integral) or planning < 0:
        raise ValueError(f"planning is {planning!r}: it must be a whole number from 0.")
    agents, live = _begin(mdp, steps, alpha, epsilon, runs, rng, **more)
    memory = Memory.empty(agents.Q.shape)
    for step in live(agents.choose):
        update = agents.learn(step, step.r + mdp.gamma * highest(agents.q(step.n, step.s2)))
        memory.keep(step)
        for _ in range(planning):
            dreamt = memory.draw(step, rng)
            agents.learn(dreamt, dreamt.r + mdp.gamma * highest(agents.q(dreamt.n, dreamt.s2)))
        yield update


@dataclass(frozen=True)
class Memory:
    """Dyna-Q's model of a deterministic world: what last followed each (s, a) that a run has met."""

    r: np.ndarray  # [N, S, A]
    s2: np.ndarray  # [N, S, A], −1 where nothing is known yet
    met: np.ndarray  # [N, S·A], the pairs s·A + a
    count: np.ndarray  # [N], how many of them

    @classmethod
    def empty(cls, shape: tuple[int, int, int]) -> "Memory":
        """For tables of this shape [N, S, A]."""
        N, S, A = shape
        return cls(np.zeros(shape), np.full(shape, -1), np.zeros((N, S * A), np.int64), np.zeros(N, np.int64))

    def keep(self, step: Step) -> None:
        """Remember a step of each run."""
        at = step.n, step.s, step.a
        new = step.n[self.s2[at] < 0]
        self.met[new, self.count[new]] = (step.s * self.r.shape[2] + step.a)[self.s2[at] < 0]
        self.count[new] += 1
        self.r[at], self.s2[at] = step.r, step.s2

    def draw(self, step: Step, rng: np.random.Generator) -> Step:
        """A remembered step for each of the runs in `step`, all that they know equally likely."""
        n = step.n
        pair = self.met[n, (rng.random(len(n)) * self.count[n]).astype(np.int64)]
        s, a = np.divmod(pair, self.r.shape[2])
        return step._replace(s=s, a=a, r=self.r[n, s, a], s2=self.s2[n, s, a])


def soften(mdp: MDP, epsilon: float) -> MDP:
    """The same world, except that with probability epsilon a random action replaces the one that was meant.

    A policy there is worth what its ε-soft version is worth in `mdp`, so `solve(soften(mdp, ε))` gives the
    value of the best ε-soft policy, the limit of SARSA (S&B §5.4). All actions count as offered.
    """
    check_number("epsilon", epsilon, 0, 1)
    P_any, r_any = mdp.under(np.full(mdp.R.shape, 1 / mdp.A))
    P_any = vstack([P_any] * mdp.A, format="csr") if mdp.sparse else P_any[:, None, :]
    return replace(
        mdp, P=(1 - epsilon) * mdp.P + epsilon * P_any, R=(1 - epsilon) * mdp.R + epsilon * r_any[:, None]
    )
