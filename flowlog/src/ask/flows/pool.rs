//! Jobs that several threads do, whose results are taken in the order of the jobs.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use crate::table::isolated::{self, Panicked};

/// Results that wait for an earlier one, for each thread.
const AHEAD: usize = 4;

/// Does jobs on so many threads, and takes their results in order, until that breaks off. No more results wait than
/// a few for each thread, however many jobs there are.
pub(in crate::ask) fn in_order<'j, J: Sync, T: Send>(
    threads: usize,
    jobs: &'j [J],
    work: impl Fn(&J) -> T + Sync,
    mut take: impl FnMut(&'j J, T) -> ControlFlow<()>,
) -> Result<(), Panicked> {
    let threads = threads.min(jobs.len());
    if threads <= 1 {
        for job in jobs {
            if take(job, isolated::catch(|| work(job))?).is_break() {
                break;
            }
        }
        return Ok(());
    }
    let queue = Queue {
        state: Mutex::default(),
        changed: Condvar::new(),
        ahead: threads * AHEAD,
        jobs: jobs.len(),
    };
    let work_on = |number: usize| {
        if let Some(job) = jobs.get(number) {
            queue.finish(number, isolated::catch(|| work(job)));
        }
    };
    thread::scope(|scope| {
        // Whoever takes the results is one of the threads.
        for _ in 1..threads {
            scope.spawn(|| {
                while let Some(number) = queue.next() {
                    work_on(number);
                }
            });
        }
        let mut outcome = Ok(());
        for (number, job) in jobs.iter().enumerate() {
            let result = loop {
                match queue.result_or_job(number) {
                    Next::Result(result) => break result,
                    Next::Job(other) => work_on(other),
                }
            };
            match result {
                Ok(result) => {
                    if take(job, result).is_break() {
                        break;
                    }
                }
                Err(panicked) => {
                    outcome = Err(panicked);
                    break;
                }
            }
        }
        queue.stop();
        outcome
    })
}

/// What whoever takes the results has to do.
enum Next<T> {
    Result(Result<T, Panicked>),
    Job(usize),
}

struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    ahead: usize,
    jobs: usize,
}

struct State<T> {
    next: usize,
    taken: usize,
    done: BTreeMap<usize, Result<T, Panicked>>,
    is_over: bool,
}

impl<T> Default for State<T> {
    fn default() -> Self {
        Self { next: 0, taken: 0, done: BTreeMap::new(), is_over: false }
    }
}

impl<T> Queue<T> {
    /// The number of the next job, when its result will not have to wait for long; `None` where there is no more.
    fn next(&self) -> Option<usize> {
        let mut state = self.lock();
        while !state.is_over && state.next < self.jobs && state.next >= state.taken + self.ahead {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.begin(&mut state)
    }

    fn begin(&self, state: &mut State<T>) -> Option<usize> {
        let number = Some(state.next).filter(|next| *next < self.jobs && !state.is_over);
        state.next += usize::from(number.is_some());
        number
    }

    fn finish(&self, number: usize, result: Result<T, Panicked>) {
        self.lock().done.insert(number, result);
        self.changed.notify_all();
    }

    /// The result of a job when there is one; before that, another job if one can begin.
    fn result_or_job(&self, number: usize) -> Next<T> {
        let mut state = self.lock();
        loop {
            if let Some(result) = state.done.remove(&number) {
                state.taken = number + 1;
                self.changed.notify_all();
                return Next::Result(result);
            }
            if state.next < state.taken + self.ahead
                && let Some(job) = self.begin(&mut state)
            {
                return Next::Job(job);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn stop(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    fn doubled(threads: usize, jobs: usize, most: usize) -> Vec<usize> {
        let jobs: Vec<usize> = (0..jobs).collect();
        let mut taken = vec![];
        let work = |job: &usize| {
            thread::sleep(std::time::Duration::from_micros((job * 7 % 5) as u64 * 100));
            job * 2
        };
        in_order(threads, &jobs, work, |_, result| {
            taken.push(result);
            if taken.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .unwrap();
        taken
    }

    #[test]
    fn results_are_taken_in_the_order_of_the_jobs_until_there_are_enough() {
        for threads in [0, 1, 2, 7] {
            let expected: Vec<usize> = (0..100).map(|job| job * 2).collect();
            assert_eq!(doubled(threads, 100, usize::MAX), expected);
            assert_eq!(doubled(threads, 100, 3), [0, 2, 4]);
            assert_eq!(doubled(threads, 0, 1), [] as [usize; 0]);
        }
    }

    #[test]
    fn few_results_wait_however_slow_they_are_taken() {
        let jobs: Vec<usize> = (0..200).collect();
        let (begun, mut most) = (AtomicUsize::new(0), 0);
        let work = |_: &usize| begun.fetch_add(1, SeqCst);
        in_order(2, &jobs, work, |job, _| {
            thread::sleep(std::time::Duration::from_micros(200));
            most = most.max(begun.load(SeqCst) - job);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(most <= 2 * AHEAD + 2, "{most}");
    }

    #[test]
    fn a_panic_of_a_job_is_an_error_and_not_a_pause() {
        let jobs: Vec<usize> = (0..20).collect();
        for threads in [1, 3] {
            let work = |job: &usize| assert_ne!(*job, 11);
            let mut taken = 0;
            let outcome = in_order(threads, &jobs, work, |_, ()| {
                taken += 1;
                ControlFlow::Continue(())
            });
            assert!(outcome.is_err());
            assert_eq!(taken, 11);
        }
    }
}
