"""How a URL gives the address of Redis."""

from __future__ import annotations

import string
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest
import trustme
from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.settings import Settings
from app.storage.address import SCHEMES, Address, Broker, broker_of

SENTINELS = "redis+sentinel://cw:p%40ss@10.0.0.1:26379,[::1]:26380/mymaster/2"
SECRET = "s3cret"


def test_a_url_names_a_server_its_database_and_credentials() -> None:
    assert Address.parse("redis://h:1/3") == Address("redis", (("h", 1),), database=3)
    assert Address.parse(" redis://h\n") == Address("redis", (("h", 6379),))
    assert Address.parse("rediss://u:p@[::1]:1").hosts == (("::1", 1),)
    assert Address.parse("redis://:p@h:1/0") == Address("redis", (("h", 1),), password="p")


def test_a_url_names_a_socket() -> None:
    assert Address.parse("unix:///run/r.sock?db=2") == Address("unix", socket="/run/r.sock", database=2)
    assert Address.parse("unix://:p@/run/r.sock") == Address("unix", socket="/run/r.sock", password="p")


def test_a_url_names_sentinels_service_database_and_credentials() -> None:
    hosts = (("10.0.0.1", 26379), ("::1", 26380))
    assert Address.parse(SENTINELS) == Address("redis+sentinel", hosts, "", "mymaster", 2, "cw", "p@ss")
    assert Address.parse("redis+sentinel://a:1/m") == Address("redis+sentinel", (("a", 1),), service="m")
    own = Address.parse("rediss+sentinel://a:1/m?sentinel_password=x&ssl_ca_certs=/ca")
    assert own.options == (("sentinel_password", "x"), ("ssl_ca_certs", "/ca"))


@pytest.mark.parametrize("password", ["a/b", "a#b", "a?b", "a@b", "a:b", "100%", "p%40ss", "a b", "ä", "@@//"])
def test_a_password_may_hold_anything_quoted_or_not(password: str) -> None:
    for scheme, place in (("redis", "h:1/0"), ("redis+sentinel", "h:1/m"), ("unix", "/r.sock")):
        address = Address.parse(f"{scheme}://u:{password}@{place}")
        assert (address.user, address.password) == ("u", unquote(password))
        assert Address.parse(address.url) == address
        assert unquote(urlsplit(address.url).password or "") == unquote(password), "as every library reads it"


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        (f":{SECRET}@host:6379/0", "must be a URL that starts with redis://"),
        (f"redi://:s3c@{SECRET}@host:6379/0", "must be a URL that starts with"),
        (f"redis:/:{SECRET}@host:6379/0", "must be a URL that starts with"),
        (f"'redis://user:{SECRET}@host:6379/0'", "must be a URL that starts with"),
        (f"redis://{SECRET}@host:6379/0", "has a user and no password"),
        (f"redis://:{SECRET}@host:x/0", "has a port that is not a number from 1 to 65535"),
        (f"redis://:{SECRET}@host:99999/0", "has a port that is not a number"),
        (f"redis://:{SECRET}@host:0/0", "has a port that is not a number"),
        (f"redis://:{SECRET}\udcff@host/0", "contains bytes that are not text"),
        (f"redis://:{SECRET}@/0", r"must have the form redis://\[user:password@\]host"),
        (f"redis://:{SECRET}@host/abc", "must end in the number of a database"),
        (f"redis://:{SECRET}@host/0/1", "must end in the number of a database"),
        (f"redis://host/0?password={SECRET}", "has an unknown option; redis:// has none"),
        (f"rediss://:{SECRET}@host/0?foo=bar", "options of rediss:// are ssl_ca_certs, ssl_certfile"),
        (f"rediss://:{SECRET}@host/0?ssl_cert_reqs=maybe", "neither required nor none"),
        (f"rediss://:{SECRET}@host/0?ssl_ca_certs=/a@b", "write it as %40"),
        (f"redis://:{SECRET}@host/0#x", "has a #"),
        (f"rediss://:{SECRET}@host/0?x", "not name=value"),
        (f"unix://:{SECRET}@r.sock", "must have the form unix://"),
        (f"redis+sentinel://:{SECRET}@a:1", r"must have the form redis\+sentinel://"),
        (f"redis+sentinel://:{SECRET}@a/m", r"must have the form redis\+sentinel://"),
        (f"redis+sentinel://:{SECRET}@a:1,/m", r"must have the form redis\+sentinel://"),
        (f"redis+sentinel://:{SECRET}@a:1/m/x", "must end in the number of a database"),
        (f"redis+sentinel://:{SECRET}@a:1/m/1/2", "must end in the number of a database"),
        (f"redis+sentinel://:{SECRET}@a:1/m?db=2", "has an unknown option"),
    ],
)
def test_anything_else_is_refused_in_one_line_without_a_secret(url: str, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=f"REDIS_URL: .*{complaint}") as caught:
        Settings.from_environment({"REDIS_URL": url})
    assert "s3c" not in str(caught.value)


@given(
    st.sampled_from(SCHEMES),
    st.text(st.sampled_from(string.printable), max_size=12),
    st.text(st.sampled_from("abc:/?#@[]%,=&. 0169\n"), max_size=30),
)
@example("redis", "", "[")
def test_any_text_is_an_address_or_an_error_that_hides_it(scheme: str, password: str, place: str) -> None:
    url = f"{scheme}://u:{SECRET}{password}@{place}"
    try:
        address = Address.parse(url)
    except ValueError:
        with pytest.raises(InvalidInput) as caught:
            Settings.from_environment({"REDIS_URL": url})
        assert SECRET not in str(caught.value)
    else:
        assert Address.parse(address.url) == address
        assert SECRET not in address.shown


def test_the_shown_address_has_no_credentials_and_no_options() -> None:
    assert Address.parse("redis://:s3/c#r?e@t@h:1/0").shown == "redis://***@h:1/0"
    assert Address.parse("rediss+sentinel://a:1/m?sentinel_password=s3cret").shown == "rediss+sentinel://a:1/m/0"
    address = Address.parse(f"rediss+sentinel://u:{SECRET}@a:1/m?sentinel_password={SECRET}")
    assert SECRET not in f"{address!r} {broker_of(address)!r} {address} {broker_of(address)}"
    assert SECRET not in repr(Settings.from_environment({"REDIS_URL": f"redis://u:{SECRET}@h"}))


def test_settings_of_tls_survive_another_url(tmp_path: Path) -> None:
    def url(**more: str) -> str:
        return Settings.from_environment({"REDIS_URL": "rediss://h:1", **more}).redis.url

    assert url() == "rediss://h:1/0?ssl_cert_reqs=required"
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    ca = quote(str(file), safe="")
    assert url(CANDLEWICK_REDIS_CA_FILE=str(file)) == f"rediss://h:1/0?ssl_ca_certs={ca}&ssl_cert_reqs=required"
    assert url(CANDLEWICK_REDIS_TLS_VERIFY="no") == "rediss://h:1/0?ssl_cert_reqs=none"
    own = url(CANDLEWICK_REDIS_TLS_VERIFY="no", REDIS_URL="rediss://h:1/0?ssl_cert_reqs=required")
    assert own == "rediss://h:1/0?ssl_cert_reqs=required", "what the URL itself says comes first"
    assert url(CANDLEWICK_REDIS_CA_FILE=str(file), REDIS_URL="redis://h:1") == "redis://h:1/0"


def broker(url: str) -> Broker:
    return broker_of(Address.parse(url))


def test_celery_receives_the_same_address_in_its_own_form() -> None:
    assert broker("redis://h:1/0") == Broker("redis://h:1/0", {})
    assert broker("unix:///run/r.sock?db=2") == Broker("redis+socket:///run/r.sock?virtual_host=2", {})
    assert broker("rediss://h:1/0") == Broker("rediss://h:1/0?ssl_cert_reqs=required", {})
    assert broker("rediss://h:1/0?ssl_cert_reqs=none").url == "rediss://h:1/0?ssl_cert_reqs=none"
    url, options, ssl = broker(SENTINELS)
    assert url == "sentinel://cw:p%40ss@10.0.0.1:26379/2;sentinel://cw:p%40ss@[::1]:26380/2"
    assert (options, ssl) == ({"master_name": "mymaster", "sentinel_kwargs": {}}, None)
    tls = broker("rediss+sentinel://a:1/m?sentinel_password=x&ssl_ca_certs=/ca")
    assert tls.ssl == {"ssl_cert_reqs": "required", "ssl_ca_certs": "/ca"}
    assert tls.options["sentinel_kwargs"] == {"password": "x", "ssl": True, **tls.ssl}
