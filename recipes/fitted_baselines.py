"""What can be had of the training pairs without a network: fitted curves and lookup tables."""

from collections.abc import Sequence

from datasets.types import SourceError
from enhancer.data.pairs import Pair
from enhancer.scoring.color_lookup import ColorLookup
from enhancer.scoring.evaluation import Enhance
from enhancer.scoring.global_curve import GlobalCurve
from recipes.run_folder import Run
from recipes.scored_pairs import read_reduced

FIT_SIDE = 256
"""Short side in pixels of the pictures that are fitted on; more pixels of the same photos change nothing."""


def fit(pairs: Sequence[Pair]) -> dict[str, Enhance]:
    """The baselines by method name, fitted on decoded pairs; small pictures do."""
    return {
        "curve": GlobalCurve(pairs),
        "lookup": ColorLookup(pairs),
        "adaptive_lookup": ColorLookup(pairs, adaptive=True),
    }


def fit_baselines(run: Run) -> tuple[dict[str, Enhance], list[Pair], list[str]]:
    """Fit on the pairs that a run was trained on, each reduced to a short side of `FIT_SIDE` pixels.

    Returns:
        The baselines; all reduced pairs that the run has seen, validation included; and notes: where the training pairs are
        not to be had any more, there are no baselines, and the note says why.
    """
    try:
        trained = read_reduced(run.training_pairs("train"), FIT_SIDE, "training pairs")
    except SourceError as error:
        note = (
            "No curve and no lookup table could be fitted, and nobody can tell whether these photos were trained on: the training "
            f"pairs are not to be had. {error}"
        )
        return {}, [], [note]
    try:
        validated = read_reduced(run.training_pairs("validation"), FIT_SIDE, "validation pairs")
    except SourceError:
        validated = []
    fitted_on = [*trained, *validated] if run.config.get("train_on_validation") else trained
    return fit(fitted_on), [*trained, *validated], []
