"""Which part of the recipe helps, how much, and how sure is that? Many small trainings, one table.

    python -m recipes.fivek_transfer ablate --fivek FOLDER --real-estate FOLDER --workdir RUN           the plan's settings
    python -m recipes.fivek_transfer ablate recommended --fivek FOLDER --real-estate FOLDER --workdir RUN
    python -m recipes.fivek_transfer ablate quick                                                        minutes, nothing needed

Training from scratch is set against pre-training plus fine-tuning on several numbers of pairs, and other strategies on all of
them, each with several seeds; --folds cross-validates small sets. Takes the recipe's own options besides. The same command
continues a run that was stopped at any moment, and more --seeds, --fractions or --strategies add to it. It leaves
ablation.json (all scores, photo by photo), ablation.html, and cells/ with a folder per training, without its weights.

The luck of training is in the intervals: seeds and photos are both resampled (docs/evaluation.md). Exit codes as the recipe's.
"""

import dataclasses
import time
from pathlib import Path
from typing import Any

import tyro

from enhancer.config import StageConfig
from recipes.experiment import (
    PRESETS,
    Experiment,
    UsageError,
    configuration,
    refuse_other_run,
    save_configuration,
)
from recipes.strategies import ALTERNATIVES, basic_strategies, parse_strategy


@dataclasses.dataclass(frozen=True)
class Options(Experiment):
    """The experiment's options, and the grid's."""

    from_scratch: tyro.conf.Suppress[bool] = True  # the grid always does
    require_gain: tyro.conf.Suppress[bool] = False  # nothing is judged
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each training is repeated with these: other first weights, order, crops, and other pairs where not all are used."""
    fractions: tuple[float, ...] = (0.25, 0.5, 1.0)
    """Shares of the fine-tuning pairs in (0, 1]: how the gain depends on their number."""
    pairs: tuple[int, ...] = ()
    """Numbers of fine-tuning pairs besides, such as 10 50 200."""
    folds: int = 1
    """1 tests on the source's own test list. More pools all its pairs and tests each once; photos of one scene stay together."""
    strategies: tuple[str, ...] = ALTERNATIVES
    """Alternatives to plain fine-tuning, on all pairs: NAME:key=value,... with settings of fine-tuning (frozen_levels=3), of
    pre-training (pretrain.epochs=60), model, base, or from=scratch."""


def _quick() -> Options:
    quick = PRESETS["quick"]
    stages = {
        name: dataclasses.replace(getattr(quick, name), epochs=6, early_stopping_patience=6)
        for name in ("pretrain", "finetune")
    }
    return Options(
        **vars(dataclasses.replace(quick, workdir=Path("runs/ablation_quick"), **stages)),
        seeds=(0, 1),
        fractions=(0.4, 1.0),
        strategies=("30 % FiveK mixed in:mix_weight=0.3",),  # needs no program of its own
    )


def defaults() -> dict[str, Options]:
    """By preset the options of a grid for which nothing else was asked."""
    others = {
        name: Options(**vars(dataclasses.replace(preset, workdir=Path(f"runs/ablation_{name}"))))
        for name, preset in PRESETS.items()
    }
    return others | {"quick": _quick()}


def parse(arguments: list[str]) -> Options:
    """Read what follows `ablate` on the command line."""
    named = bool(arguments) and arguments[0] in PRESETS
    preset = arguments[0] if named else "plan"
    return tyro.cli(
        Options,
        default=defaults()[preset],
        args=arguments[1:] if named else arguments,
        prog=f"python -m recipes.fivek_transfer ablate {preset}",
        description=__doc__,
    )


def run(options: Options) -> int:
    """Run the grid, or what is left of it."""
    from enhancer.data.pairs import ReadablePairs, WithoutDamaged
    from enhancer.system import compiler, processes
    from recipes import data_sets
    from recipes.ablation_cells import Cells, cut
    from recipes.ablation_grid import pair_counts, plan
    from recipes.ablation_report import write
    from recipes.folds import grouped_folds
    from recipes.scenes import find_scenes
    from recipes.scored_pairs import read_reduced

    if processes.are_several():
        raise UsageError(
            "ablate runs in one process, on all of its GPUs; give each machine a --workdir and --seeds of its own."
        )
    if any(stage.seed != StageConfig.seed for stage in (options.pretrain, options.finetune)):
        raise UsageError(
            "Seeds of the stages have no effect in an ablation; --seeds gives them to every training."
        )
    if not all(0 <= seed < 2**32 for seed in options.seeds):
        raise UsageError(
            f"--seeds lie in [0, {2**32 - 1}], received {' '.join(map(str, options.seeds))}."
        )
    if options.folds < 1:
        raise UsageError(f"--folds is at least 1, received {options.folds}.")
    strategies = [
        *basic_strategies(options),
        *(parse_strategy(text, options) for text in options.strategies),
    ]
    compiler.enable_cache()
    refuse_other_run(options)
    sources, data = data_sets.open_or_build(options)
    save_configuration(options, data)

    # Scenes are looked for on small pictures; damaged pairs are left out of everything.
    whole = [
        WithoutDamaged(sources.real_estate(split), f"{split} data")
        for split in ("train", "validation", "test")
    ]
    pooled = data_sets.JoinedSources(whole if options.folds > 1 else whole[2:])
    small = read_reduced(ReadablePairs(pooled, "pairs"), 256, "looking for scenes")
    scenes = find_scenes(small)
    scene_of = {pair.id: scene for pair, scene in zip(small, scenes, strict=True)}
    try:
        folds = grouped_folds(scenes, options.folds) if options.folds > 1 else []
    except ValueError as error:
        raise UsageError(str(error)) from error
    fold_data = cut(sources, folds, pooled)
    counts = pair_counts(
        min(len(fold.train) for fold in fold_data), options.fractions, options.pairs
    )
    grid = plan(strategies, counts, len(fold_data), options.seeds)
    cells = Cells(options, strategies, sources, fold_data)

    finished: list[dict[str, Any]] = []
    done = [saved for cell in grid if (saved := cells.read(cell)) is not None]
    to_do = len(grid) - len(done)
    print(
        f"{len(grid)} cells: {', '.join(map(str, counts))} pairs, {len(fold_data)} folds, {len(options.seeds)} seeds; {len(done)} are done.",
        flush=True,
    )
    started, ran = time.monotonic(), 0
    for number, cell in enumerate(grid, start=1):
        saved = cells.read(cell)
        if saved is None:
            left = (
                f", about {_minutes((time.monotonic() - started) / ran * (to_do - ran))} left"
                if ran
                else ""
            )
            print(
                f"\n[{number}/{len(grid)}] {cell.strategy}, {cell.pairs} pairs, fold {cell.fold}, seed {cell.seed}{left}",
                flush=True,
            )
            saved = cells.run(cell)
            ran += 1
        finished.append(saved)
    also_trained_on = [
        len(fold.validation) if options.train_on_validation else 0 for fold in fold_data
    ]
    presets = {name: configuration(default, {}) for name, default in defaults().items()}
    text = write(
        options.workdir, configuration(options, data), finished, also_trained_on, scene_of, presets
    )
    print(f"\n{text}\n\n{options.workdir / 'ablation.json'}\n{options.workdir / 'ablation.html'}")
    return 0


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
