"""How a URL says where Redis is."""

from __future__ import annotations

import pytest

from app.cache.address import Sentinels, broker_of, sentinels_of
from app.errors import InvalidInput
from app.settings import Settings

URL = "redis+sentinel://cw:p%40ss@10.0.0.1:26379,[::1]:26380/mymaster/2"


def test_a_url_names_sentinels_service_database_and_credentials() -> None:
    hosts = (("10.0.0.1", 26379), ("::1", 26380))
    assert sentinels_of(URL) == Sentinels(hosts, "mymaster", 2, "cw", "p@ss")
    assert sentinels_of("redis+sentinel://a:1/m") == Sentinels((("a", 1),), "m", 0, None, None)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://a:1",
        "redis+sentinel://a/m",
        "redis+sentinel://a:1,/m",
        "redis+sentinel://a:1/m/x",
        "redis+sentinel://a:1/m/1/2",
        "redis+sentinel://a:99999/m",
        "redis+sentinel://a:1/m?db=2",
    ],
)
def test_anything_else_is_refused_with_the_grammar(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"REDIS_URL: is not redis\+sentinel://\[user:password@\]host:port"):
        Settings.from_environment({"REDIS_URL": url})


def test_celery_gets_the_same_place_in_its_own_words() -> None:
    assert broker_of("redis://h:1/0") == ("redis://h:1/0", {})
    assert broker_of("unix:///run/r.sock?db=2") == ("redis+socket:///run/r.sock?virtual_host=2", {})
    assert broker_of("rediss://h:1/0") == ("rediss://h:1/0?ssl_cert_reqs=required", {})
    url = "rediss://:p@h:1/0?ssl_ca_certs=/ca.pem"
    assert broker_of(url) == (f"{url}&ssl_cert_reqs=required", {})
    assert broker_of(f"{url}&ssl_cert_reqs=none") == (f"{url}&ssl_cert_reqs=none", {})
    url, options = broker_of(URL)
    assert url == "sentinel://cw:p%40ss@10.0.0.1:26379/2;sentinel://cw:p%40ss@[::1]:26380/2"
    assert options == {"master_name": "mymaster"}
