"""Storage and network needs (document, section 3.3) from formulas, each with its unit."""

from __future__ import annotations


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


def network_bits_s(rate: float, bytes_each: float, *, framing: float = 1.05) -> float:
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
