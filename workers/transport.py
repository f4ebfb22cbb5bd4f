"""Celery's way to Redis, on connections that leave a server which has become a replica (celery #7946)."""

from __future__ import annotations

from kombu.transport import redis

from app.cache.master import MasterConnection, MasterSslConnection


class Channel(redis.Channel):
    connection_class = MasterConnection
    connection_class_ssl = MasterSslConnection


class Transport(redis.Transport):
    Channel = Channel
