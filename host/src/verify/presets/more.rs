//! More vendors that an operations or security team meets.

use http::HeaderName;

use super::{header, literal, open, row, stamped_list};
use crate::verify::{
    Algorithm, Handshake, KeyForm, Part, Place, Proof, Scheme, StampIn, TokenIn, Unit,
};

pub(super) fn rows() -> Vec<Scheme> {
    [security(), hosting(), development(), stamped(), business(), second_hand(), plain()].concat()
}

fn security() -> Vec<Scheme> {
    vec![
        row("gitguardian", "gitguardian-signature")
            .prefix("sha256=")
            .key(KeyForm::StampThenText)
            .stamp(header("timestamp"), Unit::Seconds)
            .remark("the timestamp is part of the key, not of the message"),
        stamped_list("tailscale", "tailscale-webhook-signature", "t=", "v1="),
        row("runreveal", "runreveal-integrity")
            .signed([Part::Stamp, Part::Body])
            .stamp(header("runreveal-timestamp"), Unit::Seconds)
            .unconfirmed(),
        row("grafana", "x-grafana-alerting-signature")
            .signed([Part::StampIfSent(":".into()), Part::Body])
            .stamp(header("x-grafana-alerting-timestamp"), Unit::Seconds)
            .optional()
            .remark("Grafana lets you rename both headers; without the timestamp's nothing tells a copy"),
    ]
}

fn hosting() -> Vec<Scheme> {
    vec![
        stamped_list("cloudflare-stream", "webhook-signature", "time=", "sig1=").unconfirmed(),
        row("vercel", "x-vercel-signature").by(Algorithm::HmacSha1),
        row("expo", "expo-signature").by(Algorithm::HmacSha1).prefix("sha1=").unconfirmed(),
    ]
}

fn development() -> Vec<Scheme> {
    let gitea = |name: &str| row(name, "x-gitea-signature").id(["x-gitea-delivery"]);
    vec![
        row("bitbucket", "x-hub-signature").prefix("sha256=").id(["x-request-uuid"]),
        row("circleci", "circleci-signature").split(b',').prefix("v1="),
        gitea("gitea"),
        gitea("forgejo"),
        row("notion", "x-notion-signature")
            .prefix("sha256=")
            .asks(Handshake::NotionToken)
            .unconfirmed()
            .remark("the secret is the verification token that the handshake shows"),
        row("launchdarkly", "x-ld-signature").unconfirmed(),
        contentful(),
    ]
}

/// The method, the path, the headers that the request lists, the body: each on a line.
fn contentful() -> Scheme {
    let listed = HeaderName::from_static("x-contentful-signed-headers");
    row("contentful", "x-contentful-signature")
        .signed([
            Part::Method,
            literal("\n"),
            Part::Path,
            literal("\n"),
            Part::ListedHeaders(listed),
            literal("\n"),
            Part::Body,
        ])
        .stamp(header("x-contentful-timestamp"), Unit::Millis)
        .tolerance(30)
        .unconfirmed()
        .remark("use an address without a query: its escapes are signed in a way of their own")
}

/// Signatures over the time and the body.
fn stamped() -> Vec<Scheme> {
    vec![
        stamped_list("mux", "mux-signature", "t=", "v1="),
        stamped_list("calendly", "calendly-webhook-signature", "t=", "v1=").unconfirmed(),
        stamped_list("fintoc", "fintoc-signature", "t=", "v1=").unconfirmed(),
        stamped_list("coinbase-cdp", "x-hook0-signature", "t=", "v0=").unconfirmed(),
        stamped_list("workos", "workos-signature", "t=", "v1=")
            .stamp(StampIn::Element("t=".into()), Unit::Millis),
        row("hubspot-v3", "x-hubspot-signature-v3")
            .base64()
            .signed([Part::Method, Part::UrlDecoded, Part::Body, Part::Stamp])
            .stamp(header("x-hubspot-request-timestamp"), Unit::Millis),
        row("twitch", "twitch-eventsub-message-signature")
            .prefix("sha256=")
            .signed([Part::Id, Part::Stamp, Part::Body])
            .stamp(header("twitch-eventsub-message-timestamp"), Unit::Rfc3339)
            .tolerance(600)
            .id(["twitch-eventsub-message-id"])
            .asks(Handshake::TwitchChallenge),
        row("box", "box-signature-primary")
            .each_header(["box-signature-primary", "box-signature-secondary"])
            .base64()
            .signed([Part::Body, Part::Stamp])
            .stamp(header("box-delivery-timestamp"), Unit::Rfc3339)
            .tolerance(600)
            .id(["box-delivery-id"])
            .unconfirmed()
            .remark("each of its two keys makes a signature of its own; give either or both"),
    ]
}

fn business() -> Vec<Scheme> {
    let meta = |name: &str| {
        let scheme = row(name, "x-hub-signature-256").prefix("sha256=");
        scheme.asks(Handshake::MetaHubChallenge).unconfirmed()
    };
    vec![
        row("intercom", "x-hub-signature").by(Algorithm::HmacSha1).prefix("sha1=").unconfirmed(),
        row("line", "x-line-signature").base64(),
        row("razorpay", "x-razorpay-signature").id(["x-razorpay-event-id"]),
        row("adyen", "hmacsignature").base64().key(KeyForm::Hex).unconfirmed(),
        meta("meta"),
        meta("whatsapp"),
        row("paystack", "x-paystack-signature").by(Algorithm::HmacSha512).unconfirmed(),
        row("snyk", "x-hub-signature-256")
            .also(|signature| {
                let names = ["x-hub-signature-256", "x-hub-signature"];
                signature.place = Place::First(names.map(HeaderName::from_static).into());
            })
            .prefix("sha256=")
            .unconfirmed(),
    ]
}

/// The body alone, read in second-hand sources.
fn second_hand() -> Vec<Scheme> {
    [
        row("dropbox", "x-dropbox-signature"),
        row("lemon-squeezy", "x-signature"),
        row("nylas", "x-nylas-signature").remark("over the bytes as compressed"),
        row("pusher", "x-pusher-signature"),
        row("docusign", "x-docusign-signature-1")
            .each_header([
                "x-docusign-signature-1",
                "x-docusign-signature-2",
                "x-docusign-signature-3",
            ])
            .base64()
            .remark("each of its keys makes a signature of its own"),
        row("xero", "x-xero-signature").base64(),
        row("woocommerce", "x-wc-webhook-signature").base64().id(["x-wc-webhook-delivery-id"]),
        row("tally", "tally-signature").base64(),
        row("typeform", "typeform-signature").base64().prefix("sha256="),
        row("x", "x-twitter-webhooks-signature").base64().prefix("sha256=").asks(Handshake::XCrc),
        row("twitter", "x-twitter-webhooks-signature")
            .base64()
            .prefix("sha256=")
            .asks(Handshake::XCrc),
    ]
    .map(Scheme::unconfirmed)
    .into()
}

/// A secret sent as it is.
fn plain() -> Vec<Scheme> {
    let token = |name: &str, header: &'static str| {
        open(name, Proof::Token(TokenIn::Header(HeaderName::from_static(header))))
    };
    vec![
        token("cloudflare-token", "cf-webhook-auth"),
        token("okta", "authorization").asks(Handshake::OktaVerification),
    ]
}
