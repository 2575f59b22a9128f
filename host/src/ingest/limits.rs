//! What one source may use, so that it cannot cost another: from where, how often, how many bytes.
//!
//! - **From where**: only addresses of `allow` pass, before anything of the body is read.
//! - **How often**: only requests that were verified count against a source's rates, so that a forger uses
//!   up nothing of them. Those whose verification fails count by their address, against the same rates: an
//!   address that fails too often is turned away before its body is read, and no other is. Addresses of
//!   this machine are not: there a proxy that is not named would speak for everybody.
//! - **How many bytes**: a part of the bytes in flight is kept for each source, see [`Shares`].
//!
//! Limits: [`FAILING_MAX`] addresses a source that fail are known at a time; further ones are not counted.
//! Of IPv6 a network of 64 bits is one address: that is what one sender is given.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::rate::{Rate, Used};
use super::refusal::Refusal;
use crate::model::Cidr;
use crate::net::Peer;

/// Most failing addresses that are counted for one source.
const FAILING_MAX: usize = 1024;

/// One source's limits. What is counted outlives a change of the configuration that leaves the rates alone.
#[derive(Debug)]
pub(super) struct Gate {
    allow: Arc<[Cidr]>,
    meter: Arc<Meter>,
    /// Bytes held of the part that is kept for this source.
    pub(super) own_bytes: Arc<AtomicUsize>,
}

impl Gate {
    /// `before` is the one of this source until now.
    pub(super) fn new(allow: Arc<[Cidr]>, rates: &Arc<[Rate]>, before: Option<&Self>) -> Self {
        let meter = before.map(|before| &before.meter).filter(|meter| meter.rates == *rates);
        let meter = meter.cloned().unwrap_or_else(|| Arc::new(Meter::new(Arc::clone(rates))));
        let own_bytes = before.map(|before| Arc::clone(&before.own_bytes)).unwrap_or_default();
        Self { allow, meter, own_bytes }
    }

    /// What can be said before the body is read.
    pub(super) fn admit(&self, peer: &Peer, now: impl FnOnce() -> Instant) -> Result<(), Refusal> {
        if !self.allow.is_empty() {
            let client = peer.client().ok_or(Refusal::UnknownAddress)?;
            if !self.allow.iter().any(|range| range.contains(client)) {
                return Err(Refusal::Address { client });
            }
        }
        if self.meter.rates.is_empty() { Ok(()) } else { self.meter.look(peer, now()) }
    }

    /// A request was verified. The clock is only looked at where there is something to count.
    pub(super) fn verified(&self, now: impl FnOnce() -> Instant) -> Result<(), Refusal> {
        if self.meter.rates.is_empty() { Ok(()) } else { self.meter.take(now()) }
    }

    /// A request was not.
    pub(super) fn unverified(&self, peer: &Peer, now: Instant) {
        self.meter.failed(peer, now);
    }
}

/// Counts a source's requests.
#[derive(Debug)]
struct Meter {
    rates: Arc<[Rate]>,
    began: Instant,
    used: Mutex<Used>,
    failing: Mutex<HashMap<IpAddr, Used>>,
    /// How many there are, to be looked at without the lock.
    failing_count: AtomicUsize,
}

impl Meter {
    fn new(rates: Arc<[Rate]>) -> Self {
        Self {
            rates,
            began: Instant::now(),
            used: Mutex::default(),
            failing: Mutex::default(),
            failing_count: AtomicUsize::new(0),
        }
    }

    fn look(&self, peer: &Peer, now: Instant) -> Result<(), Refusal> {
        let now_ns = self.ns(now);
        // What has no room now has none after it was read and verified either.
        let looked = lock(&self.used).look(&self.rates, now_ns);
        looked.map_err(|wait| Refusal::Rate { wait })?;
        if self.failing_count.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let failing = lock(&self.failing).get(&counted(peer.nearest())).copied();
        let looked = failing.unwrap_or_default().look(&self.rates, now_ns);
        looked.map_err(|wait| Refusal::Failing { client: peer.nearest(), wait })
    }

    fn take(&self, now: Instant) -> Result<(), Refusal> {
        let taken = lock(&self.used).take(&self.rates, self.ns(now));
        taken.map_err(|wait| Refusal::Rate { wait })
    }

    fn failed(&self, peer: &Peer, now: Instant) {
        let address = peer.nearest();
        if self.rates.is_empty() || address.is_loopback() {
            return;
        }
        let now_ns = self.ns(now);
        let mut failing = lock(&self.failing);
        let address = counted(address);
        if failing.len() >= FAILING_MAX && !failing.contains_key(&address) {
            failing.retain(|_, used| !used.is_free(now_ns));
        }
        if failing.len() < FAILING_MAX || failing.contains_key(&address) {
            // One too many is told when it comes again.
            let _ = failing.entry(address).or_default().take(&self.rates, now_ns);
        }
        self.failing_count.store(failing.len(), Ordering::Relaxed);
    }

    fn ns(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.began);
        u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// What failures are counted by.
const fn counted(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

/// In whole seconds, as `Retry-After` has it; never too few.
pub(super) fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// How the bytes in flight are shared out: of several sources each has an equal part of a quarter of them
/// for itself, and all of them share the rest. So whatever the others do, a source always has its part. A
/// source alone has all of them, and a body of the longest kind always fits into the rest when it is alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    /// For each source.
    pub(super) own_bytes_max: usize,
    /// For all together.
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::SocketAddr;

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
    fn only_addresses_of_the_list_pass() {
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
    fn a_forger_uses_up_nothing_of_a_sources_rate_and_is_turned_away_alone() {
        let (gate, now) = (gate(&[], &[(3, 60)], None), Instant::now());
        let forger = peer("192.0.2.66");
        for _ in 0..3 {
            assert!(gate.admit(&forger, || now).is_ok());
            gate.unverified(&forger, now);
        }
        let refused = gate.admit(&forger, || now).unwrap_err();
        assert!(
            matches!(refused, Refusal::Failing { wait, .. } if seconds(wait) == 20),
            "{refused}"
        );
        let sender = peer("192.0.2.1");
        for _ in 0..3 {
            assert!(gate.admit(&sender, || now).is_ok() && gate.verified(|| now).is_ok());
        }
        assert!(matches!(gate.admit(&sender, || now), Err(Refusal::Rate { .. })));
        assert!(matches!(gate.verified(|| now), Err(Refusal::Rate { .. })));
        let later = now + Duration::from_secs(20);
        assert!(gate.admit(&forger, || later).is_ok() && gate.admit(&sender, || later).is_ok());
    }

    #[test]
    fn one_who_is_given_many_addresses_is_one_and_this_machine_is_nobody() {
        let (gate, now) = (gate(&[], &[(1, 60)], None), Instant::now());
        gate.unverified(&peer("2001:db8::1"), now);
        assert!(gate.admit(&peer("2001:db8::ffff:1"), || now).is_err());
        assert!(gate.admit(&peer("2001:db8:0:1::1"), || now).is_ok());
        gate.unverified(&peer("127.0.0.1"), now);
        gate.unverified(&peer("::1"), now);
        assert!(
            gate.admit(&peer("127.0.0.1"), || now).is_ok()
                && gate.admit(&peer("::1"), || now).is_ok()
        );
    }

    #[test]
    fn failing_addresses_are_bounded_and_make_room_when_they_are_forgiven() {
        let (gate, now) = (gate(&[], &[(1, 60)], None), Instant::now());
        let address = |n: u32| Peer::from(SocketAddr::from((n.to_be_bytes(), 1)));
        for n in 0..=u32::try_from(FAILING_MAX).unwrap() {
            gate.unverified(&address(0x0b00_0000 + n), now);
        }
        let count = || lock(&gate.meter.failing).len();
        assert_eq!(count(), FAILING_MAX);
        assert!(gate.admit(&address(0x0b00_0000), || now).is_err(), "known");
        let last = address(0x0b00_0000 + u32::try_from(FAILING_MAX).unwrap());
        assert!(gate.admit(&last, || now).is_ok(), "not known");
        gate.unverified(&last, now + Duration::from_secs(61));
        assert_eq!(count(), 1);
    }

    #[test]
    fn what_was_counted_outlives_a_change_that_leaves_the_rates_alone() {
        let now = Instant::now();
        let first = gate(&[], &[(1, 60)], None);
        first.verified(|| now).unwrap();
        assert!(gate(&["10.0.0.0/8"], &[(1, 60)], Some(&first)).verified(|| now).is_err());
        assert!(gate(&[], &[(1, 30)], Some(&first)).verified(|| now).is_ok());
        assert!(gate(&[], &[], Some(&first)).verified(|| now).is_ok());
    }

    #[test]
    fn shares_are_equal_parts_of_a_quarter_and_a_long_body_still_fits() {
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
        fn shares_never_promise_more_than_there_is(
            bytes in 0usize..1 << 30, sources in 0usize..1_000, body in 0usize..1 << 30,
        ) {
            let shares = Shares::of(bytes, sources, body);
            prop_assert_eq!(shares.own_bytes_max * sources.max(1) + shares.common_bytes_max, bytes);
            prop_assert!(shares.common_bytes_max >= body.min(bytes));
        }
    }
}
