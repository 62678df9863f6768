# SPDX-License-Identifier: Apache-2.0
"""Deployments and StatefulSets of a rendered manifest, brought about as their controllers would.

    with Cluster(directory, images) as cluster:
        cluster.apply(manifest)
        cluster.wait_rolled(120)
        cluster.restart()          # kubectl rollout restart of all; or apply() of another render
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from localservers import packages
from localservers.common import TookTooLong, wait_until

from .manifest import Manifest, Object, PodFacts
from .pods import Image, Pod

TICK_S = 0.05


class Workload:
    """What Deployments and StatefulSets have in common: pods of the newest template, and older ones."""

    def __init__(self, cluster: Cluster, one: Object):
        self.cluster = cluster
        self.pods: list[Pod] = []  # also those that are ending
        self.hashes: dict[Pod, str] = {}
        self.replace(one)

    def replace(self, one: Object) -> None:
        self.object = one
        self.name = one["metadata"]["name"]
        self.replicas: int = one["spec"].get("replicas", 1)
        self.template = one["spec"]["template"]
        text = json.dumps(self.template, sort_keys=True)
        self.hash = hashlib.sha256(text.encode()).hexdigest()[:10]

    def restart(self, moment: str) -> None:
        one = copy.deepcopy(self.object)
        metadata = one["spec"]["template"].setdefault("metadata", {})
        annotations = metadata.get("annotations") or {}
        metadata["annotations"] = annotations | {"kubectl.kubernetes.io/restartedAt": moment}
        self.replace(one)

    def create(self, name: str) -> None:
        pod = self.cluster.pod(name, self.template)
        self.hashes[pod] = self.hash
        self.pods.append(pod)

    def forget_gone(self) -> None:
        self.pods = [pod for pod in self.pods if not pod.gone.is_set()]

    def present(self) -> list[Pod]:
        return [pod for pod in self.pods if not pod.stopping.is_set()]

    def is_new(self, pod: Pod) -> bool:
        return self.hashes[pod] == self.hash

    def available(self, pod: Pod) -> bool:
        least = self.object["spec"].get("minReadySeconds", 0)
        since = pod.ready_since
        return since is not None and time.monotonic() - since >= least

    def rolled(self) -> bool:
        pods = self.pods
        good = [pod for pod in pods if self.is_new(pod) and self.available(pod)]
        return len(pods) == len(good) == self.replicas

    def step(self) -> None:
        raise NotImplementedError


class Deployment(Workload):
    def step(self) -> None:
        """One look of the controller. Pods that are ending count neither as old nor as new."""
        self.forget_gone()
        new = [pod for pod in self.present() if self.is_new(pod)]
        old = [pod for pod in self.present() if not self.is_new(pod)]
        surge, unavailable = self._bounds()
        if self.object["spec"].get("strategy", {}).get("type") == "Recreate":
            for pod in old:
                pod.delete()
            room = 0 if any(not self.is_new(pod) for pod in self.pods) else self.replicas
        else:
            self._scale_down(new, old, unavailable)
            room = self.replicas + surge - len(old)
        for _ in range(min(self.replicas, room) - len(new)):
            suffix = "".join(self.cluster.random.choices("bcdfghjklmnpqrstvwxz2456789", k=5))
            self.create(f"{self.name}-{self.hash}-{suffix}")
        for pod in new[self.replicas :]:
            pod.delete()

    def _scale_down(self, new: list[Pod], old: list[Pod], unavailable: int) -> None:
        """Those that serve nobody first; never below what has to be available."""
        least = self.replicas - unavailable
        missing = sum(not self.available(pod) for pod in new)
        spare = len(new) + len(old) - least - missing
        for pod in sorted(old, key=self.available):
            good = sum(self.available(one) for one in [*new, *old] if not one.stopping.is_set())
            if spare > 0 and (not self.available(pod) or good > least):
                pod.delete()
                spare -= 1

    def _bounds(self) -> tuple[int, int]:
        rolling = self.object["spec"].get("strategy", {}).get("rollingUpdate") or {}
        surge = _share(rolling.get("maxSurge", "25%"), self.replicas, math.ceil)
        unavailable = _share(rolling.get("maxUnavailable", "25%"), self.replicas, math.floor)
        return surge, unavailable if surge or unavailable else 1


class StatefulSet(Workload):
    def step(self) -> None:
        self.forget_gone()
        by_name = {pod.name: pod for pod in self.pods}
        for number in itertools.count(self.replicas):
            if (pod := by_name.get(f"{self.name}-{number}")) is None:
                break
            pod.delete()
        ordered = self.object["spec"].get("podManagementPolicy", "OrderedReady") == "OrderedReady"
        for number in range(self.replicas):
            pod = by_name.get(f"{self.name}-{number}")
            if pod is None:
                self.create(f"{self.name}-{number}")
            if ordered and (pod is None or not pod.ready()):
                return
        if self.object["spec"].get("updateStrategy", {}).get("type") != "OnDelete":
            self._update(by_name)

    def _update(self, by_name: dict[str, Pod]) -> None:
        """From the last to the first; the next when this one is ready again."""
        for number in reversed(range(self.replicas)):
            pod = by_name.get(f"{self.name}-{number}")
            if pod is None or pod.stopping.is_set():
                return
            if not self.is_new(pod):
                pod.delete()
                return
            if not self.available(pod):
                return


KINDS: dict[str, type[Workload]] = {"Deployment": Deployment, "StatefulSet": StatefulSet}


class Cluster:
    """Carries out what was applied, in a thread, until it is closed."""

    def __init__(self, directory: Path, images: Callable[[str], Image]):
        packages.need_programs("bwrap")
        self.directory = directory
        self.images = images
        self.random = random.Random(4711)
        self.workloads: dict[tuple[str, str], Workload] = {}
        self.manifest = Manifest([])
        self.all_pods: list[Pod] = []  # those that are gone, too
        self.failure: BaseException | None = None
        self._addresses = _addresses()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._control, daemon=True, name="controllers")

    def __enter__(self) -> Cluster:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        self._thread.join(30)
        for pod in self.all_pods:
            pod.delete()
        for pod in self.all_pods:
            pod.gone.wait(pod.grace_s + 60)

    # What persons do

    def apply(self, manifest: Manifest) -> None:
        """`helm install` or `upgrade`: workloads that are in it no more are taken away."""
        with self._lock:
            self.manifest = manifest
            wanted = {(w["kind"], w["metadata"]["name"]): w for w in manifest.of_kind(*KINDS)}
            for key in self.workloads.keys() - wanted.keys():
                self.workloads[key].replicas = 0
            for key, one in wanted.items():
                if key in self.workloads:
                    self.workloads[key].replace(one)
                else:
                    self.workloads[key] = KINDS[key[0]](self, one)

    def restart(self) -> None:
        """`kubectl rollout restart` of everything, at the same time."""
        with self._lock:
            for workload in self.workloads.values():
                workload.restart(str(time.time()))

    def job(self, template: Object, name: str) -> Pod:
        """One pod that ends by itself: of a Job, or of `helm test`."""
        with self._lock:
            return self.pod(name, template)

    def rolled(self) -> bool:
        """Whether there are exactly the pods asked for, of the newest templates, all ready."""
        self.check()
        with self._lock:
            return all(workload.rolled() for workload in self.workloads.values())

    def wait_rolled(self, deadline_s: float) -> None:
        try:
            wait_until(self.rolled, deadline_s, "all pods to be new and ready", TICK_S)
        except TookTooLong as error:
            raise TookTooLong(f"{error}\n{self.explain()}") from None

    # What came of it

    def pods_of(self, name: str) -> list[Pod]:
        """Those of a workload that are not ending."""
        with self._lock:
            found = [w for (_, n), w in self.workloads.items() if n == name]
            return [pod for workload in found for pod in workload.present()]

    def check(self) -> None:
        """Nothing has failed that a person would have to mend."""
        if self.failure is not None:
            raise RuntimeError("a controller failed") from self.failure
        for pod in self.all_pods:
            if pod.failure is not None:
                raise RuntimeError(pod.explain()) from pod.failure

    def explain(self) -> str:
        return "\n".join(pod.explain() for pod in self.all_pods if not pod.gone.is_set())

    def pod(self, name: str, template: Object) -> Pod:
        metadata = template.get("metadata") or {}
        facts = PodFacts(
            name=name,
            namespace=self.manifest.namespace,
            ip=next(self._addresses),
            labels=metadata.get("labels") or {},
            annotations=metadata.get("annotations") or {},
        )
        pod = Pod(template, facts, self.manifest, self.images, self.directory)
        self.all_pods.append(pod)
        return pod.start()

    def _control(self) -> None:
        try:
            while not self._ended.wait(TICK_S):
                with self._lock:
                    for workload in self.workloads.values():
                        workload.step()
        except BaseException as error:  # noqa: BLE001  (told by who waits)
            self.failure = error


def _share(value: int | str, replicas: int, rounded: Callable[[float], int]) -> int:
    if isinstance(value, str) and value.endswith("%"):
        return rounded(int(value[:-1]) * replicas / 100)
    return int(value)


def _addresses() -> Iterator[str]:
    """Of the loopback network, which needs no privilege: an own part of it for each cluster."""
    chosen = random.SystemRandom()
    begin = f"127.{chosen.randrange(16, 250)}.{chosen.randrange(250)}"
    for number in itertools.count(1):
        yield f"{begin}.{number}"
