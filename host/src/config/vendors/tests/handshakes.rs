//! Compares `docs/reference/handshakes.md` with the vendors' files.

use std::collections::BTreeSet;

use super::super::{Vendor, all};
use crate::verify::Handshake;

const PAGE: &str = include_str!("../../../../../docs/reference/handshakes.md");

#[test]
fn the_page_lists_each_vendor_whose_handshake_is_answered() {
    let is_answered =
        |handshake: &Handshake| !matches!(handshake, Handshake::GithubPing | Handshake::HcpTest);
    let asks = |vendor: &&Vendor| {
        let handshake = vendor.scheme().and_then(|scheme| scheme.handshake);
        handshake.as_ref().is_some_and(is_answered) || !vendor.questions.is_empty()
    };
    let in_files: BTreeSet<&str> = all().filter(asks).map(|vendor| vendor.name).collect();
    let (page, _) = PAGE.split_once("## Questions of your own").unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let names = rows.filter_map(|row| row.split('|').nth(1));
    let on_page: BTreeSet<&str> =
        names.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert_eq!(on_page, in_files);
}
