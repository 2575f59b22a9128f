//! The three ways to call a target: `each`, `together` and `batch`.

use std::future::Future;

use super::RCall;
use crate::{Batch, Digest, Each, Events, Target, Together, Verdicts};

/// How a target is called.
pub trait Mode<T: Target> {
    /// Its name in the manifest.
    const NAME: &'static str;

    /// Calls the target with data borrowed from the host.
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

    /// The host sends one event per call; more would be delivered one after another.
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
