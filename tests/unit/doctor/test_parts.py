"""Pace, products, secrets, and what a whole run concludes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from app.doctor.asking import Pace
from app.doctor.coinbase.assumptions import assumptions
from app.doctor.coinbase.universe import DEFAULT, choose
from app.doctor.examination import Examined
from app.doctor.finding import Finding, Problems, Verdict, counted, named, verdict
from app.doctor.report import Report
from app.doctor.secrets import Scrubber, origin
from app.doctor.target import Target, targets
from app.errors import InvalidInput
from app.exchange.listing import ListedProduct, Listing
from app.settings import Settings
from tests.support import ROOT


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_requests_are_spaced_evenly_however_long_they_take() -> None:
    clock = Clock()
    pace = Pace(4, clock)
    waits = []
    for took_s in (0.0, 0.1, 0.5, 0.0):
        waits.append(pace.wait_s())
        clock.now_s += waits[-1] + took_s
    assert waits == pytest.approx([0, 0.25, 0.15, 0])
    assert pace.wait_s() == pytest.approx(0.25)


def test_a_429_pauses_as_long_as_it_says_or_longer_each_time() -> None:
    clock = Clock()
    pace = Pace(4, clock)
    pauses = []
    for retry_after_s in (None, 3.0, None):
        pace.throttled(retry_after_s)
        pauses.append(pace.wait_s())
        clock.now_s += pauses[-1]
    assert pauses == [10, 3, 40]


def product(name: str, volume: float = 1, **more: Any) -> ListedProduct:
    return ListedProduct(name, name.rpartition("-")[2], volume, **more)


LISTING = Listing(
    [
        product("A-USD", 1),
        product("B-USD", 3),
        product("C-USD", 2, untradable_because="its status is 'delisted'"),
        product("B-USDC", 3, alias="B-USD"),
    ],
    {},
)


def test_products_are_those_of_the_selection_and_the_busiest_that_trade_come_first() -> None:
    assert choose(["all:USD"], LISTING).products == ["B-USD", "A-USD"]
    chosen = choose(["A-USD", "C-USD", "B-USDC"], LISTING)
    assert chosen.products == ["A-USD", "C-USD", "B-USDC"]
    assert chosen.busiest_first == ["B-USDC", "A-USD"]
    assert chosen.sources == {"B-USDC": "B-USD"}
    with pytest.raises(InvalidInput, match="no tradable product is quoted in EUR"):
        choose(["all:EUR"], LISTING)


def test_without_a_listing_the_products_named_by_id_are_followed() -> None:
    assert choose(["top:25:USD", "A-USD"], None).products == ["A-USD"]
    assert choose(["top:25:USD"], None).products == [DEFAULT]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("wss://example.com", "wss://example.com"),
        ("https://me:secret@example.com:444/a/b?token=c", "https://***@example.com:444"),
        ("http://[::1]:80/x", "http://[::1]:80"),
        ("http://example.com:port", "(not a URL)"),
    ],
)
def test_an_origin_has_no_secret(url: str, shown: str) -> None:
    assert origin(url) == shown


def test_secrets_are_replaced_wherever_they_occur() -> None:
    urls = ["redis://me:p%40ss%3Aword@host/0", "wss://host/v1/key-4711?token=abc123", "", "http://host"]
    scrubber = Scrubber(urls, ["flora:blossom", "a-token"])
    text = "p@ss:word p%40ss%3Aword me:p@ss /v1/key-4711 abc123 blossom a-token; http://host of me"
    assert scrubber.text(text) == "*** *** me:p@ss *** *** *** ***; http://host of me"
    assert Scrubber([]).text("as it is") == "as it is"


def test_texts_of_findings() -> None:
    assert (counted(1, "frame"), counted(12_345, "frame"), counted(2, "step back", "steps back")) == (
        "1 frame", "12,345 frames", "2 steps back",
    )  # fmt: skip
    assert str(Problems()) == ""
    assert str(Problems("ab")) == " (a; b)"
    assert (str(Problems("abcde")), len(Problems("abcde"))) == (" (a; b; c; 2 more)", 5)
    assert named("abcde") == "a, b, c and 2 more"
    assert [verdict(0, 1), verdict(1, 1), verdict(1, 0)] == [Verdict.UNSEEN, Verdict.HOLDS, Verdict.FAILS]


def one(found: Verdict) -> Finding:
    return Finding("name", "It is used.", "seen", found)


def examined(*found: Verdict, problem: str = "") -> Examined:
    return Examined(targets(Settings())[0], [], [one(v) for v in found], problem, not problem, 60.0)


@pytest.mark.parametrize(
    ("exchanges", "machine", "code"),
    [
        ([examined(Verdict.HOLDS, Verdict.UNSEEN)], [Verdict.UNSEEN], 0),
        ([examined(Verdict.HOLDS), examined(Verdict.FAILS)], [], 1),
        ([examined(Verdict.HOLDS)], [Verdict.FAILS], 1),
        ([examined(Verdict.FAILS), examined(problem="no route")], [], 2),
    ],
)
def test_exit_codes(exchanges: list[Examined], machine: list[Verdict], code: int) -> None:
    report = Report(exchanges, [one(v) for v in machine], {})
    assert report.code == report.as_dict()["exit_code"] == code


def test_every_assumption_has_a_short_name_and_one_sentence_and_starts_unseen() -> None:
    target: Target = targets(Settings())[0]
    found = [assumption.finding() for assumption in assumptions(target, 25)]
    assert len({f.name for f in found}) == len(found)
    for finding in found:
        assert finding.name == finding.name.lower().replace(" ", "-")
        assert finding.used_for.endswith(".")
        assert finding.verdict is Verdict.UNSEEN


def test_the_page_lists_every_assumption_in_order() -> None:
    listed = re.findall(r"^\| `([a-z0-9-]+)` \|", (ROOT / "docs/doctor.md").read_text(encoding="utf-8"), re.MULTILINE)
    names = [a.name for a in assumptions(targets(Settings())[0], 1)]
    assert [name for name in listed if name in names] == names
