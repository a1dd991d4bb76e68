"""A path has one normal form, and what servers read in more than one way has none."""

from __future__ import annotations

from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netloom_l7_http.request import Refused
from netloom_l7_http.target import PLAIN, read_target

targets = st.lists(
    st.sampled_from(
        [b"/", b"a", b"%", b"%2", b"%2f", b"%2E", b".", b"..", b"?", b"%41", b"%c3%a9", b"%C0%AF", b";", b"&"]
    )
    | st.binary(min_size=1, max_size=2),
    max_size=8,
).map(lambda parts: b"/" + b"".join(parts))


def seen(target: str, method: str = "GET") -> str:
    """What rules see of it, at host a:80."""
    return read_target(method, target.encode("latin-1"), "a:80")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/jobs/1", "/jobs/1"),
        ("/jobs/", "/jobs/"),
        ("/%6a%6Fbs", "/jobs"),
        ("/a%7eb", "/a~b"),
        ("/me%40home", "/me@home"),
        ("/a%20b", "/a%20b"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ('/{"a"}', "/%7B%22a%22%7D"),
        ("/a%3fb", "/a%3Fb"),
        ("/100%25", "/100%25"),
        ("/a..b/.c/...", "/a..b/.c/..."),
        ("/jobs?page=1", "/jobs?page=1"),
        ("/jobs?%70age=%2f%3d", "/jobs?page=%2F%3D"),
        ("/jobs?a=100%&b=../x;y//", "/jobs?a=100%&b=../x;y//"),
        ("/?", "/?"),
        ("http://A:80/jobs?x", "/jobs?x"),
        ("HTTP://a:80", "/"),
    ],
)
def test_a_path_is_seen_in_its_normal_form(target: str, path: str) -> None:
    assert seen(target) == path


@pytest.mark.parametrize(
    "target",
    [
        "//",
        "//a",
        "/a//b",
        "/.",
        "/..",
        "/a/../b",
        "/a/.",
        "/%2e%2E/b",
        "/a/.%2e?x",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a\\b",
    ],
)
def test_segments_that_are_empty_or_move_about_are_refused(target: str) -> None:
    with pytest.raises(Refused):
        seen(target)


@pytest.mark.parametrize(
    "target", ["/a;b=c", "/a%3bb", "/%", "/%2", "/%zz", "/%00", "/%0d%0a", "/%7f", "/%u002f", "/a#b", "/a?b#c"]
)
def test_what_servers_read_in_different_ways_is_refused(target: str) -> None:
    with pytest.raises(Refused):
        seen(target)


@pytest.mark.parametrize("target", ["/%252f", "/%25%32%66", "/%2541"])
def test_what_is_encoded_twice_is_refused(target: str) -> None:
    with pytest.raises(Refused, match="twice"):
        seen(target)


@pytest.mark.parametrize("target", ["/%c0%af", "/%e0%80%af", "/%ff", "/%ed%a0%80"])
def test_what_is_not_utf_8_is_refused(target: str) -> None:
    """Longer forms of a slash among it."""
    with pytest.raises(Refused, match="UTF-8"):
        seen(target)


@pytest.mark.parametrize(
    "target",
    [
        "http://b:80/",
        "http://a/",
        "https://a:80/",
        "http://u@a:80/",
        "ftp://a:80/",
        "http://a:80?x/jobs",
        "jobs",
        "*",
        "",
    ],
)
def test_a_target_that_is_no_path_of_this_host_is_refused(target: str) -> None:
    with pytest.raises(Refused):
        seen(target)


def test_a_server_as_a_whole_is_asked_by_options_alone() -> None:
    assert seen("*", "OPTIONS") == "*"


def test_a_tunnel_leads_where_its_host_says() -> None:
    assert seen("a:80", "CONNECT") == ""
    for target in ("b:80", "/jobs"):
        with pytest.raises(Refused):
            seen(target, "CONNECT")


@given(targets)
def test_what_is_seen_is_its_own_normal_form_and_means_the_same(target: bytes) -> None:
    try:
        path = read_target("GET", target, "a")
    except Refused:
        return
    assert read_target("GET", path.encode(), "a") == path
    assert unquote_to_bytes(path.partition("?")[0]) == unquote_to_bytes(target.partition(b"?")[0])


@given(targets)
def test_the_short_way_leads_where_the_long_one_does(target: bytes) -> None:
    """Every character escaped, it must be read the long way."""
    path, mark, query = target.partition(b"?")
    if PLAIN.fullmatch(target):
        escaped = b"/" + b"".join(b"/" if byte == 47 else b"%%%02x" % byte for byte in path[1:]) + mark + query
        assert read_target("GET", escaped, "a") == target.decode()


@given(st.text(min_size=1, max_size=8))
def test_every_way_of_spelling_a_segment_is_seen_alike(text: str) -> None:
    """Escaped as far as it must be, and altogether."""
    sparing, wholly = quote_from_bytes(text.encode(), ""), "".join(f"%{byte:02x}" for byte in text.encode())
    try:
        expected = seen(f"/{sparing}")
    except Refused:
        with pytest.raises(Refused):
            seen(f"/{wholly}")
    else:
        assert seen(f"/{wholly}") == expected
