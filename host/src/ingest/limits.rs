//! The limits of one source, so that no source can use up what another needs.
//!
//! - **Addresses**: only those in `allow` pass. Checked before the body is read.
//! - **Rates**: only verified requests count against the rates of a source, so a forger uses up nothing. Requests
//!   that fail verification count by address against the same rates: an address that fails too often is refused
//!   before its body is read, and no other address is. Loopback addresses are exempt: behind one there may be a
//!   proxy that is not in `trusted_proxies` and forwards everyone's requests.
//! - **Bytes**: a part of the bytes in flight is reserved for each source, see [`Shares`].
//!
//! Limits: at most [`FAILING_MAX`] failing addresses per source are counted; more are not. An IPv6 network of 64
//! bits counts as one address, because one sender usually has all of it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::rate::{Rate, Used};
use super::refusal::RequestRefusal;
use crate::model::Cidr;
use crate::net::Peer;

/// Most failing addresses counted for one source.
const FAILING_MAX: usize = 1024;

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
        if self.meter.rates.is_empty() { Ok(()) } else { self.meter.check(peer, now()) }
    }

    /// Counts a verified request. Looks at the clock only if there are rates.
    pub(super) fn verified(&self, now: impl FnOnce() -> Instant) -> Result<(), RequestRefusal> {
        if self.meter.rates.is_empty() { Ok(()) } else { self.meter.take(now()) }
    }

    /// Counts a request that failed verification.
    pub(super) fn unverified(&self, peer: &Peer, now: Instant) {
        self.meter.count_failure(peer, now);
    }
}

/// Counts the requests of one source.
#[derive(Debug)]
struct Meter {
    rates: Arc<[Rate]>,
    began: Instant,
    used: Mutex<Used>,
    failing: Mutex<HashMap<IpAddr, Used>>,
    /// Length of `failing`, readable without the lock.
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

    fn check(&self, peer: &Peer, now: Instant) -> Result<(), RequestRefusal> {
        let now_ns = self.ns(now);
        // Reading and verifying a request that is above the limit now would be wasted work.
        let checked = lock(&self.used).check(&self.rates, now_ns);
        checked.map_err(|wait| RequestRefusal::Rate { wait })?;
        if self.failing_count.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let failing = lock(&self.failing).get(&network(peer.nearest())).copied();
        let checked = failing.unwrap_or_default().check(&self.rates, now_ns);
        checked.map_err(|wait| RequestRefusal::Failing { client: peer.nearest(), wait })
    }

    fn take(&self, now: Instant) -> Result<(), RequestRefusal> {
        let taken = lock(&self.used).take(&self.rates, self.ns(now));
        taken.map_err(|wait| RequestRefusal::Rate { wait })
    }

    fn count_failure(&self, peer: &Peer, now: Instant) {
        let address = peer.nearest();
        if self.rates.is_empty() || address.is_loopback() {
            return;
        }
        let now_ns = self.ns(now);
        let mut failing = lock(&self.failing);
        let address = network(address);
        if failing.len() >= FAILING_MAX && !failing.contains_key(&address) {
            failing.retain(|_, used| !used.is_free(now_ns));
        }
        if failing.len() < FAILING_MAX || failing.contains_key(&address) {
            // If this exceeds the rates, the next request from this address is refused.
            let _ = failing.entry(address).or_default().take(&self.rates, now_ns);
        }
        self.failing_count.store(failing.len(), Ordering::Relaxed);
    }

    fn ns(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.began);
        u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The address that failures are counted by: an IPv4 address, or the first 64 bits of an IPv6 address.
const fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn a_forger_uses_up_no_rate_of_the_source_and_only_the_forger_is_refused() {
        let (gate, now) = (gate(&[], &[(3, 60)], None), Instant::now());
        let forger = peer("192.0.2.66");
        for _ in 0..3 {
            assert!(gate.admit(&forger, || now).is_ok());
            gate.unverified(&forger, now);
        }
        let refused = gate.admit(&forger, || now).unwrap_err();
        assert!(
            matches!(refused, RequestRefusal::Failing { wait, .. } if wait == Duration::from_secs(20)),
            "{refused}"
        );
        let sender = peer("192.0.2.1");
        for _ in 0..3 {
            assert!(gate.admit(&sender, || now).is_ok() && gate.verified(|| now).is_ok());
        }
        assert!(matches!(gate.admit(&sender, || now), Err(RequestRefusal::Rate { .. })));
        assert!(matches!(gate.verified(|| now), Err(RequestRefusal::Rate { .. })));
        let later = now + Duration::from_secs(20);
        assert!(gate.admit(&forger, || later).is_ok() && gate.admit(&sender, || later).is_ok());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address_and_loopback_is_exempt() {
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
    fn failing_addresses_are_bounded_and_expire() {
        let (gate, now) = (gate(&[], &[(1, 60)], None), Instant::now());
        let address = |n: u32| Peer::from(SocketAddr::from((n.to_be_bytes(), 1)));
        for n in 0..=u32::try_from(FAILING_MAX).unwrap() {
            gate.unverified(&address(0x0b00_0000 + n), now);
        }
        let count = || lock(&gate.meter.failing).len();
        assert_eq!(count(), FAILING_MAX);
        assert!(gate.admit(&address(0x0b00_0000), || now).is_err(), "counted");
        let last = address(0x0b00_0000 + u32::try_from(FAILING_MAX).unwrap());
        assert!(gate.admit(&last, || now).is_ok(), "not counted");
        gate.unverified(&last, now + Duration::from_secs(61));
        assert_eq!(count(), 1);
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
