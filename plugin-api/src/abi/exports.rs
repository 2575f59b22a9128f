//! What a plugin file exports, generated from the author's type: header, section, manifest, target.

use std::future::Future;
use std::sync::Arc;

use abi_stable::library::{
    __call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult,
};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RResult, RString, RVec};
use async_ffi::{BorrowingFfiFuture, FutureExt};

use super::guard::{self, Contained, Guarded, Panicked};
use super::{
    API_VERSION, Mode, PluginModule, PluginModuleRef, RCall, RCreate, RField, RInvalid, RVerdict,
    RVerdicts, Services, TargetApi, TargetBox, code, flag,
};
use crate::export::Options;
use crate::reading::read_settings;
use crate::{Failure, Host, Invalid, Receipt, Target, Verdict, Verdicts, failure, path};

/// The static behind the exported symbol.
pub type Header = LibHeader;
/// Text of the `.dispatcher` section.
pub type Section<const N: usize> = [u8; N];

/// What `export_target!` knows about a plugin.
pub trait Export: 'static {
    type Target: Target;
    type Mode: Mode<Self::Target>;
    const NAME: &'static str;
    const VERSION: &'static str;
    const OPTIONS: Options;
}

/// The header to export under [`super::SYMBOL`].
pub const fn header<E: Export>() -> Header {
    // SAFETY: `load` returns a `PluginModuleRef`, the type named here.
    unsafe { LibHeader::from_constructor::<PluginModuleRef>(load::<E>, CheckTypeLayout::Yes) }
}

/// The bytes of the section: its parts joined, then cut or padded with NUL.
pub const fn section<const N: usize>(parts: &[&str]) -> Section<N> {
    let mut out = [0; N];
    let (mut at, mut part) = (0, 0);
    while part < parts.len() {
        let bytes = parts[part].as_bytes();
        let mut byte = 0;
        while byte < bytes.len() && at < N {
            out[at] = bytes[byte];
            at += 1;
            byte += 1;
        }
        part += 1;
    }
    out
}

extern "C" fn load<E: Export>() -> RootModuleResult {
    __call_root_module_loader(|| {
        PluginModule { manifest: manifest::<E>, create: create::<E> }.leak_into_prefix()
    })
}

extern "C" fn manifest<E: Export>() -> RString {
    let made = std::panic::catch_unwind(|| {
        let schema = schemars::schema_for!(<E::Target as Target>::Settings);
        serde_json::json!({
            "name": E::NAME,
            "version": E::VERSION,
            "api": API_VERSION,
            "mode": <E::Mode as Mode<E::Target>>::NAME,
            "description": E::OPTIONS.description,
            "fan_out": E::OPTIONS.fan_out,
            "schema": schema,
        })
        .to_string()
    });
    // An empty text is not valid JSON, so the host reports the manifest.
    made.unwrap_or_else(|payload| {
        std::mem::forget(payload);
        String::new()
    })
    .into()
}

extern "C" fn create<E: Export>(call: RCreate<'_>) -> RResult<TargetBox, RInvalid> {
    let host = Host::new(Arc::new(Services::new(call.host)));
    guard::install_hook(&host);
    let (settings, home) = (call.settings.as_str(), call.home.as_str());
    let made = guard::call(&host, || {
        let _home = path::Home::enter(home);
        let (settings, mut mistakes) = read_settings(settings);
        let made =
            settings.and_then(|settings| mistakes.keep(E::Target::create(settings, host.clone())));
        mistakes.finish(made)
    });
    match made.unwrap_or_else(|panicked| Err(Invalid::new(panicked.to_string()))) {
        Ok(target) => {
            let target: Exported<E> = Exported { target: Contained::new(target, host) };
            RResult::ROk(TargetBox::from_value(target, TD_Opaque))
        }
        Err(Invalid { path, reason, further }) => {
            let field = |(path, reason): (String, String)| RField {
                key: path.into(),
                value: reason.into(),
            };
            let meta = further.into_iter().map(field).collect();
            RResult::RErr(RInvalid { path: path.into(), reason: reason.into(), meta })
        }
    }
}

/// The author's target behind the interface.
struct Exported<E: Export> {
    target: Contained<E::Target>,
}

impl<E: Export> TargetApi for Exported<E> {
    fn deliver<'a>(&'a self, call: RCall<'a>) -> BorrowingFfiFuture<'a, RVerdicts> {
        let (target, events) = (self.target.get(), call.events.len());
        self.run(move || E::Mode::call(target, call), move |verdicts| pack(verdicts, events))
    }

    fn probe<'a>(&'a self) -> BorrowingFfiFuture<'a, RVerdicts> {
        let target = self.target.get();
        self.run(
            move || target.probe(),
            |verdict| RVerdicts {
                for_all: 1,
                list: verdict.into_iter().map(pack_verdict).collect(),
                meta: RVec::new(),
            },
        )
    }
}

impl<E: Export> Exported<E> {
    /// Creates and runs the author's future; no panic leaves it.
    fn run<'a, F: Future + Send + 'a>(
        &'a self,
        make: impl FnOnce() -> F,
        answer: impl FnOnce(F::Output) -> RVerdicts + Send + 'a,
    ) -> BorrowingFfiFuture<'a, RVerdicts> {
        let host = self.target.host();
        match guard::call(host, make) {
            Ok(future) => {
                let future = async move { answer(future.await) };
                Guarded::new(future, after_panic, host.clone()).into_ffi()
            }
            Err(panicked) => std::future::ready(after_panic(panicked)).into_ffi(),
        }
    }
}

/// It is unknown whether anything was sent before a panic.
fn after_panic(panicked: Panicked) -> RVerdicts {
    pack(Verdicts::for_all(Err(Failure::retry(panicked.to_string()).maybe_sent())), 0)
}

fn pack(verdicts: Verdicts, events: usize) -> RVerdicts {
    let (for_all, list) = match verdicts.into_list() {
        Ok(list) if list.len() == events => (0, list),
        Ok(list) => {
            let text = format!("the plugin returned {} verdicts for {events} events", list.len());
            (1, vec![Err(Failure::retry(text).maybe_sent())])
        }
        Err(verdict) => (1, vec![verdict]),
    };
    RVerdicts { for_all, list: list.into_iter().map(pack_verdict).collect(), meta: RVec::new() }
}

fn pack_verdict(verdict: Verdict) -> RVerdict {
    let packed = RVerdict {
        code: code::DELIVERED,
        flags: 0,
        after_ms: 0,
        text: RString::new(),
        progress: RVec::new(),
        fields: RVec::new(),
        meta: RVec::new(),
    };
    match verdict {
        Ok(Receipt { id, fields }) => RVerdict {
            text: id.unwrap_or_default().into(),
            fields: fields
                .into_iter()
                .map(|(key, value)| RField { key: key.into(), value: value.into() })
                .collect(),
            ..packed
        },
        Err(Failure { kind, reason, after, maybe_sent, progress }) => RVerdict {
            code: match kind {
                failure::Kind::Retry => code::RETRY,
                failure::Kind::Reject => code::REJECT,
                failure::Kind::Throttled => code::THROTTLED,
                failure::Kind::Broken => code::BROKEN,
            },
            flags: (if maybe_sent { flag::MAYBE_SENT } else { 0 })
                | (if after.is_some() { flag::AFTER } else { 0 }),
            after_ms: after.map_or(0, |after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            text: reason.into(),
            progress: progress.into(),
            ..packed
        },
    }
}
