//! What stands between a client and a server and spoils what passes: one request after the other, each on a connection of its own.

#![allow(dead_code, unreachable_pub, reason = "not every test uses everything here")]

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection is cut before the server hears of it.
    CutBefore,
    /// The server does what it is asked for, and the connection is cut: success is not reported.
    CutAfter,
    /// 500, and nothing was done.
    Answer500,
    /// 503 with a body that says to slow down, and nothing was done.
    Answer503,
    /// The server does it, and 500 is what comes back: success is reported late, by the next attempt.
    Late500,
    /// Nothing is done, and nothing comes back for longer than the client waits.
    Stall,
    /// The server does it, and the answer comes later than the client waits.
    LateAnswer,
    /// Half of the answer's body, and the end of the connection.
    CutAnswer,
    /// A byte in the middle of an object that is read is another one.
    SpoiltAnswer,
    /// Half of what is sent, and the end of the connection.
    CutUpload,
    /// A byte in the middle of what is sent is another one.
    SpoiltUpload,
}

impl Fault {
    pub const ALL: [Self; 11] = [
        Self::CutBefore,
        Self::CutAfter,
        Self::Answer500,
        Self::Answer503,
        Self::Late500,
        Self::Stall,
        Self::LateAnswer,
        Self::CutAnswer,
        Self::SpoiltAnswer,
        Self::CutUpload,
        Self::SpoiltUpload,
    ];
}

/// Which requests are hit.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub fault: Fault,
    /// From which one on, counted from 0.
    pub at: u64,
    /// Only that one.
    pub once: bool,
    /// How long a client waits.
    pub patience: Duration,
}

#[derive(Debug)]
struct Shared {
    server: u16,
    plan: Mutex<Option<Plan>>,
    seen: AtomicU64,
    hit: AtomicU64,
    is_over: AtomicBool,
}

/// The proxy. It ends when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Stands before the server on this port, and spoils nothing yet.
    pub fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server,
            plan: Mutex::default(),
            seen: AtomicU64::new(0),
            hit: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if ours.is_over.load(Ordering::Relaxed) {
                    break;
                }
                let Ok(client) = client else { continue };
                let ours = Arc::clone(&ours);
                // What a client or a server breaks off is what this is for.
                std::thread::spawn(move || _ = ours.pass(client));
            }
        });
        Self { port, shared }
    }

    /// From now on this happens; requests are counted anew.
    pub fn plan(&self, plan: Option<Plan>) {
        *self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
        self.shared.seen.store(0, Ordering::Relaxed);
        self.shared.hit.store(0, Ordering::Relaxed);
    }

    /// How many requests were hit.
    pub fn hits(&self) -> u64 {
        self.shared.hit.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Wakes it up.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// A request or an answer.
struct Message {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Message {
    /// Reads one; `is_open` says that it may be ended by the end of the connection.
    fn read(from: &mut TcpStream, is_open: bool) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let mut piece = vec![0; 64 << 10];
        let head_len = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            match from.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => bytes.extend_from_slice(&piece[..count]),
            }
        };
        let body = bytes.split_off(head_len);
        let mut message = Self { head: bytes, body };
        let len = message.content_len();
        while len.map_or(is_open, |len| message.body.len() < len) {
            match from.read(&mut piece)? {
                0 => break,
                count => message.body.extend_from_slice(&piece[..count]),
            }
        }
        Ok(message)
    }

    fn content_len(&self) -> Option<usize> {
        let head = String::from_utf8_lossy(&self.head).to_ascii_lowercase();
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
    }

    fn is(&self, method: &str) -> bool {
        self.head.starts_with(method.as_bytes())
    }

    /// Whether it asks for a listing.
    fn lists(&self) -> bool {
        self.head.split(|byte| *byte == b'\n').next().is_some_and(|line| String::from_utf8_lossy(line).contains("list-type="))
    }

    /// With the request that the connection be closed behind it.
    fn with_close(&self) -> Vec<u8> {
        let mut head = self.head[..self.head.len() - 2].to_vec();
        head.extend_from_slice(b"connection: close\r\n\r\n");
        head
    }

    fn spoil(&mut self) {
        let middle = self.body.len() / 2;
        if let Some(byte) = self.body.get_mut(middle) {
            *byte ^= 0x10;
        }
    }
}

impl Shared {
    fn fault_for(&self, request: &Message) -> Option<Plan> {
        let plan = (*self.plan.lock().unwrap_or_else(PoisonError::into_inner))?;
        // A fault hits what it can do something to, so that none is counted that was none. Listings are spoilt by cutting alone: nothing in them
        // tells a name from one with another digit, which TLS is for.
        let fits = match plan.fault {
            Fault::SpoiltAnswer => request.is("GET") && !request.lists(),
            Fault::CutAnswer => request.is("GET"),
            Fault::CutUpload | Fault::SpoiltUpload => request.is("PUT"),
            _ => true,
        };
        if !fits {
            return None;
        }
        let number = self.seen.fetch_add(1, Ordering::Relaxed);
        (number == plan.at || (number > plan.at && !plan.once)).then(|| {
            self.hit.fetch_add(1, Ordering::Relaxed);
            plan
        })
    }

    fn pass(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut request = Message::read(&mut client, false)?;
        let plan = self.fault_for(&request);
        let refuse = |mut client: TcpStream, answer: &str| client.write_all(answer.as_bytes());
        let slow = "<Error><Code>SlowDown</Code></Error>";
        let busy = format!("HTTP/1.1 503 Slow Down\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{slow}", slow.len());
        let failed = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        match plan.map(|plan| plan.fault) {
            Some(Fault::CutBefore) => return client.shutdown(Shutdown::Both),
            Some(Fault::Answer500) => return refuse(client, failed),
            Some(Fault::Answer503) => return refuse(client, &busy),
            Some(Fault::Stall) => {
                std::thread::sleep(plan.map_or(Duration::ZERO, |plan| plan.patience * 2));
                return client.shutdown(Shutdown::Both);
            }
            Some(Fault::SpoiltUpload) => request.spoil(),
            _ => {}
        }
        let mut server = TcpStream::connect(("127.0.0.1", self.server))?;
        server.set_nodelay(true)?;
        server.write_all(&request.with_close())?;
        if plan.is_some_and(|plan| plan.fault == Fault::CutUpload) {
            server.write_all(&request.body[..request.body.len() / 2])?;
            server.shutdown(Shutdown::Both)?;
            return client.shutdown(Shutdown::Both);
        }
        server.write_all(&request.body)?;
        // A HEAD is answered with a length and no body.
        let mut answer = if request.is("HEAD") { Self::head_of(&mut server)? } else { Message::read(&mut server, true)? };
        match plan.map(|plan| plan.fault) {
            Some(Fault::CutAfter) => return client.shutdown(Shutdown::Both),
            Some(Fault::Late500) => return refuse(client, failed),
            Some(Fault::LateAnswer) => std::thread::sleep(plan.map_or(Duration::ZERO, |plan| plan.patience * 2)),
            Some(Fault::SpoiltAnswer) => answer.spoil(),
            Some(Fault::CutAnswer) => answer.body.truncate(answer.body.len() / 2),
            _ => {}
        }
        client.write_all(&answer.head)?;
        client.write_all(&answer.body)?;
        client.shutdown(Shutdown::Both)
    }

    fn head_of(server: &mut TcpStream) -> io::Result<Message> {
        let mut bytes = Vec::new();
        server.read_to_end(&mut bytes)?;
        Ok(Message { head: bytes, body: Vec::new() })
    }
}
