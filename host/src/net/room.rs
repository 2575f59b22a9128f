//! Who gives way first when room is short. Pure.
//!
//! Each holder belongs to an address. While an address holds more than its share, the address that holds most gives
//! way. Then holders that have stalled give way, then those whose address [lost room lately](super::displaced::Displaced),
//! then the others. Those that use their room steadily are last. Among equals it is the one that is furthest behind:
//! this says how long it has held its room without using it, see [`Activity`](super::activity::Activity).

use std::cmp::Reverse;
use std::net::IpAddr;

/// An IPv4 address, or the first half of an IPv6 address, of which one sender usually has the whole second half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(u64);

impl Owner {
    pub(super) const fn to_bits(self) -> u64 {
        self.0
    }

    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl From<IpAddr> for Owner {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            // No sender has an IPv6 address that begins with 32 zeros, so none is mistaken for one of these.
            IpAddr::V4(address) => Self(address.to_bits().into()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                let half = [a, b, c, d].iter().fold(0, |half, part| half << 16 | u64::from(*part));
                Self(half)
            }
        }
    }
}

/// A holder that is behind by this has stalled, in milliseconds.
const STALLED_MS: i64 = 1_000;

/// What one holder holds.
#[derive(Clone, Copy, Debug)]
pub struct Holding {
    pub owner: Owner,
    /// Seats, or bytes.
    pub amount: u64,
    pub behind_ms: i64,
    /// Has used its room for a while without a stall.
    pub steady: bool,
}

impl Holding {
    fn order_of_use(&self) -> (bool, bool, Reverse<i64>) {
        (self.steady, self.behind_ms < STALLED_MS, Reverse(self.behind_ms))
    }
}

/// The places of the holdings, those that give way first before others. `share`: what an address may hold before it
/// gives way to others. `lost`: how much an address lost lately.
#[must_use]
pub fn order(holdings: &[Holding], share: u64, lost: impl Fn(Owner) -> u64) -> Vec<usize> {
    let mut places: Vec<usize> = (0..holdings.len()).collect();
    let use_of = |place: usize| holdings[place].order_of_use();
    places.sort_unstable_by_key(|&place| (holdings[place].owner, use_of(place), place));
    // What the owner holds beyond its share once those before have given way, and what it lost.
    let mut of_owners = vec![(0_u64, 0_u64); holdings.len()];
    for of_owner in places.chunk_by(|&a, &b| holdings[a].owner == holdings[b].owner) {
        let mut left: u64 = of_owner.iter().map(|&place| holdings[place].amount).sum();
        let lost = of_owner.first().map_or(0, |&place| lost(holdings[place].owner));
        for &place in of_owner {
            of_owners[place] = (left.saturating_sub(share), lost);
            left -= holdings[place].amount;
        }
    }
    places.sort_unstable_by_key(|&place| {
        let (beyond, lost) = of_owners[place];
        let (steady, moving, ahead) = use_of(place);
        (Reverse(beyond), steady, moving, Reverse(lost), ahead, place)
    });
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owner(address: &str) -> Owner {
        Owner::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn an_owner_is_an_ipv4_address_or_half_of_an_ipv6_address() {
        assert_eq!(owner("2001:db8:1:2::7"), owner("2001:db8:1:2:ffff::8"));
        assert_ne!(owner("2001:db8:1:2::7"), owner("2001:db8:1:3::7"));
        assert_eq!(owner("::ffff:192.0.2.7"), owner("192.0.2.7"));
        assert_ne!(owner("192.0.2.7"), owner("192.0.2.8"));
        let bits = owner("2001:db8::1").to_bits();
        assert_eq!((bits, Owner::from_bits(bits)), (0x2001_0db8_0000_0000, owner("2001:db8::")));
    }

    /// Owner, amount, milliseconds behind. Negative: steady as well.
    fn holdings(list: &[(u64, u64, i64)]) -> Vec<Holding> {
        let holding = |&(owner, amount, behind_ms)| {
            let steady = behind_ms < 0;
            Holding { owner: Owner(owner), amount, behind_ms, steady }
        };
        list.iter().map(holding).collect()
    }

    #[test]
    fn the_address_that_holds_most_gives_way_first_and_of_it_the_slowest() {
        for (what, list, share, expected) in [
            ("nothing", &[][..], 0, &[][..]),
            (
                "one address: the slowest first",
                &[(1, 5, 10), (1, 5, 30), (1, 5, 20)],
                0,
                &[1, 2, 0],
            ),
            (
                "one in the flood is older",
                &[(1, 1, 9), (2, 1, 5), (2, 1, 4), (2, 1, 3)],
                1,
                &[1, 2, 0, 3],
            ),
            (
                "within their share: the slowest first",
                &[(1, 1, 9), (2, 2, 5), (2, 2, 7)],
                4,
                &[0, 2, 1],
            ),
            ("one large holder", &[(1, 100, -9), (2, 10, 50), (2, 10, 40)], 20, &[0, 1, 2]),
            (
                "by turns while they hold as much",
                &[(1, 2, 1), (1, 2, 2), (2, 2, 3), (2, 2, 4)],
                1,
                &[3, 1, 2, 0],
            ),
        ] {
            assert_eq!(order(&holdings(list), share, |_| 0), expected, "{what}");
        }
    }

    #[test]
    fn within_the_shares_what_has_stalled_gives_way_first_and_what_is_steady_last() {
        let lost = |Owner(owner): Owner| if owner >= 7 { owner } else { 0 };
        for (what, list, expected) in [
            (
                "what has stalled gives way before what comes back",
                &[(7, 1, 10), (1, 1, 1_000), (2, 1, 20)][..],
                &[1, 0, 2][..],
            ),
            ("what comes back most", &[(7, 1, 10), (8, 1, 10), (1, 1, 900)], &[1, 0, 2]),
            (
                "a steady one is last, even if its address lost some",
                &[(9, 1, -1), (1, 1, 10), (2, 1, 0)],
                &[1, 2, 0],
            ),
            (
                "an address beyond its share gives way first, and of it the steady ones last",
                &[(1, 1, -1), (1, 1, 5), (1, 1, -2), (7, 1, 5_000)],
                &[1, 3, 0, 2],
            ),
        ] {
            assert_eq!(order(&holdings(list), 2, lost), expected, "{what}");
        }
    }

    proptest! {
        /// Against looking for the next one again and again.
        #[test]
        fn each_one_is_the_right_one_to_give_way_after_those_before_it(
            list in prop::collection::vec((0u64..4, 1u64..9, -20i64..20), 0..30), share in 0u64..20,
            lost in prop::array::uniform4(0u64..20),
        ) {
            let list: Vec<_> = list.iter().map(|&(owner, amount, ms)| (owner, amount, ms * 90)).collect();
            let holdings = holdings(&list);
            let lost = |owner: u64| lost[usize::try_from(owner).unwrap()];
            let mut left: Vec<usize> = (0..list.len()).collect();
            for place in order(&holdings, share, |Owner(owner)| lost(owner)) {
                let beyond = |place: usize| {
                    let of_owner = left.iter().filter(|&&other| list[other].0 == list[place].0);
                    of_owner.map(|&other| list[other].1).sum::<u64>().saturating_sub(share)
                };
                let first = left.iter().max_by_key(|&&at| {
                    let (owner, _, ms) = list[at];
                    (beyond(at), ms >= 0, ms >= STALLED_MS, lost(owner), ms, Reverse(at))
                });
                prop_assert_eq!(first, Some(&place));
                left.retain(|&other| other != place);
            }
            prop_assert_eq!(left, Vec::<usize>::new());
        }
    }
}
