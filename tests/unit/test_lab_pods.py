"""What a lab's runtime says of a pod."""

from __future__ import annotations

from typing import Any

from netloom.lab.pods import environment, network_config
from netloom.lab.topology import LabPod, files_of
from netloom.model.policy import Protocol
from netloom.model.ports import NamedPort


def pod(**more: Any) -> LabPod:
    return LabPod(name="web-1", netns="lab-web-1", node="node1", container_id="c1", **more)


def test_a_pod_without_labels_has_its_name_as_one() -> None:
    assert network_config(files_of("lab"), pod())["args"] == {"cni": {"labels": [{"key": "app", "value": "web-1"}]}}
    assert "K8S_POD_NAMESPACE=default;" in environment("ADD", pod())["CNI_ARGS"]


def test_a_pod_comes_with_its_namespace_labels_and_named_ports() -> None:
    shop = pod(namespace="shop", labels=(("tier", "front"),), ports=(NamedPort("http", Protocol.TCP, 80),))
    assert network_config(files_of("lab"), shop)["args"] == {
        "cni": {
            "labels": [{"key": "tier", "value": "front"}],
            "ports": [{"name": "http", "protocol": "TCP", "containerPort": 80}],
        }
    }
    assert "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1" in environment("ADD", shop)["CNI_ARGS"]
