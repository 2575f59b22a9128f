//! Writes base64, for signatures and for finding secrets in it.

/// The 64 letters.
pub type Alphabet = [u8; 64];

/// The usual ones.
pub const STANDARD: &Alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Those that need no escape in an address.
pub const URL: &Alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// With padding.
#[must_use]
pub fn encode(bytes: &[u8], alphabet: &Alphabet) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..group.len()].copy_from_slice(group);
        let value = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..4 {
            let sextet = (value >> (18 - 6 * place)) & 63;
            let used = place <= group.len();
            text.push(if used { char::from(alphabet[sextet as usize]) } else { '=' });
        }
    }
    text
}
