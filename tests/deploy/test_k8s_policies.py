"""Who may connect to whom, by the network policies: what is needed, and nothing else.

Evaluated here as the API describes it: a connection passes when a policy of each side, that has one, lets it.
"""

from __future__ import annotations

import itertools

import pytest

from scripts import manifests
from scripts.manifests import OVERLAYS

pytestmark = pytest.mark.deploy

SERVICES = {"gateway", "auth", "publisher"}
# Who connects to a port, of the pods of the namespace.
NEEDED = {
    ("nginx", 8080): {"locust", "locust-worker"},
    ("gateway", 8101): {"nginx", "prometheus"},
    ("auth", 8200): {"nginx", "prometheus", *SERVICES},
    ("publisher", 8300): {"nginx", "prometheus"},
    ("redis", 6379): {"redis-exporter", *SERVICES},
    ("redis", 26379): set(),
    ("redis", 16379): set(),
    ("postgres", 5432): {"auth", "loadtest-client"},
    ("nginx", 9113): {"prometheus"},
    ("redis-exporter", 9121): {"prometheus"},
    ("prometheus", 9090): {"grafana"},
    ("alertmanager", 9093): {"prometheus"},
    ("locust", 5557): {"locust-worker"},
}

# Servers that Sentinels choose from talk to each other, and services ask the Sentinels.
SENTINELS = {
    ("redis", 6379): {"redis", *SERVICES},
    ("redis", 26379): {"redis", *SERVICES},
    ("redis", 9121): {"prometheus"},
}

# Servers of a Cluster talk to each other, by their bus as well.
CLUSTER = {
    ("redis", 6379): {"redis", *SERVICES},
    ("redis", 16379): {"redis"},
    ("redis", 9121): {"prometheus"},
}


@pytest.fixture(scope="module")
def overlays(tmp_path_factory):
    copied = manifests.copy(tmp_path_factory.mktemp("sources"))
    manifests.make_secrets(copied)
    return copied


@pytest.fixture(scope="module", params=OVERLAYS)
def objects(request, overlays):
    return manifests.documents(manifests.build(overlays / request.param))


def labels(objects):
    """Each pod's labels, by its workload."""
    return {
        one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"]
        for one in objects
        if one["kind"] in ("Deployment", "StatefulSet", "Job")
    }


def selects(selector, found):
    wanted = selector.get("matchLabels", {})
    among = selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in among)
    return wanted.items() <= found.items() and all(
        found.get(one["key"]) in one["values"] for one in among
    )


def admits(rule, side, other, port):
    """Whether a rule lets a pod of this namespace through."""
    if rule.get("ports") and port not in {one["port"] for one in rule["ports"]}:
        return False
    peers = rule.get(side)
    # A selector of namespaces by label never means this one, which has none of those labels.
    return peers is None or any(
        "ipBlock" not in peer
        and not peer.get("namespaceSelector", {}).get("matchLabels")
        and selects(peer.get("podSelector", {}), other)
        for peer in peers
    )


def passes(objects, direction, pod, other, port):
    """Whether the policies that select a pod let a connection through in this direction."""
    key, side = direction.lower(), {"Ingress": "from", "Egress": "to"}[direction]
    policies = [
        one["spec"]
        for one in objects
        if one["kind"] == "NetworkPolicy"
        and direction in one["spec"]["policyTypes"]
        and selects(one["spec"]["podSelector"], pod)
    ]
    rules = itertools.chain.from_iterable(policy.get(key, []) for policy in policies)
    return not policies or any(admits(rule, side, other, port) for rule in rules)


def test_only_those_who_need_to_connect_can(objects):
    pods = labels(objects)
    policies = {one["metadata"]["name"] for one in objects if one["kind"] == "NetworkPolicy"}
    needs = NEEDED | (SENTINELS if "redis-sentinel" in policies else {})
    needs |= CLUSTER if "redis-cluster" in policies else {}
    for (target, port), needed in needs.items():
        if target not in pods:
            continue
        allowed = {
            name
            for name, found in pods.items()
            if passes(objects, "Ingress", pods[target], found, port)
            and passes(objects, "Egress", found, pods[target], port)
        }
        assert allowed == needed & set(pods), f"{target}:{port}"


def test_pods_of_elsewhere_reach_the_front_door_alone(objects):
    pods = labels(objects)
    stranger = {"app.kubernetes.io/name": "stranger"}
    reached = {
        (target, port)
        for target, port in NEEDED
        if target in pods and passes(objects, "Ingress", pods[target], stranger, port)
    }
    assert reached == {("nginx", 8080)}


def test_each_pod_resolves_names_and_is_under_a_policy(objects):
    dns = {"k8s-app": "kube-dns"}
    for name, found in labels(objects).items():
        assert passes(objects, "Egress", found, dns, 53), name
        assert not passes(objects, "Egress", found, {}, 4444), name
        assert not passes(objects, "Ingress", found, {}, 4444), name
