"""The bandit to play by hand: buttons, scores, and what a reader sees who does not run it."""

import numpy as np
import pytest

from course_lib.show.game import bandit_game

MEANS = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.25, 0.75]])
RIVALS = {"coin": np.full(4, 2.0), "oracle": np.full(4, 4.0)}


def game(**options):
    return bandit_game(MEANS, 4, RIVALS, rounds=2, **options)


def test_scores_count_rewards_and_the_means_of_the_arms_pulled():
    played = game()
    for arm in (1, 1, 0, 1, 0, 0, 0, 0):
        played.arms[arm].click()
    assert played.over and played.arms[0].disabled
    assert played.scores.tolist() == [[3, 3, 2, 4], [4, 4, 2, 4]]
    assert "beat coin" in played._screen.value and "oracle." not in played._screen.value
    played.pull(0)
    assert len(played.scores) == 2


def test_a_new_game_takes_the_next_bandits_and_begins_again_after_the_last():
    played = game()
    for worth in (0 + 4, 4 + 1, 0 + 4):
        for _ in range(8):
            played.pull(0)
        assert played.scores[:, 1].sum() == worth
        played.again.click()
        assert not played.over and not played.arms[0].disabled


def test_hidden_means_show_only_when_a_bandit_is_finished():
    played = game()
    for _ in range(3):
        played.pull(1)
    assert "0.00, 1.00" not in played._screen.value
    played.pull(1)
    assert "0.00, 1.00" in played._screen.value


def test_a_still_for_those_who_do_not_run_it():
    bundle = game()._repr_mimebundle_()
    assert "coin 4.00, oracle 8.00" in bundle["text/plain"]
    assert bundle["text/plain"] in bundle["text/html"]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="probabilities"):
        bandit_game(MEANS * 2, 4, RIVALS)
    with pytest.raises(ValueError, match="coin"):
        bandit_game(MEANS, 4, {"coin": np.ones(3)})
