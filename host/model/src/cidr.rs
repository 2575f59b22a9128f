//! Ranges of IP addresses as people write them: `10.0.0.0/8`, `2001:db8::/32`, or one address.
//!
//! Parsing is strict: bits beyond the length are an error, so that a typing error does not silently give another range.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses, such as `10.0.0.0/8`. A single address is a range of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    network: IpAddr,
    bits: u8,
}

impl Cidr {
    /// Whether `address` is in the range. A range of one family contains no address of the other.
    #[must_use]
    pub const fn contains(self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros() >= self.bits as u32
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros() >= self.bits as u32
            }
            _ => false,
        }
    }

    /// Whether the range contains every address of its family.
    #[must_use]
    pub const fn is_everything(self) -> bool {
        self.bits == 0
    }

    /// The range that contains only `address`.
    #[must_use]
    pub const fn only(address: IpAddr) -> Self {
        Self { network: address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// An IPv4 network by its address and the number of its bits.
    #[must_use]
    pub const fn v4(octets: [u8; 4], bits: u8) -> Self {
        let [a, b, c, d] = octets;
        Self { network: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits }
    }

    /// An IPv6 network by the first half of its address and the number of its bits.
    #[must_use]
    pub const fn v6(first: [u16; 4], bits: u8) -> Self {
        let [a, b, c, d] = first;
        Self { network: IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)), bits }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.bits)
    }
}

/// Why a text is not a valid address range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCidr {
    #[error("write an IP address and a prefix length, such as \"10.0.0.0/8\"")]
    Form,
    #[error("the prefix length can be at most {0} here")]
    Length(u8),
    #[error("the address has bits beyond the prefix length: write \"{0}\"")]
    HostBits(Cidr),
    #[error("this is an IPv4-mapped IPv6 address: write it as IPv4")]
    Mapped,
}

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| InvalidCidr::Form)?;
        if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
            return Err(InvalidCidr::Mapped);
        }
        let whole = Self::only(address);
        let Some(length) = length else { return Ok(whole) };
        let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        if !digits {
            return Err(InvalidCidr::Form);
        }
        let bits = length.parse::<u8>().ok().filter(|bits| *bits <= whole.bits);
        let bits = bits.ok_or(InvalidCidr::Length(whole.bits))?;
        let network = first_of(address, bits);
        if network == address {
            Ok(Self { network, bits })
        } else {
            Err(InvalidCidr::HostBits(Self { network, bits }))
        }
    }
}

/// The lowest address of the range with `bits` that contains `address`.
fn first_of(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parsing_is_strict_and_errors_say_what_to_write() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "127.0.0.1/32", "::/0", "fd00::/8", "::1/128"] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), text);
        }
        assert_eq!("10.1.2.3".parse::<Cidr>().unwrap().to_string(), "10.1.2.3/32");
        for text in ["", "/", "10", "10.0.0/8", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/8/8", "a/8"] {
            assert_eq!(text.parse::<Cidr>(), Err(InvalidCidr::Form), "{text}");
        }
        assert_eq!("10.0.0.0/33".parse::<Cidr>(), Err(InvalidCidr::Length(32)));
        assert_eq!("::/999".parse::<Cidr>(), Err(InvalidCidr::Length(128)));
        assert_eq!("::ffff:10.0.0.0/104".parse::<Cidr>(), Err(InvalidCidr::Mapped));
        let error = "10.1.2.3/8".parse::<Cidr>().unwrap_err();
        assert!(error.to_string().contains("\"10.0.0.0/8\""), "{error}");
    }

    proptest! {
        #[test]
        fn a_range_contains_its_first_address_and_survives_the_round_trip(bits: u32, length in 0u8..=32) {
            let network = first_of(IpAddr::V4(Ipv4Addr::from_bits(bits)), length);
            let range: Cidr = format!("{network}/{length}").parse().unwrap();
            prop_assert!(range.contains(network));
            prop_assert!(range.contains(IpAddr::V4(Ipv4Addr::from_bits(bits))));
            prop_assert_eq!(range.to_string().parse::<Cidr>(), Ok(range));
        }
    }
}
