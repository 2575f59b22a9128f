//! The index in fjall: one keyspace for each kind of rows, and one for each hour of repetition keys.
//!
//! Small journals and caches: the index holds exceptions only. Values are never separated from keys
//! and keyspaces never cleared, the two features of fjall 3 that lost data. A batch must not name
//! a key twice (its items have no order among themselves), which the map in [`Batch`] ensures.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::RwLock;
use std::time::{Duration, Instant};

use dispatcher_model::RepetitionKey;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::fjall_files::{KEYSPACES, foreign_in, has_lost_names};
use super::key_filter::Filter;
use super::rows::IndexError;
use super::rows::{
    Batch, Index, Order, Row, RowVisit, Seen, Space, WindowRow, hour_of, split_window_key,
    window_prefix,
};
use crate::embedded::format::event_number::lsn_of;
use crate::embedded::platform::caught::caught;
use crate::embedded::platform::disk::is_full;
use crate::embedded::platform::private::{make_new_private, make_private};
use crate::embedded::platform::regular::irregular_in;

const JOURNAL_BYTES_MAX: u64 = 64 << 20;

const CACHE_BYTES_MAX: u64 = 16 << 20;

const MEMTABLE_BYTES_MAX: u64 = 8 << 20;

const THREADS: usize = 2;

/// An index that this process closed is unlocked within that time, when the threads of the engine have ended.
const UNLOCKED_WITHIN: Duration = Duration::from_secs(5);

/// Names of the keyspaces of rows, all made when the index is.
const SPACES: [&str; 8] =
    ["meta", "target", "retry", "dead", "dropped", "range", "place", "outcome"];

/// Memory of all filters: some 25 million keys. Hours beyond that are looked up without one.
const FILTER_BYTES_MAX: usize = 32 << 20;

/// How many events, and some of them: numbers and times of receipt.
pub(crate) type KnownThere = (u64, BTreeMap<u64, u64>);

pub(crate) struct FjallIndex {
    database: Database,
    meta: Keyspace,
    target: Keyspace,
    retry: Keyspace,
    dead: Keyspace,
    dropped: Keyspace,
    range: Keyspace,
    place: Keyspace,
    outcome: Keyspace,
    hours: RwLock<BTreeMap<u32, Hour>>,
    folder: PathBuf,
}

/// Most hours with keys: twice as many as the longest window has, because time in which no daemon ran may not count.
const HOURS_MAX: usize = 2 * 7 * 24;

/// The keys of an hour.
struct Hour {
    space: Keyspace,
    /// `None`: every key may be there.
    filter: Option<Filter>,
}

impl From<fjall::Error> for IndexError {
    fn from(error: fjall::Error) -> Self {
        match &error {
            fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
                if is_full(error) {
                    Self::Full(error.to_string())
                } else {
                    Self::Engine(error.to_string())
                }
            }
            _ => Self::Engine(error.to_string()),
        }
    }
}

fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES_MAX)
}

/// Begins the keys of rows of `meta` that say which hours there are.
const HOUR_MARK: &[u8] = b"hour-";

fn hour_mark(hour: u32) -> Vec<u8> {
    [HOUR_MARK, &hour.to_be_bytes()].concat()
}

fn hour_name(hour: u32) -> String {
    format!("seen-{hour}")
}

impl FjallIndex {
    pub(crate) fn open(folder: &Path) -> Result<Self, IndexError> {
        // The engine would wait for the other end of a FIFO.
        match irregular_in(folder) {
            Ok(None) => {}
            Ok(Some(what)) => return Err(IndexError::Irregular(what)),
            Err(error) => return Err(IndexError::Engine(error.to_string())),
        }
        if let Some(path) = foreign_in(&folder.join(KEYSPACES)) {
            let what = format!("{} does not belong to the index", path.display());
            return Err(IndexError::Irregular(what));
        }
        if has_lost_names(&folder.join(KEYSPACES)) {
            return Err(IndexError::Engine("the list of its parts is missing".into()));
        }
        let opened = unbroken(|| Self::open_now(folder))?;
        make_private(folder);
        Ok(opened)
    }

    fn open_now(folder: &Path) -> Result<Self, IndexError> {
        let open = || {
            Database::builder(folder)
                .cache_size(CACHE_BYTES_MAX)
                .max_journaling_size(JOURNAL_BYTES_MAX)
                .worker_threads(THREADS)
                .open()
        };
        let until = Instant::now() + UNLOCKED_WITHIN;
        let database = loop {
            match open() {
                Err(fjall::Error::Locked) if Instant::now() < until => {}
                opened => break opened?,
            }
        };
        let names = database.list_keyspace_names();
        let there =
            SPACES.iter().filter(|space| names.iter().any(|name| **name == ***space)).count();
        if !names.is_empty() && there < SPACES.len() {
            // The engine drops a keyspace without the file that names its tables, and says nothing. That is how it removes
            // an old hour, whose mark is removed before: a kill in between is not damage.
            return Err(IndexError::Engine("a part of its files is missing".into()));
        }
        let space = |name: &str| database.keyspace(name, options);
        let mut hours = BTreeMap::new();
        for name in names {
            if let Some(hour) = name.strip_prefix("seen-").and_then(|hour| hour.parse().ok()) {
                hours.insert(hour, Hour { space: space(&name)?, filter: None });
            }
        }
        let meta = space("meta")?;
        for row in meta.prefix(HOUR_MARK) {
            let (key, _) = row.into_inner()?;
            let hour = key[HOUR_MARK.len()..].try_into().ok().map(u32::from_be_bytes);
            if hour.is_none_or(|hour| !hours.contains_key(&hour)) {
                return Err(IndexError::Engine("an hour of repetition keys is missing".into()));
            }
        }
        Ok(Self {
            meta,
            target: space("target")?,
            retry: space("retry")?,
            dead: space("dead")?,
            dropped: space("dropped")?,
            range: space("range")?,
            place: space("place")?,
            outcome: space("outcome")?,
            hours: RwLock::new(hours),
            database,
            folder: folder.to_owned(),
        })
    }

    fn space(&self, space: Space) -> Result<Keyspace, IndexError> {
        Ok(match space {
            Space::Meta => self.meta.clone(),
            Space::Target => self.target.clone(),
            Space::Retry => self.retry.clone(),
            Space::Dead => self.dead.clone(),
            Space::Dropped => self.dropped.clone(),
            Space::Range => self.range.clone(),
            Space::Place => self.place.clone(),
            Space::Outcome => self.outcome.clone(),
            Space::Seen(hour) => self.hour(hour)?,
        })
    }

    fn hour(&self, hour: u32) -> Result<Keyspace, IndexError> {
        if let Some(hour) = crate::embedded::platform::locks::read_lock(&self.hours).get(&hour) {
            return Ok(hour.space.clone());
        }
        let space = self.database.keyspace(&hour_name(hour), options)?;
        // What the engine adds later in its own folders cannot be reached by others.
        make_new_private(&self.folder.join(KEYSPACES));
        let filter = Some(Filter::default());
        crate::embedded::platform::locks::write_lock(&self.hours)
            .insert(hour, Hour { space: space.clone(), filter });
        Ok(space)
    }

    /// Adds keys to the filter of their hour: before their rows are there, so that no row is denied.
    fn expect(&self, hour: u32, keys: &[(u32, RepetitionKey, Seen)]) {
        let mut hours = crate::embedded::platform::locks::write_lock(&self.hours);
        let all: usize = hours.values().filter_map(|h| Some(h.filter.as_ref()?.bytes())).sum();
        let Some(Hour { filter: Some(filter), .. }) = hours.get_mut(&hour) else { return };
        let others = all - filter.bytes();
        if filter.reserve(keys.len(), FILTER_BYTES_MAX.saturating_sub(others)) {
            keys.iter().for_each(|(_, key, _)| filter.add(key));
        } else if let Some(hour) = hours.get_mut(&hour) {
            hour.filter = None;
        }
    }

    fn drop_hours(&self, before: u32) -> Result<(), IndexError> {
        let old = {
            let mut hours = crate::embedded::platform::locks::write_lock(&self.hours);
            let kept = hours.split_off(&before);
            std::mem::replace(&mut *hours, kept)
        };
        let mut marks = self.database.batch();
        old.keys().for_each(|hour| marks.remove(&self.meta, hour_mark(*hour)));
        marks.commit()?;
        // An hour that is missing and has its mark would be damage.
        self.database.persist(PersistMode::SyncData)?;
        for hour in old.into_values() {
            self.database.delete_keyspace(hour.space)?;
        }
        Ok(())
    }
}

/// The engine may panic: on damaged files, and in debug builds when the disk refuses in the middle of a
/// record. That is an error of the index, and must not end the thread that asks.
fn unbroken<T>(ask: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    caught(ask).unwrap_or_else(|why| Err(IndexError::Panicked(why)))
}

impl Index for FjallIndex {
    fn commit(&self, batch: Batch) -> Result<(), IndexError> {
        unbroken(|| self.write(batch))
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        unbroken(|| Ok(self.space(space)?.get(key)?.map(|bytes| bytes.to_vec())))
    }

    fn range(
        &self,
        space: Space,
        keys: RangeInclusive<Vec<u8>>,
        order: Order,
        visit: &mut RowVisit<'_>,
    ) -> Result<(), IndexError> {
        unbroken(|| self.visit(space, keys, order, visit))
    }

    fn seen(
        &self,
        key: &RepetitionKey,
        from_ms: u64,
        fits: &dyn Fn(Seen) -> bool,
    ) -> Result<Option<Seen>, IndexError> {
        unbroken(|| self.look_up(key, from_ms, fits))
    }

    fn windows(&self, target: u16, now_ms: u64) -> Result<Vec<(u64, WindowRow)>, IndexError> {
        unbroken(|| self.open_windows(target, now_ms))
    }

    fn scan(&self, space: Space, from: &[u8], max: usize) -> Result<Vec<Row>, IndexError> {
        let pair = |row: fjall::Guard| {
            let (key, value) = row.into_inner()?;
            Ok((key.to_vec(), value.to_vec()))
        };
        unbroken(|| self.space(space)?.range(from..).take(max).map(pair).collect())
    }

    fn sync(&self) -> Result<(), IndexError> {
        make_private(&self.folder);
        unbroken(|| Ok(self.database.persist(PersistMode::SyncData)?))
    }

    #[cfg(test)]
    fn dump(&self) -> BTreeMap<(Space, Vec<u8>), Vec<u8>> {
        let mut spaces = vec![
            (Space::Meta, self.meta.clone()),
            (Space::Target, self.target.clone()),
            (Space::Retry, self.retry.clone()),
            (Space::Dead, self.dead.clone()),
            (Space::Dropped, self.dropped.clone()),
            (Space::Range, self.range.clone()),
            (Space::Place, self.place.clone()),
            (Space::Outcome, self.outcome.clone()),
        ];
        let hours = self.hours.read().unwrap();
        spaces.extend(hours.iter().map(|(hour, h)| (Space::Seen(*hour), h.space.clone())));
        let rows = |(space, keyspace): (Space, Keyspace)| {
            keyspace.iter().map(move |row| {
                let (key, value) = row.into_inner().unwrap();
                ((space, key.to_vec()), value.to_vec())
            })
        };
        let is_row = |((space, key), _): &((Space, Vec<u8>), Vec<u8>)| {
            *space != Space::Meta || !key.starts_with(HOUR_MARK)
        };
        spaces.into_iter().flat_map(rows).filter(is_row).collect()
    }
}

#[cfg(test)]
impl FjallIndex {
    /// Writes all rows to tables: so few would stay in the journal.
    pub(crate) fn write_tables(&self) {
        for space in self.all_spaces() {
            space.rotate_memtable_and_wait().unwrap();
        }
    }
}

impl FjallIndex {
    /// Reads every row, so that damage shows itself.
    pub(crate) fn read_all(&self) -> Result<(), IndexError> {
        unbroken(|| {
            self.all_spaces().iter().try_for_each(|space| {
                { space.iter().try_for_each(|row| row.into_inner().map(drop)) }
                    .map_err(IndexError::from)
            })
        })
    }

    /// Events of repetition keys whose requests begin in one of these ranges of the log, with their times of
    /// receipt: how many, and the first `max` of each range.
    pub(crate) fn known_between(
        &self,
        ranges: &[(u64, u64)],
        max: usize,
    ) -> Result<Vec<KnownThere>, IndexError> {
        let mut found = vec![(0, BTreeMap::new()); ranges.len()];
        unbroken(|| {
            for hour in crate::embedded::platform::locks::read_lock(&self.hours).values() {
                for row in hour.space.iter() {
                    let (_, value) = row.into_inner()?;
                    // Windows are shorter.
                    let Some(seen) = Seen::from_bytes(&value) else { continue };
                    let lsn = lsn_of(seen.number);
                    let among = ranges.iter().zip(&mut found);
                    for ((_, _), (count, events)) in
                        among.filter(|((from, to), _)| (*from..*to).contains(&lsn))
                    {
                        *count += 1;
                        if events.len() < max {
                            events.insert(seen.number, seen.received_ms);
                        }
                    }
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn all_spaces(&self) -> Vec<Keyspace> {
        let fixed = [
            &self.meta,
            &self.target,
            &self.retry,
            &self.dead,
            &self.dropped,
            &self.range,
            &self.place,
            &self.outcome,
        ];
        let hours = crate::embedded::platform::locks::read_lock(&self.hours);
        fixed.into_iter().chain(hours.values().map(|hour| &hour.space)).cloned().collect()
    }

    fn write(&self, mut batch: Batch) -> Result<(), IndexError> {
        let (mut writes, mut hours) = (self.database.batch(), BTreeSet::new());
        // Stable: of rows with one key the newest stays behind the others, and it alone is written.
        batch.seen.sort_by_key(|(hour, key, _)| (*hour, *key));
        for rows in batch.seen.chunk_by(|one, other| one.0 == other.0) {
            let hour = rows[0].0;
            let space = self.hour(hour)?;
            hours.insert(hour);
            self.expect(hour, rows);
            for same in rows.chunk_by(|one, other| one.1 == other.1) {
                if let Some((_, key, seen)) = same.last() {
                    writes.insert(&space, &key[..], &seen.to_bytes()[..]);
                }
            }
        }
        let mut last: Option<(Space, Keyspace)> = None;
        for ((space, key), value) in batch.rows {
            if let Space::Seen(hour) = space {
                hours.insert(hour);
            }
            let keyspace = match &last {
                Some((same, keyspace)) if *same == space => keyspace,
                _ => &last.insert((space, self.space(space)?)).1,
            };
            match value {
                Some(value) => writes.insert(keyspace, key, value),
                None => writes.remove(keyspace, key),
            }
        }
        // Together with the first rows: an interrupted making leaves no mark.
        for hour in hours {
            if !self.meta.contains_key(hour_mark(hour))? {
                writes.insert(&self.meta, hour_mark(hour), &[][..]);
            }
        }
        writes.commit()?;
        let stale_before = |hours: &BTreeMap<u32, Hour>| {
            let most = hours.len().checked_sub(HOURS_MAX).and_then(|over| hours.keys().nth(over));
            let before = batch.hours_from.max(most.copied().unwrap_or_default());
            hours.first_key_value().is_some_and(|(hour, _)| *hour < before).then_some(before)
        };
        let before = stale_before(&crate::embedded::platform::locks::read_lock(&self.hours));
        if let Some(before) = before {
            self.drop_hours(before)?;
        }
        Ok(())
    }

    fn visit(
        &self,
        space: Space,
        keys: RangeInclusive<Vec<u8>>,
        order: Order,
        visit: &mut RowVisit<'_>,
    ) -> Result<(), IndexError> {
        let mut rows = self.space(space)?.range(keys);
        let next = || if order == Order::Ascending { rows.next() } else { rows.next_back() };
        for row in std::iter::from_fn(next) {
            let (key, value) = row.into_inner()?;
            if visit(&key, &value)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn look_up(
        &self,
        key: &RepetitionKey,
        from_ms: u64,
        fits: &dyn Fn(Seen) -> bool,
    ) -> Result<Option<Seen>, IndexError> {
        let oldest = hour_of(from_ms);
        for (_, hour) in
            crate::embedded::platform::locks::read_lock(&self.hours).range(oldest..).rev()
        {
            if hour.filter.as_ref().is_some_and(|filter| !filter.may_have(key)) {
                continue;
            }
            if let Some(bytes) = hour.space.get(key)? {
                let seen = Seen::from_bytes(&bytes).ok_or(IndexError::Unreadable)?;
                if fits(seen) {
                    return Ok(Some(seen));
                }
            }
        }
        Ok(None)
    }

    fn open_windows(&self, target: u16, now_ms: u64) -> Result<Vec<(u64, WindowRow)>, IndexError> {
        let mut windows = Vec::new();
        for (_, hour) in
            crate::embedded::platform::locks::read_lock(&self.hours).range(hour_of(now_ms)..)
        {
            for row in hour.space.prefix(window_prefix(target)) {
                let (key, value) = row.into_inner()?;
                if let Some(group) = split_window_key(&key) {
                    let row = WindowRow::from_bytes(&value).ok_or(IndexError::Unreadable)?;
                    windows.push((group, row));
                }
            }
        }
        windows.sort_unstable_by_key(|(_, row)| *row);
        Ok(windows)
    }
}

#[cfg(test)]
mod tests;
