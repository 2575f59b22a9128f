//! Payments, shops and contracts.

use super::super::record::Record;
use super::super::{Habit, Sample};
use super::Preset;
use crate::model::Severity;

const STRIPE: Record<'static> = Record {
    id: &["{id}"],
    id_alone: true,
    event_type: &["{type}"],
    subject: &["{data.object.id}", "{account}"],
    time: &["{created}"],
    title: &[
        "{@type}: {data.object.failure_message}",
        "{@type}: {data.object.last_payment_error.message}",
        "{@type}: {data.object.description}",
        "{@type} {data.object.id}",
    ],
    severity: &["{@type}"],
    link: &["{data.object.hosted_invoice_url}", "{data.object.receipt_url}"],
    words: &[
        ("charge.dispute.*", Severity::Error),
        ("radar.early_fraud_warning.*", Severity::Error),
        ("*.failed", Severity::Error),
        ("*_failed", Severity::Error),
        ("*.action_required", Severity::Warning),
        ("*.requires_action", Severity::Warning),
    ],
    ..Record::EMPTY
};

pub(super) static PRESETS: &[Preset] = &[Preset {
    name: "stripe",
    vendor: "Stripe",
    habit: Habit { deadline_s: Some(20), retries: "for 3 days, less and less often" },
    record: Some(STRIPE),
    samples: &[
        Sample {
            name: "stripe/payment_failed",
            body: r#"{"id":"evt_1NG8Du2eZvKYlo2CUI79vXWy","object":"event","api_version":"2025-03-31","created":1768469400,"type":"payment_intent.payment_failed","livemode":false,"pending_webhooks":1,"data":{"object":{"id":"pi_3MtwBwLkdIwHu7ix28a3tqPa","object":"payment_intent","amount":2000,"currency":"eur","last_payment_error":{"code":"card_declined","message":"Your card was declined."}}}}"#,
            ids: &["evt_1NG8Du2eZvKYlo2CUI79vXWy"],
            times: &["1768469400"],
            ..Sample::EMPTY
        },
        Sample {
            name: "stripe/charge_succeeded",
            body: r#"{"id":"evt_1NG8Du2eZvKYlo2CUI79vXWz","object":"event","api_version":"2025-03-31","created":1768469460,"type":"charge.succeeded","livemode":false,"pending_webhooks":1,"data":{"object":{"id":"ch_3MmlLrLkdIwHu7ix0snN0B15","object":"charge","amount":1099,"currency":"eur","description":"Order 1042","receipt_url":"https://pay.example.org/receipts/1042"}}}"#,
            ids: &["evt_1NG8Du2eZvKYlo2CUI79vXWz"],
            times: &["1768469460"],
            ..Sample::EMPTY
        },
    ],
}];
