//! Which files in the folder of a log are the log: the longest row of segments that fit with one another. So a foreign file
//! is found in whatever place it lies, also in that of the oldest segment, which every other one is compared with.

use super::frame::HEADER_BYTES;
use super::segment_header::{SEGMENT_HEADER_BYTES, SegmentHeader};

/// What the file of a segment says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub header: SegmentHeader,
    /// It is marked as the beginning of the log.
    pub begins_log: bool,
    /// Where it ended, if it says that the next one was made.
    pub ended: Option<u64>,
}

/// Why a segment is not one of this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stray {
    OtherStore,
    /// As many segments are of the one store as of the other, and no index says which of them is this one.
    OneOfTwoStores,
    /// It is one of this store, but of another time.
    OtherTime,
}

impl Stray {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::OtherStore => "it belongs to another store",
            Self::OneOfTwoStores => {
                "it belongs to another store than the newest segment, and nothing says which of them is this one: \
                 if it is the right one, give up the others"
            }
            Self::OtherTime => {
                "it does not fit the segments around it, as one of an older backup does not"
            }
        }
    }
}

/// Whether `next` may come behind `previous`. Files between the two may be missing.
fn follows(previous: &Said, next: &Said) -> bool {
    let (before, header) = (&previous.header, &next.header);
    if before.identity != header.identity || header.epoch < before.epoch {
        return false;
    }
    if header.base == before.limit() {
        let inside = (before.first()..=before.limit()).contains(&header.prev_end);
        return inside && previous.ended.is_none_or(|ended| ended == header.prev_end);
    }
    let least = before.limit() + SEGMENT_HEADER_BYTES + HEADER_BYTES as u64;
    header.base > before.limit()
        && (least..=header.base).contains(&header.prev_end)
        // What is before the beginning of the log, and not next to it, was not removed by this program.
        && !next.begins_log
}

/// The longest row of segments that ends with one of them.
#[derive(Clone, Copy)]
struct Row {
    length: usize,
    /// The segment before it in that row.
    before: Option<usize>,
}

/// What is wrong with each segment, in the order of their names; `None` for those of the log. `known` says which store
/// its index is of, and is asked only if the segments do not say it.
pub(crate) fn strays(
    all: &[Option<Said>],
    known: impl FnOnce() -> Option<u64>,
) -> Vec<Option<Stray>> {
    let readable: Vec<(usize, Said)> =
        all.iter().enumerate().filter_map(|(place, said)| Some((place, (*said)?))).collect();
    let mut strays = vec![None; all.len()];
    if readable.is_sorted_by(|one, next| follows(&one.1, &next.1)) {
        return strays;
    }
    let mut rows: Vec<Row> = Vec::with_capacity(readable.len());
    for (_, said) in &readable {
        let before = rows.iter().enumerate().filter(|(at, _)| follows(&readable[*at].1, said));
        // Of two rows of the same length, one that was not made later, and then the one in which fewer files are missing.
        let best = before.max_by_key(|(at, row)| {
            (row.length, readable[*at].1.header.created_ms <= said.header.created_ms)
        });
        rows.push(match best {
            None => Row { length: 1, before: None },
            Some((at, row)) => Row { length: row.length + 1, before: Some(at) },
        });
    }
    let longest = rows.iter().map(|row| row.length).max().unwrap_or_default();
    let identity = |at: usize| readable[at].1.header.identity;
    let ends: Vec<usize> = (0..rows.len()).filter(|at| rows[*at].length == longest).collect();
    let Some(newest) = ends.last().copied() else { return strays };
    let is_tie = ends.iter().any(|end| identity(*end) != identity(newest));
    let known = if is_tie { known() } else { None };
    let of_index = ends.iter().rev().copied().find(|end| Some(identity(*end).uuid) == known);
    let end = of_index.unwrap_or(newest);
    let ours = identity(end);
    for (place, said) in &readable {
        let is_ours = said.header.identity == ours;
        strays[*place] = Some(match (is_ours, is_tie && of_index.is_none()) {
            (true, _) => Stray::OtherTime,
            (false, true) => Stray::OneOfTwoStores,
            (false, false) => Stray::OtherStore,
        });
    }
    let mut next = Some(end);
    while let Some(at) = next {
        strays[readable[at].0] = None;
        next = rows[at].before;
    }
    strays
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::format::segment_header::{Identity, sample};

    const SIZE: u64 = 1 << 20;

    /// A segment of the store of that letter, in that place.
    fn one(place: u64, store: char) -> Option<Said> {
        let base = place * SIZE;
        let header = sample(base, base);
        let identity = Identity { uuid: store as u64, ..header.identity };
        Some(Said {
            header: SegmentHeader { identity, ..header },
            begins_log: base == 0,
            ended: None,
        })
    }

    /// The segments of a log, `.` for one of which nothing is known; each stray one as `x`.
    fn found(stores: &str, known: Option<char>) -> String {
        let one = |(place, store)| if store == '.' { None } else { one(place, store) };
        let all: Vec<_> = (0..).zip(stores.chars()).map(one).collect();
        let strays = strays(&all, || known.map(|store| store as u64));
        strays.iter().map(|stray| if stray.is_some() { 'x' } else { '-' }).collect()
    }

    #[test]
    fn most_segments_say_which_store_it_is_and_the_index_if_they_do_not() {
        for (stores, known, strays) in [
            ("", None, ""),
            ("a", Some('b'), "-"),
            ("aaaa", Some('b'), "----"),
            ("baaa", None, "x---"),
            ("baaa", Some('b'), "x---"),
            ("abaa", None, "-x--"),
            ("aaba", None, "--x-"),
            ("aaab", None, "---x"),
            ("bbaaa", None, "xx---"),
            ("bcaa", None, "xx--"),
            ("acab", Some('b'), "-x-x"),
            (".baa", None, "-x--"),
            ("bbaa", Some('a'), "xx--"),
            ("bbaa", Some('b'), "--xx"),
            ("abab", Some('a'), "-x-x"),
            ("ab", Some('a'), "-x"),
            ("ba", Some('a'), "x-"),
            ("ba", Some('c'), "x-"),
            ("bbaa", None, "xx--"),
        ] {
            assert_eq!(found(stores, known), strays, "{stores} with the index of {known:?}");
        }
    }

    #[test]
    fn it_is_said_when_nothing_tells_which_store_it_is() {
        let all = [one(0, 'b'), one(1, 'a')];
        assert_eq!(strays(&all, || None), [Some(Stray::OneOfTwoStores), None]);
        assert_eq!(strays(&all, || Some(u64::from('a'))), [Some(Stray::OtherStore), None]);
    }

    #[test]
    fn a_segment_of_another_time_is_no_part_of_the_log() {
        let mut all: Vec<_> = (0..4).map(|place| one(place, 'a')).collect();
        for place in 0..4 {
            let mut late = all.clone();
            let wrong = if place == 3 { 2 } else { 4 };
            late[place].as_mut().unwrap().header.epoch = wrong;
            let expected: Vec<_> =
                (0..4).map(|one| (one == place).then_some(Stray::OtherTime)).collect();
            assert_eq!(strays(&late, || None), expected, "{place}");
        }
        // The one before it says that it ended somewhere else.
        let mut other = all.clone();
        other[0].as_mut().unwrap().ended = Some(SIZE - 64);
        other[1].as_mut().unwrap().ended = Some(2 * SIZE - 64);
        assert_eq!(strays(&other, || None), [None, Some(Stray::OtherTime), None, None]);
        // The log began with the third before: one of an older backup lies before it, and not next to it.
        all[1] = None;
        all[2].as_mut().unwrap().begins_log = true;
        assert_eq!(strays(&all, || None), [Some(Stray::OtherTime), None, None, None]);
        // A file of which nothing is known may be the missing one.
        all[2].as_mut().unwrap().begins_log = false;
        assert_eq!(strays(&all, || None), [None; 4]);
    }
}
