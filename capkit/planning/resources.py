"""Storage and network needs (document, section 3.3) from formulas, each with its unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capkit.serving import ServiceProfile

FIBRE_KM_S = 200_000.0  # light in glass
FRAMING = 1.05  # bytes on the wire over the payload, for messages of a few kilobytes


def _checked(**values: float) -> None:
    for name, value in values.items():
        if not value >= 0.0:
            raise ValueError(f"{name} must be a number of at least 0, got {value}")


def storage_bytes(bytes_each: float, items: float, *, copies: int = 1, kept: float = 1.0) -> float:
    """Bytes to store: ``bytes_each * items * copies * kept``.

    Parameters
    ----------
    bytes_each, items : float
        Bytes of one item (an image, a model version, a line of a log), and how many; where they keep
        coming, how many in one period.
    copies : int
        Replicas.
    kept : float
        Periods for which items are kept.

    A log of 100 bytes a request at 10,000 requests/s, kept for 30 days, in terabytes:

    >>> storage_bytes(100, 10_000 * 86_400, kept=30) / 1e12
    2.592
    """
    _checked(bytes_each=bytes_each, items=items, copies=copies, kept=kept)
    return bytes_each * items * copies * kept


def network_bits_s(rate: float, bytes_each: float, *, framing: float = FRAMING) -> float:
    """Bits a second on the wire: ``8 * rate * bytes_each * framing``.

    Parameters
    ----------
    rate, bytes_each : float
        Messages a second, and the payload of one.
    framing : float
        Headers of Ethernet, IP, TCP and HTTP/2 over the payload: 1.05 for messages of a few kilobytes.

    >>> network_bits_s(10_000.0, 3_200.0, framing=1.0)
    256000000.0
    """
    _checked(rate=rate, bytes_each=bytes_each, framing=framing)
    return 8.0 * rate * bytes_each * framing


def transfer_s(total_bytes: float, bits_s: float) -> float:
    """Seconds to move ``total_bytes`` over a link of ``bits_s``: a model to a new server.

    >>> transfer_s(1.25e9, 1e9)
    10.0
    """
    _checked(total_bytes=total_bytes)
    if not bits_s > 0.0:
        raise ValueError(f"bits_s must be positive, got {bits_s}")
    return 8.0 * total_bytes / bits_s


def round_trip_s(distance_km: float, total_bytes: float, bits_s: float) -> float:
    """Seconds that the network adds to a request: there and back in glass, and the bytes of both messages.

    >>> round(round_trip_s(1000.0, 125_000.0, 1e8), 6)
    0.02
    """
    _checked(distance_km=distance_km)
    return 2.0 * distance_km / FIBRE_KM_S + transfer_s(total_bytes, bits_s)


def request_needs(
    service: ServiceProfile, *, log_bytes: float = 0.0, log_kept_s: float = 0.0
) -> dict[str, float]:
    """What one request a second asks of a machine besides its servers: ``per_request`` of a plan.

    Parameters
    ----------
    service : ServiceProfile
        Sizes of the two messages.
    log_bytes, log_kept_s : float
        Line that a request leaves on the machine's disk, and how long it stays there.

    Returns
    -------
    dict
        ``network_in_mbit_s``, ``network_out_mbit_s``, ``disk_mb_s`` (writing) and ``disk_gb``.

    >>> from types import SimpleNamespace
    >>> service = SimpleNamespace(request_bytes=1000, response_bytes=100)
    >>> {name: round(each, 9) for name, each in request_needs(service, log_bytes=100, log_kept_s=3600).items()}
    {'network_in_mbit_s': 0.0084, 'network_out_mbit_s': 0.00084, 'disk_mb_s': 0.0001, 'disk_gb': 0.00036}
    """
    return {
        "network_in_mbit_s": network_bits_s(1.0, service.request_bytes) / 1e6,
        "network_out_mbit_s": network_bits_s(1.0, service.response_bytes) / 1e6,
        "disk_mb_s": storage_bytes(log_bytes, 1.0) / 1e6,
        "disk_gb": storage_bytes(log_bytes, 1.0, kept=log_kept_s) / 1e9,
    }
