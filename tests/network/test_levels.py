"""Learning rates by depth: every variable has a level, frozen ones stand still, the rest decays."""

import numpy as np
import pytest

from enhancer.config import StageConfig
from enhancer.network.levels import (
    LEVELS,
    frozen_levels_in,
    has_one_rate,
    learning_rate_factors,
    level_of,
    never_trained,
)
from enhancer.network.restormer import Restormer


def test_every_variable_of_the_network_belongs_to_a_level(nano):
    levels = {level_of(variable.path) for variable in Restormer(nano).trainable_variables}
    assert levels == set(range(len(LEVELS)))


def test_unknown_layer_is_refused():
    with pytest.raises(ValueError, match=r"'attention'.* belongs to no level"):
        level_of("attention/kernel")


def test_rates_decay_geometrically_from_the_output_backwards():
    factors = learning_rate_factors(StageConfig(level_decay=0.5), 1)
    np.testing.assert_array_equal(
        factors, [2.0**-7, 2.0**-6, 2.0**-5, 2.0**-4, 2.0**-3, 2.0**-2, 0.5, 1.0]
    )


def test_frozen_levels_have_no_rate_and_the_others_keep_theirs():
    factors = learning_rate_factors(StageConfig(frozen_levels=3, level_decay=0.5), 50)
    np.testing.assert_array_equal(factors, [0, 0, 0, 2.0**-4, 2.0**-3, 2.0**-2, 0.5, 1.0])


def test_levels_are_set_free_one_by_one_the_last_first():
    stage = StageConfig(frozen_levels=3, unfreeze_every_epochs=2)
    assert [frozen_levels_in(stage, epoch) for epoch in range(1, 9)] == [3, 3, 2, 2, 1, 1, 0, 0]


def test_only_what_is_frozen_for_good_needs_no_gradient():
    paths = ["patch_embed/kernel", "latent/ffn_expansion"]
    assert never_trained(StageConfig(frozen_levels=1), paths) == {"patch_embed/kernel"}
    assert never_trained(StageConfig(frozen_levels=1, unfreeze_every_epochs=1), paths) == set()


@pytest.mark.parametrize("changed", [{"frozen_levels": 1}, {"level_decay": 0.9}])
def test_default_stage_has_one_rate(changed):
    assert has_one_rate(StageConfig())
    assert not has_one_rate(StageConfig(**changed))
