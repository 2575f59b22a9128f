//! The types that the keys of a body give, for events whose kinds are easy to confuse.
//!
//! Each body has the keys that the vendor's own examples, schemas or source code show for such an event, and
//! as little else as possible.

use super::super::vendor;
use super::samples::events;
use crate::normalize::UnsignedTypes;

/// The type of an event, by the body alone.
fn kind(name: &str, body: &str) -> String {
    let coverage = vendor(name).unwrap().scheme().unwrap().coverage();
    let sender = super::sender(name).unwrap().limited(&coverage, UnsignedTypes::Ignored);
    events(&sender, std::iter::empty(), body).remove(0).attributes.event_type
}

fn check(vendor: &str, cases: &[(&str, &str)]) {
    for (body, expected) in cases {
        assert_eq!(kind(vendor, body), *expected, "{vendor}: {body}");
    }
}

#[test]
fn github_names_events_without_a_key_of_their_own_and_no_unknown_ones() {
    check(
        "github",
        &[
            (r#"{"repository":{},"sender":{}}"#, "public"),
            (r#"{"repository":{},"organization":{},"installation":{},"sender":{}}"#, "public"),
            (r#"{"action":"started","repository":{},"sender":{}}"#, "watch.started"),
            (r#"{"action":"created","repository":{},"sender":{}}"#, "repository.created"),
            (
                r#"{"action":"renamed","changes":{},"repository":{},"installation":{"id":1},"sender":{}}"#,
                "repository.renamed",
            ),
            // Sent to an app: the installation says only which one.
            (
                r#"{"action":"renamed","changes":{},"organization":{},"installation":{"id":1},"sender":{}}"#,
                "organization.renamed",
            ),
            (
                r#"{"action":"deleted","membership":{},"organization":{},"installation":{"id":1},"sender":{}}"#,
                "organization.deleted",
            ),
            (
                r#"{"action":"member_invited","invitation":{},"user":{},"organization":{},"sender":{}}"#,
                "organization.member_invited",
            ),
            (
                r#"{"action":"created","installation":{},"repositories":[],"requester":null,"sender":{}}"#,
                "installation.created",
            ),
            (r#"{"action":"revoked","sender":{}}"#, "github_app_authorization.revoked"),
            (
                r#"{"action":"created","exemption_request":{},"repository":{},"installation":{},"sender":{}}"#,
                "exemption_request.created",
            ),
            (
                r#"{"action":"updated","new_property_values":[],"organization":{},"enterprise":{}}"#,
                "organization_custom_property_values.updated",
            ),
            (
                r#"{"action":"updated","new_property_values":[],"repository":{},"organization":{}}"#,
                "custom_property_values.updated",
            ),
            // Kinds that are not known yet.
            (r#"{"action":"created","alert":{"number":1},"repository":{},"sender":{}}"#, "unknown"),
            (r#"{"action":"created","thing":{},"repository":{},"sender":{}}"#, "unknown"),
            (r#"{"action":"created","thing":{},"installation":{},"sender":{}}"#, "unknown"),
            (r#"{"action":"deleted","thing":{},"organization":{},"sender":{}}"#, "unknown"),
        ],
    );
}

#[test]
fn gitea_knows_a_pull_request_from_what_only_has_one() {
    let cases = [
        (
            r#"{"action":"opened","number":8,"pull_request":{},"requested_reviewer":null,"repository":{},"sender":{},"commit_id":"","review":null}"#,
            "pull_request.opened",
        ),
        (
            r#"{"action":"reviewed","number":8,"pull_request":{},"review":{"type":"pull_request_review_approved","content":""}}"#,
            "pull_request_approved.reviewed",
        ),
        (
            r#"{"action":"reviewed","number":8,"pull_request":{},"review":{"type":"pull_request_review_rejected","content":""}}"#,
            "pull_request_rejected.reviewed",
        ),
        (
            r#"{"action":"reviewed","number":8,"pull_request":{},"review":{"type":"pull_request_review_comment","content":"?"}}"#,
            "pull_request_comment.reviewed",
        ),
        (
            r#"{"action":"created","issue":{},"pull_request":{},"comment":{},"repository":{},"is_pull":true}"#,
            "issue_comment.created",
        ),
        (
            r#"{"action":"completed","workflow":{},"workflow_run":{},"pull_request":{},"repository":{}}"#,
            "workflow_run.completed",
        ),
        (
            r#"{"action":"queued","workflow_job":{},"pull_request":{},"repository":{}}"#,
            "workflow_job.queued",
        ),
        (
            r#"{"action":"created","repository":{},"organization":null,"sender":{}}"#,
            "repository.created",
        ),
        (r#"{"action":"created","repository":{},"thing":{},"sender":{}}"#, "unknown"),
        (r#"{"action":"failure","run":{},"prior_status":"running"}"#, "action_run_failure.failure"),
    ];
    for vendor in ["gitea", "forgejo"] {
        check(vendor, &cases);
    }
}

#[test]
fn others_confuse_no_events_with_some_keys_in_common() {
    check(
        "sentry",
        &[
            (
                r#"{"action":"triggered","data":{"issue":{},"activity":{"type":"set_resolved"}}}"#,
                "activity_alert.triggered",
            ),
            (r#"{"action":"created","data":{"issue":{}}}"#, "issue.created"),
            (
                r#"{"action":"size_analysis_completed","data":{"buildId":"72","state":"COMPLETED"}}"#,
                "preprod_artifact.size_analysis_completed",
            ),
            (
                r#"{"action":"pr_created","data":{"run_id":1,"group_id":2,"pull_requests":[]}}"#,
                "seer.pr_created",
            ),
        ],
    );
    check(
        "bitbucket",
        &[
            (
                r#"{"actor":{},"issue":{},"repository":{},"comment":{},"changes":{"status":{}}}"#,
                "issue:updated",
            ),
            (r#"{"actor":{},"issue":{},"repository":{},"comment":{}}"#, "issue:comment_created"),
            (r#"{"actor":{},"repository":{},"previous_owner":{}}"#, "repo:transfer"),
            (r#"{"actor":{},"repository":{},"changes":{"name":{}}}"#, "repo:updated"),
            (r#"{"actor":{},"repository":{}}"#, "unknown"),
        ],
    );
    check("snyk", &[(r#"{"webhookId":"d3cf26b3"}"#, "ping/v0")]);
    check(
        "woocommerce",
        &[
            (r#"{"id":1,"number":"1","total":"5","billing_period":"month"}"#, "subscription"),
            (r#"{"id":1,"number":"1","total":"5"}"#, "order"),
            (r#"{"id":1}"#, "unknown"),
        ],
    );
}
