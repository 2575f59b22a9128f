//! A loaded plugin: its library, its manifest, and making instances of it.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use dispatcher_plugin_api::abi::{self, AbiHeader, PluginModuleRef, RCreate};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use serde::Deserialize;

use super::clean::{Cleaner, one_line};
use super::instance::{Instance, Invalid};
use super::services::{Desk, Services, Shared};
use crate::model::REASON_BYTES_MAX;

/// Longest manifest.
const MANIFEST_BYTES_MAX: usize = 1024 * 1024;

/// How a plugin takes events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One event a call.
    Each,
    /// Many events as one message, one verdict for all.
    Together,
    /// Many events a call, a verdict for each.
    Batch,
}

/// What a plugin says of itself.
#[derive(Clone, Debug, Deserialize)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    /// Version of the plugin interface that it was built with.
    pub api: String,
    pub mode: Mode,
    /// One line for people.
    #[serde(default)]
    pub description: Option<String>,
    /// The setting whose values get a delivery each.
    #[serde(default)]
    pub fan_out: Option<String>,
    /// JSON Schema of `settings`.
    #[serde(default)]
    pub schema: serde_json::Value,
}

/// A plugin whose code is loaded, for as long as the process lives.
#[derive(Clone)]
pub struct Plugin(Arc<Loaded>);

struct Loaded {
    module: PluginModuleRef,
    manifest: Manifest,
    hash: String,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Plugin").field(&self.0.manifest.name).finish()
    }
}

impl Plugin {
    /// Loads a checked private copy with that content; the error is for people.
    pub(super) fn open(path: &Path, hash: String) -> Result<Self, String> {
        let module = module(path)?;
        let manifest = String::from(module.manifest()());
        if manifest.len() > MANIFEST_BYTES_MAX {
            return Err("its manifest is longer than 1 MiB".to_owned());
        }
        let mut manifest: Manifest = serde_json::from_str(&manifest)
            .map_err(|error| format!("its manifest cannot be read: {error}"))?;
        manifest.description = manifest.description.map(|text| one_line(&text, REASON_BYTES_MAX));
        Ok(Self(Arc::new(Loaded { module, manifest, hash })))
    }

    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// Names the file's content: another build of the same plugin has another.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.0.hash
    }

    /// Makes a target of it. Opens nothing, so that checking a configuration may call it.
    ///
    /// # Errors
    /// The settings are not accepted.
    pub fn create(
        &self,
        target: &str,
        settings: &serde_json::Value,
        services: &Services,
    ) -> Result<Instance, Invalid> {
        let cleaner = Arc::new(Cleaner::new(&services.secrets));
        let desk = Arc::new(Desk::new(target, services, Arc::clone(&cleaner)));
        let home = services.home.to_str().ok_or_else(|| Invalid {
            path: String::new(),
            reason: format!("the home folder {} is no UTF-8", services.home.display()),
        })?;
        let settings = settings.to_string();
        let made = self.0.module.create()(RCreate {
            settings: settings.as_str().into(),
            home: home.into(),
            target: target.into(),
            host: abi::host(Shared(Arc::clone(&desk))),
            meta: [].as_slice().into(),
        });
        match made.into_result() {
            Ok(object) => Ok(Instance::new(self.0.manifest.mode, object, desk, cleaner)),
            Err(invalid) => Err(Invalid {
                path: cleaner.line(&invalid.path, REASON_BYTES_MAX),
                reason: cleaner.line(&invalid.reason, REASON_BYTES_MAX),
            }),
        }
    }
}

#[expect(unsafe_code, reason = "loading a library runs code that the compiler cannot check")]
fn module(path: &Path) -> Result<PluginModuleRef, String> {
    // SAFETY: the file is a private copy that passed every check that can be made without running it.
    // What its initializers do cannot be known: a plugin is trusted like a part of this program.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    let library = library.map_err(|error| refused(path, &chain(&error)))?;
    // SAFETY: only the address is taken here.
    let header = unsafe { library.get::<*const AbiHeader>(abi::SYMBOL) };
    let header = header
        .map(|symbol| symbol.as_raw_ptr().cast_const().cast())
        .map_err(|error| format!("it does not offer what its section says: {}", chain(&error)))?;
    // Code that is unloaded while a thread or a destructor still needs it is not sound.
    std::mem::forget(library);
    // SAFETY: the section says that the file was made by `export_target!`, and it stays loaded.
    unsafe { abi::module(header) }.map_err(|mismatch| mismatch.to_string())
}

fn refused(path: &Path, reason: &str) -> String {
    let folder = path.parent().unwrap_or(path);
    let noexec = rustix::fs::statvfs(folder)
        .is_ok_and(|system| system.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC));
    if noexec {
        return format!(
            "no code may run from {}: its file system is mounted noexec; put `home` where it may, or mount it \
             without noexec",
            folder.display()
        );
    }
    format!("the system refuses to load it: {reason}")
}

/// `libloading` keeps the reason in the source of its error.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
