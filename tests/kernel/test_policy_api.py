"""Policies over the agent's API: imports that are whole or nothing, answers that fit the document, what persists."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonschema
import pytest

from netloom.agent.openapi import OPERATIONS
from support.netns import NamespaceFactory
from support.node import NodeUnderTest
from support.policies import written

pytestmark = pytest.mark.kernel

ISOLATES = "endpointSelector: {}\ningress: [{fromEndpoints: [{matchLabels: {app: x}}]}]\n"
DENIES = "endpointSelector: {}\ningressDeny: [{fromEntities: [world]}]\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 8)}]\n" for n in range(8)
)


@pytest.fixture(autouse=True)
def _nothing_left_by_the_test() -> None:
    """The module's tests share an agent; the end of the run is where all must be gone."""


@pytest.fixture
def node(shop_node: NodeUnderTest) -> NodeUnderTest:
    """Without any policy."""
    shop_node.request("DELETE", "/v1/policies", {"all": True})
    return shop_node


def put(node: NodeUnderTest, *texts: str, **more: Any) -> tuple[int, Any]:
    files = [{"name": f"{number}.yaml", "text": text} for number, text in enumerate(texts)]
    return node.request("PUT", "/v1/policies", {"files": files, **more})


def named(name: str, spec: str = ISOLATES) -> str:
    """A policy of the namespace ``shop``."""
    return written(spec, namespace="shop").replace("name: p,", f"name: {name},")


def names(node: NodeUnderTest) -> list[str]:
    return [row["name"] for row in node.get("/v1/policies")["policies"]]


def fits(node: NodeUnderTest, method: str, path: str, answer: Any) -> None:
    document = node.get("/v1/openapi.json")
    assert (method, path) in {(operation.method, operation.path) for operation in OPERATIONS}
    schema = document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(answer, {**schema, "components": document["components"]})


def test_an_import_is_enforced_when_it_is_answered(node: NodeUnderTest) -> None:
    status, answer = put(node, named("one"))
    assert status == 200, answer
    fits(node, "put", "/v1/policies", answer)
    assert [row["change"] for row in answer["policies"]] == ["created"]
    view = node.get("/v1/status")
    assert (view["policy"]["policies"], view["policy"]["enforced_revision"]) == (1, answer["revision"])
    assert node.get("/v1/endpoints/1")["policy"] == {"ingress": "Enabled", "egress": "Disabled"}


def test_an_import_tells_created_from_changed_from_unchanged(node: NodeUnderTest) -> None:
    put(node, named("one"), named("two"))
    _, answer = put(node, named("one"), named("two", DENIES), named("three"))
    assert [row["change"] for row in answer["policies"]] == ["unchanged", "changed", "created"]


def test_what_changes_nothing_is_no_new_revision(node: NodeUnderTest) -> None:
    before = put(node, named("one"))[1]["revision"]
    assert put(node, named("one"))[1]["revision"] == before


def test_one_bad_file_refuses_the_import_with_every_problem_of_every_file(node: NodeUnderTest) -> None:
    status, answer = put(node, named("good"), named("bad", "endpointSelector: {}\nfoo: 1\n"), "[", BOMB)
    assert (status, names(node)) == (400, [])
    jsonschema.validate(answer, node.get("/v1/openapi.json")["components"]["schemas"]["Error"])
    problems = answer["error"]["problems"]
    assert [problem["file"] for problem in problems] == ["1.yaml", "2.yaml", "3.yaml"]
    assert (problems[0]["line"], problems[0]["key"], problems[0]["found"]) == (7, "spec.foo", "an unknown field")
    assert "more than 1000000 values" in problems[2]["found"]


def test_a_policy_may_stand_in_one_file_alone(node: NodeUnderTest) -> None:
    status, answer = put(node, named("one"), named("one"))
    assert (status, answer["error"]["problems"][0]["file"], names(node)) == (400, "1.yaml", [])


@pytest.mark.parametrize("body", [None, "x", {"files": "x"}, {"files": [{"name": "a"}]}, {"files": [], "more": 1}])
def test_a_body_of_another_shape_is_refused(node: NodeUnderTest, body: object) -> None:
    status, answer = node.request("PUT", "/v1/policies", body)
    assert (status, answer["error"]["kind"]) == (400, "invalid")


def test_files_without_any_policy_are_told_so(node: NodeUnderTest) -> None:
    status, answer = put(node, "", "---\n")
    assert (status, answer["error"]["message"]) == (400, "nothing to import: 0.yaml, 1.yaml hold no policy")


def test_a_file_larger_than_any_other_request_may_be_is_taken(node: NodeUnderTest) -> None:
    status, answer = put(node, named("one") + "\n#" + "x" * (3 << 20))
    assert status == 200, answer


def test_a_dry_run_warns_and_leaves_everything_as_it_was(node: NodeUnderTest) -> None:
    before = node.get("/v1/policies")
    _, answer = put(node, named("one"), written(ISOLATES, namespace="empty"), dry_run=True)
    assert node.get("/v1/policies") == before
    assert [item["sentence"] for item in answer["advice"]] == ["the policy selects no identity that is known"]


def test_an_entry_that_another_policy_denies_altogether_is_advised_of(node: NodeUnderTest) -> None:
    put(node, named("deny", "endpointSelector: {}\ningressDeny: [{fromEndpoints: [{}]}]\n"))
    (advice,) = put(node, named("allow"))[1]["advice"]
    assert (advice["name"], advice["path"], advice["by"]) == (
        "allow",
        "spec.ingress[0]",
        ["CiliumNetworkPolicy/shop/deny"],
    )


def test_a_policy_is_given_back_as_it_was_imported(node: NodeUnderTest) -> None:
    put(node, named("one"))
    answer = node.get("/v1/policies/CiliumNetworkPolicy/shop/one")
    fits(node, "get", "/v1/policies/{kind}/{namespace}/{name}", answer)
    assert put(node, json.dumps(answer["object"]))[1]["policies"][0]["change"] == "unchanged"
    listed = node.get("/v1/policies?objects=true")
    fits(node, "get", "/v1/policies", listed)
    assert [row["object"] for row in listed["policies"]] == [answer["object"]]


def test_a_name_that_does_not_exist_is_named_and_nothing_is_deleted(node: NodeUnderTest) -> None:
    put(node, named("one"))
    status, answer = node.request("DELETE", "/v1/policies", {"names": ["shop/one", "shop/nobody"]})
    assert (status, names(node)) == (404, ["one"])
    assert 'policy "shop/nobody" does not exist' in answer["error"]["message"]


def test_a_policy_deleted_twice_is_gone_the_second_time(node: NodeUnderTest) -> None:
    put(node, named("one"))
    status, answer = node.request("DELETE", "/v1/policies", {"names": ["one", "shop/one"]})
    assert status == 200
    fits(node, "delete", "/v1/policies", answer)
    assert [row["name"] for row in answer["deleted"]] == ["one"]
    assert node.request("DELETE", "/v1/policies", {"names": ["one"]})[0] == 404
    assert node.get("/v1/endpoints/1")["policy"] == {"ingress": "Disabled", "egress": "Disabled"}


@pytest.mark.parametrize("body", [{}, {"names": ["one"], "all": True}])
def test_what_to_delete_must_be_said_in_one_way(node: NodeUnderTest, body: object) -> None:
    put(node, named("one"))
    assert (node.request("DELETE", "/v1/policies", body)[0], names(node)) == (400, ["one"])


def test_waiting_for_a_revision_that_does_not_come_ends_with_how_far_it_is(node: NodeUnderTest) -> None:
    revision = put(node, named("one"))[1]["revision"]
    answer = node.get(f"/v1/policies/wait?revision={revision}")
    fits(node, "get", "/v1/policies/wait", answer)
    assert answer["enforced_revision"] == revision
    status, refused = node.request("GET", f"/v1/policies/wait?revision={revision + 1}&timeout_s=0.1")
    assert (status, refused["error"]["kind"]) == (503, "unavailable")
    assert f"this node is at {revision}" in refused["error"]["message"]


@pytest.mark.parametrize("query", ["revision=x", "revision=-1", "timeout_s=no", "timeout_s=nan", "timeout_s=601"])
def test_a_wait_for_what_is_no_number_is_refused(node: NodeUnderTest, query: str) -> None:
    assert node.request("GET", f"/v1/policies/wait?{query}")[0] == 400


@pytest.mark.parametrize(("path", "name"), [("/v1/policies", "objects"), ("/v1/policies/matrix", "unused")])
def test_what_is_neither_true_nor_false_is_refused(node: NodeUnderTest, path: str, name: str) -> None:
    status, answer = node.request("GET", f"{path}?{name}=yes")
    assert (status, answer["error"]["message"]) == (400, f'{name} "yes" is neither true nor false')


def test_selectors_are_listed_with_whom_they_select(node: NodeUnderTest) -> None:
    put(node, named("one"), named("two"))
    rows = {row["selector"]: row for row in node.get("/v1/policies/selectors")}
    identity = node.get("/v1/endpoints/1")["identity"]
    subjects = rows["k8s:io.kubernetes.pod.namespace=shop"]
    assert (subjects["users"], subjects["identities"]) == (2, [identity])


def trace(node: NodeUnderTest, source: str, destination: str, *services: str) -> list[str]:
    status, answer = node.request(
        "POST", "/v1/policies/trace", {"source": source, "destination": destination, "services": services}
    )
    assert status == 200, answer
    fits(node, "post", "/v1/policies/trace", answer)
    return [one["verdict"] for one in answer["traces"]]


def test_a_trace_answers_by_labels_addresses_and_names(node: NodeUnderTest) -> None:
    put(node, named("one"))
    assert (
        trace(node, "app=x,io.kubernetes.pod.namespace=shop,more=1", "shop/web-1", "80/tcp", "8/icmp")
        == ["allowed"] * 2
    )
    assert trace(node, "app=y,io.kubernetes.pod.namespace=shop", "web-1", "80/tcp") == ["denied by default"]
    assert trace(node, "world", "10.244.1.2", "80/tcp") == ["denied by default"]
    assert trace(node, "host", "ep:1", "80/tcp") == ["allowed"]


def test_a_question_about_labels_that_nobody_has_leaves_no_trace(node: NodeUnderTest) -> None:
    before = node.get("/v1/identities"), node.get("/v1/policies"), node.get("/v1/maps/subjects")
    trace(node, "app=never", "web-1", "80/tcp")
    assert (node.get("/v1/identities"), node.get("/v1/policies"), node.get("/v1/maps/subjects")) == before


@pytest.mark.parametrize(
    ("source", "services", "status"),
    [
        ("nobody", ["80/tcp"], 404),
        ("10.0.0.1/8", ["80"], 400),
        ("world", [], 400),
        ("world", ["70000"], 400),
        ("world", ["http"], 404),
    ],
)
def test_a_question_that_cannot_be_answered_is_an_error(
    node: NodeUnderTest, source: str, services: list[str], status: int
) -> None:
    body = {"source": source, "destination": "web-1", "services": services}
    assert node.request("POST", "/v1/policies/trace", body)[0] == status


def what_if(node: NodeUnderTest, *texts: str, delete: tuple[str, ...] = ()) -> Any:
    files = [{"name": f"{number}.yaml", "text": text} for number, text in enumerate(texts)]
    status, answer = node.request("POST", "/v1/policies/what-if", {"files": files, "delete": delete})
    assert status == 200, answer
    fits(node, "post", "/v1/policies/what-if", answer)
    return answer


def test_what_if_tells_what_would_change_and_changes_nothing(node: NodeUnderTest) -> None:
    put(node, named("one", DENIES))
    before = node.get("/v1/policies"), node.get("/v1/maps/subjects")
    answer = what_if(node, named("two"), delete=("one",))
    pairs = {(cell["source"]["name"], bool(cell["opened"]), bool(cell["closed"])) for cell in answer["cells"]}
    assert pairs == {("shop: app=x", True, False)}
    assert (node.get("/v1/policies"), node.get("/v1/maps/subjects")) == before
    assert what_if(node, named("one", DENIES))["changes"] is False


def test_what_if_needs_something_that_would_be_another(node: NodeUnderTest) -> None:
    assert node.request("POST", "/v1/policies/what-if", {})[0] == 400
    assert node.request("POST", "/v1/policies/what-if", {"delete": ["none"]})[0] == 404


def test_the_matrix_shows_who_reaches_the_pod(node: NodeUnderTest) -> None:
    put(node, named("one"))
    answer = node.get("/v1/policies/matrix?namespace=shop")
    fits(node, "get", "/v1/policies/matrix", answer)
    ends = [end["name"] for end in answer["ends"]]
    assert ends == ["shop: app=x", "host (own node)", "remote-node", "world"]
    assert answer["ends"][0]["pods"] == ["shop/web-1"]
    reach = {ends[cell["source"]]: bool(cell["reach"]) for cell in answer["cells"] if cell["destination"] == 0}
    assert reach == {"shop: app=x": True, "host (own node)": True, "remote-node": False, "world": False}


@pytest.mark.parametrize("query", ["label=no%20label", "nonsense=1"])
def test_a_matrix_narrowed_by_nonsense_is_refused(node: NodeUnderTest, query: str) -> None:
    assert node.request("GET", f"/v1/policies/matrix?{query}")[0] == 400


def test_imports_at_once_do_not_mix(node: NodeUnderTest) -> None:
    """Of two imports of the same policies, all are one's or all the other's; and the agent resyncs meanwhile."""
    count = 20
    imports = [[named(f"p{number}", spec) for number in range(count)] for spec in (ISOLATES, DENIES)] * 3
    with ThreadPoolExecutor(max_workers=len(imports)) as workers:
        answers = list(workers.map(lambda texts: put(node, *texts), imports))
    assert {status for status, _ in answers} == {200}
    objects = [row["object"]["spec"] for row in node.get("/v1/policies?objects=true")["policies"]]
    assert (len(objects), len({json.dumps(spec, sort_keys=True) for spec in objects})) == (count, 1)
    revision = node.get("/v1/policies/wait")["enforced_revision"]
    assert revision == node.get("/v1/policies")["revision"]


def test_policies_outlive_the_agent(node: NodeUnderTest) -> None:
    put(node, named("one"))
    before = node.get("/v1/policies?objects=true")["policies"], node.get("/v1/maps/subjects")
    for number in (signal.SIGTERM, signal.SIGKILL):
        node.stop(number)
        node.start()
        assert (node.get("/v1/policies?objects=true")["policies"], node.get("/v1/maps/subjects")) == before


def test_metrics_tell_of_policies(node: NodeUnderTest) -> None:
    put(node, named("one"))
    lines = node.request("GET", "/metrics")[1].splitlines()
    assert "netloom_policies 1.0" in lines
    assert "netloom_policy_subjects_closed 0.0" in lines
    identity = node.get("/v1/endpoints/1")["identity"]
    assert any(line.startswith(f'netloom_policy_table_entries{{identity="{identity}"}} ') for line in lines)


def test_an_identity_whose_policies_do_not_fit_is_told_of_as_closed(
    tmp_path: Any, make_netns: NamespaceFactory
) -> None:
    """And is open again as soon as they do."""
    node = NodeUnderTest(tmp_path, make_netns)
    node.write_config(more="maps: {policy_entries: 16}\n")
    ports = ", ".join(f'{{port: "{number * 2}", protocol: TCP}}' for number in range(1, 31))
    try:
        node.start()
        node.attach(make_netns("pod"), CNI_ARGS="K8S_POD_NAME=web-1;K8S_POD_NAMESPACE=shop")
        put(node, named("wide", f"endpointSelector: {{}}\ningress: [{{toPorts: [{{ports: [{ports}]}}]}}]\n"))
        status = node.get("/v1/status")
        assert (status["state"], [item["identity"] for item in status["policy"]["closed"]]) == ("degraded", [256])
        assert "has room for 16 entries" in status["policy"]["closed"][0]["reason"]
        assert node.get("/v1/endpoints/1")["policy"] == {"ingress": "Closed", "egress": "Closed"}
        asked = {"source": "host", "destination": "web-1", "services": ["2/tcp"]}
        (answer,) = node.request("POST", "/v1/policies/trace", asked)[1]["traces"]
        assert (answer["verdict"], answer["passes"]) == ("allowed", False)
        node.request("DELETE", "/v1/policies", {"all": True})
        assert node.get("/v1/status")["policy"]["closed"] == []
        node.detach()
    finally:
        node.close()


@pytest.mark.parametrize(
    ("settings", "shown", "passes"),
    [
        ("{enforcement: never}", "Disabled", True),
        ("{audit: true}", "Disabled (Audit)", True),
        ("{enforcement: always}", "Enabled", False),
    ],
)
def test_settings_of_the_node_show(
    tmp_path: Any, make_netns: NamespaceFactory, settings: str, shown: str, passes: bool
) -> None:
    node = NodeUnderTest(tmp_path, make_netns)
    node.write_config(more=f"policy: {settings}\n")
    try:
        node.start()
        node.attach(make_netns("pod"), CNI_ARGS="K8S_POD_NAME=web-1;K8S_POD_NAMESPACE=shop")
        put(node, named("one"))
        assert node.get("/v1/endpoints/1")["policy"]["ingress"] == shown
        asked = {"source": "world", "destination": "web-1", "services": ["80/tcp"]}
        answer = node.request("POST", "/v1/policies/trace", asked)[1]
        assert answer["traces"][0]["passes"] is passes
        node.detach()
    finally:
        node.close()
