"""`/v1/stream`: events for programs as they happen, as server-sent events, each client at its own pace."""
