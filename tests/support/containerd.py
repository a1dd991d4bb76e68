"""containerd in a machine, driven over the Container Runtime Interface as a kubelet would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import grpc
from cri_api.v1 import api_pb2 as cri
from cri_api.v1.api_pb2_grpc import RuntimeServiceStub

from netloom.lab.agents import wait_until
from netloom.lab.patience import patient
from support import image
from support.machine import CGROUP, WITHIN_S, Machine
from support.runtimes import SERVE, Output, Pod, RuntimeFailure

SOCKET = "/run/containerd/containerd.sock"
NAMESPACE = "shop"
"""Of pods, as Kubernetes has it."""
CALL_WITHIN_S = patient(120.0)
_FILE = "/etc/containerd/netloom-test.toml"
_LOG = "/run/containerd.log"
_MISSING = ", ".join(f'"io.containerd.snapshotter.v1.{name}"' for name in ("aufs", "btrfs", "devmapper", "zfs"))
_CONFIG = f"""
version = 2
disabled_plugins = [{_MISSING}]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image.NAME}"
  # Neither AppArmor nor a lower OOM score is a process's to use that itself runs in a container.
  disable_apparmor = true
  restrict_oom_score_adj = true
"""
_CHANNEL = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 50)]
"""A daemon that has just been started is not there at the first look."""


class Containerd:
    """The daemon and its client. Pods outlive the daemon; the machine ends them."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        machine.file(_FILE).parent.mkdir(exist_ok=True)
        machine.file(_FILE).write_text(_CONFIG)
        self._channel = grpc.insecure_channel(f"unix:{machine.file(SOCKET)}", _CHANNEL)
        self._cri = RuntimeServiceStub(self._channel)
        self.start()

    def start(self) -> None:
        """Start the daemon and wait until it serves."""
        with self._machine.file(_LOG).open("ab") as log:
            self._daemon = self._machine.popen("containerd", "--config", _FILE, stdout=log, stderr=log)
        assert wait_until(lambda: self._daemon.poll() is not None or self._serves(), WITHIN_S), self._log_text()
        assert self._daemon.poll() is None, self._log_text()

    def kill(self) -> None:
        """End the daemon as a crash would."""
        self._daemon.kill()
        self._daemon.wait()

    def close(self) -> None:
        """End the daemon in peace."""
        self._channel.close()
        self._daemon.terminate()
        self._daemon.wait(WITHIN_S)

    def load(self, archive: Path) -> None:
        """Import an image."""
        self._machine.run("ctr", "--address", SOCKET, "--namespace", "k8s.io", "images", "import", str(archive))

    def start_pod(self, name: str) -> Pod:
        """A sandbox and a container in it."""
        config = sandbox_config(name)
        sandbox = self.start_sandbox(config)
        container = self._start_container(sandbox, config)
        addresses = self.addresses(sandbox)
        return Pod(name=name, container_id=sandbox, addresses=addresses, workload=container)

    def start_sandbox(self, config: cri.PodSandboxConfig) -> str:
        """A pod with its network and no container yet; its number."""
        with _failures():
            request = cri.RunPodSandboxRequest(config=config)
            return str(self._cri.RunPodSandbox(request, timeout=CALL_WITHIN_S).pod_sandbox_id)

    def addresses(self, sandbox: str) -> tuple[str, ...]:
        """Of a pod."""
        with _failures():
            request = cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox)
            network = self._cri.PodSandboxStatus(request, timeout=CALL_WITHIN_S).status.network
            return (network.ip, *(one.ip for one in network.additional_ips))

    def execute(self, pod: Pod, *argv: str) -> Output:
        """In the pod's container."""
        with _failures():
            request = cri.ExecSyncRequest(container_id=pod.workload, cmd=argv, timeout=int(WITHIN_S))
            done = self._cri.ExecSync(request, timeout=CALL_WITHIN_S)
            return Output(status=done.exit_code, text=(done.stdout + done.stderr).decode())

    def end_pod(self, pod: Pod) -> None:
        """As the kubelet does it, in two steps."""
        self.stop_sandbox(pod.container_id)
        self.remove_sandbox(pod.container_id)

    def tidy(self, name: str) -> None:
        """It keeps nothing."""

    def stop_sandbox(self, sandbox: str) -> None:
        """End its containers and take its network away."""
        with _failures():
            self._cri.StopPodSandbox(cri.StopPodSandboxRequest(pod_sandbox_id=sandbox), timeout=CALL_WITHIN_S)

    def remove_sandbox(self, sandbox: str) -> None:
        """Forget it, after stopping it where that has not been done."""
        with _failures():
            self._cri.RemovePodSandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox), timeout=CALL_WITHIN_S)

    def sandboxes(self) -> list[str]:
        """Numbers of all there are."""
        listed = self._cri.ListPodSandbox(cri.ListPodSandboxRequest(), timeout=CALL_WITHIN_S)
        return [str(item.id) for item in listed.items]

    def network_ready(self) -> bool:
        """Whether it would give a new pod a network."""
        conditions = self._cri.Status(cri.StatusRequest(), timeout=CALL_WITHIN_S).status.conditions
        return any(one.type == "NetworkReady" and one.status for one in conditions)

    def _start_container(self, sandbox: str, config: cri.PodSandboxConfig) -> str:
        container = cri.ContainerConfig(
            metadata=cri.ContainerMetadata(name="main"),
            image=cri.ImageSpec(image=image.NAME),
            command=["/bin/sh", "-c", SERVE, config.metadata.name],
            linux=cri.LinuxContainerConfig(),
        )
        create = cri.CreateContainerRequest(pod_sandbox_id=sandbox, config=container, sandbox_config=config)
        with _failures():
            number = str(self._cri.CreateContainer(create, timeout=CALL_WITHIN_S).container_id)
            self._cri.StartContainer(cri.StartContainerRequest(container_id=number), timeout=CALL_WITHIN_S)
        return number

    def _serves(self) -> bool:
        try:
            self._cri.Version(cri.VersionRequest(), timeout=1)
        except grpc.RpcError:
            return False
        return True

    def _log_text(self) -> str:
        return self._machine.file(_LOG).read_text()


def sandbox_config(name: str, annotations: Mapping[str, str] | None = None) -> cri.PodSandboxConfig:
    """A pod as the kubelet asks for it."""
    return cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(name=name, uid=str(uuid4()), namespace=NAMESPACE),
        hostname=name,
        annotations=annotations,
        linux=cri.LinuxPodSandboxConfig(cgroup_parent=CGROUP),
    )


@contextmanager
def _failures() -> Iterator[None]:
    """The errors of gRPC, as tests of any runtime expect them."""
    try:
        yield
    except grpc.RpcError as error:
        raise RuntimeFailure(error.details()) from error
