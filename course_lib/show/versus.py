"""A board to click on, against an opponent that is a function: tic-tac-toe, or a game of columns."""

from collections.abc import Callable
from html import escape

import ipywidgets

from course_lib.show.access import accessible
from course_lib.show.style import ACTION, FLOOR, MUTED, VALUE, ink_on

SIGNS = {1: "X", -1: "O", 0: ""}
FILLS = {1: VALUE, -1: ACTION, 0: FLOOR}
CELL = "style='border:1px solid #9ca3af;width:2.2em;height:2.2em;text-align:center'"


def versus(start, reply: Callable, who: str = "the search", game: str = "Tic-tac-toe") -> "Versus":
    """Buttons to play a game by hand; leave it as the last line of a cell.

    start  the state before the first move: `.actions()`, `.play(a)`, `.winner`, `.to_play`, and `.board`
           [rows, columns] of +1, −1, 0. Its moves are all squares in reading order, or all columns
    reply  reply(state) -> (its move, a sentence about it)
    who    what the opponent is called
    game   what the game is called

    ValueError for a board whose moves are neither.
    """
    rows, columns = start.board.shape
    if len(start.actions()) not in (columns, rows * columns):
        raise ValueError(
            f"{game} has {len(start.actions())} first moves on a board of {rows} rows and {columns} columns: "
            "a move must be a square, or a column."
        )
    return Versus(start, reply, who, game)


class Versus(ipywidgets.VBox):
    """The board over what the opponent says; `press(cell)` and `new_game()` do what the buttons do."""

    def __init__(self, start, reply, who, game):
        self._start, self._reply, self._who, self._game = start, reply, who, game
        self._rows, self._columns = start.board.shape
        self._drops = len(start.actions()) == self._columns
        side = 2.4 if self._drops else 3.4  # em
        look = {"width": f"{side}em", "height": f"{side}em", "padding": "0", "border": f"1px solid {MUTED}"}
        self.squares = [ipywidgets.Button(layout=look) for _ in range(start.board.size)]
        wide = {"width": "auto"}
        self.first = ipywidgets.Button(description="New game, I begin", layout=wide)
        self.second = ipywidgets.Button(description="New game, it begins", layout=wide)
        self._words = ipywidgets.HTML()
        for cell, button in enumerate(self.squares):
            button.on_click(lambda _, cell=cell: self.press(cell))
        self.first.on_click(lambda _: self.new_game())
        self.second.on_click(lambda _: self.new_game(begin=False))
        self.new_game()
        tracks = f"repeat({self._columns}, {side + 0.3:.1f}em)"
        board = ipywidgets.GridBox(self.squares, layout={"grid_template_columns": tracks})
        super().__init__([ipywidgets.HBox([self.first, self.second]), board, self._words])
        accessible(self)

    def new_game(self, begin: bool = True) -> None:
        """Clear the board; with begin=False the opponent moves first."""
        self.state, self.me, said = self._start, self._start.to_play, ""
        if not begin:
            self.me, said = -self.me, self._answer()
        self._draw(said)

    def press(self, cell: int) -> None:
        """Play a cell, and let the opponent answer; nothing happens where a move is impossible."""
        if cell not in range(len(self.squares)) or self._move(cell) not in self.state.actions():
            return
        try:
            self.state = self.state.play(self._move(cell))
            self._draw(self._answer() if self.state.winner is None else "")
        except Exception as error:  # one raised in a callback would vanish in the log
            self._words.value = f"<b>{type(error).__name__}:</b> {escape(str(error))}"

    def _move(self, cell: int) -> int:
        return cell % self._columns if self._drops else cell

    def _answer(self) -> str:
        move, sentence = self._reply(self.state)
        self.state = self.state.play(move)
        return sentence

    def _draw(self, said: str) -> None:
        stones, winner, possible = self.state.board.ravel().tolist(), self.state.winner, self.state.actions()
        for cell, (button, stone) in enumerate(zip(self.squares, stones, strict=True)):
            button.description = SIGNS[stone] or self._number(cell)
            button.disabled = self._move(cell) not in possible
            look = button.style
            look.font_weight, look.button_color = "bold" if stone else "normal", FILLS[stone]
            look.text_color = ink_on(FILLS[stone])
            button.tooltip = f"{self._name(cell)}: {SIGNS[stone] or 'free'}"
        verdict = {None: f"You are {SIGNS[self.me]}, it is your turn.", 0: "A draw."}
        words = verdict.get(winner, "You won!" if winner == self.me else f"{self._who.capitalize()} won.")
        self._words.value = f"<p><b>{escape(words)}</b> {escape(said)}</p>"

    def _number(self, cell: int) -> str:
        """What a free square is called; of a column, only its top."""
        return str(cell) if cell < self._columns or not self._drops else ""

    def _name(self, cell: int) -> str:
        row, column = divmod(cell, self._columns)
        return f"column {column}, row {row + 1} from the top" if self._drops else f"square {cell}"

    def _repr_mimebundle_(self, **kwargs):
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        rows = ""
        for row in range(self._rows):
            cells = range(row * self._columns, (row + 1) * self._columns)
            rows += "<tr>" + "".join(f"<td {CELL}>{self._move(cell)}</td>" for cell in cells) + "</tr>"
        moves = (
            f"columns 0 to {self._columns - 1}"
            if self._drops
            else f"squares 0 to {self._start.board.size - 1}"
        )
        sentence = f"{self._game} against {self._who} on {moves}. Run the cell to play."
        return {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": f"<table style='border-collapse:collapse'>{rows}</table><p>{escape(sentence)}</p>",
            "text/plain": sentence,
        }
