//! Files, forms, plans, video and the rest.

use super::super::record::Record;
use super::Preset;
use super::{Habit, Sample};
use crate::model::Severity;

const BOX: Record<'static> = Record {
    id_alone: true,
    id: &["{header:box-delivery-id}", "{id}"],
    event_type: &["{trigger}"],
    subject: &["{source.name}", "{source.id}"],
    time: &["{created_at}"],
    title: &[
        "{@type}: {source.name} by {created_by.name}",
        "{@type}: {source.name}",
        "{@type} {source.id}",
    ],
    ..Record::EMPTY
};

const CALENDLY: Record<'static> = Record {
    id: &["{event}/{payload.uri}"],
    event_type: &["{event}"],
    subject: &["{payload.email}"],
    time: &["{created_at}"],
    title: &[
        "{@type}: {payload.scheduled_event.name} with {payload.name}",
        "{@type}: {payload.name}",
        "{@type}",
    ],
    link: &["{payload.reschedule_url}"],
    ..Record::EMPTY
};

const CLOUDFLARE_STREAM: Record<'static> = Record {
    id: &["{uid}/{status.state}"],
    event_type: &["video.{status.state}"],
    subject: &["{meta.name}", "{uid}"],
    time: &["{modified}", "{created}"],
    title: &[
        "{@type}: {meta.name}: {status.errorReasonText}",
        "{@type}: {meta.name}",
        "{@type} {uid}",
    ],
    severity: &["{status.state}"],
    link: &["{preview}"],
    words: &[("ready", Severity::Info)],
    ..Record::EMPTY
};

const CONTENTFUL: Record<'static> = Record {
    id: &["{header:x-contentful-idempotency-key}"],
    event_type: &["{header:x-contentful-topic}"],
    subject: &["{sys.space.sys.id}"],
    time: &["{sys.updatedAt}", "{sys.createdAt}"],
    title: &["{@type}: {fields.title.en-US}", "{@type}: {fields.name.en-US}", "{@type} {sys.id}"],
    ..Record::EMPTY
};

const DEEPGRAM: Record<'static> = Record {
    id: &["{metadata.request_id}"],
    event_type: &["transcript"],
    subject: &["{metadata.request_id}"],
    time: &["{metadata.created}"],
    title: &["{results.channels.0.alternatives.0.transcript}", "{@type} {metadata.request_id}"],
    ..Record::EMPTY
};

const DROPBOX: Record<'static> = Record {
    may_repeat: true,
    event_type: &["changes"],
    subject: &["{list_folder.accounts.0}", "{delta.users.0}"],
    title: &["files changed for {list_folder.accounts.0}", "files changed for {delta.users.0}"],
    ..Record::EMPTY
};

const HUBSPOT: Record<'static> = Record {
    id_alone: true,
    id: &["{eventId}/{subscriptionId}/{objectId}"],
    event_type: &["{subscriptionType}"],
    subject: &["{objectId}"],
    time: &["{occurredAt}"],
    title: &["{@type} {objectId}: {propertyName} is {propertyValue}", "{@type} {objectId}"],
    ..Record::EMPTY
};

const LINEAR: Record<'static> = Record {
    id_alone: true,
    id: &["{header:linear-delivery}"],
    event_type: &["{type}.{action}"],
    subject: &["{data.team.key}", "{organizationId}"],
    time: &["{createdAt}", "{webhookTimestamp}"],
    title: &[
        "{data.identifier}: {data.title}",
        "{data.title}",
        "{data.issue.title}: {data.body}",
        "{data.body}",
        "{@type} {data.id}",
    ],
    severity: &["{data.priorityLabel}"],
    link: &["{url}"],
    words: &[
        ("urgent", Severity::Error),
        ("high", Severity::Warning),
        ("medium", Severity::Info),
        ("no priority", Severity::Info),
    ],
    ..Record::EMPTY
};

const MUX: Record<'static> = Record {
    id_alone: true,
    id: &["{id}"],
    event_type: &["{type}"],
    subject: &["{environment.name}", "{object.id}"],
    time: &["{created_at}"],
    title: &["{@type} {object.id}: {data.errors.messages.0}", "{@type} {object.id}"],
    severity: &["{@type}"],
    words: &[("*.errored", Severity::Error), ("*.warning", Severity::Warning)],
    ..Record::EMPTY
};

const NOTION: Record<'static> = Record {
    id_alone: true,
    id: &["{id}"],
    event_type: &["{type}", "verification"],
    subject: &["{entity.type}/{entity.id}", "{workspace_name}"],
    time: &["{timestamp}"],
    title: &["{@type} {entity.id} in {workspace_name}", "{@type} {entity.id}", "{@type}"],
    ..Record::EMPTY
};

const PUSHER: Record<'static> = Record {
    events: Some("events"),
    id: &["{root:time_ms}/{name}/{channel}"],
    event_type: &["{name}"],
    subject: &["{channel}"],
    time: &["{root:time_ms}"],
    title: &["{@type} {channel}: {event}", "{@type} {channel}", "{@type}"],
    ..Record::EMPTY
};

const TALLY: Record<'static> = Record {
    id: &["{eventId}"],
    event_type: &["{eventType}"],
    subject: &["{data.formName}"],
    time: &["{createdAt}"],
    title: &["{data.formName} was filled in", "{@type}"],
    ..Record::EMPTY
};

const TYPEFORM: Record<'static> = Record {
    id_alone: true,
    id: &["{event_id}"],
    event_type: &["{event_type}"],
    subject: &["{form_response.definition.title}", "{form_response.form_id}"],
    time: &["{form_response.submitted_at}"],
    title: &["{form_response.definition.title} was filled in", "{@type} {form_response.form_id}"],
    ..Record::EMPTY
};

const WORKOS: Record<'static> = Record {
    id_alone: true,
    id: &["{id}"],
    event_type: &["{event}"],
    subject: &["{data.id}", "{data.organization_id}"],
    time: &["{created_at}"],
    title: &["{@type}: {data.email}", "{@type}: {data.name}", "{@type} {data.id}"],
    severity: &["{@type}"],
    words: &[("*_failed", Severity::Warning), ("connection.deactivated", Severity::Warning)],
    ..Record::EMPTY
};

pub(super) static PRESETS: &[Preset] = &[
    Preset {
        name: "box",
        vendor: "Box",
        habit: Habit { deadline_s: None, retries: "10 times" },
        record: Some(BOX),
        samples: &[
            Sample {
                name: "box/uploaded",
                headers: &[("box-delivery-id", "673a081b-bb4b-4d45-b4f1-4131a29c0001")],
                body: r#"{"type":"webhook_event","id":"0f6b4d6e-1111-4c3b-9d0c-0001","created_at":"2026-01-15T09:30:00Z","trigger":"FILE.UPLOADED","webhook":{"id":"53","type":"webhook"},"created_by":{"type":"user","id":"226067247","name":"Example"},"source":{"id":"73835521473","type":"file","name":"contract.pdf"}}"#,
                ids: &["673a081b-bb4b-4d45-b4f1-4131a29c0001"],
                times: &["2026-01-15T09:30:00Z"],
            },
            Sample {
                name: "box/deleted",
                headers: &[("box-delivery-id", "673a081b-bb4b-4d45-b4f1-4131a29c0002")],
                body: r#"{"type":"webhook_event","id":"0f6b4d6e-1111-4c3b-9d0c-0002","created_at":"2026-01-15T09:30:00Z","trigger":"FILE.TRASHED","webhook":{"id":"53","type":"webhook"},"created_by":{"type":"user","id":"226067247","name":"Example"},"source":{"id":"73835521474","type":"file","name":"draft.pdf"}}"#,
                ids: &["673a081b-bb4b-4d45-b4f1-4131a29c0002"],
                times: &["2026-01-15T09:30:00Z"],
            },
        ],
    },
    Preset {
        name: "calendly",
        vendor: "Calendly",
        habit: Habit { deadline_s: None, retries: "for 24 hours" },
        record: Some(CALENDLY),
        samples: &[
            Sample {
                name: "calendly/created",
                body: r#"{"event":"invitee.created","created_at":"2026-01-15T09:30:00Z","created_by":"https://api.calendly.example.org/users/1","payload":{"uri":"https://api.calendly.example.org/scheduled_events/1/invitees/a1b2c3d4e5f60001","email":"guest@example.org","name":"Guest","scheduled_event":{"name":"Review","start_time":"2026-01-16T10:00:00Z"}}}"#,
                ids: &["a1b2c3d4e5f60001"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "calendly/canceled",
                body: r#"{"event":"invitee.canceled","created_at":"2026-01-15T09:30:00Z","created_by":"https://api.calendly.example.org/users/1","payload":{"uri":"https://api.calendly.example.org/scheduled_events/1/invitees/a1b2c3d4e5f60002","email":"guest@example.org","name":"Guest","scheduled_event":{"name":"Review","start_time":"2026-01-16T10:00:00Z"}}}"#,
                ids: &["a1b2c3d4e5f60002"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "cloudflare-stream",
        vendor: "Cloudflare Stream",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(CLOUDFLARE_STREAM),
        samples: &[
            Sample {
                name: "cloudflare-stream/ready",
                body: r#"{"uid":"dd5d531a12de0c724bd1275a3b2b0001","readyToStream":true,"status":{"state":"ready"},"meta":{"name":"launch.mp4"},"created":"2026-01-15T09:30:00Z","modified":"2026-01-15T09:30:00Z","duration":7.6,"preview":"https://customer-1.cloudflarestream.example.org/dd5d/watch"}"#,
                ids: &["dd5d531a12de0c724bd1275a3b2b0001"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "cloudflare-stream/error",
                body: r#"{"uid":"dd5d531a12de0c724bd1275a3b2b0002","readyToStream":false,"status":{"state":"error","errorReasonCode":"ERR_NON_VIDEO","errorReasonText":"The file was not recognized as a valid video file."},"meta":{"name":"notes.txt"},"created":"2026-01-15T09:30:00Z","modified":"2026-01-15T09:30:00Z"}"#,
                ids: &["dd5d531a12de0c724bd1275a3b2b0002"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "contentful",
        vendor: "Contentful",
        habit: Habit { deadline_s: None, retries: "twice" },
        record: Some(CONTENTFUL),
        samples: &[
            Sample {
                name: "contentful/publish",
                headers: &[
                    ("x-contentful-topic", "ContentManagement.Entry.publish"),
                    ("x-contentful-idempotency-key", "b0a1f0d6a54b4c3b9d0c0001"),
                    ("content-type", "application/vnd.contentful.management.v1+json"),
                ],
                body: r#"{"sys":{"id":"3kZdnJ1jzPVr1ryXzrZ001","type":"Entry","createdAt":"2026-01-15T09:30:00Z","updatedAt":"2026-01-15T09:30:00Z","space":{"sys":{"type":"Link","linkType":"Space","id":"space-1"}}},"fields":{"title":{"en-US":"Opening hours"}}}"#,
                ids: &["b0a1f0d6a54b4c3b9d0c0001"],
                times: &["2026-01-15T09:30:00Z"],
            },
            Sample {
                name: "contentful/delete",
                headers: &[
                    ("x-contentful-topic", "ContentManagement.Entry.delete"),
                    ("x-contentful-idempotency-key", "b0a1f0d6a54b4c3b9d0c0002"),
                    ("content-type", "application/vnd.contentful.management.v1+json"),
                ],
                body: r#"{"sys":{"id":"3kZdnJ1jzPVr1ryXzrZ002","type":"DeletedEntry","createdAt":"2026-01-15T09:30:00Z","updatedAt":"2026-01-15T09:30:00Z","space":{"sys":{"type":"Link","linkType":"Space","id":"space-1"}}}}"#,
                ids: &["b0a1f0d6a54b4c3b9d0c0002"],
                times: &["2026-01-15T09:30:00Z"],
            },
        ],
    },
    Preset {
        name: "deepgram",
        vendor: "Deepgram",
        habit: Habit { deadline_s: None, retries: "10 times" },
        record: Some(DEEPGRAM),
        samples: &[
            Sample {
                name: "deepgram/transcript",
                body: r#"{"metadata":{"request_id":"b5f4a1e0-3f55-4b9e-8a1c-5b1f0a5f7c01","created":"2026-01-15T09:30:00Z","duration":5.9,"channels":1},"results":{"channels":[{"alternatives":[{"transcript":"is the shop down","confidence":0.98}]}]}}"#,
                ids: &["b5f4a1e0-3f55-4b9e-8a1c-5b1f0a5f7c01"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "deepgram/silence",
                body: r#"{"metadata":{"request_id":"b5f4a1e0-3f55-4b9e-8a1c-5b1f0a5f7c02","created":"2026-01-15T09:30:00Z","duration":1.0,"channels":1},"results":{"channels":[{"alternatives":[{"transcript":"","confidence":0}]}]}}"#,
                ids: &["b5f4a1e0-3f55-4b9e-8a1c-5b1f0a5f7c02"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "dropbox",
        vendor: "Dropbox",
        habit: Habit { deadline_s: Some(10), retries: "" },
        record: Some(DROPBOX),
        samples: &[
            Sample {
                name: "dropbox/changes",
                body: r#"{"list_folder":{"accounts":["dbid:AAH4f99T0taONIb-OurWxbNQ6ywGRopQngc"]},"delta":{"users":[12345678]}}"#,
                ..Sample::EMPTY
            },
            Sample {
                name: "dropbox/user",
                body: r#"{"delta":{"users":[12345679]}}"#,
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "hubspot",
        vendor: "HubSpot",
        habit: Habit { deadline_s: Some(5), retries: "10 times within 24 hours" },
        record: Some(HUBSPOT),
        samples: &[
            Sample {
                name: "hubspot/contact_created",
                body: r#"[{"eventId":10000001,"subscriptionId":12345,"portalId":62515,"appId":54321,"occurredAt":1768469400000,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW"}]"#,
                ids: &["10000001"],
                times: &["1768469400000"],
                ..Sample::EMPTY
            },
            Sample {
                name: "hubspot/deal_changed",
                body: r#"[{"eventId":10000002,"subscriptionId":12346,"portalId":62515,"appId":54321,"occurredAt":1768469400000,"subscriptionType":"deal.propertyChange","attemptNumber":0,"objectId":124,"propertyName":"dealstage","propertyValue":"closedwon"}]"#,
                ids: &["10000002"],
                times: &["1768469400000"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "linear",
        vendor: "Linear",
        habit: Habit { deadline_s: Some(5), retries: "3 times within a day" },
        record: Some(LINEAR),
        samples: &[
            Sample {
                name: "linear/issue",
                headers: &[
                    ("linear-delivery", "234d1a4e-b617-4388-90fe-adc3633d6001"),
                    ("linear-event", "Issue"),
                ],
                body: r#"{"action":"create","type":"Issue","createdAt":"2026-01-15T09:30:00.000Z","data":{"id":"72b0ad3e","identifier":"SHOP-12","title":"Checkout is slow","priorityLabel":"Urgent","team":{"key":"SHOP"}},"url":"https://linear.example.org/example/issue/SHOP-12","organizationId":"o-1","webhookTimestamp":1768469400000,"webhookId":"w-1"}"#,
                ids: &["234d1a4e-b617-4388-90fe-adc3633d6001"],
                times: &["2026-01-15T09:30:00.000Z", "1768469400000"],
            },
            Sample {
                name: "linear/comment",
                headers: &[
                    ("linear-delivery", "234d1a4e-b617-4388-90fe-adc3633d6002"),
                    ("linear-event", "Comment"),
                ],
                body: r#"{"action":"create","type":"Comment","createdAt":"2026-01-15T09:30:00.000Z","data":{"id":"2174add1","body":"Seen on two hosts","issue":{"id":"72b0ad3e","title":"Checkout is slow"}},"url":"https://linear.example.org/example/issue/SHOP-12#comment-1","organizationId":"o-1","webhookTimestamp":1768469400000,"webhookId":"w-1"}"#,
                ids: &["234d1a4e-b617-4388-90fe-adc3633d6002"],
                times: &["2026-01-15T09:30:00.000Z", "1768469400000"],
            },
        ],
    },
    Preset {
        name: "mux",
        vendor: "Mux",
        habit: Habit { deadline_s: Some(5), retries: "for 24 hours" },
        record: Some(MUX),
        samples: &[
            Sample {
                name: "mux/ready",
                body: r#"{"type":"video.asset.ready","id":"3a56ac3d-33da-4366-855b-f592d898409d","created_at":"2026-01-15T09:30:00Z","object":{"type":"asset","id":"0201p02fGKPE7MrbC269XRD7LpcHhrmbu0002"},"environment":{"name":"Production","id":"j0863n"},"data":{"status":"ready"},"attempts":[]}"#,
                ids: &["3a56ac3d-33da-4366-855b-f592d898409d"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "mux/errored",
                body: r#"{"type":"video.asset.errored","id":"3a56ac3d-33da-4366-855b-f592d898409e","created_at":"2026-01-15T09:30:00Z","object":{"type":"asset","id":"0201p02fGKPE7MrbC269XRD7LpcHhrmbu0003"},"environment":{"name":"Production","id":"j0863n"},"data":{"status":"errored","errors":{"type":"invalid_input","messages":["The file could not be opened."]}},"attempts":[]}"#,
                ids: &["3a56ac3d-33da-4366-855b-f592d898409e"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "notion",
        vendor: "Notion",
        habit: Habit { deadline_s: None, retries: "8 times within 24 hours" },
        record: Some(NOTION),
        samples: &[
            Sample {
                name: "notion/page_created",
                body: r#"{"id":"367cba44-b6f3-4c92-81e7-6a2e9659efd4","timestamp":"2026-01-15T09:30:00.000Z","workspace_id":"13950b26","workspace_name":"Example","type":"page.created","authors":[{"id":"c7c11cca","type":"person"}],"attempt_number":1,"entity":{"id":"153104cd","type":"page"},"data":{}}"#,
                ids: &["367cba44-b6f3-4c92-81e7-6a2e9659efd4"],
                times: &["2026-01-15T09:30:00.000Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "notion/comment",
                body: r#"{"id":"367cba44-b6f3-4c92-81e7-6a2e9659efd5","timestamp":"2026-01-15T09:30:00.000Z","workspace_id":"13950b26","workspace_name":"Example","type":"comment.created","authors":[{"id":"c7c11cca","type":"person"}],"attempt_number":1,"entity":{"id":"153104ce","type":"comment"},"data":{"page_id":"153104cd"}}"#,
                ids: &["367cba44-b6f3-4c92-81e7-6a2e9659efd5"],
                times: &["2026-01-15T09:30:00.000Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "pusher",
        vendor: "Pusher Channels",
        habit: Habit { deadline_s: None, retries: "for 5 minutes" },
        record: Some(PUSHER),
        samples: &[
            Sample {
                name: "pusher/occupied",
                body: r#"{"time_ms":1768469400000,"events":[{"name":"channel_occupied","channel":"orders"}]}"#,
                times: &["1768469400000"],
                ..Sample::EMPTY
            },
            Sample {
                name: "pusher/client_event",
                body: r#"{"time_ms":1768469460000,"events":[{"name":"client_event","channel":"private-orders","event":"client-typing","data":"{}","socket_id":"123.456"}]}"#,
                times: &["1768469460000"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "tally",
        vendor: "Tally",
        habit: Habit { deadline_s: Some(10), retries: "5 times within 2 days" },
        record: Some(TALLY),
        samples: &[
            Sample {
                name: "tally/response",
                body: r#"{"eventId":"a4cb511e-d513-4fa5-baee-b815d718dfd1","eventType":"FORM_RESPONSE","createdAt":"2026-01-15T09:30:00.889Z","data":{"responseId":"2wgx4n","formId":"VwbNEw","formName":"Report a problem","fields":[{"key":"question_1","label":"What happened?","type":"INPUT_TEXT","value":"Checkout is slow"}]}}"#,
                ids: &["a4cb511e-d513-4fa5-baee-b815d718dfd1"],
                times: &["2026-01-15T09:30:00.889Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "tally/empty",
                body: r#"{"eventId":"a4cb511e-d513-4fa5-baee-b815d718dfd2","eventType":"FORM_RESPONSE","createdAt":"2026-01-15T09:31:00.889Z","data":{"responseId":"2wgx4m","formId":"VwbNEw","formName":"Report a problem","fields":[]}}"#,
                ids: &["a4cb511e-d513-4fa5-baee-b815d718dfd2"],
                times: &["2026-01-15T09:31:00.889Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "typeform",
        vendor: "Typeform",
        habit: Habit { deadline_s: Some(30), retries: "for up to 10 hours" },
        record: Some(TYPEFORM),
        samples: &[
            Sample {
                name: "typeform/response",
                body: r#"{"event_id":"01GTVNVKJ8000000000000001","event_type":"form_response","form_response":{"form_id":"lT4Z3j","token":"a3a12ec67a1365927098a606107fac15","submitted_at":"2026-01-15T09:30:00Z","definition":{"id":"lT4Z3j","title":"Report a problem"},"answers":[{"type":"text","text":"Checkout is slow"}]}}"#,
                ids: &["01GTVNVKJ8000000000000001"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "typeform/partial",
                body: r#"{"event_id":"01GTVNVKJ8000000000000002","event_type":"form_response_partial","form_response":{"form_id":"lT4Z3j","token":"a3a12ec67a1365927098a606107fac16","submitted_at":"2026-01-15T09:30:00Z","definition":{"id":"lT4Z3j","title":"Report a problem"},"answers":[]}}"#,
                ids: &["01GTVNVKJ8000000000000002"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "workos",
        vendor: "WorkOS",
        habit: Habit { deadline_s: None, retries: "for up to 3 days" },
        record: Some(WORKOS),
        samples: &[
            Sample {
                name: "workos/user_created",
                body: r#"{"id":"event_01HXYZ0000000000000001","event":"user.created","created_at":"2026-01-15T09:30:00Z","data":{"object":"user","id":"user_01E4ZCR3C56J083X43JQXF3JK5","email":"user@example.org"}}"#,
                ids: &["event_01HXYZ0000000000000001"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "workos/password_failed",
                body: r#"{"id":"event_01HXYZ0000000000000002","event":"authentication.password_failed","created_at":"2026-01-15T09:30:00Z","data":{"type":"password","status":"failed","email":"user@example.org","ip_address":"192.0.2.1"}}"#,
                ids: &["event_01HXYZ0000000000000002"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
];
