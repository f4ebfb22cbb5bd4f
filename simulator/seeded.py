"""A generated market: about thirty products, or thousands, from a seed.

Log price is lattice noise of many octaves (trends, calm and busy days, an occasional crash). A trade occurs when a
growing function of time, `rate * (time + noise)`, passes a whole number. That number is the trade's id, so ids are
dense, and any minute can be computed without the earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np

from app.errors import InvalidInput
from simulator import noise
from simulator.market import NEVER_MS, Product, Trades
from simulator.noise import Floats, Ints

MAX_PRODUCTS = 3_000
MAX_PER_MINUTE = 8
"""Maximum trades of a product in a minute."""

DAY_MS = 86_400_000
_OLDEST_MS = 1_437_350_400_000  # 2015-07-20, the first day of BTC-USD on the real exchange
_MINUTE_MS = 60_000
_GRID = 4  # the slow octaves are computed on a grid of 2**4 minutes
_LARGEST_TRADE = 8e14  # units; a day of such trades still fits 64 bits


@dataclass(frozen=True, slots=True)
class Style:
    """The trading parameters of one product.

    `price`: its usual price. `volatility`: of a day, as a fraction. `rate`: trades per minute, on average. `bursts`:
    from 0 (even) to 1 (hours without a trade). `value`: of a trade, in quote currency.
    """

    name: str
    price: float
    price_decimals: int
    volatility: float
    rate: float
    bursts: float
    value: float


def _busy(name: str, price: float, decimals: int, rate: float = 2.0, value: float = 4_000.0) -> Style:
    return Style(name, price, decimals, 0.035, rate, 0.5, value)


def _thin(name: str, price: float, decimals: int, rate: float) -> Style:
    return Style(name, price, decimals, 0.06, rate, 1.0, 300.0)


STYLES = (
    _busy("BTC-USD", 61_250, 2, 3.0, 9_000),
    _busy("ETH-USD", 2_890, 2, 2.5, 6_000),
    _busy("SOL-USD", 148, 2),
    _busy("XRP-USD", 1.12, 4),
    _busy("DOGE-USD", 0.162, 5),
    _busy("ADA-USD", 0.57, 4),
    _busy("AVAX-USD", 29.4, 2),
    _busy("LINK-USD", 16.3, 3),
    _busy("LTC-USD", 88, 2),
    _busy("BCH-USD", 412, 2),
    _busy("DOT-USD", 6.4, 3),
    _busy("UNI-USD", 8.7, 3, 1.5),
    _busy("AAVE-USD", 154, 2, 1.5),
    _busy("XLM-USD", 0.176, 6, 1.5),
    _busy("HBAR-USD", 0.113, 5, 1.5),
    _busy("SUI-USD", 2.3, 4, 1.5),
    _busy("NEAR-USD", 4.1, 3, 1.5, 1_500),
    _busy("ICP-USD", 9.3, 3, 1.5, 1_500),
    _busy("ATOM-USD", 6.9, 3, 1.5, 1_500),
    _busy("ETC-USD", 21.5, 2, 1.5, 1_500),
    _busy("FIL-USD", 4.4, 3, 1.2, 1_500),
    _busy("GRT-USD", 0.151, 4, 1.2, 900),
    _busy("SHIB-USD", 0.0000172, 8, 1.2, 40),
    _thin("MANA-USD", 0.361, 4, 0.5),
    _thin("CRV-USD", 0.43, 4, 0.4),
    _thin("NMR-USD", 14.7, 2, 0.2),
    _thin("BAND-USD", 1.26, 3, 0.12),
    _thin("MLN-USD", 17.9, 2, 0.08),
    _thin("FARM-USD", 41.3, 2, 0.06),
    Style("USDT-USDC", 1.0, 5, 0.0008, 1.0, 0.5, 5_000.0),
    _busy("ETH-BTC", 0.0472, 5, 1.0, 0.05),
    _busy("BTC-EUR", 56_800, 2, 1.0, 2_000),
)
NEW = _busy("ZETA-USD", 0.83, 4)
"""Listed four hours before the market opens: too young for an indicator at first."""
DELISTED = _busy("REN-USD", 0.052, 5, 1.0, 500)
"""Delisted thirty days before the market opens."""
RESERVE = (_busy("TIA-USD", 5.6, 3, 2.0), _thin("RARI-USD", 1.9, 3, 0.1))
"""Not listed until a fault lists them."""


class SeededMarket:
    """A `Market` generated from `seed`.

    `start_s`: when the exchange opens (UNIX seconds); one product was listed shortly before, one delisted. `products`:
    how many products are online (default: the thirty-three of the standard market). The trades depend on the seed and
    the product's name only.
    """

    def __init__(self, seed: int = 7, *, start_s: int = 1_614_816_000, products: int | None = None) -> None:
        if products is not None and not 1 <= products <= MAX_PRODUCTS:
            raise InvalidInput(f"products: {products} is not between 1 and {MAX_PRODUCTS}")
        self.seed = seed
        self._styles: dict[str, Style] = {}
        self._sources: dict[str, _Source] = {}
        self._products: dict[str, Product] = {}
        start_ms = start_s * 1000
        oldest_ms = min(_OLDEST_MS, start_ms - 730 * DAY_MS)
        for style in _styles(seed, len(STYLES) + 1 if products is None else products):
            self._add(style, start_ms - 4 * 3_600_000 if style is NEW else oldest_ms)
        self._add(DELISTED, oldest_ms, start_ms - 30 * DAY_MS)
        for style in RESERVE:
            self._add(style, NEVER_MS)

    def _add(self, style: Style, listed_ms: int, delisted_ms: int = NEVER_MS) -> None:
        name = style.name
        aliases = (f"{name}C",) if name.endswith("-USD") else ()
        self._products[name] = Product(name, style.price_decimals, 8, listed_ms, delisted_ms, aliases)
        self._styles[name] = style

    @property
    def products(self) -> Mapping[str, Product]:
        return self._products

    def trades(self, product: str, start_ms: int, end_ms: int) -> Trades:
        """Trades of `product` with ``start_ms <= time < end_ms``."""
        if end_ms <= start_ms:
            return Trades.none()
        whole_minutes = self._source(product).minutes(start_ms // _MINUTE_MS, -(-end_ms // _MINUTE_MS))
        return whole_minutes.between(start_ms, end_ms)

    def _source(self, product: str) -> _Source:
        if product not in self._sources:
            self._sources[product] = _Source(self._styles[product], self.seed)
        return self._sources[product]


class _Source:
    """The trades of one product, by whole minutes since the epoch."""

    def __init__(self, style: Style, seed: int) -> None:
        self._style = style
        self._seed = seed
        self._keys = {
            part: noise.key_of(seed, style.name, part) for part in ("rate", "burst", "fast", "calm", "crash", "trade")
        }
        # Amplitudes grow with the square root of the period, as in a random walk.
        self._slow = [
            (noise.key_of(seed, style.name, "slow", shift), shift, self._amplitude(shift + _GRID))
            for shift in (0, 2, 4, 6, 8, 10, 12, 14, 16)
        ]
        self._price = style.price * 10.0**style.price_decimals
        self._size = min(style.value / style.price * 1e8, _LARGEST_TRADE / 8)

    def _amplitude(self, shift: int) -> float:
        return self._style.volatility * sqrt(2**shift / 1440.0)

    def minutes(self, first: int, last: int) -> Trades:
        """The trades of the minutes `first` to before `last`."""
        minute = np.arange(first, last + 1, dtype=np.int64)
        ids_before = self._ids_before(minute)
        count = np.diff(ids_before)
        trade_id = np.arange(ids_before[0], ids_before[-1], dtype=np.int64)
        at = np.repeat(np.arange(last - first), count)
        when, wobble, amount, _ = noise.fields(noise.hashed(self._keys["trade"], trade_id))
        fraction = (trade_id - ids_before[at] + when) / count[at]
        wobble -= 0.5
        level, calm = self._level(minute)
        log_price = level[at] + np.diff(level)[at] * fraction + wobble * calm[at]
        price = np.rint(self._price * noise.exponential(log_price)).astype(np.int64)
        amount *= amount
        amount *= amount
        size = np.rint(self._size * (0.02 + 4.0 * amount)).astype(np.int64)
        time_ms = minute[at] * _MINUTE_MS + (fraction * _MINUTE_MS).astype(np.int64)
        return Trades(time_ms, np.maximum(price, 1), np.maximum(size, 1), trade_id, wobble > 0)

    def _ids_before(self, minute: Ints) -> Ints:
        """The number of trades before each minute. The weights stay below 1, so it never falls."""
        even, burst = 0.3 - 0.18 * self._style.bursts, 0.85 * self._style.bursts
        warped = (
            minute
            + even * 4.0 * noise.octave(self._keys["rate"], minute, 2)
            + burst * 128.0 * noise.octave(self._keys["burst"], minute, 7, noise.coin)
        )
        return np.floor(self._style.rate * warped).astype(np.int64)

    def _level(self, minute: Ints) -> tuple[Floats, Floats]:
        """Log of price / usual price at each minute, and the scatter of its trades around it."""
        first, grid = noise.cells(minute, _GRID)
        calm = noise.octave(self._keys["calm"], grid, 6)
        calm = 0.3 + 1.7 * calm * calm
        level = -0.25 * noise.octave(self._keys["crash"], grid, 2, noise.spike)
        for key, shift, amplitude in self._slow:
            part = amplitude * (2.0 * noise.octave(key, grid, shift) - 1.0)
            level += part * calm if shift <= 4 else part
        scatter = noise.interpolated(calm, first, minute, _GRID) * self._amplitude(0)
        fast = scatter * 3.0 * (noise.octave(self._keys["fast"], minute, 2) - 0.5)
        return noise.interpolated(level, first, minute, _GRID) + fast, scatter


def _styles(seed: int, count: int) -> Iterator[Style]:
    """The standard products, then generated ones up to `count`: three of four busy, the rest thin."""
    standard = (*STYLES, NEW)
    yield from standard[:count]
    for n in range(len(standard), count):
        draw = noise.uniform(noise.key_of(seed, "style", n), np.arange(4, dtype=np.int64)).tolist()
        decades = int(draw[0] * 6) - 3
        price = round((1 + 8 * draw[1]) * 10.0**decades, 3 - decades)
        decimals = 4 - decades
        name = f"{_letters(n)}-USD"
        if n % 4:
            yield Style(name, price, decimals, 0.04, 0.6 + 1.4 * draw[2], 0.5, 200 + 2_000 * draw[3])
        else:
            yield _thin(name, price, decimals, 0.06 + 0.3 * draw[2])


def _letters(n: int) -> str:
    """A four-letter currency, different for each `n` below 17,576."""
    return "Q" + "".join(chr(65 + n // 26**k % 26) for k in (2, 1, 0))
