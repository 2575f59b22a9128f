//! The types that cross the boundary between the daemon and a plugin. Plugin authors never use them directly.
//!
//! Only this module and its files use `abi_stable` and `async-ffi`. Invariants, as long as the symbol is
//! `dispatcher_target_v1`:
//! - The structs are frozen. A new fact becomes a pair in `meta`, never a field.
//! - Outcomes are integers, and an unknown code has a safe meaning.
//! - New methods of the traits come last and have a default; new fields of [`PluginModule`] come last
//!   and are optional.
//! - An empty text means an absent one where absence is possible.
//!
//! Borrowed data (`RStr`, `RSlice`) is valid until the future of the call has finished or been dropped.

#[expect(unsafe_code, reason = "the exported header must name its constructor's real type")]
mod exports;
#[expect(unsafe_code, reason = "containing a panic in a drop needs manual drops and pinning")]
mod guard;
#[expect(unsafe_code, reason = "a header comes from a library as a raw pointer")]
mod loading;
mod modes;
mod services;

use abi_stable::StableAbi;
use abi_stable::library::RootModule;
use abi_stable::package_version_strings;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::RResult;
use async_ffi::BorrowingFfiFuture;

pub use abi_stable::library::AbiHeader;
pub use abi_stable::std_types::{RSlice, RStr, RString, RVec};
pub use async_ffi::FfiFuture;

pub use self::exports::{Export, Header, Section, header, section};
pub use self::loading::{Mismatch, future, host, module};
pub use self::modes::{BatchMode, EachMode, Mode, TogetherMode};
pub(crate) use self::services::Services;
pub use self::traits::{HostApi, HostApi_TO, Job, Job_TO, TargetApi, TargetApi_TO};

/// The version of the interface, as in the section `.dispatcher` and in the manifest.
pub const API_VERSION: &str = "1.0";
/// The symbol of the header in a plugin file, ended by a NUL.
pub const SYMBOL: &[u8] = b"dispatcher_target_v1\0";
/// The ELF section that describes a plugin file without running any of its code.
pub const SECTION: &str = ".dispatcher";
/// The start of that section's text.
pub const SECTION_MAGIC: &str = "dispatcher-plugin";

/// Values of [`RVerdict::code`]; any other one means [`code::RETRY`].
pub mod code {
    /// The destination accepted it.
    pub const DELIVERED: u32 = 0;
    /// Again later.
    pub const RETRY: u32 = 1;
    /// Never.
    pub const REJECT: u32 = 2;
    /// Nothing to this target for a while.
    pub const THROTTLED: u32 = 3;
    /// The target cannot work as configured.
    pub const BROKEN: u32 = 4;
}

/// Values of [`RAnswer::outcome`]; any other one means [`outcome::AMBIGUOUS`].
pub mod outcome {
    /// There is a response.
    pub const ANSWERED: u32 = 0;
    /// No byte of the request was sent.
    pub const NOT_SENT: u32 = 1;
    /// Bytes were sent and no response came.
    pub const AMBIGUOUS: u32 = 2;
}

/// Bits of [`RVerdict::flags`]; unknown bits are ignored.
pub mod flag {
    /// Bytes were sent.
    pub const MAYBE_SENT: u32 = 1;
    /// `after_ms` is set.
    pub const AFTER: u32 = 2;
}

/// A borrowed name and text.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct RPair<'a> {
    pub key: RStr<'a>,
    pub value: RStr<'a>,
}

/// An owned name and text.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct RField {
    pub key: RString,
    pub value: RString,
}

/// A header field of the request that contained an event.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct RHeader<'a> {
    /// Lower case.
    pub name: RStr<'a>,
    pub value: RSlice<'a, u8>,
}

/// An event and the state of its delivery.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct REvent<'a> {
    pub id: RStr<'a>,
    pub source: RStr<'a>,
    pub event_type: RStr<'a>,
    pub subject: RStr<'a>,
    pub time: RStr<'a>,
    pub title: RStr<'a>,
    pub message: RStr<'a>,
    pub link: RStr<'a>,
    /// 0 info, 1 warning, 2 error, 3 and above critical.
    pub severity: u32,
    pub attempt: u32,
    pub received_at_ms: u64,
    pub data: RSlice<'a, u8>,
    pub progress: RSlice<'a, u8>,
    pub headers: RSlice<'a, RHeader<'a>>,
    pub meta: RSlice<'a, RPair<'a>>,
}

/// One call of a plugin: events, and what is needed to make one message of them.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct RCall<'a> {
    pub events: RSlice<'a, REvent<'a>>,
    pub message: RStr<'a>,
    pub key: RStr<'a>,
    pub progress: RSlice<'a, u8>,
    /// How many events the message is for; `events` may have fewer.
    pub count: u64,
    pub meta: RSlice<'a, RPair<'a>>,
}

/// The outcome of a delivery.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct RVerdict {
    pub code: u32,
    pub flags: u32,
    pub after_ms: u64,
    /// The receipt's id, or the reason of the failure.
    pub text: RString,
    pub progress: RVec<u8>,
    /// The receipt's fields.
    pub fields: RVec<RField>,
    pub meta: RVec<RField>,
}

/// The answer to a call.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct RVerdicts {
    /// 1: `list` has one verdict for all events. Otherwise: one per event, in their order.
    pub for_all: u32,
    pub list: RVec<RVerdict>,
    pub meta: RVec<RField>,
}

/// An HTTP request for the host to make.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct RRequest {
    pub method: RString,
    pub url: RString,
    pub headers: RVec<RField>,
    pub body: RVec<u8>,
    pub meta: RVec<RField>,
}

/// The outcome of an HTTP request.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct RAnswer {
    pub outcome: u32,
    pub status: u32,
    pub headers: RVec<RField>,
    pub body: RVec<u8>,
    /// Why no response came.
    pub reason: RString,
    /// [`CUT`], if the body is not complete.
    pub meta: RVec<RField>,
}

/// In the `meta` of an [`RAnswer`]: why the body is only the start of what was to come.
pub const CUT: &str = "cut";

/// Settings that are not accepted.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct RInvalid {
    /// `to[1]`; empty for the whole.
    pub path: RString,
    pub reason: RString,
    /// Further mistakes: path and reason.
    pub meta: RVec<RField>,
}

/// The argument of [`PluginModule::create`].
#[repr(C)]
#[derive(StableAbi)]
#[expect(missing_debug_implementations, reason = "the settings hold secrets")]
pub struct RCreate<'a> {
    /// JSON, with secrets in place of references.
    pub settings: RStr<'a>,
    /// The base of relative paths.
    pub home: RStr<'a>,
    /// The target's name in the configuration.
    pub target: RStr<'a>,
    pub host: HostBox,
    pub meta: RSlice<'a, RPair<'a>>,
}

/// The host as a plugin holds it.
pub type HostBox = HostApi_TO<'static, abi_stable::std_types::RBox<()>>;
/// A target as the host holds it.
pub type TargetBox = TargetApi_TO<'static, abi_stable::std_types::RBox<()>>;
/// A piece of blocking work.
pub type JobBox = Job_TO<'static, abi_stable::std_types::RBox<()>>;

/// What a plugin file exports.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginModuleRef)))]
#[expect(missing_debug_implementations, reason = "two functions have nothing to show")]
pub struct PluginModule {
    /// JSON: name, version, api, mode, description, fan_out, schema.
    pub manifest: extern "C" fn() -> RString,
    /// Creates a target. Never unwinds.
    #[sabi(last_prefix_field)]
    pub create: extern "C" fn(RCreate<'_>) -> RResult<TargetBox, RInvalid>,
}

impl RootModule for PluginModuleRef {
    abi_stable::declare_root_module_statics! {PluginModuleRef}

    const BASE_NAME: &'static str = "dispatcher_target";
    const NAME: &'static str = "dispatcher_target";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

#[expect(
    non_local_definitions,
    unsafe_code,
    reason = "what sabi_trait of abi_stable 0.11 expands to"
)]
mod traits {
    //! The objects that cross.

    use super::{
        BorrowingFfiFuture, FfiFuture, JobBox, RAnswer, RCall, RPair, RRequest, RSlice, RStr,
        RVerdicts,
    };
    use abi_stable::sabi_trait;

    /// A target. No method unwinds, nor does dropping it.
    #[sabi_trait]
    pub trait TargetApi: Send + Sync {
        /// Delivers the events of `call`, which are borrowed until the future has finished or been dropped.
        fn deliver<'a>(&'a self, call: RCall<'a>) -> BorrowingFfiFuture<'a, RVerdicts>;

        /// Whether the destination would accept deliveries; an empty list when the plugin cannot tell.
        #[sabi(last_prefix_field)]
        fn probe<'a>(&'a self) -> BorrowingFfiFuture<'a, RVerdicts>;
    }

    /// What the host does for a target.
    #[sabi_trait]
    pub trait HostApi: Send + Sync {
        fn http(&self, request: RRequest) -> FfiFuture<RAnswer>;

        fn sleep(&self, ms: u64) -> FfiFuture<()>;

        /// Resolves to `false` if the job did not run.
        fn blocking(&self, job: JobBox) -> FfiFuture<bool>;

        /// Levels: 0 error, 1 warning, 2 info, 3 and above debug.
        fn log(&self, level: u32, message: RStr<'_>, fields: RSlice<'_, RPair<'_>>);

        #[sabi(last_prefix_field)]
        fn count(&self, name: RStr<'_>, by: u64);
    }

    /// Work for a thread that may block. Neither running nor dropping it unwinds.
    #[sabi_trait]
    pub trait Job: Send {
        #[sabi(last_prefix_field)]
        fn run(&mut self);
    }
}
