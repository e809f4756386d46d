"""`python -m demo`: open the page in a browser on this computer."""

import dataclasses
import ipaddress
import logging
import os
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from demo.photos.limits import Limits
from demo.photos.photo_queue import PhotoQueue
from demo.server.credentials import Credentials, CredentialsError, read_credentials
from demo.server.temporary_files import private_folder

if TYPE_CHECKING:
    from enhancer.inference.enhancer import Enhancer

# What needs JAX and gradio is imported when the port is open and answers: that takes a while.

STOPPED, CANNOT_START = 0, 2


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Serve a page on which photos are enhanced.

    Ctrl-C or SIGTERM finishes the photo in hand, takes no more, and ends; a second one ends at
    once.

    Exit codes: 0 stopped, 2 wrong usage, no model, or the port is taken, 130 stopped by a second
    Ctrl-C.
    """

    workdir: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    """What a recipe left behind: its --workdir, or one stage's folder in it. Without: the model in
    the package, which has seen rendered rooms alone."""
    host: str = "127.0.0.1"
    """Address to listen on. 0.0.0.0 lets every computer of the network in; give --user and
    --password-file then."""
    allowed_host: tuple[str, ...] = ()
    """Names that the server is reached by, such as a proxy's. Without: localhost and, with --host,
    addresses."""
    port: int = 7860
    """TCP port to listen on; 0 takes any free one."""
    user: str | None = None
    """Name that visitors log in with; by default $ENHANCER_DEMO_USER, and without either the page
    is open."""
    password_file: Path | None = None
    """File whose first line is the password; by default $ENHANCER_DEMO_PASSWORD."""
    limits: Annotated[Limits, tyro.conf.OmitArgPrefixes] = Limits()


def main(argv: list[str] | None = None) -> int:
    arguments = tyro.cli(Arguments, args=argv, prog="python -m demo")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("demo").setLevel(logging.INFO)
    try:
        credentials = read_credentials(arguments.user, arguments.password_file, os.environ)
        family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
        address = arguments.host, arguments.port
        listening = socket.create_server(address, family=family, backlog=256)
    except CredentialsError as error:
        return _cannot_start(str(error))
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number and number > 0 else str(error)
        place = f"port {arguments.port} of {arguments.host}"
        return _cannot_start(f"{place} cannot be opened ({reason})")
    from demo.server.http_server import STARTING, running, share_arenas, wait_for_stop

    share_arenas()
    queue = PhotoQueue(arguments.limits)
    with listening, private_folder():
        try:
            with running(STARTING, listening):
                model, app = _load(arguments, queue, credentials)
        except KeyboardInterrupt:
            return STOPPED
        except _NoModel as error:
            return _cannot_start(str(error))
        with running(app, listening):
            host, port = listening.getsockname()[:2]
            _greet(host, port, model, has_login=credentials is not None)
            wait_for_stop(queue)
    print("Stopped.", flush=True)
    return STOPPED


class _NoModel(Exception):
    pass


def _load(arguments: Arguments, queue: PhotoQueue, credentials: Credentials | None):
    """Return the model's description and the application."""
    from demo.page.model_card import read_model_card
    from demo.server.application import create_app
    from enhancer.inference.enhancer import Enhancer
    from enhancer.network.trained import CheckpointError
    from enhancer.system import compiler

    compiler.enable_cache()
    try:
        enhancer = Enhancer.load(arguments.workdir)
    except (CheckpointError, OSError) as error:
        raise _NoModel(str(error)) from None
    if enhancer.retouches:  # one program serves every photo: it is ready before one is dropped
        threading.Thread(target=enhancer.warm_up, daemon=True).start()
    else:
        _warm_up(enhancer)
    card = read_model_card(arguments.workdir, enhancer.description)
    return enhancer.description, create_app(
        enhancer,
        card,
        arguments.limits,
        queue,
        credentials,
        host=arguments.host,
        allowed_hosts=arguments.allowed_host,
    )


def _warm_up(enhancer: "Enhancer") -> None:
    """Compile what photos of all shapes need, so that time and memory are bounded afterwards."""
    import tqdm

    with tqdm.tqdm(desc="Preparing for the usual photo sizes", unit="size", smoothing=0) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        enhancer.warm_up(show, keep_to_these=True)


def _greet(host: str, port: int, model: str, *, has_login: bool) -> None:
    address = f"[{host}]" if ":" in host else host
    print(
        f"The page is open at http://{address}:{port} (Ctrl-C stops it). Model: {model}.",
        flush=True,
    )
    if not has_login and not ipaddress.ip_address(host).is_loopback:
        print(
            "Everybody who reaches this address can use it; "
            "--user and --password-file ask for a login.",
            flush=True,
        )


def _cannot_start(sentence: str) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return CANNOT_START


if __name__ == "__main__":
    sys.exit(main())
