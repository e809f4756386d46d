"""`python -m demo --workdir RUN`: open the page in a browser on this computer."""

import dataclasses
import logging
import sys
from pathlib import Path
from typing import Annotated

import tyro

# What needs JAX and gradio is imported after the command line is understood, so that --help answers at once.


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Serve a page on which photos are enhanced with a trained model.

    Exit codes: 0 stopped by Ctrl-C, 2 wrong usage, no model, or the port is taken.
    """

    workdir: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """What a recipe left behind: its --workdir, or one stage's folder in it."""
    host: str = "127.0.0.1"
    """Address to listen on. 0.0.0.0 lets every computer of the network in, and there is no password."""
    port: int = 7860
    """TCP port to listen on."""


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m demo")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("demo").setLevel(logging.INFO)
    from enhancer import compilation
    from enhancer.checkpoints import CheckpointError
    from enhancer.inference import Enhancer

    compilation.enable_cache()
    try:
        enhancer = Enhancer.load(arguments.workdir)
    except CheckpointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    from demo.app import build_page, launch_options

    page = build_page(enhancer)
    try:
        page.launch(**launch_options(arguments.host, arguments.port), prevent_thread_lock=True)
    except OSError as error:
        print(f"error: port {arguments.port} of {arguments.host} cannot be opened ({error})", file=sys.stderr)
        return 2
    print(f"The page is open at {page.local_url} (Ctrl-C stops it). Model: {enhancer.description}.", flush=True)
    page.block_thread()
    return 0


if __name__ == "__main__":
    sys.exit(main())
