"""Put on PYTHONPATH to block the network: no process may look up or reach anything but loopback."""

import ipaddress
import sys

_LOCAL_NAMES = {"localhost", "", None}


def _is_local(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode()
    if host in _LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(str(host))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _block(event: str, args: tuple) -> None:
    if event in ("socket.connect", "socket.sendto") and isinstance(args[1], tuple):
        host = args[1][0]
    elif event == "socket.getaddrinfo":
        host = args[0]
    else:
        return
    if not _is_local(host):
        raise OSError(f"the network is blocked: {event} {host!r}")


sys.addaudithook(_block)
