//! Where code is kept, built and released.

use super::super::record::Record;
use super::super::{Habit, Sample};
use super::Preset;
use crate::model::Severity;

const GITHUB: Record<'static> = Record {
    id: &["{header:x-github-delivery}"],
    id_alone: true,
    event_type: &["{header:x-github-event}.{action}", "{header:x-github-event}", "{action}"],
    subject: &["{repository.full_name}", "{organization.login}"],
    time: &[
        "{alert.updated_at}",
        "{pull_request.updated_at}",
        "{issue.updated_at}",
        "{workflow_run.updated_at}",
        "{release.published_at}",
        "{head_commit.timestamp}",
    ],
    title: &[
        "{alert.security_advisory.summary} in {repository.full_name}",
        "{alert.rule.description} in {repository.full_name}",
        "{alert.secret_type_display_name} found in {repository.full_name}",
        "{workflow_run.name} {workflow_run.conclusion} on {repository.full_name}",
        "{pull_request.title}",
        "{issue.title}",
        "{release.name} released",
        "{head_commit.message}",
        "{@type} on {repository.full_name}: {zen}",
        "{@type} on {repository.full_name}",
        "{@type}: {zen}",
    ],
    severity: &[
        "{alert.security_advisory.severity}",
        "{alert.rule.security_severity_level}",
        "{alert.rule.severity}",
        "{workflow_run.conclusion}",
        "{check_run.conclusion}",
        "{@type}",
    ],
    link: &[
        "{alert.html_url}",
        "{pull_request.html_url}",
        "{issue.html_url}",
        "{workflow_run.html_url}",
        "{release.html_url}",
        "{compare}",
        "{repository.html_url}",
    ],
    words: &[
        ("failure", Severity::Error),
        ("timed_out", Severity::Error),
        ("startup_failure", Severity::Error),
        ("action_required", Severity::Warning),
        ("success", Severity::Info),
        ("secret_scanning_alert*", Severity::Critical),
        ("code_scanning_alert*", Severity::Warning),
        ("dependabot_alert*", Severity::Warning),
    ],
    ..Record::EMPTY
};

pub(super) static PRESETS: &[Preset] = &[Preset {
    name: "github",
    vendor: "GitHub",
    habit: Habit { deadline_s: Some(10), retries: "not by itself: by hand or by its API" },
    record: Some(GITHUB),
    samples: &[
        Sample {
            name: "github/push",
            headers: &[
                ("x-github-event", "push"),
                ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
            ],
            body: r#"{"ref":"refs/heads/main","before":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","after":"59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5","repository":{"id":17273051,"full_name":"example/shop","html_url":"https://github.com/example/shop"},"pusher":{"name":"example"},"compare":"https://github.com/example/shop/compare/6113728f27ae...59b20b8d5c6f","head_commit":{"id":"59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5","message":"Charge cards once only","timestamp":"2026-01-15T10:30:00+01:00"}}"#,
            ids: &["72d3162e-cc78-11e3-81ab-4c9367dc0958"],
            times: &["2026-01-15T10:30:00+01:00"],
            ..Sample::EMPTY
        },
        Sample {
            name: "github/dependabot_alert",
            headers: &[
                ("x-github-event", "dependabot_alert"),
                ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0959"),
            ],
            body: r#"{"action":"created","alert":{"number":7,"state":"open","security_advisory":{"ghsa_id":"GHSA-0000-0000-0000","summary":"Path traversal in example-unzip","severity":"high"},"html_url":"https://github.com/example/shop/security/dependabot/7","updated_at":"2026-01-15T09:30:00Z"},"repository":{"id":17273051,"full_name":"example/shop","html_url":"https://github.com/example/shop"}}"#,
            ids: &["72d3162e-cc78-11e3-81ab-4c9367dc0959"],
            times: &["2026-01-15T09:30:00Z"],
            ..Sample::EMPTY
        },
        Sample {
            name: "github/ping",
            headers: &[
                ("x-github-event", "ping"),
                ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0960"),
            ],
            body: r#"{"zen":"Keep it logically awesome.","hook_id":30,"hook":{"type":"Repository","id":30,"events":["push"],"active":true},"repository":{"id":17273051,"full_name":"example/shop","html_url":"https://github.com/example/shop"}}"#,
            ids: &["72d3162e-cc78-11e3-81ab-4c9367dc0960"],
            ..Sample::EMPTY
        },
    ],
}];
