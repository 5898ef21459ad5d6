"""A real Prometheus on the loopback interface: it scrapes servers and answers PromQL."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import pandas as pd

from capkit.monitoring.rules import scrape_config

INSTALL = "Prometheus is not installed (Debian: apt-get install prometheus)"


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Prometheus:
    """Prometheus in a process of its own, for as long as the context lasts.

    Parameters
    ----------
    servers : mapping of str to str
        REST address of each server by the name that the label ``instance`` shall have.
    scrape_s : float
        Seconds between scrapes.
    rules : str
        Alert rules as YAML (`alert_rules`).
    timeout_s : float
        How long it may take to start.

    Raises
    ------
    FileNotFoundError
        The program is not installed; `Prometheus.installed` says so before.
    RuntimeError
        It ended or did not get ready in time, with its last words.
    """

    def __init__(
        self,
        servers: Mapping[str, str],
        *,
        scrape_s: float = 1.0,
        rules: str = "",
        timeout_s: float = 30.0,
    ) -> None:
        program = shutil.which("prometheus")
        if program is None:
            raise FileNotFoundError(INSTALL)
        self._folder = Path(tempfile.mkdtemp(prefix="capkit-prometheus-"))
        targets = {name: urlsplit(url).netloc for name, url in servers.items()}
        config = scrape_config(
            targets, scrape_s=scrape_s, rule_files=["rules.yml"] if rules else []
        )
        (self._folder / "rules.yml").write_text(rules or "groups: []\n", encoding="utf-8")
        (self._folder / "prometheus.yml").write_text(config, encoding="utf-8")
        self.url = f"http://127.0.0.1:{free_port()}"
        command = [program, f"--config.file={self._folder}/prometheus.yml", "--log.level=warn"]
        command += [f"--web.listen-address={urlsplit(self.url).netloc}"]
        command += [f"--storage.tsdb.path={self._folder}/data"]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            self._await(time.monotonic() + timeout_s)
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def installed() -> bool:
        """Whether the program is here."""
        return shutil.which("prometheus") is not None

    def wait(self, timeout_s: float = 30.0) -> None:
        """Wait until every server has been scraped; the first scrape comes about 5 s after the start."""
        deadline = time.monotonic() + timeout_s
        while self.query("up == 0 or absent(up)").size:
            if time.monotonic() > deadline:
                raise RuntimeError(f"not scraped in {timeout_s:g} s: {self.query('up == 0')}")
            time.sleep(0.1)

    def query(self, expression: str) -> pd.DataFrame:
        """The answer now: one row a series, its labels and ``value``; `ValueError` if PromQL rejects it."""
        content = self._get("/api/v1/query", query=expression)
        found = content["data"]["result"]
        if content["data"]["resultType"] == "scalar":
            found = [{"metric": {}, "value": found}]
        return pd.DataFrame([{**row["metric"], "value": float(row["value"][1])} for row in found])

    def value(self, expression: str) -> float:
        """The answer of an expression with one; `ValueError` for none or several."""
        table = self.query(expression)
        if len(table) != 1:
            raise ValueError(f"{len(table)} series answer {expression!r}, not one")
        return float(table["value"].iloc[0])

    def stop(self) -> None:
        """End the process and remove its data."""
        self._process.terminate()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Prometheus:
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()

    def _await(self, deadline: float) -> None:
        while True:
            try:
                with urlopen(f"{self.url}/-/ready", timeout=1.0):
                    return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    words = (self._folder / "log").read_text(encoding="utf-8")[-2000:]
                    raise RuntimeError(f"Prometheus did not get ready: {words}") from None
            time.sleep(0.05)

    def _get(self, path: str, **fields: str) -> Any:
        try:
            with urlopen(f"{self.url}{path}?{urlencode(fields)}", timeout=10.0) as answer:
                return json.load(answer)
        except HTTPError as refusal:
            raise ValueError(f"Prometheus refuses {fields}: {refusal.read().decode()}") from None
