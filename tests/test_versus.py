"""The board to play tic-tac-toe on by hand: moves, verdicts, and what a reader sees who does not run it."""

import pytest

from course_lib.show.versus import versus
from course_lib.worlds.games import TicTacToe


def first_free(state):
    """An opponent without a thought: the lowest free square."""
    move = state.actions()[0]
    return move, f"I took <{move}>."


def game(moves=(), reply=first_free, who="the search"):
    played = versus(TicTacToe(), reply, who)
    for move in moves:
        played.squares[move].click()
    return played


def stones(played):
    """The stones on the board; what stands on a free square is its number."""
    signs = [button.description for button in played.squares]
    assert all(sign in ("X", "O", str(square)) for square, sign in enumerate(signs))
    return ["" if sign.isdigit() else sign for sign in signs]


def words(played):
    return played.children[-1].value


def test_a_move_is_answered_and_both_are_drawn():
    played = game([4])
    assert stones(played) == ["O", "", "", "", "X", "", "", "", ""]
    assert [button.disabled for button in played.squares] == [stone != "" for stone in stones(played)]
    assert played.squares[4].tooltip == "square 4: X" and played.squares[8].tooltip == "square 8: free"
    assert "You are X, it is your turn." in words(played) and "I took &lt;0&gt;." in words(played)


def test_three_in_a_row_wins_and_closes_the_board():
    played = game([2, 4, 6])  # the answers are 0 and 1
    assert "You won!" in words(played) and all(button.disabled for button in played.squares)
    before = stones(played)
    played.press(8)
    assert stones(played) == before


def test_the_opponent_can_win():
    played = game([4, 3, 8], who="the search & co")  # the answers 0, 1, 2 are a row
    assert "The search &amp; co won." in words(played)


def test_a_full_board_without_a_row_is_a_draw():
    answers = iter([0, 2, 3, 7])
    played = game([4, 1, 5, 6, 8], reply=lambda state: (next(answers), ""))
    assert "" not in stones(played) and "A draw." in words(played)


def test_impossible_moves_do_nothing():
    played = game([4])
    before = stones(played), words(played)
    for square in (4, 0, 9, -1):
        played.press(square)
    assert (stones(played), words(played)) == before


def test_the_opponent_may_begin_and_the_reader_then_plays_the_other_sign():
    played = game([4])
    played.second.click()
    assert stones(played) == ["X"] + [""] * 8 and "You are O, it is your turn." in words(played)
    played.press(8)
    assert stones(played) == ["X", "X", *[""] * 6, "O"]
    played.press(4)  # the opponent's third X is a row
    assert "The search won." in words(played)
    played.first.click()
    assert stones(played) == [""] * 9 and "You are X" in words(played)
    assert not any(button.disabled for button in played.squares)


def test_a_mistake_in_the_opponent_is_shown_and_not_lost():
    def broken(state):
        raise ZeroDivisionError("no <visits>")

    assert "<b>ZeroDivisionError:</b> no &lt;visits&gt;" in words(game([4], reply=broken))
    with pytest.raises(ZeroDivisionError):  # before there is a board to show it on
        game(reply=broken).new_game(begin=False)


def test_a_still_for_those_who_do_not_run_it():
    bundle = game(who="<us>")._repr_mimebundle_()
    assert bundle["text/plain"] == "Tic-tac-toe against <us> on squares 0 to 8. Run the cell to play."
    assert "&lt;us&gt;" in bundle["text/html"] and "<us>" not in bundle["text/html"]
    assert [f">{a}</td>" in bundle["text/html"] for a in range(9)] == [True] * 9
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="0 first moves on a board of 3 rows and 3 columns"):
        versus(TicTacToe.after([0, 3, 1, 4, 2]), first_free)  # the game is over
