# SPDX-License-Identifier: Apache-2.0
"""A probe of a rendered container, asked for as a kubelet does."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import time
from collections.abc import Callable

Object = dict


class Probe:
    PASSED, FAILED, OPEN = "passed", "failed", "open"

    def __init__(
        self,
        spec: Object,
        ip: str,
        ports: list[Object],
        run: Callable[[list[str], float], subprocess.CompletedProcess],
    ):
        self.spec = spec
        self.ip = ip
        self.ports = ports
        self.run = run
        self.passed = False
        self.last = "never asked"
        self._good = self._bad = 0  # answers in a row
        self._due = time.monotonic() + spec.get("initialDelaySeconds", 0)

    def look(self) -> str:
        """Asks when it is due. FAILED when as many in a row failed as may not."""
        if time.monotonic() < self._due:
            return self.OPEN
        good = self._ask()
        self._due = time.monotonic() + self.spec.get("periodSeconds", 10)
        self._good, self._bad = (self._good + 1, 0) if good else (0, self._bad + 1)
        if self._good >= self.spec.get("successThreshold", 1):
            self.passed = True
            return self.PASSED
        if self._bad >= self.spec.get("failureThreshold", 3):
            self.passed = False
            return self.FAILED
        return self.OPEN

    def _ask(self) -> bool:
        timeout = self.spec.get("timeoutSeconds", 1)
        try:
            if "httpGet" in self.spec:
                return self._get(self.spec["httpGet"], timeout)
            if "tcpSocket" in self.spec:
                port = self._port(self.spec["tcpSocket"]["port"])
                socket.create_connection((self.ip, port), timeout).close()
                return True
            done = self.run(self.spec["exec"]["command"], timeout)
        except (OSError, http.client.HTTPException, subprocess.TimeoutExpired) as error:
            self.last = repr(error)
            return False
        self.last = done.stdout + done.stderr
        return done.returncode == 0

    def _get(self, get: Object, timeout: float) -> bool:
        """Certificates are not verified: no kubelet does."""
        where = get.get("host", self.ip), self._port(get["port"])
        if get.get("scheme", "HTTP") == "HTTPS":
            context = ssl._create_unverified_context()  # noqa: S323
            connection = http.client.HTTPSConnection(*where, timeout=timeout, context=context)
        else:
            connection = http.client.HTTPConnection(*where, timeout=timeout)
        headers = {one["name"]: one["value"] for one in get.get("httpHeaders", [])}
        try:
            connection.request("GET", get.get("path", "/"), headers=headers)
            reply = connection.getresponse()
            self.last = f"{reply.status} {reply.read(500).decode('utf-8', 'replace')}"
            return 200 <= reply.status < 400
        finally:
            connection.close()

    def _port(self, port: int | str) -> int:
        if isinstance(port, int):
            return port
        return next(one["containerPort"] for one in self.ports if one.get("name") == port)
