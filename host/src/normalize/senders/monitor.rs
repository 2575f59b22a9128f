//! Monitoring, incidents and switches.

use super::super::record::Record;
use super::Preset;
use super::{Habit, Sample};
use crate::model::Severity;

const CLOUDFLARE: Record<'static> = Record {
    id: &["{alert_correlation_id}/{alert_event}/{ts}"],
    event_type: &["{alert_type}", "notification"],
    subject: &["{policy_name}", "{name}"],
    time: &["{ts}"],
    title: &["{policy_name}: {text}", "{text}", "{name}"],
    severity: &["{data.severity}", "{alert_event}"],
    words: &[("ALERT_STATE_EVENT_END", Severity::Info)],
    otherwise: Severity::Warning,
    ..Record::EMPTY
};

const LAUNCHDARKLY: Record<'static> = Record {
    id: &["{_id}"],
    event_type: &["{kind}"],
    subject: &["{name}"],
    time: &["{date}"],
    title: &["{member.email} {titleVerb} {name}", "{titleVerb} {name}", "{title}"],
    link: &["{_links.site.href}"],
    ..Record::EMPTY
};

const PAGERDUTY: Record<'static> = Record {
    id_alone: true,
    id: &["{event.id}"],
    event_type: &["{event.event_type}"],
    subject: &["{event.data.service.summary}", "{event.data.id}"],
    time: &["{event.occurred_at}"],
    title: &["{@type}: {event.data.title}", "{event.data.message}", "{@type} {event.data.id}"],
    severity: &["{@type}", "{event.data.priority.summary}", "{event.data.urgency}"],
    link: &["{event.data.html_url}"],
    words: &[
        ("incident.resolved", Severity::Info),
        ("incident.acknowledged", Severity::Info),
        ("pagey.ping", Severity::Info),
        ("P1", Severity::Critical),
        ("P2", Severity::Error),
        ("P3", Severity::Warning),
        ("P4", Severity::Info),
        ("P5", Severity::Info),
    ],
    otherwise: Severity::Warning,
    ..Record::EMPTY
};

const SENTRY: Record<'static> = Record {
    id_alone: true,
    id: &["{header:request-id}"],
    event_type: &["{header:sentry-hook-resource}.{action}", "{action}"],
    subject: &[
        "{data.issue.project.slug}",
        "{data.triggered_rule}",
        "{data.event.project}",
        "{data.metric_alert.title}",
    ],
    time: &[
        "{data.event.datetime}",
        "{data.issue.lastSeen}",
        "{data.error.datetime}",
        "{data.event.timestamp}",
        "{header:sentry-hook-timestamp}",
    ],
    title: &[
        "{data.event.title}",
        "{data.issue.title}",
        "{data.error.title}",
        "{data.description_title}: {data.description_text}",
        "{data.description_title}",
    ],
    severity: &["{data.event.level}", "{data.issue.level}", "{data.error.level}", "{action}"],
    link: &[
        "{data.event.web_url}",
        "{data.issue.web_url}",
        "{data.issue.permalink}",
        "{data.error.web_url}",
        "{data.web_url}",
    ],
    words: &[("resolved", Severity::Info)],
    otherwise: Severity::Warning,
    ..Record::EMPTY
};

pub(super) static PRESETS: &[Preset] = &[
    Preset {
        name: "cloudflare",
        vendor: "Cloudflare notifications",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(CLOUDFLARE),
        samples: &[
            Sample {
                name: "cloudflare/health",
                body: r#"{"name":"ops","text":"Health check shop-origin is unhealthy","data":{"status":"Unhealthy","reason":"TCP connection failed"},"ts":1768469400,"account_id":"023e105f4ecef8ad9ca31a8372d0c353","policy_id":"0da2b59e","policy_name":"Origins","alert_type":"health_check_status_notification","alert_correlation_id":"7c9f1f2a0001","alert_event":"ALERT_STATE_EVENT_START"}"#,
                ids: &["7c9f1f2a0001"],
                times: &["1768469400"],
                ..Sample::EMPTY
            },
            Sample {
                name: "cloudflare/test",
                body: r#"{"text":"Hello World! This is a test message sent from Cloudflare."}"#,
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "launchdarkly",
        vendor: "LaunchDarkly",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(LAUNCHDARKLY),
        samples: &[
            Sample {
                name: "launchdarkly/flag",
                body: r#"{"_links":{"canonical":{"href":"/api/v2/flags/default/new-checkout"}},"_id":"57c0af6099690907435299a1","date":1768469400000,"kind":"flag","name":"New checkout","description":"","titleVerb":"turned on the flag","title":"Example turned on the flag New checkout in Production","member":{"email":"dev@example.org"}}"#,
                ids: &["57c0af6099690907435299a1"],
                times: &["1768469400000"],
                ..Sample::EMPTY
            },
            Sample {
                name: "launchdarkly/segment",
                body: r#"{"_links":{},"_id":"57c0af6099690907435299a2","date":1768469400000,"kind":"segment","name":"Beta users","description":"","titleVerb":"updated","title":"Example updated the segment Beta users","member":{"email":"dev@example.org"}}"#,
                ids: &["57c0af6099690907435299a2"],
                times: &["1768469400000"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "pagerduty",
        vendor: "PagerDuty (webhooks version 3)",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(PAGERDUTY),
        samples: &[
            Sample {
                name: "pagerduty/triggered",
                body: r#"{"event":{"id":"01CDQNJHVTDFBMLVT2RU6L8001","event_type":"incident.triggered","resource_type":"incident","occurred_at":"2026-01-15T09:30:00Z","agent":null,"client":null,"data":{"id":"PGR0VU2","type":"incident","html_url":"https://example.pagerduty.example.org/incidents/PGR0VU2","number":2,"status":"triggered","title":"Checkout answers 500","service":{"id":"PF9KMXH","summary":"API"},"urgency":"high","priority":{"summary":"P1"}}}}"#,
                ids: &["01CDQNJHVTDFBMLVT2RU6L8001"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "pagerduty/resolved",
                body: r#"{"event":{"id":"01CDQNJHVTDFBMLVT2RU6L8002","event_type":"incident.resolved","resource_type":"incident","occurred_at":"2026-01-15T09:30:00Z","agent":null,"client":null,"data":{"id":"PGR0VU2","type":"incident","html_url":"https://example.pagerduty.example.org/incidents/PGR0VU2","number":2,"status":"resolved","title":"Checkout answers 500","service":{"id":"PF9KMXH","summary":"API"},"urgency":"high","priority":{"summary":"P1"}}}}"#,
                ids: &["01CDQNJHVTDFBMLVT2RU6L8002"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "sentry",
        vendor: "Sentry",
        habit: Habit { deadline_s: Some(1), retries: "" },
        record: Some(SENTRY),
        samples: &[
            Sample {
                name: "sentry/issue",
                headers: &[
                    ("sentry-hook-resource", "issue"),
                    ("request-id", "5a1f3c0e4d8b4b0fa7a5d6c100000001"),
                ],
                body: r#"{"action":"created","installation":{"uuid":"a8e5d37a-696c-4c54-adb5-b3f28d64c7de"},"data":{"issue":{"id":"1170820242","title":"ReferenceError: cart is not defined","level":"error","status":"unresolved","web_url":"https://sentry.example.org/issues/1170820242","project":{"id":"1","name":"shop","slug":"shop"},"firstSeen":"2026-01-15T09:30:00Z","lastSeen":"2026-01-15T09:30:00Z"}},"actor":{"type":"application","id":"sentry","name":"Sentry"}}"#,
                ids: &["5a1f3c0e4d8b4b0fa7a5d6c100000001"],
                times: &["2026-01-15T09:30:00Z"],
            },
            Sample {
                name: "sentry/metric_alert",
                headers: &[
                    ("sentry-hook-resource", "metric_alert"),
                    ("request-id", "5a1f3c0e4d8b4b0fa7a5d6c100000002"),
                    ("sentry-hook-timestamp", "1768469400"),
                ],
                body: r#"{"action":"critical","installation":{"uuid":"a8e5d37a-696c-4c54-adb5-b3f28d64c7de"},"data":{"metric_alert":{"id":"7","title":"Errors in production"},"description_title":"Critical: Errors in production","description_text":"1,200 events in the last 10 minutes","web_url":"https://sentry.example.org/alerts/7"},"actor":{"type":"application","id":"sentry","name":"Sentry"}}"#,
                ids: &["5a1f3c0e4d8b4b0fa7a5d6c100000002"],
                times: &["1768469400"],
            },
        ],
    },
];
