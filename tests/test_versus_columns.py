"""The board to play on by hand where stones fall: a click anywhere in a column, and what is refused."""

import pytest

from course_lib.show.versus import versus
from course_lib.worlds.games import ConnectFour, TicTacToe


def first_free(state):
    return state.actions()[0], f"It played {state.actions()[0]}."


def test_a_click_anywhere_in_a_column_drops_a_stone_to_its_floor():
    board = versus(ConnectFour(), first_free, game="Connect Four")
    assert len(board.squares) == 42
    board.squares[3].click()  # the top of column 3
    assert board.state.board[5, 3] == 1 and board.state.board[5, 0] == -1
    assert board.squares[5 * 7 + 3].description == "X"
    assert board.squares[5 * 7 + 3].tooltip == "column 3, row 6 from the top: X"
    assert [square.description for square in board.squares[:8]] == [*"0123456", ""]  # columns have numbers
    board.squares[5 * 7 + 3].click()  # its taken floor: the next stone lies on top
    assert board.state.board[4, 3] == 1 and board.state.board[4, 0] == -1


def test_a_full_column_takes_no_more_and_a_click_beside_the_board_nothing():
    board = versus(ConnectFour(), first_free, game="Connect Four")
    for cell in (3, 0, 0):  # the answers go to column 0, too: X, O, X, O, O and it is nearly full
        board.press(cell)
    board.press(0)
    assert all(board.squares[row * 7].disabled for row in range(6)) and not board.squares[1].disabled
    before = board.state
    for cell in (0, 42, -1):
        board.press(cell)
    assert board.state == before


def test_four_in_a_row_wins():
    board = versus(ConnectFour(), lambda state: (0, ""), game="Connect Four")
    for _ in range(4):
        board.press(4)
    assert "won" in board._words.value and board.state.winner is not None
    assert all(button.disabled for button in board.squares)


@pytest.mark.parametrize(
    ("start", "game", "words", "cells"),
    [
        (TicTacToe(), "Tic-tac-toe", "squares 0 to 8", 9),
        (ConnectFour(), "Connect Four", "columns 0 to 6", 42),
    ],
)
def test_a_still_for_those_who_do_not_run_it(start, game, words, cells):
    bundle = versus(start, first_free, game=game)._repr_mimebundle_()
    assert bundle["text/plain"] == f"{game} against the search on {words}. Run the cell to play."
    assert bundle["text/html"].count("<td") == cells and words in bundle["text/html"]


def test_a_game_of_other_moves_is_refused():
    class Odd:
        board = TicTacToe().board

        def actions(self):
            return (0, 1)

    with pytest.raises(ValueError, match="Odd has 2 first moves on a board of 3 rows"):
        versus(Odd(), first_free, game="Odd")
