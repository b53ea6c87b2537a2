"""The manifests: they build, are valid and restricted, and agree with the services and files that they speak of."""

from __future__ import annotations

import base64
import inspect
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from scripts import check_k8s, k8s_secrets, manifests, pod_security, prometheus_rules
from scripts.k8s_secrets import FOLDER, ROOT
from scripts.manifests import NEWEST, OLDEST, OVERLAYS
from services.auth.settings import Settings as Auth
from services.gateway import app as gateway_app
from services.gateway.settings import Settings as Gateway
from services.kernel.http import health
from services.kernel.ops.settings import FILE, PREFIX
from services.publisher.app import DRAIN_SECONDS
from services.publisher.settings import Settings as Publisher
from tests.deploy.pods import cpus

pytestmark = pytest.mark.deploy

SERVICES = {"gateway": Gateway, "auth": Auth, "publisher": Publisher}
# Left out of the ConfigMap: the portable frame for bare processes, and TLS, which ends at the Ingress.
NOT_IN_PODS = {"sticky.conf", "containers-tls.conf", "tls.conf"}
NOT_IN_PODS |= {"kustomization.yaml", "nginx.conf.template", "upstreams.conf.template"}


@pytest.fixture(scope="module")
def overlays(tmp_path_factory):
    """A copy of the sources with secrets."""
    copied = manifests.copy(tmp_path_factory.mktemp("sources"))
    manifests.make_secrets(copied)
    return copied


@pytest.fixture(scope="module")
def built(overlays):
    """The objects of each overlay."""
    return {name: manifests.documents(manifests.build(overlays / name)) for name in OVERLAYS}


def of(objects, kind, name):
    """The one object of a kind whose name is this, without kustomize's hash."""
    (found,) = [
        one
        for one in objects
        if one["kind"] == kind and re.sub(r"-[a-z0-9]{10}$", "", one["metadata"]["name"]) == name
    ]
    return found


def environment(objects, container):
    """What a container's variables are."""
    found = {}
    for source in container.get("envFrom", []):
        name = source["configMapRef"]["name"]
        (config,) = [one for one in objects if one["metadata"]["name"] == name]
        found |= config["data"]
    return found | {one["name"]: one.get("value", "") for one in container.get("env", [])}


# ------------------------------------------------------------------------------------------------------ what is said


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_object_is_valid(built, overlay, version):
    assert check_k8s.invalid(built[overlay], version) == []


def test_what_no_schema_knows_is_found(built):
    (pod, *_), version = [one for one in built["dev"] if one["kind"] == "Deployment"], NEWEST
    assert check_k8s.invalid([{**pod, "spec": {**pod["spec"], "replica": 2}}], version)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_restricted(built, overlay):
    for name, pod in manifests.pods(built[overlay]):
        assert pod_security.problems(pod) == [], name


def test_what_breaks_the_restriction_is_found(built):
    name, pod = manifests.pods(built["dev"])[0]
    for broken in (
        {**pod, "hostNetwork": True},
        {**pod, "securityContext": {**pod["securityContext"], "runAsUser": 0}},
        {**pod, "volumes": [{"name": "host", "hostPath": {"path": "/"}}]},
        {**pod, "containers": [{**pod["containers"][0], "securityContext": {}}]},
    ):
        assert pod_security.problems(broken), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_namespace_enforces_it(built, overlay):
    labels = of(built[overlay], "Namespace", "openline")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


# ----------------------------------------------------------------------------------- what it says about the services


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_variables_are_settings(built, overlay):
    known = {PREFIX + name.upper() for cls in SERVICES.values() for name in cls.model_fields}
    for _, pod in manifests.pods(built[overlay]):
        for container in manifests.containers(pod):
            given = {n for n in environment(built[overlay], container) if n.startswith(PREFIX)}
            assert {name.removesuffix(FILE) for name in given} <= known


def settings_of(objects, service, monkeypatch, folder):
    """The settings of a service's pod, with its files in place; its variables."""
    pod = dict(manifests.pods(objects))[service]
    given = environment(objects, pod["containers"][0])
    for name, value in given.items():
        if name.endswith(FILE) and value:
            volume = of(objects, "Secret", "auth" if service == "auth" else "services")
            content = base64.b64decode(volume["data"][Path(value).name])
            (folder / Path(value).name).write_bytes(content)
            given[name] = str(folder / Path(value).name)
        monkeypatch.setenv(name, given[name])
    return SERVICES[service](), given


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("service", SERVICES)
def test_settings_are_accepted(built, overlay, service, monkeypatch, tmp_path):
    """The settings of a pod, with its files in place, are settings that the service starts with."""
    found, given = settings_of(built[overlay], service, monkeypatch, tmp_path)
    assert found.redis_url.startswith(
        ("redis://:", "rediss://:", "redis+sentinel://:", "redis+cluster://:")
    )
    assert found.public_url == given["OPENLINE_PUBLIC_URL"]


SERVERS = """
[[servers]]
url = "rediss://:password@redis-a.example.org:6379/0"
partitions = "0-1"

[[servers]]
url = "rediss+cluster://:password@redis-b.example.org:6379"
partitions = "2-3"
"""


def test_production_may_have_several_servers_of_redis(overlays, monkeypatch, tmp_path):
    shutil.copytree(overlays.parents[1], tmp_path / "sources")
    overlay = tmp_path / "sources" / "k8s" / "overlays" / "prod"
    (overlay / FOLDER / "redis_url").unlink()
    (tmp_path / "servers.toml").write_text(SERVERS)
    monkeypatch.setenv("REDIS_SERVERS", str(tmp_path / "servers.toml"))
    assert k8s_secrets.main(["prod", "--overlays", str(overlay.parent)]) == 0
    text = (overlay / "kustomization.yaml").read_text("utf-8")
    text = text.replace(
        "  # - ../../components/redis-servers", "  - ../../components/redis-servers"
    )
    text = text.replace(f"{FOLDER}/redis_url", f"{FOLDER}/redis_servers")
    (overlay / "kustomization.yaml").write_text(text)
    with (overlay / "settings.env").open("a") as file:
        file.write("OPENLINE_PARTITIONS=4\n")
    objects = manifests.documents(manifests.build(overlay))
    for service in SERVICES:
        found, _ = settings_of(objects, service, monkeypatch, tmp_path)
        assert [server.partitions for server in found.redis] == [(0, 1), (2, 3)]


@pytest.mark.parametrize("service", SERVICES)
def test_ports_and_probes_are_the_services_own(built, service):
    container = dict(manifests.pods(built["dev"]))[service]["containers"][0]
    default = SERVICES[service].model_fields[f"{service}_port"].default
    assert container["ports"] == [{"name": "http", "containerPort": default}]
    assert of(built["dev"], "Service", service)["spec"]["ports"][0]["port"] == default
    paths = {route.path for route in health.routes(lambda: health.Readiness(True, {}))}
    probed = {
        kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")
    }
    assert {get["port"] for get in probed.values()} == {"http"}
    assert {get["path"] for get in probed.values()} <= paths
    assert (probed["liveness"]["path"], probed["readiness"]["path"]) == ("/healthz", "/readyz")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_drain_fits_into_the_grace_period(built, overlay):
    pod = dict(manifests.pods(built[overlay]))["gateway"]
    (gateway,) = pod["containers"]
    asleep = int(gateway["lifecycle"]["preStop"]["exec"]["command"][1])
    drain = float(environment(built[overlay], gateway)["OPENLINE_DRAIN_SECONDS"])
    closing = int(
        re.search(r"timeout_graceful_shutdown=(\d+)", inspect.getsource(gateway_app.run))[1]
    )
    assert asleep + drain + closing < pod["terminationGracePeriodSeconds"]


NAMES_ARE_CACHED = 30
"""Seconds: kubeadm's DNS did until Kubernetes 1.32, and caches on the nodes do."""


@pytest.mark.parametrize("service", ["auth", "publisher"])
def test_a_pod_answers_for_as_long_as_dns_may_name_it(built, service):
    """A call is not tried again elsewhere, and all that a cached answer names may have been replaced."""
    pod = dict(manifests.pods(built["prod"]))[service]
    asleep = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert asleep > NAMES_ARE_CACHED
    assert asleep + DRAIN_SECONDS < pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("overlay", ["cluster", "sentinel"])
def test_one_of_several_servers_hands_over_before_it_stops_within_its_grace(built, overlay):
    pod = dict(manifests.pods(built[overlay]))["redis"]
    (server,) = (one for one in pod["containers"] if one["name"] == "redis")
    *_, script = server["lifecycle"]["preStop"]["exec"]["command"]
    (mounted,) = (one for one in server["volumeMounts"] if script.startswith(one["mountPath"]))
    (volume,) = (one for one in pod["volumes"] if one["name"] == mounted["name"])
    name = volume["configMap"]["name"]
    (kept,) = (one for one in built[overlay] if one["metadata"]["name"] == name)
    text = kept["data"][Path(script).name]
    patience = int(re.search(r"PATIENCE:-(\d+)", text)[1])
    # What the last question may take, and its end with all data written.
    assert patience + 10 < pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_rolling_updates_lose_no_pod(built, overlay):
    for one in built[overlay]:
        if one["kind"] == "Deployment" and one["metadata"]["name"] in {*SERVICES, "nginx"}:
            rolling = one["spec"]["strategy"]["rollingUpdate"]
            assert rolling == {"maxUnavailable": 0, "maxSurge": 1}
            assert of(built[overlay], "PodDisruptionBudget", one["metadata"]["name"])


def test_production_runs_several_of_each(built):
    scaled = {
        one["spec"]["scaleTargetRef"]["name"]: one["spec"]["minReplicas"]
        for one in built["prod"]
        if one["kind"] == "HorizontalPodAutoscaler"
    }
    for one in built["prod"]:
        if one["kind"] == "Deployment":
            name, replicas = one["metadata"]["name"], one["spec"].get("replicas")
            # Both would fight for the number at each apply.
            assert (name in scaled) != (replicas is not None), name
            assert (scaled.get(name) or replicas) >= 2
    kinds = {one["kind"] for one in built["prod"]}
    assert "StatefulSet" not in kinds, "stores are run elsewhere"


def test_production_does_not_let_strangers_in(built):
    settings = of(built["prod"], "ConfigMap", "settings")["data"]
    assert settings["OPENLINE_PUBLIC_URL"].startswith("https://")
    for name in ("AUTH_REGISTRATION", "AUTH_PASSWORD_GRANT", "ECHO_MAX_BYTES", "LIMITS"):
        assert PREFIX + name not in settings
    assert {
        one["spec"].get("type", "ClusterIP") for one in built["prod"] if one["kind"] == "Service"
    } == {"ClusterIP"}


# -------------------------------------------------------------------------------- what it takes from the other files


OF_ALL = [
    ("nginx", "nginx/*.*", NOT_IN_PODS),
    ("web", "web/*.*", {"kustomization.yaml"}),
    ("namespaces", "deploy/namespaces.toml", set()),
]
OF_TRIALS = [
    ("redis", "deploy/redis/*", {"kustomization.yaml", "restore.sh", "cluster.sh"}),
    ("postgres", "deploy/postgres/*.*", {"kustomization.yaml"}),
    ("prometheus", "deploy/prometheus/**/*.yml", {"tests"}),
    ("alertmanager", "deploy/alertmanager/*.yml", set()),
    ("grafana", "deploy/grafana/provisioning/*/*.yml", set()),
    ("grafana-dashboards", "deploy/grafana/dashboards/*.json", set()),
]


@pytest.mark.parametrize(
    ("overlay", "config"),
    [*(("prod", c) for c in OF_ALL), *(("dev", c) for c in OF_ALL + OF_TRIALS)],
)
def test_configmaps_are_the_files(built, overlay, config):
    name, pattern, without = config
    data = dict(of(built[overlay], "ConfigMap", name)["data"])
    found = [p for p in ROOT.glob(pattern) if not without & {p.name, p.parent.name}]
    data.pop("containers-clients.conf", None)
    assert data == {p.name: p.read_text("utf-8") for p in found}


def test_volumes_show_the_files_that_settings_name(built):
    for service in SERVICES:
        pod = dict(manifests.pods(built["dev"]))[service]
        given = environment(built["dev"], pod["containers"][0])
        mounted = set()
        for mount in pod["containers"][0]["volumeMounts"]:
            (volume,) = [v for v in pod["volumes"] if v["name"] == mount["name"]]
            source = volume.get("secret", {}).get("secretName") or volume.get("configMap", {}).get(
                "name"
            )
            found = [one for one in built["dev"] if one["metadata"]["name"] == source]
            mounted |= {f"{mount['mountPath']}/{key}" for one in found for key in one["data"]}
        named = {v for n, v in given.items() if n.endswith(FILE)}
        if service == "auth":
            named.add(given["OPENLINE_AUTH_KEYS"] + "/keyring.json")
        else:
            named.add(given["OPENLINE_NAMESPACES"])
        assert named <= mounted


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_images_have_tags_and_are_those_of_compose(built, overlay):
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text("utf-8"))["x-images"]
    defaults = {re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", value) for value in compose.values()}
    for name, pod in manifests.pods(built[overlay]):
        for container in manifests.containers(pod):
            ours = re.fullmatch(
                # Never a name that a stranger could register.
                r"(localhost|registry\.invalid)/openline/(gateway|auth|publisher|loadtest):dev",
                container["image"],
            )
            assert ours or container["image"] in defaults, name


def test_the_kubernetes_versions_are_those_of_the_page():
    page = (ROOT / "docs" / "deploy" / "kubernetes.md").read_text("utf-8")
    assert f"{OLDEST} to {NEWEST}" in page


def test_checkov_skips_what_is_explained():
    assert all(len(reason) > 20 for reason in check_k8s.SKIPPED.values())
    lock = (ROOT / "requirements-tools.txt").read_text("utf-8")
    assert "checkov==" in lock
    assert "://" not in lock, "a lock has no addresses"
    assert "tools" in tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]


def test_the_operators_rules_are_those_of_prometheus():
    assert prometheus_rules.TARGET.read_text("utf-8") == prometheus_rules.render()


def test_monitoring_scrapes_ports_that_there_are_under_the_names_that_rules_know(overlays, built):
    """In production, with what its overlay only names switched on."""
    overlay = overlays / "prod" / "kustomization.yaml"
    text = overlay.read_text("utf-8")
    overlay.write_text(text.replace("  # - ../../components", "  - ../../components"), "utf-8")
    try:
        objects = manifests.documents(manifests.build(overlay.parent))
    finally:
        overlay.write_text(text, "utf-8")
    pods = dict(manifests.pods(objects))
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text("utf-8"))
    jobs = {scraped["job_name"] for scraped in prometheus["scrape_configs"]}
    monitors = [one["spec"] for one in objects if one["kind"] == "PodMonitor"]
    for monitor in monitors:
        (name,) = monitor["selector"]["matchLabels"].values()
        (endpoint,) = monitor["podMetricsEndpoints"]
        assert endpoint["port"] in {p["name"] for c in pods[name]["containers"] for p in c["ports"]}
        assert endpoint["relabelings"][0]["replacement"] in jobs
        assert endpoint["honorLabels"], "the label namespace is ours"
    assert {"openline-" + n for n in ("gateway", "auth", "publisher", "redis", "nginx")} == {
        monitor["podMetricsEndpoints"][0]["relabelings"][0]["replacement"] for monitor in monitors
    }
    wanted = of(objects, "HorizontalPodAutoscaler", "gateway")["spec"]["metrics"][1]["pods"][
        "metric"
    ]
    values = ROOT / "k8s/components/autoscaling-connections/adapter-values.yaml"
    (rule,) = yaml.safe_load(values.read_text("utf-8"))["rules"]["custom"]
    assert rule["name"]["as"] == wanted["name"] == rule["seriesQuery"].partition("{")[0]
    assert f"`{wanted['name']}`" in (ROOT / "docs/reference/metrics.md").read_text("utf-8")
    assert check_k8s.invalid(objects, NEWEST) == check_k8s.invalid(objects, OLDEST) == []


def test_a_gateway_of_the_cluster_may_stand_where_the_ingress_does(overlays):
    overlay = overlays / "prod" / "kustomization.yaml"
    text = overlay.read_text("utf-8")
    changed = text.replace("  - ../../components/ingress", "  - ../../components/gateway-api")
    overlay.write_text(
        changed.replace("  # - target", "  - target").replace("  #   ", "    "), "utf-8"
    )
    try:
        objects = manifests.documents(manifests.build(overlay.parent))
    finally:
        overlay.write_text(text, "utf-8")
    assert not [one for one in objects if one["kind"] == "Ingress"]
    (route,) = [one["spec"] for one in objects if one["kind"] == "HTTPRoute"]
    (backend,) = route["rules"][0]["backendRefs"]
    service = of(objects, "Service", backend["name"])
    assert backend["port"] in {port["port"] for port in service["spec"]["ports"]}
    assert route["rules"][0]["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    assert "real_ip_header" in of(objects, "ConfigMap", "nginx")["data"]["containers-clients.conf"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_variable_comes_from_a_secrets_file(built, overlay):
    """The file ends with a newline, and a variable would as well."""
    for name, pod in manifests.pods(built[overlay]):
        for container in manifests.containers(pod):
            sources = [one.get("valueFrom", {}) for one in container.get("env", [])]
            assert not any("secretKeyRef" in source for source in sources), name


@pytest.mark.parametrize(
    ("away", "said"),
    [([], ""), (["http://127.0.0.1:9/"], "without an answer from http://127.0.0.1:9/")],
)
def test_nginx_awaits_the_services_but_not_for_ever(away, said):
    command = ["sh", ROOT / "nginx" / "await.sh", "1", *away]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert said in done.stderr
    assert bool(said) == bool(done.stderr)


def asked_by_prometheus():
    """`(name, port)` of those of our services that Prometheus finds by DNS."""
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text("utf-8"))
    jobs = [
        one for scraped in prometheus["scrape_configs"] for one in scraped.get("dns_sd_configs", ())
    ]
    found = {(name, job["port"]) for job in jobs for name in job["names"]}
    return {one for one in found if one[0].removesuffix("-instances") in SERVICES}


@pytest.mark.parametrize("overlay", ["dev", "load", "sentinel", "cluster"])
def test_prometheus_sees_pods_that_are_not_ready_and_nginx_does_not(built, overlay):
    pods = dict(manifests.pods(built[overlay]))
    found = set()
    for name, port in asked_by_prometheus():
        service = of(built[overlay], "Service", name)["spec"]
        assert service["clusterIP"] == "None"
        # Else an alert about a gateway that is deaf or not ready would have nothing to look at.
        assert service["publishNotReadyAddresses"] is True
        pod = service["selector"]["app.kubernetes.io/name"]
        assert port in {one["containerPort"] for c in pods[pod]["containers"] for one in c["ports"]}
        found.add(pod)
    assert found == set(SERVICES)
    upstreams = (ROOT / "nginx" / "containers-upstreams.conf").read_text("utf-8")
    for name in re.findall(r"server (\S+):\d+ resolve", upstreams):
        assert not of(built[overlay], "Service", name)["spec"].get("publishNotReadyAddresses")


@pytest.mark.parametrize("file", ["compose.yaml", "compose.external.yaml"])
def test_compose_has_the_names_that_prometheus_asks_for(file):
    # Its own tags say what an override does with a list.
    text = re.sub(r"!(override|reset)\b", "", (ROOT / "deploy" / file).read_text("utf-8"))
    services = yaml.safe_load(text)["services"]
    aliases = {a for name in SERVICES for a in services[name]["networks"]["front"]["aliases"]}
    assert aliases == {name for name, _ in asked_by_prometheus()}


# ------------------------------------------------------------------------------------------------------- the secrets


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_missing_secret_says_what_to_run(overlays, overlay, tmp_path):
    shutil.copytree(overlays.parents[1], tmp_path / "sources")
    folder = tmp_path / "sources" / "k8s" / "overlays" / overlay
    one = "load_client_secret" if overlay == "load" else "redis_url"
    (folder / FOLDER / one).unlink()
    with pytest.raises(RuntimeError, match=f"made-by-make-k8s-secrets/{one}"):
        manifests.build(folder)
    shutil.rmtree(folder / "secrets")
    with pytest.raises(RuntimeError, match="made-by-make-k8s-secrets"):
        manifests.build(folder)


def test_secrets_are_made_once_and_stay_out_of_git(overlays):
    kept = {o: (overlays / o / FOLDER / "redis_url").read_text() for o in ("dev", "prod")}
    assert kept["dev"].endswith("@redis:6379/0\n"), "the environment's is that of prod"
    assert kept["prod"].startswith("rediss://")
    before = {p: p.read_bytes() for p in overlays.glob("*/secrets/*/*")}
    manifests.make_secrets(overlays)
    assert {p: p.read_bytes() for p in overlays.glob("*/secrets/*/*")} == before
    assert not any(p.stat().st_mode & 0o077 for p in overlays.glob("*/secrets/*"))
    ignored = subprocess.run(
        ["git", "check-ignore", "-q", "k8s/overlays/dev/secrets/x"], cwd=ROOT, check=False
    )
    assert ignored.returncode == 0


def test_a_rotation_signs_with_the_key_that_was_published_before(overlays, tmp_path):
    folder = tmp_path / "overlays" / "dev"
    shutil.copytree(overlays / "dev", folder)
    keyring = folder / FOLDER / "keyring.json"
    before = {key["state"]: key["kid"] for key in json.loads(keyring.read_text())["keys"]}
    assert k8s_secrets.main(["--rotate", "dev", "--overlays", str(folder.parent)]) == 0
    after = {key["state"]: key["kid"] for key in json.loads(keyring.read_text())["keys"]}
    assert (after["current"], after["retired"]) == (before["next"], before["current"])


def test_each_server_of_the_sentinels_names_itself_and_is_asked_and_watched_by_its_name(built):
    """What servers and Sentinels are told, what services ask, and what Prometheus asks are the same pods."""
    pod = dict(manifests.pods(built["sentinel"]))["redis"]
    claimed = of(built["sentinel"], "StatefulSet", "redis")["spec"]
    hosts = [f"redis-{number}.{claimed['serviceName']}" for number in range(claimed["replicas"])]
    told = {c["name"]: environment(built["sentinel"], c) for c in pod["containers"]}
    assert told["redis"]["NODES"].split() == told["redis"]["SENTINELS"].split() == hosts
    assert told["redis"]["FIRST"] == told["sentinel"]["FIRST"] == hosts[0]
    secret = of(built["sentinel"], "Secret", "services")["data"]["redis_url"]
    named = re.search(r"@(.+)/openline/0", base64.b64decode(secret).decode())[1]
    assert named.split(",") == [f"{host}:26379" for host in hosts]
    exporter = of(built["sentinel"], "Service", "redis-exporter")["spec"]
    assert exporter["selector"] == {"app.kubernetes.io/name": "redis"}
    assert "redis-exporter" not in dict(manifests.pods(built["sentinel"]))


def test_each_server_of_the_cluster_is_named_to_the_others_to_services_and_to_prometheus(built):
    objects = built["cluster"]
    pod = dict(manifests.pods(objects))["redis"]
    claimed = of(objects, "StatefulSet", "redis")["spec"]
    hosts = [f"redis-{n}.{claimed['serviceName']}:6379" for n in range(claimed["replicas"])]
    told = {c["name"]: environment(objects, c) for c in pod["containers"]}
    assert told["meet"]["NODES"].split() == hosts
    assert told["meet"]["SELF"] == "$(POD).redis:6379"
    secret = of(objects, "Secret", "services")["data"]["redis_url"]
    assert base64.b64decode(secret).decode().strip().partition("@")[2].split(",") == hosts
    partitions = {
        environment(objects, dict(manifests.pods(objects))[service]["containers"][0])[
            "OPENLINE_PARTITIONS"
        ]
        for service in SERVICES
    }
    assert partitions == {"4"}
    exporter = of(objects, "Service", "redis-exporter")["spec"]
    assert exporter["selector"] == {"app.kubernetes.io/name": "redis"}
    assert "redis-exporter" not in dict(manifests.pods(objects))


def test_production_without_its_stores_is_refused(overlays, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "overlays" / "prod"
    shutil.copytree(overlays / "prod", folder)
    shutil.rmtree(folder / "secrets")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("REDIS_URL", "rediss://:password@redis.example.org:6379/0")
    assert k8s_secrets.main(["prod", "--overlays", str(folder.parent)]) == 1
    assert "prod needs DATABASE_URL: make k8s-secrets OVERLAY=prod" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------- names in the cluster


@pytest.mark.parametrize(
    ("resolv", "expected"),
    [
        (
            "search shop.svc.cluster.local svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n",
            ("resolver 10.96.0.10 valid=1s ipv6=off;", "gateway.shop.svc.cluster.local:8101"),
        ),
        (
            "nameserver fd00::a\nnameserver fd00::b\nsearch x.svc.example.org\n",
            ("resolver [fd00::a] valid=1s;", "publisher.x.svc.example.org:8300"),
        ),
    ],
)
def test_nginx_gets_the_resolver_and_whole_names_of_its_pod(tmp_path, resolv, expected):
    (tmp_path / "resolv.conf").write_text(resolv)
    done = fill(tmp_path)
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "containers-upstreams.conf").read_text()
    assert all(text in written for text in expected)
    assert "127.0.0.11" not in written
    source = (ROOT / "nginx" / "containers-upstreams.conf").read_text()
    assert len(written.splitlines()) == len(source.splitlines())
    assert written.count(".svc.") == source.count("resolve max_fails") == 4


def test_nginx_does_not_start_without_them(tmp_path):
    (tmp_path / "resolv.conf").write_text("nameserver 10.96.0.10\n")
    assert fill(tmp_path).returncode == 1


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nginx_runs_a_worker_for_each_core_that_it_may_use(built, overlay, tmp_path, monkeypatch):
    """Not for each of the node's: before it has a client a worker takes 15 MB of the pod's limit."""
    pod = dict(manifests.pods(built[overlay]))["nginx"]
    (given,) = [
        one for c in pod["initContainers"] for one in c.get("env", []) if one["name"] == "CPUS"
    ]
    cores = cpus(pod, given["valueFrom"]["resourceFieldRef"])
    (tmp_path / "resolv.conf").write_text("search a.b\nnameserver 10.96.0.10\n")
    monkeypatch.setenv("CPUS", str(cores))
    assert fill(tmp_path).returncode == 0
    assert f"\nworker_processes {cores};\n" in (tmp_path / "containers-main.conf").read_text()
    assert cores == {"prod": 2}.get(overlay, 1)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nginx_is_given_the_settings_from_which_it_takes_its_limits(built, overlay, tmp_path):
    (tmp_path / "resolv.conf").write_text("search a.b\nnameserver 10.96.0.10\n")
    assert fill(tmp_path).returncode == 0
    assert (tmp_path / "limits.sh").read_text() == (ROOT / "nginx" / "limits.sh").read_text()
    pod = dict(manifests.pods(built[overlay]))["nginx"]
    (nginx,) = [one for one in pod["containers"] if one["name"] == "nginx"]
    (given,) = [one["configMapRef"]["name"] for one in nginx["envFrom"]]
    assert given.startswith("settings")


def fill(folder):
    command = [
        "sh",
        ROOT / "nginx" / "kubernetes.sh",
        ROOT / "nginx",
        folder,
        folder / "resolv.conf",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
