import pytest

from proximax.errors import UsageError
from proximax.web.access import Access, check_token
from tests.support.ask import ask
from tests.support.watched_runs import app_of

TOKEN = "a-token-of-24-characters"


@pytest.mark.fault(40)
@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:6066", True),
        ("localhost:6066", True),
        ("LOCALHOST", True),
        ("[::1]:6066", True),
        ("127.0.0.1:80", True),  # a tunnel's port
        ("attacker.example:6066", False),
        ("localhost.attacker.example", False),
        ("127.0.0.1.attacker.example", False),
        ("10.0.0.7:6066", False),
        ("", False),
        ("[::1", False),
    ],
)
def test_another_name_is_refused_as_a_rebound_one_would_be(tmp_path, host, known):
    answer = ask(app_of(tmp_path), "/api/runs", host=host)
    assert answer.status == (200 if known else 403)
    assert (b"runs" in answer.body) == known


@pytest.mark.parametrize(
    ("host", "known"), [("10.0.0.7:6066", True), ("box.example", True), ("other.example", False), ("localhost", True)]
)
def test_on_another_host_its_name_and_addresses_are_known(host, known):
    assert Access("box.example", TOKEN).knows_host(host) == known


@pytest.mark.fault(40)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_nothing_can_be_written(tmp_path, method):
    answer = ask(app_of(tmp_path), "/api/runs", method=method, origin="http://attacker.example")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_another_site_may_not_read_but_may_link(tmp_path):
    app = app_of(tmp_path)
    assert ask(app, "/api/runs", sec_fetch_site="cross-site", sec_fetch_mode="no-cors").status == 403
    assert ask(app, "/api/runs", sec_fetch_site="same-site", sec_fetch_mode="cors").status == 403
    assert ask(app, "/", sec_fetch_site="cross-site", sec_fetch_mode="navigate").status == 200


def test_every_answer_says_what_a_browser_may_do_with_it(tmp_path):
    app = app_of(tmp_path)
    for answer in (ask(app, "/"), ask(app, "/nothing"), ask(app, "/", host="x"), ask(app, "/", method="POST")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


def test_a_token_is_given_once_and_then_kept_in_a_cookie(tmp_path):
    app = app_of(tmp_path, token=TOKEN)
    for refused in (ask(app, "/"), ask(app, "/api/runs"), ask(app, "/?token=wrong"), ask(app, "/static/app.js")):
        assert refused.status == 401
    first = ask(app, f"/?token={TOKEN}")
    assert (first.status, first.headers["location"]) == (303, "/")
    cookie, *attributes = first.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} == set(attributes)
    assert TOKEN not in cookie
    assert ask(app, "/api/runs", cookie=f"a=b; {cookie}").status == 200
    assert ask(app, "/api/runs", cookie=f"{cookie}x").status == 401
    assert ask(app, "/api/runs", authorization=f"Bearer {TOKEN}").status == 200
    assert ask(app, "/api/runs", authorization="Bearer ÿ").status == 401
    assert ask(app, f"/api/runs?token={TOKEN}").status == 401  # an address is kept in logs


@pytest.mark.fault(40)
def test_another_host_needs_a_token_that_cannot_be_guessed():
    check_token("127.0.0.1", "")
    check_token("::1", "")
    check_token("localhost", "")
    check_token("0.0.0.0", TOKEN)
    for host in ("0.0.0.0", "::", "192.168.0.3", "box.example"):
        with pytest.raises(UsageError, match="--token"):
            check_token(host, "")
    for token in ("short", "with spaces in the token", "é" * 20):
        with pytest.raises(UsageError, match="at least 16"):
            check_token("0.0.0.0", token)
