//! Time, memory and context switches of a process, from `/proc`.

use std::collections::BTreeMap;
use std::io;
use std::iter::Sum;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

/// Most generations of children that are followed.
const GENERATIONS_MAX: u8 = 8;

/// User and system time of a process and its children so far, including children that have ended.
pub(crate) fn cpu_time(process: u32) -> io::Result<Duration> {
    sum(process, |id| stat_time(id, 11..=14))
}

/// User and system time of this process alone.
pub(crate) fn own_cpu_time() -> io::Result<Duration> {
    stat_time(std::process::id(), 11..=12)
}

/// Resident memory of a process and its children.
pub(crate) fn resident_bytes(process: u32) -> io::Result<u64> {
    let of = |id| Ok(status_field(Path::new(&format!("/proc/{id}/status")), "VmRSS:")? * 1024);
    sum(process, of)
}

/// Over a process and its children; a child that has just ended counts as nothing.
fn sum<T: Sum + Default>(process: u32, of: impl Fn(u32) -> io::Result<T>) -> io::Result<T> {
    let own = of(process)?;
    let children = family(process).into_iter().skip(1).map(|id| of(id).unwrap_or_default());
    Ok([own].into_iter().chain(children).sum())
}

/// Some of the times of `/proc/ID/stat`, all threads together.
fn stat_time(process: u32, fields: RangeInclusive<usize>) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may hold spaces; the field after it is number 0.
    let values: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks: u64 = fields.filter_map(|at| values.get(at)?.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
}

/// Context switches so far, voluntary or not, of each thread by its number.
#[derive(Debug, Default)]
pub(crate) struct Switches(BTreeMap<u32, u64>);

impl Switches {
    pub(crate) fn of(process: u32) -> io::Result<Self> {
        let mut threads = BTreeMap::new();
        for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
            let path = thread?.path();
            let name = path.file_name().and_then(|name| name.to_str()?.parse().ok());
            let status = path.join("status");
            let fields = ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"];
            // The files of a thread that has just ended are gone.
            let sum = fields.iter().filter_map(|field| status_field(&status, field).ok()).sum();
            threads.extend(name.map(|name: u32| (name, sum)));
        }
        Ok(Self(threads))
    }

    /// Those since `before`. A thread that has ended takes its count with it, so the sums could even
    /// decrease.
    pub(crate) fn since(&self, before: &Self) -> u64 {
        let before = |thread| before.0.get(thread).copied().unwrap_or(0);
        self.0.iter().map(|(thread, count)| count.saturating_sub(before(thread))).sum()
    }
}

/// Processor, memory and kernel of this machine, as one phrase.
pub(crate) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let memory = status_field(Path::new("/proc/meminfo"), "MemTotal:").unwrap_or(0) / (1024 * 1024);
    let kernel = read("/proc/sys/kernel/osrelease");
    let model = model.map_or("an unknown processor", |(_, model)| model);
    format!("{model}, {memory} GiB, Linux {}", kernel.trim())
}

fn status_field(status: &Path, field: &str) -> io::Result<u64> {
    let text = std::fs::read_to_string(status)?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("{} has no {field}", status.display())))
}

/// Whether a process that it started still runs.
pub(crate) fn has_children(process: u32) -> bool {
    !children(process).is_empty()
}

/// The process and all processes below it.
fn family(process: u32) -> Vec<u32> {
    let mut all = vec![process];
    let mut parents = all.clone();
    for _ in 0..GENERATIONS_MAX {
        parents = parents.into_iter().flat_map(children).collect();
        all.extend(&parents);
    }
    all
}

/// Those of every thread; none if the kernel does not list them.
fn children(process: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    let lists = threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let numbers = |list: String| -> Vec<u32> {
        list.split_whitespace().filter_map(|number| number.parse().ok()).collect()
    };
    lists.flat_map(numbers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_switches() {
        let own = std::process::id();
        assert!(resident_bytes(own).unwrap() > 1024 * 1024);
        assert!(Switches::of(own).unwrap().since(&Switches::default()) > 0);
        cpu_time(own).unwrap();
        own_cpu_time().unwrap();
    }

    #[test]
    fn a_thread_that_has_ended_does_not_hide_switches_of_others() {
        let before = Switches([(1, 100), (2, 50)].into());
        let after = Switches([(2, 57), (3, 4)].into());
        assert_eq!(after.since(&before), 11);
    }

    #[test]
    fn a_child_belongs_to_the_family_of_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(family(std::process::id()).contains(&child.id()));
        assert!(has_children(std::process::id()) && !has_children(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
