//! Who is at the other end, and whether they still are.
//!
//! Each side says who it is, and from then on that it lives, once a second. Of a process on the same
//! host the system says at once that it has ended; of any other it is told by its silence.

use super::frame::{BEAT, HELLO};
use super::link::Link;
use crate::snapshot::{memory, snapshot_struct, Snapshot};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long is waited.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Between two signs of life.
    pub beat: Duration,
    /// Without any, before somebody is given up.
    pub silence: Duration,
    /// Between two looks at the processes of this host.
    pub look: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            beat: Duration::from_secs(1),
            silence: Duration::from_secs(60),
            look: Duration::from_millis(100),
        }
    }
}

/// Who a process is.
#[derive(Debug, Clone, PartialEq)]
pub struct Whereabouts {
    version: String,
    /// Its host, by name.
    pub host: String,
    /// Names the host and what its process numbers are numbers in.
    place: String,
    pid: u32,
}

snapshot_struct!(Whereabouts {
    version,
    host,
    place,
    pid
});

impl Whereabouts {
    pub fn of_this_process() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let host = read("/proc/sys/kernel/hostname").trim().to_string();
        let boot = read("/proc/sys/kernel/random/boot_id");
        let numbers = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            place: format!("{host} {} {}", boot.trim(), numbers.display()),
            host: match host.is_empty() {
                true => "unknown host".into(),
                false => host,
            },
            pid: std::process::id(),
        }
    }

    fn process(&self) -> PathBuf {
        format!("/proc/{}", self.pid).into()
    }
}

impl fmt::Display for Whereabouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, process {}", self.host, self.pid)
    }
}

/// Somebody at the other end.
struct Peer {
    rank: usize,
    known: Option<Whereabouts>,
    heard: Instant,
    /// Where the system shows its process, if it is on this host.
    process: Option<PathBuf>,
    lost: bool,
}

/// What has come.
pub enum News {
    /// A frame.
    Frame {
        /// Of which rank.
        from: usize,
        /// Its first byte says what it is.
        frame: Vec<u8>,
    },
    /// Who somebody is.
    Hello(usize, Whereabouts),
    /// Somebody is not there any more, in words. It is said once of each.
    Lost(String),
}

/// A link to some other ranks, and a watch over them.
pub struct Line<L> {
    link: L,
    me: Whereabouts,
    peers: Vec<Peer>,
    patience: Patience,
    said: Instant,
    looked: Instant,
}

impl<L: Link> Line<L> {
    /// Greets the ranks to talk to.
    ///
    /// # Errors
    /// What the network says.
    pub fn open(mut link: L, ranks: Vec<usize>, patience: Patience) -> Result<Self, String> {
        let me = Whereabouts::of_this_process();
        let mut hello = vec![HELLO];
        let written = memory::write(|to| me.save(to));
        hello.extend(written.map_err(|error| error.to_string())?);
        for &rank in &ranks {
            link.send(rank, hello.clone())?;
        }
        let now = Instant::now();
        let peers = ranks.into_iter().map(|rank| Peer {
            rank,
            known: None,
            heard: now,
            process: None,
            lost: false,
        });
        Ok(Self {
            peers: peers.collect(),
            link,
            me,
            patience,
            said: now,
            looked: now,
        })
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// What the network says.
    pub fn send(&mut self, to: usize, frame: Vec<u8>) -> Result<(), String> {
        self.link.send(to, frame)
    }

    /// Whether something is half way.
    pub fn is_busy(&self) -> bool {
        self.link.is_busy()
    }

    /// What has come since; does not wait.
    ///
    /// # Errors
    /// What the network says.
    pub fn poll(&mut self) -> Result<Option<News>, String> {
        let now = Instant::now();
        if now - self.said >= self.patience.beat {
            self.said = now;
            for peer in self.peers.iter().filter(|peer| !peer.lost) {
                self.link.send(peer.rank, vec![BEAT])?;
            }
        }
        while let Some((from, frame)) = self.link.receive()? {
            let Some(peer) = self.peers.iter_mut().find(|peer| peer.rank == from) else {
                continue;
            };
            peer.heard = now;
            match frame.first() {
                None | Some(&BEAT) => {}
                Some(&HELLO) => return Ok(Some(peer.greet(&frame[1..], &self.me))),
                Some(_) => return Ok(Some(News::Frame { from, frame })),
            }
        }
        Ok(self.missed(now))
    }

    /// The next that is found to be lost.
    fn missed(&mut self, now: Instant) -> Option<News> {
        let look = now - self.looked >= self.patience.look;
        if look {
            self.looked = now;
        }
        let silence = self.patience.silence;
        self.peers.iter_mut().find_map(|peer| {
            if peer.lost {
                return None;
            }
            let ended = || {
                peer.process
                    .as_ref()
                    .is_some_and(|process| !process.exists())
            };
            let why = if look && ended() {
                "its process has ended".to_string()
            } else if now - peer.heard >= silence {
                format!("nothing was heard of it for {} s", silence.as_secs_f64())
            } else {
                return None;
            };
            Some(peer.lose(&why))
        })
    }

    /// Parts from the others.
    pub fn close(self) {
        self.link.close();
    }

    /// Ends all ranks.
    pub fn abort(self) {
        self.link.abort();
    }
}

impl Peer {
    fn greet(&mut self, hello: &[u8], me: &Whereabouts) -> News {
        let hello = memory::open(&Arc::new(hello.to_vec()));
        let them = match hello.and_then(|mut from| Whereabouts::load(&mut from)) {
            Ok(them) => them,
            Err(error) => return self.lose(&format!("it does not say who it is: {error}")),
        };
        if them.version != me.version {
            let (theirs, ours) = (&them.version, &me.version);
            return self.lose(&format!("it is shoal {theirs}, and this is shoal {ours}"));
        }
        let process = them.process();
        let here = them.place == me.place && process.exists();
        self.process = here.then_some(process);
        self.known = Some(them.clone());
        News::Hello(self.rank, them)
    }

    fn lose(&mut self, why: &str) -> News {
        self.lost = true;
        let who = match &self.known {
            Some(known) => format!("rank {} ({known})", self.rank),
            None => format!("rank {}", self.rank),
        };
        News::Lost(format!("{who} is lost: {why}"))
    }
}
