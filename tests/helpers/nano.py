"""A Restormer that compiles in seconds; as a program, the recipe's command that trains it."""

import sys

from enhancer import config
from recipes.fivek_transfer import main

NANO = config.ModelConfig(
    dim=4, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1, num_heads=(1, 1, 1, 1)
)

if __name__ == "__main__":
    config.MODEL_SIZES["tiny"] = NANO
    sys.exit(main())
