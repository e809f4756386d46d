"""The making of a data set, killed twice at random, leaves what an undisturbed one leaves."""

from tests import chaos_data


def test_two_kills_of_a_build_cost_nothing(capsys):
    assert chaos_data.main(["--kills", "2", "--pairs", "8", "--size", "224", "--seed", "5"]) == 0
    assert "2/2 equal" in capsys.readouterr().out
