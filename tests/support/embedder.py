# SPDX-License-Identifier: Apache-2.0
"""An embedding service that counts what it is asked, and misbehaves when it is told to.

It speaks OpenAI's POST /v1/embeddings and Ollama's POST /api/embed. The vector of a text depends on
nothing but the text and the dimensions, so a test can say what a store must hold: `vector_of`.

    with Embedder(dims=64) as embedder:
        embedder.misbehave(Fault(status=429, retry_after="1"), times=3)
        ...
        assert embedder.count_of("a text") == 1
"""

from __future__ import annotations

import base64
import collections
import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy

from .double import DoubleHandler, DoubleServer, Orders


def vector_of(text: str, dims: int) -> numpy.ndarray:
    """Unit vector of 32-bit floats, drawn from the SHA-256 of the text."""
    seed = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    words = numpy.frombuffer(hashlib.shake_256(seed).digest(2 * dims), dtype="<i2")
    vector = words.astype(numpy.float64) + 0.5  # never the zero vector
    return (vector / numpy.linalg.norm(vector)).astype(numpy.float32)


@dataclass(frozen=True)
class Fault:
    """One way to misbehave. Several fields may be set at once."""

    delay_s: float = 0  # answers late; ends early when the embedder stops
    status: int = 0  # this status instead of vectors
    body: str = '{"error": {"message": "told to fail", "type": "test"}}'
    retry_after: str | None = None  # header, with `status`
    headers: Mapping[str, str] = field(default_factory=dict)  # further ones, with any answer
    dims: int | None = None  # vectors of other dimensions
    shuffle: bool = False  # reversed order with true `index` fields: legal with OpenAI
    wrong_index: bool = False  # every vector claims index 0
    count: int = 0  # so many vectors too many, or too few when negative
    not_a_number: bool = False  # the first component of the first vector is NaN
    zero: bool = False  # the first vector is all zeros
    not_json: bool = False  # status 200, a body that is no JSON
    cut: str | None = None  # closes the connection: "request" unanswered, or mid "body"


@dataclass(frozen=True)
class RequestSeen:
    at: float  # time.monotonic() of its arrival
    path: str
    texts: tuple[str, ...]
    status: int  # 0: the connection was cut
    headers: Mapping[str, str]
    body_bytes: int


class Embedder:
    """Serves on a free port of 127.0.0.1 from its construction to `stop`."""

    def __init__(self, dims: int = 64, port: int = 0, models: Sequence[str] = ()):
        self.dims = dims
        self.models = models  # that Ollama's interface lists
        self.base_delay_s = 0.0  # of every answer, may be set at any time
        self.text_delay_s = 0.0  # and for each of its texts
        self.cut_chars: int | None = None  # what is behind so many of a text decides nothing
        self._lock = threading.Lock()
        self._orders: Orders[Fault, Sequence[str]] = Orders(Fault())
        self._requests: list[RequestSeen] = []
        self._texts: collections.Counter[str] = collections.Counter()
        self._answered: collections.Counter[str] = collections.Counter()
        self._verified: collections.Counter[str] = collections.Counter()
        self._in_flight = 0
        self._max_in_flight = 0
        self._stopped = threading.Event()
        self._open = threading.Event()
        self._open.set()
        self._unheld: frozenset[str] = frozenset()
        self._server = DoubleServer(_Handler, self, port)

    def __enter__(self) -> Embedder:
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def stop(self) -> None:
        """Refuses connections from now on; open ones are closed."""
        if not self._stopped.is_set():
            self._stopped.set()
            self._open.set()
            self._server.end()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        """Of a driver `ollama`; with /v1 behind it of a driver `openai` (`openai_url`)."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    def vector(self, text: str) -> numpy.ndarray:
        return vector_of(text, self.dims)

    # What it was asked

    @property
    def requests(self) -> list[RequestSeen]:
        with self._lock:
            return list(self._requests)

    @property
    def request_count(self) -> int:
        with self._lock:
            return len(self._requests)

    @property
    def text_count(self) -> int:
        """Texts asked for, each time counted, whatever was answered."""
        with self._lock:
            return self._texts.total()

    @property
    def answered_count(self) -> int:
        """Texts whose vectors were sent, each time counted: what would have been paid for."""
        with self._lock:
            return self._answered.total()

    @property
    def texts(self) -> collections.Counter[str]:
        """How often each text was asked for."""
        with self._lock:
            return collections.Counter(self._texts)

    @property
    def answered(self) -> collections.Counter[str]:
        with self._lock:
            return collections.Counter(self._answered)

    @property
    def verified(self) -> collections.Counter[str]:
        """Of those, what verifications asked for, as they say themselves."""
        with self._lock:
            return collections.Counter(self._verified)

    @property
    def in_flight(self) -> int:
        """Requests that wait for their answer."""
        with self._lock:
            return self._in_flight

    @property
    def max_in_flight(self) -> int:
        with self._lock:
            return self._max_in_flight

    def count_of(self, text: str) -> int:
        with self._lock:
            return self._texts[text]

    def reset_counts(self) -> None:
        with self._lock:
            self._requests.clear()
            self._texts.clear()
            self._answered.clear()
            self._verified.clear()
            self._max_in_flight = self._in_flight

    # How it behaves

    def misbehave(
        self,
        fault: Fault,
        times: int | None = None,
        when: Callable[[Sequence[str]], bool] | None = None,
    ) -> None:
        """From the next request on: `times` requests (None: until `behave`), of those that `when`
        accepts by their texts. Earlier orders go first."""
        self._orders.give(fault, times, when)

    def behave(self) -> None:
        self._orders.clear()

    @contextlib.contextmanager
    def held(self, but: Sequence[str] = ("vectail",)) -> Iterator[None]:
        """Nobody is answered meanwhile, but who asks for nothing else than `but`."""
        self._unheld = frozenset(but)
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    # Called by the handler's threads

    def begin(self, texts: Sequence[str]) -> Fault:
        with self._lock:
            self._in_flight += 1
            self._max_in_flight = max(self._max_in_flight, self._in_flight)
            self._texts.update(texts)
        if not self._unheld.issuperset(texts):
            self._open.wait()
        fault = self._orders.take(texts)
        delay_s = self.base_delay_s + self.text_delay_s * len(texts) + fault.delay_s
        if delay_s:
            self._stopped.wait(delay_s)
        return fault

    def end(self, seen: RequestSeen) -> None:
        with self._lock:
            self._in_flight -= 1
            self._requests.append(seen)
            if seen.status == 200:
                self._answered.update(seen.texts)
                if "(verify)" in seen.headers.get("user-agent", ""):
                    self._verified.update(seen.texts)


class _Handler(DoubleHandler):
    def do_GET(self) -> None:
        """Ollama's list of models."""
        if self.path != "/api/tags":
            self.send(404, b'{"error": {"message": "no such call"}}')
            return
        models = [{"name": name, "digest": "0" * 64} for name in self.server.double.models]
        self.send(200, json.dumps({"models": models}).encode())

    def do_POST(self) -> None:
        arrived = time.monotonic()
        body = self.read_body()
        answer = {"/v1/embeddings": _openai_answer, "/api/embed": _ollama_answer}.get(self.path)
        question = _parse(body)
        if answer is None or question is None:
            self.send(404 if answer is None else 400, b'{"error": {"message": "no such call"}}')
            return
        texts, dims = question.texts, question.dims or self.server.double.dims
        fault = self.server.double.begin(texts)
        answered: bytes | None = None
        if not fault.status and fault.cut != "request":
            cut = [text[: self.server.double.cut_chars] for text in texts]
            vectors = answer(replace(question, texts=cut), fault, fault.dims or dims)
            answered = b"<html>not JSON</html>" if fault.not_json else json.dumps(vectors).encode()
        status = 0 if fault.cut else fault.status or 200
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = RequestSeen(arrived, self.path, tuple(texts), status, headers, len(body))
        # Counted before the first byte goes out: who has an answer finds it counted.
        self.server.double.end(seen)
        self._answer(fault, answered)

    def _answer(self, fault: Fault, body: bytes | None) -> None:
        headers = dict(fault.headers)
        if fault.cut == "request":
            self.cut()
        elif body is None:
            if fault.retry_after is not None:
                headers["Retry-After"] = fault.retry_after
            self.send(fault.status, fault.body.encode(), headers)
        elif fault.cut == "body":
            self.send(200, body, headers, only_bytes=len(body) // 2)
            self.cut()
        else:
            self.send(200, body, headers)


@dataclass(frozen=True)
class _Question:
    texts: list[str]
    dims: int | None
    base64: bool
    model: str


def _parse(body: bytes) -> _Question | None:
    try:
        question = json.loads(body)
        given = question["input"]
    except (ValueError, KeyError, TypeError):
        return None
    texts = [given] if isinstance(given, str) else given
    if not all(isinstance(text, str) for text in texts):
        return None
    in_base64 = question.get("encoding_format") == "base64"
    return _Question(texts, question.get("dimensions"), in_base64, question.get("model", ""))


def _vectors(question: _Question, fault: Fault, dims: int) -> list[numpy.ndarray]:
    vectors = [vector_of(text, dims) for text in question.texts]
    if fault.count > 0:
        vectors += [vector_of("one too many", dims)] * fault.count
    elif fault.count < 0:
        del vectors[fault.count :]
    if vectors and fault.not_a_number:
        vectors[0][0] = numpy.nan
    if vectors and fault.zero:
        vectors[0][:] = 0
    return vectors


def _openai_answer(question: _Question, fault: Fault, dims: int) -> dict:
    def written(vector: numpy.ndarray) -> str | list[float]:
        if question.base64:
            return base64.b64encode(vector.astype("<f4").tobytes()).decode()
        return vector.tolist()

    rows = [
        {"object": "embedding", "index": 0 if fault.wrong_index else index, "embedding": written(v)}
        for index, v in enumerate(_vectors(question, fault, dims))
    ]
    if fault.shuffle:
        rows.reverse()
    tokens = sum(len(text) // 4 + 1 for text in question.texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": rows, "model": question.model, "usage": usage}


def _ollama_answer(question: _Question, fault: Fault, dims: int) -> dict:
    rows = [vector.tolist() for vector in _vectors(question, fault, dims)]
    return {"model": question.model, "embeddings": rows, "total_duration": 1, "load_duration": 1}
