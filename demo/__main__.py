"""`python -m demo`: open the page in a browser on this computer."""

import dataclasses
import gc
import logging
import os
import socket
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from demo.photos.limits import Limits
from demo.photos.photo_queue import PhotoQueue
from demo.photos.visitor import is_loopback
from demo.server.credentials import Credentials, read_credentials
from demo.server.stop_signal import StopSignal
from demo.server.temporary_files import private_folder
from enhancer.system.errors import EnhancerError

if TYPE_CHECKING:
    from enhancer.inference.enhancer import Enhancer

# What needs gradio is imported when the port answers, and Keras when the page is there.

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
    with StopSignal() as stop:
        arguments = tyro.cli(Arguments, args=argv, prog="python -m demo")
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
        logging.getLogger("demo").setLevel(logging.INFO)
        try:
            credentials = read_credentials(arguments.user, arguments.password_file, os.environ)
            with _listen(arguments.host, arguments.port) as listening, private_folder():
                model = _serve(arguments, credentials, listening, stop)
        except (EnhancerError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return CANNOT_START
        print("Stopped.", flush=True)
        if not model.done():
            os._exit(STOPPED)  # a thread that compiles does not survive the interpreter's end
        return STOPPED


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=256)
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number and number > 0 else error
        raise EnhancerError(f"port {port} of {host} cannot be opened ({reason})") from None


def _serve(
    arguments: Arguments,
    credentials: Credentials | None,
    listening: socket.socket,
    stop: StopSignal,
) -> "Future[Enhancer]":
    """Serve until `stop`; return the model. Raises whatever it cannot be loaded for.

    The page needs no model: that is loaded when the page is there, because both would be late if
    they were imported at the same time.
    """
    from demo.server.http_server import STARTING, finish, running, share_arenas

    share_arenas()
    queue, model = PhotoQueue(arguments.limits), Future()
    gc.disable()  # nothing that is imported becomes garbage, and looking for it takes a tenth
    with running(STARTING, listening):
        from demo.page.model_card import read_model_card

        card = read_model_card(arguments.workdir)
        from demo.server.application import create_app

        hosts = {"host": arguments.host, "allowed_hosts": arguments.allowed_host}
        app = create_app(model, card, arguments.limits, queue, credentials, **hosts)
    gc.freeze()
    gc.enable()
    with running(app, listening):
        _greet(*listening.getsockname()[:2], has_login=credentials is not None)
        threading.Thread(target=_load, args=(arguments.workdir, model), daemon=True).start()
        while not stop.is_told and not (model.done() and model.exception()):
            time.sleep(0.1)
        if not stop.is_told:
            model.result()  # raises
        finish(queue)
    return model


def _load(workdir: Path | None, model: "Future[Enhancer]") -> None:
    """Load the model and compile all that it needs, so that later time and memory are bounded."""
    try:
        from enhancer.inference.enhancer import Enhancer
        from enhancer.system import compiler
        from enhancer.system.progress import progress_bar

        compiler.enable_cache()
        enhancer = Enhancer.load(workdir)
        with progress_bar(desc="Preparing the model", unit="size", smoothing=0) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            enhancer.warm_up(show, keep_to_these=True)
        print(f"The model is ready: {enhancer.description}.", flush=True)
        model.set_result(enhancer)
    except BaseException as error:
        model.set_exception(error)


def _greet(host: str, port: int, *, has_login: bool) -> None:
    address = f"[{host}]" if ":" in host else host
    print(f"The page is open at http://{address}:{port} (Ctrl-C stops it).", flush=True)
    if not has_login and not is_loopback(host):
        print(
            "Everybody who reaches this address can use it; "
            "--user and --password-file ask for a login.",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
