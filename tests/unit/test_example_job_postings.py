"""The example of job postings: what its service answers, and what its policies make of requests."""

from __future__ import annotations

import json
import runpy
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from netloom.model.identity import IdentityId
from netloom.policy.explain import End, trace
from netloom.policy.l7_trace import sides_of
from netloom.policy.l7_verdicts import L7Verdict, decide
from netloom.policy.read import read_policies
from netloom.policy.repository import Repository
from netloom.policy.table import Verdict
from support.policies import labels

EXAMPLE = Path(__file__).parents[2] / "examples" / "job-postings"
NAMESPACE = "k8s:io.kubernetes.pod.namespace=jobs"
SERVICE, SEEKER, RECRUITER, STRANGER = (IdentityId(number) for number in range(256, 260))


@pytest.fixture
def connection() -> Iterator[HTTPConnection]:
    server = runpy.run_path(str(EXAMPLE / "service.py"))["Server"]("127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    client = HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    yield client
    client.close()
    server.shutdown()
    server.server_close()
    thread.join()


def ask(connection: HTTPConnection, method: str, path: str, body: object = None) -> tuple[int, Any]:
    connection.request(method, path, None if body is None else json.dumps(body))
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_postings_are_read_created_changed_and_deleted(connection: HTTPConnection) -> None:
    assert ask(connection, "GET", "/healthz") == (200, {"status": "ok"})
    assert ask(connection, "GET", "/jobs") == (200, [{"id": 1, "title": "Gardener", "place": "Potsdam"}])
    posting = {"title": "Weaver", "place": "Augsburg"}
    assert ask(connection, "POST", "/jobs", posting) == (201, {"id": 2, **posting})
    assert ask(connection, "PUT", "/jobs/2", {**posting, "place": "Ulm"})[1]["place"] == "Ulm"
    assert ask(connection, "DELETE", "/jobs/2") == (200, {"deleted": True})
    assert ask(connection, "GET", "/jobs/2") == (404, {"error": "there is no posting 2"})


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/", None, 404),
        ("GET", "/jobs/x", None, 404),
        ("POST", "/jobs/1", {}, 404),
        ("POST", "/jobs", {"title": 1}, 400),
        ("PUT", "/jobs/9", {"title": "a", "place": "b"}, 404),
    ],
)
def test_what_cannot_be_done_is_answered_with_a_sentence(
    connection: HTTPConnection, method: str, path: str, body: object, status: int
) -> None:
    found = ask(connection, method, path, body)
    assert (found[0], list(found[1])) == (status, ["error"])


def standing(file: str) -> Repository:
    repository = Repository()
    apps = ("job-postings", "job-seeker", "recruiter", "stranger")
    numbers = (SERVICE, SEEKER, RECRUITER, STRANGER)
    repository.add_identities(
        {number: labels(f"k8s:app={app}", NAMESPACE) for number, app in zip(numbers, apps, strict=True)}
    )
    repository.upsert(*read_policies((EXAMPLE / file).read_text(), file).policies)
    return repository


def test_the_first_policy_lets_the_job_seeker_say_anything() -> None:
    repository = standing("l3-l4.yaml")
    verdicts = [trace(repository, End(one), End(SERVICE), (6, 80)).verdict for one in (SEEKER, STRANGER)]
    assert verdicts == [Verdict.ALLOWED, Verdict.DENIED_BY_DEFAULT]


@pytest.mark.parametrize(
    ("who", "method", "verdict"),
    [
        (SEEKER, "GET", L7Verdict.ALLOWED),
        (SEEKER, "PUT", L7Verdict.DENIED),
        (SEEKER, "DELETE", L7Verdict.DENIED),
        (RECRUITER, "PUT", L7Verdict.ALLOWED),
        (RECRUITER, "DELETE", L7Verdict.DENIED),
    ],
)
def test_the_second_policy_asks_about_requests(who: IdentityId, method: str, verdict: L7Verdict) -> None:
    repository = standing("l7.yaml")
    assert trace(repository, End(who), End(SERVICE), (6, 80)).verdict is Verdict.REDIRECTED
    sides = sides_of(repository, End(who), End(SERVICE), 80)
    assert decide(sides.ingress, lambda rule: json.loads(rule.rule)["method"] == method).verdict is verdict
