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

/// The plugin cannot be called, in one line. What `abi_stable` itself prints has up to 150 kB.
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
/// A plugin newer than the host passes `abi_stable`'s own check, one that is older passes it with the
/// sides swapped: fields and methods are only ever added at the end, and their presence is looked up
/// at run time.
///
/// # Safety
/// `header` points to the static that `export_target!` made, in a library that stays loaded.
///
/// # Errors
/// The types differ in another way.
pub unsafe fn module(header: *const AbiHeader) -> Result<PluginModuleRef, Mismatch> {
    // SAFETY: the caller's promise. `AbiHeaderRef` is `repr(transparent)` over `RRef`, and that one over
    // a non-null pointer; `upgrade` looks at the magic bytes and the version before anything else.
    let header = unsafe { transmute::<&'static AbiHeader, AbiHeaderRef>(&*header) };
    let header: &'static LibHeader = header.upgrade().map_err(|error| what(&error))?;
    let error = match header.init_root_module::<PluginModuleRef>() {
        Ok(module) => return Ok(module),
        Err(error) => error,
    };
    let (LibraryError::AbiInstability(_), Some(theirs)) = (&error, header.layout()) else {
        return Err(what(&error));
    };
    check_layout_compatibility(theirs, <PluginModuleRef as StableAbi>::LAYOUT)
        .map_err(|_| what(&error))?;
    // SAFETY: the layouts were just found compatible.
    unsafe { header.init_root_module_with_unchecked_layout() }.map_err(|error| what(&error))
}

const fn what(error: &LibraryError) -> Mismatch {
    Mismatch(match error {
        LibraryError::AbiInstability(_) => {
            "its types do not fit this dispatcher's; rebuild it with the dispatcher-plugin-api of this \
             version"
        }
        LibraryError::InvalidAbiHeader(_) | LibraryError::InvalidCAbi { .. } => {
            "it was built with another binary interface; rebuild it with the dispatcher-plugin-api of this \
             version"
        }
        LibraryError::IncompatibleVersionNumber { .. } | LibraryError::ParseVersionError(_) => {
            "it was built with an incompatible dispatcher-plugin-api; rebuild it with that of this version"
        }
        LibraryError::RootModule { .. } => "it failed while it was loaded",
        _ => "it cannot be opened",
    })
}

/// The host's services as a plugin takes them.
pub fn host(services: impl HostApi + 'static) -> HostBox {
    HostBox::from_value(services, TD_Opaque)
}

/// A future as a plugin takes it.
pub fn future<T>(future: impl Future<Output = T> + Send + 'static) -> FfiFuture<T> {
    future.into_ffi()
}
