# SPDX-License-Identifier: Apache-2.0
"""Pods of a rendered manifest, run on this machine by bwrap as a kubelet would.

As rendered: init containers and containers with command, args, environment, mounted files and their modes, uid and
groups, capabilities, no_new_privs, the read-only root file system, HOSTNAME and the host name; startup, liveness and
readiness probes; SIGTERM to the first process of a container, SIGKILL after the grace period; restarts.

Not as in a cluster: pods share the network of the machine, where each has an address of its own (127.x.y.z): what
would be bound to all addresses (0.0.0.0) of its network namespace is bound to that one. There is no DNS, no
seccomp profile, and nobody enforces resources.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from localservers.common import TookTooLong, wait_until
from localservers.process import start_child

from .manifest import Manifest, Object, PodFacts, expanded, write_files
from .probes import Probe

TICK_S = 0.05
FIRST_BACKOFF_S = 10  # of the second restart, doubled by each that follows
LONGEST_BACKOFF_S = 300
KILLED_S = 60
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Image:
    """A root file system for bwrap, and what an image says of the process in it."""

    mounts: tuple[str, ...]  # arguments of bwrap
    entrypoint: tuple[str, ...]
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: int = 65532
    directory: Path | None = None

    @staticmethod
    def of_machine(program: str | Path, *entrypoint: str, **more) -> Image:
        """The machine's own /usr, and one program as /vectail: no image has to be built for that."""
        mounts = ["--ro-bind", "/usr", "/usr", *_folders("/etc")]
        for name in ("bin", "sbin", "lib", "lib64"):
            mounts += ["--symlink", f"usr/{name}", f"/{name}"]
        for path in ("/etc/ssl", "/etc/ld.so.cache", "/etc/hosts", "/etc/nsswitch.conf"):
            mounts += ["--ro-bind-try", path, path]
        mounts += ["--ro-bind", str(program), "/vectail"]
        return Image(tuple(mounts), entrypoint or ("/vectail",), **more)

    @staticmethod
    def of_directory(directory: Path, config: Object) -> Image:
        """An unpacked image and the `config` of its OCI configuration."""
        return Image(
            ("--bind", str(directory), "/"),
            tuple(config.get("Entrypoint") or ()),
            tuple(config.get("Cmd") or ()),
            dict(entry.split("=", 1) for entry in config.get("Env") or ()),
            int(str(config.get("User") or 0).split(":")[0]),
            directory,
        )

    def mount_point(self, path: str, source: Path) -> list[str]:
        """Container runtimes make them before the root file system becomes read-only."""
        if self.directory is None:
            return _folders(*reversed(PurePosixPath(path).parents[:-1]))
        place = self.directory / path.lstrip("/")
        if source.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        elif not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        return []


class Container:
    """One container of a pod, over all its restarts; its output is appended to `log`."""

    def __init__(self, pod: Pod, spec: Object, image: Image):
        self.pod = pod
        self.spec = spec
        self.image = image
        self.name = spec["name"]
        self.log = pod.directory / f"{self.name}.log"
        self.starts = 0
        self.killed = False  # by SIGKILL, when its grace period was over
        self._child: subprocess.Popen | None = None
        self._pid = 0  # of the program itself, as the machine sees it
        self.began: float | None = None  # of its last start
        self._start_at = 0.0
        self.startup = self.liveness = self.readiness = None

    # Its process

    def start(self) -> None:
        self.starts += 1
        self.began = time.monotonic()
        number, write = os.pipe()
        with open(self.log, "ab") as output:
            self._child = start_child(
                self.argv(write), True, stdout=output, stderr=output, pass_fds=(write,)
            )
        os.close(write)
        with os.fdopen(number, encoding="utf-8") as info:
            text = info.read()
        self._pid = json.loads(text)["child-pid"] if text else 0
        probes = {
            name: Probe(self.spec[f"{name}Probe"], self.pod.ip, self.spec.get("ports", []), self.run)
            for name in ("startup", "liveness", "readiness")
            if f"{name}Probe" in self.spec
        }
        self.startup, self.liveness, self.readiness = map(
            probes.get, ("startup", "liveness", "readiness")
        )

    @property
    def pid(self) -> int:
        return self._pid

    def exit_code(self) -> int | None:
        """None while it runs, and before it was started."""
        return self._child.poll() if self._child is not None else None

    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def signal(self, number: int) -> None:
        if self.running() and self._pid:
            try:
                os.kill(self._pid, number)
            except ProcessLookupError:
                pass

    def run(self, command: list[str], timeout_s: float = 60) -> subprocess.CompletedProcess:
        """Another program in the container, as `kubectl exec` and probes do."""
        enter = ["nsenter", "-t", str(self._pid), "--mount", "--pid", "--uts", "--ipc"]
        argv = [*enter, *self._rights(), *command]
        env = self.environment()
        return subprocess.run(
            argv, env=env, capture_output=True, text=True, timeout=timeout_s, check=False
        )

    # What a kubelet does with it

    def started(self) -> bool:
        return self.running() and (self.startup is None or self.startup.passed)

    def ready(self) -> bool:
        return self.started() and (self.readiness is None or self.readiness.passed)

    def look(self) -> None:
        """Its probes, when they are due; a restart when one says so."""
        if self.startup is not None and not self.startup.passed:
            if self.startup.look() == Probe.FAILED:
                self._restart("its startup probe failed")
            return
        if self.liveness is not None and self.liveness.look() == Probe.FAILED:
            self._restart("its liveness probe failed")
        elif self.readiness is not None:
            self.readiness.look()

    def _restart(self, why: str) -> None:
        self.pod.note(f"{self.name} is restarted: {why}")
        self.stop(self.pod.grace_s)

    def revive(self) -> None:
        """It has ended; starts it again, after its back-off."""
        now = time.monotonic()
        if not self._start_at:
            backoff = FIRST_BACKOFF_S * 2 ** (self.starts - 2) if self.starts > 1 else 0
            self._start_at = now + min(backoff, LONGEST_BACKOFF_S)
            self.pod.note(f"{self.name} ended with {self.exit_code()}")
        if now >= self._start_at:
            self._start_at = 0.0
            self.start()

    def stop(self, grace_s: float) -> None:
        self.ask_to_stop()
        self.wait_stopped(time.monotonic() + grace_s)

    def ask_to_stop(self) -> None:
        hook = self.spec.get("lifecycle", {}).get("preStop", {})
        if "sleep" in hook:
            time.sleep(hook["sleep"]["seconds"])
        elif "exec" in hook:
            self.run(hook["exec"]["command"], self.pod.grace_s)
        else:
            assert not hook, f"not understood: {hook}"
        self.signal(signal.SIGTERM)

    def wait_stopped(self, until: float) -> None:
        try:
            self._child.wait(max(until - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            self.killed = True
            self.pod.note(f"{self.name} is killed: its grace period is over")
            self.signal(signal.SIGKILL)
            wait_until(lambda: not self.running(), KILLED_S, f"{self.name} to be killed")

    # How it is run

    def argv(self, info: int) -> list[str]:
        argv = ["bwrap", "--die-with-parent", "--info-fd", str(info), *self.image.mounts]
        argv += ["--unshare-pid", "--as-pid-1", "--unshare-ipc", "--unshare-uts"]
        argv += ["--hostname", self.pod.name, "--proc", "/proc", "--dev", "/dev"]
        argv += ["--perms", "1777", "--tmpfs", "/dev/shm"]
        for mount in self.spec.get("volumeMounts", []):
            argv += self._mount(mount)
        if self._security("readOnlyRootFilesystem"):
            argv += ["--remount-ro", "/"]
        argv += ["--clearenv"]
        for name, value in self.environment().items():
            argv += ["--setenv", name, value]
        return [*argv, "--chdir", "/", "--", *self._rights(), *self.command()]

    def command(self) -> list[str]:
        env = self.environment()
        given = self.spec.get("command"), self.spec.get("args")
        command = given[0] or list(self.image.entrypoint)
        arguments = given[1] or ([] if given[0] else list(self.image.command))
        return [self.pod.here(expanded(part, env)) for part in [*command, *arguments]]

    def environment(self) -> dict[str, str]:
        env = {"PATH": PATH, **self.image.env, "HOSTNAME": self.pod.name}
        own = self.pod.manifest.environment(self.spec, self.pod.facts)
        return env | {name: self.pod.here(value) for name, value in own.items()}

    def _mount(self, mount: Object) -> list[str]:
        source, writable = self.pod.volumes[mount["name"]]
        source = source / mount.get("subPath", "")
        point = self.image.mount_point(mount["mountPath"], source)
        how = "--bind" if writable and not mount.get("readOnly") else "--ro-bind"
        return [*point, how, str(source), mount["mountPath"]]

    def _rights(self) -> list[str]:
        """setpriv becomes the program, with the rights that the security context leaves it."""
        user = self._security("runAsUser", self.image.user)
        assert user or not self._security("runAsNonRoot"), f"{self.name} would run as root"
        group = self._security("runAsGroup", user)
        groups = [str(g) for g in (self.pod.fs_group, *self.pod.groups) if g is not None]
        argv = ["setpriv", "--reuid", str(user), "--regid", str(group), "--pdeathsig", "KILL"]
        argv += ["--groups", ",".join(groups)] if groups else ["--clear-groups"]
        capabilities = self._security("capabilities", {})
        kept = ",".join(f"+{c.lower()}" for c in capabilities.get("add", []))
        if "ALL" in capabilities.get("drop", []):
            kept = ",".join(filter(None, ["-all", kept]))
            argv += ["--bounding-set", kept, "--inh-caps", kept]
        if self._security("allowPrivilegeEscalation") is False:
            argv.append("--no-new-privs")
        return [*argv, "--"]

    def _security(self, key: str, otherwise=None):
        own = self.spec.get("securityContext") or {}
        of_pod = self.pod.spec.get("securityContext") or {}
        return own.get(key, of_pod.get(key, otherwise))


class Pod:
    """A pod from its template, in a thread that is its kubelet."""

    def __init__(
        self,
        template: Object,
        facts: PodFacts,
        manifest: Manifest,
        images: Callable[[str], Image],
        directory: Path,
    ):
        self.spec = template["spec"]
        self.facts = facts
        self.name, self.ip = facts.name, facts.ip
        self.manifest = manifest
        self.directory = directory / f"{facts.name}-{time.monotonic_ns()}"
        self.directory.mkdir(parents=True)
        security = self.spec.get("securityContext") or {}
        self.fs_group: int | None = security.get("fsGroup")
        self.groups: list[int] = security.get("supplementalGroups", [])
        self.grace_s: float = self.spec.get("terminationGracePeriodSeconds", 30)
        self.volumes = {one["name"]: self._volume(one) for one in self.spec.get("volumes", [])}
        make = [Container(self, one, images(one["image"])) for one in self.spec["containers"]]
        self.containers = {one.name: one for one in make}
        self.inits = [
            Container(self, one, images(one["image"]))
            for one in self.spec.get("initContainers", [])
        ]
        self.phase = "Pending"
        self.notes: list[str] = []
        self.ready_since: float | None = None
        self.stop_s: float | None = None  # how long the end took
        self.failure: BaseException | None = None
        self.stopping = threading.Event()
        self.gone = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name=self.name)

    def start(self) -> Pod:
        self._thread.start()
        return self

    def delete(self) -> None:
        """As the API server notes it: the kubelet does the rest."""
        self.stopping.set()

    def ready(self) -> bool:
        return self.ready_since is not None

    def note(self, text: str) -> None:
        self.notes.append(text)

    def here(self, text: str) -> str:
        """All addresses of the pod's network namespace are the one that it has."""
        return text.replace("0.0.0.0:", f"{self.ip}:")

    def container(self, name: str) -> Container:
        return next(one for one in [*self.inits, *self.containers.values()] if one.name == name)

    def explain(self) -> str:
        lines = [f"-- {self.name} ({self.phase}) {self.failure or ''} {' '.join(self.notes)}"]
        for container in [*self.inits, *self.containers.values()]:
            if container.log.exists():
                text = container.log.read_text(encoding="utf-8", errors="replace")
                lines += [line[:300] for line in text.splitlines()[-6:]]
        return "\n".join(lines)

    def events(self, container: str = "vectail") -> list[dict]:
        """What a container has logged as JSON lines."""
        found = []
        for line in self.container(container).log.read_text(errors="replace").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def wait_until(self, what: str, condition: Callable[[], object], deadline_s: float) -> None:
        try:
            wait_until(lambda: condition() or self.failure, deadline_s, f"{self.name}: {what}")
        except TookTooLong as error:
            raise TookTooLong(f"{error}\n{self.explain()}") from None
        if self.failure is not None:
            raise RuntimeError(self.explain()) from self.failure

    # Its kubelet

    def _run(self) -> None:
        try:
            if self._run_inits():
                for container in self.containers.values():
                    container.start()
                self.phase = "Running"
                while self.phase == "Running" and not self.stopping.wait(TICK_S):
                    self._look()
        except BaseException as error:  # noqa: BLE001  (told by who waits for the pod)
            self.failure = error
        try:
            self.ready_since = None
            self._terminate()
        except BaseException as error:  # noqa: BLE001
            self.failure = self.failure or error
        self.gone.set()

    def _run_inits(self) -> bool:
        """One after the other; those that stay (restartPolicy Always) until they have started."""
        for container in self.inits:
            container.start()
            while not self.stopping.wait(TICK_S):
                if _stays(container):
                    container.look()
                    if container.started():
                        break
                elif container.exit_code() == 0:
                    break
                if container.exit_code() is not None and not self._again(container):
                    self.phase = "Failed"
                    return False
            if self.stopping.is_set():
                return False
        return True

    def _look(self) -> None:
        kept = [one for one in self.inits if _stays(one)]
        mains = list(self.containers.values())
        for container in [*kept, *mains]:
            if container.running():
                container.look()
            elif _stays(container) or self.spec.get("restartPolicy", "Always") == "Always":
                container.revive()
        codes = [container.exit_code() for container in mains]
        if self.spec.get("restartPolicy", "Always") != "Always" and None not in codes:
            self._ended(mains)
        ready = all(container.ready() for container in [*kept, *mains])
        if not ready or self.phase != "Running":
            self.ready_since = None
        elif self.ready_since is None:
            self.ready_since = time.monotonic()

    def _ended(self, mains: list[Container]) -> None:
        if not any(container.exit_code() for container in mains):
            self.phase = "Succeeded"
        elif self.spec["restartPolicy"] == "Never":
            self.phase = "Failed"
        else:
            for container in mains:
                if container.exit_code():
                    container.revive()

    def _again(self, container: Container) -> bool:
        if self.spec.get("restartPolicy", "Always") == "Never" and not _stays(container):
            return False
        container.revive()
        return True

    def _terminate(self) -> None:
        """The containers together, then those that stayed beside them, the last first."""
        began = time.monotonic()
        until = began + self.grace_s
        running = [one for one in self.containers.values() if one.running()]
        for container in running:
            container.ask_to_stop()
        for container in running:
            container.wait_stopped(until)
        for container in reversed(self.inits):
            if container.running():
                container.stop(max(until - time.monotonic(), 0))
        self.stop_s = time.monotonic() - began

    def _volume(self, volume: Object) -> tuple[Path, bool]:
        """Where its files are, and whether they may be written to."""
        directory = self.directory / "volumes" / volume["name"]
        directory.mkdir(parents=True)
        files = self.manifest.files(volume, self.facts)
        if files is None:
            directory.chmod(0o777)
            return directory, True
        own = {
            path: type(file)(self.here(file.content.decode()).encode(), file.mode)
            for path, file in files.items()
        }
        write_files(own, directory, self.fs_group)
        return directory, False


def _stays(container: Container) -> bool:
    return container.spec.get("restartPolicy") == "Always"


def _folders(*paths: object) -> list[str]:
    """Those that bwrap makes on its own are root's alone."""
    return [part for path in paths for part in ("--perms", "0755", "--dir", str(path))]
