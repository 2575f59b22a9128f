//! `export_target!` and what it needs to know of the three ways to deliver.

use std::future::Future;

use crate::abi::RCall;
use crate::{Batch, Digest, Each, Events, Target, Together, Verdicts};

/// Makes a crate a plugin: exports `$type` under `name`, delivering `each`, `together` or `batch`.
///
/// `name` is what people write in `plugin = "…"`: lower case letters, digits and `-`, at most 64. The
/// version is the crate's. Options, in any order:
/// - `description = "…"`: one line for `dispatcher plugin list`;
/// - `fan_out = "to"`: a setting that holds a list; each value gets its own delivery, so that one that
///   fails never repeats the others.
///
/// ```ignore
/// export_target!(Slack, name = "slack", together, description = "Posts to a Slack channel");
/// ```
#[macro_export]
macro_rules! export_target {
    ($type:ty, name = $name:literal, $mode:ident $(, $key:ident = $value:literal)* $(,)?) => {
        const _: () = {
            struct DispatcherExport;

            impl $crate::__private::Export for DispatcherExport {
                type Target = $type;
                type Mode = $crate::export_target!(@mode $mode);
                const NAME: &'static str = $name;
                const VERSION: &'static str = ::core::env!("CARGO_PKG_VERSION");
                const OPTIONS: $crate::__private::Options =
                    $crate::__private::Options::NONE$(.$key($value))*;
            }

            const PARTS: &[&str] = &[
                $crate::__private::SECTION_MAGIC,
                "\0api=", $crate::__private::API_VERSION,
                "\0name=", $name,
                "\0version=", ::core::env!("CARGO_PKG_VERSION"),
                "\0panic=", if ::core::cfg!(panic = "abort") { "abort" } else { "unwind" },
                "\0rustc=", $crate::__private::RUSTC,
                "\0\0",
            ];
            const LENGTH: usize = {
                assert!(
                    $crate::__private::name_is_valid($name),
                    "the name of a plugin has lower case letters, digits and '-' only, at most 64"
                );
                let (mut length, mut part) = (0, 0);
                while part < PARTS.len() {
                    length += PARTS[part].len();
                    part += 1;
                }
                length
            };

            #[unsafe(link_section = ".dispatcher")]
            #[unsafe(export_name = "dispatcher_plugin_section")]
            static SECTION: [u8; LENGTH] = $crate::__private::section::<LENGTH>(PARTS);

            #[unsafe(export_name = "dispatcher_target_v1")]
            static HEADER: $crate::__private::Header = $crate::__private::header::<DispatcherExport>();
        };
    };
    (@mode each) => { $crate::__private::EachMode };
    (@mode together) => { $crate::__private::TogetherMode };
    (@mode batch) => { $crate::__private::BatchMode };
    (@mode $other:ident) => {
        ::core::compile_error!("a plugin delivers `each`, `together` or `batch`")
    };
}

/// What may be said of a plugin besides its name.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub(crate) description: Option<&'static str>,
    pub(crate) fan_out: Option<&'static str>,
}

impl Options {
    /// Nothing said.
    pub const NONE: Self = Self { description: None, fan_out: None };

    /// One line for people.
    #[must_use]
    pub const fn description(mut self, text: &'static str) -> Self {
        self.description = Some(text);
        self
    }

    /// The setting whose values get a delivery each.
    #[must_use]
    pub const fn fan_out(mut self, setting: &'static str) -> Self {
        self.fan_out = Some(setting);
        self
    }
}

/// Whether people can write `name` after `plugin =` without surprises.
pub const fn name_is_valid(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'-') {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty() && bytes.len() <= 64
}

/// How a target is called.
pub trait Mode<T: Target> {
    /// As the manifest writes it.
    const NAME: &'static str;

    /// Calls the target with what the host lends.
    fn call<'a>(
        target: &'a T,
        call: RCall<'a>,
    ) -> impl Future<Output = Verdicts> + Send + use<'a, T, Self>;
}

/// `each`
#[derive(Debug)]
pub enum EachMode {}
/// `together`
#[derive(Debug)]
pub enum TogetherMode {}
/// `batch`
#[derive(Debug)]
pub enum BatchMode {}

impl<T: Each> Mode<T> for EachMode {
    const NAME: &'static str = "each";

    /// The host sends one event a call; were there more, they would be delivered in turn.
    async fn call<'a>(target: &'a T, call: RCall<'a>) -> Verdicts {
        let mut verdicts = Vec::with_capacity(call.events.len());
        for event in Events::of(call) {
            verdicts.push(target.deliver(event).await);
        }
        verdicts.into()
    }
}

impl<T: Together> Mode<T> for TogetherMode {
    const NAME: &'static str = "together";

    async fn call<'a>(target: &'a T, call: RCall<'a>) -> Verdicts {
        Verdicts::for_all(target.deliver(Digest::of(call)).await)
    }
}

impl<T: Batch> Mode<T> for BatchMode {
    const NAME: &'static str = "batch";

    async fn call<'a>(target: &'a T, call: RCall<'a>) -> Verdicts {
        target.deliver(Events::of(call)).await
    }
}
