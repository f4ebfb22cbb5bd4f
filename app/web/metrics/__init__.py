"""`/metrics`: the state of the data, of the feed and of the machinery, for Prometheus."""
