//! Why a message of Amazon SNS is refused: one line for the log. The sender does not see it.

/// Why a message does not prove who sent a request. Contains what the source demands, and nothing of the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnsRefusal {
    #[error("the body has no `{name}` of the form that Amazon SNS sends, or has it twice")]
    Field { name: &'static str },
    #[error("the message is of another topic than those in `topics` of the source")]
    Topic,
    #[error("`Subject` has a line break, so it is unclear which text is signed")]
    Subject,
    #[error(
        "`SigningCertURL` is not https://{host}/SimpleNotificationService-….pem, where the region of the topic publishes its \
         certificate"
    )]
    Place { host: String },
    #[error(
        "`SubscribeURL` is not https://{host}/?Action=ConfirmSubscription&…, where the region of the topic confirms"
    )]
    SubscribePlace { host: String },
    #[error("the certificate at {place} is not here")]
    NotHere { place: String },
    #[error("the certificate at {place} is not valid at the time of the request")]
    Validity { place: String },
    #[error(
        "the signature does not match the certificate; the body was made or changed by someone else"
    )]
    Mismatch,
}
