"""The port, which is tried before anything else is imported."""

import socket


def open_port(host: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        OSError: the port is taken, or the host is none of this computer's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(256)
    except BaseException:
        listening.close()
        raise
    return listening
