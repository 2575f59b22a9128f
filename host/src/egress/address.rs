//! Which addresses a target may reach, and the list of those denied by default.
//!
//! Pure: the callers look up names and connect. An IPv6 address that contains an IPv4 one (mapped, NAT64, 6to4)
//! is checked as the IPv4 address, because packets end there. A range in `allow` permits its own addresses and
//! nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::Cidr;

/// Ranges that no target reaches unless its `allow` has them, each with a name for people. The first match names
/// the address, so narrower ranges come before wider ones.
const DENIED: &[(Cidr, &str)] = &[
    (Cidr::v4([169, 254, 169, 254], 32), "cloud metadata"),
    (Cidr::v4([168, 63, 129, 16], 32), "cloud metadata"),
    (Cidr::v4([100, 100, 100, 200], 32), "cloud metadata"),
    (Cidr::v4([0, 0, 0, 0], 32), "unspecified"),
    (Cidr::v4([0, 0, 0, 0], 8), "this network"),
    (Cidr::v4([10, 0, 0, 0], 8), "private"),
    (Cidr::v4([100, 64, 0, 0], 10), "shared by a carrier's NAT"),
    (Cidr::v4([127, 0, 0, 0], 8), "loopback"),
    (Cidr::v4([169, 254, 0, 0], 16), "link-local"),
    (Cidr::v4([172, 16, 0, 0], 12), "private"),
    (Cidr::v4([192, 0, 0, 0], 24), "protocol assignments"),
    (Cidr::v4([192, 0, 2, 0], 24), "documentation"),
    (Cidr::v4([192, 88, 99, 0], 24), "6to4 relays"),
    (Cidr::v4([192, 168, 0, 0], 16), "private"),
    (Cidr::v4([198, 18, 0, 0], 15), "benchmarking"),
    (Cidr::v4([198, 51, 100, 0], 24), "documentation"),
    (Cidr::v4([203, 0, 113, 0], 24), "documentation"),
    (Cidr::v4([224, 0, 0, 0], 4), "multicast"),
    (Cidr::v4([255, 255, 255, 255], 32), "broadcast"),
    (Cidr::v4([240, 0, 0, 0], 4), "reserved"),
    (Cidr::only(IpAddr::V6(Ipv6Addr::UNSPECIFIED)), "unspecified"),
    (Cidr::only(IpAddr::V6(Ipv6Addr::LOCALHOST)), "loopback"),
    (Cidr::only(IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254))), "cloud metadata"),
    (Cidr::v6([0xfc00, 0, 0, 0], 7), "private"),
    (Cidr::v6([0xfe80, 0, 0, 0], 10), "link-local"),
    (Cidr::v6([0xff00, 0, 0, 0], 8), "multicast"),
    (Cidr::v6([0x2001, 0xdb8, 0, 0], 32), "documentation"),
    (Cidr::v6([0x3fff, 0, 0, 0], 20), "documentation"),
    (Cidr::v6([0x2001, 2, 0, 0], 48), "benchmarking"),
    // Includes Teredo and ORCHID, which are tunnels and identifiers, not Internet hosts.
    (Cidr::v6([0x2001, 0, 0, 0], 23), "protocol assignments"),
];

/// The only part of IPv6 with Internet hosts.
const GLOBAL_UNICAST: Cidr = Cidr::v6([0x2000, 0, 0, 0], 3);
const NAT64: Cidr = Cidr::v6([0x64, 0xff9b, 0, 0], 96);
const SIX_TO_FOUR: Cidr = Cidr::v6([0x2002, 0, 0, 0], 16);

/// The IPv4 address at which packets to `address` end.
fn inside(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = address.octets();
    let [_, _, e, f, g, h, ..] = address.octets();
    if NAT64.contains(IpAddr::V6(address)) {
        Some(Ipv4Addr::new(a, b, c, d))
    } else if SIX_TO_FOUR.contains(IpAddr::V6(address)) {
        Some(Ipv4Addr::new(e, f, g, h))
    } else {
        address.to_ipv4_mapped()
    }
}

/// `Err` with the kind of the address if a target with this `allow` must not reach it.
pub(super) fn check(address: IpAddr, allow: &[Cidr]) -> Result<(), &'static str> {
    let end = match address {
        IpAddr::V6(outer) => inside(outer).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    if allow.iter().any(|range| range.contains(address) || range.contains(end)) {
        return Ok(());
    }
    match DENIED.iter().find(|(range, _)| range.contains(end)) {
        Some((_, kind)) => Err(kind),
        None if end.is_ipv6() && !GLOBAL_UNICAST.contains(end) => Err("not an Internet address"),
        None => Ok(()),
    }
}

/// A literal address that a target must not reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    pub address: IpAddr,
    /// For people.
    pub kind: &'static str,
    /// What to write into `allow`.
    pub range: Cidr,
}

/// The address of a URL if it is literal and denied. Other names than `localhost` are looked up only when they are used.
#[must_use]
pub fn denied(url: &str, allow: &[Cidr]) -> Option<Denied> {
    let url: http::Uri = url.parse().ok()?;
    let addresses = literal(url.host()?)?;
    // One that may be reached is enough.
    let kinds = addresses.iter().map(|address| check(*address, allow).err());
    let kinds: Vec<&str> = kinds.collect::<Option<_>>()?;
    let (address, kind) = addresses.into_iter().zip(kinds).next()?;
    Some(Denied { address, kind, range: allowance(address) })
}

/// The addresses that a host means without a lookup: those of `localhost` (RFC 6761, 6.3), or a literal one in any
/// spelling that the system's lookup accepts.
fn literal(host: &str) -> Option<Vec<IpAddr>> {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return inner.parse().ok().map(|address| vec![address]);
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if host == "localhost" || host.ends_with(".localhost") {
        return Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    host.parse().ok().or_else(|| loose_v4(&host).map(IpAddr::V4)).map(|address| vec![address])
}

/// An IPv4 address as `inet_aton` reads it: one to four numbers, decimal, octal (`0…`) or hexadecimal (`0x…`), of which
/// the last stands for all remaining bytes.
fn loose_v4(host: &str) -> Option<Ipv4Addr> {
    let number = |part: &str| match part.strip_prefix("0x") {
        Some("") => Some(0),
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None if part.len() > 1 && part.starts_with('0') => u32::from_str_radix(part, 8).ok(),
        None => part.parse().ok(),
    };
    let plain = |part: &&str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let parts: Vec<&str> = host.split('.').collect();
    if parts.len() > 4 || !parts.iter().all(plain) {
        return None;
    }
    let numbers: Vec<u32> = parts.into_iter().map(number).collect::<Option<_>>()?;
    let (last, before) = numbers.split_last()?;
    let mut address = 0;
    for (place, byte) in before.iter().enumerate() {
        address |= u32::from(u8::try_from(*byte).ok()?) << (24 - 8 * place);
    }
    let left = u32::MAX.checked_shr(u32::try_from(8 * before.len()).ok()?)?;
    (*last <= left).then_some(Ipv4Addr::from_bits(address | last))
}

/// The range to suggest for `allow`: the address at which packets end.
pub(super) fn allowance(address: IpAddr) -> Cidr {
    match address {
        IpAddr::V6(outer) => Cidr::only(inside(outer).map_or(address, IpAddr::V4)),
        IpAddr::V4(_) => Cidr::only(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn internet_addresses_are_reached() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4007:80e::200e",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert_eq!(check(ip(address), &[]), Ok(()), "{address}");
        }
    }

    #[test]
    fn every_other_address_is_denied_by_its_kind() {
        for (address, kind) in [
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "this network"),
            ("10.0.0.1", "private"),
            ("10.255.255.255", "private"),
            ("100.64.0.0", "shared by a carrier's NAT"),
            ("100.127.255.255", "shared by a carrier's NAT"),
            ("100.100.100.200", "cloud metadata"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.255", "loopback"),
            ("169.254.0.1", "link-local"),
            ("169.254.169.254", "cloud metadata"),
            ("168.63.129.16", "cloud metadata"),
            ("172.16.0.0", "private"),
            ("172.31.255.255", "private"),
            ("192.0.0.192", "protocol assignments"),
            ("192.0.2.1", "documentation"),
            ("192.88.99.1", "6to4 relays"),
            ("192.168.0.1", "private"),
            ("198.18.0.0", "benchmarking"),
            ("198.19.255.255", "benchmarking"),
            ("198.51.100.7", "documentation"),
            ("203.0.113.7", "documentation"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::127.0.0.1", "not an Internet address"),
            ("::8.8.8.8", "not an Internet address"),
            ("100::1", "not an Internet address"),
            ("64:ff9b:1::1", "not an Internet address"),
            ("5f00::1", "not an Internet address"),
            ("fec0::1", "not an Internet address"),
            ("fc00::1", "private"),
            ("fd12:3456::1", "private"),
            ("fd00:ec2::254", "cloud metadata"),
            ("fe80::1", "link-local"),
            ("ff02::1", "multicast"),
            ("2001:db8::1", "documentation"),
            ("3fff::1", "documentation"),
            ("2001:2::1", "benchmarking"),
            ("2001::1", "protocol assignments"),
            ("2001:10::1", "protocol assignments"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:169.254.169.254", "cloud metadata"),
            ("::ffff:10.0.0.1", "private"),
            ("64:ff9b::127.0.0.1", "loopback"),
            ("64:ff9b::a9fe:a9fe", "cloud metadata"),
            ("2002:7f00:1::1", "loopback"),
            ("2002:c0a8:1::", "private"),
        ] {
            assert_eq!(check(ip(address), &[]), Err(kind), "{address}");
        }
    }

    #[test]
    fn a_literal_address_is_known_to_be_denied_before_it_is_used() {
        let allow: Cidr = "10.0.0.0/8".parse().unwrap();
        for (url, range) in [
            ("http://127.0.0.1:8080/x", Some("127.0.0.1/32")),
            ("https://u:p@[::1]/x", Some("::1/128")),
            ("http://10.1.2.3/", None),
            ("http://localhost:9/", Some("127.0.0.1/32")),
            ("http://LocalHost./", Some("127.0.0.1/32")),
            ("http://api.localhost", Some("127.0.0.1/32")),
            ("http://notlocalhost/", None),
            ("http://localhost.example.org/", None),
            ("http://127.0.0.1./", Some("127.0.0.1/32")),
            ("http://2130706433:9", Some("127.0.0.1/32")),
            ("http://0x7F000001", Some("127.0.0.1/32")),
            ("http://0x7f.1", Some("127.0.0.1/32")),
            ("http://127.1", Some("127.0.0.1/32")),
            ("http://0177.0.0.1", Some("127.0.0.1/32")),
            ("http://192.168.257/", Some("192.168.1.1/32")),
            ("http://0/", Some("0.0.0.0/32")),
            ("http://[::ffff:127.0.0.1]:9", Some("127.0.0.1/32")),
            ("http://[::ffff:a9fe:a9fe]", Some("169.254.169.254/32")),
            ("http://0x0a.0.0.1", None),
            ("http://134744072", None),
            ("http://4294967296", None),
            ("http://127.0.0.256", None),
            ("http://256.1.1.1", None),
            ("http://1.2.3.4.5", None),
            ("http://08.1", None),
            ("https://example.org/127.0.0.1", None),
            ("not an address", None),
        ] {
            let found = denied(url, &[allow]).map(|denied| denied.range.to_string());
            assert_eq!(found.as_deref(), range, "{url}");
        }
    }

    #[test]
    fn one_permitted_address_of_localhost_is_enough() {
        for allow in ["127.0.0.0/8", "::1"] {
            assert_eq!(denied("http://localhost:9", &[allow.parse().unwrap()]), None, "{allow}");
        }
    }

    #[test]
    fn allow_permits_its_own_addresses_only() {
        for (allow, address, permitted) in [
            ("127.0.0.0/8", "127.0.0.1", true),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("127.0.0.0/8", "64:ff9b::127.0.0.1", true),
            ("127.0.0.0/8", "::1", false),
            ("127.0.0.0/8", "10.0.0.1", false),
            ("127.0.0.1", "127.0.0.2", false),
            ("10.1.0.0/16", "10.1.255.255", true),
            ("10.1.0.0/16", "10.2.0.0", false),
            ("::1", "::1", true),
            ("fd00::/8", "fd00:ec2::254", true),
            ("0.0.0.0/0", "169.254.169.254", true),
            ("0.0.0.0/0", "fe80::1", false),
            ("::/0", "fe80::1", true),
            ("8.8.8.8", "1.1.1.1", true),
        ] {
            let allow: Cidr = allow.parse().unwrap();
            assert_eq!(check(ip(address), &[allow]).is_ok(), permitted, "{allow} {address}");
        }
    }

    proptest! {
        #[test]
        fn an_embedded_address_is_checked_like_itself(bits: u32) {
            let [a, b, c, d] = bits.to_be_bytes();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let plain = check(IpAddr::V4(Ipv4Addr::from_bits(bits)), &[]);
            for outer in [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 9, 9, 9, 9, 9),
            ] {
                prop_assert_eq!(check(IpAddr::V6(outer), &[]), plain);
            }
        }

        #[test]
        fn the_suggested_range_is_enough(bits: u128, v4: u32) {
            for address in [IpAddr::V6(Ipv6Addr::from_bits(bits)), IpAddr::V4(Ipv4Addr::from_bits(v4))] {
                prop_assert_eq!(check(address, &[allowance(address)]), Ok(()));
            }
        }
    }
}
