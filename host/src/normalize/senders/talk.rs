//! Chat, messages, mail and meetings.

use super::super::record::Record;
use super::super::{Habit, Sample};
use super::Preset;

/// The Events API in JSON; commands and buttons as forms.
const SLACK: Record<'static> = Record {
    id: &["{event_id}", "{trigger_id}"],
    event_type: &["{event.type}.{event.subtype}", "{event.type}", "{command}", "{type}"],
    subject: &[
        "{event.channel}",
        "{channel_name}",
        "{channel.name}",
        "{event.item.channel}",
        "{team_id}",
    ],
    time: &["{event_time}", "{event.event_ts}"],
    title: &[
        "{event.text}",
        "{command} {text}",
        "{@type} {actions.0.action_id} by {user.username}",
        "{@type} by {event.user}",
        "{@type}",
    ],
    link: &["{response_url}"],
    ..Record::EMPTY
};

pub(super) static PRESETS: &[Preset] = &[Preset {
    name: "slack",
    vendor: "Slack",
    habit: Habit { deadline_s: Some(3), retries: "3 times within an hour" },
    record: Some(SLACK),
    samples: &[
        Sample {
            name: "slack/app_mention",
            body: r#"{"token":"sample","team_id":"T061EG9R6","api_app_id":"A0PNCHHK2","event":{"type":"app_mention","user":"U061F7AUR","text":"<@U0LAN0Z89> is the shop down?","ts":"1768469400.000700","channel":"C0LAN2Q65","event_ts":"1768469400.000700"},"type":"event_callback","event_id":"Ev0PV52K25","event_time":1768469400,"authed_users":["U0LAN0Z89"]}"#,
            ids: &["Ev0PV52K25"],
            times: &["1768469400"],
            ..Sample::EMPTY
        },
        Sample {
            name: "slack/command",
            headers: &[("content-type", "application/x-www-form-urlencoded")],
            body: "token=sample&team_id=T0001&team_domain=example&channel_id=C2147483705&channel_name=ops&user_id=U2147483697&user_name=example&command=%2Fdeploy&text=shop+4.2.0&response_url=https%3A%2F%2Fhooks.slack.example.org%2Fcommands%2F1234&trigger_id=13345224609.738474920.8088930838d88f008e0&api_app_id=A123456",
            ids: &["13345224609.738474920.8088930838d88f008e0"],
            ..Sample::EMPTY
        },
    ],
}];
