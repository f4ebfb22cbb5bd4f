"""`/v1/stream`: events as they happen, as server-sent events; each client reads at its own pace."""
