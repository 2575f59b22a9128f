//! The bytes of all bodies in memory, and which of them give way when there is no room for more.
//!
//! A body whose end has not arrived is not verified, so its bytes can be taken back: [`order`] says whose. Only such
//! bodies are registered here, and only if they must be waited for. A request that is whole, or that has just begun,
//! never gives way, and is refused only if there is nothing left to take back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::limits::Shares;
use super::refusal::RequestRefusal;
use crate::net::{Displaced, Holding, Seat, order};

/// A body up to this length may use all of the common bytes.
const SMALL_BYTES: usize = 64 * 1024;
/// A longer body leaves this part of the common bytes, one in four, to small ones.
const PART_FOR_SMALL: usize = 4;
/// One in this many common bytes is the share of an address: beyond it, the address that holds most gives way first.
const PART_OF_ADDRESS: usize = 4;
/// One in this many common bytes is taken back at a time from bodies that are behind, so that a flood rarely causes a
/// search through all of them.
const PART_TAKEN_BACK: usize = 64;

/// Counts the common bytes in flight. Each source counts its own part.
#[derive(Default)]
pub(super) struct Budget {
    reserved: AtomicUsize,
    unverified: Mutex<Unverified>,
}

/// The bodies that are waited for.
#[derive(Default)]
struct Unverified {
    next: u64,
    by_number: HashMap<u64, Holder>,
    displaced: Displaced,
}

struct Holder {
    seat: Seat,
    common_bytes: usize,
    own_bytes: usize,
    own: Arc<AtomicUsize>,
    /// Wakes the one who waits for the body when it is dropped.
    _taken_back: oneshot::Sender<()>,
}

/// Where bytes were reserved.
#[derive(Clone, Copy)]
enum Part {
    Own,
    Common,
}

impl Budget {
    /// An empty reservation. It grows out of the source's own part first, and then out of the common bytes. A
    /// single body of at most `body_bytes_max` always fits.
    pub(super) fn reserve<'a>(
        &'a self,
        own: &'a Arc<AtomicUsize>,
        shares: Shares,
        body_bytes_max: usize,
    ) -> Reservation<'a> {
        let spare = shares.common_bytes_max.saturating_sub(body_bytes_max);
        let bytes_for_small = spare.min(shares.common_bytes_max / PART_FOR_SMALL);
        Reservation {
            budget: self,
            own,
            shares,
            bytes: 0,
            own_bytes: 0,
            bytes_for_small,
            number: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Unverified> {
        self.unverified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Releases the bytes of a holder.
    fn release(&self, holder: &Holder) {
        holder.own.fetch_sub(holder.own_bytes, Ordering::Relaxed);
        self.reserved.fetch_sub(holder.common_bytes, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn reserved(&self) -> usize {
        self.reserved.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lock().by_number.len()
    }
}

/// The bytes that one request has reserved; released when dropped.
pub(super) struct Reservation<'a> {
    budget: &'a Budget,
    /// Bytes reserved of the source's own part, by all of its requests.
    own: &'a Arc<AtomicUsize>,
    shares: Shares,
    bytes: usize,
    /// How many of `bytes` are from the source's own part.
    own_bytes: usize,
    /// How many of the common bytes are for small bodies only.
    bytes_for_small: usize,
    /// The number of its [`Holder`] while the body is waited for. If that is gone, the bytes were taken back.
    number: Option<u64>,
}

impl Reservation<'_> {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Reserves `more` bytes, or none if there is not enough room.
    pub(super) fn grow(&mut self, more: usize) -> Result<(), RequestRefusal> {
        match self.number {
            None => match self.take(more) {
                Some(part) => self.add(more, part),
                None => {
                    let part = self.take_back(&mut self.budget.lock(), more)?;
                    self.add(more, part);
                }
            },
            Some(number) => {
                let mut unverified = self.budget.lock();
                if !unverified.by_number.contains_key(&number) {
                    return Err(RequestRefusal::GaveWay);
                }
                let part = self.take(more);
                let part = part.map_or_else(|| self.take_back(&mut unverified, more), Ok)?;
                self.add(more, part);
                if let Some(holder) = unverified.by_number.get_mut(&number) {
                    holder.own_bytes = self.own_bytes;
                    holder.common_bytes = self.bytes - self.own_bytes;
                }
            }
        }
        Ok(())
    }

    /// From now on the bytes can be taken back, until [`complete`](Self::complete). The receiver is woken if they are.
    pub(super) fn wait(&mut self, seat: &Seat) -> oneshot::Receiver<()> {
        let (sender, taken_back) = oneshot::channel();
        let mut unverified = self.budget.lock();
        let number = unverified.next;
        unverified.next += 1;
        let holder = Holder {
            seat: seat.clone(),
            common_bytes: self.bytes - self.own_bytes,
            own_bytes: self.own_bytes,
            own: Arc::clone(self.own),
            _taken_back: sender,
        };
        unverified.by_number.insert(number, holder);
        self.number = Some(number);
        taken_back
    }

    /// The body is complete: from now on its bytes cannot be taken back.
    pub(super) fn complete(&mut self) -> Result<(), RequestRefusal> {
        let Some(number) = self.number else { return Ok(()) };
        let holder = self.budget.lock().by_number.remove(&number);
        holder.ok_or(RequestRefusal::GaveWay)?;
        self.number = None;
        Ok(())
    }

    fn add(&mut self, more: usize, part: Part) {
        self.bytes += more;
        if matches!(part, Part::Own) {
            self.own_bytes += more;
        }
    }

    /// Most common bytes that may be reserved after this reservation has grown.
    const fn common_bytes_max(&self, more: usize) -> usize {
        // A few long bodies that never end must not block many small ones.
        let for_small = if self.bytes + more > SMALL_BYTES { self.bytes_for_small } else { 0 };
        self.shares.common_bytes_max - for_small
    }

    fn take(&self, more: usize) -> Option<Part> {
        if take(self.own, more, self.shares.own_bytes_max) {
            return Some(Part::Own);
        }
        let taken = take(&self.budget.reserved, more, self.common_bytes_max(more));
        taken.then_some(Part::Common)
    }

    /// Takes back bytes until there is room for `more`, and reserves them.
    #[cold]
    fn take_back(&self, unverified: &mut Unverified, more: usize) -> Result<Part, RequestRefusal> {
        let Unverified { by_number, displaced, .. } = unverified;
        let of_own = |holder: &Holder| if self.has_own_of(holder) { holder.own_bytes } else { 0 };
        let (mut numbers, mut holdings, now) = (Vec::new(), Vec::new(), Instant::now());
        let bytes_max = self.common_bytes_max(more);
        let fits = |reserved: &AtomicUsize, taken_back: usize, bytes_max: usize| {
            reserved.load(Ordering::Relaxed).saturating_sub(taken_back) + more <= bytes_max
        };
        let common_bytes = by_number.values().map(|holder| holder.common_bytes).sum();
        let own_bytes = by_number.values().map(of_own).sum();
        let common_fits = fits(&self.budget.reserved, common_bytes, bytes_max);
        let own_fits = fits(self.own, own_bytes, self.shares.own_bytes_max);
        if !common_fits && !own_fits {
            return Err(RequestRefusal::BytesInFlight { bytes_max });
        }
        // Bytes of a part that stays too small are of no use.
        let use_of = |holder: &Holder| {
            let common_bytes = if common_fits { holder.common_bytes } else { 0 };
            common_bytes + if own_fits { of_own(holder) } else { 0 }
        };
        for (number, holder) in by_number.iter().filter(|(_, holder)| use_of(holder) > 0) {
            numbers.push(*number);
            let amount = (holder.common_bytes + holder.own_bytes) as u64;
            let Holder { seat, .. } = holder;
            let (owner, behind_ms) = (seat.owner(), seat.behind_ms(now));
            holdings.push(Holding { owner, amount, behind_ms, steady: seat.is_steady(now) });
        }
        let share = (self.shares.common_bytes_max / PART_OF_ADDRESS) as u64;
        let enough = self.shares.common_bytes_max / PART_TAKEN_BACK;
        let (mut part, mut bytes) = (None, 0);
        for place in order(&holdings, share, |owner| displaced.weight(owner, share, now)) {
            let is_own = self.number == Some(numbers[place]);
            if part.is_some() && (is_own || bytes >= enough || holdings[place].behind_ms <= 0) {
                break;
            }
            let Some(holder) = by_number.remove(&numbers[place]) else { continue };
            self.budget.release(&holder);
            // Its address is not one that takes room without using it.
            if !holdings[place].steady {
                displaced.note(holdings[place].owner, now);
            }
            bytes += use_of(&holder);
            if is_own {
                return Err(RequestRefusal::GaveWay);
            }
            part = part.or_else(|| self.take(more));
        }
        part.ok_or(RequestRefusal::BytesInFlight { bytes_max })
    }

    /// Whether the holder has bytes of this source's own part.
    fn has_own_of(&self, holder: &Holder) -> bool {
        holder.own_bytes > 0 && Arc::ptr_eq(&holder.own, self.own)
    }
}

fn take(reserved: &AtomicUsize, more: usize, bytes_max: usize) -> bool {
    let grown = |reserved: usize| reserved.checked_add(more).filter(|sum| *sum <= bytes_max);
    reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok()
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        match self.number {
            None => {
                self.own.fetch_sub(self.own_bytes, Ordering::Relaxed);
                self.budget.reserved.fetch_sub(self.bytes - self.own_bytes, Ordering::Relaxed);
            }
            Some(number) => {
                if let Some(holder) = self.budget.lock().by_number.remove(&number) {
                    self.budget.release(&holder);
                }
            }
        }
    }
}
