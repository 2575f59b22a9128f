//! Code hosts, and what builds and ships code.

use super::super::record::Record;
use super::Preset;
use super::{Habit, Sample};
use crate::model::Severity;

const GITHUB: Record<'static> = Record {
    id: &["{header:x-github-delivery}"],
    id_alone: true,
    event_type: &["{header:x-github-event}.{action}", "{header:x-github-event}", "{action}"],
    subject: &["{repository.full_name}", "{organization.login}"],
    time: &[
        "{alert.updated_at}",
        "{pull_request.updated_at}",
        "{issue.updated_at}",
        "{workflow_run.updated_at}",
        "{release.published_at}",
        "{head_commit.timestamp}",
    ],
    title: &[
        "{alert.security_advisory.summary} in {repository.full_name}",
        "{alert.rule.description} in {repository.full_name}",
        "{alert.secret_type_display_name} found in {repository.full_name}",
        "{workflow_run.name} {workflow_run.conclusion} on {repository.full_name}",
        "{pull_request.title}",
        "{issue.title}",
        "{release.name} released",
        "{head_commit.message}",
        "{@type} on {repository.full_name}: {zen}",
        "{@type} on {repository.full_name}",
        "{@type}: {zen}",
    ],
    severity: &[
        "{alert.security_advisory.severity}",
        "{alert.rule.security_severity_level}",
        "{alert.rule.severity}",
        "{workflow_run.conclusion}",
        "{check_run.conclusion}",
        "{@type}",
    ],
    link: &[
        "{alert.html_url}",
        "{pull_request.html_url}",
        "{issue.html_url}",
        "{workflow_run.html_url}",
        "{release.html_url}",
        "{compare}",
        "{repository.html_url}",
    ],
    words: &[
        ("failure", Severity::Error),
        ("timed_out", Severity::Error),
        ("startup_failure", Severity::Error),
        ("action_required", Severity::Warning),
        ("success", Severity::Info),
        ("secret_scanning_alert*", Severity::Critical),
        ("code_scanning_alert*", Severity::Warning),
        ("dependabot_alert*", Severity::Warning),
    ],
    ..Record::EMPTY
};

const BITBUCKET: Record<'static> = Record {
    id_alone: true,
    id: &["{header:x-request-uuid}"],
    event_type: &["{header:x-event-key}"],
    subject: &["{repository.full_name}"],
    time: &[
        "{commit_status.updated_on}",
        "{pullrequest.updated_on}",
        "{push.changes.0.new.target.date}",
    ],
    title: &[
        "{commit_status.name} {commit_status.state} on {repository.full_name}",
        "{pullrequest.title}",
        "{issue.title}",
        "{push.changes.0.new.target.message}",
        "{@type} on {repository.full_name}",
    ],
    severity: &["{commit_status.state}"],
    link: &[
        "{commit_status.url}",
        "{pullrequest.links.html.href}",
        "{issue.links.html.href}",
        "{repository.links.html.href}",
    ],
    words: &[
        ("FAILED", Severity::Error),
        ("STOPPED", Severity::Warning),
        ("SUCCESSFUL", Severity::Info),
    ],
    ..Record::EMPTY
};

const CIRCLECI: Record<'static> = Record {
    id_alone: true,
    id: &["{id}"],
    event_type: &["{type}"],
    subject: &["{project.slug}"],
    time: &["{happened_at}"],
    title: &[
        "{workflow.name}/{job.name} {job.status} on {project.name}",
        "{workflow.name} {workflow.status} on {project.name}",
        "{@type} on {project.name}",
    ],
    severity: &["{job.status}", "{workflow.status}"],
    link: &["{workflow.url}"],
    words: &[
        ("failed", Severity::Error),
        ("error", Severity::Error),
        ("unauthorized", Severity::Error),
        ("canceled", Severity::Warning),
        ("success", Severity::Info),
    ],
    ..Record::EMPTY
};

const DOCKER_HUB: Record<'static> = Record {
    id: &["{repository.repo_name}:{push_data.tag}/{push_data.pushed_at}"],
    event_type: &["push"],
    subject: &["{repository.repo_name}"],
    time: &["{push_data.pushed_at}"],
    title: &[
        "{repository.repo_name}:{push_data.tag} pushed by {push_data.pusher}",
        "{repository.repo_name} pushed",
    ],
    link: &["{repository.repo_url}"],
    ..Record::EMPTY
};

const EXPO: Record<'static> = Record {
    id: &["{id}/{status}"],
    event_type: &["{platform}.{status}"],
    subject: &["{projectName}"],
    time: &["{completedAt}", "{updatedAt}", "{createdAt}"],
    title: &[
        "{projectName} for {platform} {status}: {error.message}",
        "{projectName} for {platform} {status}",
    ],
    severity: &["{status}"],
    link: &["{buildDetailsPageUrl}", "{submissionDetailsPageUrl}"],
    words: &[
        ("errored", Severity::Error),
        ("canceled", Severity::Warning),
        ("finished", Severity::Info),
    ],
    ..Record::EMPTY
};

const GITEA: Record<'static> = Record {
    id_alone: true,
    id: &["{header:x-gitea-delivery}"],
    event_type: &["{header:x-gitea-event}.{action}", "{header:x-gitea-event}"],
    subject: &["{repository.full_name}"],
    time: &[
        "{pull_request.updated_at}",
        "{issue.updated_at}",
        "{release.published_at}",
        "{head_commit.timestamp}",
    ],
    title: &[
        "{pull_request.title}",
        "{issue.title}",
        "{release.name} released",
        "{head_commit.message}",
        "{@type} on {repository.full_name}",
        "{@type}",
    ],
    link: &[
        "{pull_request.html_url}",
        "{issue.html_url}",
        "{release.html_url}",
        "{compare_url}",
        "{repository.html_url}",
    ],
    ..Record::EMPTY
};

const GITLAB: Record<'static> = Record {
    id_alone: true,
    id: &["{header:idempotency-key}", "{header:webhook-id}"],
    event_type: &["{object_kind}.{object_attributes.action}", "{object_kind}", "{event_name}"],
    subject: &["{project.path_with_namespace}", "{repository.name}"],
    time: &[
        "{object_attributes.updated_at}",
        "{object_attributes.created_at}",
        "{commits.0.timestamp}",
    ],
    title: &[
        "{object_attributes.title}",
        "{build_name} {build_status} on {project.path_with_namespace}",
        "{build_name} {build_status} on {repository.name}",
        "{@type} {object_attributes.detailed_status} on {project.path_with_namespace}",
        "{@type} {object_attributes.status} on {project.path_with_namespace}",
        "{commits.0.title}",
        "{commits.0.message}",
        "{@type} on {project.path_with_namespace}",
        "{@type}",
    ],
    severity: &[
        "{object_attributes.severity}",
        "{object_attributes.detailed_status}",
        "{object_attributes.status}",
        "{build_status}",
    ],
    link: &["{object_attributes.url}", "{project.web_url}", "{repository.homepage}"],
    words: &[
        ("failed", Severity::Error),
        ("canceled", Severity::Warning),
        ("success", Severity::Info),
        ("passed", Severity::Info),
    ],
    ..Record::EMPTY
};

const VERCEL: Record<'static> = Record {
    id_alone: true,
    id: &["{id}"],
    event_type: &["{type}"],
    subject: &["{payload.deployment.name}", "{payload.project.name}", "{payload.project.id}"],
    time: &["{createdAt}"],
    title: &["{@type}: {payload.deployment.name}", "{@type} {payload.project.id}", "{@type}"],
    severity: &["{@type}"],
    link: &["{payload.links.deployment}", "{payload.links.project}"],
    words: &[("*.error", Severity::Error), ("*.canceled", Severity::Warning)],
    ..Record::EMPTY
};

pub(super) static PRESETS: &[Preset] = &[
    Preset {
        name: "github",
        vendor: "GitHub",
        habit: Habit { deadline_s: Some(10), retries: "not by itself: by hand or by its API" },
        record: Some(GITHUB),
        samples: &[
            Sample {
                name: "github/push",
                headers: &[
                    ("x-github-event", "push"),
                    ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
                ],
                body: r#"{"ref":"refs/heads/main","before":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","after":"59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5","repository":{"id":17273051,"full_name":"example/shop","html_url":"https://github.com/example/shop"},"pusher":{"name":"example"},"compare":"https://github.com/example/shop/compare/6113728f27ae...59b20b8d5c6f","head_commit":{"id":"59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5","message":"Charge cards once only","timestamp":"2026-01-15T10:30:00+01:00"}}"#,
                ids: &["72d3162e-cc78-11e3-81ab-4c9367dc0958"],
                times: &["2026-01-15T10:30:00+01:00"],
            },
            Sample {
                name: "github/dependabot_alert",
                headers: &[
                    ("x-github-event", "dependabot_alert"),
                    ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0959"),
                ],
                body: r#"{"action":"created","alert":{"number":7,"state":"open","security_advisory":{"ghsa_id":"GHSA-0000-0000-0000","summary":"Path traversal in example-unzip","severity":"high"},"html_url":"https://github.com/example/shop/security/dependabot/7","updated_at":"2026-01-15T09:30:00Z"},"repository":{"id":17273051,"full_name":"example/shop","html_url":"https://github.com/example/shop"}}"#,
                ids: &["72d3162e-cc78-11e3-81ab-4c9367dc0959"],
                times: &["2026-01-15T09:30:00Z"],
            },
            Sample {
                name: "github/ping",
                headers: &[
                    ("x-github-event", "ping"),
                    ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0960"),
                ],
                body: r#"{"zen":"Keep it logically awesome.","hook_id":30,"hook":{"type":"Repository","id":30,"events":["push"],"active":true},"repository":{"id":17273051,"full_name":"example/shop","html_url":"https://github.com/example/shop"}}"#,
                ids: &["72d3162e-cc78-11e3-81ab-4c9367dc0960"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "bitbucket",
        vendor: "Bitbucket Cloud",
        habit: Habit { deadline_s: Some(10), retries: "twice" },
        record: Some(BITBUCKET),
        samples: &[
            Sample {
                name: "bitbucket/push",
                headers: &[
                    ("x-event-key", "repo:push"),
                    ("x-request-uuid", "e7c3a2f0-1111-4c3b-9d0c-0c1f0a5f7c01"),
                ],
                body: r#"{"actor":{"display_name":"Example"},"repository":{"full_name":"example/shop","links":{"html":{"href":"https://bitbucket.example.org/example/shop"}}},"push":{"changes":[{"new":{"type":"branch","name":"main","target":{"hash":"709d658dc5b6d6afcd46049c2f332ee3f515a67d","message":"Charge cards once only","date":"2026-01-15T09:30:00Z"}}}]}}"#,
                ids: &["e7c3a2f0-1111-4c3b-9d0c-0c1f0a5f7c01"],
                times: &["2026-01-15T09:30:00Z"],
            },
            Sample {
                name: "bitbucket/build_failed",
                headers: &[
                    ("x-event-key", "repo:commit_status_updated"),
                    ("x-request-uuid", "e7c3a2f0-1111-4c3b-9d0c-0c1f0a5f7c02"),
                ],
                body: r#"{"actor":{"display_name":"Example"},"repository":{"full_name":"example/shop","links":{"html":{"href":"https://bitbucket.example.org/example/shop"}}},"commit_status":{"name":"Unit tests","state":"FAILED","url":"https://ci.example.org/builds/1","updated_on":"2026-01-15T09:30:00Z"}}"#,
                ids: &["e7c3a2f0-1111-4c3b-9d0c-0c1f0a5f7c02"],
                times: &["2026-01-15T09:30:00Z"],
            },
        ],
    },
    Preset {
        name: "circleci",
        vendor: "CircleCI",
        habit: Habit { deadline_s: Some(5), retries: "a few times" },
        record: Some(CIRCLECI),
        samples: &[
            Sample {
                name: "circleci/workflow_failed",
                body: r#"{"type":"workflow-completed","id":"3888f21b-eaa7-38e3-8f3d-75a63bba8895","happened_at":"2026-01-15T09:30:00Z","webhook":{"id":"cf8c4fdd-0587-4da1-b4ca-4846e9640af9","name":"dispatcher"},"project":{"id":"84996744-a854-4f5e-aea3-04e2851dc1d2","name":"shop","slug":"github/example/shop"},"workflow":{"id":"fda08377-fe7e-46b1-8992-3a7aaecac9c3","name":"build-test-deploy","status":"failed","url":"https://app.circleci.example.org/workflows/1"}}"#,
                ids: &["3888f21b-eaa7-38e3-8f3d-75a63bba8895"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "circleci/job_success",
                body: r#"{"type":"job-completed","id":"8bd71c28-4969-3677-8940-3e3a61c46f61","happened_at":"2026-01-15T09:30:00Z","webhook":{"id":"cf8c4fdd-0587-4da1-b4ca-4846e9640af9","name":"dispatcher"},"project":{"id":"84996744-a854-4f5e-aea3-04e2851dc1d2","name":"shop","slug":"github/example/shop"},"workflow":{"id":"fda08377-fe7e-46b1-8992-3a7aaecac9c3","name":"build-test-deploy","url":"https://app.circleci.example.org/workflows/1"},"job":{"id":"8b91f9a8-7975-4e60-916c-f0152ccaa6ea","name":"test","status":"success","number":136}}"#,
                ids: &["8bd71c28-4969-3677-8940-3e3a61c46f61"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "docker-hub",
        vendor: "Docker Hub",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(DOCKER_HUB),
        samples: &[
            Sample {
                name: "docker-hub/push",
                body: r#"{"push_data":{"pushed_at":1768469400,"pusher":"example","tag":"4.2.0"},"callback_url":"https://registry.hub.docker.example.org/u/example/shop/hook/2141b5bi5i5b02bec211i4eeih0242eg11000a/","repository":{"repo_name":"example/shop","name":"shop","namespace":"example","repo_url":"https://hub.docker.example.org/r/example/shop","status":"Active"}}"#,
                times: &["1768469400"],
                ..Sample::EMPTY
            },
            Sample {
                name: "docker-hub/latest",
                body: r#"{"push_data":{"pushed_at":1768469460,"pusher":"example","tag":"latest"},"repository":{"repo_name":"example/site","name":"site","namespace":"example","repo_url":"https://hub.docker.example.org/r/example/site","status":"Active"}}"#,
                times: &["1768469460"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "expo",
        vendor: "Expo (EAS builds and submissions)",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(EXPO),
        samples: &[
            Sample {
                name: "expo/build_finished",
                body: r#"{"id":"147a3212-49fd-446f-b4e3-a6519acf264a","accountName":"example","projectName":"shop-app","buildDetailsPageUrl":"https://expo.example.org/accounts/example/projects/shop-app/builds/147a3212","appId":"81ba0f9e","platform":"ios","status":"finished","createdAt":"2026-01-15T09:30:00Z","completedAt":"2026-01-15T09:30:00Z"}"#,
                ids: &["147a3212-49fd-446f-b4e3-a6519acf264a"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
            Sample {
                name: "expo/build_errored",
                body: r#"{"id":"147a3212-49fd-446f-b4e3-a6519acf264b","accountName":"example","projectName":"shop-app","buildDetailsPageUrl":"https://expo.example.org/accounts/example/projects/shop-app/builds/147a3213","appId":"81ba0f9e","platform":"android","status":"errored","error":{"errorCode":"UNKNOWN_ERROR","message":"Gradle failed"},"createdAt":"2026-01-15T09:30:00Z","completedAt":"2026-01-15T09:30:00Z"}"#,
                ids: &["147a3212-49fd-446f-b4e3-a6519acf264b"],
                times: &["2026-01-15T09:30:00Z"],
                ..Sample::EMPTY
            },
        ],
    },
    Preset {
        name: "gitea",
        vendor: "Gitea and Forgejo",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(GITEA),
        samples: &[
            Sample {
                name: "gitea/push",
                headers: &[
                    ("x-gitea-event", "push"),
                    ("x-gitea-delivery", "f6266f16-1bf3-46a5-9ea4-602e06ead473"),
                ],
                body: r#"{"ref":"refs/heads/main","before":"28e1879d029cb852e4844d9c718537df08844e03","after":"bffeb74224043ba2feb48d137756c8a9331c449a","compare_url":"https://git.example.org/example/shop/compare/28e1879d...bffeb742","repository":{"id":140,"full_name":"example/shop","html_url":"https://git.example.org/example/shop"},"head_commit":{"id":"bffeb74224043ba2feb48d137756c8a9331c449a","message":"Charge cards once only","timestamp":"2026-01-15T09:30:00Z"}}"#,
                ids: &["f6266f16-1bf3-46a5-9ea4-602e06ead473"],
                times: &["2026-01-15T09:30:00Z"],
            },
            Sample {
                name: "gitea/issue",
                headers: &[
                    ("x-gitea-event", "issues"),
                    ("x-gitea-delivery", "f6266f16-1bf3-46a5-9ea4-602e06ead474"),
                ],
                body: r#"{"action":"opened","number":7,"issue":{"id":7,"title":"Checkout is slow","html_url":"https://git.example.org/example/shop/issues/7","updated_at":"2026-01-15T09:30:00Z"},"repository":{"id":140,"full_name":"example/shop","html_url":"https://git.example.org/example/shop"}}"#,
                ids: &["f6266f16-1bf3-46a5-9ea4-602e06ead474"],
                times: &["2026-01-15T09:30:00Z"],
            },
        ],
    },
    Preset {
        name: "gitlab",
        vendor: "GitLab",
        habit: Habit {
            deadline_s: Some(10),
            retries: "not by itself; a hook that fails often is switched off",
        },
        record: Some(GITLAB),
        samples: &[
            Sample {
                name: "gitlab/push",
                headers: &[
                    ("x-gitlab-event", "Push Hook"),
                    ("idempotency-key", "f5e5f430-f57b-4e6e-9fac-d9128cd70001"),
                ],
                body: r#"{"object_kind":"push","event_name":"push","ref":"refs/heads/main","user_name":"Example","project":{"id":15,"path_with_namespace":"example/shop","web_url":"https://gitlab.example.org/example/shop"},"commits":[{"id":"b6568db1bc1dcd7f8b4d5a946b0b91f9dacd7327","message":"Charge cards once only","title":"Charge cards once only","timestamp":"2026-01-15T09:30:00Z"}],"total_commits_count":1}"#,
                ids: &["f5e5f430-f57b-4e6e-9fac-d9128cd70001"],
                times: &["2026-01-15T09:30:00Z"],
            },
            Sample {
                name: "gitlab/pipeline_failed",
                headers: &[
                    ("x-gitlab-event", "Pipeline Hook"),
                    ("idempotency-key", "f5e5f430-f57b-4e6e-9fac-d9128cd70002"),
                ],
                body: r#"{"object_kind":"pipeline","object_attributes":{"id":31,"ref":"main","status":"failed","detailed_status":"failed","created_at":"2026-01-15T09:30:00Z","url":"https://gitlab.example.org/example/shop/-/pipelines/31"},"project":{"id":1,"path_with_namespace":"example/shop","web_url":"https://gitlab.example.org/example/shop"}}"#,
                ids: &["f5e5f430-f57b-4e6e-9fac-d9128cd70002"],
                times: &["2026-01-15T09:30:00Z"],
            },
        ],
    },
    Preset {
        name: "vercel",
        vendor: "Vercel",
        habit: Habit { deadline_s: None, retries: "" },
        record: Some(VERCEL),
        samples: &[
            Sample {
                name: "vercel/deployment_error",
                body: r#"{"id":"uev_1001","type":"deployment.error","createdAt":1768469400000,"region":"fra1","payload":{"team":{"id":"team_1"},"project":{"id":"prj_1"},"deployment":{"id":"dpl_1","url":"shop-1.vercel.example.org","name":"shop"},"links":{"deployment":"https://vercel.example.org/example/shop/1","project":"https://vercel.example.org/example/shop"},"target":"production"}}"#,
                ids: &["uev_1001"],
                times: &["1768469400000"],
                ..Sample::EMPTY
            },
            Sample {
                name: "vercel/deployment_succeeded",
                body: r#"{"id":"uev_1002","type":"deployment.succeeded","createdAt":1768469400000,"region":"fra1","payload":{"team":{"id":"team_1"},"project":{"id":"prj_1"},"deployment":{"id":"dpl_2","url":"shop-2.vercel.example.org","name":"shop"},"links":{"deployment":"https://vercel.example.org/example/shop/2","project":"https://vercel.example.org/example/shop"},"target":"production"}}"#,
                ids: &["uev_1002"],
                times: &["1768469400000"],
                ..Sample::EMPTY
            },
        ],
    },
];
