//! Chat, meetings and desks.

use super::super::record::Record;
use super::Preset;
use super::{Habit, Sample};
use crate::model::Severity;

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

const DISCORD: Record<'static> = Record {
    id: &["{id}", "{event.type}/{event.timestamp}/{application_id}"],
    event_type: &["{event.type}", "command.{data.name}", "component.{data.custom_id}", "ping"],
    subject: &["{guild_id}", "{application_id}"],
    time: &["{event.timestamp}"],
    title: &[
        "{@type} by {member.user.username}",
        "{@type} by {user.username}",
        "{@type} by {event.data.user.username}",
        "{@type}",
    ],
    ..Record::EMPTY
};

const INTERCOM: Record<'static> = Record {
    id_alone: true,
    id: &["{id}"],
    event_type: &["{topic}"],
    subject: &["{app_id}", "{data.item.id}"],
    time: &["{created_at}", "{first_sent_at}"],
    title: &[
        "{@type}: {data.item.source.subject}",
        "{@type}: {data.item.title}",
        "{@type} {data.item.id}",
        "{@type}",
    ],
    link: &["{data.item.links.conversation_web}"],
    ..Record::EMPTY
};

const LINE: Record<'static> = Record {
    events: Some("events"),
    id_alone: true,
    id: &["{webhookEventId}"],
    event_type: &["{type}.{message.type}", "{type}"],
    subject: &["{source.groupId}", "{source.userId}"],
    time: &["{timestamp}"],
    title: &["{message.text}", "{@type} from {source.userId}", "{@type}"],
    ..Record::EMPTY
};

const META: Record<'static> = Record {
    events: Some("entry"),
    id_alone: true,
    id: &[
        "{changes.0.value.messages.0.id}",
        "{changes.0.value.statuses.0.id}/{changes.0.value.statuses.0.status}",
        "{messaging.0.message.mid}",
    ],
    event_type: &["{root:object}.{changes.0.field}", "{root:object}"],
    subject: &["{changes.0.value.metadata.display_phone_number}", "{id}"],
    time: &[
        "{changes.0.value.messages.0.timestamp}",
        "{changes.0.value.statuses.0.timestamp}",
        "{time}",
    ],
    title: &[
        "{changes.0.value.messages.0.text.body}",
        "{messaging.0.message.text}",
        "{@type}: message {changes.0.value.statuses.0.status}",
        "{@type}",
    ],
    severity: &["{changes.0.value.statuses.0.status}"],
    words: &[("failed", Severity::Error)],
    ..Record::EMPTY
};

const TWITCH: Record<'static> = Record {
    id_alone: true,
    id: &["{header:twitch-eventsub-message-id}"],
    event_type: &["{subscription.type}", "{header:twitch-eventsub-subscription-type}"],
    subject: &["{event.broadcaster_user_name}", "{subscription.condition.broadcaster_user_id}"],
    time: &["{header:twitch-eventsub-message-timestamp}"],
    title: &[
        "{@type}: {event.user_name} on {event.broadcaster_user_name}",
        "{@type}: {event.broadcaster_user_name}",
        "{@type}",
    ],
    ..Record::EMPTY
};

const X: Record<'static> = Record {
    id_alone: true,
    id: &[
        "{tweet_create_events.0.id_str}",
        "{direct_message_events.0.id}",
        "{follow_events.0.created_timestamp}/{follow_events.0.source.id}",
    ],
    event_type: &["activity"],
    subject: &["{for_user_id}"],
    time: &[
        "{tweet_create_events.0.timestamp_ms}",
        "{direct_message_events.0.created_timestamp}",
        "{follow_events.0.created_timestamp}",
    ],
    title: &[
        "{tweet_create_events.0.text}",
        "direct message: {direct_message_events.0.message_create.message_data.text}",
        "{follow_events.0.source.screen_name} follows",
        "{@type} for {for_user_id}",
    ],
    ..Record::EMPTY
};

const ZENDESK: Record<'static> = Record {
    any_body: true,
    id_alone: true,
    id: &["{id}", "{header:x-zendesk-webhook-invocation-id}"],
    event_type: &["{type}", "call"],
    subject: &["{subject}", "{detail.id}"],
    time: &["{time}", "{header:x-zendesk-webhook-signature-timestamp}"],
    title: &["{@type}: {detail.subject}", "{@type} {detail.id}", "{title}", "{@type} from Zendesk"],
    severity: &["{detail.priority}", "{priority}"],
    words: &[("urgent", Severity::Error), ("high", Severity::Warning), ("normal", Severity::Info)],
    ..Record::EMPTY
};

const ZOOM: Record<'static> = Record {
    id: &["{event}/{event_ts}/{payload.object.uuid}", "{event}/{event_ts}/{payload.object.id}"],
    event_type: &["{event}"],
    subject: &["{payload.object.id}", "{payload.account_id}"],
    time: &["{event_ts}"],
    title: &["{@type}: {payload.object.topic}", "{@type} {payload.object.id}", "{@type}"],
    severity: &["{@type}"],
    words: &[("*.alert", Severity::Warning), ("*_alert", Severity::Warning)],
    ..Record::EMPTY
};

pub(super) static PRESETS: &[Preset] = &[
    Preset {
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
    },
    Preset {
        name: "discord",
        vendor: "Discord (interactions and webhook events)",
        habit: Habit { deadline_s: Some(3), retries: "" },
        record: Some(DISCORD),
        samples: &[
            Sample {
                name: "discord/command",
                body: r#"{"id":"1179450000000000001","application_id":"1179440000000000000","type":2,"data":{"id":"1","name":"deploy","type":1},"guild_id":"1179430000000000000","member":{"user":{"id":"1","username":"example"}},"token":"sample","version":1}"#,
                ids: &["1179450000000000001"],
                ..Sample::EMPTY
            },
            Sample {
                name: "discord/authorized",
                body: r#"{"version":1,"application_id":"1179440000000000000","type":1,"event":{"type":"APPLICATION_AUTHORIZED","timestamp":"2026-01-15T09:30:00.123456Z","data":{"integration_type":1,"scopes":["applications.commands"],"user":{"id":"1","username":"example"}}}}"#,
                times: &["2026-01-15T09:30:00.123456Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "intercom",
        vendor: "Intercom",
        habit: Habit { deadline_s: Some(5), retries: "once" },
        record: Some(INTERCOM),
        samples: &[
            Sample {
                name: "intercom/conversation",
                body: r#"{"type":"notification_event","app_id":"a86dr8yl","data":{"type":"notification_event_data","item":{"type":"conversation","id":"1312","title":"Checkout is slow"}},"id":"notif_ccd8a4d0-f965-11e3-a367-0001","topic":"conversation.user.created","delivery_status":"pending","delivery_attempts":1,"delivered_at":0,"first_sent_at":1768469400,"created_at":1768469400}"#,
                ids: &["notif_ccd8a4d0-f965-11e3-a367-0001"],
                times: &["1768469400"],
                ..Sample::EMPTY
            },
            Sample {
                name: "intercom/ping",
                body: r#"{"type":"notification_event","app_id":"a86dr8yl","data":{"type":"notification_event_data","item":{"type":"ping","message":"something something interzen"}},"id":"notif_ccd8a4d0-f965-11e3-a367-0002","topic":"ping","delivery_attempts":1,"first_sent_at":1768469400,"created_at":1768469400}"#,
                ids: &["notif_ccd8a4d0-f965-11e3-a367-0002"],
                times: &["1768469400"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "line",
        vendor: "LINE",
        habit: Habit { deadline_s: None, retries: "when asked for in its console" },
        record: Some(LINE),
        samples: &[
            Sample {
                name: "line/message",
                body: r#"{"destination":"U0000000000000000000000000000000a","events":[{"type":"message","message":{"type":"text","id":"14353798921116","text":"Is the shop down?"},"timestamp":1768469400000,"source":{"type":"user","userId":"U80696558e1aa831"},"replyToken":"sample","mode":"active","webhookEventId":"01FZ74A0TDDPYRVKNK77XKC3ZR","deliveryContext":{"isRedelivery":false}}]}"#,
                ids: &["01FZ74A0TDDPYRVKNK77XKC3ZR"],
                times: &["1768469400000"],
                ..Sample::EMPTY
            },
            Sample {
                name: "line/follow",
                body: r#"{"destination":"U0000000000000000000000000000000a","events":[{"type":"follow","timestamp":1768469400000,"source":{"type":"user","userId":"U80696558e1aa831"},"replyToken":"sample","mode":"active","webhookEventId":"01FZ74A0TDDPYRVKNK77XKC3ZS","deliveryContext":{"isRedelivery":false}}]}"#,
                ids: &["01FZ74A0TDDPYRVKNK77XKC3ZS"],
                times: &["1768469400000"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "meta",
        vendor: "Meta (WhatsApp, Messenger, Instagram, Pages)",
        habit: Habit { deadline_s: Some(10), retries: "for up to 7 days" },
        record: Some(META),
        samples: &[
            Sample {
                name: "meta/message",
                body: r#"{"object":"whatsapp_business_account","entry":[{"id":"102290129340398","changes":[{"field":"messages","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550783881","phone_number_id":"106540352242922"},"messages":[{"from":"33600000001","id":"wamid.HBgLMTY1MDM4Nzk0MzkVAgAS01","timestamp":"1768469400","type":"text","text":{"body":"Is the shop down?"}}]}}]}]}"#,
                ids: &["wamid.HBgLMTY1MDM4Nzk0MzkVAgAS01"],
                times: &["1768469400"],
                ..Sample::EMPTY
            },
            Sample {
                name: "meta/status_failed",
                body: r#"{"object":"whatsapp_business_account","entry":[{"id":"102290129340398","changes":[{"field":"messages","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550783881","phone_number_id":"106540352242922"},"statuses":[{"id":"wamid.HBgLMTY1MDM4Nzk0MzkVAgAS02","status":"failed","timestamp":"1768469400","recipient_id":"33600000001"}]}}]}]}"#,
                ids: &["wamid.HBgLMTY1MDM4Nzk0MzkVAgAS02"],
                times: &["1768469400"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "twitch",
        vendor: "Twitch EventSub",
        habit: Habit { deadline_s: None, retries: "a few times" },
        record: Some(TWITCH),
        samples: &[
            Sample {
                name: "twitch/follow",
                headers: &[
                    ("twitch-eventsub-message-id", "befa7b53-d79d-478f-86b9-120f112b0001"),
                    ("twitch-eventsub-message-timestamp", "2026-01-15T09:30:00.634234626Z"),
                    ("twitch-eventsub-message-type", "notification"),
                ],
                body: r#"{"subscription":{"id":"f1c2a387-161a-49f9-a165-0f21d7a4e1c4","type":"channel.follow","version":"2","status":"enabled","condition":{"broadcaster_user_id":"1337"}},"event":{"user_id":"1234","user_name":"viewer","broadcaster_user_id":"1337","broadcaster_user_name":"example"}}"#,
                ids: &["befa7b53-d79d-478f-86b9-120f112b0001"],
                times: &["2026-01-15T09:30:00.634234626Z"],
            },
            Sample {
                name: "twitch/online",
                headers: &[
                    ("twitch-eventsub-message-id", "befa7b53-d79d-478f-86b9-120f112b0002"),
                    ("twitch-eventsub-message-timestamp", "2026-01-15T09:31:00.634234626Z"),
                    ("twitch-eventsub-message-type", "notification"),
                ],
                body: r#"{"subscription":{"id":"f1c2a387-161a-49f9-a165-0f21d7a4e1c5","type":"stream.online","version":"1","status":"enabled","condition":{"broadcaster_user_id":"1337"}},"event":{"id":"9001","broadcaster_user_id":"1337","broadcaster_user_name":"example","type":"live"}}"#,
                ids: &["befa7b53-d79d-478f-86b9-120f112b0002"],
                times: &["2026-01-15T09:31:00.634234626Z"],
            },
        ],
    },
    Preset {
        name: "x",
        vendor: "X (account activity)",
        habit: Habit { deadline_s: Some(3), retries: "" },
        record: Some(X),
        samples: &[
            Sample {
                name: "x/post",
                body: r#"{"for_user_id":"2244994945","tweet_create_events":[{"id_str":"1768469400000000001","text":"Is the shop down?","timestamp_ms":"1768469400000","user":{"screen_name":"example"}}]}"#,
                ids: &["1768469400000000001"],
                times: &["1768469400000"],
                ..Sample::EMPTY
            },
            Sample {
                name: "x/direct_message",
                body: r#"{"for_user_id":"2244994945","direct_message_events":[{"type":"message_create","id":"954491830116155396","created_timestamp":"1768469400000","message_create":{"target":{"recipient_id":"1"},"sender_id":"2","message_data":{"text":"Please look at order 1042"}}}]}"#,
                ids: &["954491830116155396"],
                times: &["1768469400000"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "zendesk",
        vendor: "Zendesk",
        habit: Habit { deadline_s: Some(10), retries: "up to 5 times" },
        record: Some(ZENDESK),
        samples: &[
            Sample {
                name: "zendesk/ticket_created",
                body: r#"{"account_id":22129848,"detail":{"id":"5158","subject":"Checkout is slow","priority":"URGENT","status":"NEW"},"event":{},"id":"2b24ef10-19db-4740-93cf-fb0ec86ac001","subject":"zen:ticket:5158","time":"2026-01-15T09:30:00.895Z","type":"zen:event-type:ticket.created","zendesk_event_version":"2022-11-06"}"#,
                ids: &["2b24ef10-19db-4740-93cf-fb0ec86ac001"],
                times: &["2026-01-15T09:30:00.895Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "zendesk/trigger",
                headers: &[("x-zendesk-webhook-invocation-id", "01HXDJ8C0000000000000001")],
                body: "",
                ids: &["01HXDJ8C0000000000000001"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "zoom",
        vendor: "Zoom",
        habit: Habit { deadline_s: Some(3), retries: "3 times within 2 hours" },
        record: Some(ZOOM),
        samples: &[
            Sample {
                name: "zoom/meeting_started",
                body: r#"{"event":"meeting.started","event_ts":1768469400000,"payload":{"account_id":"AAAAAABBBB","object":{"id":"1234567890","uuid":"4444AAAiAAAAAiAiAiiAii01","topic":"Incident call","type":2}}}"#,
                ids: &["4444AAAiAAAAAiAiAiiAii01"],
                times: &["1768469400000"],
                ..Sample::EMPTY
            },
            Sample {
                name: "zoom/recording_completed",
                body: r#"{"event":"recording.completed","event_ts":1768469400000,"payload":{"account_id":"AAAAAABBBB","object":{"id":"1234567891","uuid":"4444AAAiAAAAAiAiAiiAii02","topic":"Review","type":2}}}"#,
                ids: &["4444AAAiAAAAAiAiAiiAii02"],
                times: &["1768469400000"],
                ..Sample::EMPTY
            },
        ],
    },
];
