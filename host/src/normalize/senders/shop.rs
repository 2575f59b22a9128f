//! Shops, subscriptions, accounts and contracts.

use super::super::record::Record;
use super::Preset;
use super::{Habit, Sample};
use crate::model::Severity;

const CHARGEBEE: Record<'static> = Record {
    id_alone: true,
    id: &["{id}"],
    event_type: &["{event_type}"],
    subject: &["{content.customer.id}", "{content.subscription.id}"],
    time: &["{occurred_at}"],
    title: &[
        "{@type} for {content.customer.email}",
        "{@type} {content.subscription.id}",
        "{@type}",
    ],
    severity: &["{@type}"],
    words: &[
        ("*_failed", Severity::Error),
        ("*_error", Severity::Error),
        ("subscription_cancelled", Severity::Warning),
    ],
    ..Record::EMPTY
};

const DOCUSIGN: Record<'static> = Record {
    id_alone: true,
    id: &["{event}/{data.envelopeId}/{generatedDateTime}"],
    event_type: &["{event}"],
    subject: &["{data.envelopeId}"],
    time: &["{generatedDateTime}"],
    title: &["{@type}: {data.envelopeSummary.emailSubject}", "{@type} {data.envelopeId}"],
    severity: &["{@type}"],
    words: &[
        ("envelope-declined", Severity::Warning),
        ("envelope-voided", Severity::Warning),
        ("*-failed", Severity::Error),
    ],
    ..Record::EMPTY
};

const LEMON_SQUEEZY: Record<'static> = Record {
    event_type: &["{meta.event_name}", "{header:x-event-name}"],
    subject: &["{data.id}", "{data.attributes.user_email}"],
    time: &["{data.attributes.updated_at}", "{data.attributes.created_at}"],
    title: &[
        "{@type}: {data.attributes.total_formatted} from {data.attributes.user_email}",
        "{@type}: {data.attributes.product_name}",
        "{@type} {data.id}",
    ],
    severity: &["{@type}"],
    link: &["{data.attributes.urls.receipt}"],
    words: &[
        ("*_failed", Severity::Error),
        ("subscription_expired", Severity::Warning),
        ("subscription_cancelled", Severity::Warning),
        ("order_refunded", Severity::Warning),
    ],
    ..Record::EMPTY
};

const SHOPIFY: Record<'static> = Record {
    id_alone: true,
    id: &["{header:x-shopify-webhook-id}"],
    event_type: &["{header:x-shopify-topic}"],
    subject: &["{header:x-shopify-shop-domain}"],
    time: &["{header:x-shopify-triggered-at}", "{updated_at}", "{created_at}"],
    title: &[
        "{@type} {name}: {total_price} {currency}",
        "{@type}: {title}",
        "{@type} {name}",
        "{@type}: {email}",
        "{@type} {id}",
        "{@type} of {header:x-shopify-shop-domain}",
    ],
    severity: &["{@type}"],
    link: &["{order_status_url}"],
    words: &[
        ("*/risk*", Severity::Warning),
        ("disputes/*", Severity::Error),
        ("app/uninstalled", Severity::Warning),
    ],
    ..Record::EMPTY
};

const WOOCOMMERCE: Record<'static> = Record {
    id: &["{header:x-wc-webhook-delivery-id}/{id}"],
    event_type: &["{header:x-wc-webhook-topic}"],
    subject: &["{header:x-wc-webhook-source}"],
    title: &[
        "{@type} {number}: {total} {currency} ({status})",
        "{@type}: {name}",
        "{@type} {id}",
        "{@type}",
    ],
    severity: &["{status}"],
    link: &["{permalink}"],
    words: &[("failed", Severity::Error), ("cancelled", Severity::Warning)],
    ..Record::EMPTY
};

const XERO: Record<'static> = Record {
    events: Some("events"),
    id: &["{resourceId}/{eventType}/{eventDateUtc}"],
    event_type: &["{eventCategory}.{eventType}"],
    subject: &["{tenantId}"],
    title: &["{@type} {resourceId}"],
    link: &["{resourceUrl}"],
    ..Record::EMPTY
};

pub(super) static PRESETS: &[Preset] = &[
    Preset {
        name: "chargebee",
        vendor: "Chargebee",
        habit: Habit { deadline_s: None, retries: "for 2 days" },
        record: Some(CHARGEBEE),
        samples: &[
            Sample {
                name: "chargebee/payment_failed",
                body: r#"{"id":"ev_16BHbhF4s42tO2lK1","occurred_at":1768469400,"source":"scheduled","object":"event","api_version":"v2","event_type":"payment_failed","webhook_status":"scheduled","content":{"customer":{"id":"cust_1","email":"buyer@example.org"},"subscription":{"id":"sub_1"}}}"#,
                ids: &["ev_16BHbhF4s42tO2lK1"],
                times: &["1768469400"],
                ..Sample::EMPTY
            },
            Sample {
                name: "chargebee/subscription_created",
                body: r#"{"id":"ev_16BHbhF4s42tO2lK2","occurred_at":1768469400,"source":"api","object":"event","api_version":"v2","event_type":"subscription_created","webhook_status":"scheduled","content":{"subscription":{"id":"sub_2"}}}"#,
                ids: &["ev_16BHbhF4s42tO2lK2"],
                times: &["1768469400"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "docusign",
        vendor: "DocuSign Connect",
        habit: Habit { deadline_s: None, retries: "for 15 days" },
        record: Some(DOCUSIGN),
        samples: &[
            Sample {
                name: "docusign/completed",
                body: r#"{"event":"envelope-completed","apiVersion":"v2.1","uri":"/restapi/v2.1/accounts/1/envelopes/1","retryCount":0,"configurationId":10,"generatedDateTime":"2026-01-15T09:30:00.1230000Z","data":{"accountId":"1","userId":"1","envelopeId":"d3eb5dcd-4cb5-4d46-a3a1-5b1f0a5f7c01","envelopeSummary":{"status":"completed","emailSubject":"Contract 1042"}}}"#,
                ids: &["d3eb5dcd-4cb5-4d46-a3a1-5b1f0a5f7c01"],
                times: &["2026-01-15T09:30:00.1230000Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "docusign/declined",
                body: r#"{"event":"envelope-declined","apiVersion":"v2.1","uri":"/restapi/v2.1/accounts/1/envelopes/2","retryCount":1,"configurationId":10,"generatedDateTime":"2026-01-15T09:31:00.1230000Z","data":{"accountId":"1","userId":"1","envelopeId":"d3eb5dcd-4cb5-4d46-a3a1-5b1f0a5f7c02"}}"#,
                ids: &["d3eb5dcd-4cb5-4d46-a3a1-5b1f0a5f7c02"],
                times: &["2026-01-15T09:31:00.1230000Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "lemon-squeezy",
        vendor: "Lemon Squeezy",
        habit: Habit { deadline_s: None, retries: "3 times" },
        record: Some(LEMON_SQUEEZY),
        samples: &[
            Sample {
                name: "lemon-squeezy/order_created",
                headers: &[("x-event-name", "order_created")],
                body: r#"{"meta":{"event_name":"order_created"},"data":{"type":"orders","id":"100001","attributes":{"status":"paid","total_formatted":"€11.30","user_email":"buyer@example.org","created_at":"2026-01-15T09:30:00.000000Z","updated_at":"2026-01-15T09:30:00.000000Z"}}}"#,
                times: &["2026-01-15T09:30:00.000000Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "lemon-squeezy/payment_failed",
                headers: &[("x-event-name", "subscription_payment_failed")],
                body: r#"{"meta":{"event_name":"subscription_payment_failed"},"data":{"type":"subscription-invoices","id":"100002","attributes":{"status":"pending","user_email":"buyer@example.org","total_formatted":"€5.00","created_at":"2026-01-15T09:30:00.000000Z","updated_at":"2026-01-15T09:30:00.000000Z"}}}"#,
                times: &["2026-01-15T09:30:00.000000Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "shopify",
        vendor: "Shopify",
        habit: Habit { deadline_s: Some(5), retries: "8 times within 4 hours" },
        record: Some(SHOPIFY),
        samples: &[
            Sample {
                name: "shopify/order_create",
                headers: &[
                    ("x-shopify-topic", "orders/create"),
                    ("x-shopify-shop-domain", "example.myshopify.example.org"),
                    ("x-shopify-webhook-id", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd001"),
                    ("x-shopify-triggered-at", "2026-01-15T09:30:00.123456789Z"),
                ],
                body: r##"{"id":820982911946154508,"email":"buyer@example.org","created_at":"2026-01-15T09:30:00Z","updated_at":"2026-01-15T09:30:00Z","name":"#1042","total_price":"11.30","currency":"EUR","order_status_url":"https://example.myshopify.example.org/orders/1042"}"##,
                ids: &["b54557e4-bdd9-4b37-8a5f-bf7d70bcd001"],
                times: &["2026-01-15T09:30:00.123456789Z", "2026-01-15T09:30:00Z"],
            },
            Sample {
                name: "shopify/product_update",
                headers: &[
                    ("x-shopify-topic", "products/update"),
                    ("x-shopify-shop-domain", "example.myshopify.example.org"),
                    ("x-shopify-webhook-id", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd002"),
                ],
                body: r#"{"id":788032119674292922,"title":"Example T-Shirt","vendor":"Example","updated_at":"2026-01-15T09:30:00Z"}"#,
                ids: &["b54557e4-bdd9-4b37-8a5f-bf7d70bcd002"],
                times: &["2026-01-15T09:30:00Z"],
            },
        ],
    },
    Preset {
        name: "woocommerce",
        vendor: "WooCommerce",
        habit: Habit { deadline_s: Some(5), retries: "a hook that fails often is switched off" },
        record: Some(WOOCOMMERCE),
        samples: &[
            Sample {
                name: "woocommerce/order_created",
                headers: &[
                    ("x-wc-webhook-topic", "order.created"),
                    ("x-wc-webhook-source", "https://shop.example.org/"),
                    ("x-wc-webhook-delivery-id", "2b2c4a5e9f0001"),
                ],
                body: r#"{"id":727,"number":"727","status":"processing","currency":"EUR","total":"11.30","date_created":"2026-01-15T09:30:00"}"#,
                ids: &["2b2c4a5e9f0001"],
                ..Sample::EMPTY
            },
            Sample {
                name: "woocommerce/order_failed",
                headers: &[
                    ("x-wc-webhook-topic", "order.updated"),
                    ("x-wc-webhook-source", "https://shop.example.org/"),
                    ("x-wc-webhook-delivery-id", "2b2c4a5e9f0002"),
                ],
                body: r#"{"id":728,"number":"728","status":"failed","currency":"EUR","total":"11.30","date_created":"2026-01-15T09:30:00"}"#,
                ids: &["2b2c4a5e9f0002"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "xero",
        vendor: "Xero",
        habit: Habit { deadline_s: Some(5), retries: "for 24 hours" },
        record: Some(XERO),
        samples: &[
            Sample {
                name: "xero/contact",
                body: r#"{"events":[{"resourceUrl":"https://api.xero.example.org/api.xro/2.0/Contacts/717f2bfc","resourceId":"717f2bfc-c6d4-41fd-b238-3f2f0c0cf777","eventDateUtc":"2026-01-15T09:30:00.902","eventType":"UPDATE","eventCategory":"CONTACT","tenantId":"c2cc9b6e-9458-4c7d-93cc-f02b81b0594f","tenantType":"ORGANISATION"}],"lastEventSequence":1,"firstEventSequence":1,"entropy":"S0m3r4Nd0mt3xt"}"#,
                ids: &["717f2bfc-c6d4-41fd-b238-3f2f0c0cf777"],
                ..Sample::EMPTY
            },
            Sample {
                name: "xero/invoice",
                body: r#"{"events":[{"resourceUrl":"https://api.xero.example.org/api.xro/2.0/Invoices/817f2bfc","resourceId":"817f2bfc-c6d4-41fd-b238-3f2f0c0cf778","eventDateUtc":"2026-01-15T09:31:00.902","eventType":"CREATE","eventCategory":"INVOICE","tenantId":"c2cc9b6e-9458-4c7d-93cc-f02b81b0594f","tenantType":"ORGANISATION"}],"lastEventSequence":2,"firstEventSequence":2,"entropy":"S0m3r4Nd0mt3xu"}"#,
                ids: &["817f2bfc-c6d4-41fd-b238-3f2f0c0cf778"],
                ..Sample::EMPTY
            },
        ],
    },
];
