//! A server at a socket that gives a good answer, or a hostile one.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use flowlog::record::clock;

/// Whoever must not be named.
pub const NAME: &str = "Lovelace";

/// What it does instead of an answer.
#[derive(Clone, Copy)]
pub enum Lie {
    /// Half of it, and then nothing.
    Stops,
    /// Lines without an end.
    Floods,
    /// Half of it, and the end.
    Ends,
}

/// A server, until it is dropped.
pub struct Liar {
    socket: PathBuf,
    is_lying: Arc<AtomicBool>,
}

impl Liar {
    pub fn new(socket: PathBuf, lie: Lie, good: fn() -> String) -> Self {
        fs::remove_file(&socket).unwrap_or_default();
        let listener = UnixListener::bind(&socket).unwrap();
        let is_lying = Arc::new(AtomicBool::new(false));
        let lies = Arc::clone(&is_lying);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let lie = lies.load(Ordering::Relaxed).then_some(lie);
                // Who asks may be gone before the end.
                thread::spawn(move || answer(stream, lie, &good()).unwrap_or_default());
            }
        });
        Self { socket, is_lying }
    }

    pub fn lie(&self, is_lying: bool) {
        self.is_lying.store(is_lying, Ordering::Relaxed);
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        fs::remove_file(&self.socket).unwrap_or_default();
    }
}

fn answer(mut stream: UnixStream, lie: Option<Lie>, good: &str) -> std::io::Result<()> {
    let mut question = [0; 64];
    let _length = stream.read(&mut question)?;
    let half = &good.as_bytes()[..good.len() / 2];
    match lie {
        None => stream.write_all(good.as_bytes()),
        Some(Lie::Ends) => stream.write_all(half),
        Some(Lie::Stops) => {
            stream.write_all(half)?;
            thread::sleep(Duration::from_secs(10));
            Ok(())
        }
        Some(Lie::Floods) => {
            let lines = ">LOG=of a flood\n".repeat(1 << 12);
            loop {
                stream.write_all(lines.as_bytes())?;
            }
        }
    }
}

/// An answer of WireGuard in user space, with a field of a later version.
pub fn uapi() -> String {
    let now = clock::now().ms() / 1_000;
    let key = "07".repeat(32);
    format!(
        "private_key={key}\nlisten_port=51820\npublic_key={key}\ncolour=blue\nlast_handshake_time_sec={now}\nlast_handshake_time_nsec=5\nallowed_ip=10.66.0.1/32\nerrno=0\n\n"
    )
}

/// A status of OpenVPN, with a column of a later version.
pub fn status(separator: char) -> String {
    let now = clock::now().ms() / 1_000;
    let lines = format!(
        "TITLE|OpenVPN\nTIME|now|{now}\n\
         HEADER|CLIENT_LIST|Common Name|Real Address|Virtual Address|Virtual IPv6 Address|Bytes Received|Bytes Sent|Connected Since|Connected Since (time_t)|Shoe Size\n\
         CLIENT_LIST|{NAME}|192.0.2.7:1194|10.66.0.2||1|2|now|1795820002|38\nEND\n"
    );
    lines.replace('|', &separator.to_string())
}
