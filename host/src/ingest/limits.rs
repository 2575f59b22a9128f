//! The limits of one source, so that no source can use up what another needs.
//!
//! - **Addresses**: only those in `allow` pass. Checked before the body is read.
//! - **Rates**: only verified requests count against the rates of a source, so a forger uses up nothing. An address is
//!   never refused for requests that failed verification: customers of the same vendor or cloud share addresses, so
//!   a stranger there could lock the real sender out.
//! - **Bytes**: a part of the bytes in flight is reserved for each source, see [`Shares`].

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::rate::{Rate, Used};
use super::refusal::RequestRefusal;
use crate::model::Cidr;
use crate::net::Peer;

/// The limits of one source. Its counters survive a reload that does not change the rates.
#[derive(Debug)]
pub(super) struct Gate {
    allow: Arc<[Cidr]>,
    meter: Arc<Meter>,
    /// Bytes in use of the part that is reserved for this source.
    pub(super) own_bytes: Arc<AtomicUsize>,
}

impl Gate {
    /// `before`: the gate of the same source in the configuration before.
    pub(super) fn new(allow: Arc<[Cidr]>, rates: &Arc<[Rate]>, before: Option<&Self>) -> Self {
        let meter = before.map(|before| &before.meter).filter(|meter| meter.rates == *rates);
        let meter = meter.cloned().unwrap_or_else(|| Arc::new(Meter::new(Arc::clone(rates))));
        let own_bytes = before.map(|before| Arc::clone(&before.own_bytes)).unwrap_or_default();
        Self { allow, meter, own_bytes }
    }

    /// Checks the limits that apply before the body is read. Looks at the clock only if there are rates.
    pub(super) fn admit(
        &self,
        peer: &Peer,
        now: impl FnOnce() -> Instant,
    ) -> Result<(), RequestRefusal> {
        if !self.allow.is_empty() {
            let client = peer.client().ok_or(RequestRefusal::UnknownAddress)?;
            if !self.allow.iter().any(|range| range.contains(client)) {
                return Err(RequestRefusal::Address { client });
            }
        }
        if self.meter.rates.is_empty() { Ok(()) } else { self.meter.check(now()) }
    }

    /// Counts a verified request. Looks at the clock only if there are rates.
    pub(super) fn verified(&self, now: impl FnOnce() -> Instant) -> Result<(), RequestRefusal> {
        if self.meter.rates.is_empty() { Ok(()) } else { self.meter.take(now()) }
    }
}

/// Counts the verified requests of one source.
#[derive(Debug)]
struct Meter {
    rates: Arc<[Rate]>,
    began: Instant,
    used: Mutex<Used>,
}

impl Meter {
    fn new(rates: Arc<[Rate]>) -> Self {
        Self { rates, began: Instant::now(), used: Mutex::default() }
    }

    /// Reading and verifying a request that is above the limit now would be wasted work.
    fn check(&self, now: Instant) -> Result<(), RequestRefusal> {
        let checked = self.used().check(&self.rates, self.ns(now));
        checked.map_err(|wait| RequestRefusal::Rate { wait })
    }

    fn take(&self, now: Instant) -> Result<(), RequestRefusal> {
        let taken = self.used().take(&self.rates, self.ns(now));
        taken.map_err(|wait| RequestRefusal::Rate { wait })
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ns(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.began);
        u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// How sources share the bytes in flight. A quarter is divided into equal parts, one for each source alone; all
/// sources share the rest. So a source always has its own part, whatever the others do. A single source has all
/// bytes. The rest is always enough for one longest body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    /// For each source.
    pub(super) own_bytes_max: usize,
    /// For all sources together.
    pub(super) common_bytes_max: usize,
}

impl Shares {
    const PART_OF_ALL: usize = 4;

    pub(super) fn of(bytes_max: usize, sources: usize, longest_body_bytes: usize) -> Self {
        if sources < 2 {
            return Self { own_bytes_max: 0, common_bytes_max: bytes_max };
        }
        let spare = bytes_max.saturating_sub(longest_body_bytes);
        let own_bytes_max = spare.min(bytes_max / Self::PART_OF_ALL) / sources;
        Self { own_bytes_max, common_bytes_max: bytes_max - own_bytes_max * sources }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::SocketAddr;
    use std::time::Duration;

    fn peer(address: &str) -> Peer {
        SocketAddr::new(address.parse().unwrap(), 4000).into()
    }

    fn gate(allow: &[&str], rates: &[(u32, u64)], before: Option<&Gate>) -> Gate {
        let allow = allow.iter().map(|range| range.parse().unwrap()).collect();
        let rates =
            rates.iter().map(|(count, s)| Rate { count: *count, per: Duration::from_secs(*s) });
        Gate::new(allow, &rates.collect(), before)
    }

    #[test]
    fn only_allowed_addresses_pass() {
        let gate = gate(&["140.82.112.0/20", "2001:db8::/32"], &[], None);
        for (address, passes) in [
            ("140.82.112.7", true),
            ("::ffff:140.82.127.255", true),
            ("2001:db8::9", true),
            ("140.82.128.0", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(gate.admit(&peer(address), Instant::now).is_ok(), passes, "{address}");
        }
    }

    #[test]
    fn only_verified_requests_use_up_the_rate_of_a_source() {
        let (gate, now) = (gate(&[], &[(3, 60)], None), Instant::now());
        let sender = peer("192.0.2.1");
        for _ in 0..100 {
            assert!(gate.admit(&sender, || now).is_ok(), "admitted, and not verified");
        }
        for _ in 0..3 {
            assert!(gate.admit(&sender, || now).is_ok() && gate.verified(|| now).is_ok());
        }
        assert!(matches!(gate.admit(&sender, || now), Err(RequestRefusal::Rate { .. })));
        assert!(matches!(gate.verified(|| now), Err(RequestRefusal::Rate { .. })));
        let later = now + Duration::from_secs(20);
        assert!(gate.admit(&sender, || later).is_ok());
    }

    #[test]
    fn counters_survive_a_change_that_does_not_touch_the_rates() {
        let now = Instant::now();
        let first = gate(&[], &[(1, 60)], None);
        first.verified(|| now).unwrap();
        assert!(gate(&["10.0.0.0/8"], &[(1, 60)], Some(&first)).verified(|| now).is_err());
        assert!(gate(&[], &[(1, 30)], Some(&first)).verified(|| now).is_ok());
        assert!(gate(&[], &[], Some(&first)).verified(|| now).is_ok());
    }

    #[test]
    fn own_parts_are_equal_parts_of_a_quarter_and_the_longest_body_still_fits() {
        let of = |bytes, sources, body| {
            let Shares { own_bytes_max, common_bytes_max } = Shares::of(bytes, sources, body);
            (own_bytes_max, common_bytes_max)
        };
        assert_eq!(of(64, 0, 4), (0, 64));
        assert_eq!(of(64, 1, 4), (0, 64));
        assert_eq!(of(64, 2, 4), (8, 48));
        assert_eq!(of(64, 4, 4), (4, 48));
        assert_eq!(of(64, 2, 60), (2, 60));
        assert_eq!(of(64, 2, 100), (0, 64));
    }

    proptest! {
        #[test]
        fn shares_add_up_to_the_total(
            bytes in 0usize..1 << 30, sources in 0usize..1_000, body in 0usize..1 << 30,
        ) {
            let shares = Shares::of(bytes, sources, body);
            prop_assert_eq!(shares.own_bytes_max * sources.max(1) + shares.common_bytes_max, bytes);
            prop_assert!(shares.common_bytes_max >= body.min(bytes));
        }
    }
}
