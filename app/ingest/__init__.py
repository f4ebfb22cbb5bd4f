"""The ingest process: from the exchange's feed to Redis and the workers."""
