"""Which part of the recipe helps, how much, and how sure is that? Many trainings, one table.

    python -m recipes.fivek_transfer ablate --fivek FOLDER --real-estate FOLDER --workdir RUN
    python -m recipes.fivek_transfer ablate recommended --fivek FOLDER --real-estate FOLDER ...
    python -m recipes.fivek_transfer ablate quick                           minutes, nothing needed

Training from scratch is set against pre-training plus fine-tuning on several numbers of pairs, and
other strategies on all of them, each with several seeds; --folds cross-validates small sets. Takes
the recipe's own options besides. The same command continues a run that was stopped at any moment,
and more --seeds, --fractions or --strategies add to it. It leaves ablation.json (all scores, photo
by photo), ablation.html, and cells/ with a folder per training, without its weights.

The luck of training is in the intervals: seeds and photos are both resampled (docs/evaluation.md).
Exit codes as the recipe's.
"""

import dataclasses
import time
from pathlib import Path

import tyro

from enhancer.config import StageConfig
from recipes.ablation.strategies import ALTERNATIVES, SCRATCH, TRANSFER, parse_strategies
from recipes.experiment.options import Experiment, UsageError, refuse_other_run, save_configuration
from recipes.experiment.presets import PRESETS, parse_options


@dataclasses.dataclass(frozen=True)
class Ablation(Experiment):
    """The experiment's options, and the grid's."""

    from_scratch: tyro.conf.Suppress[bool] = True  # the grid always does
    require_gain: tyro.conf.Suppress[bool] = False  # nothing is judged
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each training is repeated with these: other first weights, order, crops, and other pairs
    where not all are used."""
    fractions: tuple[float, ...] = (0.25, 0.5, 1.0)
    """Shares of the fine-tuning pairs in (0, 1]: how the gain depends on their number."""
    pairs: tuple[int, ...] = ()
    """Numbers of fine-tuning pairs besides, such as 10 50 200."""
    folds: int = 1
    """1 tests on the source's own test list. More pools all its pairs and tests each once; photos
    of one scene stay together."""
    strategies: tuple[str, ...] = ALTERNATIVES
    """Alternatives to plain fine-tuning, on all pairs: NAME:key=value,... with settings of
    fine-tuning (frozen_levels=3), of pre-training (pretrain.epochs=60), model, base,
    from=scratch."""

    def refuse_senseless(self) -> None:
        """Raise UsageError for a grid that cannot be run."""
        if (self.pretrain.seed, self.finetune.seed) != (StageConfig.seed,) * 2:
            raise UsageError("Seeds of the stages have no effect here; --seeds gives them.")
        if len(set(self.seeds)) != len(self.seeds) or not all(0 <= s < 2**32 for s in self.seeds):
            raise UsageError(f"--seeds lie in [0, {2**32 - 1}] and differ, received {self.seeds}.")
        if self.folds < 1 or not (self.seeds and (self.fractions or self.pairs)):
            raise UsageError("Give --seeds, --fractions or --pairs, and --folds >= 1.")
        if not all(0 < share <= 1 for share in self.fractions) or min(self.pairs, default=1) < 1:
            raise UsageError("--fractions lie in (0, 1], and --pairs are at least 1.")


def defaults(preset: str) -> Ablation:
    """The options of a grid for which nothing else was asked."""
    own = {"workdir": Path(f"runs/ablation_{preset}"), "from_scratch": True, "require_gain": False}
    grid = Ablation(**{**vars(PRESETS[preset]), **own})
    if preset != "quick":
        return grid
    stages = {
        name: dataclasses.replace(getattr(grid, name), epochs=6, early_stopping_patience=6)
        for name in ("pretrain", "finetune")
    }
    mixed = ("30 % FiveK mixed in:mix_weight=0.3",)  # needs no program of its own
    return dataclasses.replace(grid, **stages, seeds=(0, 1), fractions=(0.4, 1.0), strategies=mixed)


def parse(arguments: list[str]) -> Ablation:
    """Read what follows `ablate` on the command line."""
    return parse_options(arguments, defaults, "ablate", __doc__)


def run(grid: Ablation) -> int:
    """Run the grid, or what is left of it."""
    # Imports of seconds wait until here, so that --help answers at once.
    from enhancer.data.pairs import ReadablePairs, WithoutDamaged
    from enhancer.scoring.baselines import FIT_SIDE
    from enhancer.system import compiler, processes
    from recipes.ablation.cells import FITTED, Cell, Cells
    from recipes.ablation.folds import Fold, grouped_folds
    from recipes.ablation.table import write
    from recipes.experiment.data_sets import JoinedSources, Subset, open_or_build
    from recipes.experiment.scored_pairs import find_scenes, read_reduced

    if processes.are_several():
        raise UsageError(
            "ablate runs in one process, on all of its GPUs; give each machine --seeds of its own."
        )
    grid.refuse_senseless()
    strategies = parse_strategies(grid.strategies, grid)
    compiler.enable_cache()
    grid = grid.settled(on_cpu=compiler.on_cpu())
    refuse_other_run(grid)
    data, fingerprints = open_or_build(grid)
    save_configuration(grid, fingerprints)

    # Scenes are looked for on small pictures; damaged pairs are left out of everything.
    splits = ("train", "validation", "test")
    parts = [WithoutDamaged(data.real_estate(split), f"{split} data") for split in splits]
    pooled = JoinedSources(parts if grid.folds > 1 else parts[2:])
    small = read_reduced(ReadablePairs(pooled, "pairs"), FIT_SIDE, "looking for scenes")
    scenes = find_scenes(small)
    folds = [Fold(*map(data.real_estate, splits))]
    if grid.folds > 1:
        try:
            indices = grouped_folds(scenes, grid.folds)
        except ValueError as error:
            raise UsageError(str(error)) from error
        # Training may show a small folder's pairs several times; they are tested once.
        known = zip([pair.id for pair in small], scenes, strict=True)
        once = {pair: index for index, pair in enumerate(known)}.values()
        indices = [fold._replace(test=[i for i in fold.test if i in once]) for fold in indices]
        folds = [Fold(*(Subset(pooled, part) for part in fold)) for fold in indices]
    available = min(len(fold.train) for fold in folds)
    counts = {max(1, round(fraction * available)) for fraction in grid.fractions}
    *fewer, most = sorted(counts | {min(number, available) for number in grid.pairs})

    todo = []  # seeds come last, so that a run that is stopped holds whole comparisons of some
    for seed in grid.seeds:
        for fold in range(len(folds)):
            todo += [Cell("unedited", most, fold, seed)] if seed == grid.seeds[0] else []
            todo += [Cell(name, most, fold, seed) for name in ("pretrained", *FITTED, *strategies)]
            names = (*FITTED, SCRATCH, TRANSFER)
            todo += [Cell(name, few, fold, seed) for few in reversed(fewer) for name in names]
    cells = Cells(grid, strategies, data, folds)
    finished, ran, started = [], 0, time.monotonic()
    left = sum(cells.read(cell) is None for cell in todo)
    print(f"{len(todo)} cells, of which {len(todo) - left} are done.", flush=True)
    for number, cell in enumerate(todo, start=1):
        saved = cells.read(cell)
        if saved is None:
            minutes = (time.monotonic() - started) / max(ran, 1) * (left - ran) / 60
            remaining = f", about {minutes:.0f} min left" if ran else ""
            print(f"\n[{number}/{len(todo)}] {cell}{remaining}", flush=True)
            saved, ran = cells.run(cell), ran + 1
        finished.append(saved)
    scene_of = {pair.id: scene for pair, scene in zip(small, scenes, strict=True)}
    config = grid.configuration(fingerprints)
    text = write(grid.workdir, config, finished, len(folds), scene_of)
    print(f"\n{text}\n\n{grid.workdir / 'ablation.json'}\n{grid.workdir / 'ablation.html'}")
    return 0
