"""The ledger: predict, lock, measure, report - what every model said of a server before it was measured."""

from capkit.ledger.command import main
from capkit.ledger.lock import read_lock, write_lock
from capkit.ledger.measurement import lock_path, measure, measure_load
from capkit.ledger.predictions import LOADS, lock_predictions
from capkit.ledger.recorded import play_recorded
from capkit.ledger.report import entries, read_ledger, read_parts
from capkit.ledger.subject import DEVICE, Subject, calibrate, device_subject

__all__ = [
    "DEVICE",
    "LOADS",
    "Subject",
    "calibrate",
    "device_subject",
    "entries",
    "lock_path",
    "lock_predictions",
    "main",
    "measure",
    "measure_load",
    "play_recorded",
    "read_ledger",
    "read_lock",
    "read_parts",
    "write_lock",
]
