"""Ports of this machine that a server listens at."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from physworld.errors import UserError

LOCAL = ("127.0.0.1", "localhost", "[::1]", "testserver")  # what requests may call a server of this machine alone


@contextmanager
def listening(host: str, port: int) -> Iterator[tuple[socket.socket, str]]:
    """A socket that listens (who is told its address may ask at once), and the address without a path.

    Raises:
        UserError: the host is none of this machine, or the port is taken.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            place.bind((host, port))
        except OSError as error:
            raise UserError(unbound(host, port, error)) from None
        place.listen()
        yield place, f"http://{f'[{host}]' if ':' in host else host}:{place.getsockname()[1]}"


def names_of(host: str) -> tuple[str, ...]:
    """What requests to a server at this host may call it."""
    return LOCAL if host in ("127.0.0.1", "localhost", "::1") else ("*",)


def unbound(host: str, port: int, error: OSError) -> str:
    """Why a server cannot listen: the host is none of this machine, or the port is taken."""
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"--host {host} is no address of this machine ({error.strerror}); leave it out, or choose 0.0.0.0."
    return f"--port {port} of {host} cannot be used ({error.strerror}); choose another one."
