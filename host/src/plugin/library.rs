//! A loaded plugin: its library and manifest, and creating targets with it.
#![expect(unsafe_code, reason = "loading a library runs code that the compiler cannot check")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use dispatcher_plugin_api::abi::{self, AbiHeader, Mismatch, PluginModuleRef, RCreate};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::host_services::{HostServices, PluginHost, TargetContext};
use super::instance::Instance;
use super::manifest::{Manifest, ManifestError};
use super::proof::{self, Damaged};
use super::sanitize::Sanitizer;
use crate::model::REASON_BYTES_MAX;

/// Most mistakes of a target's settings that are shown, besides the first.
const FURTHER_MAX: usize = 64;

/// Settings that a plugin does not accept; secrets are masked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{reason}", .path, if .path.is_empty() { "" } else { ": " })]
pub struct Invalid {
    /// The key within `settings`, such as `to[1]`; empty for the whole.
    pub path: String,
    pub reason: String,
    /// What else is wrong; these have none of their own.
    pub further: Vec<Self>,
}

impl Invalid {
    /// About one key.
    #[must_use]
    pub fn at(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into(), further: Vec::new() }
    }

    /// Each mistake by itself.
    #[must_use]
    pub fn all(mut self) -> Vec<Self> {
        let further = std::mem::take(&mut self.further);
        std::iter::once(self).chain(further).collect()
    }
}

/// Why a checked file cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LibraryError {
    #[error(
        "code cannot run from {}: its file system is mounted noexec; mount it without noexec, or move `home` \
         to another file system",
        .0.display()
    )]
    NoExec(PathBuf),
    #[error("the system cannot load it: {0}")]
    NotLoaded(String),
    #[error("it does not export what its section promises: {0}")]
    NoHeader(String),
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// A plugin whose code is loaded and stays loaded until the process ends.
#[derive(Clone)]
pub struct Plugin(Arc<Loaded>);

struct Loaded {
    module: PluginModuleRef,
    manifest: Manifest,
    hash: String,
    /// The private copy.
    path: PathBuf,
    /// What it was copied from.
    file: PathBuf,
    /// Why it is not used any more: it ended a process that tried it.
    damage: OnceLock<Damaged>,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Plugin").field(&self.0.manifest.name).finish()
    }
}

impl Plugin {
    /// Loads a checked private copy of `file`, whose content has this hash.
    pub(super) fn open(path: &Path, hash: String, file: &Path) -> Result<Self, LibraryError> {
        let module = module(path)?;
        let manifest = Manifest::parse(module.manifest()().as_str())?;
        Ok(Self(Arc::new(Loaded {
            module,
            manifest,
            hash,
            path: path.to_owned(),
            file: file.to_owned(),
            damage: OnceLock::new(),
        })))
    }

    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// Identifies the file's content: another build of the same plugin has another hash.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.0.hash
    }

    /// Tries the file in processes of its own with all of these settings at once, which takes less time than one
    /// after the other. [`create`](Self::create) does that for settings that were not tried.
    ///
    /// # Errors
    /// The file is damaged. It is not tried again.
    pub fn prove(&self, settings: &[serde_json::Value]) -> Result<(), Damaged> {
        let loaded = &*self.0;
        if let Some(damaged) = loaded.damage.get() {
            return Err(damaged.clone());
        }
        let texts: Vec<String> = settings.iter().map(ToString::to_string).collect();
        if texts.is_empty() {
            return Ok(());
        }
        proof::prove(&loaded.path, &loaded.hash, &texts).map_err(|error| {
            let damaged = Damaged::new(&loaded.file, &error);
            loaded.damage.get_or_init(|| damaged).clone()
        })
    }

    /// Creates a target. Opens nothing, so that checking a configuration may call it.
    ///
    /// # Errors
    /// The plugin does not accept the settings.
    pub fn create(
        &self,
        target: &str,
        settings: &serde_json::Value,
        context: &TargetContext,
    ) -> Result<Instance, Invalid> {
        self.prove(std::slice::from_ref(settings)).map_err(|error| {
            let sanitizer = Sanitizer::new(&context.secrets);
            Invalid::at("", sanitizer.line(&error.to_string(), REASON_BYTES_MAX))
        })?;
        self.create_unproven(target, settings, context)
    }

    /// [`create`](Self::create) in a process that tries the file.
    pub(super) fn create_unproven(
        &self,
        target: &str,
        settings: &serde_json::Value,
        context: &TargetContext,
    ) -> Result<Instance, Invalid> {
        let sanitizer = Arc::new(Sanitizer::of_target(&context.secrets, settings));
        let services = Arc::new(HostServices::new(target, context, Arc::clone(&sanitizer)));
        let home = context.home.to_str().ok_or_else(|| {
            let home = context.home.display();
            Invalid::at("", format!("the path of `home`, {home}, must be UTF-8"))
        })?;
        let settings = settings.to_string();
        let created = self.0.module.create()(RCreate {
            settings: settings.as_str().into(),
            home: home.into(),
            target: target.into(),
            host: abi::host(PluginHost(Arc::clone(&services))),
            meta: [].as_slice().into(),
        });
        match created.into_result() {
            Ok(object) => Ok(Instance::new(self.0.manifest.mode, object, services, sanitizer)),
            Err(invalid) => {
                let masked = |path: &str, reason: &str| {
                    let line = |text| sanitizer.line(text, REASON_BYTES_MAX);
                    Invalid::at(line(path), line(reason))
                };
                let further = invalid.meta.iter().take(FURTHER_MAX);
                let further = further.map(|field| masked(&field.key, &field.value)).collect();
                Err(Invalid { further, ..masked(&invalid.path, &invalid.reason) })
            }
        }
    }
}

fn module(path: &Path) -> Result<PluginModuleRef, LibraryError> {
    // SAFETY: the file is a private copy that passed every check possible without running it. What its
    // initializers do cannot be known: a plugin is trusted like a part of this program.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    let library = library.map_err(|error| not_loaded(path, &error))?;
    // SAFETY: only the address is read here.
    let header = unsafe { library.get::<*const AbiHeader>(abi::SYMBOL) };
    let header = header
        .map(|symbol| symbol.as_raw_ptr().cast_const().cast())
        .map_err(|error| LibraryError::NoHeader(chain(&error)))?;
    // Unloading code that a thread or a destructor still needs would be unsound.
    std::mem::forget(library);
    // SAFETY: the section says that `export_target!` made the file, and it stays loaded.
    Ok(unsafe { abi::module(header) }?)
}

fn not_loaded(path: &Path, error: &dyn Error) -> LibraryError {
    let folder = path.parent().unwrap_or(path);
    let noexec = rustix::fs::statvfs(folder)
        .is_ok_and(|system| system.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC));
    if noexec {
        LibraryError::NoExec(folder.to_owned())
    } else {
        LibraryError::NotLoaded(chain(error))
    }
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
