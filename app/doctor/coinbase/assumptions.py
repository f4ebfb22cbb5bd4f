"""Every assumption about Coinbase."""

from __future__ import annotations

from app.doctor.coinbase import buckets, clocks, pages, stream, words
from app.doctor.coinbase.assumption import Assumption
from app.doctor.target import Target


def assumptions(target: Target, products: int) -> list[Assumption]:
    """One of each, in the order of the report. `products`: how many are requested."""
    settling_s = target.settling_s
    return [
        stream.ConnectionsStay(),
        stream.ProductsAccepted(products),
        stream.SequenceDense(),
        stream.HeartbeatsEachSecond(),
        stream.HeartbeatsDense(),
        stream.FramesReadable(),
        stream.FrameSize(),
        stream.TradeIdsDense(),
        clocks.ClockForward(),
        clocks.ClocksAgree(),
        clocks.MachineClock(),
        buckets.SnapshotHasGaps(),
        buckets.VolumeGrows(),
        buckets.UpdateAfterEnd(settling_s),
        buckets.UpdateWithinGrace(target.close_grace_s),
        words.StreamEqualsRest(settling_s),
        words.RestInTime(settling_s),
        words.RestSettled(settling_s),
        words.MinutesAddUp(settling_s),
        pages.ListingComplete(),
        pages.PageLimit(),
        pages.NewestFirst(),
        pages.RangeInclusive(settling_s),
        pages.EmptyLeftOut(),
        pages.OpenBucketShown(),
        pages.RestAnswers(),
        pages.NotThrottled(target.requests_per_second),
    ]
