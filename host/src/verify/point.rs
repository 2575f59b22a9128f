//! Whether 65 bytes are a point of the curve P-256, which only a public key is: a shared secret may begin with the same
//! byte by chance. Not constant in time: what it reads is meant to be public.

/// A number below 2^256, its lowest part first.
type Number = [u64; 4];

/// The field's prime.
const P: Number = [u64::MAX, 0xffff_ffff, 0, 0xffff_ffff_0000_0001];
const B: Number =
    [0x3bce_3c3e_27d2_604b, 0x651d_06b0_cc53_b0f6, 0xb3eb_bd55_7698_86bc, 0x5ac6_35d8_aa3a_93e7];

/// An uncompressed point begins with this byte.
const UNCOMPRESSED: u8 = 4;
const NUMBER_BYTES: usize = 32;

pub(super) fn is_on_p256(bytes: &[u8]) -> bool {
    let [UNCOMPRESSED, numbers @ ..] = bytes else { return false };
    if numbers.len() != 2 * NUMBER_BYTES {
        return false;
    }
    let (x, y) = numbers.split_at(NUMBER_BYTES);
    let (x, y) = (number(x), number(y));
    if !is_below_p(x) || !is_below_p(y) {
        return false;
    }
    // y² = x³ - 3x + b
    add(product(y, y), add(x, add(x, x))) == add(product(product(x, x), x), B)
}

fn number(bytes: &[u8]) -> Number {
    let mut number = [0; 4];
    for (part, eight) in number.iter_mut().rev().zip(bytes.chunks_exact(8)) {
        *part = eight.iter().fold(0, |part, byte| part << 8 | u64::from(*byte));
    }
    number
}

fn is_below_p(number: Number) -> bool {
    number.iter().rev().lt(P.iter().rev())
}

/// The sum of two numbers below the prime, modulo the prime.
fn add(a: Number, b: Number) -> Number {
    let (mut sum, mut carry) = ([0; 4], false);
    for place in 0..4 {
        let (part, first) = a[place].overflowing_add(b[place]);
        let (part, second) = part.overflowing_add(u64::from(carry));
        (sum[place], carry) = (part, first || second);
    }
    if !carry && is_below_p(sum) {
        return sum;
    }
    let mut borrow = false;
    for place in 0..4 {
        let (part, first) = sum[place].overflowing_sub(P[place]);
        let (part, second) = part.overflowing_sub(u64::from(borrow));
        (sum[place], borrow) = (part, first || second);
    }
    sum
}

/// The product of two numbers below the prime, modulo the prime.
fn product(a: Number, b: Number) -> Number {
    let mut product = [0; 4];
    for bit in (0..256).rev() {
        product = add(product, product);
        if b[bit / 64] >> (bit % 64) & 1 == 1 {
            product = add(product, a);
        }
    }
    product
}

/// The generator of the curve, of SEC 2.
#[cfg(test)]
pub(super) fn example() -> Vec<u8> {
    const POINT: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
        4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    super::codec::unhex(POINT).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_points_are_points() {
        let point = example();
        assert!(is_on_p256(&point));
        for place in 0..point.len() {
            let mut other = point.clone();
            other[place] ^= 1;
            assert!(!is_on_p256(&other), "{place}");
        }
        assert!(!is_on_p256(&point[..64]) && !is_on_p256(&[]));
        assert!(!is_on_p256(&[&[4], &[255; 64][..]].concat()), "not below the prime");
    }
}
