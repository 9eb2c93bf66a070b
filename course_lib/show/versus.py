"""A board of nine squares to click on, against an opponent that is a function."""

from collections.abc import Callable
from html import escape

import ipywidgets

SIGNS = {1: "X", -1: "O", 0: ""}
CELL = "style='border:1px solid #9ca3af;width:2.2em;height:2.2em;text-align:center'"


def versus(start, reply: Callable, who: str = "the search") -> "Versus":
    """Nine buttons to play tic-tac-toe by hand; leave it as the last line of a cell.

    start  the state before the first move: `.actions()`, `.play(a)`, `.winner`, `.to_play`, `.board`
    reply  reply(state) -> (its move, a sentence about it)
    who    what the opponent is called
    """
    return Versus(start, reply, who)


class Versus(ipywidgets.VBox):
    """The board over what the opponent says; `press(square)` and `new_game()` do what the buttons do."""

    def __init__(self, start, reply, who):
        self._start, self._reply, self._who = start, reply, who
        look = {"width": "3.4em", "height": "3.4em"}
        self.squares = [ipywidgets.Button(layout=look, tooltip=f"square {a}") for a in range(9)]
        self.first = ipywidgets.Button(description="New game, I begin")
        self.second = ipywidgets.Button(description="New game, it begins")
        self._words = ipywidgets.HTML()
        for a, button in enumerate(self.squares):
            button.on_click(lambda _, a=a: self.press(a))
        self.first.on_click(lambda _: self.new_game())
        self.second.on_click(lambda _: self.new_game(begin=False))
        self.new_game()
        board = ipywidgets.GridBox(self.squares, layout={"grid_template_columns": "repeat(3, 3.7em)"})
        super().__init__([ipywidgets.HBox([self.first, self.second]), board, self._words])

    def new_game(self, begin: bool = True) -> None:
        """Clear the board; with begin=False the opponent moves first."""
        self.state, self.me, said = self._start, self._start.to_play, ""
        if not begin:
            self.me, said = -self.me, self._answer()
        self._draw(said)

    def press(self, square: int) -> None:
        """Play a square, and let the opponent answer; nothing happens where a move is impossible."""
        if self.state.winner is not None or square not in self.state.actions():
            return
        try:
            self.state = self.state.play(square)
            self._draw(self._answer() if self.state.winner is None else "")
        except Exception as error:  # one raised in a callback would vanish in the log
            self._words.value = f"<b>{type(error).__name__}:</b> {escape(str(error))}"

    def _answer(self) -> str:
        move, sentence = self._reply(self.state)
        self.state = self.state.play(move)
        return sentence

    def _draw(self, said: str) -> None:
        stones, winner = self.state.board.ravel().tolist(), self.state.winner
        for a, (button, stone) in enumerate(zip(self.squares, stones, strict=True)):
            button.description = SIGNS[stone]
            button.disabled = winner is not None or stone != 0
            button.tooltip = f"square {a}: {SIGNS[stone] or 'free'}"
        verdict = {None: f"You are {SIGNS[self.me]}, it is your turn.", 0: "A draw."}
        words = verdict.get(winner, "You won!" if winner == self.me else f"{self._who.capitalize()} won.")
        self._words.value = f"<p><b>{escape(words)}</b> {escape(said)}</p>"

    def _repr_mimebundle_(self, **kwargs):
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        rows = "".join(
            "<tr>" + "".join(f"<td {CELL}>{3 * r + c}</td>" for c in range(3)) + "</tr>" for r in range(3)
        )
        sentence = f"Tic-tac-toe against {self._who} on squares 0 to 8. Run the cell to play."
        return {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": f"<table style='border-collapse:collapse'>{rows}</table><p>{escape(sentence)}</p>",
            "text/plain": sentence,
        }
