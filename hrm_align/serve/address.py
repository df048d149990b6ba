"""Addresses that a server listens at."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress

from hrm_align.errors import UserError


def bind(host: str, port: int) -> socket.socket:
    """Bind a socket that does not listen yet. Raises UserError if the address cannot be used."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise UserError(
            f"cannot listen at {host}, port {port}: {error.strerror or error}. Choose others with --host and --port."
        ) from None
    return bound


def url_of(host: str, port: int) -> str:
    """Return the address of a server for people and programs of this machine."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Return whether an address, or the name localhost, is reached from this machine only."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() == "localhost"
