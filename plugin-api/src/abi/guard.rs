//! Keeps a plugin's panics inside it: around calls, polls, drops and blocking jobs.
//!
//! A panic becomes a text for the host, and a hook sends its message and location to the host's log instead
//! of stderr. The payload of a caught panic is leaked, because dropping it may panic again.

use std::any::Any;
use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Mutex, Once};
use std::task::{Context, Poll};

use crate::{Host, Level};

/// Returns the host, if its target still exists.
type WeakHost = Box<dyn Fn() -> Option<Host> + Send>;

thread_local! {
    /// The host of the target whose code runs on this thread.
    static CURRENT: RefCell<Option<Host>> = const { RefCell::new(None) };
}
/// The host of the target created last: panics on a plugin's own threads are logged there.
static LATEST: Mutex<Option<WeakHost>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// Sends this library's panics to the log of the target in which they happen.
pub(super) fn install_hook(host: &Host) {
    if let Ok(mut latest) = LATEST.lock() {
        *latest = Some(Box::new(host.weak()));
    }
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let current = CURRENT
                .try_with(|current| current.try_borrow().ok().and_then(|host| host.clone()))
                .ok()
                .flatten();
            let place = panic.location().map_or_else(String::new, ToString::to_string);
            if let Some(host) = current {
                host.log(Level::Error, text(panic.payload()), &[("panicked_at", &place)]);
                return;
            }
            // The message may have secrets of any target, and a host masks those of its own.
            let latest = || LATEST.try_lock().ok()?.as_ref()?();
            let Some(host) = latest() else { return previous(panic) };
            host.log(Level::Error, "a thread of the plugin panicked", &[("panicked_at", &place)]);
        }));
    });
}

/// The message of a panic in the plugin's code.
#[derive(Clone, Debug)]
pub(super) struct Panicked(String);

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the plugin panicked: {}", self.0)
    }
}

impl Error for Panicked {}

/// Runs `work`.
///
/// # Errors
/// It panicked.
pub(super) fn call<T>(host: &Host, work: impl FnOnce() -> T) -> Result<T, Panicked> {
    // A thread that is ending has lost its thread-local values and may still drop things.
    let before = CURRENT.try_with(|current| current.replace(Some(host.clone())));
    let result = catch_unwind(AssertUnwindSafe(work));
    if let Ok(before) = before {
        let _ = CURRENT.try_with(|current| current.replace(before));
    }
    result.map_err(|payload| {
        let panicked = Panicked(text(&*payload));
        std::mem::forget(payload);
        panicked
    })
}

fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_owned()
}

/// A value whose drop cannot unwind.
pub(super) struct Contained<T> {
    value: ManuallyDrop<T>,
    host: Host,
}

impl<T> Contained<T> {
    pub(super) fn new(value: T, host: Host) -> Self {
        Self { value: ManuallyDrop::new(value), host }
    }

    pub(super) fn get(&self) -> &T {
        &self.value
    }

    pub(super) fn get_mut(&mut self) -> &mut T {
        &mut self.value
    }

    pub(super) const fn host(&self) -> &Host {
        &self.host
    }
}

impl<T> Drop for Contained<T> {
    fn drop(&mut self) {
        let Self { value, host } = self;
        // SAFETY: `value` is not used again, because `self` is being dropped. The hook has already logged
        // a panic, and no caller waits for a result.
        let _ = call(host, || unsafe { ManuallyDrop::drop(value) });
    }
}

/// A future that resolves to what `on_panic` returns if the inner one panics.
pub(super) struct Guarded<F, P> {
    future: Contained<F>,
    on_panic: P,
}

impl<F, P> Guarded<F, P> {
    pub(super) fn new(future: F, on_panic: P, host: Host) -> Self {
        Self { future: Contained::new(future, host), on_panic }
    }
}

impl<T, F: Future<Output = T>, P: Fn(Panicked) -> T> Future for Guarded<F, P> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // SAFETY: `future` is pinned with `self`: it is never moved out, and `Contained` drops it in
        // place. The other fields are never treated as pinned.
        let (future, on_panic) = unsafe {
            let this = self.get_unchecked_mut();
            (&mut this.future, &this.on_panic)
        };
        let host = future.host().clone();
        // SAFETY: see above.
        let inner = unsafe { Pin::new_unchecked(future.get_mut()) };
        call(&host, || inner.poll(context))
            .unwrap_or_else(|panicked| Poll::Ready(on_panic(panicked)))
    }
}
