"""Refusals of the server: a status code by its gRPC name, and TensorFlow Serving's text."""

from __future__ import annotations

HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}

LONGEST_TEXT = 1024


class ServingError(Exception):
    """A request that the server refuses.

    Parameters
    ----------
    code : str
        Name of the gRPC status code.
    text : str
        What the client is told; longer than 1,024 characters it is cut, as TensorFlow Serving does.

    Examples
    --------
    >>> ServingError("NOT_FOUND", "Servable not found for request: Latest(m)").http_status
    404
    """

    def __init__(self, code: str, text: str) -> None:
        if len(text) > LONGEST_TEXT:
            text = text[:LONGEST_TEXT] + "...TRUNCATED"
        super().__init__(text)
        self.code = code
        self.text = text

    @property
    def http_status(self) -> int:
        """The status that the REST API gives for the same error."""
        return HTTP_STATUS.get(self.code, 500)
