"""The data sets of an experiment: built when they are not there yet, then opened."""

from pathlib import Path

from recipes.experiment import Experiment


def open_or_build(experiment: Experiment):
    """Build what is not built yet; return two functions from a split's name to its source, and all fingerprints."""
    # Imported late: it takes seconds, and `--help` should not.
    from datasets import build, miniature
    from datasets.preparation import Choices
    from enhancer.processes import is_first_process

    folders = {"fivek": experiment.fivek, "real_estate": experiment.real_estate}
    if experiment.miniature and None in folders.values():
        rendered = experiment.workdir / "miniature"
        if not rendered.exists():
            unfinished = rendered.with_name("miniature.unfinished")
            miniature.write(unfinished)
            unfinished.rename(rendered)
        folders = {name: folder or rendered / name for name, folder in folders.items()}
    default = experiment.workdir / "data" if experiment.miniature else Path("~/tensorflow_datasets")
    data_dir = (experiment.data_dir or default).expanduser()
    configs = {"fivek": experiment.fivek_config, "real_estate": experiment.real_estate_config}
    for name, folder in folders.items():
        if folder is not None:
            choices = Choices(allow_near_duplicates=experiment.allow_near_duplicates)
            build.build(name, folder, data_dir, configs[name], choices=choices)

    def opener(name: str):
        return lambda split: build.source(name, split, data_dir, configs[name])

    fivek, real_estate = opener("fivek"), opener("real_estate")
    for name, opened, splits in (
        ("FiveK", fivek, ("train", "validation")),
        ("real estate", real_estate, ("train", "validation", "test")),
    ):
        counts = ", ".join(f"{len(opened(split))} {split}" for split in splits)
        if is_first_process():
            print(f"{name}: {counts} pairs")
    return fivek, real_estate, {name: build.fingerprint(name, data_dir, configs[name]) for name in folders}
