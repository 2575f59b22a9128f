//! Mail, SMS and calls.

use super::super::record::Record;
use super::Preset;
use super::{Habit, Sample};
use crate::model::Severity;

const MAILGUN: Record<'static> = Record {
    id_alone: true,
    id: &["{event-data.id}"],
    event_type: &["{event-data.event}"],
    subject: &["{event-data.recipient}"],
    time: &["{event-data.timestamp}", "{signature.timestamp}"],
    title: &[
        "{@type}: {event-data.recipient}: {event-data.delivery-status.message}",
        "{@type}: {event-data.recipient}: {event-data.delivery-status.description}",
        "{@type}: {event-data.recipient}",
    ],
    severity: &["{event-data.log-level}", "{@type}"],
    words: &[("failed", Severity::Error), ("complained", Severity::Warning)],
    ..Record::EMPTY
};

const NYLAS: Record<'static> = Record {
    id_alone: true,
    id: &["{id}"],
    event_type: &["{type}"],
    subject: &["{data.object.grant_id}", "{source}"],
    time: &["{time}"],
    title: &[
        "{@type}: {data.object.subject}",
        "{@type}: {data.object.title}",
        "{@type} {data.object.id}",
        "{@type}",
    ],
    severity: &["{@type}"],
    words: &[
        ("grant.expired", Severity::Warning),
        ("*_failed", Severity::Error),
        ("*.failed", Severity::Error),
    ],
    ..Record::EMPTY
};

const POSTMARK: Record<'static> = Record {
    id: &["{RecordType}/{ID}", "{RecordType}/{MessageID}/{Recipient}", "{RecordType}/{MessageID}"],
    event_type: &["{RecordType}", "inbound"],
    subject: &["{Email}", "{Recipient}", "{To}"],
    time: &["{BouncedAt}", "{DeliveredAt}", "{ReceivedAt}", "{ChangedAt}", "{Date}"],
    title: &["{@type}: {Email}: {Description}", "{@type}: {Recipient}", "{Subject}", "{@type}"],
    severity: &["{@type}"],
    words: &[
        ("Bounce", Severity::Warning),
        ("SpamComplaint", Severity::Warning),
        ("SubscriptionChange", Severity::Warning),
    ],
    ..Record::EMPTY
};

const SENDGRID: Record<'static> = Record {
    id_alone: true,
    id: &["{sg_event_id}"],
    event_type: &["{event}"],
    subject: &["{email}"],
    time: &["{timestamp}"],
    title: &[
        "{@type}: {email}: {reason}",
        "{@type}: {email}: {response}",
        "{@type}: {email}: {url}",
        "{@type}: {email}",
    ],
    severity: &["{@type}"],
    words: &[
        ("bounce", Severity::Warning),
        ("dropped", Severity::Warning),
        ("deferred", Severity::Warning),
        ("spamreport", Severity::Warning),
        ("blocked", Severity::Warning),
    ],
    ..Record::EMPTY
};

const TWILIO: Record<'static> = Record {
    id_alone: true,
    id: &[
        "{header:i-twilio-idempotency-token}",
        "{MessageSid}/{MessageStatus}",
        "{CallSid}/{CallStatus}",
        "{MessageSid}",
    ],
    event_type: &["message.{MessageStatus}", "call.{CallStatus}", "message.{SmsStatus}", "message"],
    subject: &["{To}", "{Called}"],
    title: &[
        "{From}: {Body}",
        "{@type} to {To}: error {ErrorCode}",
        "{@type} from {From} to {To}",
        "{@type} to {To}",
        "{@type} {MessageSid}",
    ],
    severity: &["{MessageStatus}", "{CallStatus}"],
    words: &[
        ("failed", Severity::Error),
        ("undelivered", Severity::Error),
        ("no-answer", Severity::Warning),
        ("busy", Severity::Warning),
    ],
    ..Record::EMPTY
};

pub(super) static PRESETS: &[Preset] = &[
    Preset {
        name: "mailgun",
        vendor: "Mailgun",
        habit: Habit { deadline_s: None, retries: "for 8 hours" },
        record: Some(MAILGUN),
        samples: &[
            Sample {
                name: "mailgun/failed",
                body: r#"{"signature":{"timestamp":"1768469400","token":"sample-token-of-fifty-characters-00000000000000000001","signature":""},"event-data":{"id":"G9Bn5sl1TC6nu79C8C0bwg","event":"failed","severity":"permanent","log-level":"error","timestamp":1768469400.329574,"recipient":"buyer@example.org","delivery-status":{"code":605,"message":"","description":"Not delivering to previously bounced address"}}}"#,
                ids: &["G9Bn5sl1TC6nu79C8C0bwg"],
                times: &["1768469400"],
                ..Sample::EMPTY
            },
            Sample {
                name: "mailgun/delivered",
                body: r#"{"signature":{"timestamp":"1768469400","token":"sample-token-of-fifty-characters-00000000000000000002","signature":""},"event-data":{"id":"CPgfbmQMTCKtHW6uIWtuVe","event":"delivered","log-level":"info","timestamp":1768469400.854574,"recipient":"buyer@example.org","delivery-status":{"code":250,"message":"OK"}}}"#,
                ids: &["CPgfbmQMTCKtHW6uIWtuVe"],
                times: &["1768469400"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "nylas",
        vendor: "Nylas",
        habit: Habit { deadline_s: Some(10), retries: "twice" },
        record: Some(NYLAS),
        samples: &[
            Sample {
                name: "nylas/message_created",
                body: r#"{"specversion":"1.0","type":"message.created","source":"/google/emails/realtime","id":"5k5p9vF9aLwXhLQzrCgB0001","time":1768469400,"webhook_delivery_attempt":1,"data":{"application_id":"a-1","object":{"grant_id":"g-1","id":"m-1","subject":"Order 1042"}}}"#,
                ids: &["5k5p9vF9aLwXhLQzrCgB0001"],
                times: &["1768469400"],
                ..Sample::EMPTY
            },
            Sample {
                name: "nylas/grant_expired",
                body: r#"{"specversion":"1.0","type":"grant.expired","source":"/nylas/system","id":"5k5p9vF9aLwXhLQzrCgB0002","time":1768469400,"webhook_delivery_attempt":1,"data":{"application_id":"a-1","object":{"grant_id":"g-1"}}}"#,
                ids: &["5k5p9vF9aLwXhLQzrCgB0002"],
                times: &["1768469400"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "postmark",
        vendor: "Postmark",
        habit: Habit { deadline_s: None, retries: "for up to 12 hours" },
        record: Some(POSTMARK),
        samples: &[
            Sample {
                name: "postmark/bounce",
                body: r#"{"RecordType":"Bounce","ID":4323372036854775001,"Type":"HardBounce","TypeCode":1,"Name":"Hard bounce","MessageID":"883953f4-6105-42a2-a16a-77a8eac79483","ServerID":23,"Description":"The server was unable to deliver your message","Email":"buyer@example.org","BouncedAt":"2026-01-15T09:30:00Z","Subject":"Order 1042"}"#,
                ids: &["4323372036854775001"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "postmark/delivery",
                body: r#"{"RecordType":"Delivery","MessageID":"883953f4-6105-42a2-a16a-77a8eac79484","ServerID":23,"Recipient":"buyer@example.org","DeliveredAt":"2026-01-15T09:30:00Z","Details":"Test"}"#,
                ids: &["883953f4-6105-42a2-a16a-77a8eac79484"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "sendgrid",
        vendor: "SendGrid event webhook",
        habit: Habit { deadline_s: Some(10), retries: "for 24 hours" },
        record: Some(SENDGRID),
        samples: &[
            Sample {
                name: "sendgrid/events",
                body: r#"[{"email":"buyer@example.org","timestamp":1768469400,"smtp-id":"<14c5d75ce93.dfd.64b469@ismtpd-555>","event":"bounce","category":["orders"],"sg_event_id":"6g4ZI7SA-xmRDv57GoPIPw==","sg_message_id":"14c5d75ce93.dfd.64b469.filter0001","reason":"500 unknown recipient","status":"5.0.0"},{"email":"other@example.org","timestamp":1768469401,"event":"delivered","sg_event_id":"bjMlfsSfRyuXEVy8LndsYA==","sg_message_id":"14c5d75ce93.dfd.64b469.filter0002","response":"250 OK"}]
"#,
                ids: &["6g4ZI7SA-xmRDv57GoPIPw==", "bjMlfsSfRyuXEVy8LndsYA=="],
                times: &["1768469400", "1768469401"],
                ..Sample::EMPTY
            },
            Sample {
                name: "sendgrid/open",
                body: r#"[{"email":"buyer@example.org","timestamp":1768469400,"event":"open","sg_event_id":"FOTFFO0ecsBE-zxFXfs6WA==","sg_message_id":"14c5d75ce93.dfd.64b469.filter0003","useragent":"Mozilla/4.0","ip":"192.0.2.1"}]
"#,
                ids: &["FOTFFO0ecsBE-zxFXfs6WA=="],
                times: &["1768469400"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "twilio",
        vendor: "Twilio (messages and calls)",
        habit: Habit { deadline_s: Some(15), retries: "once, unless its settings ask for more" },
        record: Some(TWILIO),
        samples: &[
            Sample {
                name: "twilio/message",
                headers: &[("content-type", "application/x-www-form-urlencoded")],
                body: "ToCountry=FR&SmsMessageSid=SM0000000000000000000000000000000a&NumMedia=0&SmsStatus=received&Body=Is+the+shop+down%3F&To=%2B33600000001&NumSegments=1&MessageSid=SM0000000000000000000000000000000a&AccountSid=AC00000000000000000000000000000000&From=%2B33600000002&ApiVersion=2010-04-01",
                ids: &["SM0000000000000000000000000000000a"],
                ..Sample::EMPTY
            },
            Sample {
                name: "twilio/status_failed",
                headers: &[("content-type", "application/x-www-form-urlencoded")],
                body: "ErrorCode=30003&SmsSid=SM0000000000000000000000000000000b&SmsStatus=undelivered&MessageStatus=undelivered&To=%2B33600000001&MessageSid=SM0000000000000000000000000000000b&AccountSid=AC00000000000000000000000000000000&From=%2B33600000002&ApiVersion=2010-04-01",
                ids: &["SM0000000000000000000000000000000b"],
                ..Sample::EMPTY
            },
        ],
    },
];
