"""Monte-Carlo tree search: a tree of what may come, grown play by simulated play where it matters most.

`mcts` searches one position: a game of `course_lib.worlds.games`, a decision process (its `MDPState`), or any
class with the same members. `mcts.iterates` yields the tree after every simulation.

One simulation has four phases: `select` walks down the tree, `expand` adds a node, `roll_out` plays on at
random, `back_up` takes the outcome home (Coulom 2006; Kocsis & Szepesvári 2006; Sutton & Barto 2018 §8.11).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import inf, isfinite
from numbers import Integral, Real
from random import Random
from typing import NamedTuple

import numpy as np

from course_lib.worlds.mdp import MDP

PRIOR_TOL = 1e-5  # how far a prior may be from summing to 1: networks answer in float32


@dataclass(frozen=True, eq=False)
class Tree:
    """A search tree as arrays, in the order in which its n nodes were added: node 0 is the root.

    states   the state of each node, a tuple; one with `.sample` is a chance node
    actions  what was played to get there, a tuple; None at the root and after a chance node
    parent   the number of the node above, [n] int; −1 at the root
    visits   how many simulations passed through or ended there, [n] int
    values   mean return of these, for the player who chose to go there, [n]; at the root, for who is to move
    """

    states: tuple
    actions: tuple
    parent: np.ndarray
    visits: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.states)


@dataclass(frozen=True, eq=False)
class Search:
    """What a search found at its root: one entry for each of `state.actions()`, in that order.

    visits  N(s, a), how many simulations began with a, [A] int: the more, the better a looks
    values  Q(s, a), the mean return of these for the player to move, [A]; NaN where visits is 0
    tree    all that was grown, a `Tree`
    """

    visits: np.ndarray
    values: np.ndarray
    _nodes: list = field(repr=False)

    @cached_property
    def tree(self) -> Tree:
        return _tree(self._nodes)

    @property
    def best(self):
        """The action visited most often; among equals, the one of the highest value."""
        return self._nodes[0].actions[most_visited(self.visits, self.values)]

    @property
    def value(self) -> float:
        """The mean return of all simulations, for the player to move: Σ_a N(s, a) Q(s, a) / Σ_a N(s, a)."""
        return float(np.nansum(self.visits * self.values) / self.visits.sum())


def mcts(
    state,
    simulations: int,
    c: float = 1.4,
    *,
    rng: np.random.Generator,
    prior: Callable | None = None,
    tree: Tree | None = None,
) -> Search:
    """Searches from `state` by UCT, or by PUCT where there is a prior (Silver et al. 2017, "Methods").

    state        a game state (see `course_lib.worlds.games`) or an `MDPState`
    simulations  how many plays to simulate, from 1
    c            weight of exploration, ≥ 0, in units of the return: 1.4 suits returns between −1 and 1
    prior        a function: state → probabilities of its `.actions()`, in that order
    tree         the `Tree` of an earlier search: what it knows about `state` is kept, and its visits count.
                 (Of several nodes with that state, the most visited; without one, the search starts afresh)

    UCT tries every action once, in random order, then that of the largest Q(s, a) + c √(ln N(s) / N(s, a)).
    PUCT always takes the largest Q(s, a) + c P(s, a) √N(s) / (1 + N(s, a)), with Q = 0 for what is untried.
    N(s) counts the visit that made the node. ValueError for a finished game or other bad arguments.
    """
    nodes, rule, coin = _begin(state, simulations, c, rng, prior, tree)
    for _ in range(simulations):
        simulate(nodes, rule, coin)
    return _result(nodes)


def mcts_iterates(
    state,
    simulations: int,
    c: float = 1.4,
    *,
    rng: np.random.Generator,
    prior: Callable | None = None,
    tree: Tree | None = None,
) -> Iterator[Search]:
    """Yields the `Search` after simulation 1, 2, …: the very run of `mcts` with the same arguments and rng.

    Each `.tree` is one of its own. Nodes keep their numbers, and one simulation adds at most one node, so the
    trees before are the first nodes of the last one. Also to be had as `mcts.iterates`.
    """
    nodes, rule, coin = _begin(state, simulations, c, rng, prior, tree)
    for _ in range(simulations):
        simulate(nodes, rule, coin)
        found = _result(nodes)
        found.tree  # noqa: B018  (is made from the nodes now, before they grow on)
        yield found


mcts.iterates = mcts_iterates


# The tree that grows. A node holds its edges, one an action: the node after it, the mean return Q for the
# player who chooses, and the width of the bonus. N(s, a) is the number of visits of the node after it.


class Decision:
    """A node at which a player chooses. `actions` is None until the node is visited for the second time."""

    __slots__ = "state parent edge number visits actions after Q width untried prior sign".split()
    chance = False

    def __init__(self, state, parent, edge, number):
        self.state, self.parent, self.edge, self.number = state, parent, edge, number
        self.visits, self.actions = 0, None


class Chance:
    """A node at which the world draws. Its edges are the outcomes drawn so far, and `index` finds them."""

    __slots__ = "state parent edge number visits actions after Q width sign index".split()
    chance, untried, prior = True, (), None

    def __init__(self, state, parent, edge, number):
        self.state, self.parent, self.edge, self.number = state, parent, edge, number
        self.visits, self.sign, self.index = 0, parent.sign, {}
        self.actions, self.after, self.Q, self.width = [], [], [], []


class Rule(NamedTuple):
    """How an action is scored: Q(s, a) + bonus[N(s)] · P(s, a) · shrink[N(s, a)], with P = 1 in UCT."""

    bonus: Sequence[float]
    shrink: Sequence[float]
    prior: Callable | None


def simulate(nodes: list, rule: Rule, coin: Random) -> None:
    """One simulation, in four phases. nodes[0] is the root, and a new node goes to the end of the list."""
    node, i = select(nodes[0], rule, coin)
    leaf = node if i is None else expand(nodes, node, i)
    back_up(leaf, roll_out(leaf.state, coin), rule)


def select(root, rule, coin):
    """Phase 1: down the tree to an edge without a node, (node, i), or to a finished game, (node, None)."""
    node, bonus, prior = root, rule.bonus, rule.prior
    while True:
        if node.actions is None:
            unfold(node, prior)
        if node.chance:
            i = outcome_edge(node, node.state.sample(coin))
        elif node.untried:
            i = node.untried.pop(int(coin.random() * len(node.untried)))
        elif node.actions:
            i = choose(node, bonus[node.visits])
        else:
            return node, None
        if node.after[i] is None:
            return node, i
        node = node.after[i]


def choose(node, u):
    """argmax_a Q(s, a) + u(s) · width(s, a), the first of them. A loop is twice as fast as list and max."""
    width, best = node.width, -inf
    for i, q in enumerate(node.Q):
        score = q + u * width[i]
        if score > best:
            best, choice = score, i
    return choice


def expand(nodes, node, i):
    """Phase 2: the tree gains one node, at the end of edge i."""
    state = node.actions[i] if node.chance else node.state.play(node.actions[i])
    kind = Chance if hasattr(state, "sample") else Decision
    leaf = node.after[i] = kind(state, node, i, len(nodes))
    nodes.append(leaf)
    return leaf


def roll_out(state, coin):
    """Phase 3: the return G of one random play from here, Σ γ^k R_{k+1}, and the winner's ±1 at its end."""
    if hasattr(state, "playout"):
        return state.playout(coin)
    G, weight = 0.0, 1.0
    while state.winner is None:
        if hasattr(state, "sample"):
            G += weight * state.reward
            weight *= state.gamma
            state = state.sample(coin)
        else:
            actions = state.actions()
            state = state.play(actions[int(coin.random() * len(actions))])
    return G + weight * state.winner


def back_up(leaf, G, rule):
    """Phase 4: up to the root, N ← N + 1, Q ← Q + (±G − Q) / N; past a chance node, G ← R + γ G."""
    node, shrink = leaf, rule.shrink
    while True:
        n = node.visits = node.visits + 1
        parent, i = node.parent, node.edge
        if parent is None:
            return
        if parent.chance:
            G = parent.state.reward + parent.state.gamma * G
        parent.Q[i] += (parent.sign * G - parent.Q[i]) / n  # G is what player +1 gets
        parent.width[i] = shrink[n] if parent.prior is None else shrink[n] * parent.prior[i]
        node = parent


def unfold(node, prior):
    """Lists the edges of a decision node, at its second visit: most leaves never get one."""
    node.sign = node.state.to_play
    node.actions = node.state.actions() if node.state.winner is None else ()
    n = len(node.actions)
    node.after, node.Q, node.width, node.prior, node.untried = [None] * n, [0.0] * n, [0.0] * n, None, ()
    if prior is None:
        node.untried = list(range(n))
    elif n:
        node.prior = _probabilities(prior, node.state, n)
        node.width = list(node.prior)


def outcome_edge(node, outcome) -> int:
    """The edge of an outcome of a chance node, added if it is new."""
    i = node.index.setdefault(outcome, len(node.actions))
    if i == len(node.actions):
        for edges, empty in ((node.actions, outcome), (node.after, None), (node.Q, 0.0), (node.width, 0.0)):
            edges.append(empty)
    return i


# What is left: to begin, to end, and to check what was asked for


def _begin(state, simulations, c, rng, prior, tree) -> tuple[list, Rule, Random]:
    """Checks the arguments; then the nodes to start from, the rule, and a quick source of random numbers."""
    check_search(simulations, c, rng)
    _check_state(state)
    if not (tree is None or isinstance(tree, Tree)):
        raise ValueError(f"tree is a {type(tree).__name__}: give the `.tree` of an earlier search.")
    if not (prior is None or callable(prior)):
        raise ValueError(f"prior is {prior!r}: give a function, state → the probabilities of its actions.")
    most = simulations + (0 if tree is None else int(tree.visits[0]))
    rule = rule_of(c, most, prior)
    return _regrown(tree, state, rule), rule, Random(int(rng.integers(2**63)))


def rule_of(c: float, most: int, prior: Callable | None) -> Rule:
    """The two factors of the bonus, for counts 0 to most: looked up, not computed again at every edge."""
    n = np.arange(most + 2)
    N = np.maximum(n, 1)
    if prior is None:  # UCT: c √(ln N(s) / N(s, a))
        return Rule((c * np.sqrt(np.log(N))).tolist(), (1 / np.sqrt(N)).tolist(), None)
    return Rule((c * np.sqrt(N)).tolist(), (1 / (1 + n)).tolist(), prior)  # PUCT: c P √N(s) / (1 + N(s, a))


def _regrown(tree: Tree | None, state, rule: Rule) -> list:
    """Fresh nodes for this state and what the tree holds below it; for the state alone if that is nothing."""
    same = [] if tree is None else [k for k, other in enumerate(tree.states) if other == state]
    top = max(same, key=lambda k: tree.visits[k], default=None)
    root = Decision(state, None, None, 0)
    if top is None:
        return [root]
    root.visits, nodes, place = int(tree.visits[top]), [root], {top: 0}
    for k in range(top + 1, len(tree)):  # parents come before their children
        if (up := int(tree.parent[k])) in place:
            place[k] = len(nodes)
            _graft(tree, k, nodes, nodes[place[up]], rule)
    return nodes


def _graft(tree: Tree, k: int, nodes: list, parent, rule: Rule) -> None:
    if parent.actions is None:
        unfold(parent, rule.prior)
    if parent.chance:
        i = outcome_edge(parent, tree.states[k])
    else:
        i = parent.actions.index(tree.actions[k])
        parent.untried = [j for j in parent.untried if j != i]
    n = int(tree.visits[k])
    expand(nodes, parent, i).visits, parent.Q[i] = n, float(tree.values[k])
    parent.width[i] = rule.shrink[n] if parent.prior is None else rule.shrink[n] * parent.prior[i]


def _result(nodes: list) -> Search:
    root = nodes[0]
    visits = np.array([0 if node is None else node.visits for node in root.after])
    return Search(visits, np.where(visits > 0, root.Q, np.nan), nodes)


def _tree(nodes: list) -> Tree:
    below = nodes[1:]
    visits = np.array([node.visits for node in nodes])
    values = np.array([0.0, *(node.parent.Q[node.edge] for node in below)])
    values[0] = _result(nodes).value
    parent = np.array([-1, *(node.parent.number for node in below)])
    actions = (None if node.parent.chance else node.parent.actions[node.edge] for node in below)
    return Tree(tuple(node.state for node in nodes), (None, *actions), parent, visits, values)


def most_visited(visits: np.ndarray, values: np.ndarray):
    """Where visits is largest along the last axis; among equals, where values is."""
    return np.where(visits == visits.max(axis=-1, keepdims=True), values, -np.inf).argmax(axis=-1)


def check_search(simulations, c, rng) -> None:
    _check_whole("simulations", simulations, 1)
    if isinstance(c, bool) or not isinstance(c, Real) or not (isfinite(c) and c >= 0):
        raise ValueError(f"c is {c!r}: the weight of exploration must be a number from 0.")
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng is {rng!r}: give a NumPy generator, such as np.random.default_rng(0).")


def _check_whole(name: str, value, least: int, most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least or (most or value) < value:
        upto = "" if most is None else f" to {most}"
        raise ValueError(f"{name} is {value!r}: it must be a whole number from {least}{upto}.")


def _check_state(state) -> None:
    if isinstance(state, MDP):
        raise ValueError("an MDP is no state: give MDPState(mdp, s), the state s to search from.")
    lacks = [name for name in ("actions", "play", "winner", "to_play") if not hasattr(state, name)]
    if lacks or hasattr(state, "sample"):
        raise ValueError(
            f"{state!r} is no state in which a player chooses: it has no .{(*lacks, 'to_play')[0]}."
        )
    if state.winner is not None:
        raise ValueError(f"the game is over, the winner is {state.winner}: nothing to search in\n{state}")
    if state.to_play not in (1, -1) or not len(state.actions()):
        raise ValueError(
            f"to_play is {state.to_play}, actions {state.actions()}: give +1 or −1, and an action."
        )


def _probabilities(prior: Callable, state, n: int) -> list[float]:
    """The prior's answer for this state; ValueError if these are not n probabilities."""
    p = np.asarray(prior(state), dtype=float)
    if p.shape != (n,) or not (p >= 0).all() or abs(p.sum() - 1) > PRIOR_TOL:
        raise ValueError(f"the prior is {p} for\n{state}\ngive {n} probabilities that sum to 1.")
    return p.tolist()
