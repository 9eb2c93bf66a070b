"""Blackjack with an infinite deck as an exact MDP (Sutton & Barto 2018, Example 5.1)."""

from collections import defaultdict

import numpy as np

from course_lib.worlds.mdp import MDP

STICK, HIT = 0, 1
CARDS = np.arange(1, 11)  # an ace is 1; ten, jack, queen and king are 10
CHANCE = np.array([1] * 9 + [4]) / 13
LOSE, DRAW, WIN = -3, -2, -1  # the last three states
NATURAL = "natural"  # stands for the usable ace in the label of 21 with the first two cards

# Hands as (sum, usable ace). Without a usable ace 4 to 21, with one 12 to 21, and the natural.
HANDS = tuple([(n, False) for n in range(4, 22)] + [(n, True) for n in range(12, 22)] + [(21, NATURAL)])
PAYS = np.array([0.0] * 10 * len(HANDS) + [-1.0, 0.0, 1.0])  # on arrival in each state, [S]


def blackjack() -> MDP:
    """Blackjack, γ = 1, with the rules of Gymnasium's `Blackjack-v1, sab=True`: [S, A] = 293 × 2.

    A state is (the player's sum, the dealer's open card 1–10 with an ace as 1, usable ace), its label;
    `state` finds its number. Action 0 sticks, 1 hits. A natural, 21 with the first two cards, beats all but
    a dealer's natural, and is therefore a state of its own. A dealer's natural counts as 21, no more. The
    dealer hits below 17, with a usable ace too. The last three states end the game: lost, drawn, won. R is
    the expected reward; single games pay PAYS [S] on arrival: `reward=on_arrival(mdp, PAYS)`. Known: for
    the policy that hits below 20, state (13, 2, True) is worth −.27720.
    """
    S = len(PAYS)
    P, ends = np.zeros((S, 2, S)), [dealer_ends(dealer) for dealer in CARDS]
    for h, hand in enumerate(HANDS):
        for dealer in CARDS:
            s = _number(h, dealer)
            P[s, STICK, [LOSE, DRAW, WIN]] = _showdown(hand, dealer, ends[dealer - 1])
            for card, p in zip(CARDS, CHANCE, strict=True):
                after = draw(hand, card)
                P[s, HIT, LOSE if after is None else _number(HANDS.index(after), dealer)] += p
    P[[LOSE, DRAW, WIN], :, [LOSE, DRAW, WIN]] = 1.0
    terminal = np.arange(S) >= S + LOSE
    labels = [(n, int(dealer), ace) for n, ace in HANDS for dealer in CARDS] + ["lost", "drawn", "won"]
    return MDP(P, (P @ PAYS) * ~terminal[:, None], 1.0, start=_deal(), terminal=terminal, labels=labels)


def state(player: int, dealer: int, usable: bool | str) -> int:
    """The number of a state; usable is True, False or "natural". ValueError if there is no such state."""
    if (player, usable) not in HANDS or dealer not in CARDS:
        raise ValueError(
            f"no state ({player}, {dealer}, {usable}): sums are 4–21, or 12–21 with a usable ace; the dealer "
            "shows 1–10; only 21 can be 'natural'."
        )
    return _number(HANDS.index((player, usable)), dealer)


def hit_below(n: int) -> np.ndarray:
    """The policy [S, 2] that hits below the sum n and sticks from n on. S&B's Example 5.1 has n = 20."""
    hits = np.array([total < n for total, _ in HANDS for _ in CARDS] + [False] * 3)
    return np.eye(2)[hits.astype(int)]


def hand_table(x: np.ndarray, usable: bool) -> np.ndarray:
    """One number a state, x [S], as a table [10, 10] of the sums 12–21 by the dealer's card, ace to 10."""
    first = state(12, 1, usable)
    return x[first : first + 100].reshape(10, 10)


def draw(hand: tuple, card: int) -> tuple | None:
    """The hand after one more card; None once it is above 21."""
    total, usable = hand
    total += card
    if usable and total > 21:  # its ace counts 1 from now on
        return total - 10, False
    if not usable and card == 1 and total <= 11:
        return total + 10, True
    return (total, bool(usable)) if total <= 21 else None


def _number(hand: int, dealer: int) -> int:
    return int(hand * 10 + dealer - 1)


def _deal() -> np.ndarray:
    """The probability of each state after the deal, [S]."""
    start = np.zeros(len(PAYS))
    for first, p in zip(CARDS, CHANCE, strict=True):
        for second, q in zip(CARDS, CHANCE, strict=True):
            total, usable = draw((11, True) if first == 1 else (first, False), second)
            hand = (21, NATURAL) if {first, second} == {1, 10} else (int(total), usable)
            start[_number(HANDS.index(hand), 1) + np.arange(10)] += p * q * CHANCE
    return start


def dealer_ends(dealer: int) -> np.ndarray:
    """The chances of the dealer's final sum, with this open card: bust, 17, 18, 19, 20, 21; [6]."""
    ends, hands = np.zeros(6), {((11, True) if dealer == 1 else (int(dealer), False)): 1.0}
    while hands:
        after = defaultdict(float)
        for hand, p in hands.items():
            for card, q in zip(CARDS, CHANCE, strict=True):
                after[draw(hand, int(card))] += p * q
        for hand in [hand for hand in after if hand is None or hand[0] >= 17]:
            ends[0 if hand is None else hand[0] - 16] += after.pop(hand)
        hands = after
    return ends


def _showdown(hand: tuple, dealer: int, ends: np.ndarray) -> np.ndarray:
    """The chances to lose, draw and win by sticking, [3]."""
    total, usable = hand
    if usable == NATURAL:
        draws = {1: CHANCE[9], 10: CHANCE[0]}.get(int(dealer), 0.0)
        return np.array([0.0, draws, 1 - draws])
    sums = np.array([0, 17, 18, 19, 20, 21])
    return np.array([ends[sums > total].sum(), ends[sums == total].sum(), ends[sums < total].sum()])
