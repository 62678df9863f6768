# SPDX-License-Identifier: Apache-2.0
"""An embedding service with one lane: requests are served one after the other, each for a fixed time.

A process of its own, so that it takes no time of the one that measures. What it answers is prepared once for
each number of texts. It notes when the first request came, when the last one ended, and for how long one was in
service; GET /busy tells, and GET /forget begins anew.
"""

from __future__ import annotations

import asyncio
import base64
import json
import multiprocessing
import struct
import time
import urllib.request
from dataclasses import dataclass, field


@dataclass
class Service:
    dims: int
    seconds: float
    lane: asyncio.Lock = field(default_factory=asyncio.Lock)
    answers: dict[tuple[int, bool], bytes] = field(default_factory=dict)
    first: float = 0.0
    last: float = 0.0
    busy: float = 0.0
    requests: int = 0
    texts: int = 0
    gaps: list[float] = field(default_factory=list)

    def answer(self, count: int, as_text: bool) -> bytes:
        """Vectors of a text's place alone: nobody looks at them here."""
        if (count, as_text) not in self.answers:
            data = []
            for index in range(count):
                vector = [0.0] * self.dims
                vector[index % self.dims] = 1.0
                packed = base64.b64encode(struct.pack(f"<{self.dims}f", *vector)).decode()
                data.append({"index": index, "embedding": packed if as_text else vector})
            body = json.dumps({"object": "list", "model": "slow", "data": data}).encode()
            self.answers[count, as_text] = body
        return self.answers[count, as_text]

    def forget(self) -> bytes:
        self.first = self.last = self.busy = 0.0
        self.requests = self.texts = 0
        self.gaps.clear()
        return b"{}"

    async def embed(self, body: bytes) -> bytes:
        asked = json.loads(body)
        count = len(asked["input"]) if isinstance(asked["input"], list) else 1
        answer = self.answer(count, asked.get("encoding_format") == "base64")
        async with self.lane:
            began = time.monotonic()
            if self.requests:
                self.gaps.append(began - self.last)
            self.first = self.first or began
            await asyncio.sleep(self.seconds)
            self.last = time.monotonic()
            self.busy += self.last - began
            self.requests += 1
            self.texts += count
        return answer

    def report(self) -> bytes:
        gaps = sorted(self.gaps)
        return json.dumps({
            "seconds": self.last - self.first, "busy": self.busy, "requests": self.requests,
            "texts": self.texts, "gaps_over_5_ms": sum(1 for gap in gaps if gap > 0.005),
            "longest_gap": gaps[-1] if gaps else 0.0,
        }).encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        size = int(line.partition(b":")[2])
                body = await reader.readexactly(size)
                if head.startswith(b"GET /busy"):
                    answer = self.report()
                elif head.startswith(b"GET /forget"):
                    answer = self.forget()
                else:
                    answer = await self.embed(body)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                             b"Content-Length: %d\r\n\r\n" % len(answer) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _run(dims: int, seconds: float, port) -> None:
    async def run() -> None:
        service = Service(dims, seconds)
        server = await asyncio.start_server(service.serve, "127.0.0.1", 0, limit=1 << 26)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


class OneAtATime:
    """Runs from `with` to its end."""

    def __init__(self, dims: int, seconds: float):
        ours, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=_run, args=(dims, seconds, theirs), daemon=True)
        self.process.start()
        self.url = f"http://127.0.0.1:{ours.recv()}"

    def __enter__(self) -> OneAtATime:
        return self

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.join()

    def _ask(self, path: str) -> dict:
        with urllib.request.urlopen(self.url + path, timeout=10) as reply:
            return json.load(reply)

    def busy(self) -> dict:
        return self._ask("/busy")

    def forget(self) -> None:
        self._ask("/forget")
