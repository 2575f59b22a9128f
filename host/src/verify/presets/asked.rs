//! The vendors that most teams receive from.

use http::{HeaderName, Method};

use super::{header, literal, open, row, stamped_list};
use crate::verify::{
    Algorithm, Handshake, KeyForm, Mark, Part, Place, Proof, Scheme, StampIn, TokenIn, Unit,
};

pub(super) fn rows() -> Vec<Scheme> {
    [watchers(), standard(), hashicorp(), asymmetric(), addressed()].concat()
}

/// Signatures over the body, with or without the time.
fn watchers() -> Vec<Scheme> {
    vec![
        row("sqreen", "x-sqreen-integrity").remark(
            "nothing in it says when the request was made; the ids in the body tell a copy",
        ),
        row("github", "x-hub-signature-256")
            .prefix("sha256=")
            .id(["x-github-delivery"])
            .asks(Handshake::GithubPing),
        stamped_list("stripe", "stripe-signature", "t=", "v1=")
            .remark("the secret is used as text, `whsec_` included; v0 is ignored"),
        versioned("slack", "x-slack-signature", "x-slack-request-timestamp")
            .asks(Handshake::SlackUrlVerification),
        row("shopify", "x-shopify-hmac-sha256").base64().id(["x-shopify-webhook-id"]),
        row("sentry", "sentry-hook-signature")
            .stamp(header("sentry-hook-timestamp"), Unit::Seconds)
            .uncovered()
            .id(["request-id"]),
        row("pagerduty", "x-pagerduty-signature").split(b',').prefix("v1=").id(["x-webhook-id"]),
        row("linear", "linear-signature")
            .stamp(StampIn::Body("/webhookTimestamp".into()), Unit::Millis)
            .tolerance(60)
            .optional()
            .id(["linear-delivery"])
            .remark("a body without webhookTimestamp is taken: that it has none is signed too"),
        row("zendesk", "x-zendesk-webhook-signature")
            .base64()
            .signed([Part::Stamp, Part::Body])
            .stamp(header("x-zendesk-webhook-signature-timestamp"), Unit::Rfc3339)
            .methods([Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::GET])
            .remark("the secret is used as text, although it looks like base64"),
        row("paddle", "paddle-signature")
            .split(b';')
            .prefix("h1=")
            .signed([Part::Stamp, literal(":"), Part::Body])
            .stamp(StampIn::Element("ts=".into()), Unit::Seconds)
            .tolerance(5),
        versioned("zoom", "x-zm-signature", "x-zm-request-timestamp")
            .asks(Handshake::ZoomUrlValidation),
        row("mailgun", "x-unused")
            .also(|signature| signature.place = Place::Body("/signature/signature".into()))
            .signed([
                Part::BodyText("/signature/timestamp".into()),
                Part::BodyText("/signature/token".into()),
            ])
            .stamp(StampIn::Body("/signature/timestamp".into()), Unit::Seconds)
            .remark("only the origin is signed: the content is whatever the request says"),
    ]
}

/// `v0=…` over `v0:time:body`.
fn versioned(name: &str, signature: &'static str, stamp: &'static str) -> Scheme {
    row(name, signature)
        .prefix("v0=")
        .signed([literal("v0:"), Part::Stamp, literal(":"), Part::Body])
        .stamp(header(stamp), Unit::Seconds)
}

/// Standard Webhooks, and vendors that sign in its way.
fn standard() -> Vec<Scheme> {
    let named = |name: &str| standard_webhooks(name);
    vec![
        named("standard-webhooks"),
        named("svix"),
        named("clerk"),
        named("gitlab").remark("GitLab 19 with a signing token; before that gitlab-token"),
        named("openai"),
        named("replicate"),
        named("resend"),
        named("vanta"),
        open(
            "gitlab-token",
            Proof::Token(TokenIn::Header(HeaderName::from_static("x-gitlab-token"))),
        ),
    ]
}

fn standard_webhooks(name: &str) -> Scheme {
    let names = |names: [&'static str; 2]| names.map(HeaderName::from_static).to_vec();
    let shared = Mark {
        text: "v1,".into(),
        algorithm: Algorithm::HmacSha256,
        key: KeyForm::Base64 { prefix: "whsec_".into() },
    };
    let public = Mark {
        text: "v1a,".into(),
        algorithm: Algorithm::Ed25519,
        key: KeyForm::Public { prefix: "whpk_".into() },
    };
    row(name, "webhook-signature")
        .also(|signature| {
            signature.place = Place::First(names(["webhook-signature", "svix-signature"]));
            signature.marks = vec![shared, public];
        })
        .split(b' ')
        .base64()
        .signed([Part::Id, literal("."), Part::Stamp, literal("."), Part::Body])
        .stamp(StampIn::Headers(names(["webhook-timestamp", "svix-timestamp"])), Unit::Seconds)
        .id(["webhook-id", "svix-id"])
}

fn hashicorp() -> Vec<Scheme> {
    let tfe = |name: &str| row(name, "x-tfe-notification-signature").by(Algorithm::HmacSha512);
    vec![
        tfe("tfe").asks(Handshake::HcpTest),
        tfe("hcp-terraform").asks(Handshake::HcpTest),
        row("hcp-platform", "x-hcp-webhook-signature")
            .by(Algorithm::HmacSha512)
            .asks(Handshake::HcpTest)
            .unconfirmed(),
        row("hcp-radar", "x-hcp-radar-signature")
            .by(Algorithm::HmacSha512)
            .prefix("sha512=")
            .stamp(header("x-hcp-radar-timestamp"), Unit::Seconds)
            .uncovered()
            .id(["x-hcp-radar-message-id"]),
    ]
}

/// Verified with a public key.
fn asymmetric() -> Vec<Scheme> {
    let public = || KeyForm::Public { prefix: "".into() };
    vec![
        row("sendgrid", "x-twilio-email-event-webhook-signature")
            .base64()
            .by(Algorithm::EcdsaP256)
            .key(public())
            .signed([Part::Stamp, Part::Body])
            .stamp(header("x-twilio-email-event-webhook-timestamp"), Unit::Seconds),
        row("discord", "x-signature-ed25519")
            .by(Algorithm::Ed25519)
            .key(public())
            .signed([Part::Stamp, Part::Body])
            .stamp(header("x-signature-timestamp"), Unit::Seconds)
            .asks(Handshake::DiscordPing),
    ]
}

/// Over the address that the sender was given.
fn addressed() -> Vec<Scheme> {
    vec![
        row("twilio", "x-twilio-signature")
            .base64()
            .by(Algorithm::HmacSha1)
            .signed([Part::UrlAnyPort, Part::SortedForm])
            .id(["i-twilio-idempotency-token"])
            .methods([Method::POST, Method::GET]),
        row("square", "x-square-hmacsha256-signature").base64().signed([Part::Url, Part::Body]),
    ]
}
