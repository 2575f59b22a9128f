//! Senders of JSON of no certain vendor: plain JSON, CloudEvents and Standard Webhooks.

use super::super::record::Record;
use super::Preset;
use super::{Habit, Sample};
use crate::model::Severity;

/// Names that many use.
pub(super) const JSON: Record<'static> = Record {
    id: &["{id}", "{event_id}", "{uuid}"],
    event_type: &["{type}", "{event_type}", "{event}", "{kind}", "{action}"],
    subject: &["{subject}"],
    time: &["{time}", "{timestamp}", "{date}", "{occurred_at}", "{created_at}"],
    title: &["{title}", "{summary}", "{subject}", "{message}", "{text}", "{description}", "{name}"],
    severity: &["{severity}", "{level}", "{priority}"],
    link: &["{link}", "{url}", "{html_url}"],
    otherwise: Severity::Warning,
    ..Record::EMPTY
};

/// Structured, batched and binary: in the last, attributes stand in header fields.
const CLOUD_EVENTS: Record<'static> = Record {
    any_body: true,
    id: &["{header:ce-source}/{header:ce-id}", "{source}/{id}"],
    event_type: &["{header:ce-type}", "{type}"],
    subject: &["{header:ce-subject}", "{subject}", "{header:ce-source}", "{source}"],
    time: &["{header:ce-time}", "{time}"],
    title: &[
        "{header:ce-title}",
        "{title}",
        "{data.title}",
        "{@type}: {header:ce-subject}",
        "{@type}: {subject}",
        "{@type} from {header:ce-source}",
        "{@type} from {source}",
    ],
    severity: &["{header:ce-severity}", "{severity}", "{data.severity}"],
    ..Record::EMPTY
};

/// What the specification recommends: a type, a time and the data.
const STANDARD_WEBHOOKS: Record<'static> = Record {
    id_alone: true,
    id: &["{header:webhook-id}", "{header:svix-id}"],
    event_type: &["{type}", "{event_type}", "{eventType}", "{event}"],
    subject: &["{data.id}"],
    time: &["{timestamp}", "{created_at}", "{header:webhook-timestamp}", "{header:svix-timestamp}"],
    title: &["{title}", "{data.title}", "{@type} {data.id}"],
    severity: &["{severity}", "{data.severity}", "{@type}"],
    words: &[("*.failed", Severity::Error), ("*.failure", Severity::Error)],
    ..Record::EMPTY
};

pub(super) static PRESETS: &[Preset] = &[
    Preset {
        name: "json",
        vendor: "any sender of JSON",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(JSON),
        samples: &[
            Sample {
                name: "json/alert",
                body: include_str!("../samples/json_alert.json"),
                ids: &["c56a4180-65aa-42ec-a945-5fd21dec0538"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "json/deploy",
                body: include_str!("../samples/json_deploy.json"),
                ids: &["7d444840-9dc0-41d1-b245-5ffdce74fad2"],
                times: &["2026-01-15T10:00:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "cloudevents",
        vendor: "any sender of CloudEvents 1.0",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(CLOUD_EVENTS),
        samples: &[
            Sample {
                name: "cloudevents/structured",
                headers: &[("content-type", "application/cloudevents+json")],
                body: r#"{"specversion":"1.0","id":"9a1e3a6c-1f0b-4a8e-8f43-30d0b0a1c001","source":"https://backup.example.org/jobs","type":"org.example.backup.failed","subject":"db-1","time":"2026-01-15T03:00:00Z","severity":"error","datacontenttype":"application/json","data":{"job":"nightly","exit_code":2}}"#,
                ids: &["9a1e3a6c-1f0b-4a8e-8f43-30d0b0a1c001"],
                times: &["2026-01-15T03:00:00Z"],
            },
            Sample {
                name: "cloudevents/binary",
                headers: &[
                    ("content-type", "text/plain"),
                    ("ce-specversion", "1.0"),
                    ("ce-id", "9a1e3a6c-1f0b-4a8e-8f43-30d0b0a1c002"),
                    ("ce-source", "urn:example:door"),
                    ("ce-type", "org.example.door.opened"),
                    ("ce-subject", "server-room"),
                    ("ce-time", "2026-01-15T03:10:00Z"),
                ],
                body: "opened by badge 17",
                ids: &["9a1e3a6c-1f0b-4a8e-8f43-30d0b0a1c002"],
                times: &["2026-01-15T03:10:00Z"],
            },
            Sample {
                name: "cloudevents/batch",
                headers: &[("content-type", "application/cloudevents-batch+json")],
                body: r#"[{"specversion":"1.0","id":"4cf1b1de9c3a0001","source":"/sensors/1","type":"org.example.temperature.high","subject":"rack-4","time":"2026-01-15T03:20:00Z","data":{"celsius":41.5}},{"specversion":"1.0","id":"4cf1b1de9c3a0002","source":"/sensors/1","type":"org.example.temperature.normal","subject":"rack-4","time":"2026-01-15T03:25:00Z","data":{"celsius":27.0}}]"#,
                ids: &["4cf1b1de9c3a0001", "4cf1b1de9c3a0002"],
                times: &["2026-01-15T03:20:00Z", "2026-01-15T03:25:00Z"],
            },
        ],
    },
    Preset {
        name: "standard-webhooks",
        vendor: "Standard Webhooks and Svix (Clerk, Resend, OpenAI, Replicate and others)",
        habit: Habit { deadline_s: Some(15), retries: "for about a day, less and less often" },
        record: Some(STANDARD_WEBHOOKS),
        samples: &[
            Sample {
                name: "standard-webhooks/user_created",
                headers: &[("webhook-id", "msg_2Lh9KRb0pzN4LePd3XiA4v12Axj")],
                body: r#"{"type":"user.created","timestamp":"2026-01-15T09:30:00Z","data":{"id":"user_29w83sxmDNGwOuEthce5gg56FcC","first_name":"Example"}}"#,
                ids: &["msg_2Lh9KRb0pzN4LePd3XiA4v12Axj"],
                times: &["2026-01-15T09:30:00Z"],
            },
            Sample {
                name: "standard-webhooks/invoice_failed",
                headers: &[("webhook-id", "msg_2Lh9KRb0pzN4LePd3XiA4v12Axk")],
                body: r#"{"type":"invoice.failed","timestamp":"2026-01-15T09:31:00Z","data":{"id":"inv_1042","title":"Invoice 1042 could not be charged"}}"#,
                ids: &["msg_2Lh9KRb0pzN4LePd3XiA4v12Axk"],
                times: &["2026-01-15T09:31:00Z"],
            },
        ],
    },
];
