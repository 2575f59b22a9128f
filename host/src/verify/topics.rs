//! Which messages of Amazon SNS prove that a request is authentic, as data.

use std::borrow::Cow;

/// Most topics of a source.
pub const TOPICS_MAX: usize = 100;

/// Messages of these topics. Any customer of Amazon can have SNS sign a message of a topic of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sns {
    /// ARNs, see [`Sns::host`].
    pub topics: Vec<Cow<'static, str>>,
}

impl Sns {
    /// Where the region of a topic publishes its certificate and confirms subscriptions; `None` if the text is not the
    /// ARN of a topic: `arn:aws:sns:eu-west-1:111122223333:NAME`.
    #[must_use]
    pub fn host(topic: &str) -> Option<String> {
        let parts: Vec<&str> = topic.split(':').collect();
        let ["arn", partition, "sns", region, account, name] = parts[..] else { return None };
        let is_word = |text: &str, and: &[u8]| {
            (1..=256).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || and.contains(&byte))
        };
        let is_region = region.bytes().all(|byte| !byte.is_ascii_uppercase())
            && is_word(region, b"-")
            && !region.starts_with('-')
            && !region.ends_with('-');
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        if !is_region || !is_account || !is_word(name, b"-_.") {
            return None;
        }
        let domain = match partition {
            "aws" | "aws-us-gov" => "amazonaws.com",
            "aws-cn" => "amazonaws.com.cn",
            _ => return None,
        };
        Some(format!("sns.{region}.{domain}"))
    }
}
