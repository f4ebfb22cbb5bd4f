"""Everything that leaves as JSON: candles, indicators and alerts, as stored, published and answered. Pure.

Each is a plain dictionary of one of these types. mypy checks who builds and who reads it, and OpenAPI is generated from
the same definition. At run time a type costs nothing: no row is validated or copied.
"""
