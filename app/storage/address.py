"""Address of Redis: the URL of one server, or of the Sentinels that know the current master. Pure."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

TLS = ("rediss", "rediss+sentinel")
SENTINEL = ("redis+sentinel", "rediss+sentinel")
SCHEMES = ("redis", "rediss", "unix", *SENTINEL)
DEFAULT_PORT = 6379

SSL_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs")
SENTINEL_OPTIONS = ("sentinel_user", "sentinel_password")

SERVER_GRAMMAR = "redis://[user:password@]host[:port][/database]"
SENTINEL_GRAMMAR = "redis+sentinel://[user:password@]host:port,host:port,…/service[/database]"
SOCKET_GRAMMAR = "unix://[user:password@]/path/of/the.socket[?db=database]"


class Address(NamedTuple):
    """`hosts`: one server, or the Sentinels that watch `service`; empty if `socket` is the path of a socket.

    `user` and `password`: for the server. `options`: for TLS and Sentinels, by their names in the URL.
    """

    scheme: str
    hosts: tuple[tuple[str, int], ...] = ()
    socket: str = ""
    service: str = ""
    database: int = 0
    user: str | None = None
    password: str | None = None
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Address:
        """Parse `text`. A password may contain any character, quoted or not.

        Raises `ValueError` with one sentence, which shows no part of `text` that may be a secret.
        """
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError("contains bytes that are not UTF-8")
        scheme, separator, rest = text.strip().partition("://")
        if not separator or scheme not in SCHEMES:
            raise ValueError(f"must be a URL that starts with {' or '.join(s + '://' for s in SCHEMES)}")
        login, at, place = rest.rpartition("@")
        if any(f"?{name}=" in login or f"&{name}=" in login for name in (*SSL_OPTIONS, *SENTINEL_OPTIONS, "db")):
            raise ValueError("has an @ in an option: write it as %40")
        place, _, query = place.partition("?")
        if "#" in place or "#" in query:
            raise ValueError("has a # in the wrong place: in an option, write it as %23")
        user, password = _credentials(login) if at else (None, None)
        options = _options(scheme, query)
        return _placed(cls(scheme, user=user, password=password), place, options)

    def __repr__(self) -> str:
        return f"Address({self.shown})"

    @property
    def is_sentinel(self) -> bool:
        return self.scheme in SENTINEL

    @property
    def is_tls(self) -> bool:
        return self.scheme in TLS

    @property
    def url(self) -> str:
        """The URL in a form that every library parses alike."""
        options = dict(self.options)
        if self.socket:
            options |= {"db": str(self.database)} if self.database else {}
            place = quote(self.socket)
        elif self.is_sentinel:
            place = f"{','.join(netloc(*host) for host in self.hosts)}/{quote(self.service)}/{self.database}"
        else:
            place = f"{netloc(*self.hosts[0])}/{self.database}"
        return f"{self.scheme}://{self.login}{place}" + (f"?{urlencode(options)}" if options else "")

    @property
    def shown(self) -> str:
        """The URL without credentials and options, for display."""
        bare = self._replace(user=None, password=None, options=()).url
        return bare.replace("://", "://***@", 1) if self.password is not None else bare

    @property
    def login(self) -> str:
        """`user:password@`, quoted; empty if there is no password."""
        if self.password is None:
            return ""
        return f"{quote(self.user or '', safe='')}:{quote(self.password, safe='')}@"

    def with_tls(self, ca_file: str, *, verify: bool) -> Address:
        """The address with these TLS settings if it uses TLS. Options in its URL take precedence."""
        if not self.is_tls:
            return self
        given = {"ssl_ca_certs": ca_file} if ca_file else {}
        given |= {"ssl_cert_reqs": "required" if verify else "none"}
        return self._replace(options=tuple({**given, **dict(self.options)}.items()))

    def option(self, name: str) -> str | None:
        return dict(self.options).get(name)


def _credentials(login: str) -> tuple[str | None, str]:
    user, colon, password = login.partition(":")
    if not colon:
        raise ValueError("has a user and no password: write user:password@, or :password@ without a user")
    return unquote(user) or None, unquote(password)


def _options(scheme: str, query: str) -> dict[str, str]:
    allowed: tuple[str, ...] = ("db",) if scheme == "unix" else SSL_OPTIONS if scheme in TLS else ()
    allowed += SENTINEL_OPTIONS if scheme in SENTINEL else ()
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError:
        raise ValueError("has something after the ? that is not name=value") from None
    if any(name not in allowed for name in options):
        known = f"options of {scheme}:// are {', '.join(allowed)}" if allowed else f"{scheme}:// has none"
        raise ValueError(f"has an unknown option; {known}")
    if options.get("ssl_cert_reqs", "required") not in ("required", "none"):
        raise ValueError("has an ssl_cert_reqs that is neither required nor none")
    return options


def _placed(bare: Address, place: str, options: dict[str, str]) -> Address:
    """`bare` completed with `place`, the part after the credentials."""
    if bare.scheme == "unix":
        if not place.startswith("/"):
            raise ValueError(f"must have the form {SOCKET_GRAMMAR}")
        return bare._replace(socket=unquote(place), database=_database(options.get("db", "0")))
    hosts, _, path = place.rstrip("/").partition("/")
    if bare.is_sentinel:
        service, _, database = path.partition("/")
        if not service:
            raise ValueError(f"must have the form {SENTINEL_GRAMMAR}")
        found = tuple(_host(text, None, SENTINEL_GRAMMAR) for text in hosts.split(","))
        bare = bare._replace(service=unquote(service))
    else:
        database, found = path, (_host(hosts, DEFAULT_PORT, SERVER_GRAMMAR),)
    return bare._replace(hosts=found, database=_database(database), options=tuple(options.items()))


def _database(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        raise ValueError("must end in the number of a database or the port: …:6379/0")
    return int(text)


def _host(text: str, default_port: int | None, grammar: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        port = default_port if parts.port is None else parts.port
        if port == 0:
            raise ValueError
    except ValueError:
        raise ValueError("has a port that is not a number from 1 to 65535") from None
    if not parts.hostname or not port or "," in text:
        raise ValueError(f"must have the form {grammar}")
    return parts.hostname, port


def netloc(host: str, port: int) -> str:
    """`host:port` in URL form."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Broker(NamedTuple):
    """Celery settings of an address: `broker_url`, transport options, `broker_use_ssl` (or None)."""

    url: str
    options: dict[str, object]
    ssl: dict[str, object] | None = None

    def __repr__(self) -> str:
        return "Broker(…)"  # any part may contain a password


def broker_of(address: Address) -> Broker:
    """Celery settings for `address`."""
    if address.socket:
        return Broker(address.url.replace("unix://", "redis+socket://", 1).replace("db=", "virtual_host="), {})
    tls = tls_options(address) if address.is_tls else {}
    if not address.is_sentinel:
        return Broker(address._replace(options=tuple(tls.items())).url, {})
    urls = (f"sentinel://{address.login}{netloc(*host)}/{address.database}" for host in address.hosts)
    options: dict[str, object] = {"master_name": address.service, "sentinel_kwargs": sentinel_options(address)}
    return Broker(";".join(urls), options, {**tls} if tls else None)


def tls_options(address: Address) -> dict[str, str]:
    """TLS options. Certificates are verified unless the options disable it."""
    given = {name: value for name, value in address.options if name in SSL_OPTIONS}
    return {"ssl_cert_reqs": "required", **given}


def sentinel_options(address: Address) -> dict[str, object]:
    """redis-py options for connections to the Sentinels themselves."""
    known = {"username": address.option("sentinel_user"), "password": address.option("sentinel_password")}
    login = {name: value for name, value in known.items() if value}
    return {**login, **({"ssl": True, **tls_options(address)} if address.is_tls else {})}
