//! Payments.

use super::super::record::Record;
use super::Preset;
use super::{Habit, Sample};
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

const ADYEN: Record<'static> = Record {
    events: Some("notificationItems"),
    id_alone: true,
    id: &[
        "{NotificationRequestItem.pspReference}/{NotificationRequestItem.eventCode}/{NotificationRequestItem.success}",
        "{type}/{data.id}/{timestamp}",
    ],
    event_type: &["{NotificationRequestItem.eventCode}", "{type}"],
    subject: &["{NotificationRequestItem.merchantReference}", "{data.reference}", "{data.id}"],
    time: &["{NotificationRequestItem.eventDate}", "{timestamp}"],
    title: &[
        "{@type}: {NotificationRequestItem.reason}",
        "{@type} {NotificationRequestItem.merchantReference}",
        "{@type}: {data.description}",
        "{@type} {data.id}",
    ],
    severity: &["{NotificationRequestItem.eventCode}", "{data.status}", "{@type}"],
    words: &[
        ("CHARGEBACK*", Severity::Error),
        ("NOTIFICATION_OF_CHARGEBACK", Severity::Error),
        ("*_FAILED", Severity::Error),
        ("refused", Severity::Warning),
        ("failed", Severity::Error),
    ],
    ..Record::EMPTY
};

const COINBASE: Record<'static> = Record {
    id: &["{id}", "{eventId}", "{event.id}", "{transactionHash}"],
    event_type: &["{eventType}", "{event_type}", "{event.type}", "{type}"],
    subject: &["{network}", "{event.data.code}", "{address}"],
    time: &["{timestamp}", "{createdAt}", "{event.created_at}", "{created_at}"],
    title: &["{@type}: {event.data.name}", "{@type} {transactionHash}", "{@type} {id}", "{@type}"],
    severity: &["{@type}"],
    link: &["{event.data.hosted_url}"],
    words: &[("*failed", Severity::Error)],
    ..Record::EMPTY
};

const FINTOC: Record<'static> = Record {
    id_alone: true,
    id: &["{id}"],
    event_type: &["{type}"],
    subject: &["{data.id}"],
    time: &["{created_at}"],
    title: &["{@type} {data.id}", "{@type}"],
    severity: &["{@type}"],
    words: &[
        ("*.failed", Severity::Error),
        ("*_failed", Severity::Error),
        ("*.declined", Severity::Warning),
        ("*.disputed", Severity::Error),
    ],
    ..Record::EMPTY
};

const PADDLE: Record<'static> = Record {
    id_alone: true,
    id: &["{event_id}"],
    event_type: &["{event_type}"],
    subject: &["{data.id}", "{data.customer_id}"],
    time: &["{occurred_at}"],
    title: &["{@type} {data.invoice_number}", "{@type} {data.id}", "{@type}"],
    severity: &["{@type}"],
    words: &[
        ("*.payment_failed", Severity::Error),
        ("*.past_due", Severity::Warning),
        ("*.canceled", Severity::Warning),
    ],
    ..Record::EMPTY
};

const PAYPAL: Record<'static> = Record {
    id_alone: true,
    id: &["{id}"],
    event_type: &["{event_type}"],
    subject: &["{resource.id}"],
    time: &["{create_time}"],
    title: &["{summary}", "{@type} {resource.id}"],
    severity: &["{@type}"],
    words: &[
        ("*.DENIED", Severity::Error),
        ("*.FAILED", Severity::Error),
        ("CUSTOMER.DISPUTE.*", Severity::Error),
        ("*.REVERSED", Severity::Warning),
        ("RISK.DISPUTE.*", Severity::Error),
    ],
    ..Record::EMPTY
};

const PAYSTACK: Record<'static> = Record {
    id: &["{event}/{data.id}"],
    event_type: &["{event}"],
    subject: &["{data.reference}", "{data.customer.email}"],
    time: &["{data.paid_at}", "{data.created_at}", "{data.createdAt}"],
    title: &[
        "{@type}: {data.gateway_response}",
        "{@type}: {data.reason}",
        "{@type} {data.reference}",
        "{@type}",
    ],
    severity: &["{@type}"],
    words: &[("*.failed", Severity::Error), ("charge.dispute.*", Severity::Error)],
    ..Record::EMPTY
};

const RAZORPAY: Record<'static> = Record {
    id_alone: true,
    id: &["{header:x-razorpay-event-id}"],
    event_type: &["{event}"],
    subject: &[
        "{payload.payment.entity.id}",
        "{payload.order.entity.id}",
        "{payload.refund.entity.id}",
        "{account_id}",
    ],
    time: &["{created_at}"],
    title: &[
        "{@type}: {payload.payment.entity.error_description}",
        "{@type}: {payload.payment.entity.description}",
        "{@type} {payload.payment.entity.id}",
        "{@type}",
    ],
    severity: &["{@type}"],
    words: &[("*.failed", Severity::Error), ("payment.dispute.*", Severity::Error)],
    ..Record::EMPTY
};

const SQUARE: Record<'static> = Record {
    id_alone: true,
    id: &["{event_id}"],
    event_type: &["{type}"],
    subject: &["{data.id}", "{merchant_id}"],
    time: &["{created_at}"],
    title: &[
        "{@type}: {data.object.payment.status}",
        "{@type}: {data.object.dispute.reason}",
        "{@type} {data.id}",
    ],
    severity: &["{data.object.payment.status}", "{@type}"],
    words: &[
        ("FAILED", Severity::Error),
        ("CANCELED", Severity::Warning),
        ("dispute.*", Severity::Error),
    ],
    ..Record::EMPTY
};

pub(super) static PRESETS: &[Preset] = &[
    Preset {
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
    },
    Preset {
        name: "adyen",
        vendor: "Adyen",
        habit: Habit { deadline_s: Some(10), retries: "" },
        record: Some(ADYEN),
        samples: &[
            Sample {
                name: "adyen/authorisation",
                body: r#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"eventCode":"AUTHORISATION","success":"true","eventDate":"2026-01-15T10:30:00+01:00","merchantAccountCode":"ExampleCOM","pspReference":"7914073381342284","merchantReference":"order-1042","amount":{"value":1130,"currency":"EUR"},"reason":""}}]}"#,
                ids: &["7914073381342284"],
                times: &["2026-01-15T10:30:00+01:00"],
                ..Sample::EMPTY
            },
            Sample {
                name: "adyen/chargeback",
                body: r#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"eventCode":"CHARGEBACK","success":"true","eventDate":"2026-01-15T10:30:00+01:00","merchantAccountCode":"ExampleCOM","pspReference":"9915555555555555","merchantReference":"order-1041","amount":{"value":1130,"currency":"EUR"},"reason":"Goods not received"}}]}"#,
                ids: &["9915555555555555"],
                times: &["2026-01-15T10:30:00+01:00"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "coinbase",
        vendor: "Coinbase, read as plain JSON",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(COINBASE),
        samples: &[
            Sample {
                name: "coinbase/transfer",
                body: r#"{"id":"0f1c0a5e333344443b9d0001","eventType":"wallet.activity.detected","network":"base-mainnet","transactionHash":"0x0f1c","timestamp":"2026-01-15T09:30:00Z"}"#,
                ids: &["0f1c0a5e333344443b9d0001"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "coinbase/failed",
                body: r#"{"id":"0f1c0a5e333344443b9d0002","eventType":"onramp.transaction.failed","network":"base-mainnet","timestamp":"2026-01-15T09:30:00Z"}"#,
                ids: &["0f1c0a5e333344443b9d0002"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "fintoc",
        vendor: "Fintoc",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(FINTOC),
        samples: &[
            Sample {
                name: "fintoc/succeeded",
                body: r#"{"id":"evt_a4xK32BanKWYn","object":"event","type":"payment_intent.succeeded","mode":"test","created_at":"2026-01-15T09:30:00Z","data":{"id":"pi_123456","amount":1000,"currency":"CLP"}}"#,
                ids: &["evt_a4xK32BanKWYn"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "fintoc/failed",
                body: r#"{"id":"evt_a4xK32BanKWYo","object":"event","type":"payment_intent.failed","mode":"test","created_at":"2026-01-15T09:30:00Z","data":{"id":"pi_123457","amount":1000,"currency":"CLP"}}"#,
                ids: &["evt_a4xK32BanKWYo"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "paddle",
        vendor: "Paddle Billing",
        habit: Habit { deadline_s: Some(5), retries: "for 3 days" },
        record: Some(PADDLE),
        samples: &[
            Sample {
                name: "paddle/transaction_completed",
                body: r#"{"event_id":"evt_01h8bzakzx3hm2fmen703n5q45","event_type":"transaction.completed","occurred_at":"2026-01-15T09:30:00.000000Z","notification_id":"ntf_01h8bzam1z32agrxjwhjgqk8w6","data":{"id":"txn_01h8bxpvx398a7zbawb77y0kp5","status":"completed","invoice_number":"1042","customer_id":"ctm_01h8441jn5pcwrfhwh78jqt8hk"}}"#,
                ids: &["evt_01h8bzakzx3hm2fmen703n5q45"],
                times: &["2026-01-15T09:30:00.000000Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "paddle/payment_failed",
                body: r#"{"event_id":"evt_01h8bzakzx3hm2fmen703n5q46","event_type":"transaction.payment_failed","occurred_at":"2026-01-15T09:30:00.000000Z","notification_id":"ntf_01h8bzam1z32agrxjwhjgqk8w7","data":{"id":"txn_01h8bxpvx398a7zbawb77y0kp6","status":"past_due","customer_id":"ctm_01h8441jn5pcwrfhwh78jqt8hk"}}"#,
                ids: &["evt_01h8bzakzx3hm2fmen703n5q46"],
                times: &["2026-01-15T09:30:00.000000Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "paypal",
        vendor: "PayPal",
        habit: Habit { deadline_s: None, retries: "25 times within 3 days" },
        record: Some(PAYPAL),
        samples: &[
            Sample {
                name: "paypal/sale_completed",
                body: r#"{"id":"WH-2WR32451HC0233532-67976317FL4543714","event_version":"1.0","create_time":"2026-01-15T09:30:00Z","resource_type":"sale","event_type":"PAYMENT.SALE.COMPLETED","summary":"A payment of 11.30 EUR was completed","resource":{"id":"80021663DE681814L","state":"completed"}}"#,
                ids: &["WH-2WR32451HC0233532-67976317FL4543714"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "paypal/dispute",
                body: r#"{"id":"WH-2WR32451HC0233532-67976317FL4543715","event_version":"1.0","create_time":"2026-01-15T09:30:00Z","resource_type":"dispute","event_type":"CUSTOMER.DISPUTE.CREATED","summary":"A new dispute was opened","resource":{"id":"PP-000-042-663-135"}}"#,
                ids: &["WH-2WR32451HC0233532-67976317FL4543715"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "paystack",
        vendor: "Paystack",
        habit: Habit { deadline_s: None, retries: "for 3 days" },
        record: Some(PAYSTACK),
        samples: &[
            Sample {
                name: "paystack/charge_success",
                body: r#"{"event":"charge.success","data":{"id":302961001,"domain":"test","status":"success","reference":"qTPrJoy9Bx","amount":10000,"gateway_response":"Approved by Financial Institution","paid_at":"2026-01-15T09:30:00Z","created_at":"2026-01-15T09:30:00Z","currency":"NGN","customer":{"email":"buyer@example.org"}}}"#,
                ids: &["302961001"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "paystack/transfer_failed",
                body: r#"{"event":"transfer.failed","data":{"id":302961002,"domain":"test","status":"failed","reference":"1976435206","amount":200000,"reason":"Payout for January","createdAt":"2026-01-15T09:30:00Z","currency":"NGN"}}"#,
                ids: &["302961002"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "razorpay",
        vendor: "Razorpay",
        habit: Habit { deadline_s: Some(5), retries: "for 24 hours" },
        record: Some(RAZORPAY),
        samples: &[
            Sample {
                name: "razorpay/captured",
                headers: &[("x-razorpay-event-id", "DESlLckIVRkHWj")],
                body: r#"{"entity":"event","account_id":"acc_BFQ7uQEaa7j2z7","event":"payment.captured","contains":["payment"],"payload":{"payment":{"entity":{"id":"pay_DESlfW9H8K9uqM","amount":100,"currency":"INR","status":"captured","description":"Order 1042","error_description":null}}},"created_at":1768469400}"#,
                ids: &["DESlLckIVRkHWj"],
                times: &["1768469400"],
            },
            Sample {
                name: "razorpay/failed",
                headers: &[("x-razorpay-event-id", "DESlLckIVRkHWk")],
                body: r#"{"entity":"event","account_id":"acc_BFQ7uQEaa7j2z7","event":"payment.failed","contains":["payment"],"payload":{"payment":{"entity":{"id":"pay_DESlfW9H8K9uqN","amount":100,"currency":"INR","status":"failed","error_description":"Payment was not completed on time"}}},"created_at":1768469400}"#,
                ids: &["DESlLckIVRkHWk"],
                times: &["1768469400"],
            },
        ],
    },
    Preset {
        name: "square",
        vendor: "Square",
        habit: Habit { deadline_s: Some(10), retries: "for 24 hours" },
        record: Some(SQUARE),
        samples: &[
            Sample {
                name: "square/payment",
                body: r#"{"merchant_id":"6SSW7HV8K2ST5","type":"payment.updated","event_id":"bc316346-6691-4243-88ed-6d651a0d0c47","created_at":"2026-01-15T09:30:00Z","data":{"type":"payment","id":"hYy9pRFVxpDsO1FB05SunFWUe9JZY","object":{"payment":{"id":"hYy9pRFVxpDsO1FB05SunFWUe9JZY","status":"COMPLETED","amount_money":{"amount":1130,"currency":"EUR"}}}}}"#,
                ids: &["bc316346-6691-4243-88ed-6d651a0d0c47"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "square/dispute",
                body: r#"{"merchant_id":"6SSW7HV8K2ST5","type":"dispute.created","event_id":"bc316346-6691-4243-88ed-6d651a0d0c48","created_at":"2026-01-15T09:30:00Z","data":{"type":"dispute","id":"ORSEVtZAJxb37RA1EiGw","object":{"dispute":{"id":"ORSEVtZAJxb37RA1EiGw","reason":"AMOUNT_DIFFERS","state":"EVIDENCE_REQUIRED"}}}}"#,
                ids: &["bc316346-6691-4243-88ed-6d651a0d0c48"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
];
