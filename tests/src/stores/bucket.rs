//! A directory as a bucket of S3 that is far away: each request takes its time.

use std::{
    fmt::Write as _,
    fs::File,
    net::SocketAddr,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use super::{BUCKET, owned};

/// Keys of a page of a list, as S3 has it.
const PAGE: usize = 1_000;

/// A server that lists and reads the files of a directory, and writes none.
#[derive(Debug)]
pub struct SlowBucket {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl SlowBucket {
    /// Starts it on threads of its own, which end with the process.
    pub fn start(directory: &Path, delay: Duration) -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        let requests = Arc::new(AtomicUsize::new(0));
        let (root, counted) = (directory.to_owned(), Arc::clone(&requests));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (client, _) = listener.accept().await.unwrap();
                    let (root, counted) = (root.clone(), Arc::clone(&counted));
                    tokio::spawn(async move {
                        // A client may go away at any time.
                        drop(serve(client, &root, delay, &counted).await);
                    });
                }
            });
        });
        Self { address: receiver.recv().unwrap(), requests }
    }

    /// Its URL as a store.
    pub fn location() -> String {
        format!("s3://{BUCKET}")
    }

    /// The environment that it takes.
    pub fn variables(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://{}", self.address);
        owned(&[
            ("AWS_ACCESS_KEY_ID", "testing"),
            ("AWS_SECRET_ACCESS_KEY", "testing"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL", &endpoint),
            ("AWS_ALLOW_HTTP", "true"),
        ])
    }

    /// How many requests it had.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn serve(
    client: TcpStream,
    root: &Path,
    delay: Duration,
    counted: &AtomicUsize,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = BufReader::new(client);
    loop {
        let (mut line, mut range) = (String::new(), None);
        if client.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        loop {
            let mut header = String::new();
            client.read_line(&mut header).await?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(bytes) = header.strip_prefix("range: bytes=") {
                let (start, end) = bytes.split_once('-').unwrap();
                range = Some((start.parse::<u64>().unwrap(), end.parse::<u64>().unwrap()));
            }
        }
        counted.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(delay).await;
        let target = line.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let answer = if query.contains("list-type=2") {
            list(root, query)
        } else {
            let path = decoded(path.strip_prefix(&format!("/{BUCKET}/")).unwrap_or_default());
            read(&root.join(path), range)
        };
        client.write_all(&answer).await?;
    }
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

fn read(path: &Path, range: Option<(u64, u64)>) -> Vec<u8> {
    let Ok(file) = File::open(path) else {
        return answer("404 Not Found", "", b"<Error><Code>NoSuchKey</Code></Error>");
    };
    let size = file.metadata().unwrap().len();
    let (start, end) = range.map_or((0, size), |(start, end)| (start, (end + 1).min(size)));
    let mut body = vec![0; usize::try_from(end - start).unwrap()];
    file.read_exact_at(&mut body, start).unwrap();
    let headers = format!(
        "ETag: {}\r\nLast-Modified: Thu, 26 Nov 2026 00:00:00 GMT\r\nContent-Range: bytes {start}-{}/{size}\r\n",
        tag(path),
        end.saturating_sub(1)
    );
    let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
    answer(status, &headers, &body)
}

fn tag(path: &Path) -> String {
    let found = std::fs::metadata(path).unwrap();
    let modified = found.modified().unwrap().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("\"{}-{modified}\"", found.len())
}

/// A page of a list: of what is below a folder, or of the folders in it.
fn list(root: &Path, query: &str) -> Vec<u8> {
    let parameter = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| decoded(value)).next()
    };
    let prefix = parameter("prefix").unwrap_or_default();
    let after = parameter("continuation-token").unwrap_or_default();
    let folder = root.join(&prefix);
    let mut xml = String::from("<?xml version=\"1.0\"?><ListBucketResult>");
    let mut keys: Vec<String> = if parameter("delimiter").is_some() {
        let names = std::fs::read_dir(&folder).into_iter().flatten();
        names.map(|name| format!("{prefix}{}/", name.unwrap().file_name().display())).collect()
    } else {
        files(&folder)
            .iter()
            .map(|file| file.strip_prefix(root).unwrap().display().to_string())
            .collect()
    };
    keys.sort_unstable();
    keys.retain(|key| *key > after);
    let is_cut = keys.len() > PAGE;
    keys.truncate(PAGE);
    for key in &keys {
        if key.ends_with('/') {
            write!(xml, "<CommonPrefixes><Prefix>{key}</Prefix></CommonPrefixes>").unwrap();
            continue;
        }
        let path = root.join(key);
        let (size, tag) = (std::fs::metadata(&path).unwrap().len(), tag(&path));
        write!(
            xml,
            "<Contents><Key>{key}</Key><LastModified>2026-11-26T00:00:00.000Z</LastModified>\
             <ETag>{}</ETag><Size>{size}</Size></Contents>",
            tag.replace('"', "&quot;")
        )
        .unwrap();
    }
    write!(xml, "<IsTruncated>{is_cut}</IsTruncated>").unwrap();
    if let Some(last) = keys.last().filter(|_| is_cut) {
        write!(xml, "<NextContinuationToken>{last}</NextContinuationToken>").unwrap();
    }
    xml.push_str("</ListBucketResult>");
    answer("200 OK", "Content-Type: application/xml\r\n", xml.as_bytes())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let below = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path) } else { vec![path] }
    };
    std::fs::read_dir(folder).into_iter().flatten().flat_map(below).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = vec![];
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if let (b'%', [high, low, after @ ..]) = (first, tail) {
            let digits = [*high, *low];
            let code = u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16);
            bytes.push(code.unwrap());
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).unwrap()
}
