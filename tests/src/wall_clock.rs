//! A wall clock for one process, which can be set while it runs.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::PathBuf,
    process::Command,
};

/// Shifts the wall clock of a process, and nothing that is measured by another one. What the kernel
/// knows of how right it is, and the start of the machine, can be replaced too: nothing of the machine changes.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static volatile long *shared;
static const char *boot;

__attribute__((constructor)) static void map_shared(void) {
    const char *path = getenv("WALL_CLOCK");
    int fd = path ? open(path, O_RDONLY) : -1;
    if (fd < 0) _exit(99);
    shared = mmap(0, 24, PROT_READ, MAP_SHARED, fd, 0);
    boot = getenv("WALL_CLOCK_BOOT");
    close(fd);
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = va_arg(arguments, mode_t);
    va_end(arguments);
    if (shared && shared[2] && !strcmp(path, "/proc/sys/kernel/random/boot_id")) path = boot;
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int clock_gettime(clockid_t id, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, id, time);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) time->tv_sec += shared[0];
    return result;
}

int adjtimex(struct timex *timex) {
    timex->status = shared[1] ? STA_PLL : STA_UNSYNC;
    timex->maxerror = shared[1] ? 1000 : 16000000;
    return shared[1] ? TIME_OK : TIME_ERROR;
}
"#;

/// The wall clock of processes that are started with its [variables](Self::variables).
pub struct WallClock {
    directory: tempfile::TempDir,
    shared: File,
}

impl WallClock {
    /// One that is right, and that nothing keeps.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("shim.c");
        fs::write(&source, SHIM).unwrap();
        let shim = directory.path().join("shim.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).args([&shim, &source]);
        assert!(compiler.status().expect("cc; run `cargo xtask setup`").success());
        let path = directory.path().join("shared");
        let shared = File::options().create_new(true).read(true).write(true).open(path).unwrap();
        shared.set_len(24).unwrap();
        fs::write(directory.path().join("boot"), "another-start").unwrap();
        Self { directory, shared }
    }

    /// Sets it so many seconds ahead of the right time, or behind.
    pub fn set(&self, seconds: i64) {
        self.shared.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }

    /// Says whether something keeps it.
    pub fn synchronise(&self, is_kept: bool) {
        self.shared.write_all_at(&i64::from(is_kept).to_ne_bytes(), 8).unwrap();
    }

    /// The processes to come are those of another start of the machine, or of this one.
    pub fn reboot(&self, is_another: bool) {
        self.shared.write_all_at(&i64::from(is_another).to_ne_bytes(), 16).unwrap();
    }

    /// What a process needs in its environment.
    pub fn variables(&self) -> Vec<(String, String)> {
        let path = |name: &str| -> String {
            let path: PathBuf = self.directory.path().join(name);
            path.to_str().unwrap().to_owned()
        };
        [("LD_PRELOAD", "shim.so"), ("WALL_CLOCK", "shared"), ("WALL_CLOCK_BOOT", "boot")]
            .map(|(variable, name)| (variable.to_owned(), path(name)))
            .to_vec()
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new()
    }
}
