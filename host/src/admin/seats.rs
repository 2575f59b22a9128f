//! Who is connected to the admin socket, and which connection gives way to a new one.
//!
//! The process that holds most loses first: its oldest connection that waits for the rest of its request, else the
//! oldest whose client has not read its answer or follows `tail`. A command that has begun is never interrupted; so
//! the last [`COMMANDS_RESERVED`] commands at once are for processes that run none yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::{COMMANDS_RESERVED, CONNECTIONS_MAX, CONNECTIONS_PER_PEER_MAX};

/// The process at the other end: user and process id. Processes that the kernel cannot name share one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Peer {
    pub(super) user: u32,
    pub(super) process: i32,
}

/// What a connection is doing, in the order in which connections give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Waits for its request: its head or its body is not complete.
    Waiting,
    /// The answer is being sent.
    Answering,
    /// The command has begun, and is not interrupted.
    Working,
}

/// The open connections.
#[derive(Default)]
pub(super) struct Seats {
    open: Mutex<Open>,
    /// Rung when a connection ends or can give way.
    changed: Notify,
}

#[derive(Default)]
struct Open {
    next: u64,
    by_number: HashMap<u64, Connection>,
}

struct Connection {
    peer: Peer,
    phase: Phase,
    /// `None` for the moment before the task starts.
    task: Option<AbortHandle>,
}

/// The place of one connection; free again when dropped.
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: u64,
}

impl Seats {
    /// A seat for a new connection of `peer`; `None` if commands of the same process have all of its seats. Waits
    /// only while all connections run commands.
    pub(super) async fn take(self: &Arc<Self>, peer: Peer) -> Option<Seat> {
        loop {
            let changed = self.changed.notified();
            let taken = self.lock().take(peer);
            match taken {
                Taken::Seat(number) => return Some(Seat { seats: Arc::clone(self), number }),
                Taken::PeerFull => return None,
                Taken::Full => changed.await,
            }
        }
    }

    /// Sets the task that is aborted when the connection gives way. A connection that has ended has no seat any more.
    pub(super) fn served_by(&self, number: u64, task: AbortHandle) {
        if let Some(connection) = self.lock().by_number.get_mut(&number) {
            connection.task = Some(task);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a command may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    Yes,
    /// The connection has given way to another.
    GaveWay,
    /// Its process runs others, and the rest of the room is for other processes.
    TooMany,
}

/// Whether there was room.
enum Taken {
    Seat(u64),
    PeerFull,
    Full,
}

impl Open {
    fn take(&mut self, peer: Peer) -> Taken {
        let held = self.by_number.values().filter(|connection| connection.peer == peer).count();
        if held >= CONNECTIONS_PER_PEER_MAX {
            if self.close_one(Some(peer)).is_none() {
                return Taken::PeerFull;
            }
        } else if self.by_number.len() >= CONNECTIONS_MAX && self.close_one(None).is_none() {
            return Taken::Full;
        }
        let number = self.next;
        self.next += 1;
        let connection = Connection { peer, phase: Phase::Waiting, task: None };
        self.by_number.insert(number, connection);
        Taken::Seat(number)
    }

    /// Closes one connection, of `peer` if given; `None` if none can give way.
    fn close_one(&mut self, peer: Option<Peer>) -> Option<()> {
        let mut held = HashMap::<Peer, usize>::new();
        for connection in self.by_number.values() {
            *held.entry(connection.peer).or_default() += 1;
        }
        let can_give_way = |connection: &Connection| {
            connection.phase != Phase::Working
                && connection.task.is_some()
                && peer.is_none_or(|peer| connection.peer == peer)
        };
        let others = self.by_number.iter().filter(|(_, connection)| can_give_way(connection));
        let (&number, _) = others.min_by_key(|(number, connection)| {
            let most_first = usize::MAX - held[&connection.peer];
            (most_first, connection.phase, **number)
        })?;
        // Without its entry it cannot begin a command any more.
        if let Some(task) = self.by_number.remove(&number).and_then(|closed| closed.task) {
            task.abort();
        }
        Some(())
    }

    /// Whether one more command of `peer` leaves room for those of other processes.
    fn may_run_another(&self, peer: Peer) -> bool {
        let working = || self.by_number.values().filter(|c| c.phase == Phase::Working);
        working().count() < CONNECTIONS_MAX - COMMANDS_RESERVED || working().all(|c| c.peer != peer)
    }

    fn enter(&mut self, number: u64, phase: Phase) {
        if let Some(connection) = self.by_number.get_mut(&number) {
            connection.phase = phase;
        }
    }
}

impl Seat {
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// The request is complete, and its command begins if it may.
    pub(super) fn begin(&self) -> Begun {
        let mut open = self.seats.lock();
        let Some(connection) = open.by_number.get(&self.number) else { return Begun::GaveWay };
        if !open.may_run_another(connection.peer) {
            return Begun::TooMany;
        }
        open.enter(self.number, Phase::Working);
        Begun::Yes
    }

    /// The command is done, and its answer is sent from now on.
    pub(super) fn answer(&self) {
        self.seats.lock().enter(self.number, Phase::Answering);
        self.seats.changed.notify_waiters();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.lock().by_number.remove(&self.number);
        self.seats.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn peer(process: i32) -> Peer {
        Peer { user: 0, process }
    }

    /// A seat with a task that runs until it is aborted.
    async fn seated(seats: &Arc<Seats>, process: i32) -> Seat {
        let seat = seats.take(peer(process)).await.unwrap();
        let task = tokio::spawn(std::future::pending::<()>());
        seats.served_by(seat.number(), task.abort_handle());
        seat
    }

    async fn several(seats: &Arc<Seats>, process: i32, count: usize) -> Vec<Seat> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(seated(seats, process).await);
        }
        all
    }

    fn open(seats: &[Seat]) -> Vec<usize> {
        let is_open = |seat: &Seat| seat.seats.lock().by_number.contains_key(&seat.number);
        (0..seats.len()).filter(|place| is_open(&seats[*place])).collect()
    }

    #[tokio::test]
    async fn the_oldest_of_a_process_gives_way_to_its_own_new_ones() {
        let seats = Arc::<Seats>::default();
        let other = several(&seats, 2, 1).await;
        let mine = several(&seats, 1, 200).await;
        let newest: Vec<_> = (200 - CONNECTIONS_PER_PEER_MAX..200).collect();
        assert_eq!(open(&mine), newest);
        assert_eq!(open(&other), [0]);
    }

    #[tokio::test]
    async fn the_process_that_holds_most_makes_room_and_commands_are_not_interrupted() {
        let seats = Arc::<Seats>::default();
        let few = several(&seats, 1, 3).await;
        let many = several(&seats, 2, CONNECTIONS_PER_PEER_MAX).await;
        let rest = CONNECTIONS_MAX - few.len() - many.len();
        let others = several(&seats, 3, rest).await;
        assert_eq!([many[0].begin(), many[1].begin()], [Begun::Yes; 2]);
        many[1].answer();
        let new = seated(&seats, 4).await;
        // The first runs a command and the second has an answer to send.
        assert!(!open(&many).contains(&2), "{:?}", open(&many));
        assert_eq!(open(&many).len(), many.len() - 1);
        assert_eq!((open(&few).len(), open(&others).len()), (few.len(), rest));
        assert_eq!(many[2].begin(), Begun::GaveWay);
        assert_eq!(seats.lock().by_number.len(), CONNECTIONS_MAX);
        drop(new);
    }

    /// As many seats of a process as there are, all with a command if it may run; how many do.
    async fn busy(seats: &Arc<Seats>, process: i32, all: &mut Vec<Seat>) -> usize {
        let mine = several(seats, process, CONNECTIONS_PER_PEER_MAX).await;
        let running = mine.iter().filter(|seat| seat.begin() == Begun::Yes).count();
        all.extend(mine);
        running
    }

    #[tokio::test]
    async fn two_processes_with_many_commands_keep_no_third_waiting() {
        let seats = Arc::<Seats>::default();
        let mut all = Vec::new();
        assert_eq!(busy(&seats, 1, &mut all).await, CONNECTIONS_PER_PEER_MAX);
        assert!(seats.take(peer(1)).await.is_none(), "one process cannot make others wait");
        let rest = CONNECTIONS_MAX - COMMANDS_RESERVED - CONNECTIONS_PER_PEER_MAX;
        assert_eq!(busy(&seats, 2, &mut all).await, rest);
        let third = seated(&seats, 3).await;
        assert_eq!(third.begin(), Begun::Yes);
        let more = seated(&seats, 3).await;
        assert_eq!(more.begin(), Begun::TooMany);
        all[7].answer();
        assert_eq!(more.begin(), Begun::TooMany, "the third has taken a place of the reserve");
        all[8].answer();
        assert_eq!(more.begin(), Begun::Yes);
    }

    #[tokio::test]
    async fn a_new_one_waits_while_all_run_commands_until_one_is_done() {
        let seats = Arc::<Seats>::default();
        let mut all = Vec::new();
        let many = busy(&seats, 1, &mut all).await + busy(&seats, 2, &mut all).await;
        for process in 0..i32::try_from(CONNECTIONS_MAX - many).unwrap() {
            let seat = seated(&seats, 3 + process).await;
            assert_eq!(seat.begin(), Begun::Yes);
            all.push(seat);
        }
        let waiting = tokio::spawn({
            let seats = Arc::clone(&seats);
            async move { seated(&seats, 1_000).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        all[7].answer();
        let new = waiting.await.unwrap();
        assert!(!open(&all).contains(&7) && open(&[new]) == [0]);
    }
}
