//! A program at the management socket, which admits every client.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// Holds the socket while some work lasts, and admits whoever connects or renegotiates meanwhile.
pub fn admitting<T>(socket: &Path, work: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (holds, held) = std::sync::mpsc::channel();
        scope.spawn(|| admit(socket, &is_over, holds));
        held.recv().unwrap();
        // Also where the work fails.
        let _over = Over(&is_over);
        work()
    })
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn admit(socket: &Path, is_over: &AtomicBool, holds: std::sync::mpsc::Sender<()>) {
    let mut stream = connect(socket);
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let (mut chunk, mut text, mut holds) = ([0; 4_096], String::new(), Some(holds));
    while !is_over.load(Ordering::Relaxed) {
        match stream.read(&mut chunk) {
            Ok(0) => return,
            Ok(length) => text.push_str(std::str::from_utf8(&chunk[..length]).unwrap()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => panic!("{error}"),
        }
        // The server greets whom it serves.
        if let Some(holds) = holds.take() {
            holds.send(()).unwrap();
        }
        while let Some((line, rest)) = text.split_once('\n') {
            let request = [">CLIENT:CONNECT,", ">CLIENT:REAUTH,"]
                .iter()
                .find_map(|kind| line.strip_prefix(kind));
            if let Some((client, key)) =
                request.and_then(|request| request.trim_end().split_once(','))
            {
                writeln!(stream, "client-auth-nt {client} {key}").unwrap();
            }
            text = rest.to_owned();
        }
    }
}

/// Somebody else may ask something just now.
fn connect(socket: &Path) -> UnixStream {
    let mut connected = None;
    flowlog_tests::wait_for("the management socket", || {
        connected = UnixStream::connect(socket).ok();
        connected.is_some()
    });
    connected.unwrap()
}
