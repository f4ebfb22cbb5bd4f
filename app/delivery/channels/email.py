"""E-mail over SMTP, with the chart attached."""

from __future__ import annotations

import hashlib
import smtplib
import socket
import ssl
import threading
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from app.alerts.settings import EmailSettings
from app.delivery.channels.channel import Channel, ChannelBroken, DeliveryError, Digest, Message, MessageRefused
from app.delivery.texts import grid_of
from app.util.network import trusted


class EmailChannel(Channel):
    """One connection per message: they are rare."""

    digests = True

    def __init__(self, settings: EmailSettings, login: tuple[str, str] | None, timeout_s: float) -> None:
        self._settings = settings
        self._login = login
        self._timeout_s = timeout_s
        where = settings.model_dump_json() + (login[0] if login else "")
        self.target = hashlib.sha256(where.encode()).hexdigest()[:12]

    def send(self, message: Message) -> float:
        return self._post(email_of(message, self._settings, message.chart_of() if self._settings.chart else None))

    def send_digest(self, digest: Digest) -> float:
        email = _email_of(digest.id, digest.title, digest.now_s, self._settings)
        email.set_content(digest.text + "\n")
        return self._post(email)

    def _post(self, email: EmailMessage) -> float:
        smtp = self._smtp()
        cut = threading.Timer(self._timeout_s, _cut, args=(smtp,))
        cut.daemon = True
        cut.start()
        try:
            smtp.connect(self._settings.host, self._settings.port)
            with smtp:
                if self._settings.security == "starttls":
                    smtp.starttls(context=_tls())
                if self._login:
                    smtp.login(*self._login)
                smtp.send_message(email)
        except smtplib.SMTPException as error:
            raise meaning(error) from None
        except UnicodeError:
            raise ChannelBroken("the login or an address holds characters that this mail server cannot take") from None
        except (OSError, ValueError) as error:
            raise DeliveryError(f"the mail server: {type(error).__name__}") from None
        finally:
            cut.cancel()
            smtp.close()
        return 0

    def _smtp(self) -> smtplib.SMTP:
        """A client, not connected yet."""
        if self._settings.security == "tls":
            made: smtplib.SMTP = smtplib.SMTP_SSL(timeout=self._timeout_s, context=_tls())
        else:
            made = smtplib.SMTP(timeout=self._timeout_s)
        made._host = self._settings.host  # type: ignore[attr-defined]  # whose certificate is checked
        return made


def _tls() -> ssl.SSLContext:
    """Trusts the same certificates as every other connection to an external service."""
    return ssl.create_default_context(cafile=trusted())


def _cut(smtp: smtplib.SMTP) -> None:
    """End a session that takes too long as a whole: smtplib's time-out restarts with every line."""
    with suppress(OSError):
        if smtp.sock is not None:
            smtp.sock.shutdown(socket.SHUT_RDWR)


def email_of(message: Message, settings: EmailSettings, chart_of: bytes | None) -> EmailMessage:
    """The mail for one alert, with its chart."""
    email = _email_of(message.id, message.title, message.fact["end"], settings)
    email.set_content("\n".join([*message.lines, "", *grid_of(message.fact), "", message.id]) + "\n")
    if chart_of:
        email.add_attachment(chart_of, maintype="image", subtype="png", filename="chart.png")
    return email


def _email_of(identity: str, title: str, sent_s: float, settings: EmailSettings) -> EmailMessage:
    """A mail without a text; its Message-ID is the identity, so that a second copy can be recognized."""
    email = EmailMessage()
    email["Subject"] = title
    email["From"] = settings.sender
    email["To"] = ", ".join(settings.to)
    email["Date"] = format_datetime(datetime.fromtimestamp(sent_s, UTC))
    email["Message-ID"] = f"<{hashlib.sha256(identity.encode()).hexdigest()[:32]}@candlewick>"
    return email


def meaning(error: smtplib.SMTPException) -> DeliveryError:
    """The error for a mail server's refusal, without the server's text, which may repeat the message."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        if all(code >= 500 for code in codes):
            return ChannelBroken(f"the mail server refused every recipient ({codes[0]})")
        return DeliveryError(f"the mail server deferred the recipients ({codes[0]})")
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return ChannelBroken("the mail server does not support a feature that the settings need")
    code = error.smtp_code if isinstance(error, smtplib.SMTPResponseException) else 0
    if isinstance(error, smtplib.SMTPAuthenticationError | smtplib.SMTPSenderRefused) and code >= 500:
        return ChannelBroken(f"the mail server refused the login or the sender ({code})")
    if isinstance(error, smtplib.SMTPDataError) and code >= 500:
        return MessageRefused(f"the mail server refused the message ({code})")
    return DeliveryError(f"the mail server: {type(error).__name__} ({code})")
