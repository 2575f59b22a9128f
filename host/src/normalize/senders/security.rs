//! Security products and identity.

use super::super::record::Record;
use super::Preset;
use super::json::JSON;
use super::{Habit, Sample};
use crate::model::Severity;

const GITGUARDIAN: Record<'static> = Record {
    id_alone: true,
    id: &["{action}/{incident.id}/{timestamp}"],
    event_type: &["{action}"],
    subject: &["{incident.id}"],
    time: &["{timestamp}", "{incident.date}"],
    title: &["{message} {incident.type}", "{message}"],
    severity: &["{incident.severity}"],
    link: &["{incident.gitguardian_url}"],
    otherwise: Severity::Warning,
    ..Record::EMPTY
};

const HCP: Record<'static> = Record {
    id_alone: true,
    id: &["{event_id}", "{eventId}"],
    event_type: &[
        "{event_source}.{event_action}",
        "{eventSource}.{eventAction}",
        "{event_action}",
        "{eventAction}",
    ],
    subject: &["{resource_name}", "{resourceName}"],
    title: &["{event_description}", "{eventDescription}", "{@type} {resource_name}", "{@type}"],
    ..Record::EMPTY
};

const HCP_TERRAFORM: Record<'static> = Record {
    id: &["{run_id}/{notifications.0.trigger}/{notifications.0.run_updated_at}"],
    event_type: &["{notifications.0.trigger}"],
    subject: &["{organization_name}/{workspace_name}"],
    time: &["{notifications.0.run_updated_at}", "{run_created_at}"],
    title: &[
        "{workspace_name}: {notifications.0.message}: {run_message}",
        "{workspace_name}: {notifications.0.message}",
        "{notifications.0.message}",
    ],
    severity: &["{notifications.0.run_status}", "{@type}"],
    link: &["{run_url}"],
    words: &[
        ("errored", Severity::Error),
        ("policy_soft_failed", Severity::Warning),
        ("run:needs_attention", Severity::Warning),
        ("run:errored", Severity::Error),
        ("assessment:failed", Severity::Error),
        ("assessment:drifted", Severity::Warning),
    ],
    ..Record::EMPTY
};

const HCP_VAULT_RADAR: Record<'static> = Record {
    id_alone: true,
    id: &["{header:x-hcp-radar-message-id}"],
    event_type: &["{type}", "{event_type}", "{event}", "{kind}", "finding"],
    subject: &["{subject}", "{resource}"],
    time: &["{time}", "{timestamp}", "{created_at}", "{header:x-hcp-radar-timestamp}"],
    title: &["{title}", "{summary}", "{message}", "{description}", "{name}"],
    severity: &["{severity}", "{level}"],
    link: &["{link}", "{url}"],
    otherwise: Severity::Warning,
    ..Record::EMPTY
};

const OKTA: Record<'static> = Record {
    events: Some("data.events"),
    id_alone: true,
    id: &["{uuid}"],
    event_type: &["{eventType}"],
    subject: &["{target.0.alternateId}", "{actor.alternateId}"],
    time: &["{published}", "{root:eventTime}"],
    title: &[
        "{displayMessage}: {actor.displayName} ({outcome.result})",
        "{displayMessage}: {actor.displayName}",
        "{displayMessage}",
    ],
    severity: &["{outcome.result}", "{severity}"],
    words: &[("failure", Severity::Warning), ("deny", Severity::Warning)],
    ..Record::EMPTY
};

const TAILSCALE: Record<'static> = Record {
    id: &["{type}/{timestamp}/{data.nodeID}", "{type}/{timestamp}/{message}"],
    event_type: &["{type}"],
    subject: &["{data.deviceName}", "{data.user}", "{tailnet}"],
    time: &["{timestamp}"],
    title: &["{message}"],
    severity: &["{@type}"],
    link: &["{data.url}"],
    words: &[
        ("*NeedsApproval", Severity::Warning),
        ("nodeKeyExpired", Severity::Warning),
        ("nodeKeyExpiring*", Severity::Warning),
        ("policyUpdate", Severity::Warning),
        ("subnetIPForwardingNotEnabled", Severity::Error),
        ("exitNodeIPForwardingNotEnabled", Severity::Error),
    ],
    ..Record::EMPTY
};

const SNYK: Record<'static> = Record {
    event_type: &["{header:x-snyk-event}"],
    subject: &["{project.name}"],
    time: &["{project.lastTestedDate}"],
    title: &[
        "{newIssues.0.issueData.title} in {project.name}",
        "{@type}: {project.name}",
        "{@type}",
    ],
    severity: &["{newIssues.0.issueData.severity}"],
    link: &["{project.browseUrl}", "{newIssues.0.issueData.url}"],
    ..Record::EMPTY
};

pub(super) static PRESETS: &[Preset] = &[
    Preset {
        name: "gitguardian",
        vendor: "GitGuardian",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(GITGUARDIAN),
        samples: &[
            Sample {
                name: "gitguardian/incident",
                body: r#"{"source":"GitGuardian","timestamp":"2026-01-15T09:30:00Z","action":"incident_triggered","message":"A new incident has been detected.","target_user":"ops","incident":{"id":37590001,"date":"2026-01-15T09:30:00Z","type":"AWS Keys","severity":"critical","status":"TRIGGERED","gitguardian_url":"https://dashboard.gitguardian.example.org/incidents/37590001"}}"#,
                ids: &["37590001"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "gitguardian/resolved",
                body: r#"{"source":"GitGuardian","timestamp":"2026-01-15T09:30:00Z","action":"incident_resolved","message":"An incident has been resolved.","target_user":"ops","incident":{"id":37600002,"date":"2026-01-15T09:30:00Z","type":"AWS Keys","severity":"info","status":"RESOLVED","gitguardian_url":"https://dashboard.gitguardian.example.org/incidents/37600002"}}"#,
                ids: &["37600002"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "hcp",
        vendor: "HCP webhooks (Packer, Vault Secrets)",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(HCP),
        samples: &[
            Sample {
                name: "hcp/version",
                body: r#"{"resource_id":"webhook.id:AbC123","resource_name":"webhook/project/p-1/geo/us/webhook/ops","event_id":"packer.event:TtPgRt7zcMnBLVLDMQjm","event_action":"create","event_description":"Created version","event_source":"hashicorp.packer.version","event_version":"1","event_payload":{"bucket":{"name":"base-image"}}}"#,
                ids: &["TtPgRt7zcMnBLVLDMQjm"],
                ..Sample::EMPTY
            },
            Sample {
                name: "hcp/test",
                body: r#"{"resource_id":"webhook.id:AbC123","resource_name":"webhook/project/p-1/geo/us/webhook/ops","event_id":"webhook.event:QqFWfgHP6rbcJQ9qqr9j","event_action":"test","event_description":"Test for webhook","event_source":"hashicorp.webhook.webhook","event_version":"1","event_payload":{}}"#,
                ids: &["QqFWfgHP6rbcJQ9qqr9j"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "hcp-terraform",
        vendor: "HCP Terraform and Terraform Enterprise",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(HCP_TERRAFORM),
        samples: &[
            Sample {
                name: "hcp-terraform/errored",
                body: r#"{"payload_version":1,"notification_configuration_id":"nc-AeUQ2zfKZzW9TiGZ","run_url":"https://app.terraform.example.org/app/acme/shop/runs/run-FwnENkvDnrpyFC7M","run_id":"run-FwnENkvDnrpyFC7M","run_message":"Add five new queue workers","run_created_at":"2026-01-15T09:30:00Z","run_created_by":"example","workspace_id":"ws-XdeUVMWShTesDMME","workspace_name":"shop","organization_name":"acme","notifications":[{"message":"Run Errored","trigger":"run:errored","run_status":"errored","run_updated_at":"2026-01-15T09:30:00Z","run_updated_by":"example"}]}"#,
                ids: &["run-FwnENkvDnrpyFC7M"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "hcp-terraform/verification",
                body: r#"{"payload_version":1,"notification_configuration_id":"nc-AeUQ2zfKZzW9TiGZ","run_url":null,"run_id":null,"run_message":null,"run_created_at":null,"run_created_by":null,"workspace_id":null,"workspace_name":null,"organization_name":null,"notifications":[{"message":"Verification of dispatcher","trigger":"verification","run_status":null,"run_updated_at":null,"run_updated_by":null}]}"#,
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "hcp-vault-radar",
        vendor: "HCP Vault Radar, read as plain JSON",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(HCP_VAULT_RADAR),
        samples: &[
            Sample {
                name: "hcp-vault-radar/finding",
                headers: &[("x-hcp-radar-message-id", "0d6f0a1e-7f2b-4d6e-8a54-0c1f0a5f7c01")],
                body: r#"{"type":"finding.created","severity":"critical","title":"AWS access key in a repository","created_at":"2026-01-15T09:30:00Z","url":"https://radar.example.org/findings/1"}"#,
                ids: &["0d6f0a1e-7f2b-4d6e-8a54-0c1f0a5f7c01"],
                times: &["2026-01-15T09:30:00Z"],
            },
            Sample {
                name: "hcp-vault-radar/low",
                headers: &[("x-hcp-radar-message-id", "0d6f0a1e-7f2b-4d6e-8a54-0c1f0a5f7c02")],
                body: r#"{"type":"finding.created","severity":"low","title":"E-mail address in a page","created_at":"2026-01-15T09:30:00Z","url":"https://radar.example.org/findings/2"}"#,
                ids: &["0d6f0a1e-7f2b-4d6e-8a54-0c1f0a5f7c02"],
                times: &["2026-01-15T09:30:00Z"],
            },
        ],
    },
    Preset {
        name: "okta",
        vendor: "Okta event hooks",
        habit: Habit { deadline_s: Some(3), retries: "once" },
        record: Some(OKTA),
        samples: &[
            Sample {
                name: "okta/user_created",
                body: r#"{"eventType":"com.okta.event_hook","eventTypeVersion":"1.0","cloudEventsVersion":"0.1","eventId":"b5a188b9-5ece-4636-b041-482ffda96311","eventTime":"2026-01-15T09:30:00Z","source":"https://example.okta.example.org/api/v1/eventHooks/who8","data":{"events":[{"uuid":"2d5b3f7e-1111-4c3b-9d0c-0c1f0a5f7c01","published":"2026-01-15T09:30:00Z","eventType":"user.lifecycle.create","displayMessage":"Create Okta user","severity":"INFO","actor":{"displayName":"Example Admin","alternateId":"admin@example.org"},"outcome":{"result":"SUCCESS"}}]}}"#,
                ids: &["2d5b3f7e-1111-4c3b-9d0c-0c1f0a5f7c01"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "okta/sign_in_failed",
                body: r#"{"eventType":"com.okta.event_hook","eventTypeVersion":"1.0","cloudEventsVersion":"0.1","eventId":"b5a188b9-5ece-4636-b041-482ffda96312","eventTime":"2026-01-15T09:30:00Z","source":"https://example.okta.example.org/api/v1/eventHooks/who8","data":{"events":[{"uuid":"2d5b3f7e-1111-4c3b-9d0c-0c1f0a5f7c02","published":"2026-01-15T09:30:00Z","eventType":"user.session.start","displayMessage":"User login to Okta","severity":"WARN","actor":{"displayName":"Example User","alternateId":"user@example.org"},"outcome":{"result":"FAILURE","reason":"INVALID_CREDENTIALS"}}]}}"#,
                ids: &["2d5b3f7e-1111-4c3b-9d0c-0c1f0a5f7c02"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "runreveal",
        vendor: "RunReveal, read as plain JSON",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(JSON),
        samples: &[
            Sample {
                name: "runreveal/detection",
                body: r#"{"id":"2OaYv5vR1Yl7sR3yQpQm7zKf001","type":"detection","title":"Sign-in from a new country","severity":"high","time":"2026-01-15T09:30:00Z","url":"https://app.runreveal.example.org/detections/1"}"#,
                ids: &["2OaYv5vR1Yl7sR3yQpQm7zKf001"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "runreveal/low",
                body: r#"{"id":"2OaYv5vR1Yl7sR3yQpQm7zKf002","type":"detection","title":"A new API token was made","severity":"low","time":"2026-01-15T09:30:00Z"}"#,
                ids: &["2OaYv5vR1Yl7sR3yQpQm7zKf002"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "snyk",
        vendor: "Snyk",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(SNYK),
        samples: &[
            Sample {
                name: "snyk/new_issue",
                headers: &[("x-snyk-event", "project_snapshot/v0")],
                body: r#"{"project":{"name":"example/shop","id":"463c1ee5","browseUrl":"https://app.snyk.example.org/org/example/project/463c1ee5","lastTestedDate":"2026-01-15T09:30:00.000Z","isMonitored":true},"org":{"name":"example"},"newIssues":[{"id":"SNYK-JS-EXAMPLE-1","issueType":"vuln","pkgName":"example-unzip","issueData":{"title":"Path Traversal","severity":"high"}}],"removedIssues":[]}"#,
                times: &["2026-01-15T09:30:00.000Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "snyk/ping",
                headers: &[("x-snyk-event", "ping")],
                body: r#"{"webhookId":"d3cf26b3-2d77-497b-bce2-23b33cc15362"}"#,
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "tailscale",
        vendor: "Tailscale",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(TAILSCALE),
        samples: &[
            Sample {
                name: "tailscale/node_created",
                body: r#"[{"timestamp":"2026-01-15T09:30:00Z","version":1,"type":"nodeCreated","tailnet":"example.org","message":"Node web-3 created","data":{"nodeID":"nTAILSCALE0001CNTRL","url":"https://login.tailscale.example.org/admin/machines/100.100.0.3","deviceName":"web-3.example.ts.net","actor":"ops@example.org"}}]"#,
                ids: &["nTAILSCALE0001CNTRL"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "tailscale/key_expired",
                body: r#"[{"timestamp":"2026-01-15T09:30:00Z","version":1,"type":"nodeKeyExpired","tailnet":"example.org","message":"Node db-1 key expired","data":{"nodeID":"nTAILSCALE0002CNTRL","url":"https://login.tailscale.example.org/admin/machines/100.100.0.4","deviceName":"db-1.example.ts.net","expiration":"2026-01-15T09:30:00Z"}}]"#,
                ids: &["nTAILSCALE0002CNTRL"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
];
