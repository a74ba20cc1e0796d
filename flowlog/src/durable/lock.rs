//! The right to use something alone.

use std::{fs::File, io};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::stat::{FileStat, fstat},
};

use super::is_same;

/// The lock of a file or of a directory, until it is dropped. The kernel gives it back when the process
/// ends, however it does.
#[derive(Debug)]
pub(crate) struct Lock(Flock<File>);

/// Why there is no lock.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Somebody has it.
    Held,
    /// It cannot be asked for.
    Failed(io::Error),
}

impl Lock {
    /// Takes the lock of what is open, and waits for nobody.
    pub(crate) fn take(file: File) -> Result<Self, Refusal> {
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map(Self).map_err(|(_, error)| {
            match error {
                Errno::EWOULDBLOCK => Refusal::Held,
                error => Refusal::Failed(error.into()),
            }
        })
    }

    /// Whether it is the lock of what was found by a name: whoever had it before may have removed that, and
    /// somebody else have made another.
    pub(crate) fn is_of(&self, found: &FileStat) -> io::Result<bool> {
        Ok(is_same(&fstat(&*self.0)?, found))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{create_file, look, open_directory, remove_file},
        *,
    };

    #[test]
    fn a_lock_has_one_holder_at_a_time_and_is_of_the_file_that_was_opened() {
        let directory = tempfile::tempdir().unwrap();
        let root = open_directory(directory.path()).unwrap();
        let file = create_file(&root, "lock").unwrap();
        let again = || File::open(directory.path().join("lock")).unwrap();
        // A descriptor of the same opening keeps nothing once the lock is dropped.
        let copy = file.try_clone().unwrap();
        let lock = Lock::take(file).unwrap();
        assert!(matches!(Lock::take(again()), Err(Refusal::Held)));
        assert!(lock.is_of(&look(&root, "lock").unwrap().unwrap()).unwrap());
        remove_file(&root, "lock").unwrap();
        create_file(&root, "lock").unwrap();
        assert!(!lock.is_of(&look(&root, "lock").unwrap().unwrap()).unwrap());
        let other = Lock::take(again()).unwrap();
        drop((lock, other, copy));
        Lock::take(again()).unwrap();
    }
}
