# mypy: ignore-errors
"""Sockets of every family, and other ways to reach a socket."""

from .tools import call, libc, managed


def connects(t):
    import socket

    socket.create_connection(("127.0.0.1", t["tcp"]), 1).sendall(b"out")


def connects_through_c(t):
    address = b"\x02\x00" + t["tcp"].to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
    handle = libc.socket(2, 1, 0)
    libc.connect(handle, address, 16)
    libc.send(handle, b"out", 3, 0)


def connects_with_its_first_bytes(t):
    address = b"\x02\x00" + t["tcp"].to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
    libc.sendto(libc.socket(2, 1, 0), b"out", 3, 0x20000000, address, 16)  # MSG_FASTOPEN
    libc.connect(libc.socket(2, 1, 0), address, 16)


def connects_by_many_paths(t):
    address = b"\x02\x00" + t["tcp"].to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
    libc.connect(libc.socket(2, 1, 262), address, 16)  # IPPROTO_MPTCP
    libc.connect(libc.socket(2, 1, 0), address, 16)


def sends_a_datagram(t):
    address = b"\x02\x00" + t["udp"].to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
    libc.sendto(libc.socket(2, 2, 0), b"out", 3, 0, address, 16)


def sends_a_datagram_by_ipv6(t):
    address = b"\x0a\x00" + t["udp"].to_bytes(2, "big") + bytes(4) + bytes(10) + b"\xff\xff\x7f\0\0\1" + bytes(4)
    libc.sendto(libc.socket(10, 2, 0), b"out", 3, 0, address, 28)


def speaks_to_a_unix_socket(t):
    handle = libc.socket(1, 1, 0)
    libc.connect(handle, b"\x01\x00" + t["unix"].encode() + b"\0", 2 + len(t["unix"]) + 1)
    libc.send(handle, b"out", 3, 0)


def speaks_to_an_abstract_socket(t):
    handle = libc.socket(1, 1, 0)
    libc.connect(handle, b"\x01\x00\0" + t["abstract"].encode(), 3 + len(t["abstract"]))
    libc.send(handle, b"out", 3, 0)


def fetches(t):
    import urllib.request

    urllib.request.urlopen(f"http://127.0.0.1:{t['tcp']}/", timeout=1)


def runs_a_loop_of_events(t):
    import asyncio

    asyncio.run(asyncio.wait_for(asyncio.open_connection("127.0.0.1", t["tcp"]), 1))


def looks_up_a_name(t):
    import socket

    return "done" if socket.getaddrinfo("localhost", 80) else None


def listens(t):
    handle = libc.socket(2, 1, 0)
    bound = libc.bind(handle, b"\x02\x00\x00\x00" + bytes(12), 16)
    return managed(min(handle, bound, libc.listen(handle, 1)))


def makes_a_pair(t):
    import ctypes

    return managed(libc.socketpair(1, 1, 0, (ctypes.c_int * 2)()))


def asks_for_routes(t):
    return managed(libc.socket(16, 3, 0))  # AF_NETLINK


def pings(t):
    return managed(libc.socket(2, 3, 1))  # raw ICMP


def sniffs(t):
    return managed(libc.socket(17, 3, 768))  # AF_PACKET


def reaches_the_kernels_ciphers(t):
    return managed(libc.socket(38, 5, 0))  # AF_ALG


def reaches_the_host_of_a_virtual_machine(t):
    handle = libc.socket(40, 1, 0)  # AF_VSOCK
    return managed(handle)


def opens_a_queue_to_a_ring(t):
    return managed(call("io_uring_setup", 8, bytes(120)))


def makes_a_bluetooth_or_can_socket(t):
    return managed(max(libc.socket(31, 3, 1), libc.socket(29, 3, 1), libc.socket(1, 5, 0)))


def opens_a_terminal_pair(t):
    import os

    return managed(min(os.openpty()))
