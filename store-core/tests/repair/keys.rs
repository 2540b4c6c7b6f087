//! Key slots: nobody is locked out.

use crate::damaged::Harm;
use crate::disk::Disk;
use crate::tiny::{Folders, open};
use crate::tricky::{Trick, Tricky};
use store_core::backend::ObjectPath;
use store_core::crypto::Secret;
use store_core::error::ErrorKind;
use store_core::ops::key;
use store_core::repo::{Repo, Secrets};

fn secrets(byte: u8) -> Secrets {
    Secrets { passphrase: None, key_file: Some(Secret::take(&mut [byte; 32])) }
}

#[test]
fn of_two_who_remove_each_others_key_slot_none_leaves_a_locked_repository() {
    let (folders, disk) = (Folders::new(), Disk::new());
    let repo = crate::tiny::init(&disk, &folders.cache);
    let first = repo.slot_of(&crate::rig::secrets()).unwrap().unwrap();
    let second = key::add(&repo, &secrets(8), "second").unwrap();
    let before = disk.objects();
    let tricky = Tricky::new(&disk, Trick::AlsoDeleted(ObjectPath::Key(first)));
    let repo = Repo::open_on(tricky, &crate::tiny::options(&folders.cache), &crate::rig::secrets()).unwrap().with_index_in_memory();
    let error = key::remove(&repo, second, &crate::rig::secrets()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    let path = ObjectPath::Key(second);
    assert_eq!(disk.objects()[&path], before[&path]);
    assert!(Repo::open_on(disk, &crate::tiny::options(&folders.cache), &secrets(8)).is_ok());
}

#[test]
fn a_key_slot_that_may_not_open_is_not_the_one_that_stays() {
    let (folders, disk) = (Folders::new(), Disk::new());
    let repo = crate::tiny::init(&disk, &folders.cache);
    let own = repo.slot_of(&crate::rig::secrets()).unwrap().unwrap();
    let second = key::add(&repo, &secrets(8), "second").unwrap();
    let mut objects = disk.objects();
    Harm::Flip(-1).to(&mut objects, &ObjectPath::Key(second));
    let repo = open(&Disk::that(crate::disk::Forgets::Nothing, objects), &folders.cache).unwrap();
    assert!(key::list(&repo).unwrap().iter().all(|(_, info)| info.is_some()), "what it says in the clear can be read");
    assert_eq!(key::remove(&repo, own, &crate::rig::secrets()).unwrap_err().kind(), ErrorKind::Refused);
    key::remove(&repo, second, &crate::rig::secrets()).unwrap();
    assert_eq!(key::remove(&repo, own, &crate::rig::secrets()).unwrap_err().kind(), ErrorKind::Refused);
}
