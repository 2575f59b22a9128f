"""Vendors' own libraries as senders and receivers, for tests/scenarios/vendors.rs.

Reads one JSON object a line and answers each with one: {"op": "sign" | "verify", "vendor", "key", "body",
"time" (seconds), "id", "url", "headers"}; a signature comes back as {"headers": {...}}, a decision as
{"valid": ...}. What a library cannot do raises, and ends the program.
"""

import json
import sys
import urllib.parse
from datetime import datetime, timezone
from types import SimpleNamespace

import razorpay
import stripe
from discord_interactions import verify_key
from linebot.v3.webhook import SignatureValidator
from nacl.signing import SigningKey
from paddle_billing.Notifications import Secret, Verifier
from paddle_billing.Notifications.PaddleSignature import PaddleSignature
from slack_sdk.signature import SignatureVerifier
from square.utils.webhooks_helper import verify_signature
from standardwebhooks.webhooks import Webhook as StandardWebhook
from svix.webhooks import Webhook as SvixWebhook
from twilio.request_validator import RequestValidator
from workos import WorkOSClient


def form(body):
    return dict(urllib.parse.parse_qsl(body, keep_blank_values=True))


def when(asked):
    return datetime.fromtimestamp(asked["time"], tz=timezone.utc)


def sign_standard(library, prefix):
    def sign(asked):
        return {
            f"{prefix}-id": asked["id"],
            f"{prefix}-timestamp": str(asked["time"]),
            f"{prefix}-signature": library(asked["key"]).sign(asked["id"], when(asked), asked["body"]),
        }

    return sign


def sign_stripe(asked):
    header = stripe.WebhookSignature.generate_signature_header(
        asked["body"], asked["key"], timestamp=asked["time"]
    )
    return {"stripe-signature": header}


def sign_slack(asked):
    time = str(asked["time"])
    signature = SignatureVerifier(asked["key"]).generate_signature(timestamp=time, body=asked["body"])
    return {"x-slack-request-timestamp": time, "x-slack-signature": signature}


def sign_twilio(asked):
    validator = RequestValidator(asked["key"])
    signature = validator.compute_signature(asked["url"], form(asked["body"]))
    return {"x-twilio-signature": signature}


def sign_discord(asked):
    time = str(asked["time"])
    signed = SigningKey(bytes.fromhex(asked["key"])).sign((time + asked["body"]).encode())
    return {"x-signature-timestamp": time, "x-signature-ed25519": signed.signature.hex()}


def sign_paddle(asked):
    text = f"{asked['time']}:{asked['body']}".encode()
    mac = PaddleSignature.calculate_hmac(asked["key"], text).hexdigest()
    return {"paddle-signature": f"ts={asked['time']};h1={mac}"}


def verify_workos(asked, headers):
    # Between the two parts this library wants the space that its vendor sends.
    header = headers["workos-signature"].replace(",v1=", ", v1=")
    webhooks = WorkOSClient(api_key="none", client_id="none").webhooks
    webhooks.verify_header(event_body=asked["body"], event_signature=header, secret=asked["key"])
    return True


def verify_paddle(asked, headers):
    request = SimpleNamespace(
        headers={"Paddle-Signature": headers["paddle-signature"]}, body=asked["body"].encode()
    )
    return Verifier(5).verify(request, Secret(asked["key"]))


def verify_stripe(asked, headers):
    header = headers["stripe-signature"]
    return stripe.WebhookSignature.verify_header(asked["body"], header, asked["key"], tolerance=300)


def verify_razorpay(asked, headers):
    utility = razorpay.Client(auth=("none", "none")).utility
    utility.verify_webhook_signature(asked["body"], headers["x-razorpay-signature"], asked["key"])
    return True


def verify_standard(library):
    def verify(asked, headers):
        library(asked["key"]).verify(asked["body"], headers)
        return True

    return verify


SIGN = {
    "svix": sign_standard(SvixWebhook, "svix"),
    "standard-webhooks": sign_standard(StandardWebhook, "webhook"),
    "stripe": sign_stripe,
    "slack": sign_slack,
    "twilio": sign_twilio,
    "discord": sign_discord,
    "paddle": sign_paddle,
}

VERIFY = {
    "svix": verify_standard(SvixWebhook),
    "standard-webhooks": verify_standard(StandardWebhook),
    "stripe": verify_stripe,
    "slack": lambda asked, headers: SignatureVerifier(asked["key"]).is_valid_request(asked["body"], headers),
    "twilio": lambda asked, headers: RequestValidator(asked["key"]).validate(
        asked["url"], form(asked["body"]), headers["x-twilio-signature"]
    ),
    "discord": lambda asked, headers: verify_key(
        asked["body"].encode(),
        headers["x-signature-ed25519"],
        headers["x-signature-timestamp"],
        asked["key"],
    ),
    "paddle": verify_paddle,
    "workos": verify_workos,
    "razorpay": verify_razorpay,
    "line": lambda asked, headers: SignatureValidator(asked["key"]).validate(
        asked["body"], headers["x-line-signature"]
    ),
    "square": lambda asked, headers: verify_signature(
        request_body=asked["body"],
        signature_header=headers["x-square-hmacsha256-signature"],
        signature_key=asked["key"],
        notification_url=asked["url"],
    ),
}


def decided(asked):
    # Libraries refuse in two ways: by an answer and by an exception, each of a class of its own.
    try:
        return bool(VERIFY[asked["vendor"]](asked, asked["headers"]))
    except KeyError:
        raise
    except Exception as refusal:
        print(f"{asked['vendor']} refused: {refusal!r}", file=sys.stderr)
        return False


def main():
    # Some libraries print what they refuse.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["op"] == "sign":
            answer = {"headers": SIGN[asked["vendor"]](asked)}
        else:
            answer = {"valid": decided(asked)}
        print(json.dumps(answer), file=answers, flush=True)


main()
