"""A bandit to play by hand: a button for each arm, and your score beside what rules expect to earn."""

from collections.abc import Mapping

import ipywidgets
import numpy as np

from course_lib.show.access import accessible
from course_lib.show.style import ACTION, VALUE

DOT = {True: f"<span style='color:{VALUE}'>●</span>", False: f"<span style='color:{ACTION}'>○</span>"}
CELL = "style='padding:2px 14px 2px 0;text-align:left'"


def bandit_game(
    means: np.ndarray, pulls: int, rivals: Mapping[str, np.ndarray], rounds: int = 3, seed: int = 0
) -> "BanditGame":
    """Buttons to pull the arms of Bernoulli bandits by hand; leave it as the last line of a cell.

    means   [bandits, arms]: the hidden probabilities; a game takes the next `rounds` bandits, each for
            `pulls` pulls
    rivals  {"UCB1": [bandits]}: what each rule expects to earn in `pulls` pulls of the same bandits
    """
    means = np.asarray(means, float)
    rivals = {name: np.asarray(expected, float) for name, expected in rivals.items()}
    if means.ndim != 2 or ((means < 0) | (means > 1)).any() or len(means) < rounds:
        raise ValueError(f"means has shape {means.shape}: give probabilities [bandits, arms], {rounds} rows.")
    for name, expected in rivals.items():
        if expected.shape != (len(means),):
            raise ValueError(f"{name} has shape {expected.shape}: give one number a bandit, ({len(means)},).")
    return BanditGame(means, pulls, rivals, rounds, np.random.default_rng(seed))


class BanditGame(ipywidgets.VBox):
    """The buttons over the score; `pull(arm)` and `new_game()` do what the buttons do."""

    def __init__(self, means, pulls, rivals, rounds, rng):
        self._means, self._pulls, self._rivals, self._rounds, self._rng = means, pulls, rivals, rounds, rng
        self._first = -rounds
        names = [chr(ord("A") + k) for k in range(means.shape[1])]
        self.arms = [ipywidgets.Button(description=f"Pull arm {name}") for name in names]
        self.again = ipywidgets.Button(description="New game")
        self._screen = ipywidgets.HTML()
        for k, button in enumerate(self.arms):
            button.on_click(lambda _, k=k: self.pull(k))
        self.again.on_click(lambda _: self.new_game())
        self.new_game()
        self._still = self._screen.value
        super().__init__([ipywidgets.HBox([*self.arms, self.again]), self._screen])
        accessible(self)

    def new_game(self) -> None:
        """Go on to the next bandits."""
        self._first += self._rounds
        if self._first + self._rounds > len(self._means):
            self._first = 0
        self._pulled: list[list[tuple[int, bool]]] = [[]]  # (arm, whether it paid), for each bandit so far
        self._draw()

    def pull(self, arm: int) -> None:
        """Pull an arm of the present bandit; nothing happens when the game is over."""
        if self.over:
            return
        if len(self._pulled[-1]) == self._pulls:
            self._pulled.append([])
        bandit = self._means[self._first + len(self._pulled) - 1]
        self._pulled[-1].append((arm, bool(self._rng.random() < bandit[arm])))
        self._draw()

    @property
    def over(self) -> bool:
        return len(self._pulled) == self._rounds and len(self._pulled[-1]) == self._pulls

    @property
    def scores(self) -> np.ndarray:
        """[finished bandits, 2 + R]: the rewards won, what the arms pulled were worth, each rival."""
        rows = []
        for i, pulled in enumerate(self._pulled, self._first):
            if len(pulled) == self._pulls:
                mine = sum(paid for _, paid in pulled), sum(self._means[i, arm] for arm, _ in pulled)
                rows.append([*mine, *(expected[i] for expected in self._rivals.values())])
        return np.array(rows).reshape(len(rows), 2 + len(self._rivals))

    def _draw(self) -> None:
        for button in self.arms:
            button.disabled = self.over
        self._screen.value = f"<div>{self._head()}{self._now()}{self._board()}</div>"

    def _head(self) -> str:
        left = self._pulls - len(self._pulled[-1])
        if self.over:
            _, worth, *rivals = self.scores.sum(axis=0)
            beaten = [name for name, r in zip(self._rivals, rivals, strict=True) if worth > r]
            verdict = (
                f"Your choices beat {' and '.join(beaten)}." if beaten else "No rule is beaten this time."
            )
            return f"<p><b>The game is over.</b> {verdict}</p>"
        if not left:
            return (
                f"<p><b>Bandit {len(self._pulled)} is finished.</b> Your next pull begins the next one.</p>"
            )
        return f"<p><b>Bandit {len(self._pulled)} of {self._rounds}</b>, pulls left: {left}</p>"

    def _now(self) -> str:
        """What the present bandit has paid so far."""
        rows, last = [], len(self._pulled[-1]) - 1
        for k in range(self._means.shape[1]):
            paid = [(t, won) for t, (arm, won) in enumerate(self._pulled[-1]) if arm == k]
            fresh = bool(paid) and paid[-1][0] == last
            dots = "".join(
                f"<span style='color:{VALUE if won else ACTION}'>{'●' if won else '○'}</span>"
                for _, won in paid
            )
            words = ("paid" if paid[-1][1] else "paid nothing") if fresh else ""
            rows.append([f"arm {chr(65 + k)}", f"{sum(w for _, w in paid)} of {len(paid)}", dots, words])
        return _table(["arm", "paid", "● paid, ○ nothing", "last pull"], rows)

    def _board(self) -> str:
        """The scores of the finished bandits."""
        heads = ["finished", "hidden means", "you won", "your choices were worth", *self._rivals]
        rows = []
        for i, row in enumerate(self.scores):
            hidden = ", ".join(f"{p:.2f}" for p in self._means[self._first + i])
            rows.append([f"bandit {i + 1}", hidden, f"{row[0]:.0f}", *(f"{x:.2f}" for x in row[1:])])
        if len(rows) > 1:
            total = self.scores.sum(axis=0)
            rows.append(["in all", "", f"{total[0]:.0f}", *(f"{x:.2f}" for x in total[1:])])
        return _table(heads, rows) if rows else "<p style='opacity:.8'>No bandit is finished yet.</p>"

    def _sentence(self) -> str:
        some = slice(self._first, self._first + self._rounds)
        said = ", ".join(f"{name} {expected[some].sum():.2f}" for name, expected in self._rivals.items())
        return f"A game of {self._rounds} bandits with {self._pulls} pulls each; expected in all: {said}."

    def _repr_mimebundle_(self, **kwargs):
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        still = f"{self._still}<p>{self._sentence()} Run the cell to play.</p>"
        return {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": still,
            "text/plain": self._sentence(),
        }


def _table(heads: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th {CELL}>{h}</th>" for h in heads)
    body = "".join("<tr>" + "".join(f"<td {CELL}>{x}</td>" for x in row) + "</tr>" for row in rows)
    table = f"<table style='border-spacing:0'><tr>{head}</tr>{body}</table>"
    return f"<div style='overflow-x:auto;margin-bottom:1em'>{table}</div>"
