"""What keeps others out, and what would pile up."""

from tests.mutants.mutant import Mutant as M
from tests.mutants.mutant import Target

CLAIM = Target(
    "app/cache/lua/claim_delivery.lua",
    ("tests/integration/test_alert_delivery.py",),
    [
        M("messages of alerts that are gone stay", "redis.call('ZREM', KEYS[1], message)\n  elseif", "elseif"),
        M("messages of alerts that are gone are delivered", "if redis.call('EXISTS', ALERT .. id) == 0 then", "if false then"),
        M("claims never run out", "free('-inf', now_ms) -- whoever had these is gone", ""),
        M("claims of a clock that was set back stay", "free(now_ms + NEVER_SET_MS, '+inf')", ""),
        M("any number at once", "if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[1]) then return {} end", ""),
        M("withdrawn before it was raised", "elseif not must_wait(kind, id) then", "else"),
        M("a message is claimed twice", "redis.call('ZADD', KEYS[2], until_ms, message)", ""),
        M("a disabled channel delivers", "if state[1] and state[2] == ARGV[3] then return {} end", ""),
        M("a pause is ignored", "if paused_ms > 0 and paused_ms < NEVER_SET_MS then return {} end", ""),
    ],
)
HEALTH = Target(
    "app/cache/health.py",
    ("tests/integration/test_bounds.py::test_feeds_that_are_gone_do_not_pile_up_although_nobody_looks", "tests/integration/test_exchange_clock.py"),
    [
        M("ingests that are gone stay", "self._client.hdel(self._key, name)", "pass"),
        M("ingests that are gone are alive", "if now_ms - row[\"told_ms\"] > STALE_MS:", "if False:"),
        M("all ingests are gone", "if now_ms - row[\"told_ms\"] > STALE_MS:", "if now_ms - row[\"told_ms\"] >= 0:"),
        M("an ingest is gone after a second", "STALE_MS = 15_000", "STALE_MS = 1_000"),
    ],
)
PUBLIC = Target(
    "app/alerts/channels/http.py",
    ("tests/unit/test_public_addresses.py",),
    [
        M("multicast is public", "return ip.is_global and not ip.is_multicast", "return ip.is_global"),
        M("private networks are public", "return ip.is_global and not ip.is_multicast", "return not ip.is_multicast"),
        M("Teredo hides an address", "(ip.teredo[1] if ip.teredo else None)", "None"),
        M("6to4 hides an address", "ip.ipv4_mapped or ip.sixtofour or", "ip.ipv4_mapped or"),
        M("a mapped address hides another", "ip.ipv4_mapped or ip.sixtofour or", "ip.sixtofour or"),
        M("NAT64 hides an address", "if ip in _NAT64:", "if False:"),
        M("a scope is part of the address", 'ipaddress.ip_address(address.partition("%")[0])\n    if isinstance', "ipaddress.ip_address(address)\n    if isinstance"),
    ],
)
EXPOSURE = Target(
    "app/exposure.py",
    ("tests/unit/test_exposure.py",),
    [
        M("one loopback address of several is enough", "return all(ip_address", "return any(ip_address"),
        M("a host without an address is this machine", "except OSError:\n        return False", "except OSError:\n        return True"),
        M("every address is this machine", ".is_loopback for *_", ".version for *_"),
        M("nothing needs a secret", "if not has_secret and not is_loopback(host):", "if False:"),
        M("everything needs a secret", "if not has_secret and not is_loopback(host):", "if not has_secret:"),
    ],
)
TARGETS = [CLAIM, HEALTH, PUBLIC, EXPOSURE]
