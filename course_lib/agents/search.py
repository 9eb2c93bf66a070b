"""Monte-Carlo tree search (UCT): a tree of what may come, grown one simulated play at a time where it matters.

`mcts` searches one position: any game of `course_lib.worlds.games`, any class with the same four members, or a
decision process wrapped in `MDPState`. `mcts.iterates` yields the tree after every simulation. `mcts_many` searches
many Connect Four positions at once, in NumPy.
"""

from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite, log, sqrt
from numbers import Integral, Real
from random import Random

import numpy as np

from course_lib.worlds.mdp import MDP, ends

PRIOR_TOL = 1e-6  # how far a prior may be from summing to 1: networks answer in float32


class Decision:
    """A state in which a player chooses, and what the search knows of each action. Never leaves this module."""

    __slots__ = ("N", "Q", "action", "actions", "after", "edge", "over", "parent", "prior", "sign", "state")
    __slots__ += ("untried", "visits", "width")
    reward, gamma, chance = 0.0, 1.0, False

    def __init__(self, state, parent, edge, action, prior):
        self.state, self.parent, self.edge, self.action, self.visits = state, parent, edge, action, 0
        self.over, self.sign = state.winner is not None, state.to_play
        self.actions = () if self.over else state.actions()
        n = len(self.actions)
        self.after, self.N, self.Q = [None] * n, [0] * n, [0.0] * n
        self.prior = None if prior is None or self.over else check_prior(prior(state), state)
        self.width = [0.0] * n if self.prior is None else list(self.prior)
        self.untried = list(range(n)) if self.prior is None else ()


class Chance:
    """What follows an action if the world has a say: the outcomes drawn so far. Never leaves this module."""

    __slots__ = ("N", "Q", "action", "actions", "after", "edge", "gamma", "index", "parent", "reward", "sign", "state")
    __slots__ += ("visits", "width")
    over, chance, prior = False, True, None

    def __init__(self, state, parent, edge, action):
        self.state, self.parent, self.edge, self.action, self.visits = state, parent, edge, action, 0
        self.reward, self.gamma, self.sign = state.reward, state.gamma, parent.sign
        self.actions, self.after, self.N, self.Q, self.width, self.index = [], [], [], [], [], {}


def uct(node, c):
    u = c * sqrt(log(node.visits))
    return [q + u * w for q, w in zip(node.Q, node.width)]


def choose(node, c, coin):
    if node.untried:
        return node.untried.pop(int(coin.random() * len(node.untried)))
    if node.prior is None:
        u = c * sqrt(log(node.visits))
    else:
        u = c * sqrt(node.visits or 1)
    scores = [q + u * w for q, w in zip(node.Q, node.width)]
    return scores.index(max(scores))


def select(root, c, coin):
    node = root
    while not node.over:
        i = draw(node, coin) if node.chance else choose(node, c, coin)
        child = node.after[i]
        if child is None:
            return node, i
        node = child
    return node, None


def expand(nodes, node, i, prior):
    state = node.actions[i] if node.chance else node.state.play(node.actions[i])
    child = Decision(state, node, i, None, prior)
    node.after[i] = child
    nodes.append(child)
    return child


def roll_out(state, coin):
    if hasattr(state, "playout"):
        return state.playout(coin)


def back_up(leaf, G):
    leaf.visits += 1
    node = leaf
    while node.parent is not None:
        i, node = node.edge, node.parent
        G = node.reward + node.gamma * G
        node.visits += 1
        n = node.N[i] = node.N[i] + 1
        node.Q[i] += (node.sign * G - node.Q[i]) / n
        node.width[i] = 1 / sqrt(n) if node.prior is None else node.prior[i] / (1 + n)


def simulate(nodes, c, prior, coin):
    node, i = select(nodes[0], c, coin)
    leaf = node if i is None else expand(nodes, node, i, prior)
    back_up(leaf, roll_out(leaf.state, coin))

def mcts(state, simulations, c=1.4, *, rng=None, prior=None, tree=None):
    coin = Random(int(rng.integers(2**63)))
    nodes=[Decision(state,None,None,None,prior)]
    for _ in range(simulations):
        simulate(nodes, c, prior, coin)
    return nodes
