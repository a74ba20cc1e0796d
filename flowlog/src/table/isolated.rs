//! Work on files of others, which may be damaged in any way: a panic of a library is an error of the
//! file, and not the end of the command.

use std::{cell::Cell, panic, sync::Once};

thread_local! {
    static IS_ISOLATED: Cell<bool> = const { Cell::new(false) };
}

/// A library panicked.
#[derive(Debug)]
pub struct Panicked;

/// Does some work; a panic of it is not printed.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |about| {
            if !IS_ISOLATED.get() {
                print(about);
            }
        }));
    });
    let was = IS_ISOLATED.replace(true);
    let outcome = panic::catch_unwind(panic::AssertUnwindSafe(work));
    IS_ISOLATED.set(was);
    outcome.map_err(|_| Panicked)
}

/// Does some work on a thread of its own; a panic of it is not printed.
pub async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Panicked> {
    tokio::task::spawn_blocking(|| catch(work)).await.unwrap_or(Err(Panicked))
}
