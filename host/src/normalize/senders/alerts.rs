//! Monitoring and security products.

use super::super::record::Record;
use super::Preset;
use super::{Habit, Sample};
use crate::model::Severity;

/// Of Alertmanager, and of Grafana, which writes the same form. An alert that still fires is sent again
/// on purpose, so that no notification is taken for a repetition.
const ALERTMANAGER: Record<'static> = Record {
    events: Some("alerts"),
    may_repeat: true,
    event_type: &["{labels.alertname}", "{root:groupLabels.alertname}", "alert"],
    subject: &["{labels.instance}", "{labels.job}", "{labels.namespace}", "{root:receiver}"],
    time: &["{startsAt}"],
    title: &[
        "[{status}] {annotations.summary}",
        "[{status}] {annotations.description}",
        "[{status}] {@type} on {labels.instance}",
        "[{status}] {@type}",
        "{root:title}",
    ],
    severity: &["{status}", "{labels.severity}", "{labels.priority}"],
    link: &["{panelURL}", "{dashboardURL}", "{generatorURL}", "{root:externalURL}"],
    words: &[
        ("resolved", Severity::Info),
        ("page", Severity::Critical),
        ("p1", Severity::Critical),
        ("p2", Severity::Error),
        ("p3", Severity::Warning),
        ("p4", Severity::Info),
    ],
    otherwise: Severity::Warning,
    ..Record::EMPTY
};

const DATADOG: Record<'static> = Record {
    id: &["{id}"],
    event_type: &["{event_type}", "{alert_type}"],
    subject: &["{hostname}", "{org.name}"],
    time: &["{date}", "{last_updated}"],
    title: &["{title}", "{event_title}", "{body}"],
    severity: &["{alert_transition}", "{alert_type}", "{priority}", "{alert_priority}"],
    link: &["{link}", "{url}"],
    words: &[
        ("recovered", Severity::Info),
        ("success", Severity::Info),
        ("triggered", Severity::Error),
        ("re-triggered", Severity::Error),
        ("no data", Severity::Warning),
        ("renotify", Severity::Warning),
        ("p1", Severity::Critical),
        ("p2", Severity::Error),
        ("p3", Severity::Warning),
        ("p4", Severity::Info),
        ("p5", Severity::Info),
        ("normal", Severity::Warning),
    ],
    otherwise: Severity::Warning,
    ..Record::EMPTY
};

const FALCO: Record<'static> = Record {
    id: &["{uuid}"],
    event_type: &["{rule}"],
    subject: &["{hostname}", "{/output_fields/container.name}", "{source}"],
    time: &["{time}"],
    title: &["{output}", "{rule}"],
    severity: &["{priority}"],
    otherwise: Severity::Warning,
    ..Record::EMPTY
};

pub(super) static PRESETS: &[Preset] = &[
    Preset {
        name: "alertmanager",
        vendor: "Prometheus Alertmanager",
        habit: Habit { deadline_s: None, retries: "after a 5xx until the group's next interval" },
        record: Some(ALERTMANAGER),
        samples: &[
            Sample {
                name: "alertmanager/firing",
                body: include_str!("../samples/alertmanager_firing.json"),
                times: &["2026-01-15T09:30:00.000Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "alertmanager/resolved",
                body: include_str!("../samples/alertmanager_resolved.json"),
                times: &["2026-01-15T09:30:00.000Z", "2026-01-15T09:45:00.000Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "datadog",
        vendor: "Datadog, with its default payload",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(DATADOG),
        samples: &[
            Sample {
                name: "datadog/triggered",
                body: r#"{"id":"7281309041834601001","event_type":"query_alert_monitor","title":"[Triggered] CPU load is high on host:web-3","date":"1768469400000","last_updated":"1768469400000","alert_transition":"Triggered","priority":"normal","org":{"id":"1","name":"Example"},"body":"CPU load was above 0.9 during the last 5 minutes"}"#,
                ids: &["7281309041834601001"],
                times: &["1768469400000"],
                ..Sample::EMPTY
            },
            Sample {
                name: "datadog/recovered",
                body: r#"{"id":"7281309041834601002","event_type":"query_alert_monitor","title":"[Recovered] CPU load is high on host:web-3","date":"1768470000000","last_updated":"1768470000000","alert_transition":"Recovered","priority":"normal","org":{"id":"1","name":"Example"},"body":"CPU load is normal again"}"#,
                ids: &["7281309041834601002"],
                times: &["1768470000000"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "falco",
        vendor: "Falco",
        habit: Habit { deadline_s: Some(5), retries: "not at all" },
        record: Some(FALCO),
        samples: &[
            Sample {
                name: "falco/shell",
                body: r#"{"uuid":"5d0f6f0a-8d55-4f0e-9a4f-2c1f0a5f7c01","output":"09:30:00.000000000: Notice A shell was spawned in a container with an attached terminal (user=root container=web proc_cmdline=bash)","priority":"Notice","rule":"Terminal shell in container","source":"syscall","time":"2026-01-15T09:30:00.000000000Z","hostname":"node-1","tags":["container","shell"],"output_fields":{"container.name":"web","proc.cmdline":"bash","user.name":"root"}}"#,
                ids: &["5d0f6f0a-8d55-4f0e-9a4f-2c1f0a5f7c01"],
                times: &["2026-01-15T09:30:00.000000000Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "falco/etc_shadow",
                body: r#"{"uuid":"5d0f6f0a-8d55-4f0e-9a4f-2c1f0a5f7c02","output":"09:31:00.000000000: Critical Sensitive file opened for reading by non-trusted program (file=/etc/shadow proc=cat user=root)","priority":"Critical","rule":"Read sensitive file untrusted","source":"syscall","time":"2026-01-15T09:31:00.000000000Z","hostname":"node-2","tags":["filesystem"],"output_fields":{"fd.name":"/etc/shadow","proc.name":"cat","user.name":"root"}}"#,
                ids: &["5d0f6f0a-8d55-4f0e-9a4f-2c1f0a5f7c02"],
                times: &["2026-01-15T09:31:00.000000000Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "grafana",
        vendor: "Grafana alerting",
        habit: Habit { deadline_s: Some(30), retries: "a few times within the group's interval" },
        record: Some(ALERTMANAGER),
        samples: &[
            Sample {
                name: "grafana/alerting",
                body: r#"{"receiver":"dispatcher","status":"firing","orgId":1,"alerts":[{"status":"firing","labels":{"alertname":"High memory usage","severity":"critical","instance":"db-1"},"annotations":{"summary":"Memory of db-1 is 97 % used"},"startsAt":"2026-01-15T09:30:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"https://grafana.example.org/alerting/grafana/abc/view","fingerprint":"57c6d9296de2ad39","dashboardURL":"https://grafana.example.org/d/mem","panelURL":"https://grafana.example.org/d/mem?viewPanel=1","values":{"A":97.1}}],"groupLabels":{"alertname":"High memory usage"},"commonLabels":{},"commonAnnotations":{},"externalURL":"https://grafana.example.org/","version":"1","groupKey":"{}:{alertname=\"High memory usage\"}","truncatedAlerts":0,"title":"[FIRING:1] High memory usage","state":"alerting","message":"one alert"}"#,
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "grafana/ok",
                body: r#"{"receiver":"dispatcher","status":"resolved","orgId":1,"alerts":[{"status":"resolved","labels":{"alertname":"High memory usage","severity":"critical","instance":"db-1"},"annotations":{"summary":"Memory of db-1 is 97 % used"},"startsAt":"2026-01-15T09:30:00Z","endsAt":"2026-01-15T09:50:00Z","generatorURL":"https://grafana.example.org/alerting/grafana/abc/view","fingerprint":"57c6d9296de2ad39","values":null}],"groupLabels":{"alertname":"High memory usage"},"commonLabels":{},"commonAnnotations":{},"externalURL":"https://grafana.example.org/","version":"1","groupKey":"{}:{alertname=\"High memory usage\"}","truncatedAlerts":0,"title":"[RESOLVED] High memory usage","state":"ok","message":"no alert"}"#,
                times: &["2026-01-15T09:30:00Z", "2026-01-15T09:50:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
];
