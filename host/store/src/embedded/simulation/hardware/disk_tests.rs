//! The simulated disk loses what it should and keeps what was synced.

use std::collections::BTreeSet;
use std::path::Path;

use crate::embedded::platform::disk::{Disk, make_folders};

use super::disk::{NO_SPACE, SimDisk};

fn read(disk: &SimDisk, path: &Path) -> Option<Vec<u8>> {
    let file = disk.open(path).ok()?;
    let mut out = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_at(&mut out, 0).unwrap();
    Some(out)
}

#[test]
fn a_power_cut_removes_folders_whose_names_were_not_synced() {
    let (outer, inner) = (Path::new("/d"), Path::new("/d/e"));
    for synced in [false, true] {
        let disk = SimDisk::new(1);
        if synced {
            make_folders(&disk, inner).unwrap();
        } else {
            assert!(disk.make_folder(inner).is_err(), "it has no parent");
            assert!(disk.make_folder(outer).unwrap() && disk.make_folder(inner).unwrap());
        }
        let file = disk.create(&inner.join("f")).unwrap();
        file.write_all_at(&[1; 16], 0).unwrap();
        file.sync().unwrap();
        disk.sync_folder(inner).unwrap();
        disk.cut_power();
        assert_eq!(read(&disk, &inner.join("f")).is_some(), synced);
        assert_eq!(disk.make_folder(outer).unwrap(), !synced);
    }
}

#[test]
fn a_power_cut_keeps_what_was_synced_and_any_part_of_the_rest() {
    let path = Path::new("/d/f");
    let mut ends = BTreeSet::new();
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let file = disk.create(path).unwrap();
        file.write_all_at(&[1; 1_024], 0).unwrap();
        file.sync().unwrap();
        disk.sync_folder(Path::new("/d")).unwrap();
        file.write_all_at(&[2; 1_024], 512).unwrap();
        assert!(disk.is_durable(path, 512) && !disk.is_durable(path, 513));
        disk.cut_power();
        let left = read(&disk, path).unwrap();
        assert!(left.len() >= 1_024 && left[..512] == [1; 512], "seed {seed}");
        ends.insert((left.len() > 1_024, left[512], left.last().copied()));
    }
    assert!(ends.len() > 4, "{ends:?}");
}

#[test]
fn an_unsynced_name_may_be_lost_and_a_rename_is_atomic() {
    let (a, b) = (Path::new("/d/a"), Path::new("/d/b"));
    let mut ends = BTreeSet::new();
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        disk.create(a).unwrap().sync().unwrap();
        disk.sync_folder(Path::new("/d")).unwrap();
        disk.rename(a, b).unwrap();
        disk.cut_power();
        ends.insert((read(&disk, a).is_some(), read(&disk, b).is_some()));
    }
    assert_eq!(ends, BTreeSet::from([(true, false), (false, true)]));
}

#[test]
fn after_a_failed_sync_the_next_one_succeeds_without_the_lost_sectors() {
    let path = Path::new("/d/f");
    let mut lost = 0;
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let file = disk.create(path).unwrap();
        disk.sync_folder(Path::new("/d")).unwrap();
        disk.plan(|faults| faults.bad_syncs = 1);
        file.write_all_at(&[3; 512], 0).unwrap();
        assert!(file.sync().is_err() && file.sync().is_ok());
        lost += usize::from(!disk.is_durable(path, 512));
    }
    assert!(lost > 10, "{lost}");
}

#[test]
fn a_full_disk_takes_what_needs_no_growth() {
    let disk = SimDisk::new(1);
    let file = disk.create(Path::new("/d/f")).unwrap();
    file.write_all_at(&[1; 8], 0).unwrap();
    disk.plan(|faults| faults.full = Some(NO_SPACE));
    file.write_all_at(&[2; 8], 0).unwrap();
    let refused = file.write_all_at(&[3; 8], 4).unwrap_err();
    assert_eq!((refused.raw_os_error(), file.len().unwrap()), (Some(NO_SPACE), 8));
}

#[test]
fn a_late_rename_takes_effect_and_after_the_last_change_only_reads_succeed() {
    let (a, b) = (Path::new("/d/a"), Path::new("/d/b"));
    let disk = SimDisk::new(1);
    let file = disk.create(a).unwrap();
    file.write_all_at(&[1; 8], 0).unwrap();
    disk.plan(|faults| faults.late_renames = 1);
    assert!(disk.rename(a, b).is_err() && read(&disk, a).is_none());
    disk.plan(|faults| faults.changes_left = Some(1));
    disk.rename(b, a).unwrap();
    assert!(disk.remove(a).is_err() && file.write_all_at(&[2; 8], 0).is_err());
    assert!(file.sync().is_err() && file.truncate(0).is_err());
    assert_eq!(read(&disk, a).unwrap(), [1; 8]);
    disk.restart();
    disk.remove(a).unwrap();
}
