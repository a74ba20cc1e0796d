//! A WireGuard in user space, as far as its socket goes: it answers with the peers that there are, and remembers each
//! answer.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::rig::{WIREGUARD, now_ms};

/// A peer: its number, and its last handshake.
pub type Peers = BTreeMap<u32, Option<u64>>;

/// An answer that was given at an instant.
#[derive(Clone, Debug)]
pub struct Answer {
    pub at: u64,
    pub peers: Vec<u32>,
}

#[derive(Default)]
struct State {
    peers: Mutex<Peers>,
    answers: Mutex<Vec<Answer>>,
    is_over: AtomicBool,
}

/// The peers of a server, and its answers.
#[derive(Clone)]
pub struct Handle(Arc<State>);

/// The server; its socket is gone when it is dropped.
pub struct Server {
    pub handle: Handle,
    thread: Option<JoinHandle<()>>,
}

/// The address of a peer.
pub fn prefix(peer: u32) -> String {
    format!("10.3.{}.{}/32", peer / 250, peer % 250)
}

fn socket() -> PathBuf {
    format!("/var/run/wireguard/{WIREGUARD}.sock").into()
}

impl Server {
    pub fn start() -> Self {
        std::fs::create_dir_all("/var/run/wireguard").unwrap();
        std::fs::remove_file(socket()).unwrap_or_default();
        let listener = UnixListener::bind(socket()).unwrap();
        listener.set_nonblocking(true).unwrap();
        let state = Arc::new(State::default());
        let served = Arc::clone(&state);
        let serve = move || {
            while !served.is_over.load(Ordering::Relaxed) {
                match listener.accept() {
                    // One that was killed meanwhile reads no answer.
                    Ok((stream, _)) => served.answer(stream).unwrap_or_default(),
                    Err(_) => thread::sleep(Duration::from_millis(2)),
                }
            }
        };
        Self { handle: Handle(state), thread: Some(thread::spawn(serve)) }
    }
}

impl Handle {
    /// Changes the peers that there are.
    pub fn change(&self, change: impl FnOnce(&mut Peers)) {
        change(&mut self.0.peers.lock().unwrap());
    }

    /// All answers so far.
    pub fn answers(&self) -> Vec<Answer> {
        self.0.answers.lock().unwrap().clone()
    }
}

impl State {
    fn answer(&self, mut stream: UnixStream) -> std::io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut question = [0; 7];
        stream.read_exact(&mut question)?;
        assert_eq!(&question, b"get=1\n\n");
        let mut text = format!("private_key={}\nlisten_port=51820\n", "77".repeat(32));
        {
            // Nobody comes or goes between the answer and what is remembered of it.
            let peers = self.peers.lock().unwrap();
            for (peer, handshake) in &*peers {
                let key = format!("{peer:08x}").repeat(8);
                let ms = handshake.unwrap_or(0);
                writeln!(
                    text,
                    "public_key={key}\nlast_handshake_time_sec={}\nlast_handshake_time_nsec={}\nallowed_ip={}",
                    ms / 1_000,
                    ms % 1_000 * 1_000_000,
                    prefix(*peer)
                )
                .unwrap();
            }
            let answer = Answer { at: now_ms(), peers: peers.keys().copied().collect() };
            self.answers.lock().unwrap().push(answer);
        }
        text += "errno=0\n\n";
        stream.write_all(text.as_bytes())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.0.is_over.store(true, Ordering::Relaxed);
        // Also after a failure of the test.
        self.thread.take().map(|thread| thread.join().unwrap_or_default()).unwrap_or_default();
        std::fs::remove_file(socket()).unwrap_or_default();
    }
}
