//! `export_target!`, and the options that it takes.

/// Makes a crate a plugin: exports `$type` under `name`, delivering `each`, `together` or `batch`.
///
/// `name` is what people write in `plugin = "…"`: at most 64 lower-case letters, digits and `-`. The
/// version is that of the crate. Options, in any order:
/// - `description = "…"`: one line for `dispatcher plugin list`;
/// - `fan_out = "to"`: a setting with a list of recipients. Each gets its own deliveries, so that a failure
///   of one does not repeat the others.
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
                    "the name of a plugin must have at most 64 lower-case letters, digits and '-'"
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
        ::core::compile_error!("the mode of a plugin must be `each`, `together` or `batch`")
    };
}

/// The optional part of a plugin's manifest.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub(crate) description: Option<&'static str>,
    pub(crate) fan_out: Option<&'static str>,
}

impl Options {
    /// No options.
    pub const NONE: Self = Self { description: None, fan_out: None };

    /// One line for people.
    #[must_use]
    pub const fn description(mut self, text: &'static str) -> Self {
        self.description = Some(text);
        self
    }

    /// The setting with the recipients.
    #[must_use]
    pub const fn fan_out(mut self, setting: &'static str) -> Self {
        self.fan_out = Some(setting);
        self
    }
}

/// Whether `name` is a valid name of a plugin.
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
