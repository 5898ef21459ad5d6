"""The originals behind the tables: read from a folder, fetched, checked."""

import gzip
import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pytest

from capkit import datasets

# ----- the originals


def place(folder, name, content, monkeypatch, **fields):
    """Put ``content`` where CAPKIT_DATA has the original, with other expected fields."""
    from dataclasses import replace

    original = datasets.ORIGINALS[name]
    path = folder / original.local
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    monkeypatch.setenv("CAPKIT_DATA", str(folder))
    monkeypatch.setitem(datasets.ORIGINALS, name, replace(original, **fields))
    return path


def test_an_original_is_read_from_the_folder_packed_anew_or_not(tmp_path, monkeypatch):
    text = b"TIMESTAMP\n"
    unpacked = hashlib.sha256(text).hexdigest()
    for content in (text, gzip.compress(text)):
        path = place(
            tmp_path, "azure_llm_2023_chat", content, monkeypatch, unpacked_sha256=unpacked
        )
        assert datasets.fetch("azure_llm_2023_chat") == path


def test_a_changed_or_damaged_original_in_the_folder_is_refused(tmp_path, monkeypatch):
    packed = gzip.compress(b"TIMESTAMP\n" * 99)
    for content, message in (
        (b"TIMESTAMP\n", "is not the original: its checksum differs"),
        (packed, "is not the original: its checksum differs"),
        (packed[:-9], "is damaged or cut off"),
    ):
        place(tmp_path, "azure_llm_2023_chat", content, monkeypatch)
        with pytest.raises(ValueError, match=message):
            datasets.fetch("azure_llm_2023_chat")


def test_all_originals_of_the_folder_are_the_ones_at_their_sources():
    folder = os.environ.get("CAPKIT_DATA")
    if not folder:
        pytest.skip("set CAPKIT_DATA to the folder of the originals that data/README.md lists")
    found = [
        datasets.fetch(name)
        for name, original in datasets.ORIGINALS.items()
        if (Path(folder) / original.local).is_file()
    ]
    assert len(found) >= 8


def test_keras_digits_come_from_its_file(tmp_path, monkeypatch):
    x_train, y_train, x_test, y_test = datasets.load_mnist()
    buffer = io.BytesIO()
    np.savez(buffer, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    place(tmp_path, "mnist_keras", buffer.getvalue(), monkeypatch, unpacked_sha256=digest)
    assert (datasets.load_mnist("keras")[3] == y_test).all()


def test_without_a_network_fetch_says_what_still_works(tmp_path, monkeypatch):
    monkeypatch.delenv("CAPKIT_DATA", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path)

    def refuse(*args, **kwargs):
        raise OSError("the network is blocked")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    with pytest.raises(ConnectionError, match=r"Every chapter works without it.*CAPKIT_DATA"):
        datasets.fetch("asg_cpu")


def test_a_download_is_checked_and_kept(tmp_path, monkeypatch):
    from dataclasses import replace
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    source, cache = tmp_path / "source", tmp_path / "cache"
    source.mkdir()
    (source / "cpu.csv").write_bytes(b"timestamp,value\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(source)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        original = replace(
            datasets.ORIGINALS["asg_cpu"],
            url=f"http://127.0.0.1:{server.server_port}/cpu.csv",
            sha256=hashlib.sha256(b"timestamp,value\n").hexdigest(),
        )
        monkeypatch.delenv("CAPKIT_DATA", raising=False)
        monkeypatch.setattr("pooch.os_cache", lambda name: cache)
        monkeypatch.setitem(datasets.ORIGINALS, "asg_cpu", original)
        assert datasets.fetch("asg_cpu").read_bytes() == b"timestamp,value\n"
        monkeypatch.setitem(datasets.ORIGINALS, "asg_cpu", replace(original, sha256="0" * 64))
        with pytest.raises(ValueError, match="hash"):
            datasets.fetch("asg_cpu")
    finally:
        server.shutdown()
        server.server_close()
