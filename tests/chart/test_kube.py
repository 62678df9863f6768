# SPDX-License-Identifier: Apache-2.0
"""The chart and a real API server, which has the custom resources that the chart makes.

No controllers run there and no nodes: what is made stays as it was made. What a controller would make
of it, Pods, is tried out; what a node would report, the end of a Pod, is said by the test.
"""

from __future__ import annotations

import copy
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from support import REPOSITORY, servers, wait_until
from support.kubernetes import MERGE, Cluster, Helm, Manifest, Refused, missing, pods_of
from localservers import install

pytestmark = pytest.mark.timeout(3600)  # the API server is compiled where there was none

CHART = REPOSITORY / "helm" / "vectail"
EXAMPLE = REPOSITORY / "examples" / "helm-sidecar"
HERE = Path(__file__).parent
BASE = HERE / "values" / "base.yaml"  # all others are on top of it
VALUES = sorted(BASE.parent.glob("*.yaml"))
KEDA, HPA = HERE / "kube" / "keda.yaml", HERE / "kube" / "hpa.yaml"
OPERATORS = ("keda.sh/v1alpha1", "monitoring.coreos.com/v1", "gateway.networking.k8s.io/v1")
RELEASE = "demo"
LIMIT_S = 600
MADE = {"ConfigMap", "CronJob", "Deployment", "HTTPRoute", "HorizontalPodAutoscaler", "Ingress", "Job"}
MADE |= {"NetworkPolicy", "PodDisruptionBudget", "PodMonitor", "PrometheusRule", "ScaledObject", "Secret"}
MADE |= {"Service", "ServiceAccount", "ServiceMonitor", "StatefulSet"}

POD_SECURITY = "pod-security.kubernetes.io"
# Pods are refused; whatever Pods are made of is taken all the same, with a warning.
STRICT = {f"{POD_SECURITY}/{how}": "restricted" for how in ("enforce", "warn")}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with servers.kube() as server:
        yield Cluster(server)


@pytest.fixture(scope="module", params=["3", "4"])
def program(request) -> str:
    return {"3": install.helm, "4": install.helm4}[request.param]()


def files(values: Path) -> tuple[str, ...]:
    return (f"--values={BASE}", f"--values={values}")


def render(cluster: Cluster, values: Path, namespace: str) -> list[Manifest]:
    known = (f"--api-versions={name}" for name in OPERATORS)
    helm = Helm(install.helm(), cluster, namespace, RELEASE)
    return helm.template(CHART, *files(values), *known)


def kinds(things: list[Manifest]) -> set[str]:
    return {thing["kind"] for thing in things}


def find(things: list[Manifest], kind: str) -> Manifest:
    return next(thing for thing in things if thing["kind"] == kind)


# The two files of values


def switches(values: dict, path: str = "") -> Iterator[tuple[str, bool]]:
    for key, value in values.items():
        if key == "enabled":
            yield path, value
        elif isinstance(value, dict) and key != "config":
            yield from switches(value, f"{path}.{key}".lstrip("."))


def test_between_them_the_two_files_switch_everything_on():
    documents = [yaml.safe_load(path.read_text()) for path in (CHART / "values.yaml", KEDA, HPA)]
    known, *given = (dict(switches(document)) for document in documents)
    on = {name for values in given for name, value in values.items() if value}
    assert {name for name, value in known.items() if not value} - on == set()


# helm


def held(helm: Helm) -> list[Manifest]:
    """What helm says that the release has; all of it is there, as it was sent, and in its namespace."""
    things = helm.of("manifest")
    for thing in things:
        assert f"/namespaces/{helm.namespace}/" in helm.cluster.path(thing, helm.namespace)
        lacking = missing(thing, helm.cluster.read(thing, helm.namespace))
        assert not lacking, f"{thing['kind']} {thing['metadata']['name']}: {lacking}"
    return things


def names(things: list[Manifest]) -> set[tuple[str, str]]:
    return {(thing["kind"], thing["metadata"]["name"]) for thing in things}


def left(helm: Helm, things: list[Manifest], kept: set) -> list[Manifest]:
    """Of these, what is there although it is not one of those that are kept."""
    others = [t for t in things if (t["kind"], t["metadata"]["name"]) not in kept]
    assert others
    return [thing for thing in others if helm.cluster.has(thing, helm.namespace)]


def settled(helm: Helm, things: list[Manifest]) -> dict:
    """What the server holds; not of Jobs, whose Pods have the Job's own random id in their labels."""
    live = [helm.cluster.read(t, helm.namespace) for t in things if t["kind"] != "Job"]
    keys = ("spec", "data", "type")
    return {
        (thing["kind"], thing["metadata"]["name"]): {key: thing.get(key) for key in keys}
        for thing in live
    }


def test_it_is_installed_upgraded_rolled_back_and_uninstalled(cluster, program):
    helm = Helm(program, cluster, cluster.namespace(), RELEASE)
    helm.run("install", RELEASE, CHART, *files(KEDA))
    first = held(helm)
    before = settled(helm, first)

    helm.run("upgrade", RELEASE, CHART, *files(HPA))
    second = held(helm)
    assert left(helm, first, names(second)) == []
    assert kinds(first) | kinds(second) >= MADE

    helm.run("rollback", RELEASE, "1")
    assert names(held(helm)) == names(first)
    assert left(helm, second, names(first)) == []
    assert settled(helm, first) == before
    assert helm.history() == [
        (1, "superseded", "Install complete"),
        (2, "superseded", "Upgrade complete"),
        (3, "deployed", "Rollback to 1"),
    ]

    helm.run("uninstall", RELEASE)
    assert left(helm, first, set()) == []
    assert helm.releases() == []


def test_a_changed_configuration_starts_every_pod_anew_and_an_unchanged_one_none(cluster, program):
    def templates() -> list[dict]:
        workloads = [t for t in held(helm) if t["kind"] in ("Deployment", "StatefulSet")]
        assert len(workloads) == 3
        return [cluster.read(thing, helm.namespace)["spec"]["template"] for thing in workloads]

    helm = Helm(program, cluster, cluster.namespace(), RELEASE)
    helm.run("install", RELEASE, CHART, *files(HPA))
    installed = templates()
    helm.run("upgrade", RELEASE, CHART, *files(HPA))
    assert templates() == installed
    change = "config.work.threads=3,image.tag=0.1.2,rebuild.backoffLimit=5,rebuild.annotations.a=b"
    helm.run("upgrade", RELEASE, CHART, *files(HPA), f"--set={change}")
    assert all(new != old for new, old in zip(templates(), installed, strict=True))


def test_from_any_values_it_is_upgraded_to_the_next(cluster):
    """Some fields cannot be changed once they are there; none of those may depend on values."""
    helm = Helm(install.helm(), cluster, cluster.namespace(), RELEASE)
    for values in VALUES:
        helm.run("upgrade", "--install", RELEASE, CHART, *files(values))
        held(helm)
    assert [status for _, status, _ in helm.history()][-2:] == ["superseded", "deployed"]


def test_two_releases_live_in_one_namespace_and_none_takes_the_pods_of_the_other(cluster, program):
    namespace = cluster.namespace()
    helms = [Helm(program, cluster, namespace, name) for name in ("first", "second")]
    for helm in helms:
        helm.run("install", helm.release, CHART, f"--values={BASE}", "--set=networkPolicy.enabled=true")
    for helm, other in (helms, helms[::-1]):
        things = held(helm)
        labels = [pod["metadata"]["labels"] for thing in things for pod in pods_of(thing)]
        assert sum(any(chosen(s, one) for one in labels) for s in selectors(things)) >= 6
        assert not any(chosen(s, one) for s in selectors(held(other)) for one in labels)


def selectors(things: list[Manifest]) -> list[dict[str, str]]:
    """By which they take Pods: Services, workloads, disruption budgets, policies."""
    found = [t["spec"].get("selector") or t["spec"].get("podSelector") for t in things if "spec" in t]
    return [one.get("matchLabels", one) for one in found if one]


def chosen(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


def end_pods(helm: Helm, phase: str) -> None:
    """What a node would report of them."""
    pods = f"/api/v1/namespaces/{helm.namespace}/pods"
    for pod in helm.cluster.call("GET", pods).body["items"]:
        path = f"{pods}/{pod['metadata']['name']}/status"
        try:
            helm.cluster.call("PATCH", path, {"status": {"phase": phase}}, MERGE)
        except Refused as refused:
            if refused.status != 404:  # helm has just removed it
                raise


@pytest.mark.parametrize(("phase", "passed"), [("Succeeded", True), ("Failed", False)])
def test_helm_test_makes_its_pods_and_says_how_they_ended(cluster, program, phase, passed):
    def ended() -> bool:
        end_pods(helm, phase)
        return process.poll() is not None

    helm = Helm(program, cluster, cluster.namespace(STRICT), RELEASE)
    helm.run("install", RELEASE, CHART, *files(KEDA))
    hooks = helm.of("hooks")
    assert kinds(hooks) == {"Pod"}
    command = helm.command("test", RELEASE, f"--timeout={LIMIT_S}s")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        wait_until(ended, LIMIT_S, "helm test to end", 0.2)
        output = process.stdout.read()
    assert (process.returncode == 0) == passed, output
    assert phase in output
    # What failed stays, to be looked at.
    assert any(cluster.has(hook, helm.namespace) for hook in hooks) != passed


def waits_for_the_job(helm: Helm) -> list[str]:
    """The lines of the chart's README that do, in a shell whose kubectl is led to this cluster."""
    lines = (CHART / "README.md").read_text(encoding="utf-8").partition("```bash\n")[2].partition("```")[0]
    access = f"--kubeconfig={helm.cluster.server.kubeconfig} --namespace={helm.namespace}"
    kubectl = f'kubectl() {{ {install.kubectl()} {access} "$@"; }}'
    return ["bash", "-c", f"{kubectl}\nsleep() {{ command sleep 0.2; }}\n{lines}"]


@pytest.mark.parametrize(("first", "end"), [("SuccessCriteriaMet", "Complete"), ("FailureTarget", "Failed")])
def test_who_waits_for_a_rebuild_as_the_readme_says_sees_either_end(cluster, first, end):
    helm = Helm(install.helm(), cluster, cluster.namespace(), "shop")
    helm.run("install", helm.release, CHART, *files(KEDA))
    job = find(helm.of("manifest"), "Job")

    def report(*conditions: str) -> None:
        when = "2026-01-01T00:00:00Z"
        held = [{"type": one, "status": "True", "lastTransitionTime": when} for one in conditions]
        status = {"startTime": when, "conditions": held}
        if end in conditions:
            status |= {"completionTime": when} if end == "Complete" else {"failed": 1}
        path = f"{cluster.path(job, helm.namespace)}/status"
        cluster.call("PATCH", path, {"status": status}, MERGE)

    with subprocess.Popen(
        waits_for_the_job(helm), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        report(first)
        assert process.poll() is None, "its Pods have not ended yet"
        report(first, end)
        output, _ = process.communicate(timeout=LIMIT_S)
    assert (process.returncode == 0) == (end == "Complete"), output


def test_a_rebuild_that_has_failed_is_started_again_when_it_was_deleted(cluster, program):
    helm = Helm(program, cluster, cluster.namespace(), RELEASE)
    helm.run("install", RELEASE, CHART, *files(KEDA))
    job = find(helm.of("manifest"), "Job")
    first = cluster.read(job, helm.namespace)["metadata"]["uid"]
    helm.run("upgrade", RELEASE, CHART, *files(KEDA))
    assert cluster.read(job, helm.namespace)["metadata"]["uid"] == first
    cluster.call("DELETE", cluster.path(job, helm.namespace), propagationPolicy="Background")
    wait_until(lambda: not cluster.has(job, helm.namespace), LIMIT_S, "the Job to be gone")
    helm.run("upgrade", RELEASE, CHART, *files(KEDA))
    assert cluster.has(job, helm.namespace)


# Server-side apply


@pytest.mark.parametrize("values", [KEDA, HPA], ids=lambda path: path.stem)
def test_applied_by_the_server_it_is_held_as_sent_and_applied_again_it_changes_nothing(cluster, values):
    namespace = cluster.namespace(STRICT)
    for thing in render(cluster, values, namespace):
        name = f"{thing['kind']} {thing['metadata']['name']}"
        first = cluster.apply(thing, namespace)
        assert not first.warnings, f"{name}: {first.warnings}"
        again = cluster.apply(thing, namespace)
        held_now = cluster.read(thing, namespace)
        versions = [answer["metadata"]["resourceVersion"] for answer in (first.body, again.body, held_now)]
        assert len(set(versions)) == 1, f"{name} changes with every apply"
        assert missing(thing, held_now) == [], name


def test_a_field_that_somebody_else_has_changed_is_seen_and_not_taken_back_in_silence(cluster):
    namespace = cluster.namespace()
    deployments = [t for t in render(cluster, HPA, namespace) if t["kind"] == "Deployment"]
    capture = next(t for t in deployments if t["metadata"]["name"].endswith("-capture"))
    cluster.apply(capture, namespace)
    scale(cluster, capture, namespace, 5)
    changed = missing(capture, cluster.read(capture, namespace))
    assert changed == [".spec.replicas: sent 2, held 5"]
    with pytest.raises(Refused, match="conflict"):
        cluster.apply(capture, namespace)


def test_the_replicas_that_an_autoscaler_sets_are_nobody_elses(cluster, program):
    def scaled() -> list[Manifest]:
        kinds = {"worker": "StatefulSet", "serve": "Deployment"}
        things = helm.of("manifest")
        return [t for t in things if kinds.get(t["metadata"]["name"].rpartition("-")[2]) == t["kind"]]

    def replicas() -> list[int]:
        return [cluster.read(thing, helm.namespace)["spec"]["replicas"] for thing in scaled()]

    helm = Helm(program, cluster, cluster.namespace(), RELEASE)
    helm.run("install", RELEASE, CHART, f"--values={BASE}")
    assert replicas() == [2, 2]
    helm.run("upgrade", RELEASE, CHART, *files(KEDA))
    assert replicas() == [1, 1], "no longer what docs/helm-values.md says"
    for thing in scaled():
        scale(cluster, thing, helm.namespace, 4)
    helm.run("upgrade", RELEASE, CHART, *files(KEDA), "--set=config.work.threads=3")
    assert replicas() == [4, 4]
    for thing in scaled():
        cluster.apply(thing, helm.namespace, force="true")
    assert replicas() == [4, 4]


def scale(cluster: Cluster, thing: Manifest, namespace: str, replicas: int) -> None:
    cluster.call("PATCH", f"{cluster.path(thing, namespace)}/scale", {"spec": {"replicas": replicas}}, MERGE)


# Pod Security


def provide(cluster: Cluster, pods: list[Manifest], namespace: str) -> None:
    """What has to be there before a Pod is taken."""
    for name in {pod["spec"].get("serviceAccountName", "default") for pod in pods}:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        cluster.apply(account, namespace)
    for name in {pod["spec"].get("priorityClassName", "system-") for pod in pods}:
        if not name.startswith("system-"):
            urgency = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1000}
            cluster.apply(urgency | {"metadata": {"name": name}}, namespace)


def try_all(cluster: Cluster, things: list[Manifest], namespace: str) -> list[Manifest]:
    """Nothing of it stays. Answers with the Pods of all workloads."""
    pods = [pod for thing in things for pod in pods_of(thing)]
    provide(cluster, pods, namespace)
    for thing in things:
        answer = cluster.apply(thing, namespace, dryRun="All")
        assert not answer.warnings, f"{thing['kind']} {thing['metadata']['name']}: {answer.warnings}"
    for pod in pods:
        cluster.try_create(pod, namespace)
    return pods


@pytest.mark.parametrize("values", [KEDA, HPA, *VALUES], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_all_of_it_and_every_pod_is_taken_where_the_restricted_profile_is_enforced(cluster, values):
    namespace = cluster.namespace(STRICT)
    pods = try_all(cluster, render(cluster, values, namespace), namespace)
    if values == KEDA:
        made_of = {pod["metadata"]["name"].rpartition("-")[2] for pod in pods}
        assert made_of == {"deployment", "statefulset", "job", "cronjob", "pod"}


def vectail_of(pod: Manifest) -> dict:
    """Its container with vectail; empty when it has none."""
    containers = [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
    return next((one for one in containers if one["name"] == "vectail"), {})


def narrowed(pod: Manifest) -> dict:
    return vectail_of(pod)["securityContext"]


OF_THE_NODE = {"name": "etc", "hostPath": {"path": "/etc"}}

# What is spoilt, and the word of the refusal for it.
SPOILT: dict[str, Callable[[Manifest], object]] = {
    "runAsNonRoot": lambda pod: pod["spec"]["securityContext"].pop("runAsNonRoot"),
    "runAsUser=0": lambda pod: pod["spec"]["securityContext"].update(runAsUser=0),
    "seccompProfile": lambda pod: pod["spec"]["securityContext"].pop("seccompProfile"),
    "allowPrivilegeEscalation": lambda pod: narrowed(pod).pop("allowPrivilegeEscalation"),
    "unrestricted capabilities": lambda pod: narrowed(pod).pop("capabilities"),
    "restricted volume types": lambda pod: pod["spec"]["volumes"].append(OF_THE_NODE),
}


@pytest.mark.parametrize("word", SPOILT)
def test_a_pod_that_is_spoilt_is_refused_there(cluster, word):
    namespace = cluster.namespace(STRICT)
    pod = copy.deepcopy(try_all(cluster, render(cluster, HPA, namespace), namespace)[0])
    SPOILT[word](pod)
    with pytest.raises(Refused, match=word) as refused:
        cluster.try_create(pod, namespace)
    assert refused.value.status == 403
    assert "violates PodSecurity" in str(refused.value)


# Custom resources

WRONG: list[tuple[Path, str, Callable[[dict], object], str]] = [
    (KEDA, "ScaledObject", lambda spec: spec.update(maxReplicaCount="many"), "maxReplicaCount"),
    (KEDA, "ScaledObject", lambda spec: spec.update(maxReplicas=6), "maxReplicas: field not declared"),
    (KEDA, "ScaledObject", lambda spec: spec.pop("triggers"), "triggers"),
    (KEDA, "TriggerAuthentication", lambda spec: spec["secretTargetRef"][0].pop("key"), "key"),
    (KEDA, "PodMonitor", lambda spec: spec["podMetricsEndpoints"][0].update(interval="often"), "interval"),
    (KEDA, "PrometheusRule", lambda spec: spec["groups"][0]["rules"][0].pop("expr"), "expr"),
    (HPA, "ServiceMonitor", lambda spec: spec["endpoints"][0].update(scheme="gopher"), "scheme"),
    (HPA, "HTTPRoute", lambda spec: spec["parentRefs"][0].pop("name"), "name"),
]


@pytest.mark.parametrize(
    ("values", "kind", "spoil", "word"),
    WRONG,
    ids=[f"{kind}.{word.partition(':')[0]}" for _, kind, _, word in WRONG],
)
def test_a_wrong_custom_resource_is_refused_with_the_name_of_the_key(cluster, values, kind, spoil, word):
    namespace = cluster.namespace()
    thing = find(render(cluster, values, namespace), kind)
    cluster.apply(thing, namespace, dryRun="All")
    spoil(thing["spec"])
    with pytest.raises(Refused, match=word) as refused:
        cluster.apply(thing, namespace, dryRun="All")
    assert refused.value.status in (422, 500)  # 500: a field that the schema does not have


# The sidecar


@pytest.mark.parametrize("native", ["true", "false"])
def test_the_pod_that_includes_the_sidecar_is_taken_there_too(cluster, tmp_path, native):
    """The example refers to the chart by its place in the repository."""
    shutil.copytree(CHART, tmp_path / CHART.relative_to(REPOSITORY))
    chart = shutil.copytree(EXAMPLE, tmp_path / EXAMPLE.relative_to(REPOSITORY))
    helm = Helm(install.helm(), cluster, cluster.namespace(STRICT), RELEASE)
    helm.run("dependency", "update", chart)
    pods = try_all(
        cluster, helm.template(chart, "--set", f"vectail.sidecar.native={native}"), helm.namespace
    )
    assert any(vectail_of(pod) for pod in pods)
