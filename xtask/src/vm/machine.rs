//! A virtual machine, from its start to its verdict.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use super::kernel::Kernel;

/// Comes before the number of test binaries that failed, as the last that a machine says.
pub const MARKER: &str = "flowlog-tests-failed:";

/// A machine that has not ended by then hangs.
const TIME_LIMIT: Duration = Duration::from_mins(25);
const MEMORY: &str = "2G";

/// Boots a kernel, prints what it says, and fails unless its tests passed.
///
/// Once more where the emulator failed rather than the kernel.
pub fn run(kernel: &Kernel, initramfs: &Path) -> anyhow::Result<()> {
    let heard = boot(kernel, initramfs)?;
    if heard.met_a_breakpoint {
        println!("the emulator ran an instruction that the kernel was patching; once more");
        return boot(kernel, initramfs)?.verdict();
    }
    heard.verdict()
}

fn boot(kernel: &Kernel, initramfs: &Path) -> anyhow::Result<Heard> {
    let files = Files::share(&kernel.directory)?;
    let mut machine = Started(qemu(kernel, initramfs, &files.socket).spawn()?);
    let console = machine.0.stdout.take().context("the machine has no console")?;
    let (say, said) = mpsc::channel();
    std::thread::spawn(move || {
        // The console is no UTF-8 while a machine dies.
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            if say.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                return;
            }
        }
    });
    let limit = Instant::now() + TIME_LIMIT;
    let mut heard = Heard::default();
    loop {
        match said.recv_timeout(limit.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                println!("  {line}");
                heard.hear(&line);
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(heard),
            Err(RecvTimeoutError::Timeout) => bail!(
                "the machine has not ended after {} s, and was stopped; \
                 the last line above is what it was doing",
                TIME_LIMIT.as_secs()
            ),
        }
    }
}

/// What a console said that matters.
#[derive(Default)]
struct Heard {
    failed: Option<u32>,
    has_panicked: bool,
    /// The kernel patches its own code behind a breakpoint, which another processor must not meet
    /// once it is gone; an emulated one may. No code of ours has breakpoints.
    met_a_breakpoint: bool,
}

impl Heard {
    fn hear(&mut self, line: &str) {
        if let Some(failed) = line.strip_prefix(MARKER) {
            // A number that cannot be read is no verdict.
            self.failed = failed.trim().parse().ok();
        }
        self.has_panicked |= line.contains("Kernel panic");
        self.met_a_breakpoint |= line.contains("Oops: int3:");
    }

    fn verdict(&self) -> anyhow::Result<()> {
        match self.failed {
            _ if self.has_panicked => bail!("the machine's kernel panicked, see above"),
            None => bail!("the machine ended without a verdict, see above"),
            Some(0) => Ok(()),
            Some(failed) => bail!("{failed} of the test binaries failed, see above"),
        }
    }
}

/// Emulated, so that the outcome does not depend on who else uses the processor's virtualisation.
fn qemu(kernel: &Kernel, initramfs: &Path, files: &Path) -> Command {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"])
        .args(["-machine", "q35,memory-backend=memory", "-accel", "tcg,thread=multi"])
        .args(["-cpu", "max", "-smp", "2", "-m", MEMORY])
        // Memory that whoever serves the files can reach.
        .arg("-object")
        .arg(format!("memory-backend-memfd,id=memory,size={MEMORY},share=on"))
        .arg("-chardev")
        .arg(format!("socket,id=files,path={}", files.display()))
        .args(["-device", "vhost-user-fs-pci,chardev=files,tag=host"])
        .arg("-kernel")
        .arg(kernel.image())
        .arg("-initrd")
        .arg(initramfs)
        // Whatever goes wrong in the kernel ends the machine.
        .args(["-append", "console=ttyS0 quiet loglevel=4 oops=panic panic=-1 nowatchdog"])
        .arg("-no-reboot")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    qemu
}

/// The host's files, as a machine sees them.
struct Files {
    socket: PathBuf,
    _server: Started,
}

impl Files {
    fn share(directory: &Path) -> anyhow::Result<Self> {
        let program = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"]
            .into_iter()
            .find(|path| Path::new(path).is_file())
            .context("virtiofsd is missing; install it (Debian 12: qemu-system-common)")?;
        // The path of a socket must be short, which that of the workspace may not be.
        let socket = std::env::temp_dir().join(format!("flowlog-vm-{}.sock", std::process::id()));
        let log = directory.join("virtiofsd.log");
        let mut server = Started(
            Command::new(program)
                .arg(format!("--socket-path={}", socket.display()))
                .args(["-o", "source=/", "-o", "sandbox=chroot", "-o", "cache=always"])
                .stdin(Stdio::null())
                .stdout(fs::File::create(&log)?)
                .stderr(fs::File::options().append(true).open(&log)?)
                .spawn()
                .with_context(|| format!("cannot start {program}"))?,
        );
        let patience = Instant::now() + Duration::from_secs(20);
        while !socket.exists() {
            let is_running = server.0.try_wait()?.is_none();
            ensure!(
                is_running && Instant::now() < patience,
                "{program} does not start; see {}",
                log.display()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { socket, _server: server })
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.socket) {
            eprintln!("{} stays: {error}", self.socket.display());
        }
    }
}

/// A process that ends with us.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        // One that has ended is not there to be killed any more.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(|_| ()).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(lines: &[&str]) -> Result<(), String> {
        let mut heard = Heard::default();
        for line in lines {
            heard.hear(line);
        }
        heard.verdict().map_err(|error| error.to_string())
    }

    #[test]
    fn only_a_machine_that_says_so_has_passed() {
        assert_eq!(verdict(&["test a ... ok", "flowlog-tests-failed: 0", "Resetting"]), Ok(()));
        for (lines, reason) in [
            (&["test a ... ok"][..], "without a verdict"),
            (&[], "without a verdict"),
            (&["flowlog-tests-failed: "], "without a verdict"),
            (&["flowlog-tests-failed: 2"], "2 of the test binaries failed"),
            (&["[ 9.1] Kernel panic - not syncing"], "panicked"),
            (&["Kernel panic - not syncing", "flowlog-tests-failed: 0"], "panicked"),
        ] {
            let said = verdict(lines).unwrap_err();
            assert!(said.contains(reason), "{lines:?}: {said}");
        }
    }
}
