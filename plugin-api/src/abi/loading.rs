//! The host's side: from an exported header to a checked module, and the host's own objects.

use std::fmt::{self, Display};
use std::future::Future;
use std::mem::transmute;

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::check_layout_compatibility;
use abi_stable::library::{AbiHeader, AbiHeaderRef, LibHeader, LibraryError};
use abi_stable::sabi_trait::TD_Opaque;
use async_ffi::{FfiFuture, FutureExt};

use super::{HostApi, HostBox, PluginModuleRef};

/// Why the plugin cannot be called, in one line: the text of `abi_stable` itself has up to 150 kB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch(&'static str);

impl Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Mismatch {}

/// The module behind the symbol [`SYMBOL`](super::SYMBOL), once both sides agree on every type.
///
/// A plugin newer than the host passes the check of `abi_stable`; an older one passes it with the sides
/// swapped. That is enough, because fields and methods are only added at the end and both sides check at run
/// time whether they are present.
///
/// # Safety
/// `header` points to the static of `export_target!`, in a library that stays loaded.
///
/// # Errors
/// The types differ in any other way.
pub unsafe fn module(header: *const AbiHeader) -> Result<PluginModuleRef, Mismatch> {
    // SAFETY: the caller's promise. `AbiHeaderRef` is `repr(transparent)` over `RRef`, and that one over
    // a non-null pointer; `upgrade` looks at the magic bytes and the version before anything else.
    let header = unsafe { transmute::<&'static AbiHeader, AbiHeaderRef>(&*header) };
    let header: &'static LibHeader = header.upgrade().map_err(|error| mismatch(&error))?;
    let error = match header.init_root_module::<PluginModuleRef>() {
        Ok(module) => return Ok(module),
        Err(error) => error,
    };
    let (LibraryError::AbiInstability(_), Some(theirs)) = (&error, header.layout()) else {
        return Err(mismatch(&error));
    };
    check_layout_compatibility(theirs, <PluginModuleRef as StableAbi>::LAYOUT)
        .map_err(|_| mismatch(&error))?;
    // SAFETY: the layouts were just found compatible.
    unsafe { header.init_root_module_with_unchecked_layout() }.map_err(|error| mismatch(&error))
}

const fn mismatch(error: &LibraryError) -> Mismatch {
    Mismatch(match error {
        LibraryError::AbiInstability(_) => {
            "its types do not match those of this dispatcher; rebuild it with the dispatcher-plugin-api of \
             this dispatcher"
        }
        LibraryError::InvalidAbiHeader(_) | LibraryError::InvalidCAbi { .. } => {
            "it has another binary interface; rebuild it with the dispatcher-plugin-api of this dispatcher"
        }
        LibraryError::IncompatibleVersionNumber { .. } | LibraryError::ParseVersionError(_) => {
            "its dispatcher-plugin-api is not compatible; rebuild it with that of this dispatcher"
        }
        LibraryError::RootModule { .. } => "it failed to load",
        _ => "it cannot be opened",
    })
}

/// The host's services in the form that a plugin accepts.
pub fn host(services: impl HostApi + 'static) -> HostBox {
    HostBox::from_value(services, TD_Opaque)
}

/// A future in the form that a plugin accepts.
pub fn future<T>(future: impl Future<Output = T> + Send + 'static) -> FfiFuture<T> {
    future.into_ffi()
}
