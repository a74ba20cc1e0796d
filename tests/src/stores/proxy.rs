//! A proxy in front of a server, which does to requests what networks and stores do.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status with this code instead of what the server would say.
    Answer(u16, &'static str),
    /// "200 OK" with this body, and the server never hears of it.
    Body(String),
    /// The connection is reset, and the server never hears of it.
    ResetBefore,
    /// The server does it, and the connection is reset before anybody is told.
    ResetAfter,
    /// "200 OK", and the server never hears of it.
    Lie,
    /// It takes its time.
    Slow(Duration),
    /// No answer, ever.
    Hang,
    /// The connection is reset; the server hears of it when this is notified.
    Late(Arc<Notify>),
    /// The server hears of it without the header of this name.
    Without(&'static str),
}

/// Some requests, and what happens to them.
#[derive(Debug)]
struct Rule {
    /// What their first line contains.
    line: &'static str,
    skip: usize,
    times: usize,
    fault: Fault,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    lines: Vec<String>,
    /// What the server said to those that came late.
    late: Vec<String>,
}

/// A proxy for HTTP/1.1, one request a connection.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    upstream: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl FaultProxy {
    /// Starts one in front of a server; it changes nothing yet.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self { address, upstream, state: Arc::default(), accepting: Mutex::default() };
        proxy.accept(listener);
        proxy
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests whose first line contains `line` have a fault: after `skip` that have none, so many `times`.
    pub fn inject(&self, line: &'static str, skip: usize, times: usize, fault: Fault) {
        self.state.lock().unwrap().rules.push(Rule { line, skip, times, fault });
    }

    /// How many faults have not happened yet.
    pub fn pending(&self) -> usize {
        self.state.lock().unwrap().rules.iter().map(|rule| rule.times).sum()
    }

    /// The first lines of all requests so far.
    pub fn lines(&self) -> Vec<String> {
        self.state.lock().unwrap().lines.clone()
    }

    /// The status lines of what the server said to those that came [late](Fault::Late).
    pub fn late(&self) -> Vec<String> {
        self.state.lock().unwrap().late.clone()
    }

    /// Refuses connections from now on.
    pub async fn leave(&self) {
        let accepting = self.accepting.lock().unwrap().take().unwrap();
        accepting.abort();
        // The listener is closed when the task is gone.
        assert!(accepting.await.unwrap_err().is_cancelled());
    }

    /// Takes connections again.
    pub async fn come_back(&self) {
        self.accept(TcpListener::bind(self.address).await.unwrap());
    }

    fn accept(&self, listener: TcpListener) {
        let (state, upstream) = (Arc::clone(&self.state), self.upstream);
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&state);
                tokio::spawn(async move {
                    // A client may go away at any time; what it makes of that is what is tested.
                    drop(serve(client, upstream, &state).await);
                });
            }
        });
        *self.accepting.lock().unwrap() = Some(accepting);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.lock().unwrap().take() {
            accepting.abort();
        }
    }
}

async fn serve(
    mut client: TcpStream,
    upstream: SocketAddr,
    state: &Mutex<State>,
) -> io::Result<()> {
    let Some(mut request) = Request::read(&mut client).await? else { return Ok(()) };
    let fault = state.lock().unwrap().fault_of(&request.line);
    match fault {
        None => return forward(&request, upstream, &mut client).await,
        Some(Fault::Slow(delay)) => {
            tokio::time::sleep(delay).await;
            return forward(&request, upstream, &mut client).await;
        }
        Some(Fault::Without(header)) => {
            request.remove(header);
            return forward(&request, upstream, &mut client).await;
        }
        Some(Fault::Answer(status, code)) => {
            let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
            let body = if request.line.starts_with("HEAD") { String::new() } else { body };
            answer(&mut client, &format!("{status} Fault"), &body).await?;
        }
        Some(Fault::Body(body)) => answer(&mut client, "200 OK", &body).await?,
        Some(Fault::Lie) => answer(&mut client, "200 OK", "").await?,
        Some(Fault::ResetBefore) => client.set_zero_linger()?,
        Some(Fault::ResetAfter) => {
            forward(&request, upstream, &mut io::sink()).await?;
            client.set_zero_linger()?;
        }
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Late(notify)) => {
            client.set_zero_linger()?;
            drop(client);
            notify.notified().await;
            let mut said = vec![];
            forward(&request, upstream, &mut said).await?;
            let said = String::from_utf8_lossy(&said);
            state.lock().unwrap().late.push(said.lines().next().unwrap_or_default().to_owned());
        }
    }
    Ok(())
}

impl State {
    fn fault_of(&mut self, line: &str) -> Option<Fault> {
        self.lines.push(line.to_owned());
        let rule = self.rules.iter_mut().find(|rule| rule.times > 0 && line.contains(rule.line))?;
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        rule.times -= 1;
        Some(rule.fault.clone())
    }
}

struct Request {
    line: String,
    /// First line and headers, without the empty line.
    head: String,
    body: Vec<u8>,
}

impl Request {
    async fn read(client: &mut TcpStream) -> io::Result<Option<Self>> {
        let mut read = vec![];
        let end = loop {
            if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end;
            }
            if client.read_buf(&mut read).await? == 0 {
                return Ok(None);
            }
        };
        let mut body = read.split_off(end + 4);
        let head = String::from_utf8(read[..end].to_vec()).map_err(io::Error::other)?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let begun = body.len();
        body.resize(length.unwrap_or(0), 0);
        client.read_exact(&mut body[begun..]).await?;
        let line = head.lines().next().unwrap_or_default().to_owned();
        Ok(Some(Self { line, head, body }))
    }

    fn remove(&mut self, header: &str) {
        let is_other =
            |line: &&str| !line.split(':').next().unwrap_or_default().eq_ignore_ascii_case(header);
        self.head = self.head.lines().filter(is_other).collect::<Vec<_>>().join("\r\n");
    }
}

async fn forward(
    request: &Request,
    upstream: SocketAddr,
    client: &mut (impl io::AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    let head = format!("{}\r\nConnection: close\r\n\r\n", request.head);
    server.write_all(head.as_bytes()).await?;
    server.write_all(&request.body).await?;
    io::copy(&mut server, client).await?;
    client.flush().await
}

async fn answer(client: &mut TcpStream, status: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    // An ETag, which a put is expected to have.
    let head = format!(
        "HTTP/1.1 {status}\r\nETag: \"0\"\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await?;
    client.write_all(body.as_bytes()).await?;
    client.shutdown().await
}
